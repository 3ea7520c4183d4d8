"""Proposition T: the curve over alpha is that of `certify`, the alpha found is the best, and the
interval holds."""

import math

import numpy as np
import pytest
import torch

from lbrs import (
    L1,
    L2,
    LINF,
    AffineScores,
    ClassOracle,
    ClassScores,
    CohenScore,
    LinearScore,
    LipschitzScore,
    LocallyBiased,
    MulticlassLocallyBiased,
    NearestNeighborOracle,
    Norm,
    Score,
    tune,
)
from lbrs.tuning import proposition_t, thresholds

pytestmark = pytest.mark.usefixtures("one_thread")
NORMS = [L1, L2, LINF, L2.weighted([1.0, 3.0, 0.5])]


def problem(rng, n=40, N=12, d=3):
    """A linear score, an oracle, and points of two overlapping classes."""
    y = rng.choice([-1.0, 1.0], n + N)
    y[:2] = 1, -1
    points = rng.normal(size=(n + N, d)) + 0.7 * y[:, None]
    oracle = NearestNeighborOracle(points[:N], y[:N])
    return LinearScore(rng.normal(size=d) + 0.5, rng.normal()), oracle, points[N:], y[N:]


def brute_force(score, oracle, x, y, norm, radius, alphas):
    model = LocallyBiased(score, oracle, 0.0, norm)
    return np.array([c.accuracy(y, radius) for c in model.certify_path(x, alphas)])


@pytest.mark.parametrize("norm", NORMS, ids=str)
@pytest.mark.parametrize("radius", [0.0, 0.3, 1.0])
def test_the_curve_is_that_of_certify_and_its_best_is_the_best(rng, norm, radius):
    for _ in range(6):
        score, oracle, x, y = problem(rng)
        found = tune(score, oracle, x, y, radius=radius, norm=norm)
        alphas = np.r_[0.0, rng.uniform(0, 5, 60), found.alpha, 1e6]
        expected = brute_force(score, oracle, x, y, norm, radius, alphas)
        steps = found.thresholds.curve()
        np.testing.assert_allclose(steps(alphas), expected, rtol=0, atol=1e-12)
        assert found.accuracy == pytest.approx(expected[-2], abs=1e-12)
        assert found.accuracy >= expected.max() - 1e-12
        assert found.base == pytest.approx(expected[0], abs=1e-12)
        assert found.oracle == pytest.approx(expected[-1], abs=1e-12)
        assert found.accuracy > found.base or found.alpha == 0


@pytest.mark.slow
@pytest.mark.parametrize("norm", [L1, L2, LINF], ids=str)
def test_tuning_is_brute_force_over_ten_thousand_alphas(norm):
    rng = np.random.default_rng(1)
    for radius in np.r_[0.0, rng.uniform(0, 1, 199)]:
        score, oracle, x, y = problem(rng, n=20)
        found = tune(score, oracle, x, y, radius=float(radius), norm=norm)
        first = LocallyBiased(score, oracle, 0.0, norm).local(torch.as_tensor(x), "sharp")
        alphas = torch.from_numpy(np.sort(np.r_[0.0, rng.uniform(0, 6, 9_999)]))
        curve = by_hand(first, torch.as_tensor(y), alphas, float(radius))
        np.testing.assert_allclose(found.thresholds.curve()(alphas), curve, rtol=0, atol=1e-12)
        assert found.accuracy >= curve.max() - 1e-12
        some = alphas[:: len(alphas) // 20].tolist()
        expected = brute_force(score, oracle, x, y, norm, float(radius), some)
        np.testing.assert_allclose(curve[:: len(alphas) // 20], expected, rtol=0, atol=1e-12)


def by_hand(local, y, alphas, radius):
    """Certified accuracy (m,) by Theorem B at every alpha, point by point."""
    first = local.first
    own = first.value / first.slope
    h = own[:, None] + alphas * local.label[:, None]
    s = torch.where(h.sign() == 0, first.base[:, None], h.sign())
    agrees, R = s == local.label[:, None], s * own[:, None]
    together = torch.minimum(R + alphas, torch.maximum(local.neighbor[:, None], R - alphas))
    r = torch.where(agrees, together, R - alphas).clamp(min=0)
    return ((s == y[:, None]) & ((r > radius) | (radius == 0))).double().mean(0)


def test_a_lipschitz_score_is_tuned_by_theorem_h(rng):
    _, oracle, x, y = problem(rng)
    score = LipschitzScore(lambda z: z.abs().amax(1) - 1.2, 1.0)
    for radius in (0.0, 0.4):
        found = tune(score, oracle, x, y, radius=radius, norm=L2)
        alphas = np.r_[0.0, rng.uniform(0, 4, 60), found.alpha]
        expected = brute_force(score, oracle, x, y, L2, radius, alphas)
        np.testing.assert_allclose(found.thresholds.curve()(alphas), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", [L1, L2, LINF], ids=str)
def test_a_smooth_score_is_tuned_by_theorem_e(rng, norm, ridge_score):
    for radius in (0.0, 0.1, 0.5):
        _, oracle, x, y = problem(rng, n=60)
        score = ridge_score("tanh", 3, norm)
        found = tune(score, oracle, x, y, radius=radius, norm=norm)
        assert torch.isfinite(found.thresholds.curve().jumps).all()
        alphas = np.r_[0.0, rng.uniform(0, 4, 80), found.alpha]
        expected = brute_force(score, oracle, x, y, norm, radius, alphas)
        apart = np.abs(found.thresholds.curve()(alphas).numpy() - expected)
        assert (apart > 1e-12).sum() <= 1  # within 1e-8 of a jump the allowance for rounding tells
        assert found.accuracy == pytest.approx(expected[-1], abs=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_several_classes_are_tuned_by_theorem_m(rng, classes):
    for radius in (0.0, 0.2, 0.6):
        y = rng.integers(0, classes, 70)
        y[:classes] = range(classes)
        centers = 2 * rng.normal(size=(classes, 3))
        points = rng.normal(size=(70, 3)) + centers[y]
        oracle = ClassOracle(points[:15], y[:15])
        for score in (AffineScores(centers, -(centers**2).sum(1) / 2), single(centers)):
            found = tune(score, oracle, points[15:], y[15:], radius=radius, norm=L2)
            steps = found.thresholds.curve()
            for alpha in (0.0, *rng.uniform(0, 3, 25), found.alpha):
                model = MulticlassLocallyBiased(score, oracle, float(alpha), L2)
                expected = model.certify(points[15:]).accuracy(y[15:], radius)
                assert float(steps(alpha)) == pytest.approx(expected, abs=1e-12)
            assert found.model.certify(points[15:]).accuracy(y[15:], radius) == pytest.approx(
                found.accuracy, abs=1e-12
            )


def single(centers):
    """The same scores with one constant for all differences."""
    weight = torch.from_numpy(centers)
    K = float((weight[:, None] - weight).norm(dim=2).max())
    return ClassScores(lambda z: z @ weight.T - weight.square().sum(1) / 2, K)


def test_where_the_base_is_best_it_says_so():
    oracle = NearestNeighborOracle([[0.0], [1.0]], [-1, 1])
    found = tune(LinearScore([-1.0], 0.5), oracle, [[0.0], [1.0]], [1, -1], radius=0.25)
    assert found.alpha == 0 and found.accuracy == 1 and found.backed == 0
    assert found.advice.startswith("use the base alone") and "base alone" in str(found)
    assert "<table>" in found._repr_html_()


def test_of_several_oracles_the_best_wins(rng):
    score, oracle, x, y = problem(rng, n=80, N=20)
    wrong = NearestNeighborOracle(oracle.points, -oracle.labels)
    many = NearestNeighborOracle(x, y)
    found = tune(score, [wrong, many, oracle], x, y, radius=0.0)
    assert found.winner == 1 and found.accuracy == 1 and found.model.oracle is many
    assert found.accuracy == max(tune(score, o, x, y).accuracy for o in (wrong, many, oracle))


def test_the_interval_holds_for_fresh_points(rng):
    """A tuned accuracy is too high on average, and within the interval on fresh points."""
    high, outside = [], 0
    for _ in range(30):
        score, oracle, x, y = problem(rng, n=4000, N=20)
        found = tune(score, oracle, x[:60], y[:60], radius=0.3, confidence=0.9)
        fresh = found.model.certify(x[60:]).accuracy(y[60:], 0.3)
        outside += not found.interval[0] <= fresh <= found.interval[1]
        high.append(found.accuracy - fresh)
    assert np.mean(high) > 0 and outside <= 3
    wide = 2 * math.sqrt(math.log(4 / 0.1) / 120)
    assert found.interval[0] == pytest.approx(max(0, found.accuracy - wide))


def test_backed_is_told_of_the_points_near_the_radius():
    margin = torch.linspace(0, 1, 100, dtype=torch.float64)
    assert proposition_t(margin, margin > 0.5, 0.3).backed_near(0.3) == 0
    assert proposition_t(margin, margin > 0.5, 0.8).backed_near(0.8) == 1


def test_a_curve_is_drawn(rng):
    score, oracle, x, y = problem(rng)
    axes = tune(score, oracle, x, y, radius=0.2).plot()
    assert axes.get_ylabel() == "certified accuracy" and len(axes.patches) == 1


def test_bad_input_is_named(rng):
    score, oracle, x, y = problem(rng)
    local = Score(lambda z: z.sin().sum(1), gradient_lipschitz=lambda z, r: torch.ones(len(z)))
    cohen = CohenScore(LinearScore([1.0, 0.0, 0.0]), 0.5, 100)
    for given, told in (
        ({"radius": -1}, "radius must be"),
        ({"confidence": 1.0}, "confidence must be"),
        ({"x": x[:0], "y": y[:0]}, "x must hold at least one point"),
        ({"oracles": []}, "oracles must hold at least one"),
        ({"y": y[:3]}, "y must have shape"),
        ({"score": local}, "score must be a LinearScore"),
        ({"score": cohen}, "score must be a LinearScore"),
        ({"oracles": ClassOracle([[0.0] * 3], [0])}, "oracles must be of two classes"),
        ({"norm": Norm}, "norm must be a Norm"),
    ):
        with pytest.raises((ValueError, TypeError), match=f"^{told}"):
            tune(**{"score": score, "oracles": oracle, "x": x, "y": y, **given})
    assert thresholds(LocallyBiased(score, oracle, 9.0), torch.as_tensor(x), y, 0.1).curve()
