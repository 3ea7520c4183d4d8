"""The machine-checked steps of the proofs: each is proved, its broken version is refuted by a
counterexample, and none is vacuous."""

import re
from fractions import Fraction
from pathlib import Path

import pytest

from lbrs.proofs.check import Check, Verdict, checks

pytest.importorskip("sympy")
pytest.importorskip("z3")

BOOK = Path(__file__).parents[2] / "book"
CHECKS = list(checks().values())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_the_step_holds_and_breaking_it_fails(check):
    assert check.holds() and check.possible()
    broken = check.decide(sound=False)
    assert not broken.proved and not check.broken() and broken.counterexample


def test_there_are_enough_steps_of_both_kinds_each_with_its_own_name():
    names = [check.name for check in CHECKS]
    assert len(names) >= 40 and {check.tool for check in CHECKS} == {"sympy", "z3"}
    assert all(re.fullmatch(r"[A-Za-z0-9-]+", name) for name in names)
    assert all(check.statement and check.mutation for check in CHECKS)


def test_every_name_beside_a_step_of_the_book_is_a_check_and_every_check_is_named():
    named = {
        page.stem: set(
            re.findall(
                r"`([^`]+)`", " ".join(re.findall(r"\([Mm]achine: [^)]*\)", page.read_text()))
            )
        )
        for page in BOOK.glob("*.md")
    }
    assert set().union(*named.values()) <= set(checks()), "named in the book, but no check"
    for page in named.keys() & {check.page for check in CHECKS}:
        assert {check.name for check in CHECKS if check.page == page} <= set().union(
            *named.values()
        ), f"checks that no step names ({page})"


def test_a_claim_with_contradictory_hypotheses_is_found_out():
    vacuous = Check(
        "vacuous",
        "z3",
        "page",
        "label",
        "",
        "",
        lambda z3, sound: ([z3.Real("t") < 0, z3.Real("t") > 1], z3.BoolVal(False)),
    )
    assert vacuous.holds() and not vacuous.possible()
    empty = Check(
        "empty",
        "sympy",
        "page",
        "label",
        "",
        "",
        lambda sympy, sound: [(sympy.Symbol("a") - sympy.Symbol("a"), 0)],
    )
    assert empty.holds() and not empty.possible()


def test_a_false_claim_comes_with_the_numbers_that_refute_it():
    check = checks()["theorem6-last-step"]
    assert check.decide() == Verdict(True, {})
    found = check.decide(sound=False).counterexample
    h, m = (Fraction(found[name]) for name in ("h", "m"))
    assert abs(h - m) <= abs(m) and h * m <= 0
    found = checks()["descent-lemma"].decide(sound=False).counterexample
    assert set(found) == {"L", "t", "left - right"}


def test_an_open_question_is_an_error_not_a_verdict():
    def build(sympy, sound):
        x = sympy.Symbol("x")
        return [
            (
                sympy.Function("u")(x) * 0
                + sympy.prod([x - sympy.Rational(number, 6) for number in (2, 3)]),
                0,
            )
        ]

    with pytest.raises(ArithmeticError, match="sympy could not decide open"):
        Check("open", "sympy", "page", "label", "", "", build).decide()
