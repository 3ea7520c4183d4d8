"""The paper's statements that no other test holds to their word: Proposition 3, equation (2) and
inequality (6)."""

import numpy as np
import pytest
import torch

from lbrs import L1, L2, LINF, LinearScore, LocallyBiased, NearestNeighborOracle


@pytest.mark.parametrize(
    ("threat", "output"),
    [(L2, LINF), (L1, L2), (LINF, L1)],
    ids=["l2 to linf", "l1 to l2", "linf to l1"],
)
def test_smoothing_with_one_measure_keeps_every_lipschitz_constant(rng, threat, output):
    """g(x) = phi(W x) with |phi'| <= 1 is L-Lipschitz for L = sup{||W d||' : ||d|| <= 1}; so is its
    mean over any one discrete measure (Proposition 3)."""
    W = torch.from_numpy(rng.normal(size=(4, 3)))
    corners = torch.from_numpy(np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T)
    constant = {L1: output(W.T).max(), L2: threat.dual(W).max(), LINF: output(corners @ W.T).max()}[
        threat
    ].item()
    noise, share = (
        torch.from_numpy(rng.normal(size=(5, 3)) * 2),
        torch.from_numpy(rng.dirichlet(np.ones(5))),
    )
    x, z = (torch.from_numpy(rng.normal(size=(2000, 3))) for _ in range(2))

    def smoothed(x):
        return sum(p * torch.tanh((x + eps) @ W.T) for p, eps in zip(share, noise, strict=True))

    assert (output(smoothed(x) - smoothed(z)) <= constant * threat(x - z) * (1 + 1e-12)).all()
    steepest = output(smoothed(x) - smoothed(z)) / threat(x - z)
    assert steepest.max() > 0.05 * constant


def test_a_linear_score_sees_only_the_mean_of_the_measure(rng):
    score = LinearScore([1.5, -0.5, 2.0], bias=0.3)
    x, noise = (
        torch.from_numpy(rng.normal(size=(6, 3))),
        torch.from_numpy(rng.normal(size=(6, 7, 3))),
    )
    share = torch.from_numpy(rng.dirichlet(np.ones(7), size=6))
    expected = (share * score.value((x[:, None] + noise).flatten(0, 1)).reshape(6, 7)).sum(1)
    mean = (share[..., None] * noise).sum(1)
    assert torch.allclose(expected, score.value(x) + mean @ score.weight, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.7])
def test_inside_the_radius_the_smoothed_score_changes_by_less_than_itself(draw, rng, norm, alpha):
    points, labels, x = (torch.from_numpy(values) for values in draw(12, 3, 40))
    model = LocallyBiased(
        LinearScore(rng.normal(size=3), 0.1), NearestNeighborOracle(points, labels), alpha, norm
    )
    radius, value = model.certify(x, "paper").radius, model.score(x)
    direction = torch.from_numpy(rng.normal(size=(50, 40, 3)))
    step = (
        direction
        / norm(direction)[..., None]
        * radius[:, None]
        * torch.from_numpy(rng.uniform(size=(50, 40, 1)))
    )
    moved = torch.stack([model.score(x + part) for part in step])
    assert ((moved - value).abs() < value.abs()).all()
    assert ((moved - value).abs() / value.abs()).max() > 0.5
