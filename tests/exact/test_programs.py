"""The small programs of Theorem C: solved, and proved to be solved."""

from fractions import Fraction

import numpy as np
import pytest

import lbrs.exact.programs
from lbrs import L1, L2, LINF
from lbrs.exact.programs import certified, solve

norm = pytest.fixture(params=[L1, L2, LINF], ids=str)(lambda request: request.param)


def everywhere(d):
    return np.full(d, -np.inf), np.full(d, np.inf)


def test_solver_closes_the_gap_on_random_polyhedra_in_the_box(rng, norm):
    for _ in range(150):
        m, d = int(rng.integers(2, 15)), int(rng.choice([2, 3, 5, 8, 50, 300]))
        H = rng.normal(size=(m, d)) * (rng.random((m, d)) < 0.5) + 0.1 * np.eye(1, d)
        H /= np.linalg.norm(H, norm.dual.p, axis=1)[:, None]
        x, z = np.where(rng.random(d) < 0.5, rng.integers(0, 2, d), rng.random(d)), rng.random(d)
        h = H @ (z - x) - 0.05 * rng.random(m)
        for edges in ((-x, 1 - x), everywhere(d)):
            lam, v = solve(H, h, edges, norm.p)
            proved = certified(H, h, lam, edges, norm.p)
            assert (H @ v >= h - 1e-11).all()
            assert (v >= edges[0] - 1e-11).all() and (v <= edges[1] + 1e-11).all()
            assert proved <= np.linalg.norm(v, norm.p) <= proved * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("angle", [1e-2, 1e-5])
def test_solver_finds_the_far_corner_of_a_wedge(norm, angle):
    H, h = np.array([[1, angle], [-1, angle]]), np.ones(2)
    lam, v = solve(H, h, everywhere(2), norm.p)
    proved = certified(H, h, lam, everywhere(2), norm.p)
    assert proved == pytest.approx(1 / angle, rel=1e-9)
    np.testing.assert_allclose(v, [0, 1 / angle], atol=1e-9 / angle)


def proved_too_much(rng, p):
    """How many of 300 bounds are above what the multipliers prove in rational numbers. The rows
    nearly cancel, so that their sum has lost most of its digits."""
    above, dual = 0, {1: max, np.inf: sum}[p]
    for _ in range(300):
        row, lam = rng.normal(size=3), rng.random(3)
        H = np.array([row, -row, row]) + 1e-6 * rng.normal(size=(3, 3))
        lam[1] = lam[0] + lam[2]
        h = np.array([1.0, -1.0, 1.0]) + 1e-3 * rng.random(3)
        proved = certified(H, h, lam, everywhere(3), p)
        weights, sides = ([Fraction(v) for v in row] for row in (lam, h))
        q = [sum(t * Fraction(v) for t, v in zip(weights, column, strict=True)) for column in H.T]
        side = sum(t * v for t, v in zip(weights, sides, strict=True))
        above += proved > 0 and Fraction(proved) > side / dual(map(abs, q))
    return above


@pytest.mark.parametrize("p", [1, np.inf])
def test_bounds_need_the_allowance_of_sums_with_multipliers(monkeypatch, p):
    assert proved_too_much(np.random.default_rng(0), p) == 0
    monkeypatch.setattr(lbrs.exact.programs, "of_combination", lambda m: 0.0)
    assert proved_too_much(np.random.default_rng(0), p) > 0


def too_far(rng, p):
    """How many of 300 distances to a half-space are above those in rational numbers."""
    above, dual = 0, {1: max, np.inf: sum}[p]
    for _ in range(300):
        q, c, lam = rng.normal(size=(1, 5)), rng.random(1), np.ones(1)
        proved = certified(q, c, lam, everywhere(5), p)
        above += Fraction(proved) > Fraction(c[0]) / dual(abs(Fraction(v)) for v in q[0])
    return above


@pytest.mark.parametrize("p", [1, np.inf])
def test_distances_need_the_allowances_of_filling_and_of_lengths(monkeypatch, p):
    assert too_far(np.random.default_rng(0), p) == 0
    for name in ("of_combination", "of_filling", "of_length"):
        monkeypatch.setattr(lbrs.exact.programs, name, lambda m: 0.0)
    assert too_far(np.random.default_rng(0), p) > 0
