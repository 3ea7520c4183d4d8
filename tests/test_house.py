"""The house: which room may use which, that no import runs in a circle, that nothing is too long to
be read."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WINGS = ("adapters", "experiments", "pages", "website", "proofs", "cli")
MAY_USE = {
    "library": {"library"},
    "adapters": {"library", "adapters"},
    "experiments": {"library", "experiments"},
    "pages": {"library", "adapters", "experiments", "pages"},
    "website": {"library", "adapters", "experiments", "website"},
    "cli": {"library", "adapters", "experiments", "pages", "website", "cli"},
    "proofs": {"proofs"},
}
"""library <- {adapters, experiments} <- {pages, website} <- cli; proofs uses nothing of lbrs."""

WRITTEN = ("lbrs", "tests", "benchmarks", "book/_ext")
"""Where Python is written."""

LATER: list[set[str]] = []
"""Circles that remain through imports inside functions."""


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module of the package by its dotted name; a package by that of its folder."""
    found = {}
    for path in sorted((root / "lbrs").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def statements(tree: ast.AST, within: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run with a module, and those inside its functions if `within`; none that are
    for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from statements(ast.Module(node.orelse, []), within)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif within or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from statements(node, within)


def imported(node: ast.Import | ast.ImportFrom, name: str, known: dict[str, Path]) -> set[str]:
    """The modules of the package that one statement in the module `name` imports."""
    if isinstance(node, ast.Import):
        asked = {alias.name for alias in node.names}
    else:
        package = name if known[name].name == "__init__.py" else name.rpartition(".")[0]
        base = (
            ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
            if node.level
            else ""
        )
        home = ".".join(filter(None, (base, node.module)))
        asked = {
            f"{home}.{alias.name}" if f"{home}.{alias.name}" in known else home
            for alias in node.names
        }
    return {one for one in asked if one in known}


def uses(within: bool, root: Path = ROOT) -> dict[str, set[str]]:
    """The modules that each module imports."""
    known = modules(root)
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        trees = statements(ast.parse(path.read_text(encoding="utf-8")), within)
        found[name] = {one for node in trees for one in imported(node, name, known)} - {name}
    return found


def wing(module: str) -> str:
    first = (module.split(".") + [""])[1]
    return first if first in WINGS else "library"


def violations(root: Path = ROOT) -> list[str]:
    """Imports, inside functions too, that the rule does not allow."""
    return [
        f"{name} imports {one}"
        for name, used in uses(True, root).items()
        for one in sorted(used)
        if wing(one) not in MAY_USE[wing(name)]
    ]


def circles(within: bool, root: Path = ROOT) -> list[set[str]]:
    """The sets of modules that import each other in a circle. To import a.b runs the package a
    first."""
    graph = uses(within, root)
    for name, used in graph.items():
        packages = {one.rsplit(".", depth)[0] for one in used for depth in range(1, one.count("."))}
        used |= {one for one in packages if not name.startswith(f"{one}.") and one != name}
    reached = {name: reach(graph, name) for name in graph}
    found = {
        frozenset({name} | {one for one in reached[name] if name in reached[one]})
        for name in graph
        if name in reached[name]
    }
    return sorted((set(circle) for circle in found), key=sorted)


def reach(graph: dict[str, set[str]], start: str) -> set[str]:
    """All that `start` leads to."""
    found: set[str] = set()
    todo = list(graph[start])
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo += graph[one]
    return found


def test_the_rule_of_the_house_holds():
    assert len(modules()) > 40 and {wing(name) for name in modules()} <= {*MAY_USE}
    assert not violations()


def test_no_import_runs_in_a_circle():
    assert not circles(within=False)
    assert circles(within=True) == LATER


@pytest.fixture
def small(tmp_path):
    """small(path=source, ...): a package lbrs with these modules."""

    def small(**sources: str) -> Path:
        for name, source in sources.items():
            path = tmp_path / "lbrs" / f"{name.replace('__in_', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / "__init__.py").touch()
            path.write_text(source)
        return tmp_path

    return small


def test_what_breaks_the_rule_is_found(small):
    root = small(
        norms="def f():\n    from lbrs.pages import text\n",
        pages__in_text="import lbrs.norms\nfrom lbrs import norms",
        experiments__in_runs="from ..pages.text import table",
        proofs__in_check="from lbrs import norms",
        website__in_build="from lbrs.pages.text import a",
    )
    assert violations(root) == [
        "lbrs.experiments.runs imports lbrs.pages.text",
        "lbrs.norms imports lbrs.pages.text",
        "lbrs.proofs.check imports lbrs.norms",
        "lbrs.website.build imports lbrs.pages.text",
    ]


def test_what_the_rule_allows_is_not(small):
    root = small(
        norms="from lbrs import _checks\nif TYPE_CHECKING:\n    from lbrs.pages import text",
        _checks="",
        cli="from lbrs.pages.text import table",
        experiments__in_runs="from lbrs import norms\nfrom . import data",
        experiments__in_data="import lbrs.norms",
        pages__in_text="from lbrs.experiments import runs",
        proofs__in_check="import ast",
        proofs__in_paper="from lbrs.proofs.check import step",
    )
    assert not violations(root) and not circles(True, root)


def test_circles_are_found(small):
    root = small(
        norms="from lbrs.scores.base import Score",
        scores__in_base="def f():\n    from lbrs import norms\n",
        scores__in_cohen="import lbrs.scores.base",
    )
    assert not circles(False, root)
    assert circles(True, root) == [{"lbrs.norms", "lbrs.scores.base"}]
    (root / "lbrs/scores/__init__.py").write_text("from lbrs.scores import cohen")
    (root / "lbrs/scores/cohen.py").write_text("import lbrs.norms")
    assert circles(False, root) == [{"lbrs.norms", "lbrs.scores", "lbrs.scores.cohen"}]


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function of a module, with the number of its lines but for the docstring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            told = (ast.get_docstring(node, clean=False) or "").count("\n")
            size = node.end_lineno - node.lineno - told
            yield f"{path.relative_to(ROOT).as_posix()}: {node.name}", size


def test_no_room_is_crowded():
    for folder in {path.parent for path in modules().values()}:
        assert len(list(folder.glob("*.py"))) <= 16, folder


def test_no_module_is_longer_than_300_lines():
    assert not [path for path in modules().values() if len(lines(path)) > 300]


def test_no_function_is_longer_than_40_lines():
    every = [found for path in modules().values() for found in functions(path)]
    assert not [name for name, size in every if size > 40]


def test_no_line_is_longer_than_100_characters():
    every = [path for folder in WRITTEN for path in (ROOT / folder).rglob("*.py")]
    assert len(every) > 100
    assert not [path for path in every if max(map(len, lines(path)), default=0) > 100]


def test_every_folder_of_the_package_is_a_package_with_a_docstring():
    for folder in {path.parent for path in modules().values()}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))), (
            folder
        )


def test_tests_mirror_the_rooms():
    rooms = {path.name for path in (ROOT / "lbrs").iterdir() if (path / "__init__.py").is_file()}
    assert {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")} <= rooms
