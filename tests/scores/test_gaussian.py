"""Theorem G and the certificate that rests on it: sharp constants, sound intervals, coverage, and
attacks where g is known in closed form."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import binom
from scipy.stats import norm as normal

from lbrs import (
    L2,
    LINF,
    GaussianScore,
    LocallyBiased,
    NearestNeighborOracle,
    ProbabilityMargin,
    verify,
)
from lbrs.certificates import radius_along, theorem8, theorem_g
from lbrs.scores.gaussian import SPREAD, Estimate, gaussian_certificate, lowest_radius_along

pytestmark = pytest.mark.usefixtures("one_thread")

W, B, SIGMA = torch.tensor([0.6, -0.8], dtype=torch.float64), 0.1, 0.8


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def half_space(z):
    return torch.where(z @ W + B >= 0, 1.0, -1.0).double()


def truth(x):
    """g and ||grad g||_2 of the smoothed half-space: 2 Phi(t) - 1 and 2 phi(t)/sigma, t = (w^T x +
    b)/sigma."""
    t = (torch.as_tensor(x) @ W + B) / SIGMA
    return 2 * torch.special.ndtr(t) - 1, 2 / SIGMA * torch.exp(-(t**2) / 2) / math.sqrt(
        2 * math.pi
    )


def predict(x, labels, alpha):
    g, G = truth(x)
    return torch.where(g + alpha * labels * G >= 0, 1.0, -1.0).double()


def smooth(samples, seed=0):
    return GaussianScore(half_space, SIGMA, samples, torch.Generator().manual_seed(seed))


def test_the_constants_are_attained_by_a_half_line_and_by_a_slab():
    K, L = theorem_g(1.0, 1.0)
    assert (
        pytest.approx(0.48394, abs=1e-5) == L
        and pytest.approx(2 * normal.pdf(1), rel=1e-14) == L
        and pytest.approx(normal.pdf(0), rel=1e-14) == K
    )

    def g(x):  # the slab 1{|z| > 1}, smoothed
        return normal.cdf(x - 1) + normal.cdf(-x - 1)

    h = 1e-4
    assert (g(h) - 2 * g(0) + g(-h)) / h**2 == pytest.approx(L, rel=1e-6)
    assert (normal.cdf(h) - normal.cdf(-h)) / (2 * h) == pytest.approx(K, rel=1e-6)


@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_no_step_function_exceeds_the_constants(sigma, rng):
    K, L = theorem_g(sigma, 2.0)
    for _ in range(20):
        edges, x = np.sort(rng.normal(size=6)), np.linspace(-3, 3, 200)
        slope = (
            2 / sigma * sum((-1) ** i * normal.pdf((x - e) / sigma) for i, e in enumerate(edges))
        )
        bend = (
            -2
            / sigma**2
            * sum(
                (-1) ** i * (x - e) / sigma * normal.pdf((x - e) / sigma)
                for i, e in enumerate(edges)
            )
        )
        assert abs(slope).max() <= K and abs(bend).max() <= L


@pytest.mark.parametrize("c", [0.1, 7.0])
def test_the_constants_scale(c):
    (K, L), wider = theorem_g(0.5, 2.0), theorem_g(0.5 * c, 2.0)
    assert wider == pytest.approx((K / c, L / c**2))
    assert theorem_g(0.5, 2.0 * c) == pytest.approx((c * K, c * L)) and theorem_g(1.0, 0.0) == (
        0,
        0,
    )


def test_the_moments_of_a_bounded_weight_times_a_normal_number_are_those_of_the_docstring():
    """Brute force over the extreme weights, sign(|z| - c): log E exp(l(W - EW)) <= s^2 l^2/2, and
    s^2 cannot be 1."""
    excess = []
    for c in np.linspace(0, 4, 41):
        m = (
            quad(lambda r: 2 * r * normal.pdf(r), c, 40)[0]
            - quad(lambda r: 2 * r * normal.pdf(r), 0, c)[0]
        )
        for s in (0.1, 0.5, 1.0, 2.0, 5.0):
            moment = (
                quad(lambda r, s: 2 * np.exp(s * r) * normal.pdf(r), c, 40, args=(s,))[0]
                + quad(lambda r, s: 2 * np.exp(-s * r) * normal.pdf(r), 0, c, args=(s,))[0]
            )
            excess.append(2 * (math.log(moment) - s * m) / s**2)
    assert 1.0 < max(excess) <= SPREAD < 1.97


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.5])
@pytest.mark.parametrize("L", [0.2, 2.0])
def test_the_lowest_radius_is_the_minimum_over_the_interval(rng, alpha, L):
    low = torch.from_numpy(rng.exponential(size=300))
    high, v = (
        low + torch.from_numpy(rng.exponential(size=300)),
        torch.from_numpy(rng.normal(size=300)),
    )
    brute = torch.stack(
        [
            radius_along(v, low + (high - low) * s, alpha, L)
            for s in torch.linspace(0, 1, 2001, dtype=torch.float64)
        ]
    ).amin(0)
    found = lowest_radius_along(v, low, high, alpha, L)
    assert (found <= brute * (1 + 1e-12)).all()
    torch.testing.assert_close(found, brute, rtol=1e-4, atol=1e-4)
    inner = torch.minimum(radius_along(v, low, alpha, L), radius_along(v, high, alpha, L))
    assert (found < inner).any() or alpha * L < 0.1
    torch.testing.assert_close(
        lowest_radius_along(v, low, low, alpha, L),
        radius_along(v, low, alpha, L),
        rtol=1e-12,
        atol=1e-14,
    )


@pytest.mark.parametrize("dimension", [2, 30])
def test_the_intervals_hold_the_truth_as_often_as_stated(rng, dimension):
    weight = torch.cat([W, torch.zeros(dimension - 2, dtype=torch.float64)])
    score = GaussianScore(
        lambda z: torch.where(z @ weight + B >= 0, 1.0, -1.0).double(),
        SIGMA,
        2000,
        torch.Generator().manual_seed(0),
    )
    x = rng.normal(size=(300, dimension))
    found, (g, G) = score.estimate(x, 0.9), truth(x[:, :2])
    missed = (found.low > g) | (found.high < g) | (found.slope_low > G) | (found.slope_high < G)
    assert missed.sum() <= binom.ppf(1 - 1e-6, 300, 0.1)
    assert (
        (found.slope_high <= theorem_g(SIGMA)[0] * (1 + 1e-8)).all()
        and (found.slope_low <= found.slope_high).all()
        and (found.slope_low > 0.2).any()
    )


def test_the_intervals_shrink_onto_the_truth():
    x = tensor([0.3, 0.4])[None]
    g, G = truth(x)
    widths = []
    for samples in (1000, 10_000, 100_000):
        found = smooth(samples).estimate(x)
        assert found.low < g < found.high and found.slope_low < G < found.slope_high
        widths.append(
            ((found.high - found.low).item(), (found.slope_high - found.slope_low).item())
        )
    assert widths[0] > widths[1] > widths[2] and widths[2][0] < 0.05 and widths[2][1] < 0.15


def test_the_gradient_of_a_score_with_small_gradient_is_found_to_be_small():
    """A constant score has slope 0: the bound comes from the draws and not from the score's own
    bound."""
    score = GaussianScore(lambda z: 0 * z[:, 0], 1.0, 100_000, torch.Generator().manual_seed(0))
    found = score.estimate([[0.0, 0.0]])
    assert found.slope_low == 0 and found.slope_high < 0.1


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.7])
def test_certificates_fail_at_most_as_often_as_stated(rng, alpha):
    x, confidence = torch.from_numpy(rng.normal(size=(250, 2)) * 1.5), 0.9
    oracle = NearestNeighborOracle(2 * rng.normal(size=(6, 2)), [1, -1, 1, -1, 1, -1])
    certificate = LocallyBiased(smooth(1500), oracle, alpha).certify(x, confidence=confidence)
    sure = ~certificate.abstains
    toward = (
        -W * torch.where(certificate.prediction == 0, 1.0, certificate.prediction)[None, :, None]
    )
    steps = torch.cat(
        [
            torch.from_numpy(rng.normal(size=(40, 250, 2))),
            toward,
            -toward,
            oracle.points[:, None] - x,
        ]
    )
    z = (
        x
        + steps
        / torch.linalg.vector_norm(steps, dim=-1)[..., None]
        * (certificate.radius * (1 - 1e-9))[:, None]
    )
    wrong = sure & (predict(x, oracle.label(x), alpha) != certificate.prediction)
    for part in z:
        wrong |= sure & (predict(part, oracle.label(part), alpha) != certificate.prediction)
    assert sure.sum() > 80 and wrong.sum() <= binom.ppf(1 - 1e-6, 250, 1 - confidence)
    assert (certificate.radius > 0.1).sum() > 40 and (certificate.radius[~sure] == 0).all()


def test_with_the_truth_known_it_is_theorem_e_and_an_attack_inside_fails(rng):
    x, alpha = torch.from_numpy(rng.normal(size=(400, 2))), 0.4
    g, G = truth(x)
    oracle = NearestNeighborOracle(rng.normal(size=(8, 2)), [1, -1] * 4)
    certificate = gaussian_certificate(
        Estimate(g, g, G, G, 0.999), oracle.label(x), oracle.radius(x, L2), alpha, SIGMA
    )
    assert torch.equal(certificate.prediction, predict(x, oracle.label(x), alpha))
    paper = theorem8(
        g + alpha * oracle.label(x) * G,
        G,
        oracle.radius(x, L2, "paper"),
        alpha,
        theorem_g(SIGMA)[1],
    )
    assert (certificate.radius >= paper * (1 - 1e-8)).all() and (
        certificate.radius > 1.05 * paper
    ).sum() > 50
    for _ in range(100):
        step = torch.from_numpy(rng.normal(size=(400, 2)))
        z = (
            x
            + step
            / torch.linalg.vector_norm(step, dim=1)[:, None]
            * (certificate.radius * (1 - 1e-9))[:, None]
        )
        assert torch.equal(predict(z, oracle.label(z), alpha), certificate.prediction)


def test_wider_intervals_never_give_a_larger_radius(rng):
    g, G = truth(rng.normal(size=(300, 2)))
    near, label = (
        torch.from_numpy(rng.exponential(size=300)),
        torch.from_numpy(rng.choice([-1.0, 1.0], 300)),
    )
    for alpha in (0.0, 0.3, 2.0):
        radii = [
            gaussian_certificate(
                Estimate(g - w, g + w, (G - w).clamp(min=0), G + w, 0.999),
                label,
                near,
                alpha,
                SIGMA,
            )
            for w in (0, 0.02, 0.1, 0.4)
        ]
        for narrow, wide in pairwise(radii):
            assert (wide.radius <= narrow.radius).all() and (
                (wide.prediction == narrow.prediction) | wide.abstains
            ).all()


def test_a_relu_network_is_certified_and_says_on_what_it_rests(draw):
    torch.manual_seed(0)
    network = (
        torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
        .eval()
        .requires_grad_(False)
    )
    points, labels, x = draw(8, 2, 20)
    score = GaussianScore(ProbabilityMargin(network), 0.5, 2000, torch.Generator().manual_seed(0))
    model = LocallyBiased(score, NearestNeighborOracle(points, labels), 0.1)
    certificate = model.certify(x)
    assert (certificate.kind, certificate.source, certificate.confidence) == (
        "probabilistic",
        "Theorems E' and G",
        0.999,
    )
    assert (~certificate.abstains).any() and len(model.certify(x[:0])) == len(
        model.predict(x[:0])
    ) == 0
    assert model.predict(x).shape == model.score(x).shape == (20,)


def test_estimates_come_close_to_the_truth_and_repeat_themselves(rng):
    x = rng.normal(size=(20, 2))
    first, again = (smooth(20_000, 3).linearize(x, L2) for _ in range(2))
    g, G = truth(x)
    assert torch.equal(first.value, again.value) and torch.equal(first.slope, again.slope)
    torch.testing.assert_close(first.value, g, rtol=0, atol=0.05)
    torch.testing.assert_close(first.slope, G, rtol=0, atol=0.1)


ORACLE = NearestNeighborOracle([[0.0], [1.0]], [1, -1])
STEP = GaussianScore(lambda z: z[:, 0].sign(), 0.5, 50, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("sigma", lambda: theorem_g(0.0)),
        ("oscillation", lambda: theorem_g(1.0, -1.0)),
        ("sigma", lambda: GaussianScore(torch.sin, -1.0)),
        ("samples", lambda: GaussianScore(torch.sin, 1.0, 1)),
        ("score", lambda: GaussianScore(None, 1.0)),
        ("score", lambda: GaussianScore(STEP, 1.0)),
        ("generator", lambda: GaussianScore(torch.sin, 1.0, 10, 3)),
        ("score", lambda: GaussianScore(lambda z: 5 * z[:, 0], 1.0, 50).estimate([[1.0]])),
        ("confidence", lambda: STEP.estimate([[1.0]], 1.0)),
        ("norm", lambda: LocallyBiased(STEP, ORACLE, 0.1, LINF)),
        ("bound", lambda: LocallyBiased(STEP, ORACLE, 0.1).certify([[1.0]], bound="paper")),
        ("x", lambda: STEP.estimate([1.0])),
        ("model", lambda: verify(LocallyBiased(STEP, ORACLE, 0.1), [[0.0]], None)),
        ("label", lambda: gaussian_certificate(STEP.estimate([[1.0]]), [0.5], [1.0], 0.1, 0.5)),
        (
            "neighbor",
            lambda: gaussian_certificate(STEP.estimate([[1.0]]), [1], [math.nan], 0.1, 0.5),
        ),
        ("alpha", lambda: gaussian_certificate(STEP.estimate([[1.0]]), [1], [1.0], -0.1, 0.5)),
    ],
)
def test_a_bad_argument_is_refused_by_name(argument, call):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert re.match(rf"{argument}\b", str(caught.value)), caught.value
