"""Theorem H for Lipschitz scores: laws, soundness by attack, and numbers."""

import math
import re

import numpy as np
import pytest
import torch
from torch import nn

from lbrs import L2, LinearScore, LipschitzScore, LocallyBiased, NearestNeighborOracle, verify

pytestmark = pytest.mark.usefixtures("one_thread")

ALPHAS = [0.0, 0.4, 3.0]


def kinked(rng, d, norm, pieces=5):
    """max_k (w_k^T x + b_k) - max_k (v_k^T x + c_k): piecewise linear, with max ||w_k||_* + max
    ||v_k||_* as constant."""
    w, v = (torch.from_numpy(rng.normal(size=(pieces, d))) for _ in range(2))
    b, c = (torch.from_numpy(rng.normal(size=pieces)) for _ in range(2))
    return LipschitzScore(
        lambda x: (x @ w.T + b).amax(1) - (x @ v.T + c).amax(1),
        (norm.dual(w).max() + norm.dual(v).max()).item(),
    )


@pytest.mark.parametrize("alpha", ALPHAS)
def test_an_affine_score_has_the_radius_of_theorem_b(draw, rng, norm, alpha):
    points, labels, x = draw(9, 3, 80)
    linear, oracle = LinearScore(rng.normal(size=3), 0.2), NearestNeighborOracle(points, labels)
    plain = LipschitzScore(
        lambda z: z @ linear.weight + linear.bias, norm.dual(linear.weight).item(), rounding=0
    )
    found, expected = (
        LocallyBiased(score, oracle, alpha, norm).certify(x) for score in (plain, linear)
    )
    assert (found.source, found.kind) == (
        "Theorem H",
        "deterministic",
    ) and f"Lipschitz in {norm}" in found.assumption
    assert torch.equal(found.prediction, expected.prediction)
    torch.testing.assert_close(found.radius, expected.radius, rtol=1e-12, atol=1e-12)


def test_alpha_zero_gives_the_score_over_its_constant(rng, norm):
    score, x = kinked(rng, 3, norm), rng.normal(size=(50, 3))
    oracle = NearestNeighborOracle(np.eye(3), [1, -1, 1])
    certificate = LocallyBiased(score, oracle, 0.0, norm).certify(x)
    torch.testing.assert_close(
        certificate.radius, score.value(x).abs() / score.lipschitz, rtol=1e-8, atol=1e-9
    )
    assert (certificate.radius <= score.value(x).abs() / score.lipschitz).all()


@pytest.mark.slow
@pytest.mark.parametrize("alpha", ALPHAS)
def test_no_attack_breaks_a_kinked_score(draw, rng, norm, alpha):
    positive = 0
    for d in (1, 2, 4):
        points, labels, x = draw(7, d, 14)
        model = LocallyBiased(
            kinked(rng, d, norm), NearestNeighborOracle(2 * points, labels), alpha, norm
        )
        certificate = model.certify(x)
        positive += int((certificate.radius > 0).sum())
        assert torch.equal(certificate.prediction, model.predict(x))
        assert verify(
            model, x, certificate, probes=12, generator=torch.Generator().manual_seed(0)
        ).holds
    assert positive > 10


def test_an_understated_constant_is_found_by_the_attack(rng):
    score = kinked(rng, 2, L2)
    lie = LipschitzScore(score.function, score.lipschitz / 6)
    model = LocallyBiased(lie, NearestNeighborOracle([[0.0, 0.0]], [1]), 0.0)
    x = rng.normal(size=(60, 2))
    assert verify(
        model, x, model.certify(x), generator=torch.Generator().manual_seed(0)
    ).broken.any()


def test_the_radius_is_attained_by_the_distance_to_a_set():
    """h = 1 - |x| is 1-Lipschitz and falls as fast as it may: the classifier changes at the
    radius."""
    model = LocallyBiased(
        LipschitzScore(lambda z: 2 - z.abs().sum(1), 1.0, rounding=0),
        NearestNeighborOracle([[0.0], [50.0]], [-1, 1]),
        0.5,
    )
    certificate = model.certify([[0.25]])
    assert (
        certificate.radius.item() == pytest.approx(1.25, rel=1e-12)
        and certificate.prediction.item() == 1
    )
    assert model.predict([[0.25 + 1.25 * 0.9999], [0.25 + 1.25 * 1.0001]]).tolist() == [1, -1]


def test_a_function_that_torch_cannot_differentiate_will_do(draw):
    points, labels, x = draw(6, 2, 20)
    reference = torch.tensor([[0.3, -0.2], [1.0, 1.0]], dtype=torch.float64)
    model = LocallyBiased(
        LipschitzScore(lambda z: 0.8 - torch.cdist(z, reference).amin(1).detach(), 1.0),
        NearestNeighborOracle(points, labels),
        0.3,
    )
    certificate = model.certify(x)
    assert (certificate.radius > 0).any() and verify(
        model, x, certificate, probes=8, generator=torch.Generator().manual_seed(0)
    ).holds


def test_a_relu_network_in_single_precision_is_certified(draw):
    torch.manual_seed(0)
    network = (
        nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 1)).eval().requires_grad_(False)
    )
    K = (
        torch.linalg.matrix_norm(network[0].weight, 2)
        * torch.linalg.matrix_norm(network[2].weight, 2)
    ).item() * 1.0001
    points, labels, x = draw(8, 2, 40)
    model = LocallyBiased(LipschitzScore(network, K), NearestNeighborOracle(points, labels), 0.2)
    certificate = model.certify(x)
    assert "0.0001" in certificate.assumption and (certificate.radius > 0.01).any()
    assert verify(model, x, certificate, probes=8, generator=torch.Generator().manual_seed(0)).holds


def test_a_constant_score_is_certified_everywhere():
    oracle = NearestNeighborOracle([[0.0], [1.0]], [1, -1])
    for value, expected in ((2.0, math.inf), (0.0, 0.0), (-1.0, math.inf)):
        certificate = LocallyBiased(
            LipschitzScore(lambda z, value=value: torch.full_like(z[:, 0], value), 0.0), oracle, 5.0
        ).certify([[0.2]])
        assert certificate.radius.item() == expected and certificate.prediction.item() == (
            1 if value >= 0 else -1
        )


def test_a_larger_alpha_or_constant_never_gains_where_the_base_overrules_the_oracle(rng):
    score, x = kinked(rng, 2, L2), rng.normal(size=(100, 2))
    oracle = NearestNeighborOracle([[0.0, 0.0]], [1])
    radii = [LocallyBiased(score, oracle, alpha).certify(x).radius for alpha in (0.0, 0.05, 0.1)]
    wrong = LocallyBiased(score, oracle, 0.1).predict(x) == -1
    assert (
        wrong.any()
        and (radii[0][wrong] >= radii[1][wrong]).all()
        and (radii[1][wrong] >= radii[2][wrong]).all()
    )
    larger = (
        LocallyBiased(LipschitzScore(score.function, 2 * score.lipschitz), oracle, 0.0)
        .certify(x)
        .radius
    )
    assert (larger <= radii[0]).all()


BASE = LipschitzScore(lambda z: z[:, 0], 1.0)
ORACLE = NearestNeighborOracle([[0.0], [1.0]], [1, -1])


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("lipschitz", lambda: LipschitzScore(torch.sin, -1.0)),
        ("lipschitz", lambda: LipschitzScore(torch.sin, math.nan)),
        ("lipschitz", lambda: LipschitzScore(torch.sin, None)),
        ("function", lambda: LipschitzScore(3.0, 1.0)),
        ("rounding", lambda: LipschitzScore(torch.sin, 1.0, rounding=2)),
        (
            "function",
            lambda: LipschitzScore(
                nn.Sequential(nn.Linear(1, 1), nn.Dropout()).double(), 1.0
            ).value([[1.0]]),
        ),
        ("bound", lambda: LocallyBiased(BASE, ORACLE, 1.0).certify([[0.0]], bound="paper")),
        ("exact", lambda: LocallyBiased(BASE, ORACLE, 1.0).certify([[0.0]], bound="exact")),
        ("confidence", lambda: LocallyBiased(BASE, ORACLE, 1.0).certify([[0.0]], confidence=0)),
    ],
)
def test_a_bad_argument_is_refused_by_name(argument, call):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert re.match(rf"{argument}\b", str(caught.value)), caught.value
