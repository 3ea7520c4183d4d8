"""Which code a result or a page comes from, without what only people read in it."""

import ast
import hashlib
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
READERS = ("adapters", "pages", "proofs", "website", "cli")
"""The rooms of lbrs that read records, or know nothing of them: no record depends on these."""


def modules() -> dict[str, Path]:
    """Every module of lbrs by its dotted name; a package by that of its folder."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def sources_hash() -> str:
    """SHA-256 of the code that records depend on, the library and the experiments.

    Results of other code are never mixed with those of this one."""
    return code_hash(_computing())


def code_hash(names: Iterable[str]) -> str:
    """SHA-256 of the code of these modules: their syntax trees without docstrings.

    Comments and layout are no part of it."""
    known, content = modules(), hashlib.sha256()
    for name in sorted(names):
        content.update(name.encode() + b"\0" + _code(known[name].read_bytes()) + b"\0")
    return content.hexdigest()


def used_by(code: str) -> set[str]:
    """The modules of lbrs that `code` imports, and all that these import, wherever they do it.

    A module may also be named as a text, for `import_module`. Who imports lbrs itself may use the
    whole library. The packages around a module run with it, but import nothing.
    """
    known = modules()
    found: set[str] = set()
    todo = _imported(code.encode(), known)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo |= _reached(name, known)
    around = {name.rsplit(".", depth)[0] for name in found for depth in range(name.count(".") + 1)}
    return found | around


def commit() -> str:
    """The last git commit that changed lbrs, followed by "-dirty" if lbrs was changed since then;
    empty where lbrs lies under no version control."""
    last = _git("log", "-1", "--format=%H", "--", ".")
    return f"{last}-dirty" if last and _git("status", "--porcelain", "--", ".") else last


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=PACKAGE, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _computing() -> set[str]:
    """The modules of the library and of the experiments."""
    return {name for name in modules() if (name.split(".") + [""])[1] not in READERS}


def _reached(name: str, known: dict[str, Path]) -> set[str]:
    """What the module `name` may use."""
    if name == "lbrs":
        return {one for one in _computing() if not one.startswith("lbrs.experiments")}
    if known[name].name == "__init__.py":
        return {one for one in known if one.startswith(f"{name}.")}
    return _imported(known[name].read_bytes(), known)


def _imported(source: bytes, known: dict[str, Path]) -> set[str]:
    """The modules of lbrs that `source` imports or names, anywhere."""
    names = (name if name in known else home for name, home in _mentioned(source))
    return {name for name in names if name in known}


@cache
def _mentioned(source: bytes) -> frozenset[tuple[str, str]]:
    """All names that may be those of a module, each with the one that it else is in."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {(f"{node.module}.{alias.name}", node.module) for alias in node.names}
        elif isinstance(node, ast.Constant) and str(node.value).startswith("lbrs."):
            found.add((str(node.value), ""))
    return frozenset(found)


class _Silent(ast.NodeTransformer):
    """Takes out all statements that are nothing but a constant, as docstrings are."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) else node


@cache
def _code(source: bytes) -> bytes:
    return ast.dump(_Silent().visit(ast.parse(source))).encode()
