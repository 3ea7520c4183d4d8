"""What is to be executed: the text notebooks, and whether their executed copies are out of date."""

import hashlib
import json
import re
from collections.abc import Mapping
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
HOW = "a header with a kernelspec, as the other chapters have it"
TIMEOUT = {"quick": 1_800, "paper": 21_600}
"""Most seconds that one cell may take at a profile; chapters count as quick."""


CODE_CELL = re.compile(r"^[ \t>*+.)0-9-]*(?:`{3,}|~{3,}|:{3,})[ \t]*\{code-cell\}", re.MULTILINE)
"""Where a code cell begins, also in ways in which it would be shown, but not executed."""


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
        plain = [self.parameters, self.title, versions(), code_hash(_used(self.code))]
        if self.parameters:
            plain.append(sources_hash())
        digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
        for path in (self.source, *self._published()):
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def read(self) -> "NotebookNode":
        """The text as a notebook; a BookError if its header cannot be read, or if one of its code
        cells would not be executed."""
        import jupytext

        text = page_text(self.source)
        try:
            notebook: NotebookNode = jupytext.reads(text, fmt="md:myst")
        except Exception as error:  # of YAML, or of jupytext
            why = " ".join(str(error).split())
            raise BookError(f"{self.place} cannot be read as a notebook: {why}") from error
        found = sum(cell.cell_type == "code" for cell in notebook.cells)
        if found != len(CODE_CELL.findall(text)):
            raise BookError(
                f"{self.place} has {len(CODE_CELL.findall(text))} code cells, "
                f"but {found} would be executed: each begins with ```{{code-cell}} on a line"
            )
        return notebook

    @cached_property
    def code(self) -> list[str]:
        """The code cells with something in them."""
        cells = self.read().cells
        return [cell.source for cell in cells if cell.cell_type == "code" and cell.source.strip()]

    def lacks(self, notebook: Mapping[str, Any]) -> str:
        """What an executed notebook lacks of its source, in a sentence; nothing if it is whole."""
        cells = notebook["cells"]
        executed = sum(cell.get("execution_count") is not None for cell in cells)
        asked = len(self.code) + bool(self.parameters)  # given in a cell of their own
        if executed == asked:
            return ""
        return f"{self.place} asks for {asked} executed cells, and {executed} were executed"

    @property
    def is_done(self) -> bool:
        """Whether the staged notebook is whole, and of the source and the code of now."""
        notebook = _staged(self.target)
        told = _told(notebook).get("fingerprint")
        return told == self.fingerprint and not self.lacks(notebook)

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
    """The pages below book/ that are text notebooks.

    Raises:
        BookError: for a page with code that is none, and would be shown without being executed.
    """
    for page in sorted((root / "book").rglob("*.ipynb")):
        raise BookError(f"{page} would not be executed: a chapter is a text notebook, {HOW}")
    pages = [
        page.relative_to(root).with_suffix("").as_posix()
        for page in sorted((root / "book").rglob("*.md"))
        if is_notebook(page)
    ]
    return [
        Job(page, root, root / f"{page}.md", root / STAGE / f"{page}.ipynb", {}) for page in pages
    ]


def page_text(page: Path) -> str:
    """What is written on a page, without a byte-order mark or blank lines before it; a BookError if
    it is not in UTF-8."""
    try:
        return page.read_text(encoding="utf-8").lstrip("\ufeff\n\t ")
    except UnicodeDecodeError as error:
        raise BookError(f"{page} cannot be read: {error}") from error


def is_notebook(page: Path) -> bool:
    """Whether the front matter of a page names a kernel.

    Raises:
        BookError: for a page with code cells that names none.
    """
    text = page_text(page)
    front = re.match(r"---[ \t]*\n(.*?)\n---\s", text, re.DOTALL)
    if front is not None and re.search(r"^kernelspec:", front[1], re.MULTILINE):
        return True
    if CODE_CELL.search(text):
        raise BookError(f"{page} has code cells that would not be executed: it needs {HOW}")
    return False


def stale(root: Path, profile: str | None = None, seed: int | None = None) -> list[Job]:
    """The jobs whose executed notebook is missing, differs in what it depends on, or had to show
    the published record.

    A run is asked for at `profile` with `seed`; where they are not given as it was executed last,
    and at profile quick with seed 0 if it never was.
    """
    jobs = []
    for run in load_runs(root).values():
        last = _told(_staged(root / STAGE / f"notebooks/{run.name}.ipynb"))
        before = last["profile"] if last.get("profile") in PROFILES else "quick"
        job = job_of(
            root,
            run,
            profile or before,
            last.get("seed", 0) if seed is None else seed,
            last.get("device", "auto"),
        )
        if not last.get("rerun") or not job.is_done:
            jobs.append(job)
    return jobs + [job for job in chapters(root) if not job.is_done]


def _staged(target: Path) -> dict[str, Any]:
    """The staged notebook; nothing where there is none that can be read."""
    try:
        return dict(json.loads(target.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _told(notebook: dict[str, Any]) -> dict[str, Any]:
    """What a staged notebook says of itself; nothing where it does not."""
    try:
        told = dict(notebook["metadata"]["lbrs"])
        return told | {"rerun": outcome_of(notebook).rerun} if "run" in told else told
    except (ValueError, KeyError, TypeError, BookError):
        return {}
