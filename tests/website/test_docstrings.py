"""What the API page shows of a docstring is what its author wrote: napoleon and docutils read it
without a complaint, and no letter of a formula turns into markup."""

import importlib.util
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import Directive, directives, roles
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.util.rst import default_role

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "book/api.md").read_text(encoding="utf-8")
MODULES = re.findall(r"automodule:: lbrs\.([\w.]+)$", REFERENCE, re.MULTILINE)
SETTINGS = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]

UNWANTED = (
    *(nodes.emphasis, nodes.problematic, nodes.reference, nodes.target, nodes.footnote_reference),
    *(nodes.substitution_reference, nodes.block_quote, nodes.definition_list),
)
"""What only markup by mistake makes of a docstring: x_ a link, ``*shape, *rest`` an emphasis."""


class Formula(Directive):
    """Sphinx's directive, as far as these tests need it."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        return [nodes.math_block("", "\n".join([*self.arguments, *self.content]))]


def told(name, raw, text, lineno, inliner, options=None, content=()):
    """A role of Sphinx, kept as it was written."""
    return [nodes.inline(raw, text, role=name)], []


@pytest.fixture(scope="module", autouse=True)
def sphinx_markup():
    """Roles and directives for docutils alone, for these tests only."""
    before = dict(roles._roles), dict(directives._directives)
    for role in ("prf:ref", "doc", "math"):
        roles.register_local_role(role, told)
    directives.register_directive("math", Formula)
    with default_role("", SETTINGS["default_role"]):
        yield
    for registry, kept in zip((roles._roles, directives._directives), before, strict=True):
        registry.clear()
        registry.update(kept)


@cache
def extension() -> ModuleType:
    """The extension of the book that reads docstrings before napoleon."""
    path = ROOT / "book/_ext/docstrings.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def documented(module: str) -> Iterator[tuple[str, str, Any]]:
    """What autodoc shows of a module: the kind, the name and the object."""
    home = importlib.import_module(f"lbrs.{module}")
    yield "module", "", home
    for name, value in vars(home).items():
        if not name.startswith("_") and callable(value) and value.__module__ == home.__name__:
            yield ("class" if inspect.isclass(value) else "function"), name, value
            if inspect.isclass(value):
                yield from members(name, value)


def members(name: str, of: type) -> Iterator[tuple[str, str, Any]]:
    for key, value in vars(of).items():
        if not key.startswith("_") and getattr(value, "__doc__", None):
            if hasattr(value, "__func__") or inspect.isfunction(value):
                yield "method", f"{name}.{key}", value
            elif inspect.isdatadescriptor(value) or hasattr(value, "func"):
                yield "property", f"{name}.{key}", value


def parsed(kind: str, text: str) -> nodes.document:
    """A docstring as napoleon and docutils read it."""
    plain = extension().plain(inspect.cleandoc(text))
    chosen = {key: value for key, value in SETTINGS.items() if key.startswith("napoleon_")}
    google = GoogleDocstring(plain, Config(**chosen), None, kind, "name", None)
    return publish_doctree(str(google), settings_overrides={"report_level": 5, "halt_level": 6})


def faults(kind: str, text: str) -> list[str]:
    """What would not be shown as it was meant."""
    document = parsed(kind, text)
    references = [node for node in document.findall(nodes.inline) if node.get("role") == "prf:ref"]
    return [
        *(message.astext() for message in document.findall(nodes.system_message)),
        *(f"{node.tagname}: {node.astext()}" for node in document.findall(_unwanted)),
        *(f"no title: {node.astext()}" for node in references if "<" not in node.astext()),
        *(f"{kind}: {field.astext()}" for field in document.findall(_typed)),
        *re.findall(r"book: [a-z]+-[\w-]+", text),
    ]


def _typed(node: nodes.Node) -> bool:
    """What napoleon takes for a type: all before a colon in the first line of a property."""
    return isinstance(node, nodes.field) and node[0].astext() == "type"


def _unwanted(node: nodes.Node) -> bool:
    return isinstance(node, UNWANTED)


@pytest.mark.parametrize("module", MODULES)
def test_docstrings_are_shown_as_they_were_written(module):
    found = {
        f"{module}.{name}": wrong
        for kind, name, value in documented(module)
        if value.__doc__ and (wrong := faults(kind, value.__doc__))
    }
    assert not found, found


@pytest.mark.parametrize(
    "text",
    [
        "The value of `x.",
        "(Theorem 6; book: theorem-6)",
        "By Theorem 6 (:prf:ref:`theorem-6`).",
        "What: _\n  it is.\n\n    Set back.",
        "What it is.\n\nOne line,\n  and one set back by mistake.",
    ],
)
def test_what_would_be_shown_otherwise_is_found(text):
    assert faults("function", text)


def test_a_property_begins_with_no_type():
    assert faults("property", "(n,) bool: where it abstains.")
    assert not faults("property", "Where it abstains, (n,) bool.\n\nThat is: nowhere.")


@pytest.mark.parametrize(
    "text",
    [
        "For `x` (n, *shape), y (n, *shape) within |g(x)|/||a||_* - |h|, 2 * t, rho_-, g_y, x_.",
        "By :prf:ref:`Theorem 6 <theorem-6>`; see :doc:`linear`.",
        "What.\n\n.. math:: |h(x)| \\le K\n\nParameters:\n    x: points.\n\nReturns:\n    (n,).",
        "What.\n\nRaises:\n    ValueError, TypeError: naming the argument.\n\n>>> 1 + 1\n2",
        "What:\n\n- one,\n  in two lines;\n- two.",
    ],
)
def test_what_is_well_written_is_not(text):
    assert not faults("function", text)


def test_every_kind_of_member_is_read():
    kinds = {kind for name in ("certificate", "certificates") for kind, _, _ in documented(name)}
    assert kinds == {"module", "class", "function", "method", "property"}
