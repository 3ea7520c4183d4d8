"""The website in its place: one build at a time, and the old site stands until the new one is
whole."""

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lbrs._files import remove_left, workplace
from lbrs.experiments.runs import BookError

SITE = Path("_build/html")
LOCK = Path("_build/.lock")
"""Held by the build at work, whose process it names."""
ASIDE = ".site-"
"""How the name of a folder begins, beside the site, in which one is built."""
HERE, EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux."""


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
        remove_left((root / SITE).parent, f"{ASIDE}*")
        yield


@contextmanager
def workshop(root: Path) -> Iterator[Path]:
    """A place for what is built aside, on the site's file system; nothing is left of it."""
    parent = (root / SITE).parent
    parent.mkdir(parents=True, exist_ok=True)
    with workplace(parent, ASIDE) as folder:
        yield folder


def swap(pages: Path, site: Path) -> None:
    """Put the folder `pages` in the place of `site`, or leave everything as it was: where that is a
    link, what it leads to is replaced.

    Where the system can exchange two folders, there is no moment without a site; else one between
    two renamings, which `mend` ends if the process is killed in it.

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
        if not place.exists():
            os.replace(new, place)
        elif not _exchanged(new, place):
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


def _exchanged(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where the system cannot."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(other))


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
