"""The stages of a computation, each kept until the record is written, and what they run on."""

import glob
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, TypeVar

import torch
from torch import Tensor

from lbrs._files import write_file
from lbrs.experiments.records import versions
from lbrs.experiments.sources import sources_hash
from lbrs.paths import Steps

Results = dict[str, Any]
"""What a stage or an experiment found: plain data, as a record keeps it."""

Value = TypeVar("Value")


def pick_device(device: str) -> torch.device:
    """The torch device for "auto", "cpu", "cuda", "cuda:1", ...; a ValueError for one that is not
    there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cpu" or (
        isinstance(device, str) and device.startswith("cuda") and torch.cuda.is_available()
    ):
        return torch.device(device)
    raise ValueError(f"device must be 'auto', 'cpu' or, where there is one, 'cuda', got {device!r}")


class Screen:
    """A terminal to draw on, or none: what it does not take is not shown, and nothing fails."""

    def __init__(self, file: TextIO | None) -> None:
        self.file = file

    def write(self, text: str) -> int:
        """Show `text` if that is possible."""
        if self.file:
            with suppress(OSError, ValueError):
                self.file.write(text)
        return len(text)

    def flush(self) -> None:
        """Show at once what was written."""
        if self.file:
            with suppress(OSError, ValueError):
                self.file.flush()

    def isatty(self) -> bool:
        """Whether somebody looks on."""
        with suppress(ValueError):
            return self.file is not None and self.file.isatty()
        return False

    def fileno(self) -> int:
        """By which the width of the terminal is asked for; an OSError where there is none."""
        if self.file is None:
            raise OSError("no terminal")
        return self.file.fileno()

    @property
    def encoding(self) -> str:
        """In which the terminal takes its letters."""
        return getattr(self.file, "encoding", None) or "ascii"


@contextmanager
def _opened(terminal: str) -> Iterator[TextIO | None]:
    """The terminal, which is neither made nor waited for; None where it cannot be had."""
    try:
        handle = os.open(terminal, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except (OSError, ValueError):
        yield None
        return
    file = os.fdopen(handle, "w")
    try:
        yield file
    finally:
        with suppress(OSError):
            file.close()


def _read(path: Path) -> dict[str, Any] | None:
    """A stage as it was kept; None where it was not, or not whole."""
    try:
        kept = torch.load(path, weights_only=True)
        return {"value": kept["value"], "seconds": float(kept["seconds"])}
    except Exception:  # of a torn file, anything
        return None


class Stages:
    """The stages of one computation, each kept in a file until `clear`, so that a stopped run
    continues.

    `key` is plain data that together with the code and the versions says what is computed; `title`
    that of the bar and of the folder.
    """

    def __init__(self, folder: Path, key: list[object], title: str = "") -> None:
        content = json.dumps([key, versions(), sources_hash()], sort_keys=True)
        self.folder = Path(folder) / f"{title}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        self.title = title
        self._seconds: dict[str, float] = {}

    def __call__(self, name: str, compute: Callable[[], Value]) -> Value:
        """The value of stage `name`: read if it was finished before, else computed and kept.

        A file that is not whole is computed again."""
        path = self.folder / f"{name}.pt"
        kept = _read(path)
        if kept is None:
            start = time.perf_counter()
            value = compute()
            kept = {"value": value, "seconds": time.perf_counter() - start}
            write_file(path, lambda file: torch.save(kept, file))
        self._seconds[name] = kept["seconds"]
        found: Value = kept["value"]
        return found

    def each(self, jobs: Mapping[str, Callable[[], Value]]) -> dict[str, Value]:
        """The values of several stages by their names, under a progress bar."""
        return {name: self(name, jobs[name]) for name in self.progress(jobs)}

    @property
    def seconds(self) -> float:
        """Seconds of computation of all stages so far, in all attempts; a stage that is computed
        within another one counts twice."""
        return sum(self._seconds.values())

    def progress(self, items: Iterable[Value]) -> Iterator[Value]:
        """`items` under a progress bar: on the terminal named by LBRS_PROGRESS, else on standard
        error if that is a terminal."""
        from tqdm import tqdm

        terminal = os.environ.get("LBRS_PROGRESS")
        with ExitStack() as stack:
            file = stack.enter_context(_opened(terminal)) if terminal else sys.stderr
            shown = False if terminal else None
            yield from tqdm(items, desc=self.title, file=Screen(file), disable=shown)

    def drop(self) -> None:
        """Forget these stages."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear(self) -> None:
        """Forget these stages, and those that other code or other choices left under the same
        title."""
        for folder in self.folder.parent.glob(f"{glob.escape(self.title)}-{'?' * 16}"):
            shutil.rmtree(folder, ignore_errors=True)


def generator(device: torch.device | str, *names: object) -> torch.Generator:
    """A random generator of its own for each purpose, so that no stage depends on what ran before
    it."""
    content = hashlib.sha256(json.dumps(names).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(content[:7], "big"))


def accuracy(prediction: Tensor, y: Tensor) -> float:
    """The share of `prediction` (n,) equal to `y` (n,)."""
    return (prediction.cpu() == y.cpu()).double().mean().item()


def counted(path: Steps, points: int) -> dict[str, list[Any]]:
    """A path of accuracies as a record keeps it: where it jumps, and how many of the `points` are
    right before each jump and after the last."""
    right = (path.values * points).round().int()
    return {"jumps": path.jumps.tolist(), "right": right.tolist()}


def columns(entries: list[Results]) -> dict[str, list[Any]]:
    """Entries with the same names as one list for each name."""
    return {name: [entry[name] for entry in entries] for name in entries[0]}


def linspace(top: float, points: int) -> list[float]:
    """Equidistant values from 0 to `top`."""
    values: list[float] = torch.linspace(0, top, points, dtype=torch.float64).tolist()
    return values
