"""The Coq proofs: complete, on no axioms but those of the real numbers and classical logic, and about
the numbers that the code uses."""

import importlib.util
import re
from fractions import Fraction
from itertools import product
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


def test_the_labels_are_those_of_the_book():
    for entry in prove.statements():
        if entry["label"] and entry["page"] != "errata":
            page = (COQ.parent / "book" / f"{entry['page']}.md").read_text(encoding="utf-8")
            assert f":label: {entry['label']}\n" in page
        elif entry["label"]:
            page = (COQ.parent / "book/errata.md").read_text(encoding="utf-8")
            titles = re.findall(r"^### (.*)", page, re.M)
            anchors = [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]
            assert entry["label"] in anchors


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
    (tmp_path / "Cheat.v").write_text(
        "Axiom cheat : False.\nTheorem all : 0 = 1.\nProof. now destruct cheat. Qed.\n"
    )
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
    mutated = tmp_path / f"{file}.v"
    mutated.write_text(source.replace(old, new), encoding="utf-8")
    with pytest.raises(RuntimeError, match="Error"):
        prove.check(mutated)


def formula(file: str, name: str, *values: Fraction) -> Fraction:
    """The value of a definition in Coq, in exact arithmetic."""
    source = text(COQ / f"{file}.v")
    found = re.search(
        rf"^Definition {name}\b ?(\([^:]*: R\))? : R :=(.*?)\.\n", source, re.S | re.M
    )
    letters, body = found.groups()
    letters = re.findall(r"\w+'?", letters.replace(": R", "")) if letters else []
    body = re.sub(
        r"if Rle_dec (\S+) (\(.*?\)) then (.*) else (.*)",
        r"(\3) if \1 <= \2 else (\4)",
        body,
        flags=re.S,
    )
    body = re.sub(r"^\s*/", "1 /", body).replace("^", "**").replace("'", "_").replace("\n", " ")
    known = {letter.replace("'", "_"): value for letter, value in zip(letters, values, strict=True)}
    for other, place in {
        "u": "Rounding",
        "eps": "Rounding",
        "TINY": "Allowances",
        "SHARE": "Bisectors",
    }.items():
        if other != name and re.search(rf"\b{other}\b", body):
            known[other] = formula(place, other)
    return eval(re.sub(r"\b(\d+)\b", r"Fraction(\1)", body), {"Fraction": Fraction, **known})
