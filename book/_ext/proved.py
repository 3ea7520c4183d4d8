"""The Coq proofs in the book: beside each statement what is proved and what is assumed, a table of
all, and the sources as pages."""

import re
from html import escape
from pathlib import Path

import yaml
from docutils import nodes
from docutils.parsers.rst import Directive

HOME = next(
    folder / "coq"
    for folder in Path(__file__).resolve().parents
    if (folder / "coq/statements.yml").is_file()
)
TABLE = yaml.safe_load((HOME / "statements.yml").read_text(encoding="utf-8"))
"""The statements, with the names of their theorems in Coq."""

PARTS = {
    "proved": "Proved",
    "missing": "Not proved",
    "assumed": "Assumed",
    "found": "Found",
}
"""What the table says of a statement."""

STATED = re.compile(r"^(?:Theorem|Corollary) ([\w']+)", re.MULTILINE)


class Placed(nodes.General, nodes.Inline, nodes.Element):
    """A place for HTML whose links depend on the page: `kind` of content, `key` of what."""


def of_label(label):
    """The statements of one label of the book."""
    return [entry for entry in TABLE if entry["label"] == label]


def proved(entry):
    """Whether a statement, or a part of it, is proved in Coq."""
    return "coq" in entry


def place(entry, to):
    """The name of a statement, with a link to it if it stands in the book."""
    name, label = escape(entry["theorem"]), entry["label"]
    if not label:
        return name
    page = to(f"book/{entry['page']}")
    part = f"equation-{label}" if "eq-" in label else label
    return f'<a href="{page}#{part}">{name}</a>'


def theorems(entries, to):
    """Links to the theorems in Coq of some statements."""
    links = []
    for entry in filter(proved, entries):
        page = to(f"coq/{entry['file']}")
        links += [f'<a href="{page}#{name}"><code>{name}</code></a>' for name in entry["coq"]]
    return ", ".join(links)


def said(entry, kind):
    """The words of the table under one head."""
    return escape(" ".join(entry.get(kind, "").split()))


def told(entry, kinds=PARTS):
    """What is proved, what is not, and what was assumed and found, as sentences."""
    given = [kind for kind in kinds if kind in entry]
    return " ".join(f"<em>{PARTS[kind]}:</em> {said(entry, kind)}" for kind in given)


def note(entries, to):
    """What stands below a statement of the book, folded."""
    names = [name for entry in filter(proved, entries) for name in entry["coq"]]
    head = "In Coq, in part" if any("missing" in entry for entry in entries) else "In Coq"
    title = f"{head}: <code>{', '.join(names)}</code>" if names else "Not proved in Coq"
    lines = "".join(f"<p>{told(entry)} {theorems([entry], to)}</p>" for entry in entries)
    return f'<details class="coq"><summary>{title}</summary>{lines}</details>'


def rows(page, to):
    """The statements of one page, those of no page under `rounding`, as a table."""
    lines = ["<tr><th>statement</th><th>proved</th><th>assumed, found</th></tr>"]
    for entry in TABLE:
        if (entry["page"] or "rounding") == page:
            first = f"{said(entry, 'proved')} {theorems([entry], to)} {told(entry, ['missing'])}"
            second = told(entry, ["assumed", "found"])
            lines.append(f"<tr><td>{place(entry, to)}</td><td>{first}</td><td>{second}</td></tr>")
    return f"<table>{''.join(lines)}</table>"


def told_of(kind, to):
    """All that the table says under one head, as a list."""
    lines = [
        f"<li><b>{place(entry, to)}.</b> {said(entry, kind)}</li>"
        for entry in TABLE
        if kind in entry
    ]
    return f"<ul>{''.join(lines)}</ul>"


def listed(label, to):
    """The theorems in Coq behind a label, or a dash."""
    return theorems(of_label(label), to) or "–"


WRITERS = {"proofs": rows, "told": told_of, "proved": listed}
"""What the two directives and the role write."""


def fill(app, doctree, page):
    """Put a note below each statement that is proved, and links where a page asks for them."""

    def to(other):
        return app.builder.get_relative_uri(page, other)

    for node in list(doctree.findall(Placed)):
        html = WRITERS[node["kind"]](node["key"], to)
        node.replace_self(nodes.raw("", html, format="html"))
    for node in list(doctree.findall(nodes.Element)):
        if label := stated(node, page):
            below = nodes.raw("", note(of_label(label), to), format="html")
            if isinstance(node, nodes.math_block):
                node.parent.insert(node.parent.index(node) + 1, below)
            else:
                node.append(below)


def stated(node, page):
    """The label of a statement, an equation or an entry of the errata that is in the table."""
    entry = isinstance(node, nodes.section) and page == "book/errata"
    names = [node.get("label"), *node.get("ids", ())]
    known = entry or isinstance(node, nodes.math_block) or "realtype" in node
    return next((name for name in names if name and known and of_label(name)), None)


def sources(app):
    """A page for each file of proofs, on which its theorems can be linked to."""
    for path in sorted(HOME.glob("*.v")):
        page = f"coq/{path.stem}"
        text = path.read_text(encoding="utf-8")
        shown = app.builder.highlighter.highlight_block(text, "coq")
        start = shown.index("<pre>") + len("<pre>")
        head, lines = shown[:start], shown[start:].split("\n")
        for number, line in enumerate(text.split("\n")):
            if found := STATED.match(line):
                lines[number] = f'<span id="{found[1]}"></span>{lines[number]}'
        up = app.builder.get_relative_uri(page, "book/proofs")
        body = f'<h1>{path.name}</h1><p><a href="{up}">All proofs</a></p>'
        code = "\n".join([head + lines[0], *lines[1:]])
        body += f'<div class="coq">{code}</div>'
        yield page, {"title": path.name, "body": body}, "page.html"


class Written(Directive):
    """`{proofs} PAGE`: the statements of a page with their proofs. `{told} missing` or
    `{told} found`: what the table says under this head."""

    required_arguments = 1

    def run(self):
        return [Placed("", kind=self.name, key=self.arguments[0])]


def names(name, rawtext, text, lineno, inliner, options=None, content=()):
    """`{proved}` with a label: the theorems in Coq behind a statement."""
    return [Placed("", kind=name, key=text)], []


def setup(app):
    app.add_node(Placed)
    app.add_directive("proofs", Written)
    app.add_directive("told", Written)
    app.add_role("proved", names)
    app.connect("doctree-resolved", fill)
    app.connect("html-collect-pages", sources)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
