"""The book as one PDF: its articles in the order of the contents, printed by Chromium."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml

from lbrs.experiments.runs import BookError
from lbrs.website.site import SITE

PROGRAMS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
ARTICLE = re.compile(r'<article class="bd-article">.*?</article>', re.DOTALL)
HEAD, SCRIPT = (
    re.compile(r"<head>.*?</head>", re.DOTALL),
    re.compile(r"<script\b.*?</script>", re.S),
)
ADDRESS = re.compile(r'((?:src|href)=")(?!#|[a-z]+:)([^"]+)')
PATIENCE = 300_000
"""Milliseconds that the mathematics of the whole book may take to be set."""


def contents(root: Path) -> list[str]:
    """The pages in the order of the table of contents."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    parts = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *parts]


def print_book(root: Path) -> Path:
    """Print the built website of the project at `root` into _build/book.pdf; returns that file.

    Raises:
        BookError: where there is no website, no Chromium, or no PDF came out.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise BookError("no Chromium to print with; on Debian: apt install chromium")
    site = root / SITE
    if not (site / "index.html").is_file():
        raise BookError(f"no website in {site}; lbrs build makes it")
    whole, target = site / "_whole.html", root / "_build/book.pdf"
    whole.write_text("".join(_whole(site, contents(root))), encoding="utf-8")
    try:
        done = subprocess.run(
            [
                *(program, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"),
                *(f"--virtual-time-budget={PATIENCE}", "--allow-file-access-from-files"),
                *(f"--print-to-pdf={target}", whole.as_uri()),
            ],
            capture_output=True,
            text=True,
        )
    finally:
        whole.unlink()
    if done.returncode or not target.is_file():
        raise BookError(f"Chromium printed no PDF: {done.stderr.strip()[-300:]}")
    return target


def _whole(site: Path, pages: list[str]) -> Iterator[str]:
    """One page that holds all articles, under the head of the first."""
    first = (site / f"{pages[0]}.html").read_text(encoding="utf-8")
    head = HEAD.search(first)
    yield "<!doctype html><html lang='en' data-theme='light' data-mode='light'>"
    yield _moved(head[0] if head else "", Path(pages[0]).parent)
    yield "<body><main class='bd-content'>"
    for page in pages:
        text = (site / f"{page}.html").read_text(encoding="utf-8")
        for found in ARTICLE.findall(text):
            yield _moved(SCRIPT.sub("", found), Path(page).parent)
            yield "<div style='break-after: page'></div>"
    yield "</main></body></html>"


def _moved(text: str, folder: Path) -> str:
    """Addresses as they read from the root of the site."""
    return ADDRESS.sub(lambda found: found[1] + (folder / found[2]).as_posix(), text)


if __name__ == "__main__":
    from lbrs.experiments.records import find_project

    print(print_book(find_project()))
