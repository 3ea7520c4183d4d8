"""The test of the tests: each wrong formula, and each allowance left out, in a copy of the package
makes the test named beside it fail."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from mutations import ALLOWANCES, MUTATIONS, Mutation

ROOT = Path(__file__).parents[1]
FAILED = 1  # pytest's exit code for tests that ran and failed; 2 to 5 mean that they did not run
PROBE = '''
"""Says on exit from where the modules of the package came."""
import sys


def pytest_sessionfinish():
    for name in sorted(sys.modules):
        if name == "lbrs" or name.startswith("lbrs."):
            print(f"\\nimported {sys.modules[name].__file__}")
'''

ROOMS = ("", "norms", "tuning", "scores", "oracles", "layers", "exact", "attacks", "plane")
WITHOUT = {
    *("cli.py", "multiclass.py", "oracles/distances.py"),
    *(f"scores/{name}.py" for name in ("admission", "operations", "watching")),
}
"""Modules of the library without a formula."""


def places(tree: ast.Module, home: str) -> Iterator[tuple[str, ast.stmt]]:
    """Every function, class and constant of a module and of its classes, by its dotted name."""
    todo = [(home, node) for node in tree.body]
    while todo:
        home, node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield f"{home}.{node.name}", node
            todo += [(f"{home}.{node.name}", inner) for inner in node.body]
        elif isinstance(node, ast.Assign):
            yield f"{home}.{ast.unparse(node.targets[0])}", node


@cache
def everything() -> list[tuple[str, Path, ast.stmt]]:
    """Every place of the package: its name, its file within the package and its statement."""
    found = []
    for path in sorted((ROOT / "lbrs").rglob("*.py")):
        inner = path.relative_to(ROOT / "lbrs")
        home = ".".join(("", *inner.with_suffix("").parts))
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [(name, inner, node) for name, node in places(tree, home)]
    return found


def located(place: str) -> tuple[Path, ast.stmt]:
    """The file and the statement of the one place of this name."""
    found = [(path, node) for name, path, node in everything() if name.endswith(f".{place}")]
    assert len(found) == 1, f"{place} must name one place, not {[str(path) for path, _ in found]}"
    return found[0]


def body(node: ast.stmt) -> tuple[int, int]:
    """The lines of a statement from the end of its docstring, or of its decorators, on."""
    first = node.lineno - 1
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
        first = node.body[0].end_lineno
    return first, node.end_lineno


def pattern(text: str) -> re.Pattern:
    """Finds `text` with any white space between its words, and with or without trailing commas."""
    words = re.findall(r"\w+|[^\w\s]", text)
    parts = [(r",?\s*" if word in ")]}" else "") + re.escape(word) for word in words]
    return re.compile(r"(?<!\w)" * (words[0].isalnum()) + r"\s*".join(parts))


def mutated(source: str, node: ast.stmt, old: str, new: str) -> str:
    """`source` with `new` for the one `old` in the statement `node` of it."""
    lines = source.splitlines(keepends=True)
    first, last = body(node)
    text = "".join(lines[first:last])
    found = pattern(old).findall(text)
    assert len(found) == 1, f"the text to change must occur once, not {len(found)} times: {old}"
    text = pattern(old).sub(lambda _: new, text)
    return "".join([*lines[:first], text, *lines[last:]])


def copied(folder: Path) -> Path:
    """A copy of the package in `folder`, next to a pytest plugin that says which package was
    imported."""
    shutil.copytree(ROOT / "lbrs", folder / "lbrs", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "import_probe.py").write_text(PROBE)
    return folder


def mutate(folder: Path, mutation: Mutation) -> None:
    inner, node = located(mutation.place)
    path = folder / "lbrs" / inner
    path.write_text(mutated(path.read_text(), node, mutation.old, mutation.new))


def check(folder: Path, *tests: str) -> subprocess.CompletedProcess:
    """Run the tests with the package in `folder`."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += ["-p", "import_probe", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "OMP_NUM_THREADS": "1",
        "PYTEST_ADDOPTS": "",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    command += [str(ROOT / "tests" / test) for test in tests]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def assert_imported_from(folder: Path, output: str) -> None:
    told = [line for line in output.splitlines() if line.startswith("imported ")]
    found = {Path(line.removeprefix("imported ")) for line in told}
    assert folder / "lbrs" / "__init__.py" in found
    assert all(folder / "lbrs" in path.parents for path in found), found


@pytest.mark.slow
def test_the_package_as_it_is_passes_the_tests_of_the_table(tmp_path):
    folder = copied(tmp_path)
    result = check(folder, *sorted({mutation.test for mutation in MUTATIONS}))
    assert result.returncode == 0, result.stdout + result.stderr
    assert_imported_from(folder, result.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what)
def test_a_wrong_formula_is_noticed(tmp_path, mutation):
    folder = copied(tmp_path)
    mutate(folder, mutation)
    result = check(folder, mutation.test)
    assert result.returncode == FAILED, result.stdout + result.stderr
    assert_imported_from(folder, result.stdout)
    assert " failed" in result.stdout and " error" not in result.stdout.splitlines()[-1]


def test_the_text_of_every_mutation_is_found():
    for mutation in MUTATIONS:
        inner, node = located(mutation.place)
        mutated((ROOT / "lbrs" / inner).read_text(), node, mutation.old, mutation.new)


def test_every_module_with_formulas_is_mutated():
    assert len({mutation.what for mutation in MUTATIONS}) == len(MUTATIONS)
    assert len(ALLOWANCES) >= 14
    homes = {located(mutation.place)[0] for mutation in MUTATIONS}
    every = {path for _, path, _ in everything() if path.parent.name in ROOMS}
    library = {path for path in every if not path.name.startswith("_")}
    assert {path.as_posix() for path in library - homes} == WITHOUT


def test_text_is_found_whatever_its_line_breaks():
    source = '''
@cache
def f(x):
    """Returns a + b."""
    return g(
        a + b,  # a comment
        x,
    )
'''
    (node,) = ast.parse(source).body
    assert "g(a+c)" in mutated(source, node, "g(a + b, # a comment\nx)", "g(a+c)")
    assert "return g(\n        b," in mutated(source, node, "a + b", "b")
    with pytest.raises(AssertionError, match="not 0 times"):
        mutated(source, node, "Returns", "")
    with pytest.raises(AssertionError, match="not 2 times"):
        mutated(source, node, "a", "b")
