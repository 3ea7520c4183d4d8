"""Laws of weighted, masked, grouped and Mahalanobis norms, and of a user's own; and that they are
lp norms after a change of variables (Lemma R)."""

import math
import pickle

import mpmath
import numpy as np
import pytest
import torch
from shapes import SHAPES, Cone, exact_length

from lbrs import (
    L1,
    L2,
    LINF,
    Certificate,
    GroupNorm,
    LinearScore,
    LocallyBiased,
    Mahalanobis,
    NearestNeighborOracle,
    Norm,
    OwnNorm,
    Score,
    verify,
)
from lbrs.norms import as_norm, norm_from
from lbrs.oracles.radii import FAR, farthest
from lbrs.rounding import SHARE

pytestmark = pytest.mark.usefixtures("one_thread")
D = 5


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return request.param


@pytest.fixture
def norm(shape, rng):
    return shape.make(rng, D)


@pytest.fixture
def v(norm, rng):
    """Vectors of changes that the norm allows."""
    some = rng.normal(size=(60, D)) * (rng.random((60, D)) < 0.7)
    rows = torch.from_numpy(np.vstack([some, np.eye(D), np.ones((1, D)), -np.eye(D)]))
    rows = norm.movable(rows)
    return rows[(rows != 0).any(1)]


def test_a_length_is_positive_grows_in_proportion_and_keeps_the_triangle(norm, v):
    length = norm(v)
    assert (length > 0).all() and norm(torch.zeros(D, dtype=torch.float64)) == 0
    for c in (-1.0, 1e-3, 1e20):
        torch.testing.assert_close(norm(c * v), abs(c) * length, rtol=1e-12, atol=0)
    w = v.flip(0)
    assert (norm(v + w) <= (length + norm(w)) * (1 + 1e-12)).all()


def test_no_pairing_is_beyond_the_lengths_and_the_maximizer_attains_it(norm, v, rng):
    y = torch.from_numpy(rng.normal(size=(60, D)))
    assert (y @ v.T <= norm.dual(y)[:, None] * norm(v) * (1 + 1e-12)).all()
    m = norm.maximizer(y)
    torch.testing.assert_close(norm(m), torch.ones(60, dtype=torch.float64), rtol=1e-9, atol=0)
    torch.testing.assert_close((y * m).sum(1), norm.dual(y), rtol=1e-9, atol=0)
    assert not norm.maximizer(0 * y).any()


def test_the_dual_of_the_dual_is_the_norm(norm):
    assert norm.dual.dual == norm and hash(norm.dual.dual) == hash(norm)
    assert norm.dual != norm or norm == L2


def test_reach_stretch_and_spread_bound_what_the_ball_holds(norm, v):
    unit = v / norm(v)[:, None]
    reach = norm.reach(D)
    assert (unit.abs() <= reach * (1 + 1e-9)).all()
    torch.testing.assert_close(
        reach, norm.dual(torch.eye(D, dtype=torch.float64)), rtol=1e-6, atol=0
    )
    assert (L2(unit) <= norm.stretch(D)).all()
    assert (unit.abs() @ v.abs().T <= norm.spread(v) * (1 + 1e-9)).all()
    assert (norm.spread(v) >= norm.dual(v) * (1 - 1e-9)).all()


def test_lengths_are_as_exact_as_stated(norm, v, rng):
    share, lost = norm.rounding(D), norm.lost(D)
    assert 0 < share < 1e-8
    with mpmath.workdps(60):
        for size in (1e-300, 1e-20, 1.0, 1e100):
            for row in (size * v)[::7]:
                expected = exact_length(norm, [mpmath.mpf(entry) for entry in row.tolist()])
                got = mpmath.mpf(norm(row).item())
                assert abs(got - expected) <= share * expected + lost
                assert norm.above(row).item() >= expected


def test_bounds_of_gaps_hold_and_are_tight(norm, rng):
    points = torch.from_numpy(10 + rng.normal(size=(30, D)))
    oracle = NearestNeighborOracle(points, rng.permutation([1.0] * 15 + [-1.0] * 15))
    low, high = oracle._gaps.bounds(torch.arange(30), slice(0, 30), norm.dual)
    exact = norm.dual(oracle._points[:, None] - oracle._points)
    assert (low <= exact * (1 + 1e-15)).all() and (exact <= high * (1 + 1e-15)).all()
    apart = ~torch.eye(30, dtype=torch.bool)
    assert (low[apart] > 0).all() and (high - low)[apart].median() < 0.7 * high[apart].median()


def test_a_norm_is_copied_pickled_and_written_whole(norm, tmp_path):
    if isinstance(norm, OwnNorm):
        with pytest.raises(ValueError, match="written to a file, got Cone, a norm of the user's"):
            norm.stated()
        return
    assert pickle.loads(pickle.dumps(norm)) == norm == norm_from(norm.stated())
    assert pickle.loads(pickle.dumps(norm.dual)) == norm.dual
    one = torch.ones(1, dtype=torch.float64)
    certificate = Certificate(one.long(), one, norm, "deterministic", "Theorem B", "g is affine")
    certificate.save(tmp_path / "one.json")
    assert Certificate.load(tmp_path / "one.json").norm == norm
    assert str(norm) in str(certificate)


def by_formula(x, points, labels, norm):
    """Theorem A, as printed."""
    rho = np.linalg.norm(x[:, None] - points, axis=2)
    label = labels[rho.argmin(1)]
    found = []
    for row, y in enumerate(label):
        betas = []
        for j in np.flatnonzero(labels != y):
            near = np.flatnonzero(labels == y)
            gap = norm.dual(torch.from_numpy(points[near] - points[j])).numpy()
            margin = rho[row, j] ** 2 - rho[row, near] ** 2
            with np.errstate(divide="ignore"):
                b = np.where(margin > 0, margin / (2 * gap), 0.0)
            betas.append(b.max())
        found.append(min(betas))
    return np.array(found)


def test_radii_are_those_of_the_formula(norm, rng):
    points, x = rng.normal(size=(20, D)), rng.normal(size=(15, D))
    labels = rng.permutation([1.0, -1.0] * 10)
    found = NearestNeighborOracle(points, labels).radius(x, norm).numpy()
    expected = by_formula(x, points, labels, norm)
    finite = expected < 1e4
    np.testing.assert_allclose(found[finite], expected[finite], rtol=1e-8)
    assert (found <= expected).all() and (found[~finite] >= 1e4).all()


@pytest.mark.parametrize("base", [L1, L2, LINF], ids=str)
def test_weights_and_matrices_are_a_change_of_variables(base, rng):
    """A linear score with alpha = 0, and exact radii far from the oracle's bisectors, to 1e-9."""
    w, a, x = np.exp(rng.normal(size=D)), rng.normal(size=D), rng.normal(size=(10, D))
    T = rng.normal(size=(D, D)) + 3 * np.eye(D)
    points = np.vstack([np.full(D, 1e3), np.full(D, -1e3)])

    def radius(weight, rows, norm, references, alpha, bound):
        model = LocallyBiased(
            LinearScore(weight), NearestNeighborOracle(references, [1, -1]), alpha, norm
        )
        return model.certify(rows, bound=bound).radius.numpy()

    for bound in ("sharp", "exact"):
        one = radius(a, x, base.weighted(w), points, 0.0, bound)
        other = radius(a / w, x * w, base, points * w, 0.0, bound)
        np.testing.assert_allclose(one, other, rtol=1e-9)
        one = radius(a, x, Mahalanobis(T), points, 0.0, bound)
        other = radius(np.linalg.inv(T).T @ a, x @ T.T, L2, points @ T.T, 0.0, bound)
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_equal_weights_only_change_the_unit(rng, draw):
    points, labels, x = draw(30, D, 10)
    score, oracle = LinearScore(rng.normal(size=D), 0.2), NearestNeighborOracle(points, labels)
    for base in (L1, L2, LINF):
        for bound in ("paper", "sharp", "exact"):
            plain = LocallyBiased(score, oracle, 0.4, base).certify(x, bound=bound)
            scaled = LocallyBiased(score, oracle, 0.1, base.weighted(np.full(D, 0.25)))
            found = scaled.certify(x, bound=bound).radius
            np.testing.assert_allclose(4 * found, plain.radius, rtol=1e-9)
            same = LocallyBiased(score, oracle, 0.4, base.only(np.ones(D))).certify(x, bound=bound)
            np.testing.assert_allclose(same.radius, plain.radius, rtol=1e-9)
    every = GroupNorm(1, 2, np.zeros(D))
    for one, other in (
        (every, L2),
        (GroupNorm(3, 2, np.arange(D)), Norm(3)),
        (Mahalanobis(np.eye(D)), L2),
    ):
        found, expected = oracle.radius(x, one), oracle.radius(x, other)
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_frozen_features_are_left_alone(rng, draw):
    """A score and points that differ in frozen features alone: nothing that can move matters."""
    points, labels, x = draw(30, 3, 10)
    few = L2.only([True, True, False])
    whole = LocallyBiased(
        LinearScore([0.0, 0.0, 1.0], 0.1), NearestNeighborOracle(points, labels), 0.0, few
    )
    for bound in ("sharp", "exact"):
        assert torch.isinf(whole.certify(x, bound=bound).radius).all()
    points[:, :2] = 0
    apart = NearestNeighborOracle(points, labels).radius(x, few)
    assert (apart > 1e4).all()
    on_line = NearestNeighborOracle(points[:, 2:], labels).radius(x[:, 2:], L2)
    every = NearestNeighborOracle(points, labels).radius(x, L2)
    np.testing.assert_allclose(every, on_line, rtol=1e-12)


def test_labels_are_asked_for_within_a_limit():
    """A feature far lighter than the other, which is all that tells the points apart: far out along
    it, all points are equally far as computed. Without the limit the radius is 5e23 and more."""
    norm, oracle = (
        L2.weighted([1.0, 1e-25]),
        NearestNeighborOracle([[0.0, 0.0], [1.0, 0.0]], [1, -1]),
    )
    x = torch.tensor([[0.25, 0.0]], dtype=torch.float64)
    found = oracle.radius(x, norm)
    assert 1e-22 < found.item() < 1e-18
    way = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    assert oracle.label(x + (1 - 1e-9) * found / norm(way) * way) == oracle.label(x)
    exact = (oracle.label(x + 1e18 * way), oracle.label(x + 1e18 * way + torch.tensor([[0.5, 0]])))
    assert exact[0] == exact[1]
    size, blur = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    limit, taken = farthest(size, 1.0, blur, 1, FAR)
    assert taken >= 2 * SHARE * (1 + limit) ** 2


def test_images_are_off_by_no_more_than_stated(rng):
    w, v = np.exp(rng.normal(size=D)), torch.from_numpy(rng.normal(size=(50, D)))
    for norm in (L2.weighted(w), L2.weighted(w).dual):
        image, off, plain = norm.image(v)
        worst = 0.0
        for row, found, most in zip(v.tolist(), image.tolist(), off.tolist(), strict=True):
            with mpmath.workdps(60):
                scale = [mpmath.mpf(t) for t in w]
                scale = scale if norm == L2.weighted(w) else [1 / t for t in scale]
                apart = [s * t - f for s, t, f in zip(scale, row, found, strict=True)]
                distance = exact_length(plain, [mpmath.mpf(t) for t in apart])
                assert distance <= most
            worst = max(worst, float(distance / most))
        assert worst > 0.05


def test_every_score_is_certified_in_every_norm_and_attacked(norm, rng, draw):
    points, labels, x = draw(20, D, 12)
    w = torch.from_numpy(rng.normal(size=(3, D)))
    L = float(norm.dual.above(w).square().sum())
    smooth = Score(lambda z: (z @ w.T).sin().sum(1), gradient_lipschitz=L, domain=50.0)
    oracle = NearestNeighborOracle(points, labels)
    for score in (LinearScore(w[0], 0.1), smooth):
        model = LocallyBiased(score, oracle, float(0.3 / norm.dual(w[0])), norm)
        for bound in score.bounds:
            certificate = model.certify(x, bound=bound)
            assert not torch.isnan(certificate.radius).any() and (certificate.radius > 0).any()
            found = verify(model, x, certificate, generator=torch.Generator().manual_seed(0))
            assert found.holds and torch.isfinite(found.distance).any()


def test_balls_end_at_the_border_of_a_domain_in_their_own_units():
    g = Score(lambda z: z.sum(1) + 50, gradient_lipschitz=0.0, domain=1.0)
    oracle = NearestNeighborOracle([[0.0, 0.0]], [1])
    norm = LINF.weighted([1.0, 10.0])
    found = LocallyBiased(g, oracle, 0.0, norm).certify([[0.0, 0.9], [0.5, 0.0]]).radius
    np.testing.assert_allclose(found, [1.0, 0.5], rtol=1e-9)
    found = LocallyBiased(g, oracle, 0.0, norm.only([True, False])).certify([[0.0, 0.9]]).radius
    np.testing.assert_allclose(found, [1.0], rtol=1e-9)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: L2.weighted([1.0, -1.0]),
            "weights must be 0, inf, or from .* to .*, got -1",
        ),
        (lambda: L2.weighted([1.0, math.nan]), "weights must be 0, inf, or from"),
        (lambda: L2.weighted([math.inf] * 2), "weights must leave a feature that can move"),
        (lambda: L2.weighted([]), "weights must be at least one numbers, got 0"),
        (lambda: L2.weighted([1.0, 2.0]).weighted([1.0]), "weights must be 2 numbers, got 1"),
        (lambda: Mahalanobis(np.eye(2)).only([1, 0]), "weights must be finite and > 0 for Mahal"),
        (lambda: L2.only([0.5, 1.0]), "mask must hold True and False"),
        (lambda: Mahalanobis([[1.0, 2.0]]), r"matrix must have shape \(d, d\), got"),
        (lambda: Mahalanobis([[1.0, 2.0], [2.0, 4.0]]), "matrix must be invertible"),
        (lambda: Mahalanobis([[1.0, 0.0], [0.0, 1e-14]]), "matrix must be invertible"),
        (lambda: GroupNorm(2, 1, [0, -1]), "groups must hold a whole number >= 0"),
        (lambda: GroupNorm(2, 1, [0, 0.5]), "groups must hold whole numbers"),
        (lambda: GroupNorm(0.5, 1, [0, 1]), "p must be a number >= 1"),
        (lambda: as_norm("norm", L2.weighted([1.0, 0.0])), "norm must have weights > 0: feature 1"),
        (
            lambda: as_norm("norm", L2.weighted([1.0, 2.0]), (3,)),
            r"norm must be of points of shape",
        ),
    ],
)
def test_what_is_no_norm_is_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()


def test_norms_say_what_they_are():
    told = {
        LINF.weighted([1, 10]): "linf of 2 features with weights from 1 to 10",
        L1.weighted([2, 2]): "l1 of 2 features with weights 2",
        L2.only([True, False, True]): "l2 of 3 features, 1 of them frozen",
        GroupNorm(math.inf, 2, [0, 0, 1]): "linf of the l2 of 2 groups of 3 features",
        Mahalanobis(np.eye(3)): "Mahalanobis of 3 features",
        Cone(): "Cone, a norm of the user's",
    }
    assert {str(norm): text for norm, text in told.items()} == {t: t for t in told.values()}


def test_a_free_feature_has_an_infinite_dual_length():
    free = L2.weighted([1.0, 0.0])
    v = torch.tensor([[0.0, 3.0], [4.0, 3.0]])
    assert free(v).tolist() == [0.0, 4.0]
    assert free.dual(v).tolist() == [math.inf, math.inf]
    assert free.dual(torch.tensor([2.0, 0.0])) == 2 and not free.maximizer(v).any()


WRONG = {
    "half as long": {"length": lambda self, v: Cone.length(self, v) / 2},
    "a dual too short": {"dual_length": lambda self, y: 0.99 * Cone.dual_length(self, y)},
    "a dual too long": {"dual_length": lambda self, y: 1.01 * Cone.dual_length(self, y)},
    "not convex": {"length": lambda self, v: v.abs().sqrt().sum(-1) ** 2},
    "not even": {"length": lambda self, v: Cone.length(self, v.clamp(min=0)) + v.abs().sum(-1)},
    "squared": {"length": lambda self, v: Cone.length(self, v) ** 2},
    "seminorm": {"length": lambda self, v: v[..., 1:].abs().sum(-1)},
    "constant": {"length": lambda self, v: torch.ones_like(v[..., 0])},
    "of the batch": {"length": lambda self, v: Cone.length(self, v) * (1 + 1e-3 * len(v))},
    "another maximizer": {
        "attained": lambda self, a: L2.maximizer(a) / Cone.length(self, L2.maximizer(a))[..., None]
    },
    "nan": {"length": lambda self, v: Cone.length(self, v) * math.nan},
    "another shape": {"length": lambda self, v: v},
    "a maximizer of another shape": {"attained": lambda self, a: a[..., :1]},
}


@pytest.mark.parametrize("what", list(WRONG))
def test_a_norm_of_the_users_that_breaks_a_law_is_refused(what):
    wrong = type("Wrong", (Cone,), WRONG[what])()
    oracle = NearestNeighborOracle([[0.0, 0.0, 1.0], [1.0, 2.0, 3.0]], [1, -1])
    with pytest.raises(ValueError, match="^norm must keep the laws of a norm in 3 dimensions"):
        oracle.radius([[0.0, 0.0, 0.0]], wrong)
    with pytest.raises(ValueError, match="^norm must keep the laws"):
        LocallyBiased(LinearScore([1.0, 2.0, 3.0]), oracle, 0.5, wrong).predict([[0.0, 1.0, 0.0]])


def test_what_admits_a_norm_of_the_users_cannot_be_replaced():
    for name in ("observe", "rounding", "reach", "dual", "__call__", "above"):
        with pytest.raises(TypeError, match=f"only, got {name} too"):
            type("Sly", (Cone,), {name: lambda self, *given: None})
    late = Cone()
    late.length = lambda v: 0 * v
    with pytest.raises(TypeError, match="^norm must be a Norm"):
        as_norm("norm", late)
    with pytest.raises(TypeError, match="^norm must be a Norm"):
        as_norm("norm", OwnNorm())
    assert as_norm("norm", Cone())
