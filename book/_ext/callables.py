"""Constants stay off the API page: functions and classes, and what belongs to these, are for use
from outside."""


def skip(app, what, name, obj, skipped, options):
    """The hook of autodoc: whether to leave out a member of a module."""
    return True if what == "module" and not callable(obj) else None


def setup(app):
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
