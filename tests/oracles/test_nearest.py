"""The 1-nearest-neighbour oracle: its label, and the radius within which it cannot change."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch.utils._python_dispatch import TorchDispatchMode

import lbrs._checks
from lbrs import L1, L2, LINF, NearestNeighborOracle
from lbrs.rounding import squares

pytestmark = pytest.mark.usefixtures("one_thread")


class Largest(TorchDispatchMode):
    """Records the size of the largest tensor that any torch operation returns."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for part in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(part, torch.Tensor):
                self.numel = max(self.numel, part.numel())
        return result


def first_nearest(x, points):
    """The first index of the least squared distance, summed directly."""
    return ((x[:, None] - points) ** 2).sum(-1).argmin(1)


@pytest.mark.parametrize("d", [1, 2, 30])
def test_reference_points_keep_their_labels(draw, d):
    points, labels, _ = draw(50, d, 1)
    oracle = NearestNeighborOracle(points, labels)
    assert (oracle.label(points).numpy() == labels).all()
    assert (oracle.nearest(points).numpy() == np.arange(50)).all()


@pytest.mark.parametrize(("N", "d"), [(1, 1), (2, 1), (7, 3), (40, 2), (60, 50)])
def test_label_equals_scikit_learn_and_brute_force(draw, N, d):
    points, labels, x = draw(N, d, 300)
    oracle = NearestNeighborOracle(points, labels)
    other = KNeighborsClassifier(1, algorithm="brute").fit(points, labels)
    assert (oracle.label(x).numpy() == other.predict(x)).all()
    assert (oracle.nearest(x).numpy() == first_nearest(x, points)).all()


@pytest.mark.parametrize("offset", [0, 1000, 2**30])
def test_first_of_several_nearest_points_counts(rng, offset):
    points, x = rng.integers(-2, 3, (40, 2)) + offset, rng.integers(-3, 4, (200, 2)) + offset
    rho = ((x[:, None] - points) ** 2).sum(-1)
    assert ((rho == rho.min(1, keepdims=True)).sum(1) > 1).sum() > 50
    oracle = NearestNeighborOracle(points, rng.choice([-1, 1], 40))
    assert (oracle.nearest(x).numpy() == rho.argmin(1)).all()


@pytest.mark.parametrize("spread", [1e-6, 1e-9])
def test_close_points_are_told_apart_beside_a_distant_one(rng, spread):
    points = np.vstack([[1e5, -1e5], spread * rng.normal(size=(20, 2))])
    x = spread * rng.normal(size=(100, 2))
    oracle = NearestNeighborOracle(points, rng.choice([-1, 1], 21))
    assert (oracle.nearest(x).numpy() == first_nearest(x, points)).all()


def test_radius_equals_the_formula_of_the_paper(draw, norm, r_nghbr):
    for d in range(1, 9):
        for N in range(1, 13):
            points, labels, x = draw(N, d, 6)
            radius = NearestNeighborOracle(points, labels).radius(x, norm, "paper").numpy()
            expected = np.array([r_nghbr(z, points, labels, norm) for z in x])
            np.testing.assert_allclose(radius, expected, rtol=1e-12, atol=1e-14)


def test_radius_equals_the_formula_of_the_paper_near_bisectors_too(rng, norm, r_nghbr):
    checked = 0
    for d in (2, 8, 20):
        for _ in range(20):
            points, labels = rng.normal(size=(8, d)), rng.permutation([1.0, -1.0] * 4)
            middle = (points[rng.integers(0, 8, 10)] + points[rng.integers(0, 8, 10)]) / 2
            x = middle + 0.02 * rng.normal(size=(10, d))
            expected = np.array([r_nghbr(z, points, labels, norm) for z in x])
            radius = NearestNeighborOracle(points, labels).radius(x, norm, "paper").numpy()
            gap = 2 * norm.dual(torch.from_numpy(points)).numpy().min()
            near = expected * gap > 0.005 * (4 * (points**2).sum(1)).max()
            np.testing.assert_allclose(radius[near], expected[near], rtol=1e-12, atol=0)
            checked += near.sum()
    assert checked > 50


def test_the_paper_is_never_above_the_sharp_radius(draw, norm):
    for N, d in ((2, 1), (7, 3), (12, 20), (300, 30)):
        points, labels, x = draw(N, d, 200)
        points[N // 2 :] = points[: N - N // 2] if N == 12 else points[N // 2 :]
        lattice, far = (np.round(2 * points), np.round(2 * x)), (1e6 + points, 1e6 + x)
        for known, at in ((points, x), lattice, far):
            oracle = NearestNeighborOracle(known, labels)
            assert (oracle.radius(at, norm, "paper") <= oracle.radius(at, norm)).all()


def fractions(rows):
    """The same numbers as fractions."""
    return [[Fraction(v) for v in row] for row in rows]


def squared(z, p):
    """||z - p||_2^2 of fractions."""
    return sum((s - t) ** 2 for s, t in zip(z, p, strict=True))


def true_radius(rho, exact, same, other, threat):
    """min over j in `other` of max over k in `same` of b_kj, in fractions."""
    size = {1: max, math.inf: sum}[threat.p]

    def b(k, j):
        gap = size(abs(s - t) for s, t in zip(exact[j], exact[k], strict=True))
        return (rho[j] - rho[k]) / 2 / gap

    return min(max(b(k, j) for k in same) for j in other)


@pytest.mark.parametrize("threat", [L1, LINF], ids=str)
def test_radius_is_below_that_of_rational_arithmetic(draw, threat):
    for d in (1, 3, 8):
        points, labels, x = draw(6, d, 20)
        x[:10] = (points[0] + points[3]) / 2 + 1e-9 * x[:10]
        exact, at = fractions(points), fractions(x)
        oracle = NearestNeighborOracle(points, labels)
        for bound in ("paper", "sharp"):
            found = oracle.nearest(x).tolist(), oracle.radius(x, threat, bound).tolist()
            for z, i, radius in zip(at, *found, strict=True):
                rho = [squared(z, p) for p in exact]
                assert rho[i] == min(rho)
                same = [k for k in range(6) if labels[k] == labels[i]] if bound == "sharp" else [i]
                other = [j for j in range(6) if labels[j] != labels[i]]
                true = true_radius(rho, exact, same, other, threat)
                assert Fraction(radius) <= true
                room = 2e-15 * d * float(max(rho))
                assert radius == pytest.approx(float(true), rel=1e-12, abs=room)


def test_squares_are_those_of_rational_arithmetic(rng):
    for d in (1, 2, 5, 33):
        a = rng.normal(size=(50, d)) * 10.0 ** rng.integers(-8, 9, (50, d))
        close = rng.random((50, d)) < 0.5
        nearly = a * (1 + 2.0**-50 * rng.integers(-3, 4, (50, d)))
        b = np.where(close, nearly, rng.normal(size=(50, d)))
        high, low = squares(torch.from_numpy(a), torch.from_numpy(b))
        rows = zip(fractions(a), fractions(b), high.tolist(), low.tolist(), strict=True)
        for row, other, h, low_part in rows:
            true = squared(row, other)
            assert abs(Fraction(h) + Fraction(low_part) - true) <= true / 2**96
            assert h + low_part == h


@pytest.mark.parametrize("k", [1, 3])
def test_close_distances_are_told_apart_in_twice_the_precision(rng, k):
    points = 1 + rng.integers(-2, 3, (30, 4)) * 2.0**-52
    x = rng.normal(size=(100, 4))
    labels = rng.choice([-1, 1], 30)
    exact, nearest = fractions(points), []
    for z in fractions(x):
        row = [squared(z, p) for p in exact]
        nearest.append(sorted(range(30), key=row.__getitem__)[:k])
    oracle = NearestNeighborOracle(points, labels, k)
    assert oracle.nearest(x).tolist() == [row[0] for row in nearest]
    assert oracle.label(x).tolist() == [np.sign(labels[row].sum()) for row in nearest]


def test_no_label_changes_within_the_radius_at_nearly_equal_points(rng, norm):
    for apart in (1e-3, 1e-9, 1e-13, 1e-15):
        points = rng.normal(size=(8, 3))
        both = np.vstack([points, points + apart * rng.normal(size=(8, 3))])
        oracle = NearestNeighborOracle(both, [1] * 8 + [-1] * 8)
        x = torch.from_numpy(points[rng.integers(0, 8, 200)] + 0.1 * rng.normal(size=(200, 3)))
        radius = oracle.radius(x, norm)
        toward = norm.maximizer(oracle.points[8:] - oracle.points[:8])
        for step in torch.cat([toward, -toward]):
            z = x + (radius * (1 - 1e-9))[:, None] * step
            inside = norm(z - x) < radius  # not so where floats at x are further apart
            assert torch.equal(oracle.label(z)[inside], oracle.label(x)[inside])


def test_label_and_radius_do_not_depend_on_the_order_of_reference_points(draw, rng, norm):
    points, labels, x = draw(30, 3, 100)
    order = rng.permutation(30)
    oracle = NearestNeighborOracle(points, labels)
    shuffled = NearestNeighborOracle(points[order], labels[order])
    assert torch.equal(oracle.label(x), shuffled.label(x))
    radii = oracle.radius(x, norm), shuffled.radius(x, norm)
    torch.testing.assert_close(*radii, rtol=1e-13, atol=1e-15)


def test_opposite_labels_give_the_opposite_label_and_the_same_radius(draw, norm):
    points, labels, x = draw(30, 3, 100)
    oracle, mirrored = NearestNeighborOracle(points, labels), NearestNeighborOracle(points, -labels)
    assert torch.equal(oracle.label(x), -mirrored.label(x))
    assert torch.equal(oracle.radius(x, norm, "paper"), mirrored.radius(x, norm, "paper"))
    radii = oracle.radius(x, norm), mirrored.radius(x, norm)
    torch.testing.assert_close(*radii, rtol=1e-13, atol=1e-15)


def test_result_for_a_point_does_not_depend_on_the_batch(draw, norm):
    points, labels, x = draw(20, 3, 40)
    oracle = NearestNeighborOracle(points, labels)
    assert torch.equal(oracle.label(x), torch.cat([oracle.label(z[None]) for z in x]))
    alone = torch.cat([oracle.radius(z[None], norm) for z in x])
    torch.testing.assert_close(oracle.radius(x, norm), alone, rtol=1e-14, atol=0)


@pytest.mark.parametrize("scale", [1e-100, 1e-3, 7.0, 1e100])
def test_radius_scales_with_space(draw, norm, scale):
    points, labels, x = draw(20, 3, 40)
    oracle = NearestNeighborOracle(points, labels)
    scaled = NearestNeighborOracle(scale * points, labels)
    assert torch.equal(scaled.label(scale * x), oracle.label(x))
    radii = scaled.radius(scale * x, norm), scale * oracle.radius(x, norm)
    torch.testing.assert_close(*radii, rtol=1e-11, atol=0)


def test_radius_moves_with_space(draw, norm):
    points, labels, x = draw(20, 3, 40)
    shift = np.array([3.0, -5.0, 1.0])
    moved = NearestNeighborOracle(points + shift, labels).radius(x + shift, norm)
    expected = NearestNeighborOracle(points, labels).radius(x, norm)
    torch.testing.assert_close(moved, expected, rtol=1e-11, atol=1e-13)


def test_radius_shrinks_where_an_opposite_point_is_added(draw, norm):
    points, labels, x = draw(20, 3, 200)
    oracle = NearestNeighborOracle(points[:-1], labels[:-1])
    more = NearestNeighborOracle(points, labels)
    same = oracle.nearest(x) == more.nearest(x)
    before, after = oracle.radius(x, norm, "paper")[same], more.radius(x, norm, "paper")[same]
    assert (after <= before).all() and (after < before).any()


@pytest.mark.parametrize("label", [-1, 1])
@pytest.mark.parametrize("N", [1, 5])
def test_one_label_alone_never_changes(draw, norm, N, label):
    points, _, x = draw(N, 2, 10)
    oracle = NearestNeighborOracle(points, [label] * N)
    assert (oracle.radius(x, norm) == math.inf).all() and (oracle.label(x) == label).all()


def test_equal_points_with_opposite_labels_have_radius_zero(draw, norm):
    points, _, _ = draw(4, 2, 1)
    labels = [1, -1, 1, -1]
    oracle = NearestNeighborOracle(np.vstack([points, points]), labels + [-1, 1, -1, 1])
    assert (oracle.radius(points + 0.01, norm) == 0).all()
    assert oracle.label(points).tolist() == labels


def test_radius_is_zero_at_a_tie_between_labels(norm):
    oracle = NearestNeighborOracle([[0, 0], [2, 0], [0, 9]], [1, -1, 1])
    assert oracle.radius([[1, 0], [1, 3]], norm).tolist() == [0, 0]


def test_radius_at_a_reference_point_is_half_the_scaled_gap(draw, norm):
    points, labels, _ = draw(12, 3, 1)
    gap = torch.from_numpy(points)[:, None] - torch.from_numpy(points)
    ratio = gap.square().sum(-1) / (2 * norm.dual(gap))
    ratio[torch.from_numpy(labels[:, None] == labels)] = math.inf
    radius = NearestNeighborOracle(points, labels).radius(points, norm, "paper")
    torch.testing.assert_close(radius, ratio.amin(1), rtol=1e-13, atol=0)
    if norm == L2:
        half = torch.where(ratio < math.inf, L2(gap) / 2, math.inf).amin(1)
        torch.testing.assert_close(radius, half, rtol=1e-13, atol=0)


def test_label_is_constant_inside_the_ball(draw, rng, norm):
    moved = 0
    for N, d in [(2, 1), (3, 2), (12, 2), (8, 5)]:
        points, labels, x = draw(N, d, 20)
        oracle = NearestNeighborOracle(points, labels)
        found = oracle.nearest(x), oracle.radius(x, norm)
        for z, i, radius in zip(torch.from_numpy(x), *found, strict=True):
            other = oracle.points[oracle.labels == -oracle.labels[i]]
            toward = norm.maximizer(other - oracle.points[i])
            around = torch.from_numpy(rng.normal(size=(200, d)))
            delta = torch.cat([toward, around / norm(around)[:, None]]) * radius * (1 - 1e-9)
            delta[-100:] *= torch.from_numpy(rng.random((100, 1)))
            assert (oracle.label(z + delta) == oracle.labels[i]).all()
            moved += len(delta)
    assert moved > 10_000


def test_label_changes_just_beyond_the_ball_where_there_are_two_points(draw, norm):
    points, _, x = draw(2, 3, 100)
    oracle = NearestNeighborOracle(points, [1, -1])
    i = oracle.nearest(x)
    toward = norm.maximizer(oracle.points[1 - i] - oracle.points[i])
    way, label = toward * oracle.radius(x, norm)[:, None], oracle.label(x)
    x = torch.from_numpy(x)
    assert torch.equal(oracle.label(x + way * (1 - 1e-9)), label)
    assert torch.equal(oracle.label(x + way * (1 + 1e-9)), -label)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32])
def test_integer_and_single_precision_points_give_float64(dtype, norm):
    points, x = np.array([[0, 0], [4, 0], [0, 6]]), np.array([[1, 0], [2, 3]])
    oracle = NearestNeighborOracle(points.astype(dtype), np.array([1, -1, -1]))
    expected = NearestNeighborOracle(points.astype(float), [1.0, -1.0, -1.0])
    given = x.astype(dtype)
    radii = oracle.radius(given, norm), expected.radius(x, norm)
    labels = oracle.label(given), expected.label(x)
    for a, b in (radii, labels):
        assert a.dtype == torch.float64 and torch.equal(a, b)


def test_images_count_as_vectors(draw, norm):
    points, labels, x = draw(10, 6, 20)
    images = NearestNeighborOracle(points.reshape(10, 1, 2, 3), labels)
    vectors = NearestNeighborOracle(points, labels)
    assert torch.equal(images.label(x.reshape(20, 1, 2, 3)), vectors.label(x))
    assert torch.equal(images.radius(x.reshape(20, 1, 2, 3), norm), vectors.radius(x, norm))


def test_no_points_give_no_labels(norm):
    oracle, none = NearestNeighborOracle(np.eye(2), [1, -1]), np.zeros((0, 2))
    assert oracle.label(none).shape == oracle.radius(none, norm).shape == (0,)


@pytest.mark.parametrize("limit", [1, 37, 1000])
def test_result_does_not_depend_on_the_chunks(draw, norm, monkeypatch, limit):
    points, labels, x = draw(25, 4, 60)
    points[7:12] = points[0]
    oracle = NearestNeighborOracle(points, labels)
    nearest, radius = oracle.nearest(x), oracle.radius(x, norm)
    monkeypatch.setattr(lbrs._checks, "ELEMENTS", limit)
    assert torch.equal(oracle.nearest(x), nearest)
    torch.testing.assert_close(oracle.radius(x, norm), radius, rtol=1e-14, atol=0)


def test_memory_is_bounded_by_the_chunks(draw, norm, monkeypatch):
    points, labels, x = draw(300, 4, 500)
    points[150:] = points[:150]
    oracle = NearestNeighborOracle(points, labels)
    monkeypatch.setattr(lbrs._checks, "ELEMENTS", 6000)
    with Largest() as seen:
        oracle.label(x), oracle.radius(x, norm), oracle.radius(x, norm, "paper")
    assert seen.numel <= 6000


@pytest.mark.slow
def test_sixty_thousand_images_never_make_a_square_matrix():
    points = torch.zeros(60_000, 784, dtype=torch.float64)
    points[:, 0], points[:, 1] = torch.arange(60_000) % 250, torch.arange(60_000) // 250
    oracle = NearestNeighborOracle(points, 1 - 2 * (torch.arange(60_000) % 2))
    with Largest() as seen:
        radius = oracle.radius(points[:20] + 0.125, L2)
    assert seen.numel <= points.numel()
    torch.testing.assert_close(radius, torch.full_like(radius, 0.375), rtol=1e-9, atol=0)
    assert (radius <= 0.375).all()
