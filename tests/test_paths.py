"""The paths over alpha are the classifier and its radius at every alpha, against brute force."""

import numpy as np
import pytest
import torch

from lbrs import L1, L2, LINF, LinearScore, LocallyBiased, NearestNeighborOracle
from lbrs.paths import accuracy_path, radius_path
from lbrs.scores.base import select

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(params=[L1, L2, LINF], ids=str)
def problem(request, draw, rng):
    points, labels, x = draw(12, 3, 150)
    x[:4] = np.round(x[:4])
    score, oracle = LinearScore([1.0, -2.0, 0.5], 0.25), NearestNeighborOracle(points, labels)
    y = torch.from_numpy(rng.choice([-1.0, 1.0], 150))
    return score, oracle, torch.from_numpy(x), y, request.param


def alphas(problem, rng):
    score, _, x, _, norm = problem
    crossing = score.linearize(x, norm).crossing
    drawn, ends = torch.from_numpy(rng.exponential(2.0, 1000)), crossing.new_tensor([0.0, 1e300])
    return torch.cat([ends[:1], drawn, crossing, crossing * (1 + 1e-12), ends[1:]])


def test_the_accuracy_path_is_the_accuracy_at_every_alpha(problem, rng):
    score, oracle, x, y, norm = problem
    path, grid = accuracy_path(score.linearize(x, norm), oracle.label(x), y), alphas(problem, rng)
    models = (LocallyBiased(score, oracle, alpha, norm) for alpha in grid.tolist())
    brute = torch.stack([(model.predict(x) == y).double().mean() for model in models])
    torch.testing.assert_close(path(grid), brute, rtol=0, atol=1e-12)
    assert len(path.values) == len(path.jumps) + 1 and (path.jumps.diff() > 0).all()
    assert path.values[-1] == pytest.approx((oracle.label(x) == y).double().mean().item())


def test_points_on_the_boundary_and_points_without_a_gradient(rng):
    score = LinearScore([1.0, 0.0], 0.0)
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    y, label = torch.tensor([-1.0, 1.0, 1.0]), torch.tensor([-1.0, -1.0, 1.0])
    path = accuracy_path(score.linearize(x, L2), label, y)
    for alpha in (0.0, 1e-300, 0.5, 1.0, 1.5):
        brute = (select(score.linearize(x, L2), label, alpha) == y).double().mean()
        assert path(alpha) == brute
    flat = LinearScore([0.0, 0.0], 1.0).linearize(x, L2)
    assert len(accuracy_path(flat, label, y).jumps) == 0


@pytest.mark.parametrize("bound", ["sharp", "paper"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_radius_path_is_the_average_radius_at_every_alpha(problem, rng, weighted, bound):
    score, oracle, x, y, norm = problem
    local, neighbor = score.linearize(x, norm), oracle.radius(x, norm, bound)
    agrees = local.base == oracle.label(x)
    before = after = torch.ones(len(x), dtype=torch.float64)
    if weighted:
        before, after = torch.from_numpy(rng.random((2, len(x))))
    weights = (before, after) if weighted else ()
    path = radius_path(local.crossing, agrees, neighbor, *weights, bound=bound)
    lengths = alphas(problem, rng)[:-1].tolist()[::3]
    certificates = LocallyBiased(score, oracle, 0.0, norm).certify_path(x, lengths, bound)
    for alpha, certificate in zip(lengths, certificates, strict=True):
        weight = torch.where(~agrees & (alpha > local.crossing), after, before)
        average = (certificate.radius * weight).mean().item()
        assert path(alpha).item() == pytest.approx(average, rel=1e-9, abs=1e-9)
    assert path.knots[0] == 0 and (path.knots.diff() > 0).all()
    limit = (neighbor * torch.where(agrees, before, after)).mean().item()
    assert path(1e12).item() == pytest.approx(limit, rel=1e-9)
    thin = path.thinned(5.0, 0.01)
    inside = torch.cat([path.knots[path.knots < 5.0], torch.tensor([5.0], dtype=torch.float64)])
    assert (thin(inside) - path(inside)).abs().max() <= 0.01
    assert 2 <= len(thin.knots) < len(inside) / 2
    assert (thin.knots[0], thin.knots[-1]) == (0, 5)
    assert torch.equal(path.thinned(5.0, 0.0)(thin.knots), thin.values)


def test_one_point_by_hand():
    agree = radius_path(torch.tensor([2.0]), torch.tensor([True]), torch.tensor([0.5]))
    disagree = radius_path(torch.tensor([2.0]), torch.tensor([False]), torch.tensor([0.5]))
    assert agree([0.0, 1.0, 1.5, 9.0]).tolist() == [2.0, 1.0, 0.5, 0.5]
    assert disagree([0.0, 1.0, 2.0, 2.25, 2.5, 9.0]).tolist() == [2.0, 1.0, 0.0, 0.25, 0.5, 0.5]


def test_infinite_radii_and_unknown_bounds_are_refused():
    with pytest.raises(ValueError, match="bound must be"):
        radius_path(torch.tensor([1.0]), torch.tensor([True]), torch.tensor([1.0]), bound="exact")
    with pytest.raises(ValueError, match="finite"):
        radius_path(torch.tensor([1.0]), torch.tensor([True]), torch.tensor([torch.inf]))
