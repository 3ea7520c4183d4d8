"""Which code a result or a page comes from, without what only people read in it."""

import ast
import hashlib
import re
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
HOME = PACKAGE
"""Where the running lbrs lies; PACKAGE is the one that is told of."""
READERS = ("adapters", "pages", "proofs", "website", "cli")
"""The rooms of lbrs that read records, or know nothing of them: no record depends on these."""


def check_home(root: Path) -> None:
    """Refuse, with a ValueError, the project at `root` if it has an lbrs of its own, and another
    one runs here: what this one computes is not that project's."""
    own = root / "lbrs"
    if (own / "__init__.py").is_file() and not own.samefile(HOME):
        raise ValueError(
            f"lbrs runs from {HOME}, but the project {root} has its own: "
            f"run `make setup` there, and then .venv/bin/lbrs"
        )


def modules() -> dict[str, Path]:
    """Every module of lbrs by its dotted name; a package by that of its folder."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def identity() -> str:
    """Which lbrs runs: its folder and a hash of its files."""
    content = hashlib.sha256()
    for path in sorted(HOME.rglob("*.py")):
        content.update(path.relative_to(HOME).as_posix().encode() + b"\0")
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{HOME} ({content.hexdigest()[:16]})"


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

    A module may also be named as a text, for `import_module`; a text that ends in a dot, such as
    "lbrs.proofs.", names a whole room. Who imports lbrs itself may use the whole library.
    """
    known = modules()
    found: set[str] = set()
    todo = _imported(code.encode(), known)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo |= _reached(name, known)
    return found.union(*map(_around, found))


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
    return {name for name in modules() if _room(name) not in READERS}


def _room(name: str) -> str:
    return (name.split(".") + [""])[1]


def _reached(name: str, known: dict[str, Path]) -> set[str]:
    """What the module `name` may use, and the packages around it, which run before it."""
    if name == "lbrs":
        return {one for one in known if _room(one) not in ("experiments", *READERS)}
    if known[name].name == "__init__.py":
        return {one for one in known if one.startswith(f"{name}.")}
    running = (known[one].read_bytes() for one in (name, *_around(name)))
    return set[str]().union(*(_imported(source, known) for source in running))


def _around(name: str) -> set[str]:
    """The packages that the module `name` lies in."""
    return {name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)}


def _imported(source: bytes, known: dict[str, Path]) -> set[str]:
    """The modules of lbrs that `source` imports or names, anywhere."""
    names = (name if name in known else home for name, home in _mentioned(source))
    return {name for name in names if name in known}


def _home(module: str, name: str) -> str:
    """Where `name` is, if it is no module; what is private of lbrs itself leads nowhere."""
    return "" if module == "lbrs" and name.startswith("_") else module


@cache
def _mentioned(source: bytes) -> frozenset[tuple[str, str]]:
    """All names that may be those of a module, each with the one that it else is in."""
    found = set()
    for node in ast.walk(_tree(source)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [alias.name for alias in node.names]
            found |= {(f"{node.module}.{name}", _home(node.module, name)) for name in names}
        elif isinstance(node, ast.Constant) and re.match(r"lbrs\.\w", str(node.value)):
            found.add((str(node.value).rstrip("."), ""))
    return frozenset(found)


class _Silent(ast.NodeTransformer):
    """Takes out what does nothing: statements that are but a constant, as docstrings are, and what
    only type checkers read."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) else node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        checked = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return node.orelse if checked else self.generic_visit(node)


def _tree(source: bytes) -> ast.AST:
    tree: ast.AST = _Silent().visit(ast.parse(source))
    return tree


@cache
def _code(source: bytes) -> bytes:
    return ast.dump(_tree(source)).encode()
