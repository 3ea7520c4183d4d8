"""Files: where they lie, how they are downloaded, and writing them whole or not at all."""

import fcntl
import io
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any


def absolute(path: str | Path) -> Path:
    """`path` seen from the current folder, ~ and ~user being homes; a ValueError for the home of
    nobody."""
    try:
        return Path(path).expanduser().absolute()
    except (RuntimeError, OSError) as error:
        raise ValueError(f"the folder {path} cannot be found: {error}") from error


def data_folder() -> Path:
    """Where the images lie: the folder named by the environment variable LBRS_DATA, else a cache
    folder of the user's; a ValueError where there is no such folder."""
    named = os.environ.get("LBRS_DATA")
    if named:
        return absolute(named)
    if sys.platform == "darwin":
        return absolute("~/Library/Caches/lbrs")
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return Path(cache, "lbrs") if os.path.isabs(cache) else absolute("~/.cache/lbrs")


def named_folders() -> dict[str, str]:
    """The variables that name a user's folders, so that they mean the same in every process,
    wherever it works; one that cannot be found stays as it is, for whoever needs it to say so."""
    found = {}
    with suppress(ValueError):
        found["LBRS_DATA"] = str(data_folder())
    if named := os.environ.get("LBRS_RECORDS"):
        with suppress(ValueError):
            found["LBRS_RECORDS"] = str(absolute(named))
    return found


@contextmanager
def workplace(parent: Path, prefix: str) -> Iterator[Path]:
    """A temporary folder in `parent`, locked while it is used; those whose process was killed are
    removed first."""
    for rest in parent.glob(f"{prefix}*"):
        with suppress(OSError), _opened(rest) as locked:
            if locked:
                shutil.rmtree(rest)
    with tempfile.TemporaryDirectory(dir=parent, prefix=prefix) as name, _opened(Path(name)):
        yield Path(name)


@contextmanager
def _opened(folder: Path) -> Iterator[bool]:
    """Whether the lock of `folder` could be had, meanwhile; some file systems have none."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locked = True
    except OSError:
        locked = False
    try:
        yield locked
    finally:
        os.close(handle)


@contextmanager
def quiet_download(timeout: float = 30.0) -> Iterator[None]:
    """Without progress on the terminal, and with a limit on how long a silent connection is waited
    for."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(before)


def write_text(path: Path, text: str) -> None:
    """Write `text` to a temporary file beside `path`, then rename it."""
    write_file(path, lambda file: file.write(text.encode()))


def write_file(path: Path, write: Callable[[Any], Any]) -> None:
    """Let `write` fill a temporary binary file beside `path`, then rename it; `path` is never
    half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
