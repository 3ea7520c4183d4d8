"""Neighbour radii against exact arithmetic, and what they depend on."""

import copy
import pickle
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
import torch
from oracle_cases import NORMS, exact_radius

import lbrs.oracles.distances
import lbrs.oracles.nearest
import lbrs.rounding
from lbrs import L1, L2, LINF, NearestNeighborOracle

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = 150


def problem(rng, kind, N, d):
    """Reference points with labels, and a few points: as normal numbers, on a lattice with ties,
    with duplicates, or in two clusters far apart."""
    points, x = rng.normal(size=(N, d)), rng.normal(size=(5, d))
    if kind == "lattice":
        points, x = rng.integers(-1, 2, (N, d)) * 1.0, rng.integers(-2, 3, (5, d)) / 2
    if kind == "duplicates":
        points = points[rng.integers(0, max(1, N // 3), N)]
    if kind == "clusters":
        points = points + 1e9 * (np.arange(N)[:, None] % 3 == 0)
        x = x + 1e9 * (np.arange(5) > 2)[:, None]
    return points, rng.choice([-1.0, 1.0], N), x


@pytest.mark.parametrize("kind", ["normal", "lattice", "duplicates", "clusters"])
@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_radii_are_those_of_exact_arithmetic_and_never_above(norm, k, kind):
    rng, checked = np.random.default_rng(k), 0
    with localcontext() as context:
        context.prec = DIGITS
        for magnitude in (1e-150, 1e-120, 1e-9, 1.0, 1e40, 1e140):
            N, d = int(rng.integers(k, 10)), int(rng.integers(1, 5))
            points, labels, x = problem(rng, kind, N, d)
            points, x = points * magnitude, x * magnitude
            oracle = NearestNeighborOracle(points, labels, k)
            for bound in ("sharp", "paper")[: 1 + (k == 1)]:
                found = oracle.label(x).tolist(), oracle.radius(x, norm, bound).tolist()
                for z, label, radius in zip(x, *found, strict=True):
                    true, expected = exact_radius(z, points, labels, norm, k, bound == "paper")
                    assert label == true and Decimal(radius) <= expected
                    size = Decimal(np.abs(points - z).max())
                    if magnitude > 1e-140 and expected > Decimal(1e-15) * size:
                        assert Decimal(radius) >= expected * (1 - Decimal(1e-10))
                        checked += 1
    assert checked > 10


def many(rng, N=300, d=37, n=40):
    points, x = rng.random((N, d)).round(1), rng.random((n, d)).round(1)
    return points, np.where(points[:, 0] > 0.45, 1.0, -1.0), x


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_radii_depend_on_the_point_alone_to_the_last_bit(rng, norm, k):
    points, labels, x = many(rng)
    oracle = NearestNeighborOracle(points, labels, k)
    together = oracle.radius(x, norm)
    assert (together > 0).any()
    for other in NORMS:
        oracle.radius(x[::-1].copy(), other)
    order = rng.permutation(len(x))
    assert torch.equal(oracle.radius(x, norm), together)
    assert torch.equal(oracle.radius(x[order], norm), together[order])
    assert torch.equal(torch.cat([oracle.radius(z[None], norm) for z in x]), together)
    new = NearestNeighborOracle(points, labels, k)
    assert torch.equal(torch.cat([new.radius(z[None], norm) for z in x[::-1]]).flip(0), together)


@pytest.mark.parametrize("limit", [1, 1000, 30_000])
def test_radii_do_not_depend_on_the_chunks_to_the_last_bit(rng, norm, monkeypatch, limit):
    points, labels, x = many(rng, 60, 5, 20)
    oracle = NearestNeighborOracle(points, labels)
    expected = [oracle.radius(x, norm, bound) for bound in ("sharp", "paper")]
    monkeypatch.setattr(lbrs._checks, "ELEMENTS", limit)
    for bound, radius in zip(("sharp", "paper"), expected, strict=True):
        assert torch.equal(oracle.radius(x, norm, bound), radius)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("norm", [L1, L2, LINF], ids=str)
def test_of_equal_points_a_few_are_kept_and_labels_and_radii_stay(rng, norm, k):
    points, labels, x = many(rng, 40, 3, 60)
    points[points == 0] = -0.0
    times = rng.integers(1, 9, 40)
    order = rng.permutation(np.arange(40).repeat(times))
    mixed = np.where(rng.random(len(order)) < 0.2, -1.0, 1.0) * labels[order]
    oracle = NearestNeighborOracle(points[order] + 0.0, mixed, k)
    assert torch.equal(oracle.points, torch.from_numpy(points[order]))
    rows = np.c_[points[order] + 0.0, mixed]
    counts = np.unique(rows, axis=0, return_counts=True)[1]
    assert len(oracle._points) == np.minimum(counts, k).sum() < len(order)
    exact = [[Fraction(v) for v in p] for p in points]
    found = zip(x, oracle.label(x).tolist(), oracle.nearest(x).tolist(), strict=True)
    for z, label, first in found:
        row = [sum((Fraction(s) - t) ** 2 for s, t in zip(z, p, strict=True)) for p in exact]
        near = sorted(range(len(order)), key=lambda i: (row[order[i]], i))[:k]
        assert label == np.sign(mixed[near].sum()) and first == near[0]
    with localcontext() as context:
        context.prec = 50
        for z, radius in zip(x[:1], oracle.radius(x[:1], norm).tolist(), strict=True):
            expected = exact_radius(z, points[order], mixed, norm, k)[1]
            assert radius == pytest.approx(float(expected), rel=1e-10, abs=1e-14)


def test_rows_with_the_same_code_that_differ_are_kept_apart(monkeypatch):
    same = torch.zeros(2, dtype=torch.int64)
    monkeypatch.setattr(torch, "randint", lambda high, size, generator: same)
    points = torch.tensor([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 1.0]], dtype=torch.float64)
    kept, place = lbrs.oracles.distances.folded(points, torch.ones(4, dtype=torch.float64), 1)
    assert torch.equal(points[kept][place], points) and {0, 1} <= set(kept.tolist())


class Counted:
    """`squares`, counting the pairs that it decides."""

    def __init__(self, monkeypatch):
        self.pairs, self.plain = 0, lbrs.rounding.squares
        monkeypatch.setattr(lbrs.oracles.nearest, "squares", self)

    def __call__(self, a, b):
        self.pairs += len(a)
        return self.plain(a, b)


@pytest.mark.parametrize("spoil", ["a cell", "rows", "many rows"])
def test_one_row_does_not_decide_the_cost_of_all(rng, monkeypatch, spoil):
    points, x = rng.normal(size=(2000, 50)), rng.normal(size=(100, 50))
    labels = rng.choice([-1.0, 1.0], 2000)
    labels[1:7] = labels[0]
    spoiled = points.copy()
    if spoil == "a cell":
        spoiled[700, 3] = -(2.0**31)
    else:
        spoiled[:: 400 if spoil == "rows" else 2] = points[0]
        labels[:: 400 if spoil == "rows" else 2] = labels[0]
    counted = Counted(monkeypatch)
    found = [NearestNeighborOracle(given, labels).label(x) for given in (points, spoiled)]
    assert counted.pairs <= 100
    squares = ((x[:, None] - spoiled) ** 2).sum(-1)
    assert found[1].tolist() == labels[squares.argmin(1)].tolist()


def test_clusters_far_apart_are_decided_by_sums_before_twice_the_precision(rng, monkeypatch):
    points = rng.normal(size=(400, 20)) + 1e8 * (np.arange(400) % 2)[:, None]
    x = rng.normal(size=(30, 20)) + 1e8 * (np.arange(30) % 2)[:, None]
    counted = Counted(monkeypatch)
    nearest = NearestNeighborOracle(points, rng.choice([-1.0, 1.0], 400)).nearest(x)
    assert nearest.tolist() == ((x[:, None] - points) ** 2).sum(-1).argmin(1).tolist()
    assert counted.pairs <= 60


def test_a_used_oracle_pickles_and_copies_like_a_new_one(rng):
    points, labels, x = many(rng)
    oracle = NearestNeighborOracle(points, labels)
    new = len(pickle.dumps(oracle))
    radii = [oracle.radius(x, norm) for norm in NORMS]
    assert len(pickle.dumps(oracle)) == new < 3 * points.nbytes
    for again in (pickle.loads(pickle.dumps(oracle)), copy.deepcopy(oracle), copy.copy(oracle)):
        assert torch.equal(again.label(x), oracle.label(x))
        assert all(torch.equal(again.radius(x, n), r) for n, r in zip(NORMS, radii, strict=True))


@pytest.mark.parametrize("kind", ["array", "tensor", "images"])
def test_changes_in_place_after_construction_change_nothing(rng, kind):
    points, labels, x = many(rng)
    given = (points.copy(), labels.copy())
    if kind != "array":
        given = tuple(torch.from_numpy(values) for values in given)
    if kind == "images":
        given = given[0].unflatten(1, (1, 37)), given[1]
    oracle = NearestNeighborOracle(*given)
    at = x.reshape(-1, *oracle.shape)
    label, radius = oracle.label(at), oracle.radius(at, L2)
    for values in (*given, oracle.points, oracle.labels):
        values[:] = 1.0
    assert torch.equal(oracle.points, torch.from_numpy(points))
    assert torch.equal(oracle.labels, torch.from_numpy(labels))
    assert torch.equal(oracle.label(at), label) and torch.equal(oracle.radius(at, L2), radius)
    new = NearestNeighborOracle(points, labels)
    assert torch.equal(new.radius(x, L2), radius)


def test_points_and_labels_of_an_oracle_cannot_be_replaced(rng):
    oracle = NearestNeighborOracle(*many(rng)[:2])
    for name in ("points", "labels"):
        with pytest.raises(AttributeError):
            setattr(oracle, name, torch.zeros(1))
