"""Ctrl-C, which ends a command in one line."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import typer


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C ends the command with exit status 130 and a word on how to go on.

    Yields a function that says whether Ctrl-C was pressed: Python drops the exception where it
    falls into a finalizer.
    """
    pressed: list[int] = []

    def press(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, press) if main else None
    try:
        yield lambda: bool(pressed)
    except KeyboardInterrupt:
        typer.echo("Interrupted. The same command continues where this one stopped.", err=True)
        raise typer.Exit(130) from None
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
