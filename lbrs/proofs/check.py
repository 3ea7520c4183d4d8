"""Steps of the book's proofs that a computer decides: identities by sympy, implications over the
reals by z3, each with a broken version that must fail."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import chain
from typing import Any

HOMES = (
    "lbrs.proofs.paper",
    "lbrs.proofs.nonlinear",
    "lbrs.proofs.linear",
    "lbrs.proofs.smooth",
    "lbrs.proofs.roots",
    "lbrs.proofs.sharper",
)
"""In the order of the book, and in full, so that whoever reads the source sees what it uses."""

TIMEOUT = 20_000
"""Milliseconds that z3 may take for one question."""

SAMPLES = ((2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37), (3, 1, 2, 9, 4, 8, 6, 5, 7, 10, 12, 11))
"""Numerators, over 6, of the points at which two sides of an identity are compared when sympy finds
them different."""


Claim = Any
"""For sympy pairs of equal expressions, for z3 hypotheses and a conclusion."""


@dataclass(frozen=True)
class Verdict:
    """Whether a claim is proved; else a `counterexample`, a value for each of its variables, and
    for an identity by how much it fails there."""

    proved: bool
    counterexample: dict[str, str]


@dataclass(frozen=True)
class Check:
    """One algebraic step of a proof.

    Attributes:
        name: as it stands beside the step.
        tool: "sympy" or "z3".
        page, label: the chapter and the statement that the step belongs to.
        statement: the step, in LaTeX, with all that is assumed.
        mutation: what the broken version changes, in words.
        build: maps the tool's module and a bool, False for the broken version, to the claim.
    """

    name: str
    tool: str
    page: str
    label: str
    statement: str
    mutation: str
    build: Callable[[Any, bool], Claim]

    def decide(self, sound: bool = True) -> Verdict:
        """The verdict on the claim, or on its broken version; ArithmeticError where the tool
        decides neither way."""
        tool = import_module(self.tool)
        decide = _identity if self.tool == "sympy" else _implication
        verdict = decide(tool, self.build(tool, sound))
        if verdict is None:
            raise ArithmeticError(f"{self.tool} could not decide {self.name}, sound={sound}")
        return verdict

    def holds(self) -> bool:
        """Whether the step is proved."""
        return self.decide().proved

    def broken(self) -> bool:
        """Whether the broken version can be proved; if so, the check would be worthless."""
        return self.decide(sound=False).proved

    def possible(self) -> bool:
        """Whether the claim says anything: z3 finds a point where all hypotheses are true; both
        sides of an identity have finite values, not all 0."""
        tool = import_module(self.tool)
        claim = self.build(tool, True)
        if self.tool == "z3":
            return bool(_solver(tool, claim[0]).check() == tool.sat)
        point = _sample(tool, claim, SAMPLES[0])
        values = [abs(tool.N(side.subs(point))) for side in _sides(tool, claim)]
        return all(value.is_finite for value in values) and any(value > 0 for value in values)


def _identity(sympy: Any, pairs: list[tuple[Any, Any]]) -> Verdict | None:
    """Proved where each difference simplifies to 0; refuted by a rational point where two sides
    differ."""
    differences = [sympy.sympify(left) - right for left, right in pairs]
    if all(sympy.simplify(difference) == 0 for difference in differences):
        return Verdict(True, {})
    for numbers in SAMPLES:
        point = _sample(sympy, pairs, numbers)
        off = max((sympy.N(difference.subs(point), 30) for difference in differences), key=abs)
        if abs(off) > 1e-12:
            known = {str(symbol): str(value) for symbol, value in point.items()}
            return Verdict(False, {**known, "left - right": str(sympy.N(off, 6))})
    return None


def _sample(sympy: Any, pairs: list[tuple[Any, Any]], numbers: tuple[int, ...]) -> dict[Any, Any]:
    """A number of sixths for each variable, in alphabetical order."""
    free = set().union(*(side.free_symbols for side in _sides(sympy, pairs)))
    sixths = [sympy.Rational(number, 6) for number in numbers]
    return dict(zip(sorted(free, key=str), sixths, strict=False))


def _sides(sympy: Any, pairs: list[tuple[Any, Any]]) -> list[Any]:
    """Both sides of each identity, as expressions."""
    return [sympy.sympify(side) for side in chain.from_iterable(pairs)]


def _solver(z3: Any, formulas: list[Any]) -> Any:
    solver = z3.Solver()
    solver.set("timeout", TIMEOUT)
    solver.add(*formulas)
    return solver


def _implication(z3: Any, claim: tuple[list[Any], Any]) -> Verdict | None:
    """Proved where no real numbers satisfy the hypotheses and the negated conclusion; refuted by
    numbers that do."""
    solver = _solver(z3, [*claim[0], z3.Not(claim[1])])
    answer = solver.check()
    if answer == z3.unknown:
        return None
    if answer == z3.unsat:
        return Verdict(True, {})
    model = solver.model()
    names = [name for name in sorted(model.decls(), key=str) if name.arity() == 0]
    return Verdict(False, {str(name): str(model[name]) for name in names})


def step(
    tool: str, name: str, page: str, label: str, statement: str, mutation: str
) -> Callable[[Callable[[Any, bool], Any]], Check]:
    """Make a `Check` of the function that builds its claim."""
    return lambda build: Check(name, tool, page, label, statement, mutation, build)


@cache
def checks() -> dict[str, Check]:
    """All checks by name, in the order of the book."""
    values = chain.from_iterable(vars(import_module(home)).values() for home in HOMES)
    return {check.name: check for check in values if isinstance(check, Check)}


def low(z3: Any, a: Any, b: Any) -> Any:
    """min{a, b} as a z3 term."""
    return z3.If(a <= b, a, b)


def high(z3: Any, *terms: Any) -> Any:
    """max of z3 terms."""
    largest = terms[0]
    for term in terms[1:]:
        largest = z3.If(term >= largest, term, largest)
    return largest
