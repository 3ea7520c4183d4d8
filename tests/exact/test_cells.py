"""Theorem C: exact radii are distances to a change of the prediction; no other certificate exceeds
them, and nothing flips inside."""

import math
import os
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from exact_cases import BATCH, changes, depth, flips_inside, instance, polyhedra, program, radii

import lbrs.exact.search
from lbrs import L1, L2, LINF, LinearScore, LocallyBiased, NearestNeighborOracle, Norm, Score
from lbrs.exact.cells import exact_radii
from lbrs.rounding import round_down

INSTANCES = 10_000 if os.environ.get("LBRS_THOROUGH") else 600
norm = pytest.fixture(params=[L1, L2, LINF], ids=str)(lambda request: request.param)
box = pytest.fixture(params=[False, True], ids=["free", "box"])(lambda request: request.param)


def test_no_bound_exceeds_the_exact_radius_and_the_prediction_changes_at_it_and_not_before(
    rng, norm, box
):
    seen, unchanged = 0, 0
    count = INSTANCES // (3 if box else 1)
    for number in range(count // BATCH):
        model, x = instance(rng, norm, box)
        result = radii(model, x, box)
        assert torch.equal(result.prediction, model.predict(x)) and (result.radius >= 0).all()
        paper, sharp = (model.certify(x, bound=bound).radius for bound in ("paper", "sharp"))
        safe = torch.maximum(round_down(result.radius), sharp)  # as in certify
        final = replace(result, radius=safe)
        assert (paper <= sharp).all() and (sharp <= final.radius).all()
        assert (sharp <= result.radius * (1 + 1e-9) + 1e-12).all()
        assert box or number or torch.equal(final.radius, model.certify(x, bound="exact").radius)
        assert not flips_inside(model, x, final, box, rng)
        positive = result.radius.isfinite() & (result.radius > 0)
        distance = norm(result.witness - x)
        assert (distance <= result.radius * (1 + 1e-6) + 1e-15)[positive].all()
        assert (distance[result.radius == 0] == 0).all()
        assert not box or ((result.witness >= 0) & (result.witness <= 1))[positive].all()
        there = model.predict(torch.where(positive[:, None], result.witness, x))
        same = positive & (there == result.prediction)
        for i in same.nonzero().flatten().tolist():
            z, s = x[i].numpy(), float(result.prediction[i])
            limit = result.radius[i] * (1 + 1e-6)
            cells = list(polyhedra(model, z, s))
            near = [cell for cell in cells if program(*cell, z, box, norm) <= limit]
            assert near and all(depth(*cell, z, box) < 1e-9 for cell in near)
        seen, unchanged = seen + int(positive.sum()), unchanged + int(same.sum())
    assert seen > (0.5 if box else 0.7) * count and unchanged < (0.2 if box else 0.02) * seen


def test_case_of_wang_et_al(norm):
    oracle = NearestNeighborOracle([[0.5, 0.5], [1, 0.5], [0, 1]], [1, 1, -1])
    for alpha in (10.0, 1e300):
        model = LocallyBiased(LinearScore([1.0, 0.3]), oracle, alpha, norm)
        free, inside = radii(model, [[0.0, 0.0]]), radii(model, [[0.0, 0.0]], box=True)
        assert float(free.radius[0]) == pytest.approx(
            {1: 0.5, 2: math.sqrt(2) / 4, math.inf: 0.25}[norm.p], abs=1e-12
        )
        assert float(inside.radius[0]) == pytest.approx(0.5, abs=1e-12)
        np.testing.assert_allclose(inside.witness, [[0, 0.5]], atol=1e-6)
        if norm != L1:
            np.testing.assert_allclose(free.witness, [[-0.25, 0.25]], atol=1e-6)


def test_radius_agrees_with_a_grid_of_the_plane(rng, norm, box):
    near, step = 0, 0.02
    axis = np.linspace(0, 1, 51) if box else np.linspace(-1, 1, 101)
    grid = torch.from_numpy(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2))
    for _ in range(4):
        model, x = instance(rng, norm, box, d=2, N=8, grid=0)
        result = radii(model, x, box)
        z = grid if box else (x[:, None] + grid).flatten(0, 1)
        labels, z = model.predict(z).reshape(-1, len(grid)), z.reshape(-1, len(grid), 2)
        distance = norm(z - x[:, None])
        nearest = torch.where(labels != result.prediction[:, None], distance, torch.inf).amin(1)
        assert (nearest >= result.radius * (1 - 1e-9)).all()
        near += int(((nearest <= result.radius + 2 * step) | (result.radius > 0.9)).sum())
    assert near >= 36


@pytest.mark.parametrize(
    ("grid", "d", "N", "count"), [(0, None, None, 6), (1, None, None, 6), (0, 2, 90, 1)]
)
def test_radius_equals_that_of_the_polyhedra_solved_one_by_one(rng, norm, box, grid, d, N, count):
    for _ in range(count):
        model, x = instance(rng, norm, box, d, N, grid)
        if not model.base.weight.any():
            continue
        result = radii(model, x[:3], box)
        close = {"rel": 1e-5, "abs": 1e-6} if norm == L2 else {"rel": 1e-8, "abs": 1e-9}
        for z, s, radius in zip(x[:3].numpy(), result.prediction, result.radius, strict=True):
            expected = min(program(H, h, z, box, norm) for H, h in polyhedra(model, z, float(s)))
            assert float(radius) == pytest.approx(expected, **close)


def test_one_nearest_neighbor_limit_is_the_exhaustive_program(draw, rng, norm):
    for d, alpha in ((1, 1e6), (2, 1e300), (4, 1e6)):
        points, labels, x = draw(9, d, 3)
        oracle = NearestNeighborOracle(points, labels)
        model = LocallyBiased(LinearScore(rng.normal(size=d), 0.1), oracle, alpha, norm)
        result = radii(model, x)
        assert torch.equal(result.prediction, model.oracle.label(x))
        for z, s, radius in zip(x, result.prediction, result.radius, strict=True):
            cells = zip(polyhedra(model, z, float(s)), labels, strict=True)
            against = [cell for cell, label in cells if label != s]
            expected = min(program(H[1:], h[1:], z, False, norm) for H, h in against)
            assert float(radius) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_one_label_alone_leaves_the_half_space_and_no_bias_the_base_radius(draw, rng, norm):
    for N, d, alpha in ((1, 1, 0.0), (12, 3, 0.0), (1, 3, 0.5), (5, 4, 2.0), (5, 2, 1e300)):
        points, labels, x = draw(N, d, 20)
        for label in (-1, 1):
            oracle = NearestNeighborOracle(points, [label] * N if alpha else labels)
            model = LocallyBiased(LinearScore(rng.normal(size=d), 0.4), oracle, alpha, norm)
            local, result = model.base.linearize(x, norm), radii(model, x)
            expected = (local.value / local.slope + alpha * label).abs()
            torch.testing.assert_close(result.radius, expected, rtol=1e-12, atol=1e-12)
            assert alpha == 1e300 or (model.predict(result.witness) != result.prediction).all()


@pytest.mark.parametrize("scale", [1e-100, 3.0, 1e100])
def test_radius_scales_with_space_and_does_not_with_the_score(draw, rng, norm, scale):
    points, labels, x = draw(9, 3, 20)
    a = rng.normal(size=3)
    oracle = NearestNeighborOracle(points, labels)
    far = NearestNeighborOracle(scale * points, labels)
    before = exact_radii(LinearScore(a, 0.4), oracle, 0.7, norm, x)
    stretched = exact_radii(LinearScore(a, 0.4 * scale), far, 0.7 * scale, norm, scale * x)
    louder = exact_radii(LinearScore(scale * a, 0.4 * scale), oracle, 0.7, norm, x)
    torch.testing.assert_close(stretched.radius, scale * before.radius, rtol=1e-9, atol=0)
    torch.testing.assert_close(louder.radius, before.radius, rtol=1e-9, atol=0)
    assert ((stretched.witness / scale - before.witness).abs() < 1e-4).all()


def test_radius_moves_with_space_and_mirrors_with_the_labels_and_ignores_order_and_batch(
    draw, rng, norm
):
    points, labels, x = draw(9, 3, 20)
    a, b, shift, order = rng.normal(size=3), 0.4, np.array([30.0, -50.0, 10.0]), rng.permutation(9)

    def found(a, b, points, labels, x):
        return exact_radii(LinearScore(a, b), NearestNeighborOracle(points, labels), 0.7, norm, x)

    before = found(a, b, points, labels, x)
    moved = found(a, b - a @ shift, points + shift, labels, x + shift)
    mirrored = found(-a, -b, points, -labels, x)
    shuffled = found(a, b, points[order], labels[order], x)
    for other in (moved, mirrored, shuffled):
        torch.testing.assert_close(other.radius, before.radius, rtol=1e-9, atol=1e-12)
    assert torch.equal(mirrored.prediction, -before.prediction)
    alone = found(a, b, points, labels, x[4:5])
    assert torch.equal(alone.witness, before.witness[4:5])


def test_box_radius_is_at_least_the_free_one_and_inf_where_nothing_changes(rng, norm):
    larger = 0
    for _ in range(10):
        model, x = instance(rng, norm, True)
        free, inside = radii(model, x), radii(model, x, box=True)
        assert (inside.radius >= free.radius * (1 - 1e-9) - 1e-12).all()
        larger += int((inside.radius > free.radius * 1.01).sum())
        assert inside.witness[inside.radius.isinf()].isnan().all()
    assert larger > 10
    oracle = NearestNeighborOracle([[0, 0], [1, 1]], [1, -1])
    far = LocallyBiased(LinearScore([1, 1], 5), oracle, 1.0, norm)
    assert radii(far, [[0.5, 0.2]], box=True).radius.isinf().all()
    assert radii(far, [[0.5, 0.2]]).radius.isfinite().all()


def test_degenerate_inputs(norm):
    oracle = NearestNeighborOracle([[0.0, 0.0], [4.0, 0.0]], [1, -1])
    flat = exact_radii(LinearScore([0.0, 0.0], 2.0), oracle, 1.0, norm, [[1.0, 0.0]])
    assert flat.radius.isinf().all() and flat.witness.isnan().all()
    zero = exact_radii(LinearScore([0.0, 0.0], 0.0), oracle, 1.0, norm, [[1.0, 0.0]])
    assert zero.radius.tolist() == [0] and zero.witness.tolist() == [[1, 0]]
    for b, alpha, x, radius in (
        (-1.0, 1.0, [1.0, 0.0], 0.0),
        (0.5, 100.0, [2.0, 3.0], 0.0),
        (0.5, 1.0, [2.0, 3.0], 2.5),
    ):
        result = exact_radii(LinearScore([0.0, 1.0], b), oracle, alpha, norm, [x])
        assert result.radius.tolist() == pytest.approx([radius], rel=1e-12)
        assert radius > 0 or result.witness.tolist() == [x]
    empty = exact_radii(LinearScore([0.0, 1.0], 0.5), oracle, 1.0, norm, np.zeros((0, 2)))
    assert empty.radius.shape == empty.prediction.shape == (0,)
    assert empty.witness.shape == (0, 2)


def test_of_equal_points_only_the_first_counts(draw, rng, norm, box):
    points, labels, x = draw(6, 3, 20)
    points, x = (points % 1, x % 1) if box else (points, x)
    doubled = np.vstack([points, points[::-1], -0.0 * points[:1] + points[:1]])
    twice = np.r_[labels, -labels[::-1], -labels[:1]]
    score = LinearScore(rng.normal(size=3), 0.1)
    oracles = NearestNeighborOracle(points, labels), NearestNeighborOracle(doubled, twice)
    models = (LocallyBiased(score, oracle, 1.0, norm) for oracle in oracles)
    once, more = (radii(model, x, box) for model in models)
    assert torch.equal(once.radius, more.radius) and torch.equal(once.prediction, more.prediction)


@pytest.mark.parametrize("apart", [1e-3, 1e-9, 1e-15, 1e-300])
def test_nearly_equal_points_of_opposite_labels_do_not_break_the_radius(rng, norm, apart):
    whole = rng.integers(-2, 3, (6, 3))
    points = 1e-9 * whole if apart < 1e-100 else whole / 4
    start, far = points[rng.integers(0, 6, 30)], rng.choice([0, 1e-9, 0.1], (30, 1))
    x = start + far * rng.normal(size=(30, 3))
    shift = apart * rng.normal(size=(6, 3))
    oracle = NearestNeighborOracle(np.vstack([points, points + shift]), [1, -1] * 3 + [-1, 1] * 3)
    for alpha in (0.0, 0.3, 100.0):
        model = LocallyBiased(LinearScore(rng.normal(size=3), 0.2), oracle, alpha, norm)
        result, z = radii(model, x), torch.from_numpy(x)
        assert not flips_inside(model, z, result, False, rng)
        near = oracle.points[:, None] - oracle.points[oracle.nearest(x)]
        inside = torch.from_numpy(1 - rng.choice([1e-15, 1e-12, 1e-9], len(x)))
        steps = norm.maximizer(near) * (result.radius * inside)[:, None]
        assert not changes(model, z, z + steps, result) and not changes(model, z, z - steps, result)
        bounds = "paper", "sharp", "exact"
        paper, sharp, best = (model.certify(x, bound=bound).radius for bound in bounds)
        assert (paper <= sharp).all() and (sharp <= best).all()
        assert (sharp <= result.radius * (1 + 1e-6) + 1e-12).all() or apart < 1e-100


def test_equal_points_with_opposite_labels_have_radius_zero_only_by_the_bisector_bounds(norm):
    """The first of two equal points decides, so the second never does; the bounds by bisectors
    cannot see that."""
    oracle = NearestNeighborOracle([[1.0, 0.0], [1.0, 0.0]], [1, -1])
    model = LocallyBiased(LinearScore([1.0, 0.0]), oracle, 4.0, norm)
    bounds = "paper", "sharp", "exact"
    paper, sharp, best = (model.certify([[0.5, 0.0]], bound=bound).radius for bound in bounds)
    assert paper == sharp == 0 and best.item() == pytest.approx(4.5, rel=1e-12)


def test_radius_is_zero_where_score_and_bias_are(norm):
    oracle = NearestNeighborOracle([[2.0, 2.0], [1.0, 1.0]], [-1, 1])
    model = LocallyBiased(LinearScore([1.0, -1.0]), oracle, 0.0, norm)
    for inside in (False, True):
        assert radii(model, [[0.0, 0.0]], box=inside).radius.tolist() == [0]


def test_half_space_that_touches_a_cell_in_a_corner_gives_a_lower_bound(norm):
    """The cell of (0, 0) is |z_1| + |z_2| <= 1, the half-space z_1 >= 1: they share (1, 0), where
    nothing changes."""
    oracle = NearestNeighborOracle([[0, 0], [1, 1], [1, -1], [-1, 1], [-1, -1]], [-1, 1, 1, 1, 1])
    result = exact_radii(LinearScore([-1.0, 0.0], 1.5), oracle, 0.5, norm, [[0.0, 0.0]])
    np.testing.assert_allclose(
        torch.cat([result.radius[:, None], result.witness], 1), [[1, 1, 0]], atol=1e-6
    )


def distances(p, k, x, a, b, q):
    """The distances from x to the bisector of p and k and to a^T z + b = 0, in rational numbers."""
    P, K, X, A = ([Fraction(v) for v in row] for row in (p, k, x, a))
    dual = {1: max, math.inf: sum}[q.p]
    pairs = zip(P, K, X, strict=True)
    apart = sum((s - u) ** 2 - (t - u) ** 2 for s, t, u in pairs)
    value = sum(s * t for s, t in zip(A, X, strict=True)) + Fraction(b)
    gap = dual(abs(s - t) for s, t in zip(P, K, strict=True))
    return abs(apart) / 2 / gap, abs(value) / dual(map(abs, A))


@pytest.mark.parametrize("q", [L1, LINF], ids=str)
def test_radius_is_below_the_real_number_by_rational_arithmetic(rng, q):
    for _ in range(200):
        d = int(rng.integers(1, 6))
        (p, k, x, a), b = rng.normal(size=(4, d)) * 10.0 ** rng.integers(-3, 4), float(rng.normal())
        score, one = LinearScore(a, b), NearestNeighborOracle([p], [1])
        both = NearestNeighborOracle([p, k], [1, -1])
        nearest = exact_radii(score, both, 1e12, q, [x]).radius.item()
        half = exact_radii(score, one, 0.0, q, [x]).radius.item()
        for computed, true in zip((nearest, half), distances(p, k, x, a, b, q), strict=True):
            assert Fraction(computed) <= true
            assert computed == pytest.approx(float(true), rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("N", [10, 1000])
def test_images(rng, norm, box, N):
    points, x = rng.random((N, 1, 28, 28)) ** 4, rng.random((3, 1, 28, 28)) ** 4
    points, x = (np.round(255 * np.where(v < 0.1, 0, v)) / 255 for v in (points, x))
    for alpha in (0.1, 10.0) if N == 10 else (2.0,):
        score = LinearScore(rng.normal(size=(1, 28, 28)), 0.0)
        oracle = NearestNeighborOracle(points, rng.choice([-1, 1], N))
        model = LocallyBiased(score, oracle, alpha, norm)
        result = radii(model, x, box)
        assert result.witness.shape == x.shape
        assert (model.predict(result.witness) != result.prediction).all()
        assert (model.certify(x, bound="sharp").radius <= result.radius * (1 + 1e-9) + 1e-11).all()
        distance = norm((result.witness - torch.from_numpy(x)).flatten(1))
        assert (distance <= result.radius * (1 + 1e-6)).all()
        assert not box or (result.witness.min() >= 0 and result.witness.max() <= 1)


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_wrong_solver_is_noticed(draw, rng, norm, monkeypatch, factor):
    points, labels, x = draw(9, 3, 1)
    oracle = NearestNeighborOracle(points, labels)
    model = LocallyBiased(LinearScore(rng.normal(size=3), 0.4), oracle, 0.7, norm)
    plain = lbrs.exact.search.solve

    def wrong(*given):
        lam, d = plain(*given)
        return lam * factor, None if d is None else d * factor

    monkeypatch.setattr(lbrs.exact.search, "solve", wrong)
    with pytest.raises(ArithmeticError, match="point 0 of x"):
        radii(model, x)


def test_arguments_that_are_not_allowed():
    score, x = LinearScore([1.0, 0.0]), [[0.0, 0.0]]
    oracle = NearestNeighborOracle([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]], [1, -1, 1])
    three = NearestNeighborOracle(oracle.points, oracle.labels, 3)
    for given, words in (
        ((Score(lambda z: z.sum(1), 0.0), oracle, 1.0, L2, x), "LinearScore"),
        ((score, oracle, 1.0, Norm(3), x), "norm"),
        ((score, oracle, -1.0, L2, x), "alpha"),
        ((score, oracle, 1.0, "l2", x), "norm"),
        ((score, "oracle", 1.0, L2, x), "oracle"),
        ((score, oracle, 1.0, L2, [0.0, 0.0]), "x must have shape"),
        ((LinearScore([1.0]), oracle, 1.0, L2, x), "shape"),
        ((score, three, 1.0, L2, x), "k = 3"),
    ):
        with pytest.raises((ValueError, TypeError), match=words):
            exact_radii(*given)
    with pytest.raises(ValueError, match=r"x must lie in \[0, 1\]"):
        exact_radii(score, oracle, 1.0, L2, [[0.0, 1.5]], box=True)
