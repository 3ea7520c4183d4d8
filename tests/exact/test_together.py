"""Theorem C for many points at once: what it settles the search finds too, and what it proves needs
its allowances."""

from fractions import Fraction

import numpy as np
import pytest
import torch

import lbrs.exact.cells
import lbrs.exact.together
from lbrs import L1, L2, LinearScore, NearestNeighborOracle
from lbrs.exact.cells import exact_radii
from lbrs.exact.scaled import View, scaled
from lbrs.exact.together import Batch, is_small, together

CASES = [(2, 2), (2, 6), (5, 10), (5, 40), (50, 10), (50, 60)]


def drawn(rng, d, N, alpha, n=100, norm=L2):
    """A random model of N points in d dimensions, as the search sees it at n points."""
    points, labels = rng.normal(size=(N, d)), [1, -1] * (N // 2)
    score, oracle = LinearScore(rng.normal(size=d)), NearestNeighborOracle(points, labels)
    x = torch.from_numpy(rng.normal(size=(n, d)))
    problem = scaled(score, oracle, alpha, norm, x, box=False)
    return score, oracle, x, problem


@pytest.mark.parametrize("alpha", [0.1, 1.0, 1e9])
@pytest.mark.parametrize(("d", "N"), CASES)
def test_what_is_settled_together_the_search_finds_too(rng, monkeypatch, d, N, alpha):
    score, oracle, x, problem = drawn(rng, d, N, alpha)
    found = exact_radii(score, oracle, alpha, L2, x)
    monkeypatch.setattr(lbrs.exact.cells, "is_small", lambda problem: False)
    alone = exact_radii(score, oracle, alpha, L2, x)
    torch.testing.assert_close(found.radius, alone.radius, rtol=2e-9, atol=1e-12)
    radius, _ = together(problem, found.prediction.numpy())
    assert is_small(problem) and np.isfinite(radius).mean() >= (0.8 if alpha > 0.5 else 0.5)


def test_a_point_is_settled_alike_in_every_batch(rng):
    score, oracle, x, _ = drawn(rng, 20, 20, 1.0)
    whole = exact_radii(score, oracle, 1.0, L2, x)
    parts = [exact_radii(score, oracle, 1.0, L2, part) for part in x.split(7)]
    assert torch.equal(whole.radius, torch.cat([part.radius for part in parts]))
    assert torch.equal(whole.witness, torch.cat([part.witness for part in parts]))


@pytest.mark.parametrize(
    ("norm", "box", "alpha", "N"), [(L1, False, 1.0, 10), (L2, True, 1.0, 10), (L2, False, 0.0, 10)]
)
def test_other_programs_are_left_to_the_search(rng, norm, box, alpha, N):
    score, oracle, x, _ = drawn(rng, 3, N, 1.0)
    x = x.clamp(0, 1)
    assert not is_small(scaled(score, oracle, alpha, norm, x, box=box))


def batch(rng, d=5, s=1.0):
    _, _, _, problem = drawn(rng, d, 8, 1.0)
    return Batch(problem, s, problem.x, problem.R, problem.error)


def raised(rng):
    """How many sides of bisectors are above those of the computed rows in rational numbers."""
    seen, above = batch(rng), 0
    program = seen.program(1.0, 0)
    sides = seen.sides(program, np.arange(len(seen.x)))[:, 1:]
    points = [[Fraction(v) for v in row] for row in seen.problem.points]
    for row, lowered in zip(seen.x, sides, strict=True):
        x = [Fraction(v) for v in row]
        for k, u, side in zip(program.members, program.H[1:], lowered, strict=True):
            pairs = zip(points[0], points[k], x, strict=True)
            middle = [(one + other) / 2 - z for one, other, z in pairs]
            above += Fraction(side) > sum(Fraction(a) * m for a, m in zip(u, middle, strict=True))
    return above


def test_sides_need_the_allowance_of_rows(monkeypatch):
    assert raised(np.random.default_rng(0)) == 0
    monkeypatch.setattr(lbrs.exact.together, "of_row", lambda d: 0.0)
    assert raised(np.random.default_rng(0)) > 0


def test_sides_are_those_of_the_search_and_lowered_as_there(rng):
    seen = batch(rng)
    program, rows = seen.program(1.0, 0), np.arange(len(seen.x))
    sides = seen.sides(program, rows)
    slack = seen.slack(program, rows, np.full(len(rows), 2.0))
    for i in rows:
        view = View(seen.problem, i, seen.s)
        _, lowered = view.bisectors(program.j, program.members)
        np.testing.assert_allclose(sides[i, 1:], lowered, atol=1e-13)
        assert sides[i, 0] == view.c[program.y]
        half = np.maximum(view.half[program.j], view.half[program.members])
        wrong = view.mislabelled(half, 4.0) / view.gaps(program.j, program.members)
        assert (slack[i, 1:] >= wrong).all() and slack[i, 0] > 0


def test_bounds_hold_for_any_multipliers(rng):
    """No bound that multipliers prove is above the distance of a point of the polyhedron."""
    seen = batch(rng)
    program, rows = seen.program(1.0, 0), np.arange(len(seen.x))
    h = seen.sides(program, rows)
    lam, _ = program.solve(h)
    d = program.combined(lam)
    inside = (h - np.einsum("pd,md->pm", d, program.H)).max(1) <= 1e-12
    assert inside.mean() > 0.5
    distance = np.linalg.norm(d, axis=1)
    for other in (lam, lam * 0.5, lam + rng.random(lam.shape), rng.random(lam.shape)):
        proved = program.certified(other, h)
        assert (proved <= distance * (1 + 1e-12))[inside].all()
    assert (program.certified(lam, h) >= distance * (1 - 1e-9))[inside].all()
