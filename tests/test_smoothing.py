"""The two smoothed classifiers: locally biased (equations (3) to (5)) and normal (Theorem 1)."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom
from scipy.stats import norm as normal
from torch.nn.functional import softplus

import lbrs.normal
import lbrs.scores.base
import lbrs.scores.sampled
from lbrs import (
    L2,
    LINF,
    LinearScore,
    LocallyBiased,
    NearestNeighborOracle,
    NormalSmoothing,
    ProbabilityMargin,
    Score,
)
from lbrs.scores.base import sign

ALPHAS = [0.0, 0.3, 2.0, 50.0]
KINDS = ["linear", "softplus", "tanh", "sin", "margin"]


@pytest.fixture
def make(draw, rng, norm, ridge_score):
    """make(kind, alpha, n): a model with 12 reference points in 3 dimensions, and n points."""

    def make(kind, alpha, n):
        points, labels, x = draw(12, 3, n)
        if kind == "linear":
            score = LinearScore(rng.normal(size=3), rng.normal())
        elif kind == "margin":
            score = ProbabilityMargin(ridge_score("tanh", 3, norm).function)
        else:
            score = ridge_score(kind, 3, norm)
        return LocallyBiased(
            score, NearestNeighborOracle(points, labels), alpha, norm
        ), torch.from_numpy(x)

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_alpha_zero_is_the_base_classifier(make, kind):
    model, x = make(kind, 0.0, 300)
    assert torch.equal(model.score(x), model.base.value(x))
    assert torch.equal(model.predict(x), sign(model.base.value(x)))


@pytest.mark.parametrize("kind", KINDS)
def test_alpha_to_infinity_is_the_nearest_neighbor(make, kind):
    model, x = make(kind, 1e300, 300)
    assert torch.equal(model.predict(x), model.oracle.label(x))
    assert (model.predict(x) != sign(model.base.value(x))).any()


@pytest.mark.parametrize("kind", KINDS)
def test_prediction_turns_from_base_to_neighbor_once(make, kind):
    model, x = make(kind, 0.0, 200)
    path = torch.stack(
        [
            LocallyBiased(model.base, model.oracle, alpha, model.norm).predict(x)
            for alpha in (0, *np.logspace(-3, 3, 40), 1e300)
        ]
    )
    assert ((path.diff(dim=0) != 0).sum(0) <= 1).all()
    assert torch.equal((path[0] != path[-1]), (path.diff(dim=0) != 0).any(0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_prediction_is_the_sign_of_the_smoothed_score(make, kind, alpha):
    model, x = make(kind, alpha, 300)
    value = model.score(x)
    assert value.abs().min() > 1e-9
    assert torch.equal(model.predict(x), sign(value))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_smoothed_score_is_equation_5(make, alpha):
    model, x = make("tanh", alpha, 50)
    z = x.clone().requires_grad_()
    g = model.base.function(z)
    (gradient,) = torch.autograd.grad(g.sum(), z)
    nearest = (x[:, None] - model.oracle.points).square().sum(-1).argmin(1)
    expected = g.detach().numpy() + alpha * model.oracle.labels[nearest].numpy() * np.linalg.norm(
        gradient, model.norm.dual.p, axis=1
    )
    np.testing.assert_allclose(model.score(x), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_equation_5_is_equation_4_for_a_linear_score(make, alpha):
    model, x = make("linear", alpha, 50)
    a, b = model.base.weight, model.base.bias
    expected = x @ a + b + alpha * model.oracle.label(x) * float(model.norm.dual(a))
    torch.testing.assert_close(model.score(x), expected, rtol=1e-13, atol=1e-14)
    traced = LocallyBiased(Score(lambda x: x @ a + b), model.oracle, alpha, model.norm)
    torch.testing.assert_close(traced.score(x), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_smoothed_linear_score_is_the_mean_under_a_biased_measure(make, rng, alpha):
    model, x = make("linear", alpha, 50)
    g, bias = (
        model.base.value,
        alpha * model.oracle.label(x)[:, None] * model.norm.maximizer(model.base.weight),
    )
    torch.testing.assert_close(g(x + bias), model.score(x), rtol=1e-12, atol=1e-13)
    noise = torch.from_numpy(rng.normal(size=(100, 50, 3)))
    mean = torch.stack([g(x + bias + epsilon) for epsilon in torch.cat([noise, -noise])]).mean(0)
    torch.testing.assert_close(mean, model.score(x), rtol=1e-11, atol=1e-12)


def test_no_measure_with_a_mean_of_length_alpha_gives_more(make, rng):
    model, x = make("linear", 0.7, 100)
    means = torch.from_numpy(rng.normal(size=(500, 3)))
    means *= 0.7 / model.norm(means)[:, None]
    label, g = model.oracle.label(x), model.base.value
    assert all((label * g(x + mean) <= label * model.score(x) + 1e-13).all() for mean in means)


@pytest.mark.parametrize("norm", [LINF], ids=str, indirect=True)
def test_smoothed_score_is_the_score_of_the_fast_gradient_sign_step_to_first_order(make):
    errors = []
    for alpha in (0.02, 0.01, 0.005):
        model, x = make("sin", alpha, 1)
        x = x + torch.linspace(-1, 1, 50, dtype=torch.float64)[:, None]
        g, L = model.base, model.base.gradient_lipschitz
        _, gradient = g.value_and_gradient(x)
        error = (
            g.value(x + alpha * model.oracle.label(x)[:, None] * gradient.sign()) - model.score(x)
        ).abs()
        assert (error <= L * alpha**2 / 2 + 1e-15).all()
        errors.append(error.max().item())
    assert errors[0] > errors[1] > errors[2] > 0


def test_other_norm_gives_another_smoothing(draw):
    points, labels, x = draw(5, 2, 30)
    l2, linf = (
        LocallyBiased(LinearScore([1.0, 1.0]), NearestNeighborOracle(points, labels), 1.0, norm)
        for norm in (L2, LINF)
    )
    torch.testing.assert_close(
        linf.score(x) - l2.score(x), (2 - math.sqrt(2)) * l2.oracle.label(x), rtol=1e-12, atol=1e-14
    )


def test_mirrored_problem_has_the_mirrored_prediction_and_the_same_radius(make):
    model, x = make("tanh", 0.6, 200)
    g, L = model.base.function, model.base.gradient_lipschitz
    mirrored = LocallyBiased(
        Score(lambda x: -g(x), L),
        NearestNeighborOracle(model.oracle.points, -model.oracle.labels),
        0.6,
        model.norm,
    )
    assert torch.equal(mirrored.predict(x), -model.predict(x))
    assert torch.equal(
        mirrored.certify(x, bound="paper").radius, model.certify(x, bound="paper").radius
    )
    torch.testing.assert_close(
        mirrored.certify(x).radius, model.certify(x).radius, rtol=1e-13, atol=1e-15
    )


@pytest.mark.parametrize("kind", KINDS[:4])
def test_certificate_of_a_point_does_not_depend_on_the_batch_or_the_chunks(make, monkeypatch, kind):
    model, x = make(kind, 0.6, 20)
    whole = model.certify(x)
    for limit in (2**23, 10):
        monkeypatch.setattr(lbrs._checks, "ELEMENTS", limit)
        monkeypatch.setattr(lbrs.scores.base, "ELEMENTS", limit)
        for k, certificate in enumerate(model.certify(point[None]) for point in x):
            assert certificate.prediction.item() == whole.prediction[k]
            assert certificate.radius.item() == pytest.approx(
                whole.radius[k].item(), rel=1e-12, abs=1e-14
            )
        torch.testing.assert_close(model.certify(x).radius, whole.radius, rtol=1e-12, atol=1e-14)


def test_where_score_and_bias_cancel_the_base_decides():
    oracle = NearestNeighborOracle([[0.0]], [1])
    model = LocallyBiased(LinearScore([1.0]), oracle, 2.0)
    assert model.score([[-2.0], [-2.5], [-1.5]]).tolist() == [0, -0.5, 0.5] and model.predict(
        [[-2.0], [-2.5], [-1.5]]
    ).tolist() == [-1, -1, 1]
    assert LocallyBiased(LinearScore([1.0]), oracle, 0.0).predict([[0.0]]).tolist() == [1]


@pytest.mark.parametrize("z", [-300.0, -40.0, 40.0, 300.0])
def test_saturated_margin_still_reaches_the_nearest_neighbor(z):
    score = ProbabilityMargin(lambda x: x[:, 0], dtype=torch.float32)
    oracle = NearestNeighborOracle([[0.0]], [-math.copysign(1, z)])
    below, above = math.sinh(abs(z)) * 0.999, math.sinh(abs(z)) * 1.001
    assert [
        LocallyBiased(score, oracle, alpha).predict([[z]]).item() for alpha in (0.0, below, above)
    ] == [math.copysign(1, s) for s in (z, z, -z)]


def test_no_points_give_an_empty_certificate(make):
    model, _ = make("tanh", 0.6, 1)
    empty = np.zeros((0, 3))
    assert len(model.certify(empty)) == len(model.predict(empty)) == len(model.score(empty)) == 0
    assert len(NormalSmoothing(ProbabilityMargin(softplus_margin), 0.5, 100).certify(empty)) == 0


def softplus_margin(x):
    return softplus(x).sum(1) - 1.5


def ridge_mean(x, w, sigma):
    """E tanh(w^T (x + eps)), eps ~ N(0, sigma^2 I), by Gauss-Hermite quadrature along w."""
    node, weight = np.polynomial.hermite_e.hermegauss(120)
    return (
        np.tanh((x @ w)[:, None] + sigma * np.linalg.norm(w) * node)
        @ weight
        / math.sqrt(2 * math.pi)
    )


def ridge(w, sigma, samples, seed=0, **options):
    weight = torch.from_numpy(np.asarray(w))
    return NormalSmoothing(
        Score(lambda x: (x @ weight).tanh()),
        sigma,
        samples,
        torch.Generator().manual_seed(seed),
        **options,
    )


@pytest.mark.parametrize("w", [[1.5], [0.6, -1.2]], ids=["1-d", "2-d"])
def test_normal_smoothing_averages_to_the_integral(w, rng):
    x = rng.normal(size=(6, len(w)))
    expected = ridge_mean(x, np.array(w), 0.8)
    assert np.abs(expected - np.tanh(x @ w)).max() > 0.05
    np.testing.assert_allclose(ridge(w, 0.8, 40_000).score(x), expected, atol=5 / math.sqrt(40_000))


def test_normal_smoothing_repeats_itself_with_the_same_seed(rng):
    x = rng.normal(size=(10, 1))
    first, again, other = (ridge([1.0], 0.5, 200, seed) for seed in (3, 3, 4))
    for ask in ("score", "predict"):
        assert torch.equal(getattr(first, ask)(x), getattr(again, ask)(x))
    assert torch.equal(first.certify(x).radius, again.certify(x).radius) and not torch.equal(
        first.score(x), other.score(x)
    )


@pytest.mark.parametrize("limit", [2**23, 100])
def test_normal_smoothing_never_holds_more_noise_than_the_memory_allows(
    open_door, monkeypatch, limit
):
    monkeypatch.setattr(lbrs.scores.sampled, "ELEMENTS", limit)
    seen = []
    score = Score(lambda x: seen.append(x.numel()) or x[:, 0].tanh())
    NormalSmoothing(score, 0.1, 130).score(np.zeros((50, 1)))
    assert sum(seen) == 50 * 130 and max(seen) <= limit


def test_normal_smoothing_of_an_affine_score_leaves_its_sign(rng):
    x = rng.normal(size=(40, 2))
    score = LinearScore([0.05, -0.02], 0.01)
    g = score.value(x)
    clear = g.abs() > 0.004
    estimate = NormalSmoothing(score, 1.0, 4000, torch.Generator().manual_seed(0)).estimate(
        x[clear.numpy()]
    )
    assert clear.sum() > 30 and estimate.decided.sum() > 20
    assert torch.equal(estimate.sign, sign(g[clear]))


def test_base_classifier_and_normal_smoothing_agree_as_sigma_goes_to_zero(rng):
    x = rng.normal(size=(50, 1))
    torch.testing.assert_close(
        ridge([1.0], 1e-9, 50).score(x), torch.from_numpy(np.tanh(x[:, 0])), rtol=0, atol=1e-8
    )


def test_sequential_prediction_has_the_sign_of_the_integral(rng):
    x = np.concatenate([rng.uniform(0.05, 2, (400, 1)), rng.uniform(-2, -0.05, (400, 1))])
    estimate = ridge([1.0], 1.0, 2000, error=0.01).estimate(x)
    wrong = (estimate.sign.numpy() != np.sign(x[:, 0]))[estimate.decided.numpy()]
    assert estimate.decided.sum() > 600 and wrong.sum() <= binom.ppf(1 - 1e-6, 800, 0.01)
    assert (
        (estimate.used <= 2000).all() and estimate.used.mean() < 1000 and estimate.used.min() >= 8
    )


def test_signs_over_a_grid_of_sigmas_share_their_noise_and_keep_the_guarantee_of_each(
    open_door, rng
):
    x, sigmas = rng.uniform(0.1, 1, (300, 1)) * rng.choice([-1, 1], (300, 1)), [0.3, 1.0, 3.0]
    path = ridge([1.0], 9.0, 600, error=0.02).estimate_path(x, sigmas)
    for estimate in path:
        wrong = (estimate.sign.numpy() != np.sign(x[:, 0]))[estimate.decided.numpy()]
        assert wrong.sum() <= binom.ppf(1 - 1e-6, 300, 0.02) and (estimate.used <= 600).all()
    assert path[0].used.mean() < path[1].used.mean() < path[2].used.mean()
    one = ridge([1.0], 0.3, 600, error=0.02).estimate(x)
    assert torch.equal(one.used, ridge([1.0], 9.0, 600, error=0.02).estimate_path(x, [0.3])[0].used)
    seen = []
    score = Score(lambda z: seen.append(z) or z[:, 0] * 1e-9)
    NormalSmoothing(score, 1.0, 5).estimate_path(np.zeros((1, 1)), [1.0, 4.0])
    first, second = torch.cat(seen).reshape(2, 5)
    torch.testing.assert_close(second, 4 * first)


def test_signs_over_a_grid_of_sigmas_never_hold_more_noise_than_the_memory_allows(
    open_door, monkeypatch
):
    monkeypatch.setattr(lbrs.normal, "ELEMENTS", 700)
    seen = []
    score = Score(lambda x: seen.append(x.numel()) or torch.zeros_like(x[:, 0]))
    NormalSmoothing(score, 0.1, 90).estimate_path(np.zeros((9, 7)), [0.1, 0.2])
    assert sum(seen) == 9 * 7 * 2 * 90 and max(seen) <= 700


@pytest.mark.parametrize("confidence", [0.8, 0.999])
def test_certified_bound_exceeds_the_truth_at_most_as_often_as_stated(confidence):
    x, sigma = np.full((400, 1), 0.4), 0.7
    truth = sigma * normal.ppf((1 + ridge_mean(x[:1], np.array([1.0]), sigma).item()) / 2)
    for side in (1, -1):
        certificate = ridge([1.0], sigma, 3000).certify(side * x, confidence)
        assert (
            certificate.prediction == side
        ).double().mean() > 0.95 and certificate.confidence == confidence
        assert (certificate.radius > truth).sum() <= binom.ppf(1 - 1e-6, 400, 1 - confidence)
        assert certificate.radius.median() > 0.7 * truth


def test_normal_smoothing_abstains_on_the_boundary():
    certificate = ridge([1.0], 0.7, 500).certify(np.zeros((300, 1)), 0.99)
    decided = ~certificate.abstains
    assert decided.sum() <= binom.ppf(1 - 1e-6, 300, 0.01)
    assert (certificate.radius[certificate.abstains] == 0).all()


def test_normal_smoothing_abstains_where_its_draws_contradict_each_other(open_door):
    calls = []
    drifting = Score(
        lambda x: calls.append(0) or torch.full_like(x[:, 0], 1.0 if len(calls) < 10 else -1.0)
    )
    certificate = NormalSmoothing(drifting, 0.5, 10_000).certify([[0.0]])
    assert certificate.abstains.all() and (certificate.radius == 0).all()


def test_certificate_of_normal_smoothing_holds_along_the_steepest_direction(rng):
    w, sigma = np.array([0.8, -1.1]), 0.6
    x = rng.normal(size=(200, 2))
    certificate = ridge(w, sigma, 1000).certify(x)
    sure = ~certificate.abstains.numpy()
    radius, side = certificate.radius.numpy()[sure, None], certificate.prediction.numpy()[sure]
    assert sure.sum() > 100 and (certificate.kind, certificate.norm, certificate.source) == (
        "probabilistic",
        L2,
        "Theorem 1",
    )
    for z in (x[sure], x[sure] - side[:, None] * radius * (w / np.linalg.norm(w)) * (1 - 1e-9)):
        assert (np.sign(ridge_mean(z, w, sigma)) == side).all()


@pytest.mark.parametrize("bound", ["sharp", "paper"])
def test_a_path_over_alpha_gives_the_certificates_one_by_one(draw, ridge_score, bound, norm):
    points, labels, x = draw(9, 3, 20)
    oracle, alphas = NearestNeighborOracle(points, labels), (0.0, 0.2, 3.0)
    for score in (LinearScore([1.0, -0.5, 0.2], 0.1), ridge_score("tanh", 3, norm)):
        for neighbor in (None, oracle.radius(x, norm, bound)):
            path = LocallyBiased(score, oracle, 1.0, norm).certify_path(x, alphas, bound, neighbor)
            for alpha, found in zip(alphas, path, strict=True):
                alone = LocallyBiased(score, oracle, alpha, norm).certify(x, bound)
                assert (
                    torch.equal(found.radius, alone.radius)
                    and torch.equal(found.prediction, alone.prediction)
                    and found.source == alone.source
                )


def test_a_path_refuses_the_exact_bound_and_radii_of_other_points():
    model = LocallyBiased(LinearScore([1.0]), NearestNeighborOracle([[0.0], [1.0]], [1, -1]), 1.0)
    with pytest.raises(ValueError, match="bound must be"):
        model.certify_path([[0.3]], [0.5], "exact")
    with pytest.raises(ValueError, match="neighbor"):
        model.certify_path([[0.3]], [0.5], neighbor=torch.tensor([1.0, 2.0]))
