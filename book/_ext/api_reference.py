"""The docstrings of lbrs as reStructuredText: formulas set as mathematics, parameters as lists, citations of the book as links."""

import re

FORMULAS = {
    "certificates.theorem1": r"r^\mu_{\mathrm{nrm}}(x) = \tfrac{\sigma}{2}\big(\Phi^{-1}(g^\mu_y(x)) - \Phi^{-1}(g^\mu_{y'}(x))\big) = \sigma\,\Phi^{-1}(g^\mu_y(x))",
    "certificates.theorem6": r"r^\mu_{\mathrm{lin}}(x) = \min\Big\{ \frac{|g^\mu(x)|}{\|a\|_*},\ r^\mu_{\mathrm{nghbr}}(x) \Big\}",
    "certificates.theorem8": r"r^\mu_{\mathrm{bdry}}(x) = \frac{\sqrt{B^2 + 4L\,|g^\mu(x)|} - B}{2L}, \qquad B = \alpha L + \|\nabla g(x)\|_*",
    "certificates.theorem_h": r"r = \begin{cases} R - \alpha & f^\mu(x) \ne \hat y(x) \\ \min\{R + \alpha,\ \max(R_{\mathrm{nb}}, R - \alpha)\} & f^\mu(x) = \hat y(x) \end{cases}",
    "certificates.theorem_e": r"r = \begin{cases} \rho_- & f^\mu(x) \ne \hat y(x) \\ \min\{\rho_+,\ \max(R_{\mathrm{nb}}, \rho_-)\} & f^\mu(x) = \hat y(x) \end{cases}",
    "certificates.radius_against": r"\rho_- = \frac{2m}{B + \sqrt{B^2 + 2Lm}}, \qquad m = v - \alpha G, \quad B = G + \alpha L",
    "certificates.radius_along": r"\Psi_+(t) = \min_{\nu} \Big\{ v - \tfrac{L t^2}{4} - \tfrac{t}{2}(G + \nu) + \tfrac{(\nu - G)^2}{4L} + \alpha\nu : |\nu - G| \le Lt,\ \nu \ge 0 \Big\}",
    "certificates.theorem_g": r"K = \frac{\Omega}{\sigma\sqrt{2\pi}}, \qquad L = \frac{2\varphi(1)\,\Omega}{\sigma^2}",
    "certificates.theorem_m": r"r = \min_{k'} \max\{\mathrm{nb}(k'),\ R_{k'}\}, \qquad R_{k'} = \min_{c \ne s} \Big\{ \frac{h_s - h_c}{K} + \alpha\big(1[s = k'] - 1[c = k']\big) \Big\}",
    "norms.Norm": r"\|v\| = \Big(\sum_i |v_i|^p\Big)^{1/p}, \qquad \|v\| = \max_i |v_i| \ \text{ for } p = \infty",
    "norms.Norm.dual": r"\|y\|_* = \sup\{x^\top y : \|x\| \le 1\}",
    "norms.Norm.maximizer": r"a^\top m = \|a\|_*, \qquad \|m\| = 1",
    "oracles.nearest.NearestNeighborOracle": r"\hat y(x) = y_{i^*(x)}, \qquad i^*(x) \in \operatorname*{arg\,min}_i \rho(x, x_i)",
    "oracles.nearest.NearestNeighborOracle.radius": r"R_{\mathrm{nb}}(x) = \min_{y_j \ne \hat y(x)} \max_{y_k = \hat y(x)} \frac{\rho(x, x_j)^2 - \rho(x, x_k)^2}{2\|x_k - x_j\|_*}",
    "scores.linear.LinearScore": r"g(x) = a^\top x + b",
    "scores.margin.ProbabilityMargin": r"g(x) = p_{+1}(x) - p_{-1}(x) = \tanh\big(z(x)/2\big)",
    "smoothing.LocallyBiased": r"g^\mu(x) = g(x) + \alpha\,\hat y(x)\,\|\nabla g(x)\|_*",
    "scores.base.select": r"f^\mu(x) = \begin{cases} \hat y(x) & \alpha > |g(x)| / \|\nabla g(x)\|_* \\ \operatorname{sign} g(x) & \text{else} \end{cases}",
    "normal.NormalSmoothing": r"g^\mu(x) = \mathbb{E}\,g(x + \epsilon), \qquad \epsilon \sim N(0, \sigma^2 I)",
    "scores.lipschitz.LipschitzScore": r"|h(x) - h(z)| \le K\,\|x - z\|",
    "scores.cohen.CohenScore": r"h(x) = \sigma\,\Phi^{-1}\big(p(x)\big), \qquad p(x) = \mathbb{P}\big(f(x + \epsilon) = +1\big)",
    "scores.gaussian.GaussianScore": r"g(x) = \mathbb{E}\,g_0(x + \epsilon), \qquad \epsilon \sim N(0, \sigma^2 I)",
    "multiclass.MulticlassLocallyBiased": r"f^\mu(x) = \operatorname*{arg\,max}_c \big( h_c(x) + \alpha K\,1[c = k(x)] \big)",
    "exact.cells.exact_radii": r"r^*(x) = \min_{y,\,j \in I_y} \operatorname{dist}(x, P_{y,j}), \qquad "
    r"P_{y,j} = \{z : \rho(z, x_j) \le \rho(z, x_k)\ \forall k \in I_{-y},\ s\,(g(z) + \alpha y \|a\|_*) \le 0\}",
    "curvature.gradient_lipschitz": r"\|\nabla g(x) - \nabla g(z)\|_* \le L\,\|x - z\|",
    "curvature.CertifiedLoss": r"t\,\operatorname{softplus}\Big(-\frac{y\,g(x) - \|\nabla g(x)\|_*\,r - L r^2/2}{t}\Big)",
    "montecarlo.clopper_pearson": r"\mathbb{P}(\text{lower} \le p \le \text{upper}) \ge \text{confidence}",
    "montecarlo.empirical_bernstein": r"\bar X \mp \bigg( \sqrt{\frac{2V\log(4/\text{error})}{n}} + \frac{7\log(4/\text{error})}{3(n - 1)} \bigg)",
    "attacks.pgd.pgd": r"x^{(i+1)} = \Pi\big(x^{(i)} - \eta\, y\, m(\nabla z(x^{(i)}))\big), \qquad \|m(v)\| = 1",
}
"""The formula of a function or class, in LaTeX; it stands after the first paragraph of the docstring."""

ITEM = re.compile(r"([a-z_]\w*(?:, [a-z_]\w*)*|\w+=\"\w+\"): ", re.IGNORECASE)
CITATION = re.compile(
    r"((?:Theorem|Proposition) \w+'?)?( \(|; |(?<=\())book: ([a-z0-9-]+(?:, [a-z0-9-]+)*)\)"
)
PAGES = {
    **dict.fromkeys(
        ("paper-eq-1", "paper-eq-2", "paper-eq-3", "paper-eq-4", "paper-eq-6"), "linear"
    ),
    "paper-eq-5": "nonlinear",
    "eq-soft-smoothing": "smoothing",
}
"""The page of each labelled equation; its number there is not that of the paper."""

PARAMETERS = re.compile(r"(?:^|(?<=\. ))(Parameters[^:.]*): ")
AFTER = re.compile(r"(?<=\.) (?=Returns|Raises|Where|With|It )")


def escape(text):
    """Plain text as reStructuredText: names in backticks as code, citations as links, everything else as it is."""
    roles = []

    def kept(found):
        roles.append(links(*found.groups()))
        return f"\0{len(roles) - 1}\0"

    parts = re.split(r"`([^`]+)`", CITATION.sub(kept, text))
    plain = [re.sub(r"([\\*_|`])", r"\\\1", part) for part in parts[::2]]
    joined = plain[0] + "".join(
        f"\\ ``{code}``\\ {after}" for code, after in zip(parts[1::2], plain[1:], strict=True)
    )
    return re.sub("\0(\\d+)\0", lambda found: roles[int(found.group(1))], joined)


def links(name, opening, labels):
    """Links to the statements of the book, in place of "Theorem 6 (book: theorem-6)", of "(Theorem 6; book: theorem-6)", or of "(book: labels)" alone."""
    labels, before = labels.split(", "), name or ""
    if name == spoken(labels[0]):
        before = f":prf:ref:`{name} <{labels.pop(0)}>`"
    roles = [
        f":doc:`{PAGES[label]}`" if label in PAGES else f":prf:ref:`{spoken(label)} <{label}>`"
        for label in labels
    ]
    see = "see " + ", ".join(dict.fromkeys(roles))
    if opening == " (":
        return f"{before} ({see})" if roles else before
    return f"{before}{opening}{see})" if roles else f"{before})"


def spoken(label):
    """Theorem E' for theorem-e-prime, Assumption 7 for assumption-7."""
    kind, *rest = label.split("-")
    return (
        "Direction oracle"
        if kind == "direction"
        else f"{kind.capitalize()} {rest[0].upper()}" + ("'" if "prime" in rest else "")
    )


def paragraph(lines, listed):
    """One block of a docstring as lines of reStructuredText."""
    if lines[0].startswith(">>>"):
        return lines
    if lines[0].startswith(" "):
        return ["::", "", *("    " + line for line in lines)]
    if len(lines) > 1 and set(lines[1]) == {"-"}:
        return [f"**{lines[0]}**", "", *paragraph(lines[2:], True)]
    if not (listed or '="' in lines[0]) or not ITEM.match(lines[0]):
        return prose(" ".join(line.strip() for line in lines))
    entries = []
    for line in lines:
        if ITEM.match(line):
            entries.append(line)
        else:
            entries[-1] += " " + line.strip()
    told = [(ITEM.match(entry).group(1), entry[ITEM.match(entry).end() :]) for entry in entries]
    return [f"- ``{name}``: {escape(text)}" for name, text in told]


def prose(text):
    """A paragraph; what follows "Parameters:" in it becomes a list."""
    before, *given = PARAMETERS.split(text, maxsplit=1)
    if not given:
        return [escape(text)]
    told, *after = AFTER.split(given[1], maxsplit=1)
    entries = re.split(r"; (?=`)", told)
    listed = [f"- {escape(entry)}" for entry in entries] if len(entries) > 1 else [escape(told)]
    return [escape(before.strip()), "", f"**{given[0]}**", "", *listed, "", *map(escape, after)]


GOOGLE = re.compile(
    r"^:(Parameters|returns|raises|ivar)\b|^\.\. math::|``|:prf:ref:|:doc:|:math:", re.MULTILINE
)
"""What a docstring holds that napoleon has read."""


def rewrite(app, what, name, obj, options, lines):
    """The hook of autodoc: replace the `lines` of a docstring that is not in Google style yet."""
    if GOOGLE.search("\n".join(lines)):
        return
    blocks = [
        block.splitlines()
        for block in re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))
        if block.strip()
    ]
    parts = [paragraph([line.rstrip() for line in block], what == "class") for block in blocks]
    formula = FORMULAS.get(name.removeprefix("lbrs."))
    if formula:
        parts.insert(1, [".. math::", "   :nowrap:", "", f"   \\[{formula}\\]"])
    lines[:] = [line for part in parts for line in (*part, "")]


def setup(app):
    app.connect("autodoc-process-docstring", rewrite)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
