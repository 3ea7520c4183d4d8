"""The built website in a real browser: mathematics, pictures, colours, narrow screens and search,
without a network and without a complaint."""

import functools
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote_plus, unquote, urldefrag

import pytest
import yaml
from axe_playwright_python.base import AXE_FILE_PATH
from browsers import launched, missing
from playwright.sync_api import Browser, Page, expect

ROOT = Path(__file__).parents[2]
SITE = ROOT / "_build/html"
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PATIENCE, SETTLED = 120_000, 400
"""Milliseconds; the second is what the theme takes to notice a new width."""

STATE = """() => {
  const all = selector => [...document.querySelectorAll(selector)];
  const unset = math => !math.querySelector('mjx-container');
  const blank = image => !(image.complete && image.naturalWidth);
  const unnamed = link => !link.textContent.trim() && !link.getAttribute('aria-label')
    && !link.querySelector('img, svg, [aria-label]');
  return {
    raw: all('.math').filter(unset).map(math => math.textContent.slice(0, 80)),
    errors: all('mjx-merror').map(error => error.textContent),
    blank: all('article img').filter(blank).map(image => image.src.slice(0, 200)),
    ids: all('[id], a[name]').map(element => element.id || element.name),
    links: all('a[href]').map(link => link.href),
    unnamed: all('article a[href]').filter(unnamed).map(link => link.outerHTML.slice(0, 200)),
  };
}"""
LOADED = (
    """() => window.MathJax?.startup?.promise !== undefined || !document.querySelector('.math')"""
)
AXE = """async only => {
  const options = {
    preload: false, resultTypes: ['violations'], rules: {region: {enabled: false}},
    ...(only ? {runOnly: only} : {}),
  };
  const told = node => (node.any[0] ?? node.all[0] ?? node.none[0])?.message ?? '';
  const read = node => document.querySelector(node.target[0]).querySelector('mjx-assistive-mml');
  const {violations} = await axe.run('article', options);
  return violations.flatMap(found => found.nodes
    .filter(node => found.id !== 'empty-table-header' || !read(node))
    .map(node => `${found.id}: ${node.target.join(' ')}: ${told(node)}`));
}"""
"""What axe finds in the article; it does not see that a header of mathematics has a text for screen
readers, in MathML."""

CHANGED = ["color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size"]
"""The rules of axe that can come out differently in another theme or width."""
OVERFLOW = """() => {
  const wide = document.documentElement.scrollWidth;
  if (wide <= innerWidth) return [];
  const beyond = element => element.getBoundingClientRect().right > innerWidth + 1;
  const found = [...document.querySelectorAll('article *')].filter(beyond).slice(0, 5);
  const told = found.map(element => element.outerHTML.slice(0, 160));
  return [`the page is ${wide} pixels wide`, ...told];
}"""

EAGER = """() => document.querySelectorAll('img[loading=lazy]')
  .forEach(image => image.loading = 'eager')"""
pytestmark = pytest.mark.site


def listed(entry: dict) -> list[str]:
    """The pages in a table of contents or in a part of one."""
    below = [
        page
        for key in ("parts", "chapters", "sections")
        for part in entry.get(key, ())
        for page in listed(part)
    ]
    return [entry[key] for key in ("root", "file") if key in entry] + below


CONTENTS = [*listed(yaml.safe_load((ROOT / "_toc.yml").read_text())), "coq/Neighbours"]


@dataclass(frozen=True)
class Seen:
    """What one visit of a page found: `state` of STATE, what the browser complained of, and what is
    wrong in which look."""

    state: dict[str, list[str]]
    complaints: list[str]
    barriers: list[str]
    overflow: list[str]


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and writes no log."""

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The website on a free port of this machine."""
    if not (SITE / "index.html").is_file():
        missing("no website in _build/html; lbrs build makes it")
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=SITE)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def opened(browser, address) -> Callable[[str], tuple[Page, list[str]]]:
    """opened(path): a tab with that page, mathematics set, and the list to which the browser's
    complaints about it are added."""
    context = browser.new_context(viewport=WIDE, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)

    def opened(path: str) -> tuple[Page, list[str]]:
        page, complaints = context.new_page(), []
        page.on(
            "console",
            lambda message: (
                message.type in ("error", "warning")
                and complaints.append(f"{message.type}: {message.text}")
            ),
        )
        page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
        page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
        page.on(
            "response",
            lambda response: (
                response.status >= 400 and complaints.append(f"{response.status}: {response.url}")
            ),
        )
        page.on(
            "request",
            lambda request: (
                request.url.startswith((address, "data:", "blob:"))
                or complaints.append(f"remote: {request.url}")
            ),
        )
        page.goto(address + path, wait_until="load")
        page.wait_for_function(LOADED)
        page.evaluate(
            "async () => { await window.MathJax?.startup?.promise; await document.fonts.ready }"
        )
        return page, complaints

    yield opened
    context.close()


@pytest.fixture(scope="module")
def seen(opened) -> Callable[[str], Seen]:
    """seen(name): what the visit of that page found; each is visited once, wide and light, then
    narrow in both themes."""

    @functools.cache
    def seen(name: str) -> Seen:
        page, complaints = opened(f"{name}.html")
        page.evaluate(EAGER)
        page.wait_for_function("() => [...document.images].every(image => image.complete)")
        page.add_style_tag(content="* { transition: none !important; animation: none !important }")
        page.evaluate(AXE_FILE_PATH.read_text())
        state, barriers, overflow = page.evaluate(STATE), [], []
        for theme, size, rules in (("light", WIDE, None), ("dark", NARROW, CHANGED)):
            page.set_viewport_size(size)
            page.wait_for_timeout(SETTLED)
            page.evaluate(
                "theme => Object.assign(document.documentElement.dataset, {theme, mode: theme})",
                theme,
            )
            barriers += [
                f"{theme}, {size['width']} pixels: {found}" for found in page.evaluate(AXE, rules)
            ]
        for theme in ("dark", "light"):
            page.evaluate(
                "theme => Object.assign(document.documentElement.dataset, {theme, mode: theme})",
                theme,
            )
            overflow += [f"{theme}: {found}" for found in page.evaluate(OVERFLOW)]
        page.close()
        return Seen(state, complaints, barriers, overflow)

    return seen


@pytest.mark.parametrize("name", CONTENTS)
def test_mathematics_is_set(seen, name):
    found = seen(name).state["raw"] + seen(name).state["errors"]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", CONTENTS)
def test_the_browser_does_not_complain_and_asks_no_other_machine(seen, name):
    found = seen(name).complaints
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", CONTENTS)
def test_every_picture_is_loaded(seen, name):
    found = seen(name).state["blank"]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", CONTENTS)
def test_the_article_is_accessible_in_both_themes(seen, name):
    found = seen(name).barriers
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", CONTENTS)
def test_nothing_is_wider_than_a_telephone(seen, name):
    found = seen(name).overflow
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", CONTENTS)
def test_links_and_references_resolve(seen, address, name):
    assert not seen(name).state["unnamed"]
    lost = []
    for link in seen(name).state["links"]:
        url, fragment = urldefrag(link)
        path = unquote(url.removeprefix(address).split("?")[0])
        if not url.startswith(address):
            continue
        known = path.removesuffix(".html") in CONTENTS
        if not (SITE / path).exists() or (
            fragment
            and known
            and unquote(fragment) not in seen(path.removesuffix(".html")).state["ids"]
        ):
            lost.append(link)
    assert not lost, "\n".join(lost)


SOUGHT = {
    "Theorem 6": "book/linear.html",
    "Theorem 8": "book/nonlinear.html",
    "Theorem B": "book/sharper.html",
    "Proposition 3": "book/limits.html",
    "playground": "book/interactive.html",
}


@pytest.mark.parametrize("asked", SOUGHT)
def test_the_search_finds_a_statement_first_and_shows_words(opened, address, asked):
    page, complaints = opened(f"search.html?q={quote_plus(asked)}")
    results = page.locator("#search-results ul.search > li > a")
    expect(page.locator("#search-results h2")).to_have_text("Search Results")
    expect(page.locator("#search-results .search-summary")).to_contain_text("found")
    first = urldefrag(results.first.evaluate("link => link.href"))[0]
    assert first.removeprefix(address).split("?")[0] == SOUGHT[asked]
    page.wait_for_timeout(SETTLED)
    told = page.locator("#search-results ul.search").inner_text()
    assert "\\(" not in told and "\\frac" not in told
    assert not complaints
    page.close()


FORMULAS = """() => [...document.querySelectorAll('.bd-article div.math')].map(box => ({
  wide: box.scrollWidth > box.clientWidth + 1,
  cue: box.classList.contains('lbrs-wide') && box.tabIndex === 0,
  told: box.textContent.slice(0, 80)}))"""
STOPS = """() => [...document.querySelectorAll('.bd-article mjx-container')]
  .filter(math => math.tabIndex >= 0).length"""
CHAPTERS = ["book/smoothing", "book/limits", "book/linear", "book/nonlinear", "book/sharper"]


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_formula_wider_than_a_telephone_says_so_and_only_it_takes_the_keyboard(opened, name):
    page, complaints = opened(f"{name}.html")
    page.set_viewport_size(NARROW)
    page.wait_for_timeout(SETTLED)
    found = page.evaluate(FORMULAS)
    assert found and all(one["wide"] == one["cue"] for one in found), found
    assert page.evaluate(STOPS) == 0
    assert not complaints
    page.close()


def test_a_number_means_one_equation_in_the_whole_book(opened):
    numbers = []
    for name in CHAPTERS:
        page, _ = opened(f"{name}.html")
        numbers += page.locator(".bd-article .eqno").all_inner_texts()
        page.close()
    plain = [number.strip(" #\uf0c1") for number in numbers]
    assert len(plain) > 60 and len(set(plain)) == len(plain)
    assert all(re.fullmatch(r"\(\d+\.\d+\)", number) for number in plain), plain[:5]


@pytest.mark.parametrize("name", CONTENTS)
def test_the_head_says_once_what_the_page_is(name):
    text = (SITE / f"{name}.html").read_text(encoding="utf-8")
    head = text[: text.index("</head>")]
    assert head.count('name="viewport"') == 1 and head.count('name="description"') == 1
    (title,) = re.findall(r"<title>(.*?)</title>", head, re.DOTALL)
    assert title.count("Locally biased randomized smoothing") == 1
    picture = re.search(r'property="og:image" content="([^"]+)"', head)[1]
    assert (SITE / name).parent.joinpath(picture).resolve().is_file()


def test_what_is_folded_is_printed(browser):
    """On any page: with the style of the book alone."""
    style = (SITE.parents[1] / "book/_static/lbrs.css").read_text(encoding="utf-8")
    folded = "<details><summary>Table</summary><table><tr><td>0.5</td></tr></table></details>"
    page = browser.new_page()
    page.set_content(f"<style>{style}</style><article class='bd-article'>{folded}</article>")
    shown = "() => document.querySelector('td').checkVisibility({contentVisibilityAuto: true})"
    tall = "() => document.querySelector('details').getBoundingClientRect().height"
    closed = page.evaluate(tall)
    assert not page.evaluate(shown)
    page.emulate_media(media="print")
    page.wait_for_function(shown)
    assert page.evaluate(tall) > closed
    page.close()
