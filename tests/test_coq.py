"""The Coq proofs: complete, on no axioms but those of the real numbers and classical logic, and
about the numbers that the code uses."""

import importlib.util
import re
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from lbrs import rounding

COQ = Path(__file__).parents[1] / "coq"
SOURCES = sorted(COQ.glob("*.v"))

spec = importlib.util.spec_from_file_location("prove", COQ / "prove.py")
prove = importlib.util.module_from_spec(spec)
spec.loader.exec_module(prove)

needs_coq = pytest.mark.skipif(prove.missing(), reason=prove.INSTALL)

UNPROVED = r"\b(Admitted|admit|Axioms?|Parameters?|Conjectures?|give_up|Abort|bypass_check)\b"

MUTATIONS = {
    "a 2 dropped": (
        "Neighbours",
        "/ (2 * dual (fst k -' fst j)).",
        "/ dual (fst k -' fst j).",
    ),
    "a sign": ("Linear", "(R_own x - alpha) certified.", "(R_own x + alpha) certified."),
    "<= for <": (
        "Linear",
        "norm d < c / dual w -> w • d < c.",
        "norm d <= c / dual w -> w • d < c.",
    ),
    "half of the curvature": (
        "Roots",
        "v - alpha * G - (G + alpha * L) * t - L / 2 * t².",
        "v - alpha * G - (G + alpha * L) * t - L / 4 * t².",
    ),
    "the other maximum": (
        "Plane",
        "Rmax (Rmin o (m + alpha)) (Rmin (m - alpha) (o + tau))",
        "Rmax (Rmin o (m + alpha)) (Rmax (m - alpha) (o + tau))",
    ),
}
"""File, a piece of a statement, and what it is replaced by; each makes the statement false."""


def text(path: Path) -> str:
    """A source without its comments."""
    return re.sub(r"\(\*.*?\*\)", "", path.read_text(encoding="utf-8"), flags=re.S)


def proofs(path: Path) -> list[str]:
    """All proofs of a file."""
    return re.findall(r"^Proof\..*?(?:Qed|Defined)\.", path.read_text("utf-8"), re.S | re.M)


@pytest.fixture(scope="module")
def compiled() -> Path:
    prove.compile_all()
    return prove.BUILD


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_source_is_short_and_complete(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 400 and max(map(len, lines)) <= 100
    assert max(proof.count("\n") + 1 for proof in proofs(path)) <= 60
    assert not re.search(UNPROVED, text(path))


def test_the_table_names_every_theorem_once():
    names = prove.theorems()
    stated = {
        f"{path.stem}.{name}"
        for path in SOURCES
        for name in re.findall(r"^(?:Theorem|Corollary) ([\w']+)", text(path), re.M)
    }
    assert len(names) == len(set(names)) and set(names) == stated


BOOK = {path.stem: path.read_text(encoding="utf-8") for path in (COQ.parent / "book").glob("*.md")}
STATEMENT = re.compile(
    r"^:::\{prf:(?:theorem|lemma|proposition|corollary)\} (.*)\n(?::label: (\S+)\n)?", re.M
)


def test_the_table_has_every_statement_of_the_book_and_no_other():
    stated = {(page, label) for page, text in BOOK.items() for _, label in STATEMENT.findall(text)}
    named = [
        (entry["page"], entry["label"])
        for entry in prove.statements()
        if entry["label"] and entry["page"] != "errata" and "eq-" not in entry["label"]
    ]
    assert set(named) == stated


def test_what_the_table_has_without_a_label_is_not_in_the_book():
    titles = " ".join(title for text in BOOK.values() for title, _ in STATEMENT.findall(text))
    for entry in prove.statements():
        if not entry["label"]:
            assert entry["theorem"] not in titles


def test_other_labels_are_those_of_equations_and_entries_of_the_errata():
    titles = re.findall(r"^### (.*)", BOOK["errata"], re.M)
    anchors = [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]
    for entry in prove.statements():
        if entry["page"] == "errata":
            assert entry["label"] in anchors
        elif "eq-" in (entry["label"] or ""):
            assert f"\n:label: {entry['label']}\n" in BOOK[entry["page"]]


def test_the_table_tells_of_each_statement_what_is_proved_or_what_is_missing():
    for entry in prove.statements():
        told = {"theorem", "label", "page"}
        told |= {"file", "coq", "proved"} if "coq" in entry else {"missing"}
        assert told <= entry.keys() <= told | {"missing", "assumed", "found"}


def test_the_book_shows_every_part_of_the_table():
    pages = set(re.findall(r"^```\{proofs\} (\w+)$", BOOK["proofs"], re.M))
    assert pages == {entry["page"] or "rounding" for entry in prove.statements()}


def proved():
    """The extension that shows the proofs in the book."""
    spec = importlib.util.spec_from_file_location("proved", COQ.parent / "book/_ext/proved.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_note_names_and_links_each_theorem_of_its_label():
    shown = proved()
    for entry in prove.statements():
        if entry["label"]:
            html = shown.note(shown.of_label(entry["label"]), lambda page: f"{page}.html")
            file = entry.get("file")
            for name in entry.get("coq", ()):
                assert f'<a href="coq/{file}.html#{name}"><code>{name}</code></a>' in html
            assert ("in part" in html or "Not proved" in html) or "missing" not in entry
            assert all(shown.said(entry, kind) in html for kind in shown.PARTS)


def test_a_part_that_is_not_proved_is_not_shown_as_proved():
    shown = proved()
    entry = {"theorem": "Z", "label": "z", "page": "sharper", "missing": "All of it."}
    html = shown.note([entry], str)
    assert "Not proved in Coq" in html and "All of it." in html
    part = entry | {"file": "File", "coq": ["half"], "proved": "Half."}
    assert "In Coq, in part: <code>half</code>" in shown.note([part], str)


@needs_coq
@pytest.mark.slow
def test_no_theorem_rests_on_another_axiom(compiled):
    names = prove.theorems()
    found = prove.axioms(names)
    assert list(found) == names
    assert set().union(*found.values()) == prove.AXIOMS.keys()


@needs_coq
@pytest.mark.slow
def test_another_axiom_and_a_missing_theorem_are_seen(compiled, tmp_path):
    cheat = "Axiom cheat : False.\nTheorem all : 0 = 1.\nProof. now destruct cheat. Qed.\n"
    (tmp_path / "Cheat.v").write_text(cheat)
    prove.run(["coqc", "-Q", ".", "LBRS", "Cheat.v"], tmp_path)
    assert prove.axioms(["Cheat.all"], tmp_path) == {"Cheat.all": {"Cheat.cheat"}}
    with pytest.raises(RuntimeError, match="nothing_of_this_name"):
        prove.axioms(["Cheat.nothing_of_this_name"], tmp_path)


@needs_coq
@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_false_statement_is_refused(compiled, tmp_path, name):
    file, old, new = MUTATIONS[name]
    source = (COQ / f"{file}.v").read_text(encoding="utf-8")
    assert source.count(old) == 1
    copy = tmp_path / f"{file}.v"
    copy.write_text(source, encoding="utf-8")
    prove.check(copy)
    copy.write_text(source.replace(old, new), encoding="utf-8")
    with pytest.raises(RuntimeError, match="Error"):
        prove.check(copy)


CONSTANTS = {"u": "Rounding", "eps": "Rounding", "TINY": "Allowances", "SHARE": "Bisectors"}


def formula(file: str, name: str, *values: Fraction) -> Fraction:
    """The value of a definition of real numbers in Coq, in exact arithmetic."""
    pattern = rf"^Definition {name}\b ?(?:\(([^:]*) : R\))? : R :=(.*?)\.\n"
    letters, body = re.search(pattern, text(COQ / f"{file}.v"), re.S | re.M).groups()
    choice = re.compile(r"if Rle_dec (\S+) (\(.*?\)) then (.*) else (.*)", re.S)
    body = choice.sub(r"(\3) if \1 <= \2 else (\4)", body)
    body = re.sub(r"^\s*/", "1 /", body).replace("^", "**").replace("\n", " ")
    body = re.sub(r"\b(\d+)\b", r"Fraction(\1)", body.replace("'", "_"))
    known = dict(zip((letters or "").replace("'", "_").split(), values, strict=True))
    for other in set(re.findall(r"\w+", body)) & CONSTANTS.keys() - {name}:
        known[other] = formula(CONSTANTS[other], other)
    return eval(body.strip(), {"Fraction": Fraction, **known})


def near(code: float, proved: Fraction, ulps: int) -> bool:
    """Whether a result of the code is the number of the lemma, up to a few roundings."""
    return abs(Fraction(code) - proved) <= ulps * Fraction(rounding.EPS) * abs(proved)


NUMBERS = [Fraction(0), Fraction(1, 8), Fraction(3), Fraction(10**6)]
SHARES = [Fraction(1, 2**40), Fraction(1, 100), Fraction(1, 2)]


def test_the_constants_of_the_code_are_those_of_the_proofs():
    assert Fraction(rounding.EPS) == formula("Rounding", "eps") == 2 * formula("Rounding", "u")
    assert Fraction(rounding.CHOICE) == formula("Allowances", "CHOICE")
    assert Fraction(rounding.SHARE) == formula("Bisectors", "SHARE")
    assert Fraction(rounding.TINY) == formula("Allowances", "TINY")


def test_the_docstrings_of_allowances_name_their_lemmas_and_no_other():
    cited = set()
    for function in vars(rounding).values():
        if callable(function) and function.__module__ == rounding.__name__:
            for names in re.findall(r"In Coq: ((?:`\w+`,?\s*)+)", function.__doc__ or ""):
                cited |= set(re.findall(r"\w+", names))
    of_rounding = [entry for entry in prove.statements() if not entry["page"]]
    assert cited <= {name for entry in of_rounding for name in entry["coq"]}
    for entry in of_rounding:
        if any(hasattr(rounding, word) for word in re.findall(r"\w+", entry["theorem"])):
            assert cited & set(entry["coq"]), entry["theorem"]


@pytest.mark.parametrize("d", [1, 2, 784, 2**25 - 1])
def test_the_allowances_for_sums_are_those_of_the_proofs(d):
    assert near(rounding.affine_slope(d), formula("Allowances", "affine_slope", d), 0)
    assert near(rounding.of_sum(d), formula("Sums", "of_sum", d), 0)
    assert near(rounding.of_combination(d), formula("Sums", "of_combination", d), 0)
    for size in NUMBERS:
        value = torch.tensor(float(size), dtype=torch.float64)
        code = rounding.affine_scores(value, d).item()
        assert near(code, formula("Allowances", "affine_scores", size, d), 4)
        code = rounding.overtaking(value, d).item()
        assert near(code, formula("Bisectors", "overtaking", size, d), 4)


@pytest.mark.parametrize("s", SHARES)
@pytest.mark.parametrize("value", [-sign for sign in NUMBERS] + NUMBERS)
def test_the_ends_of_computed_numbers_are_those_of_the_proofs(value, s):
    computed, eps = torch.tensor(float(value), dtype=torch.float64), Fraction(rounding.EPS)
    low = Fraction(rounding.least(computed, float(s)).item())
    proved = formula("Allowances", "least", value, s)
    assert low <= proved <= low + 8 * eps * abs(proved)
    low, high = (Fraction(end.item()) for end in rounding.slopes(computed.abs(), float(s)))
    proved = formula("Allowances", "slope_low", abs(value), s)
    assert low <= max(proved, 0) and near(low, max(proved, 0), 8)
    proved = formula("Allowances", "slope_high", abs(value), s)
    assert proved <= high and near(high, proved, 8)


@pytest.mark.parametrize("s", SHARES)
@pytest.mark.parametrize("alpha", NUMBERS)
@pytest.mark.parametrize("G", NUMBERS)
def test_the_allowances_for_scores_are_not_below_those_of_the_proofs(G, alpha, s):
    slope, reach = torch.tensor([[float(G)], [0.0]], dtype=torch.float64)
    for larger in (s, (1 + s) / 2):
        code = rounding.general_score(slope, reach, float(alpha), 1.0, float(s), float(larger))
        loose = larger + Fraction(rounding.CHOICE)
        proved = formula("Allowances", "general_score", G, alpha, s, loose)
        extra = Fraction(rounding.EPS) * alpha * (1 + G) * 9
        rounded = (1 - 4 * Fraction(rounding.EPS)) * proved
        assert rounded <= Fraction(code.item()) <= proved * (1 + Fraction(1, 2**49)) + extra
    code = rounding.lipschitz_allowance(float(alpha), float(G), float(s))
    proved = formula("Allowances", "lipschitz_allowance", alpha, G, s)
    extra = 16 * Fraction(rounding.EPS) * alpha * G
    assert near(code, proved + extra, 4)
