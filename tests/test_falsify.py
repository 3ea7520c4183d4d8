"""Every certificate is attacked: no point of a certified ball, random or sought, may change the
prediction."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from lbrs import (
    L1,
    L2,
    LINF,
    LinearScore,
    LocallyBiased,
    NearestNeighborOracle,
    ProbabilityMargin,
    Score,
)

ALPHAS = [0.0, 0.3, 2.0]
KINDS = ["linear", "softplus", "tanh", "sin", "margin"]
DIMENSIONS = [1, 2, 3, 6]
SHORT = 1 - 1e-9


@pytest.fixture(params=[L1, L2, LINF], ids=str)
def norm(request):
    return request.param


def margin(rng, d, norm):
    """tanh(z/2) of z = sum_k c_k tanh(w_k^T x + b_k).

    With h(z) = tanh(z/2), |h'| <= 1/2, |h''| <= 1/sqrt(27), ||grad z||_* <= G and grad z being
    K-Lipschitz, the gradient is (G^2/sqrt(27) + K/2)-Lipschitz."""
    w, b, c = (torch.from_numpy(rng.normal(size=shape)) for shape in ((3, d), 3, 3))
    G, K = (
        float((c.abs() * norm.dual(w)).sum()),
        4 / math.sqrt(27) * float((c.abs() * norm.dual(w).square()).sum()),
    )
    return ProbabilityMargin(
        lambda x: (x @ w.T + b).tanh() @ c, gradient_lipschitz=G**2 / math.sqrt(27) + K / 2
    )


@pytest.fixture
def make(draw, rng, ridge_score):
    """make(kind, d, alpha, norm, n): a model with reference points of both labels, and n points."""

    def make(kind, d, alpha, norm, n):
        points, labels, x = draw(int(rng.integers(2, 12)), d, n)
        if kind == "linear":
            score = LinearScore(rng.normal(size=d), rng.normal())
        else:
            score = margin(rng, d, norm) if kind == "margin" else ridge_score(kind, d, norm)
        return LocallyBiased(
            score, NearestNeighborOracle(2 * points, labels), alpha, norm
        ), torch.from_numpy(x)

    return make


def directions(model, x, rng, count):
    """Unit vectors (m, n, d) in which the n points are pushed: random ones, and the steepest toward
    every reference point's bisector."""
    n, d = x.shape
    around = torch.from_numpy(rng.normal(size=(count, n, d)))
    corners, axes = (
        torch.from_numpy(rng.choice([-1.0, 1.0], (count // 4, n, d))),
        torch.eye(d, dtype=torch.float64)[:, None].expand(d, n, d),
    )
    enemies = model.norm.maximizer(
        model.oracle.points[:, None] - model.oracle.points[model.oracle.nearest(x)]
    )
    result = torch.cat([around, corners, axes, -axes, enemies])
    size = model.norm(result)[..., None]
    return result / torch.where(size > 0, size, 1.0)


def gradient_steps(model, x, radius, steps=4):
    """Points (m, n, d) on the spheres of the radii, where g is pushed up and down, from x and from
    both steepest points."""
    result = []
    for side in (-1.0, 1.0):
        z = x
        for _ in range(steps):
            z = x + radius[:, None] * side * model.norm.maximizer(
                model.base.value_and_gradient(z)[1]
            )
            result.append(z)
    return torch.stack(result)


def falsify(model, x, radius, rng, count=150):
    """Which of the n points change their prediction within the radii, and how many points were
    tried."""
    radius = radius.clamp(max=1e3)
    units = directions(model, x, rng, count)
    length = torch.ones(len(units), len(x), 1, dtype=torch.float64)
    length[: count // 3] = torch.from_numpy(rng.random((count // 3, len(x), 1)))
    tried = torch.cat([x + units * length * radius[:, None], gradient_steps(model, x, radius)])
    changed = model.predict(tried.flatten(0, 1)).reshape(len(tried), len(x)) != model.predict(x)
    return changed.any(0), tried[..., 0].numel()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_no_point_of_a_certified_ball_changes_the_prediction(make, rng, norm, kind, alpha):
    total, positive = 0, 0
    for d in DIMENSIONS:
        for _ in range(4):
            model, x = make(kind, d, alpha, norm, 25)
            certificate = model.certify(x)
            assert (
                torch.equal(certificate.prediction, model.predict(x)) and certificate.norm == norm
            )
            changed, tried = falsify(
                model, x, (certificate.radius * SHORT - 1e-13).clamp(min=0), rng
            )
            assert not changed.any()
            total, positive = total + tried, positive + int((certificate.radius > 1e-3).sum())
    assert total > 50_000 and positive > 300


@pytest.mark.parametrize("alpha", ALPHAS)
def test_no_point_of_a_certified_ball_changes_the_prediction_where_one_label_is_known(
    make, rng, norm, alpha
):
    for kind in KINDS:
        model, x = make(kind, 2, alpha, norm, 50)
        alone = LocallyBiased(
            model.base,
            NearestNeighborOracle(model.oracle.points, torch.ones(len(model.oracle.points))),
            alpha,
            norm,
        )
        assert not falsify(alone, x, (alone.certify(x).radius * SHORT - 1e-13).clamp(min=0), rng)[
            0
        ].any()


def test_no_point_of_a_certified_ball_of_pixels_changes_the_prediction(rng, norm):
    x = torch.from_numpy(rng.integers(0, 2, (30, 20)) / 1.0)
    labels = torch.from_numpy(rng.choice([-1.0, 1.0], 12))
    model = LocallyBiased(
        LinearScore(rng.integers(-2, 3, 20), 0.5), NearestNeighborOracle(x[:12], labels), 0.75, norm
    )
    certificate = model.certify(x[12:])
    assert (certificate.radius > 0).any()
    assert not falsify(model, x[12:], (certificate.radius * SHORT - 1e-13).clamp(min=0), rng)[
        0
    ].any()


def test_falsifier_finds_every_flip_just_outside_where_the_boundary_binds(rng, norm):
    for alpha in ALPHAS:
        far = NearestNeighborOracle([[0, 0, 0], [1e4, 1e4, 1e4]], [1, -1])
        model, x = (
            LocallyBiased(LinearScore(rng.normal(size=3), 0.3), far, alpha, norm),
            torch.from_numpy(rng.normal(size=(100, 3))),
        )
        radius = model.certify(x).radius
        assert (
            falsify(model, x, radius * 1.001, rng)[0].all()
            and not falsify(model, x, radius * SHORT, rng)[0].any()
        )


def test_falsifier_finds_every_flip_just_outside_where_the_neighbor_binds(draw, rng, norm):
    points, _, x = draw(2, 3, 100)
    model = LocallyBiased(
        LinearScore(rng.normal(size=3), 0.3), NearestNeighborOracle(points, [1, -1]), 100.0, norm
    )
    x = torch.from_numpy(x)
    radius = model.certify(x).radius
    assert torch.allclose(radius, model.oracle.radius(x, norm))
    assert (
        falsify(model, x, radius * 1.001, rng)[0].all()
        and not falsify(model, x, radius * SHORT, rng)[0].any()
    )


@pytest.mark.parametrize("kind", KINDS[1:])
def test_falsifier_finds_a_curvature_that_is_understated_tenfold(draw, rng, norm, kind):
    def lying(model):
        score = model.base
        return LocallyBiased(
            type(score)(score.function, score.gradient_lipschitz / 10),
            model.oracle,
            model.alpha,
            norm,
        )

    def ridge(d):
        w, b = torch.from_numpy(rng.normal(size=d)), float(rng.normal())
        w = w / norm.dual(w)
        functions = {
            "softplus": (
                lambda x: torch.nn.functional.softplus(4 * (x @ w) + b, threshold=40) - 1,
                4.0,
            ),
            "tanh": (lambda x: (x @ w + b).tanh() - 0.5, 4 / math.sqrt(27)),
            "sin": (lambda x: (x @ w + b).sin() + 0.3, 1.0),
            "margin": (lambda x: (x @ w + b).sin() + 0.3, 1 / math.sqrt(27) + 0.5),
        }
        function, L = functions[kind]
        return (ProbabilityMargin if kind == "margin" else Score)(function, gradient_lipschitz=L)

    found = 0
    for alpha in ALPHAS:
        points, _, x = draw(4, 2, 60)
        model, x = (
            LocallyBiased(ridge(2), NearestNeighborOracle(points, [1] * 4), alpha, norm),
            torch.from_numpy(x),
        )
        assert not falsify(model, x, (model.certify(x).radius * SHORT - 1e-13).clamp(min=0), rng)[
            0
        ].any()
        found += int(falsify(model, x, lying(model).certify(x).radius, rng)[0].sum())
    assert found > 50


def test_zero_curvature_of_a_kinked_function_would_certify_what_is_false():
    """Almost everywhere the Hessian of a ReLU is 0, which as L would certify any radius at 0."""

    def g(z):
        return 1 + 50 * (z - 0.01).clamp(min=0).sum(1)

    model = LocallyBiased(
        Score(g, gradient_lipschitz=0.0), NearestNeighborOracle([[0.0]], [-1]), 0.1
    )
    assert model.predict(np.array([[0.0], [0.02]])).tolist() == [1, -1]
    with pytest.raises(ValueError, match="gradient_lipschitz"):
        model.certify(np.array([[0.0]]))


def test_degenerate_linear_models_have_the_stated_radii(norm):
    def certify(a, b, points, labels, x, alpha=1.0):
        model = LocallyBiased(LinearScore(a, b), NearestNeighborOracle(points, labels), alpha, norm)
        return [
            model.certify([x], bound=bound).radius.item() for bound in ("paper", "sharp", "exact")
        ]

    points, inf = [[0.0, 0.0], [4.0, 0.0]], math.inf
    assert certify([0.0, 0.0], 2.0, points, [1, -1], [1.0, 0.0])[1:] == [inf, inf]
    assert certify([0.0, 0.0], 0.0, points, [1, -1], [1.0, 0.0]) == [0, 0, 0]
    assert certify([0.0, 1.0], 0.0, points, [1, -1], [2.0, 3.0], 3.0)[0] == 0
    assert certify([0.0, 1.0], -1.0, points, [1, -1], [1.0, 0.0]) == [0, 0, 0]
    assert certify([1.0, 0.0], 0.0, [[1.0, 0.0], [1.0, 0.0]], [1, -1], [0.5, 0.0], 4.0)[:2] == [
        0,
        0,
    ]
    for one in ([[1.0, 0.0]], points):
        assert certify([1.0, 0.0], 0.5, one, [1] * len(one), [1.0, 0.0]) == pytest.approx(
            [2.5] * 3, rel=1e-13
        )
    with pytest.raises(ValueError, match="at most the number of points 2"):
        NearestNeighborOracle(points, [1, -1], 3)


def test_rounding_error_of_a_linear_score_is_bounded_and_its_distance_below_the_real_one(rng, norm):
    for d in (1, 3, 40):
        a, b, x = (
            rng.normal(size=d),
            float(rng.normal()),
            torch.from_numpy(rng.normal(size=(30, d))),
        )
        x[:15] -= ((x[:15] @ torch.from_numpy(a) + b) / (a @ a))[:, None] * torch.from_numpy(a)
        score = LinearScore(a, b)
        local = score.linearize(x, norm)
        bound, (distance, against) = (
            score.rounding_error(x),
            score.reaches(x, local.base, local, 0.0, norm),
        )
        assert torch.equal(distance, against)
        for z, value, error, base, R in zip(
            x.tolist(),
            local.value.tolist(),
            bound.tolist(),
            local.base.tolist(),
            distance.tolist(),
            strict=True,
        ):
            true = sum(
                Fraction(s) * Fraction(t) for s, t in zip(a.tolist(), z, strict=True)
            ) + Fraction(b)
            assert 2 * abs(Fraction(value) - true) <= Fraction(error)
            assert (
                norm == L2
                or Fraction(R)
                * {1: max, math.inf: sum}[norm.p](abs(Fraction(s)) for s in a.tolist())
                <= Fraction(base) * true
            )
        assert not any(
            side.isnan().any()
            for alpha in (1e300, 1.7e308)
            for side in score.reaches(x, local.base, local, alpha, norm)
        )
