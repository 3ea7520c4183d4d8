"""Every label that the code cites is in the book, and every numbered item of the paper has its
place in the book, the code and the tests."""

import ast
import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

from lbrs.pages import items

ROOT = Path(__file__).parents[1]
CITED = re.compile(r"book: ([a-z0-9-]+(?:, [a-z0-9-]+)*)\)|:prf:ref:`(?:[^<`]*<)?([a-z0-9-]+)>?`")
LABEL = re.compile(r"^\s*:(?:label|name): (\S+)$|^\s*\(([^()\s]+)\)=$", re.MULTILINE)
NUMBERED = {
    *(f"Theorem {number}" for number in (1, 6, 8)),
    *(f"Definition {number}" for number in (2, 4)),
    *(f"Proposition {number}" for number in (3, 5)),
    "Assumption 7",
    *(f"Equation ({number})" for number in range(1, 6)),
    "Inequality (6)",
    *(f"Figure {number}" for number in range(1, 7)),
}
ROWS = [*items.PAPER, *items.BEYOND]


def labels(page: str) -> list[str]:
    """The labels that the source of `page` sets."""
    return [first or second for first, second in LABEL.findall((ROOT / f"{page}.md").read_text())]


def docstrings() -> dict[str, str]:
    """Every docstring of the package, by the module and the name that it belongs to."""
    found = {}
    for path in sorted((ROOT / "lbrs").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                name, line = getattr(node, "name", ""), getattr(node, "lineno", 0)
                text = ast.get_docstring(node)
                if text:
                    found[f"{path.relative_to(ROOT)}:{name}:{line}"] = text
    return found


def cited() -> dict[str, list[str]]:
    """The labels that docstrings cite, each with the places where."""
    found: dict[str, list[str]] = {}
    for place, text in docstrings().items():
        for names, label in CITED.findall(text):
            for name in [label] if label else names.split(", "):
                found.setdefault(name, []).append(place)
    return found


PAGES = [
    path.relative_to(ROOT).with_suffix("").as_posix()
    for path in sorted((ROOT / "book").glob("*.md"))
]


def test_every_cited_label_is_in_the_book():
    known = {label for page in PAGES for label in labels(page)}
    assert not {label: places for label, places in cited().items() if label not in known}


def test_no_label_is_set_twice():
    every = [label for page in PAGES for label in labels(page)]
    assert len(every) == len(set(every))


def test_every_statement_of_the_table_is_cited_by_the_code():
    stated = {row.label for row in ROWS if row.label and not row.label.startswith("paper-eq-")}
    cited_or_of_the_text = {
        *cited(),
        "definition-2",
        "proposition-3",
        "definition-4",
        "proposition-5",
    }
    assert stated <= cited_or_of_the_text
    assert len(cited()) >= 15


def test_the_table_has_every_numbered_item_of_the_paper_once():
    names = [row.name for row in items.PAPER]
    assert len(names) == len(set(names)) and set(names) == NUMBERED


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_leads_to_a_page_a_function_and_a_test(row):
    if row.label:
        assert row.label in labels(row.page)
    else:
        assert (
            row.name.startswith("Figure")
            and row.page.removeprefix("notebooks/") in (ROOT / "notebooks/runs.yml").read_text()
        )
    assert resolve_name(f"lbrs.{row.function}").__doc__
    file, name = row.test.split("::")
    assert name in {
        node.name
        for node in ast.parse((ROOT / "tests" / file).read_text()).body
        if isinstance(node, ast.FunctionDef)
    }


def test_the_first_page_shows_the_table():
    assert re.search(
        r"^items\.overview\(\)$", (ROOT / "book/statements.md").read_text(), re.MULTILINE
    )
    shown = items.overview()
    assert all(row.name in shown and row.test.split("::")[0] in shown for row in items.PAPER)
    assert re.search(
        r"^items\.overview\(items\.BEYOND\)$",
        (ROOT / "book/statements.md").read_text(),
        re.MULTILINE,
    )


def test_a_title_in_the_table_is_that_of_the_page():
    for page, title in items.TITLES.items():
        if page.startswith("book/"):
            assert (
                re.search(r"^# (.*)$", (ROOT / f"{page}.md").read_text(), re.MULTILINE).group(1)
                == title
            ), page
