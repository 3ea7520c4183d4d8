"""Allowances for rounding: each holds against the worst errors that its assumption allows, and is
missed where it is left out."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

import lbrs.scores.smooth
from lbrs import (
    L1,
    L2,
    LINF,
    AffineScores,
    ClassOracle,
    ClassScores,
    LinearScore,
    LipschitzScore,
    LocallyBiased,
    MulticlassLocallyBiased,
    NearestNeighborOracle,
    Score,
)
from lbrs.rounding import CHOICE, affine_scores, general_score, least, lipschitz_allowance, slopes
from lbrs.scores.base import Linearization, sign

SHARES = [1e-10, 1e-4, 0.05, 0.5]


class Wrong(Score):
    """g(x) = a x + b + L cos(x) on the line, off by all that `share` allows: at 0 value and slope
    to the sides `value` and `slope`, elsewhere to the other sides."""

    def __init__(
        self, a: float, b: float, L: float, share: float, value: float, slope: float
    ) -> None:
        self.a, self.b, self.L, self.sides = a, b, L, (value, slope)
        super().__init__(lambda x: a * x[:, 0] + b + L * x[:, 0].cos(), L, rounding=share)

    def linearize(self, x, norm):
        x = torch.as_tensor(x, dtype=torch.float64)[:, 0]
        g, G = self.a * x + self.b + self.L * x.cos(), (self.a - self.L * x.sin()).abs()
        turn = torch.where(x == 0, 1.0, -1.0) * self.rounding
        value = g + self.sides[0] * turn * (1 + g.abs())
        slope = (G + self.sides[1] * turn * (1 + G)).clamp(min=0)
        return Linearization(
            sign(value), value, slope, torch.where(slope > 0, value.abs() / slope, torch.inf)
        )


def flips(model: LocallyBiased) -> tuple[float, float]:
    """The radius certified at 0, and the nearest change of the computed prediction on a fine
    grid."""
    certificate = model.certify([[0.0]])
    radius = certificate.radius.item()
    reach = min(radius, 1e6) if radius > 0 else 1.0
    grid = torch.from_numpy(np.r_[np.linspace(-1, 1, 1001), [1e-9, -1e-9]]) * reach * 1.2
    changed = model.predict(grid[:, None]) != certificate.prediction
    return radius, grid[changed].abs().min().item() if changed.any() else math.inf


def attack(rng, share: float, count: int) -> tuple[int, int]:
    """Of `count` random models with all four pairs of sides: how many are certified, and how many
    falsely."""
    certified = false = 0
    for _ in range(count):
        a, b = rng.normal(size=2) * 10.0 ** rng.uniform(-3, 3, 2)
        L, alpha = 10.0 ** rng.uniform(-6, 1) * (rng.random() < 0.7), 10.0 ** rng.uniform(-3, 6)
        oracle = NearestNeighborOracle(
            [[0.0], [10.0 ** rng.uniform(-1, 3)]], rng.choice([1, -1]) * np.array([1, -1])
        )
        for value in (-1.0, 1.0):
            for slope in (-1.0, 1.0):
                radius, change = flips(
                    LocallyBiased(Wrong(a, b, L, share, value, slope), oracle, alpha)
                )
                certified, false = certified + (radius > 0), false + (radius > change * (1 + 1e-12))
    return certified, false


def test_errors_of_the_gradient_count_at_both_ends():
    oracle = NearestNeighborOracle([[0.0], [200.0]], [1, -1])
    for value in (-1.0, 1.0):
        radius, change = flips(LocallyBiased(Wrong(3e-4, -2.5, 0.0, 1e-4, value, 1.0), oracle, 1e4))
        assert radius <= change


@pytest.mark.parametrize("share", SHARES)
def test_no_error_that_is_allowed_breaks_a_smooth_certificate(rng, share):
    certified, false = attack(rng, share, 30)
    assert false == 0 and certified > (60 if share < 0.01 else 20)


@pytest.mark.parametrize("name", ["general_score", "slopes", "least"])
def test_without_its_allowance_a_smooth_certificate_is_false(rng, monkeypatch, name):
    free = {
        "general_score": lambda slope, *rest: torch.zeros_like(slope),
        "slopes": lambda slope, share: (slope, slope),
        "least": lambda value, share: value,
    }
    monkeypatch.setattr(lbrs.scores.smooth, name, free[name])
    assert attack(rng, 0.05, 40)[1] > 0


def test_allowances_grow_with_what_they_depend_on():
    slope, reach = (torch.tensor([v], dtype=torch.float64) for v in (2.0, 3.0))
    base = general_score(slope, reach, 1.0, 1.0, 1e-3, 1e-3)
    more = [
        general_score(2 * slope, reach, 1.0, 1.0, 1e-3, 1e-3),
        general_score(slope, 2 * reach, 1.0, 1.0, 1e-3, 1e-3),
        general_score(slope, reach, 2.0, 1.0, 1e-3, 1e-3),
        general_score(slope, reach, 1.0, 2.0, 1e-3, 1e-3),
        general_score(slope, reach, 1.0, 1.0, 2e-3, 1e-3),
        general_score(slope, reach, 1.0, 1.0, 1e-3, 2e-3),
    ]
    assert all(changed > base for changed in more)
    assert lipschitz_allowance(2.0, 1.0, 0.1) > lipschitz_allowance(1.0, 1.0, 0.1) > 0.2
    assert affine_scores(slope, 5) > 6 * torch.finfo(torch.float64).eps


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_the_least_value_is_never_above_that_of_exact_arithmetic(value):
    for share in torch.rand(300, generator=torch.Generator().manual_seed(0)).tolist():
        over = Fraction(value) - Fraction(share)
        exact = over / (1 + Fraction(share) if over >= 0 else 1 - Fraction(share))
        low = least(torch.tensor(value, dtype=torch.float64), share)
        assert Fraction(low.item()) <= exact


@pytest.mark.parametrize("share", [*SHARES, 0.99])
def test_the_allowance_in_the_ball_is_never_below_that_of_exact_arithmetic(share):
    slope, s, loose = Fraction(10**6), Fraction(share), Fraction(share) + Fraction(CHOICE)
    exact = (s * (1 + slope) + loose * (1 + slope)) / (1 - loose)
    there, reach = torch.tensor([[1e6], [0.0]], dtype=torch.float64)
    assert Fraction(general_score(there, reach, 1.0, 0.0, share, share).item()) >= exact


@pytest.mark.parametrize("share", SHARES)
def test_ends_of_a_computed_number_are_attained(share):
    true = torch.linspace(-5, 5, 1001, dtype=torch.float64)
    computed = true + share * (1 + true.abs())
    torch.testing.assert_close(least(computed, share), true, rtol=1e-12, atol=1e-12)
    slope = true.clamp(min=0)
    low, high = (
        slopes(slope + share * (1 + slope), share)[0],
        slopes((slope - share * (1 + slope)), share)[1],
    )
    torch.testing.assert_close(low, slope, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(high, slope, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1.0, 1e8, 1.7e9, 1e12])
def test_classes_with_large_terms_are_certified_within_their_rounding(rng, size):
    false = total = 0
    for _ in range(40):
        weight, bias = rng.normal(size=(3, 2)), rng.normal(size=3)
        x = rng.normal(size=(20, 2)) + size
        bias = bias - weight @ np.full(2, size)
        oracle = ClassOracle(x[:4] + rng.normal(size=(4, 2)), [0, 1, 2, 0])
        model = MulticlassLocallyBiased(AffineScores(weight, bias), oracle, 0.2)
        certificate = model.certify(x)
        radius = certificate.radius.clamp(max=1e3)
        for _ in range(60):
            step = torch.from_numpy(rng.normal(size=x.shape))
            z = torch.from_numpy(x) + step / step.norm(dim=1, keepdim=True) * radius[:, None] * (
                1 - 1e-9
            )
            inside = (z - torch.from_numpy(x)).norm(dim=1) < certificate.radius
            false += int(((model.predict(z) != certificate.prediction) & inside).sum())
        total += int((radius > 0).sum())
    assert false == 0 and (total > 300 or size > 1e9)


def test_rounding_of_classes_is_not_a_share_of_their_small_differences():
    """At 1e13 the products are off by 1e-3, far more than 1e-10 of a difference near 0."""
    weight, at = [[1.0, 0.0], [1.0, 1e-4], [0.0, 0.0]], [1e13, 1.0]
    far = AffineScores(weight, [0.0, 0.0, 1e9])
    model = MulticlassLocallyBiased(far, ClassOracle([at, [0.0, 0.0]], [0, 1]), 0.0)
    assert model.certify([at]).radius.item() == 0
    small, oracle = AffineScores(weight, [0.0, 0.0, -5.0]), ClassOracle(np.eye(2), [0, 1])
    near = MulticlassLocallyBiased(small, oracle, 0.0)
    assert near.certify([[1.0, 1.0]]).radius.item() == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("alpha", [1.3e154, 1.4e154, 1e200, 1.7e308])
def test_any_alpha_may_be_asked_for(alpha):
    oracle = NearestNeighborOracle([[0.0], [2.0]], [1, -1])
    for score in (
        Score(lambda x: x[:, 0].sin(), 1.0),
        LinearScore([1.0]),
        LipschitzScore(lambda x: x[:, 0].sin(), 1.0),
    ):
        certificate = LocallyBiased(score, oracle, alpha).certify([[0.25], [0.75]])
        expected = LocallyBiased(score, oracle, 1e6).certify([[0.25], [0.75]])
        assert torch.equal(certificate.prediction, expected.prediction)
        assert (
            not certificate.radius.isnan().any()
            and (certificate.radius <= torch.tensor([0.75, 0.25])).all()
        )
    assert LocallyBiased(LinearScore([1.0]), oracle, alpha).certify(
        [[0.25]]
    ).radius.item() == pytest.approx(0.75)


@pytest.mark.parametrize("norm", [L1, L2, LINF], ids=str)
@pytest.mark.parametrize("unit", [1.0, 1e-150, 1e-300, 1e-310, 5e-324])
def test_weights_of_any_size_give_the_distance_to_the_line(norm, unit):
    weight = [unit, unit]
    model = LocallyBiased(
        LinearScore(weight, 0.0),
        NearestNeighborOracle([[9.0, 9.0], [-9.0, -9.0]], [1, -1]),
        0.0,
        norm,
    )
    certificate = model.certify([[3.0, 5.0]])
    true = 8 / norm.dual(torch.ones(2).double()).item()
    assert certificate.radius.item() <= true * (1 + 1e-12)
    assert certificate.radius.item() >= true * (1 - 1e-9) or unit < 1e-290
    exact = model.certify([[3.0, 5.0]], bound="exact").radius.item()
    assert exact <= true * (1 + 1e-9)
    huge = LocallyBiased(LinearScore(weight, unit * 1e100), model.oracle, 0.0, norm)
    assert huge.certify([[3.0, 5.0]]).radius.item() <= 1e100 / norm.dual(
        torch.ones(2).double()
    ).item() * (1 + 1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_need_a_rounding_of_the_users(dtype):
    oracle = NearestNeighborOracle([[0.0, 0.0], [4.0, 0.0]], [1, -1])
    function = lambda x: x.to(dtype).sin().sum(1)  # noqa: E731
    for score in (Score(function, 1.0), LipschitzScore(function, 1.5)):
        model = LocallyBiased(score, oracle, 0.5)
        assert len(model.predict([[0.1, 0.2]])) == 1
        with pytest.raises(ValueError, match=rf"^rounding must be given.*{dtype}"):
            model.certify([[0.1, 0.2]])
    for kind in (Score, LipschitzScore):
        certificate = LocallyBiased(kind(function, 1.5, rounding=0.01), oracle, 0.5).certify(
            [[0.1, 0.2]]
        )
        assert "0.01" in certificate.assumption
    assert Score(function, 1.0, rounding=0.01).rounding == 0.01
    with pytest.raises(ValueError, match="^rounding"):
        scores = ClassScores(lambda x: x.to(dtype)[:, :2], 2.0)
        several = MulticlassLocallyBiased(scores, ClassOracle([[0.0, 0.0]], [0]), 0.5)
        several.certify([[0.1, 0.2]])


def test_the_lowest_type_of_any_operation_decides_the_allowance():
    network = torch.nn.Linear(2, 1)
    score = Score(lambda x: network(x.float()), 0.0)
    assert score.dtype == torch.float64 and score.observed is None
    score.value([[0.1, 0.2]])
    assert score.observed.dtype == torch.float32 and score.rounding == 1e-4
    assert Score(network.double(), 0.0).rounding == 1e-10


def test_exact_radii_of_weights_below_the_smallest_normal_number_allow_for_their_rounding():
    """Found by attack: products of such weights lose most of their digits, so that the line is
    known to 1e-15 only."""
    oracle = NearestNeighborOracle([[9.0, 9.0], [-9.0, -9.0]], [1, -1])
    score = LinearScore([1.780644626514e-312, -7.161830355846e-312], -6.121756770335e-312)
    model, x = (
        LocallyBiased(score, oracle, 0.0, LINF),
        torch.tensor([[-1.0, 1.0]], dtype=torch.float64),
    )
    certificate = model.certify(x, bound="exact")
    near = 1.6845707460641082 + torch.linspace(-1e-9, 1e-9, 2001, dtype=torch.float64)
    moved = x + near[:, None] * torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    changed = model.predict(moved) != certificate.prediction
    assert changed.any()
    assert certificate.radius.item() <= near[changed].min().item()


def test_points_that_would_vanish_beside_x_have_no_exact_radius():
    """Found by attack: scaled by the size of x they fell together, and their labels with them."""
    points = [[-4.263697151316443e-211], [6.328159823661287e-211], [-8.883490587482434e-211]]
    score = LinearScore([-5e-324], -1.0043198469404166e-177)
    model = LocallyBiased(
        score, NearestNeighborOracle(points, [-1, -1, 1]), 2.0327660006219695e146, LINF
    )
    assert model.certify([[-2e146]]).radius.item() == 0
    with pytest.raises(ArithmeticError, match="keep their digits"):
        model.certify([[-2e146]], bound="exact")
