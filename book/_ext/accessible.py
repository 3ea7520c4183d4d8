"""What the theme and its helpers leave to do for readers who use a keyboard or a screen reader."""

import re

ROLES = re.compile(r' role="(?:list|doc-biblioentry)"(?= class="citation|>)')
"""Roles of the bibliography that are deprecated, or that its elements may not have."""


def simplify(app, page, template, context, doctree):
    """Leave out the roles that no browser accepts."""
    if context.get("body"):
        context["body"] = ROLES.sub("", context["body"])


def setup(app):
    app.connect("html-page-context", simplify)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
