"""The API reference: every module and every name that is meant for use, and formulas only of what exists."""

import importlib
import importlib.util
import inspect
import os
import re
from html import unescape
from pathlib import Path
from pkgutil import resolve_name

import pytest

import lbrs

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "book/api.md").read_text(encoding="utf-8")
MODULES = re.findall(r"automodule:: lbrs\.([\w.]+)$", REFERENCE, re.MULTILINE)
NEEDED = (
    "certificates",
    "montecarlo",
    "paths",
    "exact.cells",
    "curvature",
    "attacks.pgd",
    "experiments.networks",
    "experiments.data",
    "verification",
    "experiments.records",
    "experiments.running",
    "experiments.sweep",
    "experiments.runs",
)


@pytest.fixture(scope="module")
def extension():
    spec = importlib.util.spec_from_file_location(
        "api_reference", ROOT / "book/_ext/api_reference.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def public(module: str) -> list[str]:
    """The functions and classes that `module` defines for use from outside."""
    home = importlib.import_module(f"lbrs.{module}")
    return [
        name
        for name, value in vars(home).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == home.__name__
    ]


def test_the_page_names_every_module_once():
    assert len(MODULES) == len(set(MODULES)) and set(NEEDED) <= set(MODULES)


def test_every_name_of_the_package_is_documented_or_named():
    homes = {name for module in MODULES for name in public(module)}
    assert all(name in homes or f"`lbrs.{name}`" in REFERENCE for name in lbrs.__all__)
    assert all(f"`{name}`" in REFERENCE for name in lbrs.__all__)


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_has_a_docstring(module):
    home = importlib.import_module(f"lbrs.{module}")
    assert not [name for name in public(module) if not inspect.getdoc(getattr(home, name))]


def test_every_formula_belongs_to_something(extension):
    for name in extension.FORMULAS:
        assert resolve_name(f"lbrs.{name}").__doc__


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("Theorem 6 (book: theorem-6), for g", ":prf:ref:`Theorem 6 <theorem-6>`, for g"),
        ("as known (Theorem E; book: theorem-e).", "as known (:prf:ref:`Theorem E <theorem-e>`)."),
        (
            "(equations (3) to (5); book: paper-eq-3, paper-eq-4)",
            "(equations (3) to (5); see :doc:`linear`)",
        ),
        (
            "Theorems B and H (book: theorem-b, theorem-h): a",
            "Theorems B and H (see :prf:ref:`Theorem B <theorem-b>`, :prf:ref:`Theorem H <theorem-h>`): a",
        ),
        ("1/p = 1 (book: lemma-0)", "1/p = 1 (see :prf:ref:`Lemma 0 <lemma-0>`)"),
        ("|g|/||a||_* of `x` (n, *shape)", r"\|g\|/\|\|a\|\|\_\* of \ ``x``\  (n, \*shape)"),
    ],
)
def test_plain_text_becomes_restructured_text(extension, told, expected):
    assert extension.escape(told) == expected


@pytest.mark.site
def test_the_built_page_has_every_public_name_and_its_formula(extension):
    path = ROOT / "_build/html/book/api.html"
    if not path.is_file():
        told = "no website in _build/html; lbrs build makes it"
        pytest.fail(told) if os.environ.get("CI") else pytest.skip(told)
    page = unescape(path.read_text(encoding="utf-8"))
    assert not [
        f"{module}.{name}"
        for module in MODULES
        for name in public(module)
        if f'id="lbrs.{module}.{name}"' not in page
    ]
    assert not [name for name, formula in extension.FORMULAS.items() if formula not in page]
    assert "(book: " not in re.sub(r"<[^>]*>", "", page)
