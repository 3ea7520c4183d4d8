"""The runs as notebooks/runs.yml names them: their parameters, what their notebooks take, and what
these tell at the end."""

import ast
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbrs._files import named_folders
from lbrs.experiments.records import PROFILES

if TYPE_CHECKING:
    from nbformat import NotebookNode

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""The environment of a process that computes beside others."""

CONFIGURING = (
    *("IPYTHON", "JUPYTER", "LANG", "LBRS_PROGRESS", "LC_", "MATPLOTLIB", "MPL", "PAPERMILL"),
    *("PYTHON", "SCIPY_", "SKLEARN_", "TQDM_"),
)
"""How the names of variables begin by which a user configures what computes or draws."""

KEYS = ("title", "source", "parameters", "profiles")
"""What an entry of runs.yml may hold."""

RESERVED = ("run", "profile", "seed", "device")
"""The parameters that come from the command."""

OUTCOME = "application/vnd.lbrs.outcome+json"


class BookError(RuntimeError):
    """A notebook could not be executed or the website not be built; the last line of the text says
    why."""


def first_line(text: str) -> str:
    """The first line of an error's text that holds a word: what follows is advice."""
    return next((line.strip() for line in text.splitlines() if re.search(r"\w", line)), "")


def reason(error: Exception) -> str:
    """Why something failed, in one line."""
    text = str(error).strip()
    last = text.rpartition("\n")[2] if isinstance(error, BookError) else first_line(text)
    return last or type(error).__name__


@dataclass(frozen=True)
class Run:
    """One entry of notebooks/runs.yml.

    Attributes:
        name: of the run and its page.
        source: the text notebook, below notebooks/.
        parameters: of the run, at any profile.
        profiles: what each profile overrides.
        title: of the page, where the notebook's own heading is not meant.
    """

    name: str
    source: str
    parameters: dict[str, Any]
    profiles: dict[str, dict[str, Any]]
    title: str = ""

    def given(self, profile: str, seed: int, device: str) -> dict[str, Any]:
        """What the notebook is given at `profile`: run, profile, seed, device, the run's own
        parameters, then the profile's.

        Raises:
            ValueError: for a profile other than quick and paper.
        """
        return {
            "run": self.name,
            "profile": profile,
            "seed": seed,
            "device": device,
            **self.chosen(profile),
        }

    def chosen(self, profile: str) -> dict[str, Any]:
        """The run's own parameters, then those of `profile`."""
        if profile not in PROFILES:
            raise ValueError(f"profile must be one of {', '.join(PROFILES)}, got {profile!r}")
        return {**self.parameters, **self.profiles[profile]}


@dataclass(frozen=True)
class Ending:
    """How an executed experiment ended: `run` was re-run, or shows the published record, and
    `reason` says why."""

    run: str
    rerun: bool
    reason: str


def plain_environment() -> dict[str, str]:
    """The variables of this process without a user's configuration, for one that computes: one
    thread, texts in UTF-8, modules and folders where this process has them."""
    modules = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in modules or not name.startswith(CONFIGURING)
    }
    given = {"PYTHONUTF8": "1", "LC_ALL": "C.UTF-8"}
    if sys.flags.no_user_site:
        given["PYTHONNOUSERSITE"] = "1"
    return kept | named_folders() | ONE_THREAD | given


@contextmanager
def replaced_environment(environment: dict[str, str]) -> Iterator[None]:
    """Processes that this one starts meanwhile have these variables and no others."""
    before = dict(os.environ)
    try:
        _set_environment(environment)
        yield
    finally:
        _set_environment(before)


def _set_environment(environment: dict[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)


def load_runs(root: Path) -> dict[str, Run]:
    """The runs that notebooks/runs.yml of the project `root` names, in its order.

    Raises:
        ValueError: naming the file, the run and the key, for an unknown key, a missing source, a
            run without both profiles, a value of the wrong kind, and a parameter that only the
            command may set.
    """
    import yaml

    try:
        entries = yaml.safe_load((root / "notebooks/runs.yml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"notebooks/runs.yml cannot be read: {error}") from error
    if not isinstance(entries, dict) or not entries:
        raise ValueError(
            "notebooks/runs.yml must map the names of runs to their source, parameters and profiles"
        )
    return {str(name): _run(root, str(name), entry) for name, entry in entries.items()}


def _run(root: Path, name: str, entry: object) -> Run:
    where = f"notebooks/runs.yml: run {name!r}"
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise ValueError(
            f"{where}: a run names a page, so it is made of lower-case letters, digits, - and _"
        )
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: must be a mapping with source and profiles, got {entry!r}")
    unknown = next((key for key in entry if key not in KEYS), None)
    if unknown is not None:
        raise ValueError(f"{where}: unknown key {unknown!r}; allowed are {', '.join(KEYS)}")
    title, source = entry.get("title", ""), entry.get("source")
    parameters, profiles = entry.get("parameters", {}), entry.get("profiles")
    if not isinstance(title, str):
        raise ValueError(f"{where}: title must be text, got {title!r}")
    if not isinstance(source, str) or not (root / "notebooks" / source).is_file():
        raise ValueError(f"{where}: source must name a text notebook in notebooks/, got {source!r}")
    if not isinstance(profiles, dict) or profiles.keys() != set(PROFILES):
        raise ValueError(
            f"{where}: profiles must hold {' and '.join(PROFILES)} and nothing else, "
            f"got {profiles!r}"
        )
    _check(where, "parameters", parameters)
    for profile in PROFILES:
        _check(where, f"profiles.{profile}", profiles[profile])
    return Run(name, source, parameters, profiles, title)


def _check(where: str, key: str, values: object) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"{where}: {key} must map parameters to values, got {values!r}")
    for reserved in RESERVED:
        if reserved in values:
            raise ValueError(
                f"{where}: {key} must not set {reserved!r}, which comes from the command"
            )


def check_parameters(source: str, cells: "list[NotebookNode]", given: dict[str, Any]) -> None:
    """Refuse a notebook whose first code cell, tagged `parameters`, does not fit what is `given`,
    and one in which a parameter is never read.

    A value must have its default's type, unless that is None; an int may stand for a float, and
    each item of a list must fit some item of the default list. `globals()` reads every parameter.

    Parameters:
        source: names the notebook in the errors.
        cells: of the notebook.
        given: the parameters of the run.

    Raises:
        ValueError: with the source, the parameter, and what is allowed.
    """
    code = [cell for cell in cells if cell.cell_type == "code"]
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", ())]
    if len(tagged) != 1 or tagged[0] is not code[0]:
        raise ValueError(
            f"{source}: the first code cell, and no other, must be tagged 'parameters'"
        )
    defaults = _literals(source, code[0].source)
    read = set[str]().union(*(_names_read(source, cell.source) for cell in code[1:]))
    for name in defaults:
        if not {name, "globals"} & read:
            raise ValueError(f"{source}: parameter {name!r} is defined but no later cell reads it")
    for name, value in given.items():
        if name not in defaults:
            allowed = ", ".join(defaults)
            raise ValueError(f"{source}: unknown parameter {name!r}; allowed are {allowed}")
        if not _fits(value, defaults[name]):
            raise ValueError(
                f"{source}: parameter {name!r} must be of the kind of its default "
                f"{defaults[name]!r} ({type(defaults[name]).__name__}), "
                f"got {value!r} ({type(value).__name__})"
            )


def _literals(source: str, cell: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for statement in _parse(source, cell).body:
        try:
            match statement:
                case ast.Assign([ast.Name(name)], value):
                    found[name] = ast.literal_eval(value)
                case _:
                    raise ValueError("no assignment to one name")
        except ValueError as error:
            raise ValueError(
                f"{source}: the parameters cell must hold plain literals such as points = 300 "
                f"only, got {ast.unparse(statement)!r}"
            ) from error
    return found


def _names_read(source: str, cell: str) -> set[str]:
    return {
        node.id
        for node in ast.walk(_parse(source, cell))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def _parse(source: str, cell: str) -> ast.Module:
    try:
        return ast.parse(cell)
    except SyntaxError as error:
        raise ValueError(
            f"{source}: a code cell must be plain Python, "
            f"got {(error.text or '').strip()!r}: {error.msg}"
        ) from error


def _fits(value: object, default: object) -> bool:
    if isinstance(default, list) and isinstance(value, list):
        return not default or all(
            any(_fits(item, example) for example in default) for item in value
        )
    return default is None or (type(value), type(default)) in ((type(default),) * 2, (int, float))


def outcome_of(notebook: dict[str, Any]) -> Ending:
    """What is told by the one output of type `OUTCOME` of an executed notebook.

    Raises:
        BookError: if there is not exactly one, or if it says too little.
    """
    outputs = (output for cell in notebook["cells"] for output in cell.get("outputs", ()))
    found = [output["data"][OUTCOME] for output in outputs if OUTCOME in output.get("data", {})]
    if len(found) != 1:
        raise BookError(
            f"an experiment must display exactly one object with data of type {OUTCOME}, "
            f"got {len(found)}"
        )
    told = found[0]
    kinds = {key: type(value) for key, value in told.items()} if isinstance(told, dict) else None
    if kinds != {"run": str, "rerun": bool, "reason": str}:
        raise BookError(
            f"an outcome must be {{run: text, rerun: true or false, reason: text}}, got {told!r}"
        )
    if not told["rerun"] and not told["reason"]:
        raise BookError(
            "an outcome must give its reason where the experiment was not re-run, got an empty text"
        )
    return Ending(**told)
