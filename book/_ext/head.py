"""What stands in the head of each page: one viewport, a title said once, and for those who share it
what the page is about, with a picture."""

import html
import re

VIEWPORT = re.compile(r'<meta name="viewport"[^>]*>|<meta content="width[^>]*name="viewport"[^>]*>')
TEXT = re.compile(r"<p>(?!<)(.{60,}?)</p>", re.DOTALL)
TAG, MATH = re.compile(r"<[^>]+>"), re.compile(r"\\\(|\\\)|\\\w+\s?|[{}$]")
PICTURE = "_static/preview.png"


def words(body):
    """The first paragraph of a page, as plain words."""
    found = TEXT.search(body or "")
    told = html.unescape(TAG.sub("", found[1])) if found else ""
    told = re.sub(r"\s+", " ", MATH.sub("", told)).strip()
    return told if len(told) <= 160 else told[:157].rsplit(" ", 1)[0] + "…"


def describe(app, page, template, context, doctree):
    """Add the tags; the theme has a viewport of its own."""
    tags = VIEWPORT.sub("", context.get("metatags", ""))
    told = html.escape(words(context.get("body")) or app.config.project, quote=True)
    title = html.escape(TAG.sub("", context.get("title", "")) or app.config.project, quote=True)
    picture = context["pathto"](PICTURE, 1) if "pathto" in context else PICTURE
    context["metatags"] = (
        f'{tags}<meta name="description" content="{told}">'
        f'<meta property="og:title" content="{title}"><meta property="og:type" content="article">'
        f'<meta property="og:description" content="{told}">'
        f'<meta property="og:image" content="{picture}">'
    )
    if TAG.sub("", context.get("title", "")) == app.config.project:
        context["docstitle"] = ""


def setup(app):
    app.connect("html-page-context", describe, priority=800)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
