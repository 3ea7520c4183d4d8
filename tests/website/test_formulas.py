"""The formula in a docstring is the one on a page of the book, up to its layout."""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = re.findall(r"automodule:: (\S+)$", (ROOT / "book/api.md").read_text(), re.MULTILINE)
BLOCK = re.compile(r"^( *)\.\. math::(.*(?:\n *$|\n\1 +.*)*)", re.MULTILINE)
LAYOUT = re.compile(
    r"\\(?:begin|end)\{(?:aligned|gathered)\}|\\[Bb]igg?[lrm]?\b|\\q?quad\b|\\[,;:!\s]|\\\\"
    r"|:label: \S+|[&\s{}.]|\\text\{(?:if|else)\}"
)
"""What sets a formula and says nothing."""

ALONE = {
    *("lbrs.norms.base.Norm", "lbrs.norms.base.Norm.dual", "lbrs.norms.base.Norm.maximizer"),
    *("lbrs.norms.base.Norm.weighted", "lbrs.norms.weighted.Weighted"),
    *("lbrs.norms.groups.GroupNorm", "lbrs.norms.mahalanobis.Mahalanobis"),
    *("lbrs.scores.local.select", "lbrs.curvature.CertifiedLoss", "lbrs.attacks.pgd.pgd"),
    *("lbrs.montecarlo.clopper_pearson", "lbrs.montecarlo.empirical_bernstein"),
    *("lbrs.montecarlo.ConfidenceSequence", "lbrs.attacks.adaptive.minimal_distance"),
}
"""Formulas that no page has: definitions that the book gives in words, and tools that it uses."""


def bare(text: str) -> str:
    """Mathematics without its layout; \\tfrac and \\frac are one."""
    return LAYOUT.sub("", text).replace(r"\tfrac", r"\frac").rstrip(",;:")


def formulas() -> dict[str, list[str]]:
    """The formulas of each docstring on the API page; one after \\qquad is another."""
    found = {}
    for module in MODULES:
        home = importlib.import_module(module)
        for name, value in vars(home).items():
            if getattr(value, "__module__", None) == module and callable(value):
                for key, text in docstrings(name, value):
                    blocks = [block for _, block in BLOCK.findall(text)]
                    parts = [bare(part) for block in blocks for part in block.split(r"\qquad")]
                    if parts:
                        found[f"{module}.{key}"] = parts
    return found


def docstrings(name: str, value: object) -> Iterator[tuple[str, str]]:
    """That of a function, or those of a class and of what it defines."""
    if inspect.isfunction(value) or inspect.isclass(value):
        yield name, value.__doc__ or ""
    for key, member in vars(value).items() if inspect.isclass(value) else ():
        if inspect.isfunction(member) or inspect.isdatadescriptor(member):
            yield f"{name}.{key}", member.__doc__ or ""


FORMULAS = formulas()
PAGES = {path.stem: bare(path.read_text()) for path in (ROOT / "book").glob("*.md")}


def missing(name: str) -> list[str]:
    return [one for one in FORMULAS[name] if not any(one in page for page in PAGES.values())]


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_a_formula_is_on_a_page(name):
    assert bool(missing(name)) == (name in ALONE), missing(name)


def test_most_formulas_are_on_a_page():
    assert len(FORMULAS) > 15 and len(ALONE) < len(FORMULAS) / 2


@pytest.mark.parametrize("one", [r"g(x) = a^\top x + b", r"h(x) = 1"])
def test_a_formula_is_compared_whatever_its_layout(one):
    spread_out = one.replace("= ", "\n   &= ").replace("(x)", r"\big( x \big)")
    assert bare(spread_out) == bare(one) != bare(one.replace("x", "z"))
