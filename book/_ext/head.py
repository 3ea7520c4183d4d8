"""What stands in the head of each page: one viewport, a title said once, and for those who share it
what the page is about, with a picture."""

import html
import re

VIEWPORT = re.compile(r'<meta name="viewport"[^>]*>')
TEXT = re.compile(r"<p>(?!<)(.{60,}?)</p>", re.DOTALL)
TAG, MATH = re.compile(r"<[^>]+>"), re.compile(r"\\\(|\\\)|\\\w+\s?|[{}$]")
TITLE = re.compile(r"<title>\s*(.+?) &#8212; \1\s*</title>")
PICTURE = "_static/preview.png"


def words(body):
    """The first paragraph of a page, as plain words."""
    found = TEXT.search(body or "")
    told = html.unescape(TAG.sub("", found[1])) if found else ""
    told = re.sub(r"\s+", " ", MATH.sub("", told)).strip()
    return told if len(told) <= 160 else told[:157].rsplit(" ", 1)[0] + "…"


def describe(app, page, template, context, doctree):
    """Add the tags."""
    told = html.escape(words(context.get("body")) or app.config.project, quote=True)
    title = html.escape(TAG.sub("", context.get("title", "")) or app.config.project, quote=True)
    picture = context["pathto"](PICTURE, 1) if "pathto" in context else PICTURE
    context["metatags"] = (
        f'{context.get("metatags", "")}<meta name="description" content="{told}">'
        f'<meta property="og:title" content="{title}"><meta property="og:type" content="article">'
        f'<meta property="og:description" content="{told}">'
        f'<meta property="og:image" content="{picture}">'
    )


def once(app, exception):
    """Say once what both Sphinx and the theme say: the viewport, and the title of the book."""
    if exception is not None or app.builder.format != "html":
        return
    for page in app.outdir.rglob("*.html"):
        head, end, rest = page.read_text(encoding="utf-8").partition("</head>")
        first, viewport, more = head.partition('<meta name="viewport"')
        head = first + viewport + VIEWPORT.sub("", more)
        page.write_text(TITLE.sub(r"<title>\1</title>", head) + end + rest, encoding="utf-8")


def setup(app):
    app.connect("html-page-context", describe, priority=800)
    app.connect("build-finished", once)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
