"""The small programs of Theorem C: solved, and proved to be solved."""

import numpy as np
import pytest

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
