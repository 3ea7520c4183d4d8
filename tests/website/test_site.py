"""The built website: whole, readable without a network, and with a name for every picture."""

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SITE = ROOT / "_build/html"
SOURCES = {
    "script": "src",
    "link": "href",
    "img": "src",
    "source": "src",
    "iframe": "src",
    "video": "src",
    "audio": "src",
    "object": "data",
    "embed": "src",
}

pytestmark = pytest.mark.site


class Page(HTMLParser):
    """What the tests ask of one page: its elements, the names that links can point to, and what
    lies in its article."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.article: list[tuple[str, dict[str, str]]] = []
        self._inside = 0
        self.feed(path.read_text(encoding="utf-8"))
        self.names = {
            given[key] for _, given in self.elements for key in ("id", "name") if key in given
        }

    def handle_starttag(self, tag, attrs):
        element = (tag, {key: value or "" for key, value in attrs})
        self.elements.append(element)
        self._inside += tag == "article"
        if self._inside:
            self.article.append(element)

    def handle_endtag(self, tag):
        self._inside -= tag == "article"


def listed(entry: dict) -> list[str]:
    """The pages in a table of contents or in a part of one."""
    below = [
        page
        for key in ("parts", "chapters", "sections")
        for part in entry.get(key, ())
        for page in listed(part)
    ]
    return [entry[key] for key in ("root", "file") if key in entry] + below


CONTENTS = listed(yaml.safe_load((ROOT / "_toc.yml").read_text()))


@pytest.fixture(scope="module")
def pages() -> dict[str, Page]:
    """Every page of the site by its path."""
    if not (SITE / "index.html").is_file():
        told = "no website in _build/html; lbrs build makes it"
        pytest.fail(told) if os.environ.get("CI") else pytest.skip(told)
    return {
        path.relative_to(SITE).as_posix(): Page(path)
        for path in sorted(SITE.rglob("*.html"))
        if "_static" not in path.parts
    }


def test_every_page_of_the_contents_is_there(pages):
    assert not [name for name in CONTENTS if f"{name}.html" not in pages]


def test_every_page_and_run_of_the_project_is_in_the_contents(pages):
    written = [
        path.relative_to(ROOT).with_suffix("").as_posix() for path in (ROOT / "book").rglob("*.md")
    ]
    runs = yaml.safe_load((ROOT / "notebooks/runs.yml").read_text())
    assert sorted(CONTENTS) == sorted(written + [f"notebooks/{name}" for name in runs])


def test_no_page_loads_anything_from_elsewhere(pages):
    remote = [
        (name, given[SOURCES[tag]])
        for name, page in pages.items()
        for tag, given in page.elements
        if tag in SOURCES and re.match(r"(https?:)?//", given.get(SOURCES[tag], ""))
    ]
    assert not remote
    styled = re.compile(r"""(url\(|@import)\s*["']?(https?:)?//""")
    assert not [
        path
        for path in (*SITE.rglob("*.css"), *SITE.rglob("*.html"))
        if styled.search(path.read_text(encoding="utf-8"))
    ]


def test_mathematics_is_set_by_the_copy_on_the_site(pages):
    home = SITE / "_static/mathjax"
    assert (home / "tex-chtml.js").is_file()
    assert list((home / "output/chtml/fonts").rglob("*.woff"))
    assert list((home / "input/tex/extensions").glob("*.js"))
    with_mathematics = [
        page
        for page in pages.values()
        if any("math" in given.get("class", "").split() for _, given in page.article)
    ]
    assert with_mathematics
    for page in with_mathematics:
        loaded = [
            given["src"]
            for tag, given in page.elements
            if tag == "script" and "mathjax" in given.get("src", "")
        ]
        assert [(page.path.parent / urlsplit(source).path).resolve() for source in loaded] == [
            home / "tex-chtml.js"
        ], page.path


def test_every_internal_link_and_picture_leads_somewhere(pages):
    assert not [
        f"{name}: {given[key]}"
        for name, page in pages.items()
        for tag, given in page.elements
        for key in ("href", "src")
        if key in given and leads_nowhere(pages, page, tag, given[key])
    ]


def leads_nowhere(pages: dict[str, Page], page: Page, tag: str, link: str) -> bool:
    """Whether an internal link names no file, or no part of a page of the site."""
    target = urlsplit(link)
    if target.scheme or target.netloc or not (target.path or target.fragment):
        return False
    path = (page.path.parent / unquote(target.path)).resolve() if target.path else page.path
    if not path.is_file():
        return True
    other = pages.get(path.relative_to(SITE).as_posix()) if path.is_relative_to(SITE) else None
    named = other is not None and tag == "a" and target.fragment
    return bool(named) and unquote(target.fragment) not in other.names


@pytest.mark.parametrize("name", CONTENTS)
def test_every_picture_has_an_alternative_text(pages, name):
    for tag, given in pages[f"{name}.html"].article:
        if tag == "img":
            alt = given.get("alt", "")
            assert (
                alt.strip()
                and "_images/" not in alt
                and not re.fullmatch(r"\S+\.(png|svg|jpe?g)", alt)
            ), given["src"]


@pytest.mark.parametrize("name", CONTENTS)
def test_every_page_has_one_title(pages, name):
    assert [tag for tag, _ in pages[f"{name}.html"].article].count("h1") == 1


@pytest.mark.parametrize("run", list(yaml.safe_load((ROOT / "notebooks/runs.yml").read_text())))
def test_every_experiment_shows_a_figure_and_no_parameter_cell(pages, run):
    page = pages[f"notebooks/{run}.html"]
    assert any(tag == "img" for tag, _ in page.article)
    assert not [
        given
        for _, given in page.article
        if re.search("tag_(injected-)?parameters", given.get("class", ""))
    ]
