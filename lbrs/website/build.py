"""From executed notebooks to the website: the stage collects all pages, Jupyter Book renders it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lbrs._files import write_text
from lbrs.experiments.runs import BookError, load_runs
from lbrs.website.jobs import STAGE, chapters, is_notebook, job_of
from lbrs.website.kernel import surroundings
from lbrs.website.notebooks import LOGS
from lbrs.website.site import SITE, swap, workshop

RENDERER = [
    sys.executable,
    "-c",
    "import os, threading\n"
    "threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()\n"
    "from jupyter_book.cli.main import main\nmain()",
]
"""Jupyter Book, which ends where its standard input does: with the command, were that killed."""


def stage(root: Path) -> Path:
    """Lay the pages beside the executed notebooks in _build/source, and remove what does not belong
    there; returns that folder.

    Raises:
        BookError: naming the notebooks that have not been executed yet, or not all of their cells.
    """
    folder = root / STAGE
    jobs = [job_of(root, run, "quick", 0, "auto") for run in load_runs(root).values()]
    jobs += chapters(root)
    notebooks = {job.target for job in jobs}
    absent = (path for path in notebooks if not path.is_file())
    missing = sorted(path.relative_to(folder).as_posix() for path in absent)
    if missing:
        raise BookError(f"not executed yet: {', '.join(missing)}")
    lacks = filter(None, (job.lacks(json.loads(job.target.read_text("utf-8"))) for job in jobs))
    if lack := next(lacks, ""):
        raise BookError(lack)
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
    """What is shown as it is: the settings, and all below book/ that is neither hidden nor a
    notebook."""
    files = [
        path
        for path in (root / "book").rglob("*")
        if path.is_file() and not re.search(r"/(\.|__)", path.relative_to(root).as_posix())
    ]
    return [
        root / "_config.yml",
        root / "_toc.yml",
        *(path for path in files if path.suffix != ".md" or not is_notebook(path)),
    ]


def render(root: Path) -> Path:
    """Build the website from the stage into _build/html, every warning being an error; returns its
    index page.

    Raises:
        BookError: with the warnings, the whole log being in _build/logs/site.log, or with what
            could not be written; the site built before then stays as it was.
    """
    try:
        with workshop(root) as folder:
            swap(_rendered(root, folder), root / SITE)
    except OSError as error:
        raise BookError(f"the website could not be written: {error}") from error
    return root / SITE / "index.html"


def _rendered(root: Path, folder: Path) -> Path:
    """The pages that Jupyter Book makes of the stage, somewhere in `folder`."""
    log, pages = LOGS / "site.log", folder / "_build/html"
    places = ["build", str(stage(root)), "--path-output", str(folder)]
    with surroundings(root) as environment, _held() as door:
        done = subprocess.run(
            [*RENDERER, *places, "--all", "--warningiserror", "--nitpick", "--keep-going"],
            cwd=root,
            stdin=door,
            env=environment | {"NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    write_text(root / log, done.stdout)
    if done.returncode or not (pages / "index.html").is_file():
        raise BookError(
            f"jupyter-book failed with exit status {done.returncode}; "
            f"the whole log is in {log}:\n{_gist(done.stdout)}"
        )
    return pages


@contextmanager
def _held() -> Iterator[int]:
    """A pipe to read from, which nobody writes to, and which ends with this process."""
    door, held = os.pipe()
    try:
        yield door
    finally:
        os.close(door)
        os.close(held)


def _gist(log: str) -> str:
    """The warnings and errors in a log of Jupyter Book, or its end where it names none."""
    lines = [line for line in log.splitlines() if line.strip()]
    told = [line for line in lines if re.search("WARNING|ERROR|CRITICAL|Error:", line)]
    return "\n".join(told or lines[-25:])
