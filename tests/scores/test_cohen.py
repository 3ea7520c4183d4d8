"""Theorem H for Cohen's score: its interval, its certificate, coverage, and numbers."""

import math
import re

import mpmath
import numpy as np
import pytest
import torch
from scipy.stats import beta, binom
from scipy.stats import norm as normal

import lbrs.scores.sampled
from lbrs import (
    L1,
    L2,
    LINF,
    CohenScore,
    LinearScore,
    LipschitzScore,
    LocallyBiased,
    NearestNeighborOracle,
    ProbabilityMargin,
    verify,
)
from lbrs.montecarlo import clopper_pearson, safe_lower
from lbrs.scores.cohen import cohen_certificate, cohen_interval, one_sided

pytestmark = pytest.mark.usefixtures("one_thread")

ORACLE = NearestNeighborOracle([[0.0], [1.0]], [1, -1])
COHEN = CohenScore(lambda z: z[:, 0], 0.5, 200, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("tail", [0.2, 5e-4, 1e-9])
def test_the_safe_lower_bound_is_clopper_pearsons_from_below(tail):
    for n in (1, 2, 50, 100_000):
        k = torch.tensor(sorted({0, 1, n // 3, n // 2, n - 1, n}))
        lower = safe_lower(k, n, tail)
        expected = [clopper_pearson(int(v), n, 1 - 2 * tail)[0] for v in k]
        np.testing.assert_allclose(lower, expected, rtol=1e-7)
        assert (binom.sf(k.numpy()[1:] - 1, n, lower.numpy()[1:]) <= tail).all() and lower[0] == 0


def test_the_interval_is_that_of_clopper_and_pearson_and_never_nan():
    low, high = cohen_interval(torch.tensor([0, 1, 50, 99, 100]), 100, 0.7, 0.99)
    assert (
        low[0] == -math.inf
        and high[4] == math.inf
        and torch.isfinite(low[1:]).all()
        and torch.isfinite(high[:4]).all()
    )
    for i, k in enumerate((0, 1, 50, 99, 100)):
        expected = 0.7 * normal.ppf(clopper_pearson(k, 100, 0.99))
        np.testing.assert_allclose([low[i], high[i]], expected, rtol=1e-8)
        assert low[i] <= expected[0] and high[i] >= expected[1]
    torch.testing.assert_close(low.flip(0), -high, rtol=0, atol=0)


@pytest.mark.parametrize("label", [1, -1])
def test_alpha_zero_is_the_certificate_of_cohen_et_al(label):
    counts, near = torch.arange(0, 1001, 50), torch.zeros(21, dtype=torch.float64)
    certificate = cohen_certificate(counts, 1000, 0.5, torch.full((21,), label), near, 0.0, 0.99)
    for k, prediction, radius in zip(
        counts.tolist(), certificate.prediction.tolist(), certificate.radius.tolist(), strict=True
    ):
        lower, upper = clopper_pearson(k, 1000, 0.99)
        expected = 0.5 * max(normal.ppf(lower), -normal.ppf(upper))
        assert prediction == (1 if lower > 0.5 else -1 if upper < 0.5 else 0)
        assert radius == pytest.approx(max(expected, 0), rel=1e-8) and radius <= max(expected, 0)
    assert (certificate.kind, certificate.confidence, certificate.source, certificate.norm) == (
        "probabilistic",
        0.99,
        "Theorem H (Cohen's score)",
        L2,
    )


def locuslab(chosen, counts, samples, sigma, error):
    """`Smooth.certify` of locuslab/smoothing from the counts of +1 of both of its samples, which
    has 0 for abstention: the class is the first with most votes, +1 before -1."""
    label = 1 if chosen >= 50 else -1
    votes = counts if label > 0 else samples - counts
    lower = float(beta.ppf(error, votes, samples - votes + 1)) if votes else 0.0
    return (0, 0.0) if lower < 0.5 else (label, sigma * float(normal.ppf(lower)))


@pytest.mark.parametrize("samples", [1, 1000, 100_000])
def test_equal_counts_give_cohens_radius_to_twelve_digits(samples):
    drawn = np.random.default_rng(0).binomial(samples, np.linspace(0, 1, 400))
    chosen = np.random.default_rng(1).binomial(100, np.linspace(0, 1, 400))
    side = np.where(chosen >= 50, 1, -1)
    near, sigma, error = [0.0] * 400, 0.25, 1 - 0.999
    found = cohen_certificate(drawn, samples, sigma, side, near, 0.0, selected=side)
    for k, k0, label, radius in zip(drawn, chosen, found.prediction, found.radius, strict=True):
        expected, size = locuslab(k0, k, samples, sigma, error)
        assert label == expected and size - 1e-12 <= radius <= size
    assert 1 - samples // 1000 or (found.radius > 0).sum() > 300


def at_least(k, n, p):
    """The chance of k or more among n of chance p each."""
    term = total = mpmath.binomial(n, k) * p**k * (1 - p) ** (n - k)
    for i in range(k, n):
        term *= mpmath.mpf(n - i) / (i + 1) * p / (1 - p)
        total += term
    return total


@pytest.mark.parametrize("error", [0.2, 1e-3, 1e-9])
def test_the_bound_from_one_side_is_below_that_of_forty_digits(error):
    cases = [(k, n) for n in (1, 2, 50, 3000) for k in {1, n // 3, n // 2 + 1, n - 1, n} - {0}]
    for k, n in cases:
        low = one_sided(torch.tensor([k]).double(), n, error).item()
        with mpmath.workdps(40):
            p = mpmath.ncdf(mpmath.mpf(low - 1e-13 * (abs(low) + 1)))
            assert error * (1 - 1e-8) <= at_least(k, n, p) <= error


def test_a_class_chosen_by_other_draws_costs_less_and_is_the_only_one_predicted():
    counts, far = torch.arange(0, 1001, 50), torch.full((21,), math.inf).double()
    for alpha in (0.0, 0.7):
        both = cohen_certificate(counts, 1000, 0.5, [1] * 21, far, alpha)
        for side in (-1, 1):
            one = cohen_certificate(counts, 1000, 0.5, [1] * 21, far, alpha, selected=[side] * 21)
            same = both.prediction == side
            assert (one.radius[same] > both.radius[same]).all()
            assert ((one.prediction == side) | one.abstains).all()
    top = (cohen_certificate([1000], 1000, 1.0, [1], [0.0], 0.0, selected=s) for s in (None, [1]))
    two_sided, one_sided_ = (found.radius.item() for found in top)
    assert one_sided_ / two_sided == pytest.approx(1.014, abs=1e-3)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_a_score_with_selection_is_cohens_draw_for_draw(alpha):
    def score(**options):
        return CohenScore(lambda z: z[:, 0], 1.0, 500, torch.Generator().manual_seed(2), **options)

    x, oracle = torch.linspace(-3, 3, 60)[:, None], NearestNeighborOracle([[-1.0], [1.0]], [1, -1])
    found, again = LocallyBiased(score(selection=100), oracle, alpha).certify(x), score()
    share = (again.counts(x, 100).double() + 0.5) / 101
    first, label = torch.special.ndtri(share), oracle.label(x)
    side = torch.where(alpha > first.abs(), label, torch.where(first >= 0, 1.0, -1.0))
    near, counts = oracle.radius(x, L2), again.counts(x)
    expected = cohen_certificate(counts, 500, 1.0, label, near, alpha, selected=side)
    assert torch.equal(found.radius, expected.radius) and (found.radius > 0).sum() > 20
    assert torch.equal(found.prediction, expected.prediction)


def test_the_winner_of_the_same_draws_needs_both_sides():
    """At p = 1/2 the one-sided bound of the winner of its own votes fails twice as often as said,
    that of a class chosen beforehand does not."""
    counts, ones = torch.arange(101), torch.ones(101)
    weight = torch.from_numpy(binom.pmf(counts, 100, 0.5))
    near, confidence = torch.zeros(101), 0.95

    def fails(side):
        found = cohen_certificate(counts, 100, 1.0, ones, near, 0.0, confidence, selected=side)
        return weight[found.radius > 0].sum().item()

    assert fails(ones) <= 0.05 < fails(torch.where(counts >= 50, 1.0, -1.0)) <= 0.1


def test_it_certifies_where_cohen_abstains_and_where_the_base_is_wrong():
    counts, far = torch.tensor([500, 450, 100]), torch.full((3,), math.inf, dtype=torch.float64)
    plain, biased = (
        cohen_certificate(counts, 1000, 1.0, [1, 1, 1], far, alpha) for alpha in (0.0, 1.0)
    )
    assert plain.prediction.tolist() == [0, 0 if plain.prediction[1] == 0 else -1, -1]
    low = cohen_interval(counts, 1000, 1.0)[0]
    assert biased.prediction.tolist() == [
        1,
        1,
        0 if low[2] + 1 <= 0 <= cohen_interval(counts, 1000, 1.0)[1][2] + 1 else -1,
    ]
    torch.testing.assert_close(biased.radius[:2], low[:2] + 1, rtol=1e-10, atol=0)


def test_the_radius_of_cohens_score_is_theorem_h():
    low = cohen_interval(torch.tensor([990]), 1000, 1.0)[0].item()
    for neighbor, label, expected in (
        (9.0, 1, low + 0.5),
        (1.7, 1, 1.7),
        (0.1, 1, low - 0.5),
        (9.0, -1, low - 0.5),
        (0.1, -1, low - 0.5),
    ):
        assert cohen_certificate(
            [990], 1000, 1.0, [label], [neighbor], 0.5
        ).radius.item() == pytest.approx(expected, rel=1e-10)


def test_an_unknown_end_gives_no_radius_and_no_nan():
    certificate = cohen_certificate([0, 1, 0, 1], 1, 1.0, [1, 1, -1, -1], [1.0] * 4, 0.5)
    assert certificate.abstains.all() and certificate.radius.tolist() == [0.0] * 4
    sure = cohen_certificate([0, 1], 1, 1.0, [-1, 1], [1.0] * 2, 50.0)
    assert sure.prediction.tolist() == [-1, 1] and sure.radius.tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("kind", ["callable", "linear", "margin", "steps"])
def test_counts_estimate_the_probability_of_a_half_space(kind, rng):
    w, x = np.array([0.6, -0.8]), rng.normal(size=(6, 2))
    weight = torch.from_numpy(w)
    base = {
        "callable": lambda z: z @ weight + 0.1,
        "linear": LinearScore(w, 0.1),
        "margin": ProbabilityMargin(lambda z: z @ weight + 0.1),
        "steps": lambda z: ((z @ weight + 0.1) >= 0).double() - 0.5,
    }[kind]
    score = CohenScore(base, 0.8, 20_000, torch.Generator().manual_seed(1))
    truth = normal.cdf((x @ w + 0.1) / 0.8)
    np.testing.assert_allclose(score.counts(x) / 20_000, truth, atol=5 * 0.5 / math.sqrt(20_000))
    np.testing.assert_allclose(score.value(x), x @ w + 0.1, atol=0.1)
    assert score.counts(x).dtype == torch.int64 and score.counts(np.zeros((0, 2))).shape == (0,)


def test_the_score_zero_counts_as_plus_one():
    assert CohenScore(lambda z: 0 * z[:, 0], 1.0, 50).counts([[0.0]]).item() == 50


def test_draws_repeat_themselves_and_stay_in_bounded_memory(open_door, monkeypatch):
    first, again = (
        CohenScore(lambda z: z[:, 0], 0.5, 500, torch.Generator().manual_seed(3)).counts(
            np.ones((4, 2))
        )
        for _ in range(2)
    )
    assert torch.equal(first, again)
    monkeypatch.setattr(lbrs.scores.sampled, "ELEMENTS", 100)
    seen = []
    CohenScore(lambda z: seen.append(z.numel()) or z[:, 0], 0.5, 130).counts(np.zeros((5, 3)))
    assert sum(seen) == 5 * 130 * 3 and max(seen) <= 100


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.5])
def test_certificates_of_cohens_score_fail_at_most_as_often_as_stated(rng, alpha):
    """A half-space: h(x) = w^T x + b exactly for |w| = 1, so that the smoothed classifier is known
    everywhere."""
    weight, x, confidence = (
        torch.tensor([0.6, -0.8], dtype=torch.float64),
        torch.from_numpy(rng.normal(size=(300, 2))),
        0.9,
    )
    oracle = NearestNeighborOracle(rng.normal(size=(6, 2)), [1, -1, 1, -1, 1, -1])
    truth = LocallyBiased(LipschitzScore(lambda z: z @ weight + 0.2, 1.0), oracle, alpha)
    model = LocallyBiased(
        CohenScore(lambda z: z @ weight + 0.2, 0.7, 300, torch.Generator().manual_seed(0)),
        oracle,
        alpha,
    )
    certificate = model.certify(x, confidence=confidence)
    sure = ~certificate.abstains
    wrong = sure & (truth.predict(x) != certificate.prediction)
    direction = torch.cat(
        [
            torch.from_numpy(rng.normal(size=(40, 300, 2))),
            -weight * torch.where(sure, certificate.prediction, 1.0)[None, :, None],
        ]
    )
    direction = torch.cat([direction, (oracle.points[:, None] - x)])
    direction = direction / L2(direction)[..., None]
    z = x + direction * (certificate.radius * (1 - 1e-9))[:, None]
    wrong |= sure & (
        truth.predict(z.flatten(0, 1)).reshape(len(z), -1) != certificate.prediction
    ).any(0)
    assert sure.sum() > 200 and wrong.sum() <= binom.ppf(1 - 1e-6, 300, 1 - confidence)
    assert (certificate.radius > 0.1).sum() > 100


def test_one_set_of_counts_serves_all_alphas_at_once():
    """Over repeats, whether any alpha's radius exceeds the truth: as often as the interval misses,
    not once for each alpha."""
    h, confidence, alphas = 0.3, 0.8, np.linspace(0, 2, 21)
    counts = torch.from_numpy(np.random.default_rng(0).binomial(400, normal.cdf(h), 2000))
    far, one = torch.full((2000,), math.inf, dtype=torch.float64), torch.ones(2000)
    false = torch.zeros(2000, dtype=torch.bool)
    for alpha in alphas:
        for label in (one, -one):
            certificate = cohen_certificate(counts, 400, 1.0, label, far, alpha, confidence)
            truth = h + alpha * label
            false |= (certificate.prediction != 0) & (
                (certificate.prediction != truth.sign())
                | (certificate.radius > truth.abs() + 1e-12)
            )
    assert 0 < false.sum() <= binom.ppf(1 - 1e-6, 2000, 1 - confidence)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("bound", lambda: LocallyBiased(COHEN, ORACLE, 1.0).certify([[0.0]], bound="paper")),
        ("norm", lambda: LocallyBiased(COHEN, ORACLE, 1.0, LINF)),
        ("norm", lambda: LocallyBiased(COHEN, ORACLE, 1.0, L1)),
        ("confidence", lambda: LocallyBiased(COHEN, ORACLE, 1.0).certify([[0.0]], confidence=1)),
        ("sigma", lambda: CohenScore(torch.sin, 0.0)),
        ("samples", lambda: CohenScore(torch.sin, 1.0, 0)),
        ("generator", lambda: CohenScore(torch.sin, 1.0, 10, 0)),
        ("selection", lambda: CohenScore(torch.sin, 1.0, 10, selection=-1)),
        ("selected", lambda: cohen_certificate([1], 2, 1.0, [1], [1.0], 0.0, selected=[0])),
        ("score", lambda: CohenScore(3.0, 1.0)),
        ("score", lambda: CohenScore(COHEN, 1.0)),
        ("confidence", lambda: COHEN.interval([[0.0]], 1.5)),
        ("model", lambda: verify(LocallyBiased(COHEN, ORACLE, 1.0), [[0.0]], None)),
        ("counts", lambda: cohen_certificate([3], 2, 1.0, [1], [1.0], 0.0)),
        ("counts", lambda: cohen_certificate([0.5], 2, 1.0, [1], [1.0], 0.0)),
        ("label", lambda: cohen_certificate([1], 2, 1.0, [0], [1.0], 0.0)),
        ("neighbor", lambda: cohen_certificate([1], 2, 1.0, [1], [-1.0], 0.0)),
        ("neighbor", lambda: cohen_certificate([1], 2, 1.0, [1], [1.0, 2.0], 0.0)),
        ("alpha", lambda: cohen_certificate([1], 2, 1.0, [1], [1.0], -1.0)),
        ("score", lambda: COHEN.value_and_gradient([[0.0]])),
    ],
)
def test_a_bad_argument_is_refused_by_name(argument, call):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert re.match(rf"{argument}\b", str(caught.value)), caught.value
