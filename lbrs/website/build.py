"""From text notebooks to the website: papermill executes them, the stage collects them, Jupyter Book renders the stage."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lbrs._files import write_text
from lbrs.experiments.records import PROFILES, sources_hash
from lbrs.experiments.runs import BookError, Ending, Run, check_parameters, load_runs, outcome_of

STAGE = Path("_build/source")
LOGS = Path("_build/logs")
TIMEOUT = {"quick": 1_800, "paper": 21_600}
"""Most seconds that one cell may take at a profile; chapters count as quick."""


@dataclass(frozen=True)
class Job:
    """One text notebook to execute: where it lies, where the executed one goes, what it is given (nothing: a chapter), and a title
    in place of its first heading."""

    name: str
    root: Path
    source: Path
    target: Path
    parameters: dict[str, Any]
    title: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """A hash of what the executed notebook depends on: its text, its parameters, `lbrs` and the published records."""
        digest = hashlib.sha256(
            json.dumps([self.parameters, self.title, sources_hash()], sort_keys=True).encode()
        )
        for path in (self.source, *sorted((self.root / "book").rglob("*.json"))):
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    @property
    def timeout(self) -> int:
        """Most seconds that one cell may take."""
        return TIMEOUT[self.parameters.get("profile", "quick")]


def job_of(root: Path, run: Run, profile: str, seed: int, device: str) -> Job:
    """The execution of `run` at `profile` with `seed` on `device`; ValueError for an unknown profile."""
    target = root / STAGE / f"notebooks/{run.name}.ipynb"
    return Job(
        run.name,
        root,
        root / "notebooks" / run.source,
        target,
        run.given(profile, seed, device),
        run.title,
    )


def chapters(root: Path) -> list[Job]:
    """The pages below book/ that are text notebooks: those whose front matter names a kernel."""
    pages = [
        page.relative_to(root).with_suffix("").as_posix()
        for page in sorted((root / "book").rglob("*.md"))
        if _is_notebook(page)
    ]
    return [
        Job(page, root, root / f"{page}.md", root / STAGE / f"{page}.ipynb", {}) for page in pages
    ]


def _is_notebook(page: Path) -> bool:
    front = re.match(r"---\n(.*?)\n---\s", page.read_text(encoding="utf-8"), re.DOTALL)
    return front is not None and re.search(r"^kernelspec:", front[1], re.MULTILINE) is not None


def stale(root: Path) -> list[Job]:
    """The jobs whose executed notebook is missing, differs in what it depends on, or had to show the published record.

    A run is asked for again as it was executed last; at profile quick with seed 0 if it never was.
    """
    jobs = []
    for run in load_runs(root).values():
        last = _staged(root / STAGE / f"notebooks/{run.name}.ipynb")
        profile = last["profile"] if last.get("profile") in PROFILES else "quick"
        job = job_of(root, run, profile, last.get("seed", 0), last.get("device", "auto"))
        if not last.get("rerun") or last.get("fingerprint") != job.fingerprint:
            jobs.append(job)
    return jobs + [
        job for job in chapters(root) if _staged(job.target).get("fingerprint") != job.fingerprint
    ]


def _staged(target: Path) -> dict[str, Any]:
    """What the staged notebook says of itself; nothing where there is none that can be read."""
    try:
        notebook = json.loads(target.read_text(encoding="utf-8"))
        told = dict(notebook["metadata"]["lbrs"])
        return told | {"rerun": outcome_of(notebook).rerun} if "run" in told else told
    except (OSError, ValueError, KeyError, TypeError, BookError):
        return {}


def execute(root: Path, run: Run, profile: str, seed: int, device: str) -> Ending:
    """Execute `run` and stage the result at _build/source/notebooks/<run>.ipynb, whole or, after a failure, not at all.

    Two executions of deterministic cells give the same bytes. Raises ValueError for parameters that do not fit the
    notebook, BookError for a cell that fails or takes too long and for a notebook that does not tell its outcome.
    """
    return perform(job_of(root, run, profile, seed, device))


def perform(job: Job) -> Ending | None:
    """Execute one job and stage it, as `execute` does; None for a chapter, which has no outcome."""
    import jupytext
    import nbformat

    notebook, source = jupytext.read(job.source, fmt="md:myst"), job.source.relative_to(job.root)
    if job.title:
        notebook.cells[0].source = re.sub(
            r"\A#[^\n]*", lambda _: f"# {job.title}", notebook.cells[0].source
        )
    if job.parameters:
        check_parameters(str(source), notebook.cells, job.parameters)
    told = {
        key: job.parameters[key] for key in ("run", "profile", "seed", "device") if job.parameters
    } | {"fingerprint": job.fingerprint}
    notebook = _papermill(job, notebook)
    outcome = outcome_of(notebook) if job.parameters else None
    if outcome is not None and outcome.run != job.name:
        raise BookError(
            f"{source} tells the outcome of run {outcome.run!r}, but it was executed as {job.name!r}"
        )
    _clean(notebook)
    kept = {
        key: notebook.metadata[key]
        for key in ("kernelspec", "language_info")
        if key in notebook.metadata
    }
    notebook.metadata = nbformat.from_dict(kept | {"lbrs": told})
    write_text(job.target, nbformat.writes(notebook) + "\n")
    return outcome


def _papermill(job: Job, notebook):
    import papermill

    try:
        with _kernel_environment():
            return papermill.execute_notebook(
                notebook,
                None,
                parameters=job.parameters,
                kernel_name="python3",
                cwd=job.root,
                progress_bar=False,
                execution_timeout=job.timeout,
                coalesce_streams=True,
                record_timing=False,
            )
    except Exception as error:
        raise _failure(job, error) from error


def _failure(job: Job, error: Exception) -> BookError:
    """What failed, where the whole error is, and, in the last line, why."""
    log = LOGS / f"{job.name.replace('/', '-')}.log"
    write_text(
        job.root / log, re.sub(r"\x1b\[[0-9;]*m", "", "".join(traceback.format_exception(error)))
    )
    if isinstance(error, TimeoutError):
        why = f"a cell took longer than {job.timeout} s and was stopped"
    elif hasattr(error, "ename"):
        why = f"{error.ename}: {error.evalue}".strip().splitlines()[-1]
    else:
        why = f"{type(error).__name__}: {error}".strip().splitlines()[-1]
    return BookError(
        f"{job.source.relative_to(job.root)} failed; the whole error is in {log}\n{why}"
    )


@contextmanager
def _kernel_environment() -> Iterator[None]:
    """Figures inline whatever MPLBACKEND says and, on a terminal, the path by which a kernel can draw progress bars on it."""
    wanted = {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "LBRS_PROGRESS": os.ttyname(2) if os.isatty(2) else None,
    }
    before = {name: os.environ.get(name) for name in wanted}
    try:
        _set_environment(wanted)
        yield
    finally:
        _set_environment(before)


def _set_environment(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _clean(notebook) -> None:
    """Name the cells by place and content, drop the timing, and keep the parameter cells off the page."""
    for place, cell in enumerate(notebook.cells):
        cell["id"] = f"{place:03d}-{hashlib.sha256(cell.source.encode()).hexdigest()[:12]}"
        tags = cell.metadata.get("tags", [])
        if {"parameters", "injected-parameters"} & set(tags):
            tags = [*tags, "remove-cell"]
        for key in ("papermill", "execution", "tags"):
            cell.metadata.pop(key, None)
        if tags:
            cell.metadata["tags"] = tags


def stage(root: Path) -> Path:
    """Lay the pages beside the executed notebooks in _build/source, and remove what does not belong there; returns that folder.

    Raises BookError naming the notebooks that have not been executed yet.
    """
    folder = root / STAGE
    notebooks = {folder / f"notebooks/{name}.ipynb" for name in load_runs(root)} | {
        job.target for job in chapters(root)
    }
    missing = sorted(
        path.relative_to(folder).as_posix() for path in notebooks if not path.is_file()
    )
    if missing:
        raise BookError(f"not executed yet: {', '.join(missing)}")
    pages = {folder / path.relative_to(root): path for path in _pages(root)}
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        elif path.is_file() and path not in pages and path not in notebooks:
            path.unlink()
    for target, page in pages.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, target)
    return folder


def _pages(root: Path) -> list[Path]:
    files = [
        path
        for path in (root / "book").rglob("*")
        if path.is_file() and not re.search(r"/(\.|__)", path.relative_to(root).as_posix())
    ]
    return [
        root / "_config.yml",
        root / "_toc.yml",
        *(path for path in files if path.suffix != ".md" or not _is_notebook(path)),
    ]


def render(root: Path) -> Path:
    """Build the website from the stage into _build/html, every warning being an error; returns its index page.

    Raises BookError with the warnings, the whole log being in _build/logs/site.log; the site built before then stays as it was.
    """
    workshop, site, log = root / "_build/.site", root / "_build/html", LOGS / "site.log"
    shutil.rmtree(workshop, ignore_errors=True)
    command = [
        sys.executable,
        "-c",
        "from jupyter_book.cli.main import main; main()",
        "build",
        str(stage(root)),
        "--path-output",
        str(workshop),
        "--all",
        "--warningiserror",
        "--nitpick",
        "--keep-going",
    ]
    done = subprocess.run(
        command,
        cwd=root,
        env=os.environ | {"NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    write_text(root / log, done.stdout)
    pages = workshop / "_build/html"
    if done.returncode or not (pages / "index.html").is_file():
        raise BookError(
            f"jupyter-book failed with exit status {done.returncode}; the whole log is in {log}:\n{_gist(done.stdout)}"
        )
    shutil.rmtree(site, ignore_errors=True)
    os.replace(pages, site)
    shutil.rmtree(workshop)
    return site / "index.html"


def _gist(log: str) -> str:
    """The warnings and errors in a log of Jupyter Book, or its end where it names none."""
    lines = [line for line in log.splitlines() if line.strip()]
    return "\n".join(
        [line for line in lines if re.search("WARNING|ERROR|CRITICAL|Error:", line)] or lines[-25:]
    )
