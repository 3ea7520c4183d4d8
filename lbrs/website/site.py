"""The website in its place: one build at a time, and the old site stands until the new one is
whole."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lbrs.experiments.runs import BookError

SITE = Path("_build/html")
LOCK = Path("_build/.lock")
"""Held by the build at work, whose process it names."""


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """No other build of the project at `root` works meanwhile; what a killed one left is mended
    first.

    Raises:
        BookError: where one does, with its process.
    """
    (root / LOCK).parent.mkdir(parents=True, exist_ok=True)
    with (root / LOCK).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise BookError(
                f"another build is at work in {root} (process {file.read().strip()}): "
                "wait for its end, or end it"
            ) from error
        file.truncate(0)
        print(os.getpid(), file=file, flush=True)
        mend(root / SITE)
        yield


@contextmanager
def workshop(folder: Path) -> Iterator[Path]:
    """A place for what is built aside; nothing is left of it."""
    if folder.exists():
        shutil.rmtree(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def swap(pages: Path, site: Path) -> None:
    """Put the folder `pages` in the place of `site`, or leave everything as it was: where that is a
    link, what it leads to is replaced.

    Raises:
        BookError: for a `site` that is no folder, or in which not everything can be deleted.
        OSError: if a folder cannot be moved.
    """
    place = Path(os.path.realpath(site))
    mend(site)
    _check_own(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    new, old = _beside(place)
    try:
        shutil.move(pages, new)
        if place.exists():
            os.replace(place, old)
        os.replace(new, place)
    finally:
        mend(site)


def mend(site: Path) -> None:
    """End a swap that was broken off, wherever it was: the old site goes back to its place unless
    the new one is there, and the other one of them is deleted."""
    place = Path(os.path.realpath(site))
    new, old = _beside(place)
    if old.exists() and not place.exists():
        os.replace(old, place)
    for rest in (new, old):
        try:
            if rest.exists():
                shutil.rmtree(rest)
        except OSError as error:
            raise BookError(f"{rest} is left of a build and cannot be deleted: {error}") from error


def _beside(place: Path) -> tuple[Path, Path]:
    """Where the new site waits, and where the old one goes: beside it, in the same file system."""
    return place.with_name(f".{place.name}-new"), place.with_name(f".{place.name}-old")


def _check_own(place: Path) -> None:
    """Refuse a site of which a part could not be deleted, while it is whole."""
    if place.exists() and not place.is_dir():
        raise BookError(f"{place} is not a folder: move it away")
    for folder, _, _ in os.walk(place):
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise BookError(
                f"the website in {place} was not replaced: {folder} may not be changed by this "
                "user; move it away, or have it given to you"
            )
