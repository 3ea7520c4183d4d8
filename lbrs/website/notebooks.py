"""From a text notebook to an executed one, by papermill."""

import hashlib
import re
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from lbrs._files import write_text
from lbrs.experiments.runs import (
    RESERVED,
    BookError,
    Ending,
    check_parameters,
    first_line,
    outcome_of,
)
from lbrs.website import kernel
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
    """The notebook after its execution, by a kernel that was looked at before."""
    import papermill
    from nbformat.v4 import new_code_cell

    notebook.cells.insert(0, new_code_cell(kernel.probe()))
    try:
        with kernel.kernels(job.root):
            done: NotebookNode = papermill.execute_notebook(
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
    except BookError:
        raise
    except Exception as error:
        raise _failure(job, error) from error
    _remove_first(done)
    if lack := job.lacks(done):
        raise BookError(lack)
    return done


def _remove_first(notebook: "NotebookNode") -> None:
    """Take the first cell out, as if it had never been."""
    del notebook.cells[0]
    for cell in notebook.cells:
        for part in (cell, *cell.get("outputs", ())):
            if part.get("execution_count"):
                part["execution_count"] -= 1


def _failure(job: Job, error: Exception) -> BookError:
    """What failed, where the whole error is, and, in the last line, why."""
    from nbclient.exceptions import DeadKernelError

    log = LOGS / f"{job.name.replace('/', '-')}.log"
    whole = "".join(traceback.format_exception(error))
    write_text(job.root / log, re.sub(r"\x1b\[[0-9;]*m", "", whole))
    if isinstance(error, TimeoutError):
        why = f"a cell took longer than {job.timeout} s and was stopped"
    elif isinstance(error, DeadKernelError):
        why = "its kernel was killed; was there enough memory?"
    else:
        name = getattr(error, "ename", type(error).__name__)
        why = f"{name}: {first_line(str(getattr(error, 'evalue', error)))}"
    return BookError(f"{job.place} failed; the whole error is in {log}\n{why}")


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
