"""From choices to a record: computed here, or the published one where the data cannot be had."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from lbrs._checks import integer
from lbrs.experiments.configs import Config
from lbrs.experiments.data import DataError
from lbrs.experiments.plan import Task
from lbrs.experiments.records import (
    PROFILES,
    Record,
    published,
    published_seeds,
    record_name,
    recorded,
    records_folder,
    versions,
)
from lbrs.experiments.sources import commit, sources_hash
from lbrs.experiments.stages import Stages, pick_device
from lbrs.experiments.table import EXPERIMENTS, kind_of


@dataclass(frozen=True)
class Outcome:
    """A record, and whether this machine computed it.

    If not, it is the published one, and `reason` says why. In a notebook it shows as a sentence,
    and as JSON for the programs that read the executed notebook.
    """

    record: Record
    rerun: bool
    reason: str = ""

    @property
    def published(self) -> list[Record]:
        """The published records of the same run."""
        return published_seeds(self.record.run)

    @property
    def sentence(self) -> str:
        """What the reader should know, as Markdown."""
        record = self.record
        origin = "Computed on this machine"
        if not self.rerun:
            origin = f"**Not re-run here**: {self.reason}. Shown is the published record"
        return (
            f"{origin}: profile *{record.profile}*, seed {record.seed}, "
            f"{record.test_points:,} test points. Wall time {record.wall_time:.0f} s."
        )

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, object]:
        state = {"run": self.record.run, "rerun": self.rerun, "reason": self.reason}
        return {
            "text/markdown": self.sentence,
            "text/plain": self.sentence,
            "application/vnd.lbrs.outcome+json": state,
        }


def run(
    config: Config,
    *,
    run: str,
    profile: str,
    seed: int,
    device: str = "auto",
    folder: Path | None = None,
    partial: Path | None = None,
) -> Record:
    """Compute an experiment and write its record to `folder`; returns what is read there.

    A record that is there already, of the same choices, code, versions and kind of device, is
    taken as it is. Each finished stage is kept until the record is written: a run that was stopped
    continues there, with the same result. The processor computes with one thread, so that results
    do not depend on the number of cores, nor on what runs beside it.

    Parameters:
        config: the choices.
        run: the name of the run.
        profile: "quick" or "paper".
        seed: of every random choice, >= 0.
        device: "cpu", "cuda", or "auto", which takes a GPU if there is one.
        folder: where the record goes; the project's _build/records by default.
        partial: where finished stages are kept; beside `folder` by default.

    Raises:
        ValueError: for an unknown profile or device.
        DataError: if the images cannot be had.
    """
    if profile not in PROFILES:
        names = ", ".join(map(repr, PROFILES))
        raise ValueError(f"profile must be one of {names}, got {profile!r}")
    integer("seed", seed, low=0)
    place = pick_device(device)
    folder = Path(folder) if folder else records_folder()
    path = folder / record_name(run, profile, seed)
    key = [run, profile, seed, str(place), asdict(config)]
    stages = Stages(partial or folder.parent / "partial", key, title=f"{run}-{profile}-{seed}")
    if known := recorded(path, kind_of(config), asdict(config), place.type):
        stages.drop()  # of a process that was killed once the record was written
        return known
    saved = _computed(config, run, profile, seed, place, stages).save(folder)
    stages.clear()
    return Record.load(saved)


def _computed(
    config: Config, run: str, profile: str, seed: int, device: torch.device, stages: Stages
) -> Record:
    kind, choices, sources, changed = kind_of(config), asdict(config), sources_hash(), commit()
    with _one_thread():
        task, results = EXPERIMENTS[kind].compute(config, seed, device, stages)
    return Record(
        run=run,
        kind=kind,
        profile=profile,
        seed=seed,
        config=choices,
        versions=versions(),
        sources=sources,
        commit=changed,
        device=str(device),
        test_hash=task.test_hash,
        test_points=len(task.test_y),
        wall_time=stages.seconds,
        results=results,
    )


def run_or_published(task: Task) -> Outcome:
    """The record of `task`, in the project's _build/records: where the data cannot be had, the
    published one of book/records instead, with the reason, unless the task has choices of its
    own."""
    records = records_folder()
    try:
        record = run(
            task.config,
            run=task.run,
            profile=task.profile,
            seed=task.seed,
            device=task.device,
            folder=(records / task.name).parent,
            partial=(records.parent / "partial" / task.name).parent,
        )
    except DataError as error:
        if task.choices:
            raise
        try:
            return Outcome(published(task.run, kind_of(task.config)), False, str(error).rstrip("."))
        except FileNotFoundError:
            raise error from None
    return Outcome(record, True)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
