"""What rounding may cost the classifier of Theorem C is taken off the sides of its polyhedra."""

from fractions import Fraction

import numpy as np
import pytest
import torch

import lbrs.exact.scaled
import lbrs.exact.search
from lbrs import L1, L2, LINF, LinearScore, NearestNeighborOracle
from lbrs.exact.scaled import View, scaled
from lbrs.exact.search import Polyhedron, Search
from lbrs.rounding import EPS, SHARE

norm = pytest.fixture(params=[L1, L2, LINF], ids=str)(lambda request: request.param)


def view(rng, norm, d=40, N=6):
    """A random model of N points in d dimensions, seen from a random point."""
    points, labels = rng.normal(size=(N, d)), [1, -1] * (N // 2)
    score, oracle = LinearScore(rng.normal(size=d)), NearestNeighborOracle(points, labels)
    x = torch.from_numpy(rng.normal(size=(1, d)))
    return View(scaled(score, oracle, 1.0, norm, x, box=False), 0, 1.0)


@pytest.mark.parametrize("reach", [1.0, 1e15])
def test_sides_are_lowered_by_all_errors_within_reach(rng, norm, monkeypatch, reach):
    """By those of the score, d + 1 units of the reach and one for a; by one for each bisector, and
    by what the label may be off where squares are as large as the reach admits."""
    sides = []
    monkeypatch.setattr(lbrs.exact.search, "certified", lambda H, h, *rest: sides.append(h) or 1.0)
    seen = view(rng, norm)
    d, members = len(seen.x), np.array([1, 3])
    P = Polyhedron(1.0, 0, members, np.zeros((3, d)), np.zeros(3))
    assert Search(seen).lowered(P, np.ones(3), reach) == 1.0
    assert -sides[0][0] >= (d + 2) * EPS / 2 * reach
    square = reach**2 * (d if norm == LINF else 1)
    wrong = 2 * SHARE * square / seen.gaps(0, members)
    assert (-sides[0][1:] >= EPS / 2 * reach + wrong).all()


def raised(rng, norm):
    """How many sides of bisectors are above those of the computed rows in rational numbers."""
    above = 0
    for _ in range(100):
        seen = view(rng, norm, d=5)
        rows, sides = seen.bisectors(0, np.array([1, 3, 5]))
        x, points = ([Fraction(v) for v in row] for row in (seen.x, seen.problem.points[0]))
        for k, row, side in zip((1, 3, 5), rows, sides, strict=True):
            other = [Fraction(v) for v in seen.problem.points[k]]
            middle = [(s + t) / 2 - z for s, t, z in zip(points, other, x, strict=True)]
            above += Fraction(side) > sum(Fraction(u) * m for u, m in zip(row, middle, strict=True))
    return above


def test_bisectors_need_the_allowance_of_rows(norm, monkeypatch):
    assert raised(np.random.default_rng(0), norm) == 0
    monkeypatch.setattr(lbrs.exact.scaled, "of_row", lambda d: 0.0)
    assert raised(np.random.default_rng(0), norm) > 0
