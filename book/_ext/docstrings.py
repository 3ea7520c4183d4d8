"""Docstrings as they were written: mathematics in ASCII is no markup, and constants stay off the
API page, as functions, classes and what belongs to these are for use from outside."""

import inspect
import re

KEPT = re.compile(
    r"``[^`]+``|`[^`]+`"
    r"|^(?P<indent> *)\.\. .*(?:\n *$|\n(?P=indent) +.*)*"
    r"|^ *>>> .*(?:\n *\S.*)*",
    re.MULTILINE,
)
"""What is markup: code, roles, directives with what they hold, and examples."""

LETTERS = re.compile(r"[*|]|_(?!\w)")
"""What would be markup elsewhere, as in (n, *shape), |g(x)| and rho_-."""


def plain(text):
    """A docstring whose mathematics in ASCII is shown as it is."""
    found, start = [], 0
    for kept in KEPT.finditer(text):
        found += [LETTERS.sub(r"\\\g<0>", text[start : kept.start()]), kept.group()]
        start = kept.end()
    return "".join([*found, LETTERS.sub(r"\\\g<0>", text[start:])])


def rewrite(app, what, name, obj, options, lines):
    """The hook of autodoc, before napoleon reads the `lines`."""
    lines[:] = plain("\n".join(lines)).split("\n")


def skip(app, what, name, obj, skipped, options):
    """The other: whether to leave out a member of a module."""
    shown = inspect.isclass(obj) or inspect.isroutine(obj)
    return True if what == "module" and not shown else None


def setup(app):
    app.connect("autodoc-process-docstring", rewrite, priority=400)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
