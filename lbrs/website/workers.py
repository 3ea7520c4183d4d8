"""Jobs side by side, in processes of their own."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from types import FrameType
from typing import TypeVar

from lbrs.experiments.runs import BookError

Value = TypeVar("Value")


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def together(
    jobs: Mapping[str, Callable[[], Value]], workers: int, begin: Callable[[str], None]
) -> Iterator[tuple[str, Value]]:
    """What each of the jobs returns, as they end, at most `workers` of them at a time; `begin` is
    told the name of each as it begins.

    One worker is this very process. Several are given their jobs one by one, so that nothing begins
    after Ctrl-C, which is passed on to them; they end what they do, with all they started.

    Raises:
        BookError: if a worker was killed.
    """
    if min(workers, len(jobs)) <= 1:
        for name, job in jobs.items():
            begin(name)
            yield name, job()
        return
    waiting = deque(jobs.items())
    begun: dict[Future[Value], str] = {}
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin)
    with pool:
        try:
            while waiting or begun:
                while waiting and len(begun) < workers:
                    name, job = waiting.popleft()
                    begin(name)
                    begun[pool.submit(_heed, job)] = name
                for future in wait(begun, return_when=FIRST_COMPLETED).done:
                    value = future.result()
                    yield begun.pop(future), value
        except BrokenProcessPool as error:
            names = ", ".join(sorted(begun.values()))
            raise BookError(
                f"a process was killed, during {names}; was there enough memory?"
            ) from error
        except BaseException:
            for child in active_children():
                os.kill(child.pid or 0, signal.SIGINT)
            raise


def _begin() -> None:
    """How a worker begins: it ends with the command, were that killed."""
    _deaf()
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    """End this worker as soon as the command is gone; its kernel sees that and ends too."""
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _deaf() -> None:
    """A worker that does nothing is not for Ctrl-C: the command ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _heed(job: Callable[[], Value]) -> Value:
    """Do a job; Ctrl-C ends it, once."""
    signal.signal(signal.SIGINT, _stop)
    try:
        return job()
    finally:
        _deaf()


def _stop(number: int, frame: FrameType | None) -> None:
    _deaf()
    raise KeyboardInterrupt
