"""The `lbrs` command: fetch data, run experiments, for many seeds too, and build the website."""

import logging
import sys
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

try:
    import typer
except ModuleNotFoundError as error:
    raise SystemExit(
        f"the command needs {error.name}, as the experiments do: pip install 'lbrs[experiments]'"
    ) from None

from lbrs.website.interrupts import interruptible

if TYPE_CHECKING:
    from lbrs.experiments.plan import Task
    from lbrs.experiments.runs import Run
    from lbrs.experiments.sweep import Result
    from lbrs.website.jobs import Job

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


PROFILE = typer.Option(help="quick: few points, minutes; paper: the full protocol.")
SEED = typer.Option(min=0, help="Seed of every random choice.")
SEEDS = typer.Option(help="Seeds, such as 0-4 or 0,2,5.")
CHOICES = typer.Option(
    "--set",
    metavar="NAME=VALUE,...",
    help="A parameter and its values, as in YAML; may be repeated.",
)
SCHEDULER = typer.Option(
    metavar="ADDRESS", help="A Dask scheduler, such as tcp://HOST:8786; else this machine."
)
FOLDER = typer.Option(help="Where the records go; _build/records by default.")
AGAIN = "as executed last, at first"

Datasets = Annotated[
    list[str] | None,
    typer.Argument(metavar="[DATASET]...", help="mnist, cifar10; all by default."),
]
Runs = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RUN]...", help="Names in notebooks/runs.yml; all by default."),
]
Device = Annotated[str, typer.Option(help="auto takes a GPU if there is one; else cpu or cuda.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes on this machine; one for each core by default."),
]


@app.command()
def fetch(datasets: Datasets = None) -> None:
    """Download the images that are not there yet and check them."""
    from lbrs.experiments import data

    names = _known("data set", datasets, data.DATASETS)
    failed = False
    with interruptible():
        for name in names:
            try:
                typer.echo(f"{name}  {data.fetch(name)}")
            except data.DataError as error:
                failed = True
                typer.echo(f"{name}  failed: {error}", err=True)
    raise typer.Exit(int(failed))


@app.command()
def run(
    runs: Runs = None,
    profile: Annotated[Profile, PROFILE] = Profile.quick,
    seed: Annotated[int, SEED] = 0,
    device: Device = "auto",
    workers: Workers = None,
) -> None:
    """Execute experiments; their pages are built by `lbrs build`."""
    from lbrs.website.jobs import job_of

    root, known = _project()
    asked = [known[name] for name in _known("run", runs, known)]
    jobs = [job_of(root, one, profile.value, seed, device) for one in asked]
    raise typer.Exit(int(not _each(jobs, workers)))


@app.command()
def parameters(
    run: Annotated[str, typer.Argument(help="A name in notebooks/runs.yml.")],
    profile: Annotated[Profile, PROFILE] = Profile.quick,
) -> None:
    """Print what a run is given at a profile, as YAML for `papermill -f`."""
    from lbrs.experiments import plan

    _, known = _project()
    (name,) = _known("run", [run], known)
    try:
        typer.echo(plan.parameters(known[name], profile.value), nl=False)
    except ValueError as error:
        typer.echo(error, err=True)
        raise typer.Exit(2) from None


@app.command()
def sweep(
    runs: Runs = None,
    seeds: Annotated[str, SEEDS] = "0",
    profile: Annotated[Profile, PROFILE] = Profile.quick,
    choices: Annotated[list[str] | None, CHOICES] = None,
    scheduler: Annotated[str | None, SCHEDULER] = None,
    workers: Workers = None,
    folder: Annotated[Path | None, FOLDER] = None,
    device: Device = "auto",
) -> None:
    """Compute records for many seeds and parameters at once."""
    from lbrs._files import absolute
    from lbrs.experiments import plan, records
    from lbrs.experiments import sweep as sweeping

    root, known = _project()
    try:
        if scheduler and workers:
            raise ValueError(
                "--workers is for a cluster on this machine and cannot be given with --scheduler, "
                "which has its own workers"
            )
        asked = [known[name] for name in _known("run", runs, known)]
        chosen = plan.parse_choices(choices or [])
        target = absolute(folder) if folder else records.records_folder(root)
        tasks = plan.plan(asked, profile.value, plan.parse_seeds(seeds), chosen, device)
    except ValueError as error:
        typer.echo(error, err=True)
        raise typer.Exit(2) from None
    results = sweeping.sweep(
        tasks, target, root / "_build/sweep", scheduler=scheduler, workers=workers
    )
    try:
        with interruptible() as interrupted:
            good = _tell(results, tasks, interrupted)
    except sweeping.SweepError as error:
        typer.echo(error, err=True)
        good = False
    raise typer.Exit(int(not good))


def _tell(
    results: "Generator[Result]", tasks: "list[Task]", interrupted: Callable[[], bool]
) -> bool:
    """A line for each task as it ends, under a bar on a terminal, then a summary with what failed
    and why; returns whether none failed."""
    from tqdm import tqdm

    from lbrs.experiments.stages import Screen

    ended: dict[str, list[Result]] = {"kept": [], "computed": [], "failed": []}
    with (
        tqdm(total=len(tasks), unit="task", disable=None, file=Screen(sys.stderr)) as bar,
        closing(results),
    ):
        for result in results:
            ended[result.state].append(result)
            bar.clear()
            typer.echo(f"{result.task.name}  {result.ending}")
            bar.update()
            bar.refresh()
            if interrupted():
                raise KeyboardInterrupt
    kept, computed, failed = map(len, ended.values())
    typer.echo(f"{len(tasks)} tasks: {kept} recorded already, {computed} computed, {failed} failed")
    for result in ended["failed"]:
        typer.echo(f"{result.task.name}  failed: {result.reason}", err=True)
    return not failed


@app.command()
def build(
    profile: Annotated[
        Profile | None, typer.Option(help=f"Of the experiments; {AGAIN} quick.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help=f"Of the experiments; {AGAIN} 0.")] = None,
    workers: Workers = None,
) -> None:
    """Execute what is missing or out of date, then build the website into _build/html."""
    from lbrs.experiments.runs import BookError
    from lbrs.website.site import alone

    root, _ = _project()
    try:
        with alone(root):
            _build(root, profile and profile.value, seed, workers)
    except (BookError, OSError) as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from None


def _build(root: Path, profile: str | None, seed: int | None, workers: int | None) -> None:
    """What `build` does while no other build works."""
    from lbrs.website import build as book
    from lbrs.website import jobs

    if not _each(jobs.stale(root, profile, seed), workers):
        typer.echo("The website was not built.", err=True)
        raise typer.Exit(1)
    with interruptible():
        typer.echo(book.render(root))


def _project() -> "tuple[Path, dict[str, Run]]":
    """The project around the current folder, and its runs; exit status 2 where there is none or its
    list is wrong."""
    from lbrs.experiments.records import find_project
    from lbrs.experiments.runs import load_runs

    try:
        root = find_project()
        return root, load_runs(root)
    except (OSError, ValueError) as error:
        typer.echo(error, err=True)
        raise typer.Exit(2) from None


def _known(kind: str, asked: list[str] | None, known: Iterable[str]) -> list[str]:
    """The names asked for, once each, or all; exit status 2 for an unknown one."""
    names = list(known)
    for name in asked or ():
        if name not in names:
            typer.echo(f"unknown {kind} {name!r}; known are {', '.join(names)}", err=True)
            raise typer.Exit(2)
    return list(dict.fromkeys(asked or names))


def _each(jobs: "list[Job]", workers: int | None) -> bool:
    """Execute all, those after a failed one too, side by side, then tell the end of each in one
    line; returns whether none failed."""
    from lbrs.experiments.runs import BookError
    from lbrs.website.workers import cores, together

    width = max((len(job.name) for job in jobs), default=0)
    attempts = {job.name: partial(_attempt, job) for job in jobs}
    ended: dict[str, tuple[str, bool]] = {}

    def begin(name: str) -> None:
        typer.echo(f"{name} ...", err=True)

    try:
        with interruptible():
            for name, end in together(attempts, workers or cores(), begin):
                ended[name] = end
    except BookError as error:
        typer.echo(error, err=True)
    finally:
        for name in attempts:
            if name in ended:
                typer.echo(f"{name:{width}}  {ended[name][0]}")
    return len(ended) == len(jobs) and all(good for _, good in ended.values())


def _attempt(job: "Job") -> tuple[str, bool]:
    """Execute a job: how it ended, and whether well."""
    from lbrs.experiments.runs import reason
    from lbrs.website import notebooks

    start = time.perf_counter()
    try:
        ending = notebooks.perform(job)
    except KeyboardInterrupt:
        # Else the abandoned cell reports itself at exit.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        raise
    except Exception as error:
        typer.echo(error, err=True)
        return f"failed: {reason(error)}", False
    if ending is not None and not ending.rerun:
        return f"taken from the published record: {' '.join(ending.reason.split())}", True
    done = "executed" if ending is None else "re-run"
    return f"{done} in {time.perf_counter() - start:.0f} s", True
