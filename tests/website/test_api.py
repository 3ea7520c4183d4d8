"""The API reference: every module and every name that is meant for use."""

import importlib
import inspect
import os
import re
from html import unescape
from pathlib import Path

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
    "attacks.adaptive",
    "attacks.pgd",
    "experiments.networks",
    "experiments.data",
    "verification",
    "experiments.records",
    "experiments.running",
    "experiments.sweep",
    "experiments.runs",
)


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


@pytest.mark.site
def test_the_built_page_has_every_public_name_and_no_markup():
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
    text = re.sub(r"<script.*?</script>|<[^>]*>", "", page, flags=re.DOTALL)
    assert not re.findall(r"book: \S+-|:prf:ref:|:doc:|\.\. math::|Theorem \)", text)
