"""What the caller does to his arrays after construction changes no model and no certificate."""

import numpy as np
import pytest
import torch
from torch import nn

from lbrs import (
    L2,
    AffineScores,
    ClassOracle,
    ClassScores,
    LinearScore,
    LocallyBiased,
    MulticlassLocallyBiased,
    NearestNeighborOracle,
    curvature,
)

POINTS, LABELS = [[0.0, 1.0], [2.0, -1.0], [1.0, 3.0]], [1.0, -1.0, 1.0]
X = [[0.3, 0.4], [1.5, -0.5]]


def linear(cast):
    given = [cast([1.0, -0.5]), cast(POINTS), cast(LABELS)]
    oracle = NearestNeighborOracle(given[1], given[2])
    return given, LocallyBiased(LinearScore(given[0], 0.1), oracle, 0.5)


def classes(cast):
    given = [cast([[1.0, 0.0], [0.0, 1.0]]), cast([0.0, 0.1]), cast(POINTS), cast([0.0, 1.0, 0.0])]
    scores, oracle = AffineScores(*given[:2]), ClassOracle(*given[2:])
    return given, MulticlassLocallyBiased(scores, oracle, 0.5)


def constants(cast):
    given = [cast([[0.0, 2.0], [2.0, 0.0]]), cast(POINTS), cast([0.0, 1.0, 0.0])]
    scores, oracle = ClassScores(lambda x: x, given[0]), ClassOracle(*given[1:])
    return given, MulticlassLocallyBiased(scores, oracle, 0.5)


@pytest.mark.parametrize(
    "cast", [np.array, lambda v: torch.tensor(v, dtype=torch.float64)], ids=["numpy", "torch"]
)
@pytest.mark.parametrize("make", [linear, classes, constants])
@pytest.mark.parametrize("used", [False, True])
def test_arrays_changed_after_construction_change_nothing(make, cast, used):
    given, model = make(cast)
    expected = make(cast)[1].certify(X)
    if used:
        model.certify(X)
    for array in given:
        array *= -3
        array += 1
    found = model.certify(X)
    assert torch.equal(found.radius, expected.radius)
    assert torch.equal(found.prediction, expected.prediction)
    assert torch.equal(model.predict(X), expected.prediction)


def test_labels_of_a_class_oracle_are_its_own():
    labels = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    oracle = ClassOracle(POINTS, labels)
    before = oracle.radii(X, L2, 2)
    labels += 1
    assert torch.equal(oracle.radii(X, L2, 2), before)


def test_public_arrays_of_an_oracle_are_copies():
    oracle = NearestNeighborOracle(POINTS, LABELS)
    before = oracle.label(X), oracle.radius(X, L2)
    oracle.points.mul_(0)
    oracle.labels.mul_(-1)
    assert torch.equal(oracle.label(X), before[0]) and torch.equal(oracle.radius(X, L2), before[1])


def test_a_network_trained_on_after_its_constant_was_proved_changes_nothing():
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    score = curvature.smooth_score(network, (2,), L2)
    model = LocallyBiased(score, NearestNeighborOracle(POINTS, LABELS), 0.5)
    before = model.certify(X).radius
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(100)
    assert torch.equal(model.certify(X).radius, before)
