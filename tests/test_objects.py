"""Models, scores and oracles as objects: what they predict, say, move to and refuse."""

import numpy as np
import pytest
import torch

from lbrs import (
    L2,
    LINF,
    AffineScores,
    ClassOracle,
    ClassScores,
    CohenScore,
    GaussianScore,
    LinearScore,
    LipschitzScore,
    LocallyBiased,
    MulticlassLocallyBiased,
    NearestNeighborOracle,
    NormalSmoothing,
    ProbabilityMargin,
    Score,
)

POINTS, X = [[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]], [[1.0, 0.5], [3.0, 0.5], [0.5, 3.0]]
ORACLE, CLASSES = NearestNeighborOracle(POINTS, [1, -1, -1]), ClassOracle(POINTS, [0, 1, 2])
ELSEWHERE = torch.device("cpu", 0)
"""The same processor under another name, so that everything is moved."""


def network(last: int = 1) -> torch.nn.Module:
    torch.manual_seed(0)
    layers = torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, last)
    return torch.nn.Sequential(*layers).double()


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


MODELS = {
    "linear": lambda: LocallyBiased(LinearScore([1.0, -1.0], 0.3), ORACLE, 0.5, LINF),
    "smooth": lambda: LocallyBiased(Score(network(), 9.0), ORACLE, 0.5),
    "margin": lambda: LocallyBiased(ProbabilityMargin(network(), 9.0), ORACLE, 0.5),
    "lipschitz": lambda: LocallyBiased(LipschitzScore(network(), 9.0), ORACLE, 0.5),
    "classes": lambda: MulticlassLocallyBiased(ClassScores(network(3), 9.0), CLASSES, 0.5),
    "affine": lambda: MulticlassLocallyBiased(AffineScores(np.eye(2), [0, 0.5]), TWO, 0.5, LINF),
}
TWO = ClassOracle(POINTS[:2], [0, 1])
RANDOM = {
    "cohen": lambda: LocallyBiased(CohenScore(network(), 0.5, 50, seeded()), ORACLE, 0.5),
    "gaussian": lambda: LocallyBiased(
        GaussianScore(ProbabilityMargin(network()), 0.5, 50, seeded()), ORACLE, 0.5
    ),
    "normal": lambda: NormalSmoothing(ProbabilityMargin(network()), 0.5, 50, seeded()),
}


@pytest.mark.parametrize("make", [*MODELS.values(), *RANDOM.values()], ids=[*MODELS, *RANDOM])
def test_predictions_are_integers_that_index_a_list(make):
    model = make()
    certificate = model.certify(X)
    assert certificate.prediction.dtype == model.predict(X).dtype == torch.int64
    count = certificate.classes
    names = ["?", "+", "-"] if count is None else [*"abc"[:count], "?"]
    told = [names[label] for label in certificate.prediction]
    assert [name == "?" for name in told] == certificate.abstains.tolist()
    if count is None:
        assert [{"+": 1, "-": -1, "?": 0}[name] for name in told] == certificate.prediction.tolist()


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_on_another_device_a_model_is_the_same(make):
    model = make()
    moved = model.to(ELSEWHERE)
    assert type(moved) is type(model) and moved is not model
    assert torch.equal(moved.predict(X), model.predict(X))
    assert torch.equal(moved.certify(X).radius, model.certify(X).radius)
    assert torch.equal(moved.score(X), model.score(X))


@pytest.mark.parametrize("make", RANDOM.values(), ids=RANDOM)
def test_what_draws_moves_with_its_base_and_starts_from_its_seed(make):
    model = make()
    moved = model.to(ELSEWHERE)
    parts = [moved.base, getattr(moved.base, "base", moved.base)]
    assert all(part.device == ELSEWHERE for part in parts)
    assert torch.equal(moved.certify(X).radius, model.certify(X).radius)


def test_moving_a_score_leaves_the_module_where_it_was():
    module = network()
    score = Score(module, 9.0)
    assert score.to("cpu") is score
    moved = score.to(ELSEWHERE)
    assert score.function is module and moved.function is not module
    with torch.no_grad():
        module[0].weight.zero_()
    assert not torch.equal(moved.value(X), score.value(X))


@pytest.mark.parametrize("make", [*MODELS.values(), *RANDOM.values()], ids=[*MODELS, *RANDOM])
def test_a_model_says_what_it_is(make):
    model = make()
    told = repr(model)
    assert told.startswith(f"{type(model).__name__}({model.base!r}") and "object at" not in told
    assert len(told) < 200 and "\n" not in told
    for part in ("alpha", "sigma"):
        assert not hasattr(model, part) or f"{part}={getattr(model, part):g}" in told
    assert not hasattr(model, "oracle") or repr(model.oracle) in told


def test_names_are_those_of_the_parts():
    assert repr(ORACLE) == "NearestNeighborOracle(3 points of shape (2,), k=1)"
    assert repr(CLASSES) == "ClassOracle(3 points of shape (2,), 3 classes)"
    assert repr(LinearScore([1.0, 2.0], 0.5)) == "LinearScore(weight of shape (2,), bias=0.5)"


@pytest.mark.parametrize("name", ["linear", "smooth", "margin", "lipschitz"])
@pytest.mark.parametrize("bound", ["sharp", "exact"])
def test_a_confidence_is_refused_where_nothing_is_random(name, bound):
    with pytest.raises(ValueError, match=r"^confidence must be None .*deterministic, got 0\.99"):
        MODELS[name]().certify(X, bound, confidence=0.99)


@pytest.mark.parametrize("name", ["cohen", "gaussian"])
def test_a_confidence_is_taken_where_something_is(name):
    assert RANDOM[name]().certify(X).confidence == 0.999
    assert RANDOM[name]().certify(X, confidence=0.9).confidence == 0.9


@pytest.mark.parametrize(
    "score, oracle, told",
    [
        (network(3), CLASSES, "^score must be ClassScores, got Sequential; wrap"),
        (Score(network()), CLASSES, "^score must be ClassScores, got Score"),
        (ClassScores(network(3), 1.0), ORACLE, "^oracle must be a ClassOracle, got Nearest"),
    ],
)
def test_several_classes_take_a_score_and_an_oracle(score, oracle, told):
    with pytest.raises(TypeError, match=told):
        MulticlassLocallyBiased(score, oracle, 0.5, L2)
