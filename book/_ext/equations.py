"""Equation numbers that name their chapter, so that a number means one equation in the book."""

from docutils import nodes


def chapter(env, page):
    """The number of a page's chapter, where it has one."""
    return ".".join(map(str, env.toc_secnumbers.get(page, {}).get("", ())[:1]))


def count(app, env):
    """Write chapter and number into what links look up."""
    equations = env.get_domain("math").equations
    for label, (page, number) in equations.items():
        if chapter(env, page) and isinstance(number, int):
            equations[label] = page, f"{chapter(env, page)}.{number}"


def show(app, doctree, page):
    """And into what is shown."""
    for node in doctree.findall(nodes.math_block):
        if node.get("number") and chapter(app.env, page):
            node["number"] = f"{chapter(app.env, page)}.{node['number']}"


def setup(app):
    app.connect("env-check-consistency", lambda app, env: count(app, env))
    app.connect("doctree-resolved", show)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
