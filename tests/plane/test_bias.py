"""Biases that follow the oracle's certainty: Theorem U, its cases, and the classifiers."""

import math
from fractions import Fraction

import pytest
import torch

from lbrs import (
    L1,
    L2,
    LINF,
    AffineScores,
    Bias,
    ClassOracle,
    CohenScore,
    LinearScore,
    LipschitzScore,
    LocallyBiased,
    MulticlassLocallyBiased,
    NearestNeighborOracle,
    Score,
    cohen_certificate,
    verify,
)
from lbrs.certificates import theorem_h
from lbrs.plane.radii import safe_radius, theorem_u
from lbrs.plane.slack import least_gap, oracle_slack

INF = math.inf
STAIRS = Bias.stairs([0.1, 0.6, INF], [0.4, 1.1])
UNEVEN = Bias((-0.7, 0.2, 0.9), (-INF, -0.3, 0.2, 0.8))
MIXED = Bias((-0.5, 0.5), (-0.4, 0.0, 0.4), weight=0.7)
BIASES = [STAIRS, UNEVEN, MIXED, Bias.average(0.5), Bias.constant(0.3)]


def drawn(seed, n=400):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(2, n, dtype=torch.float64, generator=generator)


def setting(seed, N=12, d=3, n=60):
    generator = torch.Generator().manual_seed(seed)
    points = 1.5 * torch.randn(N, d, dtype=torch.float64, generator=generator)
    labels = torch.where(torch.arange(N) % 2 == 0, 1.0, -1.0)
    x = 1.5 * torch.randn(n, d, dtype=torch.float64, generator=generator)
    return NearestNeighborOracle(points, labels), x, generator


def scores(norm):
    weight = torch.tensor([0.8, -0.5, 0.3], dtype=torch.float64)
    centers = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 1.0, 0.5]], dtype=torch.float64)
    cones = LipschitzScore(
        lambda z: 1.2 - norm((z[:, None] - centers).flatten(0, 1)).reshape(-1, 2).amin(1), 1.0
    )
    return LinearScore(weight, 0.1), cones


def flips(model, x, certificate, generator, reach):
    """How many points at `reach` times the radius, or less, have another prediction; None of them
    is farther. Corners, references and random directions."""
    norm, d, probes = certificate.norm, x.shape[1], 240
    way = torch.randn(len(x), probes, d, dtype=x.dtype, generator=generator)
    way[:, ::3] = way[:, ::3].sign()
    points = model.oracle.points
    way[:, 1::3] = points[torch.arange(probes // 3) % len(points)] - x[:, None]
    size = norm(way.flatten(0, 1)).reshape(len(x), probes, 1)
    share = reach * torch.rand(probes, 1, dtype=x.dtype, generator=generator) ** 0.2
    z = x[:, None] + share * certificate.radius.clamp(max=1e3)[:, None, None] * way / size
    found = model.predict(z.flatten(0, 1)).reshape(len(x), probes)
    return int((found != certificate.prediction[:, None]).sum())


def positive(base, oracle, bias):
    """Whether m + A(o) > 0."""
    label = torch.where(oracle >= 0, 1.0, -1.0).to(oracle)
    return base + bias(label, oracle.abs()) > 0


@pytest.mark.parametrize("bias", BIASES)
def test_theorem_u_is_the_distance_to_the_boundary_in_the_plane(bias):
    m, o = drawn(0)
    radius = theorem_u(m, o, bias)
    inside, outside = radius * (1 - 1e-9), radius * (1 + 1e-9) + 1e-9
    some = radius > 0
    assert positive(m, o, bias)[some].all() and some.double().mean() > 0.2
    assert positive(m - inside, o - inside, bias)[some].all()
    finite = torch.isfinite(radius)
    assert not positive(m - outside, o - outside, bias)[finite].any()


@pytest.mark.parametrize("bias", BIASES)
def test_class_minus_one_is_class_plus_one_with_the_signs_turned(bias):
    m, o = drawn(1)
    minus = ~positive(m, o, bias)
    assert torch.equal(theorem_u(-m, -o, bias.turned()) > 0, minus)


def test_one_step_is_theorem_h_and_twice_turned_is_the_bias():
    m, o = drawn(2)
    alpha = 0.4
    agrees, s = o > 0, m + alpha * o.sign() > 0
    expected = theorem_h(m, agrees, o.abs(), alpha)
    found = theorem_u(m, o, Bias.constant(alpha))
    assert (found - torch.where(s, expected, 0.0)).abs().max() <= 1e-12
    assert all(bias.turned().turned() == bias for bias in BIASES)
    assert STAIRS.odd and MIXED.odd and not UNEVEN.odd


def test_stairs_of_two_have_the_closed_form_of_the_book():
    """A = alpha sign(o) for |o| < tau, and sign(o) inf beyond."""
    m, o = drawn(3)
    alpha, tau = 0.3, 0.8
    found = theorem_u(m, o, Bias.stairs([alpha, INF], [tau]))
    ends = o - tau, torch.minimum(o, m + alpha), torch.minimum(m - alpha, o + tau)
    assert (found - torch.stack(ends).amax(0).clamp(min=0)).abs().max() <= 1e-12


def test_base_oracle_and_averages_are_cases():
    m, o = drawn(4)
    assert torch.equal(theorem_u(m, o, Bias.stairs([0.0], [])), m.clamp(min=0))
    alone = theorem_u(m, o, Bias.stairs([INF], []))
    assert torch.equal(alone, o.clamp(min=0))
    mean = theorem_u(m, o, Bias.average(2.0))
    assert torch.equal(mean, ((m + 2 * o) / 3).clamp(min=0))


def test_a_bias_is_the_function_that_it_says():
    label = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    radius = torch.tensor([0.0, 0.0, 0.4, 0.4, 2.0, 2.0])
    assert STAIRS(label, radius).tolist() == pytest.approx([0.1, -0.1, 0.6, -0.6, 1e200, -1e200])
    sampled = Bias.sampled(lambda o: o**3, [-1.0, 0.0, 1.0, 2.0])
    assert sampled.thresholds == (-0.5, 0.5, 1.5) and sampled.values == (-1.0, 0.0, 1.0, 8.0)
    o = torch.linspace(-3, 3, 401)
    for bias in BIASES:
        assert (bias(torch.where(o >= 0, 1.0, -1.0), o.abs()).diff() >= 0).all()


@pytest.mark.parametrize("norm", [L1, L2, LINF], ids=str)
@pytest.mark.parametrize("which", [0, 1], ids=["linear", "lipschitz"])
def test_a_constant_bias_is_alpha_to_twelve_digits(norm, which):
    oracle, x, _ = setting(5)
    score = scores(norm)[which]
    for alpha in (0.0, 0.3, 2.0):
        number = LocallyBiased(score, oracle, alpha, norm).certify(x)
        model = LocallyBiased(score, oracle, Bias.constant(alpha), norm)
        found = model.certify(x)
        assert torch.equal(found.prediction, number.prediction)
        assert (found.radius - number.radius).abs().max() <= 1e-12
        assert number.source in ("Theorem B", "Theorem H") and found.source == "Theorem U"
        assert torch.equal(model.predict(x), number.prediction)


@pytest.mark.parametrize("norm", [L1, L2, LINF], ids=str)
@pytest.mark.parametrize("bias", [STAIRS, UNEVEN, MIXED], ids=["stairs", "uneven", "mixed"])
def test_certificates_hold_and_are_as_large_as_the_plane_allows(norm, bias):
    oracle, x, generator = setting(6)
    for score in scores(norm):
        model = LocallyBiased(score, oracle, bias, norm)
        certificate = model.certify(x)
        first = score.linearize(x, norm)
        m, o = first.base * first.crossing, oracle.label(x) * oracle.radius(x, norm)
        plus = theorem_u(m, o, bias), theorem_u(-m, -o, bias.turned())
        plane = torch.where(certificate.prediction > 0, *plus)
        assert torch.equal(certificate.prediction > 0, positive(m, o, bias))
        assert (certificate.radius <= plane).all()
        assert (plane - certificate.radius).max() <= 1e-8
        assert flips(model, x, certificate, generator, 1 - 1e-9) == 0
        assert flips(model, x, certificate, generator, 1.5) > 0


def test_stairs_keep_what_the_oracle_is_sure_of_and_the_base_elsewhere():
    oracle = NearestNeighborOracle([[0.0], [10.0]], [1, -1])
    score = LinearScore([1.0], -0.5)
    x = torch.tensor([[-3.0], [4.0]], dtype=torch.float64)
    model = LocallyBiased(score, oracle, Bias.stairs([0.0, INF], [2.0]))
    assert model.predict(x).tolist() == [1, 1]
    assert model.certify(x).radius.tolist() == pytest.approx([6.0, 3.0])
    far = torch.tensor([[7.5]], dtype=torch.float64)
    assert LocallyBiased(score, oracle, 2.0).predict(far).tolist() == [1]
    assert model.predict(far).tolist() == [-1]
    assert verify(model, x, model.certify(x), probes=1).holds


def test_cohens_score_takes_a_bias_and_abstains_where_the_interval_does_not_decide():
    n, counts = 1000, torch.tensor([990, 500, 10, 990])
    label, neighbor = torch.tensor([1.0, 1.0, -1.0, -1.0]), torch.tensor([0.5, 0.0, 0.5, 5.0])
    number = cohen_certificate(counts, n, 1.0, label, neighbor, 0.3)
    found = cohen_certificate(counts, n, 1.0, label, neighbor, Bias.constant(0.3))
    assert torch.equal(found.prediction, number.prediction)
    assert (found.radius - number.radius).abs().max() <= 1e-12
    stairs = cohen_certificate(counts, n, 1.0, label, neighbor, Bias.stairs([0.0, INF], [2.0]))
    assert stairs.prediction.tolist() == [1, 0, -1, -1] and stairs.abstains.tolist()[1]
    assert stairs.radius[3].item() == pytest.approx(3.0)
    assert stairs.source == "Theorem U (Cohen's score)"
    cohen = CohenScore(lambda z: z[:, 0], 0.5, 200, torch.Generator().manual_seed(0), selection=20)
    oracle = NearestNeighborOracle([[0.0, 0.0], [4.0, 0.0]], [1, -1])
    model = LocallyBiased(cohen, oracle, STAIRS)
    assert len(model.certify([[1.0, 0.0], [0.1, 3.0]])) == 2
    assert model.predict([[-9.0, 0.0]]).tolist() == [1]


@pytest.mark.parametrize("norm", [L1, L2, LINF], ids=str)
def test_several_classes(norm):
    generator = torch.Generator().manual_seed(7)
    points = torch.randn(15, 3, dtype=torch.float64, generator=generator)
    x = torch.randn(60, 3, dtype=torch.float64, generator=generator)
    weight = torch.randn(4, 3, dtype=torch.float64, generator=generator)
    scores, oracle = AffineScores(weight, torch.zeros(4)), ClassOracle(points, torch.arange(15) % 4)
    for bias in (STAIRS, MIXED, Bias.stairs([0.0, INF], [0.15])):
        model = MulticlassLocallyBiased(scores, oracle, bias, norm)
        certificate = model.certify(x)
        assert torch.equal(certificate.prediction, model.predict(x))
        assert (certificate.radius > 0).double().mean() > 0.5
        assert flips(model, x, certificate, generator, 1 - 1e-9) == 0
        assert flips(model, x, certificate, generator, 1.5) > 0


def test_two_classes_are_the_binary_classifier():
    oracle, x, _ = setting(8)
    weight = torch.tensor([0.8, -0.5, 0.3], dtype=torch.float64)
    score = LinearScore(weight, 0.1)
    pair = AffineScores(torch.stack([-weight / 2, weight / 2]), [-0.05, 0.05])
    points, labels = oracle.points, oracle.labels
    several = ClassOracle(points, (labels + 1) / 2)
    for bias in (STAIRS, MIXED, Bias.constant(0.3)):
        one = LocallyBiased(score, oracle, bias, LINF).certify(x)
        two = MulticlassLocallyBiased(pair, several, bias, LINF).certify(x)
        assert torch.equal(two.prediction, (one.prediction + 1) // 2)
        assert (one.radius - two.radius).abs().max() <= 1e-11


def close_pair(gap):
    """Two opposite reference points that are `gap` apart, and points far from them."""
    rows = [[0.5, 0.25], [0.5, 0.25 + gap]]
    points = torch.tensor(rows, dtype=torch.float64)
    labels = torch.tensor([1.0, -1.0])
    generator = torch.Generator().manual_seed(9)
    x = torch.tensor([0.5, -900.0]) + 20 * torch.randn(60, 2, generator=generator)
    return NearestNeighborOracle(points, labels), x.double()


def exact_radius(oracle, x):
    """Theorem A in linf, in fractions, for points of label +1."""
    rows, signs = oracle.points.tolist(), oracle.labels.tolist()
    points = [tuple(map(Fraction, row)) for row in rows]
    x = tuple(map(Fraction, x.tolist()))
    same = [p for p, y in zip(points, signs, strict=True) if y > 0]
    other = [p for p, y in zip(points, signs, strict=True) if y < 0]

    def square(p):
        return sum((a - b) ** 2 for a, b in zip(x, p, strict=True))

    def pair(k, j):
        return (square(j) - square(k)) / (2 * sum(abs(a - b) for a, b in zip(k, j, strict=True)))

    return min(max(pair(k, j) for k in same) for j in other)


@pytest.mark.parametrize("gap", [2.0**-40, 2.0**-6])
def test_the_slack_holds_what_rounding_takes_from_a_radius(gap):
    oracle, x = close_pair(gap)
    x = x[oracle.label(x) > 0]
    least = least_gap(oracle.points, oracle.labels, LINF)
    assert 0.9 * gap < least <= gap
    radius = oracle.radius(x, LINF)
    slack = oracle_slack(oracle.points, least, x, LINF, radius, torch.zeros_like(radius))
    assert len(x) > 10 and (radius > 1).all() and (slack < 1e-4 * radius).all()
    for row, found, lost in zip(x, radius.tolist(), slack.tolist(), strict=True):
        assert 0 <= exact_radius(oracle, row) - Fraction(found) <= lost


def test_what_the_oracle_loses_is_taken_from_where_it_has_to_be_certain():
    one = torch.ones(1, dtype=torch.float64)
    found = safe_radius(
        lambda bias: 0.5 + bias, one, 3 * one, lambda t: 0.1 * t, Bias.stairs([0, INF], [1.0])
    )
    assert found.item() == pytest.approx(3 - 1 - 0.1 * 2)


def test_opposite_points_that_are_equal_or_alone_leave_a_gap():
    points = torch.tensor([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    labels = torch.tensor([1.0, -1.0, -1.0])
    gap = least_gap(points, labels, L2)
    assert 0 < gap <= 5.0
    assert least_gap(points, torch.ones(3), L2) == INF


def test_where_a_bias_has_no_place():
    oracle, _, _ = setting(10)
    smooth = Score(lambda z: z.sin().sum(-1), 1.0)
    with pytest.raises(ValueError, match="alpha must be a number for a Score"):
        LocallyBiased(smooth, oracle, STAIRS)
    model = LocallyBiased(scores(L2)[0], oracle, STAIRS)
    with pytest.raises(ValueError, match="bound must be 'sharp' for a Bias"):
        model.certify([[0.0, 0.0, 0.0]], bound="exact")
    with pytest.raises(ValueError, match="kind must be 'decision' for a Bias"):
        model.as_module()
    affine = AffineScores([[1.0, 0, 0], [0, 1.0, 0]], [0.0, 0.0])
    classes = ClassOracle([[0.0, 0, 0], [1.0, 1, 1]], [0, 1])
    with pytest.raises(ValueError, match="alpha must be odd"):
        MulticlassLocallyBiased(affine, classes, UNEVEN)
    with pytest.raises(ValueError, match="kind must be 'decision' for a Bias"):
        MulticlassLocallyBiased(affine, classes, STAIRS).as_module()
    with pytest.raises(ValueError, match="norm must be an lp norm for a Bias"):
        LocallyBiased(scores(L2)[0], oracle, STAIRS, L2.weighted([1.0, 2.0, 3.0]))
    own = NearestNeighborOracle(oracle.points, oracle.labels, metric=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="oracle must have no metric of its own for a Bias"):
        LocallyBiased(scores(L2)[0], own, STAIRS)
    assert "Bias(" in repr(model) and model.to("cpu").alpha == STAIRS


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Bias((1.0, 1.0), (0.0, 1.0, 2.0)), "thresholds must be numbers that rise"),
        (lambda: Bias((1.0,), (1.0, 0.0)), "values must be numbers that not decrease"),
        (lambda: Bias((1.0,), (0.0,)), "values must be one more"),
        (lambda: Bias((INF,), (0.0, 1.0)), "thresholds must be finite"),
        (lambda: Bias((), (math.nan,)), "values must be numbers"),
        (lambda: Bias.stairs([-1.0], []), "lengths must be numbers >= 0"),
        (lambda: Bias.stairs([0.0, 1.0], [-1.0]), "radii must be > 0"),
        (lambda: Bias.average(-1.0), "weight must be"),
        (lambda: Bias.constant(-1.0), "alpha must be"),
    ],
)
def test_bad_biases_are_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()
