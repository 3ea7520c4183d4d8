"""Theorem C: exact radii are distances to a change of the prediction; no other certificate exceeds them, and nothing flips inside."""

import math
import os
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize

from lbrs import L1, L2, LINF, LinearScore, LocallyBiased, NearestNeighborOracle, Norm, Score
from lbrs.exact import cells as exact
from lbrs.exact.cells import exact_radii
from lbrs.rounding import round_down

INSTANCES, BATCH = 10_000 if os.environ.get("LBRS_THOROUGH") else 600, 10
SPREADS = [
    lambda rng, size: rng.normal(size=size),
    lambda rng, size: rng.integers(-2, 3, size) / 1.0,
]
norm = pytest.fixture(params=[L1, L2, LINF], ids=str)(lambda request: request.param)
box = pytest.fixture(params=[False, True], ids=["free", "box"])(lambda request: request.param)


def radii(model, x, box=False):
    return exact_radii(model.base, model.oracle, model.alpha, model.norm, x, box=box)


def instance(rng, norm, box, d=None, N=None, grid=None):
    """A random model with N <= 12 reference points, ties and duplicates among them on half the draws, and BATCH points x."""
    d, N = d or int(rng.integers(1, 9)), N or int(rng.integers(1, 13))
    spread = SPREADS[int(rng.random() < 0.5) if grid is None else grid]
    points, x = spread(rng, (N, d)), spread(rng, (BATCH, d))
    if box:
        points, x = ((np.clip(v, -2, 2) + 2) / 4 for v in (points, x))
    score = LinearScore(spread(rng, d), float(spread(rng, ())))
    return LocallyBiased(
        score,
        NearestNeighborOracle(points, rng.choice([-1, 1], N)),
        rng.choice([0, 0.25, 0.5, 1, 2, 1e3]),
        norm,
    ), torch.from_numpy(x)


def polyhedra(model, x, prediction):
    """All P_{y,j} - x of Theorem C as rows H d >= h of dual norm 1, straight from the definition, for one point x; of equal points the first."""
    a, b, q = model.base.weight.numpy(), model.base.bias, model.norm.dual.p
    size, points, labels = (
        np.linalg.norm(a, q),
        model.oracle.points.numpy(),
        model.oracle.labels.numpy(),
    )
    first = [i for i, point in enumerate(points) if not (points[:i] == point).all(1).any()]
    for j in first:
        rows = [
            (
                -prediction * a / size,
                prediction * (a @ x + b) / size + prediction * labels[j] * model.alpha,
            )
        ]
        for k in first:
            if labels[k] != labels[j]:
                u = points[j] - points[k]
                rows.append(
                    (
                        u / np.linalg.norm(u, q),
                        ((points[j] - x) @ (points[j] - x) - (points[k] - x) @ (points[k] - x))
                        / 2
                        / np.linalg.norm(u, q),
                    )
                )
        yield np.array([row for row, _ in rows]), np.array([side for _, side in rows])


def program(H, h, x, box, norm):
    """min ||d|| with H d >= h: l1 and linf by the textbook linear program, l2 by SLSQP from the linf solution; inf if there is none."""
    m, d = H.shape
    top, edges = (
        np.eye(d) if norm.p == 1 else np.ones((d, 1)),
        [(-v, 1 - v) if box else (None, None) for v in x],
    )
    A, free = (
        np.block([[-H, np.zeros((m, top.shape[1]))], [np.eye(d), -top], [-np.eye(d), -top]]),
        [(None, None)] * top.shape[1],
    )
    result = linprog(
        np.r_[np.zeros(d), np.ones(len(free))],
        A_ub=A,
        b_ub=np.r_[-h, np.zeros(2 * d)],
        bounds=edges + free,
        method="highs",
    )
    if norm.p != 2 or result.status:
        return result.fun if result.status == 0 else math.inf
    rows = {"type": "ineq", "fun": lambda v: H @ v - h, "jac": lambda v: H}
    result = minimize(
        lambda v: v @ v / 2,
        result.x[:d],
        jac=lambda v: v,
        constraints=[rows],
        bounds=edges,
        options={"ftol": 1e-15, "maxiter": 500},
    )
    return float(np.linalg.norm(result.x))


def depth(H, h, x, box):
    """The largest t for which a point has H d >= h + t: 0 where the polyhedron has no interior (in the box)."""
    edges = [(-v, 1 - v) if box else (None, None) for v in x]
    return linprog(
        np.r_[np.zeros(len(x)), -1],
        A_ub=np.c_[-H, np.ones(len(h))],
        b_ub=-h,
        bounds=[*edges, (None, 1)],
        method="highs",
    ).x[-1]


def flips_inside(model, x, result, box, rng, count=40):
    """Whether the prediction changes at any of `count` probes within (1 - 1e-9) of each radius, the direction of the witness included."""
    reach = result.radius.clamp(max=100) * (1 - 1e-9)
    directions = torch.from_numpy(rng.normal(size=(count, *x.shape)))
    directions[0] = torch.where(result.radius[:, None].isfinite(), result.witness - x, 1.0)
    directions[1:9] = torch.from_numpy(rng.choice([-1.0, 1.0], (8, *x.shape)))
    size = model.norm(directions)[..., None]
    z = x + directions / torch.where(size > 0, size, 1.0) * reach[:, None]
    z = z.clamp(0, 1) if box else z
    return changes(model, x, z, result)


def changes(model, x, z, result):
    """Whether the prediction at any of the points `z` (m, n, d) differs that, as rounded, lie inside the radii around `x` (n, d)."""
    changed = model.predict(z.flatten(0, 1)).reshape(z.shape[:2]) != result.prediction
    return (changed & (model.norm(z - x) < result.radius * (1 - 1e-14))).any()


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
        final = replace(
            result, radius=torch.maximum(round_down(result.radius), sharp)
        )  # as in certify
        assert (
            (paper <= sharp).all()
            and (sharp <= final.radius).all()
            and (sharp <= result.radius * (1 + 1e-9) + 1e-12).all()
        )
        assert box or number or torch.equal(final.radius, model.certify(x, bound="exact").radius)
        assert not flips_inside(model, x, final, box, rng)
        positive = result.radius.isfinite() & (result.radius > 0)
        distance = norm(result.witness - x)
        assert (distance <= result.radius * (1 + 1e-6) + 1e-15)[positive].all() and (
            distance[result.radius == 0] == 0
        ).all()
        assert not box or ((result.witness >= 0) & (result.witness <= 1))[positive].all()
        same = positive & (
            model.predict(torch.where(positive[:, None], result.witness, x)) == result.prediction
        )
        for i in same.nonzero().flatten():
            cells = list(polyhedra(model, x[i].numpy(), float(result.prediction[i])))
            near = [
                cell
                for cell in cells
                if program(*cell, x[i].numpy(), box, norm) <= result.radius[i] * (1 + 1e-6)
            ]
            assert near and all(depth(*cell, x[i].numpy(), box) < 1e-9 for cell in near)
        seen, unchanged = seen + int(positive.sum()), unchanged + int(same.sum())
    assert seen > (0.5 if box else 0.7) * count and unchanged < (0.2 if box else 0.02) * seen


def test_case_of_wang_et_al(norm):
    for alpha in (10.0, 1e300):
        model = LocallyBiased(
            LinearScore([1.0, 0.3]),
            NearestNeighborOracle([[0.5, 0.5], [1, 0.5], [0, 1]], [1, 1, -1]),
            alpha,
            norm,
        )
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
        labels = (
            model.predict(z).expand(len(x), -1) if box else model.predict(z).reshape(len(x), -1)
        )
        distance = norm(z - x[:, None]) if box else norm(z.reshape(len(x), -1, 2) - x[:, None])
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
        for z, s, radius in zip(x[:3].numpy(), result.prediction, result.radius):
            expected = min(program(H, h, z, box, norm) for H, h in polyhedra(model, z, float(s)))
            assert float(radius) == pytest.approx(
                expected, rel=1e-5 if norm == L2 else 1e-8, abs=1e-6 if norm == L2 else 1e-9
            )


def test_one_nearest_neighbor_limit_is_the_exhaustive_program(draw, rng, norm):
    for d, alpha in ((1, 1e6), (2, 1e300), (4, 1e6)):
        points, labels, x = draw(9, d, 3)
        model = LocallyBiased(
            LinearScore(rng.normal(size=d), 0.1), NearestNeighborOracle(points, labels), alpha, norm
        )
        result = radii(model, x)
        assert torch.equal(result.prediction, model.oracle.label(x))
        for z, s, radius in zip(x, result.prediction, result.radius):
            cells = [
                cell for cell, label in zip(polyhedra(model, z, float(s)), labels) if label != s
            ]
            assert float(radius) == pytest.approx(
                min(program(H[1:], h[1:], z, False, norm) for H, h in cells), rel=1e-5, abs=1e-6
            )


def test_solver_closes_the_gap_on_random_polyhedra_in_the_box(rng, norm):
    for _ in range(150):
        m, d = int(rng.integers(2, 15)), int(rng.choice([2, 3, 5, 8, 50, 300]))
        H = rng.normal(size=(m, d)) * (rng.random((m, d)) < 0.5) + 0.1 * np.eye(1, d)
        H /= np.linalg.norm(H, norm.dual.p, axis=1)[:, None]
        x, z = np.where(rng.random(d) < 0.5, rng.integers(0, 2, d), rng.random(d)), rng.random(d)
        h = H @ (z - x) - 0.05 * rng.random(m)
        for edges in ((-x, 1 - x), (np.full(d, -np.inf), np.full(d, np.inf))):
            lam, v = exact._solve(H, h, edges, norm.p)
            proved = exact._certified(H, h, lam, edges, norm.p)
            assert (
                (H @ v >= h - 1e-11).all()
                and (v >= edges[0] - 1e-11).all()
                and (v <= edges[1] + 1e-11).all()
            )
            assert proved <= np.linalg.norm(v, norm.p) <= proved * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("angle", [1e-2, 1e-5])
def test_solver_finds_the_far_corner_of_a_wedge(norm, angle):
    H = np.array([[1, angle], [-1, angle]])
    lam, v = exact._solve(H, np.ones(2), (np.full(2, -np.inf), np.full(2, np.inf)), norm.p)
    assert exact._certified(
        H, np.ones(2), lam, (np.full(2, -np.inf), np.full(2, np.inf)), norm.p
    ) == pytest.approx(1 / angle, rel=1e-9)
    np.testing.assert_allclose(v, [0, 1 / angle], atol=1e-9 / angle)


def test_one_label_alone_leaves_the_half_space_and_no_bias_the_base_radius(draw, rng, norm):
    for N, d, alpha in ((1, 1, 0.0), (12, 3, 0.0), (1, 3, 0.5), (5, 4, 2.0), (5, 2, 1e300)):
        points, labels, x = draw(N, d, 20)
        for label in (-1, 1):
            oracle = NearestNeighborOracle(points, [label] * N if alpha else labels)
            model = LocallyBiased(LinearScore(rng.normal(size=d), 0.4), oracle, alpha, norm)
            local, result = model.base.linearize(x, norm), radii(model, x)
            torch.testing.assert_close(
                result.radius,
                (local.value / local.slope + alpha * label).abs(),
                rtol=1e-12,
                atol=1e-12,
            )
            assert alpha == 1e300 or (model.predict(result.witness) != result.prediction).all()


@pytest.mark.parametrize("scale", [1e-100, 3.0, 1e100])
def test_radius_scales_with_space_and_does_not_with_the_score(draw, rng, norm, scale):
    points, labels, x = draw(9, 3, 20)
    a = rng.normal(size=3)
    before = exact_radii(LinearScore(a, 0.4), NearestNeighborOracle(points, labels), 0.7, norm, x)
    stretched = exact_radii(
        LinearScore(a, 0.4 * scale),
        NearestNeighborOracle(scale * points, labels),
        0.7 * scale,
        norm,
        scale * x,
    )
    louder = exact_radii(
        LinearScore(scale * a, 0.4 * scale), NearestNeighborOracle(points, labels), 0.7, norm, x
    )
    torch.testing.assert_close(stretched.radius, scale * before.radius, rtol=1e-9, atol=0)
    torch.testing.assert_close(louder.radius, before.radius, rtol=1e-9, atol=0)
    assert ((stretched.witness / scale - before.witness).abs() < 1e-4).all()


def test_radius_moves_with_space_and_mirrors_with_the_labels_and_ignores_order_and_batch(
    draw, rng, norm
):
    points, labels, x = draw(9, 3, 20)
    a, b, shift, order = rng.normal(size=3), 0.4, np.array([30.0, -50.0, 10.0]), rng.permutation(9)
    before = exact_radii(LinearScore(a, b), NearestNeighborOracle(points, labels), 0.7, norm, x)
    moved = exact_radii(
        LinearScore(a, b - a @ shift),
        NearestNeighborOracle(points + shift, labels),
        0.7,
        norm,
        x + shift,
    )
    mirrored = exact_radii(
        LinearScore(-a, -b), NearestNeighborOracle(points, -labels), 0.7, norm, x
    )
    shuffled = exact_radii(
        LinearScore(a, b), NearestNeighborOracle(points[order], labels[order]), 0.7, norm, x
    )
    alone = exact_radii(LinearScore(a, b), NearestNeighborOracle(points, labels), 0.7, norm, x[4:5])
    for other in (moved, mirrored, shuffled):
        torch.testing.assert_close(other.radius, before.radius, rtol=1e-9, atol=1e-12)
    assert torch.equal(mirrored.prediction, -before.prediction) and torch.equal(
        alone.witness, before.witness[4:5]
    )


def test_box_radius_is_at_least_the_free_one_and_inf_where_nothing_changes(rng, norm):
    larger = 0
    for _ in range(10):
        model, x = instance(rng, norm, True)
        free, inside = radii(model, x), radii(model, x, box=True)
        assert (inside.radius >= free.radius * (1 - 1e-9) - 1e-12).all()
        larger += int((inside.radius > free.radius * 1.01).sum())
        assert inside.witness[inside.radius.isinf()].isnan().all()
    assert larger > 10
    far = LocallyBiased(
        LinearScore([1, 1], 5), NearestNeighborOracle([[0, 0], [1, 1]], [1, -1]), 1.0, norm
    )
    assert (
        radii(far, [[0.5, 0.2]], box=True).radius.isinf().all()
        and radii(far, [[0.5, 0.2]]).radius.isfinite().all()
    )


def test_degenerate_inputs(norm):
    oracle = NearestNeighborOracle([[0.0, 0.0], [4.0, 0.0]], [1, -1])
    flat, zero = (
        exact_radii(LinearScore([0.0, 0.0], b), oracle, 1.0, norm, [[1.0, 0.0]]) for b in (2.0, 0.0)
    )
    assert (
        flat.radius.isinf().all()
        and flat.witness.isnan().all()
        and zero.radius.tolist() == [0]
        and zero.witness.tolist() == [[1, 0]]
    )
    for b, alpha, x, radius in (
        (-1.0, 1.0, [1.0, 0.0], 0.0),
        (0.5, 100.0, [2.0, 3.0], 0.0),
        (0.5, 1.0, [2.0, 3.0], 2.5),
    ):
        result = exact_radii(LinearScore([0.0, 1.0], b), oracle, alpha, norm, [x])
        assert result.radius.tolist() == pytest.approx([radius], rel=1e-12)
        assert radius > 0 or result.witness.tolist() == [x]
    empty = exact_radii(LinearScore([0.0, 1.0], 0.5), oracle, 1.0, norm, np.zeros((0, 2)))
    assert (
        empty.radius.shape == (0,)
        and empty.witness.shape == (0, 2)
        and empty.prediction.shape == (0,)
    )


def test_of_equal_points_only_the_first_counts(draw, rng, norm, box):
    points, labels, x = draw(6, 3, 20)
    points, x = (points % 1, x % 1) if box else (points, x)
    doubled, twice = (
        np.vstack([points, points[::-1], -0.0 * points[:1] + points[:1]]),
        np.r_[labels, -labels[::-1], -labels[:1]],
    )
    score = LinearScore(rng.normal(size=3), 0.1)
    once, more = (
        radii(LocallyBiased(score, NearestNeighborOracle(*given), 1.0, norm), x, box)
        for given in ((points, labels), (doubled, twice))
    )
    assert torch.equal(once.radius, more.radius) and torch.equal(once.prediction, more.prediction)


@pytest.mark.parametrize("apart", [1e-3, 1e-9, 1e-15, 1e-300])
def test_nearly_equal_points_of_opposite_labels_do_not_break_the_radius(rng, norm, apart):
    points = (
        1e-9 * rng.integers(-2, 3, (6, 3)) if apart < 1e-100 else rng.integers(-2, 3, (6, 3)) / 4
    )
    x, shift = (
        points[rng.integers(0, 6, 30)]
        + rng.choice([0, 1e-9, 0.1], (30, 1)) * rng.normal(size=(30, 3)),
        apart * rng.normal(size=(6, 3)),
    )
    oracle = NearestNeighborOracle(np.vstack([points, points + shift]), [1, -1] * 3 + [-1, 1] * 3)
    for alpha in (0.0, 0.3, 100.0):
        model = LocallyBiased(LinearScore(rng.normal(size=3), 0.2), oracle, alpha, norm)
        result, z = radii(model, x), torch.from_numpy(x)
        assert not flips_inside(model, z, result, False, rng)
        near = oracle.points[:, None] - oracle.points[oracle.nearest(x)]
        steps = (
            norm.maximizer(near)
            * (result.radius * torch.from_numpy(1 - rng.choice([1e-15, 1e-12, 1e-9], len(x))))[
                :, None
            ]
        )
        assert not changes(model, z, z + steps, result) and not changes(model, z, z - steps, result)
        paper, sharp, best = (
            model.certify(x, bound=bound).radius for bound in ("paper", "sharp", "exact")
        )
        assert (
            (paper <= sharp).all()
            and (sharp <= best).all()
            and ((sharp <= result.radius * (1 + 1e-6) + 1e-12).all() or apart < 1e-100)
        )


def test_equal_points_with_opposite_labels_have_radius_zero_only_by_the_bisector_bounds(norm):
    # The first of two equal points decides, so the second never does; the bounds by bisectors cannot see that.
    model = LocallyBiased(
        LinearScore([1.0, 0.0]), NearestNeighborOracle([[1.0, 0.0], [1.0, 0.0]], [1, -1]), 4.0, norm
    )
    paper, sharp, best = (
        model.certify([[0.5, 0.0]], bound=bound).radius.item()
        for bound in ("paper", "sharp", "exact")
    )
    assert paper == sharp == 0 and best == pytest.approx(4.5, rel=1e-12)


def test_radius_is_zero_where_score_and_bias_are(norm):
    model = LocallyBiased(
        LinearScore([1.0, -1.0]),
        NearestNeighborOracle([[2.0, 2.0], [1.0, 1.0]], [-1, 1]),
        0.0,
        norm,
    )
    assert (
        radii(model, [[0.0, 0.0]]).radius.tolist()
        == [0]
        == radii(model, [[0.0, 0.0]], box=True).radius.tolist()
    )


def test_half_space_that_touches_a_cell_in_a_corner_gives_a_lower_bound(norm):
    # The cell of (0, 0) is |z_1| + |z_2| <= 1, the half-space z_1 >= 1: they share (1, 0), where nothing changes.
    oracle = NearestNeighborOracle([[0, 0], [1, 1], [1, -1], [-1, 1], [-1, -1]], [-1, 1, 1, 1, 1])
    result = exact_radii(LinearScore([-1.0, 0.0], 1.5), oracle, 0.5, norm, [[0.0, 0.0]])
    np.testing.assert_allclose(
        torch.cat([result.radius[:, None], result.witness], 1), [[1, 1, 0]], atol=1e-6
    )


@pytest.mark.parametrize("q", [L1, LINF], ids=str)
def test_radius_is_below_the_real_number_by_rational_arithmetic(rng, q):
    for _ in range(200):
        d = int(rng.integers(1, 6))
        (p, k, x, a), b = rng.normal(size=(4, d)) * 10.0 ** rng.integers(-3, 4), float(rng.normal())
        P, K, X, A = ([Fraction(v) for v in row] for row in (p, k, x, a))
        size = {1: max, math.inf: sum}[q.p]
        nearest = exact_radii(
            LinearScore(a, b), NearestNeighborOracle([p, k], [1, -1]), 1e12, q, [x]
        ).radius.item()
        real = (
            abs(sum((s - u) ** 2 - (t - u) ** 2 for s, t, u in zip(P, K, X)))
            / 2
            / size(abs(s - t) for s, t in zip(P, K))
        )
        half = exact_radii(
            LinearScore(a, b), NearestNeighborOracle([p], [1]), 0.0, q, [x]
        ).radius.item()
        base = abs(sum(s * t for s, t in zip(A, X)) + Fraction(b)) / size(abs(s) for s in A)
        for computed, true in ((nearest, real), (half, base)):
            assert Fraction(computed) <= true and computed == pytest.approx(
                float(true), rel=1e-9, abs=1e-10
            )


@pytest.mark.parametrize("N", [10, 1000])
def test_images(rng, norm, box, N):
    points, x = rng.random((N, 1, 28, 28)) ** 4, rng.random((3, 1, 28, 28)) ** 4
    points, x = (np.round(255 * np.where(v < 0.1, 0, v)) / 255 for v in (points, x))
    for alpha in (0.1, 10.0) if N == 10 else (2.0,):
        model = LocallyBiased(
            LinearScore(rng.normal(size=(1, 28, 28)), 0.0),
            NearestNeighborOracle(points, rng.choice([-1, 1], N)),
            alpha,
            norm,
        )
        result = radii(model, x, box)
        assert (
            result.witness.shape == x.shape
            and (model.predict(result.witness) != result.prediction).all()
        )
        assert (model.certify(x, bound="sharp").radius <= result.radius * (1 + 1e-9) + 1e-11).all()
        assert (
            norm((result.witness - torch.from_numpy(x)).flatten(1)) <= result.radius * (1 + 1e-6)
        ).all()
        assert not box or (result.witness.min() >= 0 and result.witness.max() <= 1)


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_wrong_solver_is_noticed(draw, rng, norm, monkeypatch, factor):
    points, labels, x = draw(9, 3, 1)
    model = LocallyBiased(
        LinearScore(rng.normal(size=3), 0.4), NearestNeighborOracle(points, labels), 0.7, norm
    )
    monkeypatch.setattr(
        exact,
        "_solve",
        lambda *given, solve=exact._solve: [
            None if v is None else v * factor for v in solve(*given)
        ],
    )
    with pytest.raises(ArithmeticError, match="point 0 of x"):
        radii(model, x)


def test_arguments_that_are_not_allowed():
    score, oracle, x = (
        LinearScore([1.0, 0.0]),
        NearestNeighborOracle([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]], [1, -1, 1]),
        [[0.0, 0.0]],
    )
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
