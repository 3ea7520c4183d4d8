"""The radii of Theorems 1, 6 and 8, against the paper's formulas and their laws."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import norm as normal

from lbrs import L1, L2, LINF, Certificate, LinearScore, LocallyBiased, NearestNeighborOracle, Score
from lbrs.certificates import theorem1, theorem6, theorem8
from lbrs.rounding import round_down

pytestmark = pytest.mark.usefixtures("one_thread")

ALPHAS = [0.0, 0.3, 2.0, 50.0]
SIZES = list(product(ALPHAS, range(1, 9), (1, 2, 3, 5, 8, 12)))


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def terms(rng):
    """Random g^mu(x), ||grad g(x)||_* and r_nghbr(x) over many orders of magnitude."""
    value, slope, neighbor = torch.from_numpy(10 ** rng.uniform(-6, 6, size=(3, 500)))
    return value * torch.from_numpy(rng.choice([-1.0, 1.0], 500)), slope, neighbor


def linear(rng, d):
    a, b = rng.normal(size=d), rng.normal()
    return LinearScore(a, b), lambda x: a @ x + b, lambda x: a


def waves(rng, d):
    w, b, c, L = (
        rng.normal(size=(3, d)),
        rng.normal(size=3),
        rng.normal(size=3),
        10 ** rng.uniform(-3, 2),
    )
    score = Score(
        lambda x: (x @ torch.from_numpy(w).T + torch.from_numpy(b)).sin() @ torch.from_numpy(c),
        gradient_lipschitz=L,
    )
    return score, lambda x: c @ np.sin(w @ x + b), lambda x: w.T @ (c * np.cos(w @ x + b))


def test_certificate_of_a_linear_score_is_theorem_6_of_the_paper(draw, rng, norm, r_nghbr):
    radii, expected = [], []
    for alpha, d, N in SIZES:
        points, labels, x = draw(N, d, 3)
        score, g, gradient = linear(rng, d)
        certificate = LocallyBiased(
            score, NearestNeighborOracle(points, labels), alpha, norm
        ).certify(x, bound="paper")
        assert (certificate.source, certificate.kind, certificate.norm, certificate.confidence) == (
            "Theorem 6",
            "deterministic",
            norm,
            None,
        )
        radii += certificate.radius.tolist()
        for z in x:
            yhat = labels[np.argmin(np.linalg.norm(z - points, axis=1))]
            slope = np.linalg.norm(gradient(z), norm.dual.p)
            expected.append(
                min(abs(g(z) + alpha * yhat * slope) / slope, r_nghbr(z, points, labels, norm))
            )
    np.testing.assert_allclose(radii, expected, rtol=1e-12, atol=1e-12)


def test_certificate_of_a_smooth_score_is_theorem_8_of_the_paper(draw, rng, norm, r_nghbr):
    radii, expected = [], []
    for alpha, d, N in SIZES:
        points, labels, x = draw(N, d, 3)
        score, g, gradient = waves(rng, d)
        certificate = LocallyBiased(
            score, NearestNeighborOracle(points, labels), alpha, norm
        ).certify(x, bound="paper")
        L = score.gradient_lipschitz
        assert certificate.source == "Theorem 8"
        assert f"{L:g}-Lipschitz from {norm} to {norm.dual}" in certificate.assumption
        radii += certificate.radius.tolist()
        for z in x:
            yhat = labels[np.argmin(np.linalg.norm(z - points, axis=1))]
            slope = np.linalg.norm(gradient(z), norm.dual.p)
            B, size = np.longdouble(alpha * L + slope), abs(g(z) + alpha * yhat * slope)
            r_bdry = (np.sqrt(B**2 + 4 * L * size) - B) / (2 * L)
            expected.append(float(min(r_bdry, r_nghbr(z, points, labels, norm))))
    np.testing.assert_allclose(radii, expected, rtol=1e-12, atol=2e-14)


def test_prediction_of_a_certificate_is_that_of_the_model(draw, rng, norm):
    for make in (linear, waves):
        points, labels, x = draw(9, 3, 50)
        model = LocallyBiased(make(rng, 3)[0], NearestNeighborOracle(points, labels), 0.7, norm)
        certificate = model.certify(x)
        assert torch.equal(certificate.prediction, model.predict(x)) and len(certificate) == 50


@pytest.mark.parametrize("alpha", ALPHAS)
def test_theorem_8_becomes_theorem_6_as_the_curvature_goes_to_zero(terms, alpha):
    value, slope, _ = terms
    far = torch.full_like(value, math.inf)
    flat = theorem6(value, slope, far)
    assert torch.equal(theorem8(value, slope, far, alpha, 0.0), flat)
    # r (B + L r) = |g^mu| with B = alpha L + G: off by at most L (alpha / G + |g^mu| / G^2)
    bound = alpha / slope + value.abs() / slope**2
    for L in 10.0 ** -np.arange(1, 13):
        error = 1 - theorem8(value, slope, far, alpha, L) / flat
        assert (error >= -2e-15).all() and (error <= L * bound + 2e-15).all()


@pytest.mark.parametrize("L", [1e-3, 1.0, 40.0])
def test_radius_of_the_boundary_converges_to_slope_over_curvature_as_alpha_goes_to_infinity(L):
    slope, far = tensor(0.0, 1e-3, 1.0, 30.0), torch.full((4,), math.inf, dtype=torch.float64)
    for g in (0.0, 0.4, 7.0):
        radii = torch.stack(
            [
                theorem8(g + alpha * slope, slope, far, alpha, L)
                for alpha in (*10.0 ** np.arange(3, 15), 1e50, 1e150, 1e300)
            ]
        )
        excess = (radii - slope / L).abs()
        assert torch.isfinite(radii).all() and (excess.diff(dim=0) <= 1e-15 * radii[1:]).all()
        torch.testing.assert_close(radii[-1], slope / L, rtol=1e-12, atol=1e-290)


def test_radius_of_the_boundary_solves_the_quadratic_equation_of_the_proof(terms):
    value, slope, _ = terms
    for alpha in ALPHAS:
        for L in (1e-4, 1.0, 1e4):
            r = theorem8(value, slope, torch.full_like(value, math.inf), alpha, L)
            torch.testing.assert_close(
                (alpha * L + slope) * r + L * r**2, value.abs(), rtol=1e-13, atol=0
            )


THEOREMS = [
    theorem6,
    *(
        lambda v, s, n, a=alpha, L=L: theorem8(v, s, n, a, L)
        for alpha in ALPHAS
        for L in (0.0, 0.2, 30.0)
    ),
]


@pytest.mark.parametrize("theorem", THEOREMS)
def test_radius_is_at_least_zero_and_at_most_the_neighbor_term(terms, theorem):
    r = theorem(*terms)
    assert (r > 0).all() and (r <= terms[2]).all()
    assert (r == terms[2]).any() and (r < terms[2]).any()


@pytest.mark.parametrize("theorem", THEOREMS)
def test_radius_grows_with_the_score_and_with_the_neighbor_term_and_shrinks_with_the_slope(
    terms, theorem
):
    value, slope, neighbor = terms
    r = theorem(value, slope, neighbor)
    for other, sense in (
        (theorem(1.5 * value, slope, neighbor), 1),
        (theorem(value, slope, 1.5 * neighbor), 1),
        (theorem(value, 1.5 * slope, neighbor), -1),
    ):
        assert (sense * (other - r) >= 0).all() and (other != r).any()


@pytest.mark.parametrize("theorem", THEOREMS)
def test_radius_does_not_depend_on_the_side(terms, theorem):
    value, slope, neighbor = terms
    assert torch.equal(theorem(-value, slope, neighbor), theorem(value, slope, neighbor))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_theorem_8_shrinks_with_the_curvature_and_never_exceeds_theorem_6(terms, alpha):
    radii = torch.stack(
        [theorem6(*terms), *(theorem8(*terms, alpha, L) for L in (0.0, 1e-9, 1e-3, 1.0, 1e3, 1e9))]
    )
    assert (radii.diff(dim=0) <= 1e-15 * radii[1:]).all() and (radii[-1] < radii[0]).any()


@pytest.mark.parametrize("c", [1e-8, 0.5, 3.0, 1e8])
def test_radius_does_not_depend_on_the_unit_of_the_score(terms, c):
    value, slope, neighbor = terms
    torch.testing.assert_close(
        theorem6(c * value, c * slope, neighbor), theorem6(*terms), rtol=1e-13, atol=0
    )
    torch.testing.assert_close(
        theorem8(c * value, c * slope, neighbor, 0.4, c * 0.6),
        theorem8(*terms, 0.4, 0.6),
        rtol=1e-13,
        atol=0,
    )


@pytest.mark.parametrize("c", [1e-3, 12.0])
def test_radius_is_in_the_units_of_space(draw, rng, norm, c):
    points, labels, x = draw(6, 3, 40)
    a = rng.normal(size=3)
    near = LocallyBiased(LinearScore(a, 0.2), NearestNeighborOracle(points, labels), 0.4, norm)
    far = LocallyBiased(
        LinearScore(a / c, 0.2), NearestNeighborOracle(c * points, labels), c * 0.4, norm
    )
    torch.testing.assert_close(
        far.certify(c * x).radius, c * near.certify(x).radius, rtol=1e-10, atol=0
    )


@pytest.mark.parametrize("alpha", ALPHAS)
def test_agreement_far_from_enemies_adds_alpha_to_the_radius(rng, norm, alpha):
    x = rng.normal(size=(40, 3))
    a, far = rng.normal(size=3), 1e6
    score = LinearScore(a, 0.3)
    g = score.value(x)
    for label in (1, -1):
        agrees = g * label > 0
        oracle = NearestNeighborOracle([[0, 0, 0], [far, far, far]], [label, -label])
        radius = LocallyBiased(score, oracle, alpha, norm).certify(x[agrees.numpy()]).radius
        assert agrees.sum() > 5
        torch.testing.assert_close(
            radius, g[agrees].abs() / norm.dual(score.weight) + alpha, rtol=1e-11, atol=0
        )


@pytest.mark.parametrize("value", [0.0, -0.0, 0.5, -3.0])
def test_zero_gradient_gives_no_bound_or_no_radius(value):
    expected = math.inf if value else 0.0
    for neighbor in (2.0, math.inf):
        result = min(expected, neighbor)
        assert theorem6(tensor(value), tensor(0.0), tensor(neighbor)).item() == result
        assert theorem8(tensor(value), tensor(0.0), tensor(neighbor), 5.0, 0.0).item() == result
    assert theorem8(tensor(value), tensor(0.0), tensor(math.inf), 0.0, 4.0).item() == pytest.approx(
        math.sqrt(abs(value) / 4), rel=1e-15
    )


def test_zero_score_has_radius_zero():
    terms = tensor(0.0), tensor(2.0), tensor(9.0)
    assert theorem6(*terms).item() == theorem8(*terms, 1.0, 1.0).item() == 0
    model = LocallyBiased(LinearScore([1.0, 0.0], -1.0), NearestNeighborOracle([[0, 0]], [1]), 2.0)
    assert model.certify([[-1.0, 5.0]]).radius.item() == 0


@pytest.mark.parametrize("alpha", [1e200, 1e300])
def test_products_beyond_double_precision_give_radius_zero(alpha):
    assert theorem8(
        tensor(1.0, 1e300), tensor(1.0, 1e300), tensor(9.0, math.inf), alpha, 1e200
    ).tolist() == [0, 0]
    assert theorem8(tensor(math.inf), tensor(1e150), tensor(9.0), alpha, 1.0).item() == 0


@pytest.mark.parametrize("sigma", [0.05, 0.5, 3.0])
def test_theorem_1_is_the_distance_to_a_half_space(sigma):
    t = torch.linspace(0.0, 4 * sigma, 30, dtype=torch.float64)
    torch.testing.assert_close(
        theorem1(torch.from_numpy(normal.cdf(t / sigma)), sigma), t, rtol=1e-9, atol=1e-12
    )


def test_theorem_1_is_the_formula_of_the_paper_for_two_classes():
    p = torch.linspace(0.5, 0.999, 50, dtype=torch.float64)
    torch.testing.assert_close(
        theorem1(p, 0.7),
        torch.from_numpy(0.35 * (normal.ppf(p) - normal.ppf(1 - p))),
        rtol=1e-11,
        atol=1e-13,
    )


def test_theorem_1_grows_with_the_score_and_is_zero_below_one_half():
    r = theorem1(tensor(0.0, 0.2, 0.5, 0.6, 0.9, 1.0), 0.25)
    assert r[:3].tolist() == [0, 0, 0] and (r[2:].diff() > 0).all()


def test_rounding_down_gives_the_next_smaller_number():
    r = tensor(0.0, 5e-324, 1.0, 3.0, 1e300, math.inf)
    assert round_down(r).tolist() == [0.0, 0.0, *np.nextafter([1.0, 3.0, 1e300], 0), math.inf]


@pytest.mark.parametrize("make", [linear, waves])
def test_certified_radius_lies_below_the_formula(draw, rng, make):
    points, labels, x = draw(6, 2, 100)
    score = make(rng, 2)[0]
    model = LocallyBiased(score, NearestNeighborOracle(points, labels), 0.4)
    local = score.linearize(x, L2)
    terms = model.score(x), local.slope, model.oracle.radius(x, L2, "paper")
    r = (
        theorem6(*terms)
        if isinstance(score, LinearScore)
        else theorem8(*terms, 0.4, score.gradient_lipschitz)
    )
    radius = model.certify(x, bound="paper").radius
    lowest = r * (1 - 1e-12) - 1e-13 if isinstance(score, LinearScore) else r * (1 - 1e-15)
    assert (radius < r).all() and (radius >= lowest).all()


@pytest.fixture
def certificate():
    return Certificate(
        tensor(1, -1, 0, 1, -1),
        tensor(0.5, 2.0, 0.0, 0.0, 1.0),
        LINF,
        "deterministic",
        "Theorem 6",
        "g is affine",
    )


def test_certified_accuracy_counts_right_predictions_with_a_larger_radius(certificate):
    y = [1, -1, 1, 1, 1]
    assert [certificate.accuracy(y, r) for r in (0, 0.25, 0.5, 1.9, 2.0)] == [
        0.6,
        0.4,
        0.2,
        0.2,
        0.0,
    ]
    assert certificate.accuracy(y) == certificate.accuracy(np.array(y, dtype=np.int8)) == 0.6


def test_certified_accuracy_falls_with_the_radius(certificate, rng):
    for y in rng.choice([-1, 1], (20, 5)):
        assert (np.diff([certificate.accuracy(y, r) for r in np.linspace(0, 3, 31)]) <= 0).all()


def test_abstention_is_prediction_zero_and_never_right(certificate):
    assert certificate.abstains.tolist() == [False, False, True, False, False]
    for y in ([1, -1, 1, 1, -1], [1, -1, -1, 1, -1]):
        assert certificate.accuracy(y) == 0.8


def test_the_sharp_bound_is_the_default(draw, rng):
    points, labels, x = draw(6, 2, 20)
    model = LocallyBiased(linear(rng, 2)[0], NearestNeighborOracle(points, labels), 0.4, L1)
    assert torch.equal(model.certify(x).radius, model.certify(x, bound="sharp").radius)
