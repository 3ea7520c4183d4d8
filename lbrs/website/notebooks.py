"""From a text notebook to an executed one, by papermill."""

import hashlib
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lbrs._files import write_text
from lbrs.experiments.runs import (
    ONE_THREAD,
    RESERVED,
    BookError,
    Ending,
    check_parameters,
    outcome_of,
)
from lbrs.website.jobs import Job

if TYPE_CHECKING:
    from nbformat import NotebookNode

LOGS = Path("_build/logs")
KEPT = ("kernelspec", "language_info")
"""What an executed notebook says of itself, beside what it was given by the command."""


def perform(job: Job) -> Ending | None:
    """Execute a job and stage the result, whole or, after a failure, not at all; returns how it
    ended, or None for a chapter, which has no outcome.

    Two executions of deterministic cells give the same bytes.

    Raises:
        ValueError: for parameters that do not fit the notebook.
        BookError: for a cell that fails or takes too long, and for an experiment that does not
            tell its outcome.
    """
    import nbformat

    notebook, given = job.read(), job.given
    if job.title:
        first = notebook.cells[0]
        first.source = re.sub(r"\A#[^\n]*", lambda _: f"# {job.title}", first.source)
    if job.parameters:
        check_parameters(job.place, notebook.cells, job.parameters)
    notebook = _papermill(job, notebook)
    outcome = _outcome(job, notebook) if job.parameters else None
    _clean(notebook)
    kept = {key: notebook.metadata[key] for key in KEPT if key in notebook.metadata}
    told = {key: job.parameters[key] for key in RESERVED if job.parameters}
    told["fingerprint"] = job.stamp(given)
    notebook.metadata = nbformat.from_dict(kept | {"lbrs": told})
    write_text(job.target, nbformat.writes(notebook) + "\n")
    return outcome


def _outcome(job: Job, notebook: "NotebookNode") -> Ending:
    """How the executed experiment says it ended, if it is the one that was asked for."""
    outcome = outcome_of(notebook)
    if outcome.run != job.name:
        raise BookError(
            f"{job.place} tells the outcome of run {outcome.run!r}, "
            f"but it was executed as {job.name!r}"
        )
    return outcome


def _papermill(job: Job, notebook: "NotebookNode") -> "NotebookNode":
    import papermill

    try:
        with _kernel_environment():
            executed: NotebookNode = papermill.execute_notebook(
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
            return executed
    except Exception as error:
        raise _failure(job, error) from error


def _failure(job: Job, error: Exception) -> BookError:
    """What failed, where the whole error is, and, in the last line, why."""
    log = LOGS / f"{job.name.replace('/', '-')}.log"
    whole = "".join(traceback.format_exception(error))
    write_text(job.root / log, re.sub(r"\x1b\[[0-9;]*m", "", whole))
    if isinstance(error, TimeoutError):
        why = f"a cell took longer than {job.timeout} s and was stopped"
    elif hasattr(error, "ename"):
        why = f"{error.ename}: {getattr(error, 'evalue', '')}".strip().splitlines()[-1]
    else:
        why = f"{type(error).__name__}: {error}".strip().splitlines()[-1]
    return BookError(f"{job.place} failed; the whole error is in {log}\n{why}")


@contextmanager
def _kernel_environment() -> Iterator[None]:
    """What a kernel is given: one thread, figures inline whatever MPLBACKEND says and, on a
    terminal, the path by which it can draw progress bars there."""
    wanted: dict[str, str | None] = {
        **ONE_THREAD,
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


def _clean(notebook: "NotebookNode") -> None:
    """Name the cells by place and content, drop the timing, and keep the parameter cells off the
    page."""
    for place, cell in enumerate(notebook.cells):
        cell["id"] = f"{place:03d}-{hashlib.sha256(cell.source.encode()).hexdigest()[:12]}"
        tags = cell.metadata.get("tags", [])
        if {"parameters", "injected-parameters"} & set(tags):
            tags = [*tags, "remove-cell"]
        for key in ("papermill", "execution", "tags"):
            cell.metadata.pop(key, None)
        if tags:
            cell.metadata["tags"] = tags
