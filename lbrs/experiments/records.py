"""What an experiment found, as small JSON files, and where they lie."""

import json
import os
import platform
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lbrs._files import absolute, write_text
from lbrs.experiments.sources import check_home, sources_hash

PROFILES = ("quick", "paper")


@dataclass(frozen=True)
class Record:
    """One run of one experiment.

    Attributes:
        run: which one, as in notebooks/runs.yml.
        kind: which experiment, as in `lbrs.experiments.table`.
        profile: quick or paper.
        seed: of every random choice.
        config: every choice.
        versions: of Python and the libraries.
        sources: a hash of the code that computed it; empty where it was not kept.
        commit: the last git commit of that code; empty where there was none.
        device: what computed it.
        test_hash: which points were tested.
        test_points: how many.
        wall_time: seconds of computation, all attempts together.
        results: what the figures draw.
    """

    run: str
    kind: str
    profile: str
    seed: int
    config: dict[str, Any]
    versions: dict[str, str]
    sources: str
    commit: str
    device: str
    test_hash: str
    test_points: int
    wall_time: float
    results: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of its file."""
        return record_name(self.run, self.profile, self.seed)

    @property
    def origin(self) -> str:
        """Which run this is, for the foot of a figure."""
        return f"profile {self.profile} · seed {self.seed}"

    def save(self, folder: Path) -> Path:
        """Write the record into `folder`, whole or not at all; returns the file."""
        path = Path(folder) / self.name
        text = json.dumps(_plain(asdict(self)), separators=(",", ":"), allow_nan=False)
        write_text(path, text + "\n")
        return path

    @classmethod
    def load(cls, path: Path) -> "Record":
        """Read a record; a ValueError that names the file if it is none, or if it holds another one
        than its name says."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            record = cls(**content)
        except (ValueError, TypeError) as error:
            allowed = ", ".join(field.name for field in fields(cls))
            raise ValueError(
                f"{path} must be a JSON object with the fields {allowed}: {error}"
            ) from error
        if record.name != Path(path).name or type(record.seed) is not int:
            raise ValueError(
                f"{path} holds the record of run {record.run!r}, profile {record.profile!r}, "
                f"seed {record.seed!r}: its name must be {record.name}"
            )
        return record

    def is_of(self, kind: str, config: dict[str, Any], device: str) -> bool:
        """Whether this code computes this record in an experiment of this `kind`, from the choices
        `config`, on the `device`: "cpu", "cuda", or "auto" for any."""
        return (
            self.kind == kind
            and _plain(self.config) == _plain(config)
            and self.versions == versions()
            and self.sources == sources_hash()
            and device.partition(":")[0] in ("auto", self.device.partition(":")[0])
        )


def recorded(path: Path, kind: str, config: dict[str, Any], device: str) -> Record | None:
    """The record in the file `path`, if there is the one that its name says, of this kind, of these
    choices and of this code."""
    try:
        record = Record.load(path)
    except (OSError, ValueError):
        return None
    return record if record.is_of(kind, config, device) else None


def record_name(run: str, profile: str, seed: int) -> str:
    """The file name of a record."""
    return f"{run}-{profile}-{seed}.json"


def published(run: str, kind: str) -> Record:
    """The record of `run`, an experiment of this `kind`, that comes with the book: profile paper,
    seed 0.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: naming the file, if it holds something else.
    """
    path = published_folder() / record_name(run, "paper", 0)
    record = Record.load(path)
    if record.kind != kind:
        raise ValueError(f"{path} must be of kind {kind!r}, got {record.kind!r}")
    return record


def published_seeds(run: str, folder: Path | None = None) -> list[Record]:
    """All records of `run` in `folder` (those that come with the book), profile paper, by their
    seeds; none if there are none."""
    start = f"{run}-paper-"
    files = (folder or published_folder()).glob(f"{start}*.json")
    found = [Record.load(file) for file in files if file.stem.removeprefix(start).isdigit()]
    return sorted(found, key=lambda record: record.seed)


def records_folder(root: Path | None = None) -> Path:
    """Where new records go: the folder named by the environment variable LBRS_RECORDS, else
    _build/records of the project (at `root`, or around the current folder)."""
    named = os.environ.get("LBRS_RECORDS")
    return absolute(named) if named else (root or find_project()) / "_build" / "records"


def all_published() -> list[Record]:
    """Every record that comes with the book."""
    return [Record.load(file) for file in sorted(published_folder().glob("*.json"))]


def published_folder() -> Path:
    """Where the records lie that come with the book."""
    return find_project() / "book" / "records"


def accuracy_at(path: dict[str, list[Any]], alpha: object, points: int) -> npt.NDArray[np.float64]:
    """Accuracies at each of `alpha` by a `path` of counts: right[i] of the `points` are right for
    jumps[i - 1] < alpha <= jumps[i]."""
    places = np.searchsorted(path["jumps"], np.asarray(alpha))
    accuracies: npt.NDArray[np.float64] = np.asarray(path["right"])[places] / points
    return accuracies


def shown_alphas(alphas: list[float]) -> tuple[float, ...]:
    """The three values of a grid of alphas that figures and tables show: a small, a middle and a
    large one."""
    low = max(1, len(alphas) // 3)
    high = max(len(alphas) - 2, low + 2)
    return tuple(alphas[place] for place in (low, (low + high + 1) // 2, high))


def reference_counts(curves: list[dict[str, Any]]) -> list[int]:
    """The numbers of reference points of a record's curves, rising."""
    return sorted({curve["N"] for curve in curves if "N" in curve})


def find_curve(curves: list[dict[str, Any]], **key: Any) -> dict[str, Any]:
    """The one entry of a record's curves with the method, N, alpha and sigma of `key`."""
    (found,) = (
        curve for curve in curves if all(curve.get(name) == value for name, value in key.items())
    )
    return found


def versions() -> dict[str, str]:
    """Versions of Python, of lbrs and of the libraries that a result depends on."""
    libraries = ("lbrs", "numpy", "scikit-learn", "torch", "torchvision")
    return {
        "python": platform.python_version(),
        **{library: version(library) for library in libraries},
    }


def find_project(start: Path | None = None) -> Path:
    """The folder of the project: the nearest one at or above `start` (the current folder) with
    `_toc.yml` and `notebooks/runs.yml`.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it has an lbrs of its own, and another one runs here.
    """
    start = Path(start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "_toc.yml").is_file() and (folder / "notebooks" / "runs.yml").is_file():
            check_home(folder)
            return folder
    raise FileNotFoundError(
        f"no companion project at or above {start}: its notebooks do not come with the package; "
        "go to the folder of its sources, which holds _toc.yml and notebooks/runs.yml"
    )


def _plain(value: Any) -> Any:
    """`value` with numbers rounded to six digits after the leading one, tuples as lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return float(f"{value:.6e}") if isinstance(value, float) else value
