"""The oracle's own metric (Lemma S), and reference points that are drawn or learnt."""

import copy

import numpy as np
import pytest
import torch
from shapes import SHAPES

from lbrs import (
    L2,
    LINF,
    ClassOracle,
    LinearScore,
    LocallyBiased,
    NearestNeighborOracle,
    verify,
)
from lbrs.oracles.points import reference_points

pytestmark = pytest.mark.usefixtures("one_thread")
D = 4


@pytest.mark.parametrize("shape", [*SHAPES, L2, LINF], ids=str)
def test_radii_are_those_of_the_formula_and_hold_under_attack(shape, rng, draw):
    norm = shape if shape in (L2, LINF) else shape.make(rng, D)
    points, labels, x = draw(15, D, 8)
    s = np.exp(rng.normal(size=D))
    oracle = NearestNeighborOracle(points, labels, metric=s)
    rho = np.linalg.norm(s * (x[:, None] - points), axis=2)
    label = labels[rho.argmin(1)]
    assert np.array_equal(oracle.label(x), label)
    found = oracle.radius(x, norm)
    for row, y in enumerate(label):
        betas = []
        near = np.flatnonzero(labels == y)
        for j in np.flatnonzero(labels != y):
            gap = norm.dual(torch.from_numpy(s**2 * (points[near] - points[j]))).numpy()
            margin = np.maximum(rho[row, j] ** 2 - rho[row, near] ** 2, 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                betas.append(np.where(margin > 0, margin / (2 * gap), 0).max())
        assert found[row] <= min(betas)
        assert found[row] == pytest.approx(min(betas), rel=1e-6) or min(betas) > 1e4
    model = LocallyBiased(LinearScore(rng.normal(size=D), 0.1), oracle, 0.7, norm)
    seeded = torch.Generator().manual_seed(0)
    assert verify(model, x, model.certify(x), generator=seeded).holds


def test_a_metric_is_a_change_of_units(rng, draw):
    """In scaled units, with the norm scaled back, everything is the same."""
    points, labels, x = draw(30, D, 20)
    s = np.exp(rng.normal(size=D))
    one = NearestNeighborOracle(points, labels, 3, metric=s)
    other = NearestNeighborOracle(points * s, labels, 3)
    assert torch.equal(one.label(x), other.label(x * s))
    for norm in (L2, LINF):
        expected = other.radius(x * s, norm.weighted(1 / s))
        np.testing.assert_allclose(one.radius(x, norm), expected, rtol=1e-6)
    np.testing.assert_allclose(one.points, points)
    np.testing.assert_allclose(one.metric, s)
    assert torch.equal(copy.deepcopy(one).to("cpu").radius(x, L2), one.radius(x, L2))
    classes = ClassOracle(points, (labels > 0).astype(int), metric=s)
    assert torch.equal(
        classes.label(x), (NearestNeighborOracle(points, labels, metric=s).label(x) > 0).long()
    )
    np.testing.assert_allclose(
        classes.to("cpu").radii(x, L2, 2).amax(1),
        NearestNeighborOracle(points, labels, metric=s).radius(x, L2),
    )


def test_labels_that_rounding_of_the_metric_decides_have_no_radius():
    """Two points that a product with 1/3 cannot tell from the middle: radius 0, or no change."""
    s = np.array([1 / 3])
    for far in (0.0, 1e6, 1e12):
        points = np.array([[far], [far + 2]])
        oracle = NearestNeighborOracle(points, [1, -1], metric=s)
        x = far + 1 + np.linspace(-1e-9, 1e-9, 41)[:, None] * max(1, far)
        radius, label = oracle.radius(x, L2), oracle.label(x)
        for z in (x - 0.999 * radius[:, None].numpy(), x + 0.999 * radius[:, None].numpy()):
            assert torch.equal(oracle.label(z), label)


def test_exact_radii_are_refused_with_a_metric():
    oracle = NearestNeighborOracle([[0.0], [1.0]], [1, -1], metric=[2.0])
    with pytest.raises(ValueError, match="^oracle must measure in l2"):
        LocallyBiased(LinearScore([1.0]), oracle, 0.5).certify([[0.0]], bound="exact")


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        ([1.0], "metric must hold 2 numbers, one a feature, got 1"),
        ([1.0, 0.0], "metric must hold numbers from"),
        ([1.0, -2.0], "metric must hold numbers from"),
        ([1.0, np.nan], "metric must hold finite numbers"),
    ],
)
def test_a_bad_metric_is_named(metric, told):
    with pytest.raises(ValueError, match=f"^{told}"):
        NearestNeighborOracle([[0.0, 0.0]], [1], metric=metric)


@pytest.mark.parametrize("how", ["random", "kmeans"])
def test_reference_points_are_of_each_class_its_share(how, rng):
    x = np.vstack([rng.normal(size=(90, D)), 5 + rng.normal(size=(30, D))])
    y = np.r_[np.ones(90), -np.ones(30)]
    points, labels = reference_points(x, y, 20, how, seed=1)
    assert points.shape == (20, D) and (labels == 1).sum() == 15
    assert torch.equal(reference_points(x, y, 20, how, seed=1)[0], points)
    assert torch.equal(torch.sign(2.5 - points.mean(1)), labels)
    some = (points[:, None] == torch.from_numpy(x)).all(2).any(1)
    assert some.all() if how == "random" else some.double().mean() < 0.5
    assert NearestNeighborOracle(points, labels).radius(x, L2).min() > 0


def test_centers_follow_the_metric_and_stop_where_no_more_points_differ(rng):
    x = rng.normal(size=(60, 2)) * [1.0, 1e-3]
    x[:30, 1] += 1.0
    metric = [1e-3, 1.0]
    points, _ = reference_points(x, np.ones(60), 2, "kmeans", metric=metric)
    assert sorted(points[:, 1].round(decimals=1).tolist()) == [0.0, 1.0]
    means = x[:30, 0].mean(), x[30:, 0].mean()
    np.testing.assert_allclose(points[:, 0].sort().values, sorted(means))
    points, labels = reference_points([[0.0], [0.0], [1.0]], [1, 1, -1], 3, "kmeans")
    assert points.flatten().tolist() == [1.0, 0.0] and labels.tolist() == [-1, 1]
    images, _ = reference_points(rng.random((6, 2, 3)), np.ones(6), 2, "kmeans")
    assert images.shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"how": "best"}, "how must be one of 'random', 'kmeans', got 'best'"),
        ({"y": [1.0]}, "y must hold one label"),
        ({"n": 1}, "n must be a whole number >= 2"),
    ],
)
def test_bad_reference_points_are_named(given, told):
    with pytest.raises(ValueError, match=f"^{told}"):
        reference_points(**{"x": [[0.0], [1.0]], "y": [1, -1], "n": 2, **given})
