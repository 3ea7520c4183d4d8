"""Adversaries of arithmetic: every kind of score with the worst errors that its lemma allows, in an
arithmetic of 21 bits, in which they stand out from what float64 does; and lemmas, in fractions."""

import importlib
import sys
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import scipy
import torch
from torch import nn

from lbrs import (
    L1,
    L2,
    LINF,
    AffineScores,
    ClassOracle,
    LinearScore,
    LipschitzScore,
    LocallyBiased,
    MulticlassLocallyBiased,
    NearestNeighborOracle,
    Norm,
    NormalSmoothing,
    Score,
)
from lbrs.certificates import theorem1
from lbrs.curvature import gradient_lipschitz, layers
from lbrs.layers import spectra
from lbrs.layers.chains import lipschitz_constant
from lbrs.montecarlo import ConfidenceSequence
from lbrs.rounding import CHOICE, EPS, lipschitz_allowance, round_down
from lbrs.scores.base import Linearization, sign
from lbrs.scores.gaussian import SPREAD, slope_interval

COARSE = 2.0**-20
UNIT = COARSE / 2
NORMS = [L1, L2, LINF, Norm(3)]
SHARES = (1 - 1e-14, 1 - 1e-12, 1 - 1e-9, 1 - 1e-6, 1 - 1e-4, 0.9, 0.5)
WIDE = 40
"""Features: with more of them more errors add up."""


@pytest.fixture
def coarse(monkeypatch):
    """coarse(eps): from here on all that is allowed for errors is that of an arithmetic with this
    eps, and what errs does so by half of it."""

    def coarse(eps):
        scale, rooms = eps / EPS, ("lbrs.rounding", "lbrs.scores.", "lbrs.exact.")
        for module in [m for name, m in sys.modules.items() if name.startswith(rooms)]:
            for name in ("EPS", "CHOICE"):
                if isinstance(value := getattr(module, name, None), float):
                    monkeypatch.setattr(module, name, scale * value)
        lp = type(L2)
        fine = lp.rounding
        monkeypatch.setattr(lp, "rounding", lambda self, d, *rest: scale * fine(self, d, *rest))
        monkeypatch.setattr(Sides, "unit", eps / 2)

    return coarse


class Sides:
    """Errors to the side `side` at the point `at`, and to the other side elsewhere; those of the
    gradient's length to the side `length`. `width`: features, more where more must add up."""

    width, unit = WIDE, UNIT

    def place(self, at, side, length):
        self.at, self.side, self.length = at, side, length
        return self

    def turn(self, x):
        return torch.where((x.flatten(1) == self.at).all(1), 1.0, -1.0)

    def compared(self, x, first):
        """`first` with a quotient that is off by a unit."""
        share = 1 + self.side * self.turn(x) * first.base * self.unit
        return Linearization(first.base, first.value, first.slope, first.crossing * share)


class Erring(Sides, LinearScore):
    """a^T x + b with the worst errors of `rounding.affine_scores` and of `Norm.rounding`."""

    def _affine(self, x):
        sizes = x.flatten(1).abs() @ self.weight.abs() + abs(self.bias)
        error = (self.weight.numel() + 1) * self.unit * sizes
        return super()._affine(x) + self.side * self.turn(x) * error

    def slope(self, norm):
        off = self.length * norm.dual.rounding(self.weight.numel())
        return super().slope(norm) * (1 + off)

    def linearize(self, x, norm):
        return self.compared(x, super().linearize(x, norm))


class Slanted(Sides, Score):
    """a^T x + b as a score with L = 0 and exact values, whose gradient's length is off by
    `Norm.rounding`, to one side at `at` and to the other elsewhere."""

    width = 10 * WIDE

    def __init__(self, weight, bias):
        super().__init__(lambda x: x @ weight + bias, 0.0, rounding=0)
        self.weight = weight

    def linearize(self, x, norm):
        value = self.value(x)
        off = self.length * self.turn(x) * norm.dual.rounding(self.weight.numel())
        slope = norm.dual(self.weight) * (1 + off)
        return self.compared(x, Linearization(sign(value), value, slope, value.abs() / slope))


def ends(x, radius, norm, weight):
    """Points (m, d) toward and away from where the affine map of this weight falls, within the
    radius."""
    way = norm.maximizer(weight)
    reach = min(radius, 1e6)
    return torch.stack([x + s * share * reach * way for share in SHARES for s in (1.0, -1.0)])


def drawn(rng, d):
    """a, b, a point, alpha and a label: often near the boundary, or where alpha decides."""
    a, x = (torch.from_numpy(rng.normal(size=d)) for _ in range(2))
    x = x * rng.choice([1.0, 1e-3])
    bias = -float(a @ x) * rng.choice([0.0, 1.0]) + float(rng.normal()) * 10 ** rng.uniform(-3, 1)
    alpha = rng.choice([0.0, 1.0]) * 10 ** rng.uniform(-2, 2)
    return a, bias, x, alpha, int(rng.choice([-1, 1]))


def trials(rng, kind, norm, bound, count):
    """How many certificates of erring scores are positive, and how many are false."""
    certified = false = 0
    for _ in range(count):
        a, bias, x, alpha, label = drawn(rng, kind.width)
        oracle = NearestNeighborOracle(torch.zeros(1, kind.width), [label])
        for side, length in product((1, -1), repeat=2):
            score = kind(a, bias).place(x, side, length)
            model = LocallyBiased(score, oracle, alpha, norm)
            found = model.certify(x[None], bound=bound)
            radius = found.radius.item()
            if radius > 0:
                certified += 1
                z = ends(x, radius, norm, a)
                false += bool((model.predict(z) != found.prediction).any())
    return certified, false


@pytest.mark.parametrize("norm", NORMS, ids=str)
@pytest.mark.parametrize(
    ("kind", "bound"), [(Erring, "sharp"), (Erring, "paper"), (Slanted, "sharp")]
)
def test_no_error_that_is_allowed_breaks_a_certificate(rng, coarse, kind, bound, norm):
    coarse(COARSE)
    certified, false = trials(rng, kind, norm, bound, 30)
    assert false == 0 and certified > 30


class ErringClasses(AffineScores):
    """Affine scores of classes with the worst errors of `rounding.affine_scores`, and sums with the
    bias that are off by a unit of what is added: at the point `at` for the class `chosen`,
    elsewhere against it."""

    def __init__(self, weight, bias, at, chosen):
        super().__init__(weight, bias)
        self.at, self.chosen, self.added = at, chosen, 0.0

    def _affine(self, x):
        x, h = x.flatten(1), super()._affine(x)
        sizes = x.abs() @ self.weight.abs().T + self.bias.abs()
        error = (self.weight.shape[1] + 1) * UNIT * sizes
        error = error + UNIT * (h.amax(1) - h.amin(1) + self.added)[:, None]
        sides = torch.full((len(h), h.shape[1]), -1.0, dtype=torch.float64)
        sides[:, self.chosen] = 1.0
        return h + error * sides * torch.where((x == self.at).all(1), 1.0, -1.0)[:, None]


def class_trials(rng, norm, d, count):
    """As `trials` for affine scores of three classes, each class being chosen in turn."""
    certified = false = 0
    for _ in range(count):
        common = rng.choice([0.0, 10.0]) * rng.normal(size=d)
        weight = torch.from_numpy(rng.normal(size=(3, d)) + common)
        x = torch.from_numpy(rng.normal(size=d)) * rng.choice([1.0, 1e-3])
        bias = torch.from_numpy(rng.normal(size=3)) - weight @ x * rng.choice([0.0, 1.0])
        h, K = weight @ x + bias, AffineScores(weight, bias).pairs(3, norm).max().item()
        near = (h.amax() - h[0]).item() / K * (1 + 10 ** rng.uniform(-4, 0))
        alpha = float(rng.choice([0.0, near, 10 ** rng.uniform(-2, 2)]))
        oracle = ClassOracle(torch.zeros(1, d), [0])
        for chosen in range(3):
            scores = ErringClasses(weight, bias, x, chosen)
            scores.added = alpha * K
            model = MulticlassLocallyBiased(scores, oracle, alpha, norm)
            found = model.certify(x[None])
            radius, s = found.radius.item(), found.prediction.item()
            certified += radius > 0
            if radius > 0:
                z = [ends(x, radius, norm, weight[s] - weight[c]) for c in range(3) if c != s]
                false += bool((model.predict(torch.cat(z)) != s).any())
    return certified, false


@pytest.mark.parametrize("norm", NORMS[:3], ids=str)
def test_no_error_that_is_allowed_breaks_an_exact_certificate(rng, coarse, norm, monkeypatch):
    """In an arithmetic that the solver's own tolerance of 1e-9 still lets through."""
    importlib.import_module("lbrs.exact.cells")
    coarse(2.0**-40)
    monkeypatch.setattr(Erring, "width", 3)
    certified, false = trials(rng, Erring, norm, "exact", 15)
    assert false == 0 and certified > 15


@pytest.mark.parametrize("norm", NORMS, ids=str)
@pytest.mark.parametrize("d", [1, WIDE])
def test_no_error_that_is_allowed_breaks_an_affine_certificate_of_classes(rng, coarse, norm, d):
    coarse(COARSE)
    certified, false = class_trials(rng, norm, d, 60)
    assert false == 0 and certified > 60


def decided_wrongly(rng, count):
    """(alpha, g, G) where alpha > fl(g / G) is decided otherwise than alpha G > g in fractions,
    with how far apart these are."""
    for _ in range(count):
        g, G = 10.0 ** rng.uniform(-3, 3, 2)
        for alpha in (g / G, np.nextafter(g / G, 0), np.nextafter(g / G, np.inf)):
            apart = Fraction(alpha) * Fraction(G) - Fraction(g)
            if (apart > 0) != (alpha > g / G):
                yield float(alpha), g, G, abs(apart)


def test_a_bias_that_is_compared_with_a_quotient_is_off_by_less_than_choice(rng):
    found = list(decided_wrongly(rng, 2000))
    shares = [apart / (Fraction(alpha) * Fraction(G)) for alpha, _, G, apart in found]
    assert len(found) > 100 and 0 < max(shares) <= Fraction(CHOICE)


def test_a_lipschitz_score_without_errors_needs_the_allowance_for_its_quotient(rng):
    for alpha, h, K, apart in decided_wrongly(rng, 200):
        assert 0 < apart <= Fraction(lipschitz_allowance(alpha, K, 0.0))
        score = LipschitzScore(lambda x, h=h: h + 0 * x[:, 0], K, rounding=0)
        oracle = NearestNeighborOracle([[0.0]], [-1])
        assert LocallyBiased(score, oracle, alpha).certify([[0.0]]).radius.item() == 0


@pytest.mark.parametrize("error", [1e-3, 0.2])
@pytest.mark.parametrize("bias", [0.0, 0.01])
def test_the_three_events_of_a_gradient_share_half_of_the_error(error, bias):
    """M1 = M2, so that the ends of the interval give away how far each mean may be off."""
    size, halves = 0.9, (1500, 2500)
    means = torch.tensor([[[size, 0.0]], [[size, 0.0]]], dtype=torch.float64)
    low, high = (end.item() for end in slope_interval(means, halves, error, bias))
    t2 = size - low
    t1 = (high**2 - size**2 - size * t2) / high
    tails = [
        np.exp(-((t - bias) ** 2) * n / 2 / SPREAD) for t, n in ((t1, halves[0]), (t2, halves[1]))
    ]
    assert tails[0] + 2 * tails[1] == pytest.approx(error / 2, rel=1e-9)


def exact_product(network):
    """|W_1|^T ... |W_L|^T of the linear layers, in fractions."""
    q = [Fraction(1)]
    for layer in reversed([part for part in network if isinstance(part, nn.Linear)]):
        rows = [[abs(Fraction(v)) for v in row] for row in layer.weight.tolist()]
        q = [
            sum(w * a for w, a in zip(column, q, strict=True)) for column in zip(*rows, strict=True)
        ]
    return q


@pytest.mark.parametrize(("norm", "dual"), [(L1, max), (LINF, sum)], ids=["l1", "linf"])
def test_the_constant_of_a_chain_is_not_below_the_product_in_fractions(norm, dual):
    torch.manual_seed(0)
    for _ in range(30):
        parts = [nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1)]
        network = nn.Sequential(*parts).double()
        assert Fraction(lipschitz_constant(network, (5,), norm)) >= dual(exact_product(network))


def test_the_constant_of_one_layer_is_not_below_its_sum_in_fractions():
    """In l1 the largest entry of H = sum_k c_k s''(z_k) w_k w_k^T, which lies on the diagonal."""
    torch.manual_seed(0)
    for _ in range(30):
        network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1)).double()
        bend = Fraction(layers(network, (4,))[0].unit.bend)
        c = [abs(Fraction(v)) * bend for v in network[2].weight[0].tolist()]
        columns = [[Fraction(v) ** 2 for v in column] for column in network[0].weight.T.tolist()]
        largest = max(sum(k * s for k, s in zip(c, column, strict=True)) for column in columns)
        assert Fraction(gradient_lipschitz(network, (4,), L1)) >= largest


def test_an_eigenvalue_is_not_below_the_largest_whatever_a_factorisation_accepts(rng, monkeypatch):
    """The worst that Higham (2002), Theorem 10.3, allows, in the arithmetic of 21 bits."""
    n = 6
    worst = (n + 1) * UNIT * n

    def proposed(A, M):
        return np.linalg.eigvalsh(M)[-1] * (1 - 0.9 * worst)

    def factorised(A, **options):
        if np.linalg.eigvalsh(A)[0] < -worst * np.linalg.eigvalsh(A)[-1]:
            raise np.linalg.LinAlgError

    monkeypatch.setattr(spectra, "EPS", COARSE)
    monkeypatch.setattr(spectra, "_proposed", proposed)
    monkeypatch.setattr(scipy.linalg, "cholesky", factorised)
    for _ in range(20):
        W = rng.normal(size=(n, 2)) @ rng.normal(size=(2, 9))
        largest = np.linalg.eigvalsh(W @ W.T)[-1]
        assert largest <= spectra.largest_eigenvalue(W, np.ones(n)) <= largest * (1 + 1e-3)


def test_normal_smoothing_spends_the_error_that_its_confidence_leaves():
    def model():
        generator = torch.Generator().manual_seed(0)
        return NormalSmoothing(Score(lambda x: x[:, 0].tanh()), 0.5, 500, generator)

    x = torch.tensor([[0.4]], dtype=torch.float64)
    sequence, seen = ConfidenceSequence(1, 1 - 0.99), model()
    for m in seen._rounds():
        sequence.update((seen._draw(x, m) + 1) / 2)
    expected = round_down(theorem1(sequence.lower, 0.5))
    assert torch.equal(model().certify(x, 0.99).radius, expected) and expected > 0
