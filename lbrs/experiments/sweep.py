"""Many runs, seeds and parameters at once, as tasks of a Dask cluster, each with its own record."""

import os
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lbrs._files import write_text
from lbrs.experiments.plan import Task
from lbrs.experiments.records import Record, record_name, recorded, versions
from lbrs.experiments.runs import first_line, plain_environment, replaced_environment
from lbrs.experiments.sources import HOME, sources_hash
from lbrs.experiments.table import kind_of

if TYPE_CHECKING:
    from distributed import Client, Future, as_completed

ENVIRONMENT = {"LBRS_PROGRESS": "/dev/null"}
"""What the workers of a local cluster are given beside the environment of all that computes: no
progress bars over that of the command."""


PATIENCE = 6.0
"""Seconds that workers are waited for."""

INSTALL = "install there what the command uses"
ORIGIN = "__import__('lbrs.experiments.sweep', fromlist=['origin']).origin()"
"""What a worker is asked, without anything of lbrs in the question."""


class SweepError(RuntimeError):
    """The cluster cannot be had, or a worker must not be used; the text says why."""


@dataclass(frozen=True)
class Result:
    """How a task ended: `state` is "kept" (recorded before), "computed" or "failed", with the
    `reason`; `seconds` of computation."""

    task: Task
    state: str
    reason: str = ""
    seconds: float = 0.0

    @property
    def ending(self) -> str:
        """How the task ended, in words."""
        if self.state == "computed":
            return f"computed in {self.seconds:.0f} s"
        return {"kept": "recorded already", "failed": "failed"}[self.state]


def origin() -> dict[str, str]:
    """What a record depends on beside its choices, the versions of the libraries and a hash of the
    code, and where that code lies."""
    return versions() | {"sources": sources_hash()[:16], "place": str(HOME)}


def _differences(found: dict[str, str], expected: dict[str, str]) -> str:
    """In what the `found` origin differs from the `expected` one; where the code lies is said, but
    may differ."""

    def told(name: str, of: dict[str, str]) -> str:
        return f"{of.get(name)} (of {of.get('place')})" if name == "sources" else f"{of.get(name)}"

    return ", ".join(
        f"{name} {told(name, found)} instead of {told(name, expected)}"
        for name in sorted({*found, *expected} - {"place"})
        if found.get(name) != expected.get(name)
    )


def is_recorded(task: Task, folder: Path) -> bool:
    """Whether `folder` holds the record of `task`: by the same choices, versions and code."""
    path = Path(folder) / f"{task.name}.json"
    kind, config = kind_of(task.config), asdict(task.config)
    return recorded(path, kind, config, task.device) is not None


def compute(task: Task, expected: dict[str, str], scratch: str) -> Record:
    """What a worker does: the record of `task`, as `lbrs run` computes it.

    Finished stages are kept below `scratch`, where the worker may write there, else below its
    temporary folder, until the task is done: a task that was stopped continues there.

    Raises:
        SweepError: if this worker's versions or code are not the `expected` ones.
    """
    from lbrs.experiments import running

    if different := _differences(origin(), expected):
        raise SweepError(f"the worker has {different}: {INSTALL}")
    place = Path(scratch)
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        place = Path(tempfile.gettempdir()) / f"lbrs-sweep-{os.getuid()}"
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
    return record


def sweep(
    tasks: Iterable[Task],
    folder: Path,
    scratch: Path,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
) -> Generator[Result]:
    """Compute the `tasks` that `folder` holds no record of, and write their records there; yields
    how each ended, as it ends.

    Workers send their records here, so that they need no common file system. A task whose worker
    dies is given to another one, as often as the scheduler's `allowed-failures` says; one that
    raises an error has failed, and the others go on. Whatever stops the sweep, the same call
    continues it.

    Parameters:
        tasks: see `plan`.
        folder: where the records go.
        scratch: a folder for the stages of unfinished tasks.
        scheduler: the address of a Dask scheduler; else a cluster on this machine.
        workers: its number of processes, one for each core by default.

    Raises:
        SweepError: if Dask is not installed, the scheduler does not answer or has no worker, or a
            worker has another lbrs.

    Example::

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
        if scheduler:
            _check_workers(client, expected)
        futures = {client.submit(compute, task, expected, place, pure=False): task for task in todo}
        ended = as_completed(list(futures), loop=client.loop)
        for future in _watched(ended, client) if scheduler else ended:
            yield _finish(future, futures.pop(future), Path(folder), Path(scratch))


def _await_worker(client: "Client") -> None:
    """Return as soon as there is a worker; a SweepError if none comes soon."""
    address = client.scheduler_info()["address"]
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        raise SweepError(
            f"the scheduler at {address} has no worker: start some, where this lbrs is installed, "
            f"with `dask worker {address}`"
        ) from error


def _check_workers(client: "Client", expected: dict[str, str]) -> None:
    """Refuse workers without lbrs, and those of another origin, before they are given work; one
    that is too busy to answer says so itself with its first task."""
    _await_worker(client)
    try:
        answers = client.run(eval, ORIGIN, on_error="return", callback_timeout=PATIENCE)
    except TimeoutError:
        return
    for worker, found in answers.items():
        why = (
            _differences(found, expected)
            if isinstance(found, dict)
            else (f"no lbrs that runs: {type(found).__name__}: {first_line(str(found))}")
        )
        if why:
            raise SweepError(f"the worker at {worker} has {why}: {INSTALL}")


def _watched(ended: "as_completed", client: "Client") -> "Iterator[Future[Record]]":
    """The futures as they end; a SweepError if all workers are gone meanwhile."""
    looked = time.monotonic()
    while not ended.is_empty():
        if ended.has_ready():
            yield next(ended)
        elif time.monotonic() - looked < PATIENCE / 2:
            time.sleep(0.05)
        else:
            _await_worker(client)
            looked = time.monotonic()


def _finish(future: "Future[Record]", task: Task, folder: Path, scratch: Path) -> Result:
    """Write the record of a finished task, or say why there is none; an error that lbrs does not
    explain itself is kept whole."""
    from distributed import KilledWorker

    try:
        record: Record = future.result()
        _check(record, task)
        record.save((folder / f"{task.name}.json").parent)
    except KilledWorker as error:
        times = error.allowed_failures + 1
        reason = f"its worker died, {times} times; was there enough memory?"
        return Result(task, "failed", reason)
    except Exception as error:  # whatever one task raises, the others go on
        return Result(task, "failed", _reason(error, scratch / f"{task.name}.log"))
    return Result(task, "computed", seconds=record.wall_time)


def _check(record: Record, task: Task) -> None:
    """Refuse a record that is not the task's, or was not computed by this code."""
    asked = record_name(task.run, task.profile, task.seed)
    if record.name != asked or not record.is_of(kind_of(task.config), asdict(task.config), "auto"):
        raise SweepError(
            f"its worker sent {record.name} by sources {record.sources[:16]}, "
            f"asked for was {asked} by sources {sources_hash()[:16]}"
        )


def _reason(error: Exception, log: Path) -> str:
    """Why a task failed, in a line; the whole error goes into `log` unless lbrs raised it."""
    text = first_line(str(error)) or "no reason given"
    if type(error).__module__.startswith("lbrs."):
        return text
    write_text(log, "".join(traceback.format_exception(error)))
    return f"{type(error).__name__}: {text} (the whole error is in {log})"


def dask_setup(worker: object) -> None:
    """Called by Dask as a worker of the local cluster starts: Ctrl-C is for the command alone,
    which then ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _client(scheduler: str | None, workers: int | None, tasks: int) -> "Iterator[Client]":
    """A client of the scheduler at that address, or of a cluster of its own, which ends with it."""
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise SweepError(
            f"a sweep needs Dask, and {error.name} is not installed: pip install 'lbrs[cluster]'"
        ) from error
    with ExitStack() as stack:
        if scheduler is None:
            scheduler = stack.enter_context(_cluster(workers, tasks))
        try:
            client = stack.enter_context(Client(scheduler, timeout="30s", set_as_default=False))
        except (OSError, ValueError) as error:
            why = first_line(str(error)) or type(error).__name__
            raise SweepError(f"no Dask scheduler can be reached at {scheduler}: {why}") from error
        yield client


@contextmanager
def _cluster(workers: int | None, tasks: int) -> Iterator[str]:
    """The address of a cluster of processes on this machine, at most one for each of the tasks."""
    import dask
    from dask.system import CPU_COUNT
    from distributed import LocalCluster

    settings = {
        "distributed.scheduler.worker-ttl": None,
        "distributed.comm.timeouts.connect": "120s",
    }
    with (
        replaced_environment(plain_environment() | ENVIRONMENT),
        dask.config.set(settings),
        LocalCluster(
            n_workers=min(workers or CPU_COUNT, tasks),
            threads_per_worker=1,
            processes=True,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
            preload=["lbrs.experiments.sweep"],
            silence_logs="CRITICAL",
        ) as cluster,
    ):
        yield cluster.scheduler_address
