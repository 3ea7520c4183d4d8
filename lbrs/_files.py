"""Files: where they lie, how they are downloaded, and writing them whole or not at all."""

import fcntl
import glob
import io
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
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
    remove_left(parent, f"{glob.escape(prefix)}*")
    with ExitStack() as stack:
        yield _claimed(stack, parent, prefix)


def _claimed(stack: ExitStack, parent: Path, prefix: str) -> Path:
    """A new folder with its lock, until the `stack` ends; made again if another process took it for
    one that a killed process left."""
    while True:
        made = tempfile.TemporaryDirectory(dir=parent, prefix=prefix, ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(made))
        with suppress(FileNotFoundError):
            stack.enter_context(_opened(folder, fcntl.LOCK_EX))
        if folder.exists():
            return folder


def remove_left(folder: Path, names: str) -> None:
    """Remove from `folder` what killed processes left there, of the files and folders with these
    `names`: their locks can be had."""
    found: list[Path] = []
    with suppress(OSError):
        found.extend(folder.glob(names))
    for rest in found:
        with suppress(OSError), _opened(rest) as locked:
            if locked:
                shutil.rmtree(rest) if rest.is_dir() else rest.unlink()


@contextmanager
def _opened(path: Path, how: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> Iterator[bool]:
    """Whether the lock of a file or folder could be had, meanwhile; some file systems have none."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, how)
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
    half-written, and what a killed process left of it is removed."""
    try:
        _write_file(path, write)
    except FileNotFoundError:  # another process removed the folder, or the file before its lock
        _write_file(path, write)


def _write_file(path: Path, write: Callable[[Any], Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left(path.parent, f".{glob.escape(path.name)}-????????")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file, _opened(Path(temporary), fcntl.LOCK_EX):
            write(file)
            file.flush()
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
