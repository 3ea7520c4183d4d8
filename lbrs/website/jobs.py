"""What is to be executed: the text notebooks, and whether their executed copies are out of date."""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbrs.experiments.records import PROFILES, record_name, records_folder, versions
from lbrs.experiments.runs import BookError, Run, load_runs, outcome_of
from lbrs.experiments.sources import code_hash, modules, sources_hash, used_by

if TYPE_CHECKING:
    from nbformat import NotebookNode

STAGE = Path("_build/source")
TIMEOUT = {"quick": 1_800, "paper": 21_600}
"""Most seconds that one cell may take at a profile; chapters count as quick."""


@dataclass(frozen=True)
class Job:
    """One text notebook to execute.

    Attributes:
        name: a run's, or the place of a chapter, such as book/linear.
        root: the project.
        source: where the text lies.
        target: where the executed notebook goes.
        parameters: what it is given; nothing for a chapter.
        title: in place of its first heading.
    """

    name: str
    root: Path
    source: Path
    target: Path
    parameters: dict[str, Any]
    title: str = ""

    @property
    def fingerprint(self) -> str:
        """A hash of what the executed notebook depends on.

        That is its text, parameters and title, the modules of lbrs that it imports, the versions
        of the libraries, the published results that it may show, and an experiment's own record
        with the code that computes it.
        """
        return self.stamp(self.given)

    def stamp(self, given: str) -> str:
        """The fingerprint, if the notebook was executed when `given` was this."""
        return hashlib.sha256(f"{given}{self._record()}".encode()).hexdigest()

    @property
    def place(self) -> str:
        """Where the text lies in the project."""
        return str(self.source.relative_to(self.root))

    @cached_property
    def given(self) -> str:
        """The part of the fingerprint that is known before the execution."""
        cells = [cell.source for cell in self.read().cells if cell.cell_type == "code"]
        plain = [self.parameters, self.title, versions(), code_hash(_used(cells))]
        if self.parameters:
            plain.append(sources_hash())
        digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
        for path in (self.source, *self._published()):
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def read(self) -> "NotebookNode":
        """The text as a notebook."""
        import jupytext

        notebook: NotebookNode = jupytext.read(self.source, fmt="md:myst")
        return notebook

    def _published(self) -> list[Path]:
        """The results below book/ that the notebook may show: an experiment those of its run."""
        book = self.root / "book"
        if self.parameters:
            return sorted((book / "records").glob(f"{self.name}-paper-*.json"))
        return sorted(book.rglob("*.json"))

    def _record(self) -> str:
        """What the experiment's own record says, but for the time it took."""
        if not self.parameters:
            return ""
        name = record_name(*(self.parameters[key] for key in ("run", "profile", "seed")))
        try:
            content = json.loads((records_folder(self.root) / name).read_text())
            return json.dumps(content | {"wall_time": 0}, sort_keys=True)
        except (OSError, ValueError, TypeError):
            return ""

    @property
    def timeout(self) -> int:
        """Most seconds that one cell may take."""
        return TIMEOUT[self.parameters.get("profile", "quick")]


def _used(cells: list[str]) -> set[str]:
    """The modules of lbrs that the code in `cells` uses; all, where it is not plain Python."""
    try:
        return set[str]().union(*map(used_by, cells))
    except SyntaxError:
        return set(modules())


def job_of(root: Path, run: Run, profile: str, seed: int, device: str) -> Job:
    """The execution of `run` at `profile` with `seed` on `device`; ValueError for an unknown
    profile."""
    source = root / "notebooks" / run.source
    target = root / STAGE / f"notebooks/{run.name}.ipynb"
    return Job(run.name, root, source, target, run.given(profile, seed, device), run.title)


def chapters(root: Path) -> list[Job]:
    """The pages below book/ that are text notebooks."""
    pages = [
        page.relative_to(root).with_suffix("").as_posix()
        for page in sorted((root / "book").rglob("*.md"))
        if is_notebook(page)
    ]
    return [
        Job(page, root, root / f"{page}.md", root / STAGE / f"{page}.ipynb", {}) for page in pages
    ]


def is_notebook(page: Path) -> bool:
    """Whether the front matter of a page names a kernel."""
    front = re.match(r"---\n(.*?)\n---\s", page.read_text(encoding="utf-8"), re.DOTALL)
    return front is not None and re.search(r"^kernelspec:", front[1], re.MULTILINE) is not None


def stale(root: Path, profile: str | None = None, seed: int | None = None) -> list[Job]:
    """The jobs whose executed notebook is missing, differs in what it depends on, or had to show
    the published record.

    A run is asked for at `profile` with `seed`; where they are not given as it was executed last,
    and at profile quick with seed 0 if it never was.
    """
    jobs = []
    for run in load_runs(root).values():
        last = _staged(root / STAGE / f"notebooks/{run.name}.ipynb")
        before = last["profile"] if last.get("profile") in PROFILES else "quick"
        job = job_of(
            root,
            run,
            profile or before,
            last.get("seed", 0) if seed is None else seed,
            last.get("device", "auto"),
        )
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
