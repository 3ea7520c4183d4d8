"""Theorem blocks under the paper's own names: no second number, and no name given to two elements
of a page."""

import itertools
import re

from docutils import nodes
from sphinx import addnodes

BLOCK = re.compile(
    r'(<p class="admonition-title")(?: id="[^"]*")?'
    r'(><span class="caption-number">)[^<]*</span> \((.*?)\)(</p>)',
    re.DOTALL,
)
SHORT = re.compile(r"((?:Theorem|Proposition|Lemma|Definition|Assumption|Corollary) \w+′?)")
CONTENT = re.compile(r' id="proof-content"')
PROOF = re.compile(r'<div class="proof admonition" id="proof">\s*<p>Proof\. ')


def rename(app, page, template, context, doctree):
    """Show the title of an unnumbered block instead of its kind, and give each part an id of its
    own."""
    body = context.get("body")
    if body is None:
        return
    body = BLOCK.sub(r"\1\2\3</span>\4", body)
    body = CONTENT.sub("", body)
    count = itertools.count(1)
    context["body"] = PROOF.sub(
        lambda _: f'<div class="proof admonition" id="proof-{next(count)}"><p><em>Proof.</em> ',
        body,
    )


def index(app, doctree):
    """Enter each statement into the index, under its short name, where the search looks first."""
    for node in list(doctree.findall(nodes.Element)):
        proof = "proof" in node.get("classes", ()) and node.get("label")
        name = SHORT.search(node.get("title", "")) if proof else None
        if name:
            entry = addnodes.index(entries=[("single", name[1], node["ids"][0], "main", None)])
            node.parent.insert(node.parent.index(node), entry)


def without_numbers(app, config):
    """Switch the numbers of figures off again, which sphinx-proof switches on: headings give those
    of the paper."""
    config.numfig = False


def setup(app):
    app.connect("config-inited", without_numbers, priority=900)
    app.connect("doctree-read", index)
    app.connect("html-page-context", rename)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
