"""The 1-nearest-neighbour oracle: its label, and the radius within which it cannot change."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch.utils._python_dispatch import TorchDispatchMode

import lbrs._checks
import lbrs.oracles.nearest
from lbrs import L1, L2, LINF, NearestNeighborOracle

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
    assert (oracle.label(points).numpy() == labels).all() and (
        oracle.nearest(points).numpy() == np.arange(50)
    ).all()


@pytest.mark.parametrize(("N", "d"), [(1, 1), (2, 1), (7, 3), (40, 2), (60, 50)])
def test_label_equals_scikit_learn_and_brute_force(draw, N, d):
    points, labels, x = draw(N, d, 300)
    oracle = NearestNeighborOracle(points, labels)
    assert (
        oracle.label(x).numpy()
        == KNeighborsClassifier(1, algorithm="brute").fit(points, labels).predict(x)
    ).all()
    assert (oracle.nearest(x).numpy() == first_nearest(x, points)).all()


@pytest.mark.parametrize("offset", [0, 1000, 2**30])
def test_first_of_several_nearest_points_counts(rng, offset):
    points, x = rng.integers(-2, 3, (40, 2)) + offset, rng.integers(-3, 4, (200, 2)) + offset
    squares = ((x[:, None] - points) ** 2).sum(-1)
    assert ((squares == squares.min(1, keepdims=True)).sum(1) > 1).sum() > 50
    assert (
        NearestNeighborOracle(points, rng.choice([-1, 1], 40)).nearest(x).numpy()
        == squares.argmin(1)
    ).all()


@pytest.mark.parametrize("spread", [1e-6, 1e-9])
def test_close_points_are_told_apart_beside_a_distant_one(rng, spread):
    points = np.vstack([[1e5, -1e5], spread * rng.normal(size=(20, 2))])
    x = spread * rng.normal(size=(100, 2))
    assert (
        NearestNeighborOracle(points, rng.choice([-1, 1], 21)).nearest(x).numpy()
        == first_nearest(x, points)
    ).all()


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
            x = (
                points[rng.integers(0, 8, 10)] + points[rng.integers(0, 8, 10)]
            ) / 2 + 0.02 * rng.normal(size=(10, d))
            oracle = NearestNeighborOracle(points, labels)
            expected, radius = (
                np.array([r_nghbr(z, points, labels, norm) for z in x]),
                oracle.radius(x, norm, "paper").numpy(),
            )
            near = (
                expected * 2 * norm.dual(torch.from_numpy(points)).numpy().min()
                > 0.005 * (4 * (points**2).sum(1)).max()
            )
            np.testing.assert_allclose(radius[near], expected[near], rtol=1e-12, atol=0)
            checked += near.sum()
    assert checked > 50


def test_the_paper_is_never_above_the_sharp_radius(draw, norm):
    for N, d in ((2, 1), (7, 3), (12, 20), (300, 30)):
        points, labels, x = draw(N, d, 200)
        points[N // 2 :] = points[: N - N // 2] if N == 12 else points[N // 2 :]
        for given in (
            (points, x),
            (np.round(2 * points), np.round(2 * x)),
            (1e6 + points, 1e6 + x),
        ):
            oracle = NearestNeighborOracle(given[0], labels)
            assert (oracle.radius(given[1], norm, "paper") <= oracle.radius(given[1], norm)).all()


@pytest.mark.parametrize("threat", [L1, LINF], ids=str)
def test_radius_is_below_that_of_rational_arithmetic(draw, threat):
    for d in (1, 3, 8):
        points, labels, x = draw(6, d, 20)
        x[:10] = (points[0] + points[3]) / 2 + 1e-9 * x[:10]
        exact, at = ([[Fraction(v) for v in row] for row in values] for values in (points, x))
        oracle, size = NearestNeighborOracle(points, labels), {1: max, math.inf: sum}[threat.p]
        for bound in ("paper", "sharp"):
            for z, i, radius in zip(
                at,
                oracle.nearest(x).tolist(),
                oracle.radius(x, threat, bound).tolist(),
                strict=True,
            ):
                rho = [sum((s - t) ** 2 for s, t in zip(z, p, strict=True)) for p in exact]
                assert rho[i] == min(rho)
                same = [k for k in range(6) if labels[k] == labels[i]] if bound == "sharp" else [i]
                other = [j for j in range(6) if labels[j] != labels[i]]
                true = min(
                    max(
                        (rho[j] - rho[k])
                        / 2
                        / size(abs(s - t) for s, t in zip(exact[j], exact[k], strict=True))
                        for k in same
                    )
                    for j in other
                )
                assert Fraction(radius) <= true
                assert radius == pytest.approx(
                    float(true), rel=1e-12, abs=2e-15 * d * float(max(rho))
                )


def test_squares_are_those_of_rational_arithmetic(rng):
    for d in (1, 2, 5, 33):
        a = rng.normal(size=(50, d)) * 10.0 ** rng.integers(-8, 9, (50, d))
        b = np.where(
            rng.random((50, d)) < 0.5,
            a * (1 + 2.0**-50 * rng.integers(-3, 4, (50, d))),
            rng.normal(size=(50, d)),
        )
        high, low = lbrs.oracles.nearest.squares(torch.from_numpy(a), torch.from_numpy(b))
        for row, other, h, low_part in zip(a, b, high.tolist(), low.tolist(), strict=True):
            true = sum((Fraction(s) - Fraction(t)) ** 2 for s, t in zip(row, other, strict=True))
            assert (
                abs(Fraction(h) + Fraction(low_part) - true) <= true / 2**96 and h + low_part == h
            )


@pytest.mark.parametrize("k", [1, 3])
def test_close_distances_are_told_apart_in_twice_the_precision(rng, k):
    points = 1 + rng.integers(-2, 3, (30, 4)) * 2.0**-52
    x = rng.normal(size=(100, 4))
    labels = rng.choice([-1, 1], 30)
    rho = [
        [sum((Fraction(s) - Fraction(t)) ** 2 for s, t in zip(z, p, strict=True)) for p in points]
        for z in x
    ]
    nearest = [sorted(range(30), key=lambda i: (row[i], i))[:k] for row in rho]
    oracle = NearestNeighborOracle(points, labels, k)
    assert oracle.nearest(x).tolist() == [row[0] for row in nearest]
    assert oracle.label(x).tolist() == [np.sign(labels[row].sum()) for row in nearest]


def test_no_label_changes_within_the_radius_at_nearly_equal_points(rng, norm):
    for apart in (1e-3, 1e-9, 1e-13, 1e-15):
        points = rng.normal(size=(8, 3))
        oracle = NearestNeighborOracle(
            np.vstack([points, points + apart * rng.normal(size=(8, 3))]), [1] * 8 + [-1] * 8
        )
        x = torch.from_numpy(points[rng.integers(0, 8, 200)] + 0.1 * rng.normal(size=(200, 3)))
        radius, toward = (
            oracle.radius(x, norm),
            norm.maximizer(oracle.points[8:] - oracle.points[:8]),
        )
        for step in torch.cat([toward, -toward]):
            z = x + (radius * (1 - 1e-9))[:, None] * step
            inside = (
                norm(z - x) < radius
            )  # not so where the radius is below the spacing of floating-point numbers at x
            assert torch.equal(oracle.label(z)[inside], oracle.label(x)[inside])


def test_label_and_radius_do_not_depend_on_the_order_of_reference_points(draw, rng, norm):
    points, labels, x = draw(30, 3, 100)
    order = rng.permutation(30)
    oracle, shuffled = (
        NearestNeighborOracle(points, labels),
        NearestNeighborOracle(points[order], labels[order]),
    )
    assert torch.equal(oracle.label(x), shuffled.label(x))
    torch.testing.assert_close(
        oracle.radius(x, norm), shuffled.radius(x, norm), rtol=1e-13, atol=1e-15
    )


def test_opposite_labels_give_the_opposite_label_and_the_same_radius(draw, norm):
    points, labels, x = draw(30, 3, 100)
    oracle, mirrored = NearestNeighborOracle(points, labels), NearestNeighborOracle(points, -labels)
    assert torch.equal(oracle.label(x), -mirrored.label(x)) and torch.equal(
        oracle.radius(x, norm, "paper"), mirrored.radius(x, norm, "paper")
    )
    torch.testing.assert_close(
        oracle.radius(x, norm), mirrored.radius(x, norm), rtol=1e-13, atol=1e-15
    )


def test_result_for_a_point_does_not_depend_on_the_batch(draw, norm):
    points, labels, x = draw(20, 3, 40)
    oracle = NearestNeighborOracle(points, labels)
    assert torch.equal(oracle.label(x), torch.cat([oracle.label(z[None]) for z in x]))
    torch.testing.assert_close(
        oracle.radius(x, norm),
        torch.cat([oracle.radius(z[None], norm) for z in x]),
        rtol=1e-14,
        atol=0,
    )


@pytest.mark.parametrize("scale", [1e-100, 1e-3, 7.0, 1e100])
def test_radius_scales_with_space(draw, norm, scale):
    points, labels, x = draw(20, 3, 40)
    oracle, scaled = (
        NearestNeighborOracle(points, labels),
        NearestNeighborOracle(scale * points, labels),
    )
    assert torch.equal(scaled.label(scale * x), oracle.label(x))
    torch.testing.assert_close(
        scaled.radius(scale * x, norm), scale * oracle.radius(x, norm), rtol=1e-11, atol=0
    )


def test_radius_moves_with_space(draw, norm):
    points, labels, x = draw(20, 3, 40)
    shift = np.array([3.0, -5.0, 1.0])
    torch.testing.assert_close(
        NearestNeighborOracle(points + shift, labels).radius(x + shift, norm),
        NearestNeighborOracle(points, labels).radius(x, norm),
        rtol=1e-11,
        atol=1e-13,
    )


def test_radius_shrinks_where_an_opposite_point_is_added(draw, norm):
    points, labels, x = draw(20, 3, 200)
    oracle, more = (
        NearestNeighborOracle(points[:-1], labels[:-1]),
        NearestNeighborOracle(points, labels),
    )
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
    oracle = NearestNeighborOracle(np.vstack([points, points]), [1, -1, 1, -1] + [-1, 1, -1, 1])
    assert (oracle.radius(points + 0.01, norm) == 0).all() and oracle.label(points).tolist() == [
        1,
        -1,
        1,
        -1,
    ]


def test_radius_is_zero_at_a_tie_between_labels(norm):
    assert NearestNeighborOracle([[0, 0], [2, 0], [0, 9]], [1, -1, 1]).radius(
        [[1, 0], [1, 3]], norm
    ).tolist() == [0, 0]


def test_radius_at_a_reference_point_is_half_the_scaled_gap(draw, norm):
    points, labels, _ = draw(12, 3, 1)
    gap = torch.from_numpy(points)[:, None] - torch.from_numpy(points)
    ratio = gap.square().sum(-1) / (2 * norm.dual(gap))
    ratio[torch.from_numpy(labels[:, None] == labels)] = math.inf
    radius = NearestNeighborOracle(points, labels).radius(points, norm, "paper")
    torch.testing.assert_close(radius, ratio.amin(1), rtol=1e-13, atol=0)
    if norm == L2:
        torch.testing.assert_close(
            radius, torch.where(ratio < math.inf, L2(gap) / 2, math.inf).amin(1), rtol=1e-13, atol=0
        )


def test_label_is_constant_inside_the_ball(draw, rng, norm):
    moved = 0
    for N, d in [(2, 1), (3, 2), (12, 2), (8, 5)]:
        points, labels, x = draw(N, d, 20)
        oracle = NearestNeighborOracle(points, labels)
        for z, i, radius in zip(
            torch.from_numpy(x), oracle.nearest(x), oracle.radius(x, norm), strict=True
        ):
            toward = norm.maximizer(
                oracle.points[oracle.labels == -oracle.labels[i]] - oracle.points[i]
            )
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
    radius = oracle.radius(x, norm)[:, None]
    assert torch.equal(
        oracle.label(torch.from_numpy(x) + toward * radius * (1 - 1e-9)), oracle.label(x)
    )
    assert torch.equal(
        oracle.label(torch.from_numpy(x) + toward * radius * (1 + 1e-9)), -oracle.label(x)
    )


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32])
def test_integer_and_single_precision_points_give_float64(dtype, norm):
    points, x = np.array([[0, 0], [4, 0], [0, 6]]), np.array([[1, 0], [2, 3]])
    oracle = NearestNeighborOracle(points.astype(dtype), np.array([1, -1, -1]))
    expected = NearestNeighborOracle(points.astype(float), [1.0, -1.0, -1.0])
    for a, b in (
        (oracle.radius(x.astype(dtype), norm), expected.radius(x, norm)),
        (oracle.label(x.astype(dtype)), expected.label(x)),
    ):
        assert a.dtype == torch.float64 and torch.equal(a, b)


def test_images_count_as_vectors(draw, norm):
    points, labels, x = draw(10, 6, 20)
    images, vectors = (
        NearestNeighborOracle(points.reshape(10, 1, 2, 3), labels),
        NearestNeighborOracle(points, labels),
    )
    assert torch.equal(images.label(x.reshape(20, 1, 2, 3)), vectors.label(x))
    assert torch.equal(images.radius(x.reshape(20, 1, 2, 3), norm), vectors.radius(x, norm))


def test_no_points_give_no_labels(norm):
    oracle = NearestNeighborOracle(np.eye(2), [1, -1])
    assert (
        oracle.label(np.zeros((0, 2))).shape == oracle.radius(np.zeros((0, 2)), norm).shape == (0,)
    )


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
