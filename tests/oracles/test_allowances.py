"""The allowances of the oracle, one by one: with each of them what is promised holds, and without
it does not."""

import itertools
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
import torch
from oracle_cases import NORMS, exact_radius, length

import lbrs.oracles.gaps
import lbrs.oracles.nearest
import lbrs.oracles.radii
import lbrs.rounding
from lbrs import L1, L2, LINF, NearestNeighborOracle, Norm

pytestmark = pytest.mark.usefixtures("one_thread")


def hard(rng, N=30, d=6):
    """Points of very different sizes, some nearly equal."""
    points = rng.normal(size=(N, d)) * 10.0 ** rng.integers(-6, 7, (N, 1))
    points[N // 2 :] = points[: N // 2] * (1 + 1e-9 * rng.normal(size=(N // 2, d)))
    return points


def outside(rng, norm):
    """How many bounds of gaps between reference points exact arithmetic breaks."""
    broken = 0
    with localcontext() as context:
        context.prec = 60
        few, line = rng.choice([0.0, 0.5, 1.0, 3.0], (16, 6)), rng.normal(size=(16, 1))
        for points in (hard(rng), few, np.tile(line, 3)):
            oracle = NearestNeighborOracle(points, np.ones(len(points)))
            points = oracle._points.numpy()
            every = torch.arange(len(points))
            low, high = oracle._gaps.bounds(every, slice(0, len(points)), norm.dual)
            exact = [[Fraction(v) for v in p] for p in points]
            for i, j in itertools.product(range(len(points)), repeat=2):
                true = length([s - t for s, t in zip(exact[i], exact[j], strict=True)], norm)
                below, above = low[i, j].item(), high[i, j].item()
                held = above >= 0 and Decimal(below) <= true <= Decimal(above)
                broken += not held
    return broken


@pytest.mark.parametrize("norm", [*NORMS, Norm(1.001), Norm(50)], ids=str)
def test_gaps_lie_within_their_bounds(rng, norm):
    assert outside(rng, norm) == 0


def test_gaps_need_the_allowance_of_products_and_that_of_powers(rng, monkeypatch):
    products = ("of_product", nothing, L2), ("of_product", nothing, LINF)
    for name, value, norm in (*products, ("ROOM", 0.0, L1)):
        with monkeypatch.context() as patch:
            patch.setattr(lbrs.oracles.gaps, name, value)
            assert outside(np.random.default_rng(0), norm) > 0


def nothing(d):
    """No allowance."""
    return 0.0


def wrong_labels(rng):
    """How many of 1,200 points near bisectors get another first nearest point than in fractions."""
    wrong = 0
    for _ in range(30):
        points = rng.normal(size=(6, 12))
        x = (points[rng.integers(0, 6, 40)] + points[rng.integers(0, 6, 40)]) / 2
        found = NearestNeighborOracle(points, [1] * 6).nearest(x).tolist()
        exact = [[Fraction(v) for v in p] for p in points]
        for z, i in zip(x, found, strict=True):
            rho = [sum((Fraction(s) - t) ** 2 for s, t in zip(z, p, strict=True)) for p in exact]
            wrong += i != rho.index(min(rho))
    return wrong


def test_labels_need_the_allowance_of_products_and_that_of_sums(rng, monkeypatch):
    assert wrong_labels(rng) == 0
    for name in ("of_product", "of_sum"):
        with monkeypatch.context() as patch:
            patch.setattr(lbrs.oracles.nearest, name, nothing)
            assert wrong_labels(np.random.default_rng(0)) > 0


def radii_above(rng):
    """How many radii are above those of exact arithmetic."""
    above = 0
    with localcontext() as context:
        context.prec = 60
        for norm in (L1, L2, LINF):
            points, x, labels = rng.normal(size=(6, 3)), rng.normal(size=(40, 3)), [1, -1] * 3
            radius = NearestNeighborOracle(points, labels).radius(x, norm).tolist()
            for z, r in zip(x, radius, strict=True):
                above += Decimal(r) > exact_radius(z, points, labels, norm, 1)[1]
    return above


def test_radii_need_the_allowance_of_gaps_and_of_the_formula(rng, monkeypatch):
    assert radii_above(rng) == 0
    monkeypatch.setattr(lbrs.oracles.radii, "EPS", 0.0)
    monkeypatch.setattr(type(L2), "rounding", lambda self, d, *rest: 0.0)
    assert radii_above(np.random.default_rng(0)) > 0


def adversary(share, tiny, x, foe):
    """`squares` as wrong as its promise admits: too far at `x`, too near or too far elsewhere."""
    plain = lbrs.rounding.squares

    def squares(a, b):
        high, low = plain(a, b)
        there = (a != x).any(-1)
        sign = torch.where((b == foe).all(-1), 1.0, -1.0) * torch.where(there, -1.0, 1.0)
        return high + low + sign * (share * high + tiny * a.shape[-1]), torch.zeros_like(high)

    return squares


def flips(monkeypatch, allowed, share, tiny, size):
    """How many labels change within the radius under the adversary, with `allowed` allowances."""
    x = torch.tensor([[0.1, 0.2]], dtype=torch.float64) * size
    points = torch.tensor([[0.0, 0.0], [1.0, 0.5]], dtype=torch.float64) * size
    with monkeypatch.context() as patch:
        oracle = NearestNeighborOracle(points, [1, -1])
        worse = adversary(share, tiny, x[0], points[1])
        patch.setattr(lbrs.oracles.radii, "squares", worse)
        patch.setattr(lbrs.oracles.nearest, "squares", worse)
        patch.setattr(lbrs.oracles.nearest, "of_product", lambda d: 0.5)
        patch.setattr(lbrs.oracles.nearest, "of_sum", lambda d: 0.5)
        patch.setattr(lbrs.rounding, "SHARE", share if allowed else 0.0)
        patch.setattr(lbrs.rounding, "TINY", tiny if allowed else 0.0)
        radius = oracle.radius(x, L2)
        way = (points[1] - points[0]) / L2(points[1] - points[0])
        z = x + radius * (1 - 1e-9) * way
        return radius.item(), int(oracle.label(z) != oracle.label(x))


@pytest.mark.parametrize(
    ("share", "tiny", "size"), [(2.0**-12, 0.0, 1.0), (0.0, 2.0**-1020, 2.0**-506)]
)
def test_radii_need_the_allowance_of_squares_in_the_ball(monkeypatch, share, tiny, size):
    radius, flipped = flips(monkeypatch, True, share, tiny, size)
    assert radius > 0 and not flipped
    assert flips(monkeypatch, False, share, tiny, size)[1]
