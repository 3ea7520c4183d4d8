"""Many runs, seeds and parameters at once, as tasks of a Dask cluster; each task ends in a record of its own."""

import getpass
import hashlib
import itertools
import json
import re
import shutil
import signal
import tempfile
import traceback
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lbrs._files import write_text
from lbrs.experiments.configs import (
    CertifiedConfig,
    Config,
    ImagesConfig,
    SensitivityConfig,
    SpiralConfig,
)
from lbrs.experiments.records import Record, record_name, sources_hash, versions
from lbrs.experiments.runs import Run

KINDS: dict[str, type] = {
    "spiral.md": SpiralConfig,
    "images.md": ImagesConfig,
    "certified.md": CertifiedConfig,
    "sensitivity.md": SensitivityConfig,
}
"""The choices that belong to each notebook named in runs.yml."""

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "LBRS_PROGRESS": "/dev/null",
}
"""What the workers of a local cluster are given: one thread each, and no progress bars over that of the command."""

MOST_SEEDS = 10_000


class SweepError(RuntimeError):
    """The cluster cannot be had, or a worker must not be used; the text says why."""


@dataclass(frozen=True)
class Task:
    """One run with one seed and one set of parameters; `choices` are those that the sweep set itself."""

    run: str
    profile: str
    seed: int
    config: Config
    choices: dict[str, Any] = field(default_factory=dict)
    device: str = "auto"

    @property
    def name(self) -> str:
        """Where its record goes, without `.json`: as `lbrs run` names it, in a sub-folder such as `epochs=3,noise=0.5` for choices of its own."""
        file = record_name(self.run, self.profile, self.seed).removesuffix(".json")
        return f"{_folder_name(self.choices)}/{file}" if self.choices else file


@dataclass(frozen=True)
class Result:
    """How a task ended: `state` is "kept" (recorded before), "computed" or "failed", with the `reason`; `seconds` of computation."""

    task: Task
    state: str
    reason: str = ""
    seconds: float = 0.0


def _folder_name(choices: dict[str, Any]) -> str:
    parts = []
    for name, value in sorted(choices.items()):
        items = value if isinstance(value, tuple) else (value,)
        parts.append(f"{name}={'_'.join(quote(str(item), safe='') for item in items)}")
    text = ",".join(parts)
    return (
        text
        if len(text) <= 200
        else f"{text[:180]}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    )


def parse_seeds(text: str) -> list[int]:
    """The seeds that `text` names, in its order and once each; ValueError if it names none.

    >>> parse_seeds("0-2,7")
    [0, 1, 2, 7]
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        found = re.fullmatch(r"([0-9]{1,18})(?:-([0-9]{1,18}))?", part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if last < first:
            raise ValueError(f"seeds must be numbers and ranges such as 0-4 or 0,2,5, got {text!r}")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise ValueError(f"seeds must be at most {MOST_SEEDS}, got {text!r}")
        seeds.update(dict.fromkeys(range(first, last + 1)))
    return list(seeds)


def parse_choices(texts: Iterable[str]) -> dict[str, list]:
    """The values of each parameter in `texts` such as "epochs=3,5" or "radii=[0.25, 0.5]", read as YAML; ValueError for anything else.

    >>> parse_choices(["epochs=3,5", "radii=[0.25, 0.5]"])
    {'epochs': [3, 5], 'radii': [[0.25, 0.5]]}
    """
    import yaml

    found: dict[str, list] = {}
    for text in texts:
        name, _, values = text.partition("=")
        try:
            items = yaml.safe_load(f"[{values}]")
        except yaml.YAMLError:
            items = []
        if not name.isidentifier() or not items or not isinstance(items, list):
            raise ValueError(
                f"a parameter is set as name=value,value with values as in YAML, such as epochs=3,5 or radii=[0.25,0.5], got {text!r}"
            )
        if name in found:
            raise ValueError(
                f"parameter {name!r} must be set once, with all its values, got {text!r} as well"
            )
        found[name] = items
    return found


def plan(
    runs: Iterable[Run],
    profile: str,
    seeds: Iterable[int],
    choices: dict[str, list] | None = None,
    device: str = "auto",
) -> list[Task]:
    """The tasks: every run with every combination of `choices` (a list of values for each parameter) and every seed.

    The choices of a task are those of `lbrs run`: the run's parameters and what `profile` overrides in runs.yml; then `choices`.
    Raises ValueError, naming the run and the parameter, for an unknown one and for a value that does not fit.
    """
    choices, seeds, tasks = choices or {}, list(seeds), {}
    for run in runs:
        for values in itertools.product(*choices.values()):
            config = configure(run, profile, dict(zip(choices, values, strict=True)))
            chosen = {name: getattr(config, name) for name in choices}
            for seed in seeds:
                task = Task(run.name, profile, seed, config, chosen, device)
                tasks[task.name] = task
    return list(tasks.values())


def configure(run: Run, profile: str, choices: dict[str, Any]) -> Config:
    """The choices of `run` at `profile`, with `choices` on top; ValueError as in `plan`."""
    kind = KINDS.get(run.source)
    if kind is None:
        raise ValueError(
            f"run {run.name!r}: a sweep computes the experiments of {', '.join(KINDS)}, got notebooks/{run.source}"
        )
    defaults = {choice.name: choice.default for choice in fields(kind)}
    reserved = ("run", "profile", "seed", "device")
    given = {
        name: value for name, value in run.given(profile, 0, "auto").items() if name not in reserved
    } | choices
    values = {}
    for name, value in given.items():
        if name not in defaults:
            raise ValueError(
                f"run {run.name!r}: unknown parameter {name!r}; allowed are {', '.join(defaults)}"
            )
        try:
            values[name] = _fit(value, defaults[name])
        except (TypeError, ValueError):
            raise ValueError(
                f"run {run.name!r}: parameter {name!r} must be of the kind of its default {defaults[name]!r}, got {value!r}"
            ) from None
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"run {run.name!r}: {error}") from error


def _fit(value: Any, default: Any) -> Any:
    """`value` as one of the kind of `default`: lists as tuples, and as floats also whole numbers and what YAML takes for text, such as 1e-3."""
    if isinstance(default, tuple) and isinstance(value, (list, tuple)):
        return tuple(_fit(item, default[0]) for item in value)
    if isinstance(default, float) and type(value) in (int, float, str):
        return float(value)
    if type(value) is not type(default):
        raise TypeError
    return value


def origin() -> dict[str, str]:
    """What a record depends on beside its choices: the versions of the libraries, and a hash of the sources of lbrs."""
    return versions() | {"sources": sources_hash()[:16]}


def is_recorded(task: Task, folder: Path) -> bool:
    """Whether `folder` holds the record of `task`: by the same choices, the same versions, and the same sources of lbrs."""
    try:
        record = Record.load(Path(folder) / f"{task.name}.json")
    except (OSError, ValueError):
        return False
    # A record holds lists for tuples, and seven digits of each number.
    config = json.loads(
        json.dumps(asdict(task.config)), parse_float=lambda text: float(f"{float(text):.6e}")
    )
    return (
        record.config == config
        and record.versions == origin()
        and task.device in ("auto", record.device)
    )


def compute(task: Task, expected: dict[str, str], scratch: str) -> Record:
    """What a worker does: the record of `task`, computed with one thread, so that it does not depend on how many workers there are.

    Finished stages are kept below `scratch`, where the worker has such a folder, else below its temporary folder, until the task is
    done: a task that was stopped continues there. `lbrs run` computes with all cores, and agrees with this within rounding.
    Raises SweepError if this worker's versions or sources are not the `expected` ones.
    """
    import torch

    from lbrs.experiments import running

    found = origin()
    different = [
        f"{name} {found.get(name)} instead of {expected.get(name)}"
        for name in sorted({*found, *expected})
        if found.get(name) != expected.get(name)
    ]
    if different:
        raise SweepError(
            f"the worker has {', '.join(different)}: install there what the command uses"
        )
    torch.set_num_threads(1)
    place = (
        Path(scratch)
        if Path(scratch).is_dir()
        else Path(tempfile.gettempdir()) / f"lbrs-sweep-{getpass.getuser()}"
    )
    place = place / task.name
    record = running.run(
        task.config,
        run=task.run,
        profile=task.profile,
        seed=task.seed,
        device=task.device,
        folder=place / "records",
    )
    shutil.rmtree(place, ignore_errors=True)
    return replace(record, versions=found)


def sweep(
    tasks: Iterable[Task],
    folder: Path,
    scratch: Path,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
) -> Iterator[Result]:
    """Compute the `tasks` that `folder` holds no record of, and write their records there; yields how each ended, as it ends.

    Workers send their records here, so that they need no common file system; `scratch` is for the stages of unfinished tasks. A task
    whose worker dies is given to another one, as often as the scheduler's `allowed-failures` says; one that raises an error has
    failed, and the others go on. Whatever stops the sweep, the same call continues it.

    Parameters: `scheduler`, the address of a Dask scheduler; else a cluster of `workers` processes on this machine, one for each core
    by default. Raises SweepError if Dask is not installed or the scheduler does not answer.

        for result in sweep(plan(load_runs(root).values(), "quick", range(5)), folder, scratch):
            print(result.task.name, result.state)
    """
    todo = []
    for task in tasks:
        if is_recorded(task, folder):
            yield Result(task, "kept")
        else:
            todo.append(task)
    if not todo:
        return
    Path(scratch).mkdir(parents=True, exist_ok=True)
    with _client(scheduler, workers, len(todo)) as client:
        from distributed import as_completed

        expected, place = origin(), str(Path(scratch).resolve())
        futures = {client.submit(compute, task, expected, place, pure=False): task for task in todo}
        for future in as_completed(list(futures), loop=client.loop):
            yield _finish(future, futures.pop(future), Path(folder), Path(scratch))


def _finish(future: Any, task: Task, folder: Path, scratch: Path) -> Result:
    """Write the record of a finished task, or say why there is none; an error that lbrs does not explain itself is kept whole."""
    from distributed import KilledWorker

    try:
        record = future.result()
        record.save((folder / f"{task.name}.json").parent)
    except KilledWorker as error:
        return Result(
            task,
            "failed",
            f"its worker died, {error.allowed_failures + 1} times; was there enough memory?",
        )
    except Exception as error:  # whatever one task raises, the others go on
        text = (str(error).strip() or "no reason given").splitlines()[-1]
        if type(error).__module__.startswith("lbrs."):
            return Result(task, "failed", text)
        log = scratch / f"{task.name}.log"
        write_text(log, "".join(traceback.format_exception(error)))
        return Result(
            task, "failed", f"{type(error).__name__}: {text} (the whole error is in {log})"
        )
    return Result(task, "computed", seconds=record.wall_time)


def dask_setup(worker: Any) -> None:
    """Called by Dask as a worker of the local cluster starts: Ctrl-C is for the command alone, which then ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _client(scheduler: str | None, workers: int | None, tasks: int) -> Iterator[Any]:
    """A client of the scheduler at that address, or of a cluster of its own, which ends with it."""
    try:
        import dask
        from dask.system import CPU_COUNT
        from distributed import Client, LocalCluster
    except ModuleNotFoundError as error:
        raise SweepError(
            f"a sweep needs Dask, and {error.name} is not installed: pip install 'lbrs[cluster]'"
        ) from error
    settings = {
        "distributed.scheduler.worker-ttl": None,
        "distributed.comm.timeouts.connect": "120s",
    }
    with ExitStack() as stack:
        if scheduler is None:
            stack.enter_context(dask.config.set(settings))
            count = min(workers or CPU_COUNT, tasks)
            scheduler = stack.enter_context(
                LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=0,
                    dashboard_address="127.0.0.1:0",
                    env=ENVIRONMENT,
                    preload=["lbrs.experiments.sweep"],
                    silence_logs="CRITICAL",
                )
            )
        try:
            client = stack.enter_context(Client(scheduler, timeout="30s", set_as_default=False))
        except (OSError, ValueError) as error:
            raise SweepError(
                f"no Dask scheduler can be reached at {scheduler}: {str(error).splitlines()[-1]}"
            ) from error
        yield client
