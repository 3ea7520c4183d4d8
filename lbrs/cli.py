"""The `lbrs` command: fetch the data, run the experiments, once or for many seeds, and build the website."""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Locally biased randomized smoothing: data, experiments, website.",
)


class Profile(StrEnum):
    """How much an experiment computes: every line on few points, or the paper's protocol."""

    quick = "quick"
    paper = "paper"


@app.command()
def fetch(
    datasets: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DATASET]...", help="mnist, cifar10; all by default."),
    ] = None,
) -> None:
    """Download the images that are not there yet and check them."""
    from lbrs.experiments import data

    names = _known("data set", datasets, data.DATASETS)
    failed = False
    with _interruptible():
        for name in names:
            try:
                typer.echo(f"{name}  {data.fetch(name)}")
            except data.DataError as error:
                failed = True
                typer.echo(f"{name}  failed: {error}", err=True)
    raise typer.Exit(int(failed))


@app.command()
def run(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Names in notebooks/runs.yml; all by default."),
    ] = None,
    profile: Annotated[
        Profile, typer.Option(help="quick: few points, minutes; paper: the full protocol.")
    ] = Profile.quick,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    device: Annotated[
        str, typer.Option(help="auto takes a GPU if there is one; else cpu or cuda.")
    ] = "auto",
) -> None:
    """Execute experiments; their pages are built by `lbrs build`."""
    from lbrs.website import build as book

    root, known = _project()
    jobs = [
        (name, partial(book.execute, root, known[name], profile.value, seed, device))
        for name in _known("run", runs, tuple(known))
    ]
    raise typer.Exit(int(not _each(jobs)))


@app.command()
def sweep(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Names in notebooks/runs.yml; all by default."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, such as 0-4 or 0,2,5.")] = "0",
    profile: Annotated[
        Profile, typer.Option(help="quick: few points, minutes; paper: the full protocol.")
    ] = Profile.quick,
    choices: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE,...",
            help="A parameter and its values, as in YAML; may be repeated.",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="A Dask scheduler, such as tcp://HOST:8786; else this machine."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes on this machine; one for each core by default."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the records go; _build/records by default.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto takes a GPU if there is one; else cpu or cuda.")
    ] = "auto",
) -> None:
    """Compute records for many seeds and parameters at once."""
    from lbrs.experiments import plan as planned
    from lbrs.experiments import sweep as sweeping

    root, known = _project()
    try:
        if scheduler and workers:
            raise ValueError(
                "--workers is for a cluster on this machine and cannot be given with --scheduler, which has its own workers"
            )
        asked = [known[name] for name in _known("run", runs, tuple(known))]
        tasks = planned.plan(
            asked,
            profile.value,
            planned.parse_seeds(seeds),
            planned.parse_choices(choices or []),
            device,
        )
    except ValueError as error:
        typer.echo(error, err=True)
        raise typer.Exit(2) from None
    results = sweeping.sweep(
        tasks,
        folder or root / "_build/records",
        root / "_build/sweep",
        scheduler=scheduler,
        workers=workers,
    )
    try:
        with _interruptible() as interrupted:
            good = _tell(results, len(tasks), interrupted)
    except sweeping.SweepError as error:
        typer.echo(error, err=True)
        good = False
    raise typer.Exit(int(not good))


def _tell(results: Iterator[Any], count: int, interrupted: Callable[[], bool]) -> bool:
    """A line for each task as it ends, under a bar on a terminal, then a summary with what failed and why; returns whether none failed."""
    from tqdm import tqdm

    ended: dict[str, list] = {"kept": [], "computed": [], "failed": []}
    with tqdm(total=count, unit="task", disable=None, file=sys.stderr) as bar, closing(results):
        for result in results:
            ended[result.state].append(result)
            line = {
                "kept": "recorded already",
                "computed": f"computed in {result.seconds:.0f} s",
                "failed": "failed",
            }[result.state]
            bar.write(f"{result.task.name}  {line}", file=sys.stdout)
            bar.update()
            if interrupted():
                raise KeyboardInterrupt
    typer.echo(
        f"{count} tasks: {len(ended['kept'])} recorded already, {len(ended['computed'])} computed, {len(ended['failed'])} failed"
    )
    for result in ended["failed"]:
        typer.echo(f"{result.task.name}  failed: {result.reason}", err=True)
    return not ended["failed"]


@app.command()
def build() -> None:
    """Execute what is missing or out of date, then build the website into _build/html."""
    from lbrs.website import build as book

    root, _ = _project()
    if not _each([(job.name, partial(book.perform, job)) for job in book.stale(root)]):
        typer.echo("The website was not built.", err=True)
        raise typer.Exit(1)
    with _interruptible():
        try:
            typer.echo(book.render(root))
        except book.BookError as error:
            typer.echo(error, err=True)
            raise typer.Exit(1) from None


def _project() -> tuple[Path, dict[str, Any]]:
    """The project around the current folder, and its runs; exit status 2 where there is none or its list is wrong."""
    from lbrs.experiments.records import find_project
    from lbrs.experiments.runs import load_runs

    try:
        root = find_project()
        return root, load_runs(root)
    except (FileNotFoundError, ValueError) as error:
        typer.echo(error, err=True)
        raise typer.Exit(2) from None


def _known(kind: str, asked: list[str] | None, known: tuple[str, ...]) -> list[str]:
    """The names asked for, once each, or all; exit status 2 for an unknown one."""
    for name in asked or ():
        if name not in known:
            typer.echo(f"unknown {kind} {name!r}; known are {', '.join(known)}", err=True)
            raise typer.Exit(2)
    return list(dict.fromkeys(asked or known))


def _each(jobs: list[tuple[str, Callable[[], Any]]]) -> bool:
    """Do all jobs, those after a failed one too, then tell the end of each in one line; returns whether none failed."""
    width = max((len(name) for name, _ in jobs), default=0)
    lines, good = [], True
    try:
        with _interruptible():
            for name, job in jobs:
                typer.echo(f"{name} ...", err=True)
                line, well = _attempt(job)
                lines.append(f"{name:{width}}  {line}")
                good &= well
    finally:
        for line in lines:
            typer.echo(line)
    return good


def _attempt(job: Callable[[], Any]) -> tuple[str, bool]:
    start = time.perf_counter()
    try:
        ending = job()
    except Exception as error:
        typer.echo(error, err=True)
        return f"failed: {(str(error).strip() or type(error).__name__).splitlines()[-1]}", False
    if ending is not None and not ending.rerun:
        return f"taken from the published record: {' '.join(ending.reason.split())}", True
    return (
        f"{'executed' if ending is None else 're-run'} in {time.perf_counter() - start:.0f} s",
        True,
    )


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C ends the command with exit status 130 and a word on how to go on.

    Yields a function that says whether Ctrl-C was pressed: Python drops the exception where it falls into a finalizer.
    """
    pressed: list[int] = []

    def press(number: int, frame: Any) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    before = (
        signal.signal(signal.SIGINT, press)
        if threading.current_thread() is threading.main_thread()
        else None
    )
    try:
        yield lambda: bool(pressed)
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(
            logging.CRITICAL
        )  # else the abandoned cell reports itself at exit
        typer.echo("Interrupted. The same command continues where this one stopped.", err=True)
        raise typer.Exit(130) from None
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
