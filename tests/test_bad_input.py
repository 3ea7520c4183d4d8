"""Every bad argument is refused with a message that begins with its name."""

import math
import re

import numpy as np
import pytest
import torch

from lbrs import L2, LINF, Certificate, LinearScore, LocallyBiased, NearestNeighborOracle, NormalSmoothing, Norm, ProbabilityMargin, Score
from lbrs.montecarlo import clopper_pearson

pytestmark = pytest.mark.usefixtures("one_thread")

POINTS, LABELS = [[0.0, 0.0], [4.0, 0.0]], [1, -1]
ORACLE = NearestNeighborOracle(POINTS, LABELS)
LINEAR = LinearScore([1.0, 0.0], -1.5)
SMOOTH = Score(lambda x: x.sin().sum(1), gradient_lipschitz=1.0)
MODEL = LocallyBiased(LINEAR, ORACLE, 0.5)
NORMAL = NormalSmoothing(ProbabilityMargin(lambda x: x.sum(1)), 0.5, 20, torch.Generator().manual_seed(0))
CERTIFICATE = Certificate(torch.ones(2), torch.ones(2), L2, "deterministic", "Theorem 6", "g is affine")

NOT_REAL = {"nan": [[0.0, math.nan]], "inf": [[math.inf, 0.0]], "-inf tensor": torch.tensor([[0.0, -math.inf]]), "complex": [[1j, 0]], "complex tensor": torch.zeros(1, 2) * 1j,
            "bool": [[True, False]], "bool tensor": torch.zeros(1, 2, dtype=torch.bool), "ragged": [[1.0, 2.0], [3.0]], "words": [["a", "b"]], "digits as text": np.array([["1", "2"]]),
            "objects": np.array([[1.0, None]]), "none": None, "dictionary": {"x": 1}, "text": "points", "date": np.array([["2020-01-01", "2020-01-02"]], dtype="datetime64")}
NOT_TWO = {"single point": [0.0, 0.0], "number": 1.0, "three features": [[0.0, 0.0, 0.0]], "image": np.zeros((1, 2, 1)), "no features": np.zeros((1, 0)), "empty list": []}
NOT_NUMBER = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "text": "1", "bool": True, "numpy bool": np.True_, "none": None, "complex": 1j, "list": [1.0], "vector": np.ones(2),
              "vector tensor": torch.ones(2), "beyond float": 10**400}
NOT_NORM = {"text": "l2", "number": 2, "none": None, "class": Norm, "function": np.linalg.norm}
NOT_LABELS = {"0": [1, 0], "2": [2, -1], "nan": [math.nan, 1], "inf": [math.inf, 1], "half": [1, 0.5], "bool": [True, False], "text": ["1", "-1"], "too few": [1], "too many": [1, 1, -1],
              "column": [[1], [-1]], "none": None, "number": 1, "ragged": [[1], [1, -1]]}
ENTRIES = {"score": MODEL.score, "predict": MODEL.predict, "certify": MODEL.certify, "label": ORACLE.label, "nearest": ORACLE.nearest, "radius": lambda x: ORACLE.radius(x, L2),
           "linear value": LINEAR.value, "linear gradient": LINEAR.value_and_gradient, "linearize": lambda x: LINEAR.linearize(x, L2)}
LOOSE = {"value": SMOOTH.value, "gradient": SMOOTH.value_and_gradient, "normal score": NORMAL.score, "normal predict": NORMAL.predict, "normal certify": NORMAL.certify}


def cases():
    def case(argument, call, *name):
        return pytest.param(argument, call, id="-".join((argument, *name)))

    for kind, bad in NOT_REAL.items():
        for entry, call in (ENTRIES | LOOSE).items():
            yield case("x", lambda c=call, b=bad: c(b), entry, kind)
        yield case("points", lambda b=bad: NearestNeighborOracle(b, [1]), kind)
        yield case("weight", lambda b=bad: LinearScore(b), kind)
    for kind, bad in NOT_TWO.items():
        for entry, call in ENTRIES.items():
            yield case("x", lambda c=call, b=bad: c(b), entry, kind)
    for kind in ("single point", "number", "empty list", "no features"):
        for entry, call in LOOSE.items():
            yield case("x", lambda c=call, b=NOT_TWO[kind]: c(b), entry, kind)
        yield case("points", lambda b=NOT_TWO[kind]: NearestNeighborOracle(b, [1]), kind)
    yield case("points", lambda: NearestNeighborOracle(np.zeros((0, 2)), []), "empty")
    for kind, bad in NOT_LABELS.items():
        yield case("labels", lambda b=bad: NearestNeighborOracle(POINTS, b), kind)
        yield case("y", lambda b=bad: CERTIFICATE.accuracy(b), kind)
    for kind, bad in (NOT_NUMBER | {"negative": -1e-9}).items():
        yield case("alpha", lambda b=bad: LocallyBiased(LINEAR, ORACLE, b), kind)
        yield case("radius", lambda b=bad: CERTIFICATE.accuracy([1, -1], b), kind)
        if bad is not None:
            yield case("gradient_lipschitz", lambda b=bad: Score(torch.sin, b), kind)
            yield case("gradient_lipschitz", lambda b=bad: ProbabilityMargin(torch.sin, b), "margin", kind)
    for kind, bad in NOT_NUMBER.items():
        yield case("bias", lambda b=bad: LinearScore([1.0], b), kind)
    for kind, bad in (NOT_NUMBER | {"zero": 0, "negative": -1}).items():
        yield case("sigma", lambda b=bad: NormalSmoothing(LINEAR, b), kind)
        if kind == "beyond float":
            continue
        yield case("samples", lambda b=bad: NormalSmoothing(LINEAR, 1.0, b), kind)
        yield case("batch_size", lambda b=bad: Score(torch.sin, batch_size=b), kind)
        yield case("k", lambda b=bad: NearestNeighborOracle(POINTS, LABELS, b), kind)
    yield case("k", lambda: NearestNeighborOracle(POINTS, LABELS, 3), "three")
    yield case("samples", lambda: NormalSmoothing(LINEAR, 1.0, 10.0), "float")
    for kind, bad in (NOT_NUMBER | {"zero": 0, "one": 1, "percent": 95, "negative": -0.5}).items():
        yield case("confidence", lambda b=bad: NORMAL.certify([[0.0, 0.0]], b), kind)
        yield case("confidence", lambda b=bad: clopper_pearson(1, 2, b), "clopper_pearson", kind)
        yield case("error", lambda b=bad: NormalSmoothing(LINEAR, 1.0, error=b), kind)
    for kind, bad in {"less than 1": 0.5, "zero": 0, "negative": -2, **{k: v for k, v in NOT_NUMBER.items() if k != "inf"}}.items():
        yield case("p", lambda b=bad: Norm(b), kind)
    for kind, bad in NOT_NORM.items():
        yield case("norm", lambda b=bad: LocallyBiased(LINEAR, ORACLE, 0.5, b), kind)
        yield case("norm", lambda b=bad: ORACLE.radius(POINTS, b), "radius", kind)
    for bad in ("best", "Paper", "", None, 6):
        yield case("bound", lambda b=bad: MODEL.certify(POINTS, bound=b), repr(bad))
    for bad in (torch.sin, None, ORACLE, "linear"):
        yield case("score", lambda b=bad: LocallyBiased(b, ORACLE, 0.5), type(bad).__name__)
        yield case("score", lambda b=bad: NormalSmoothing(b, 0.5), "normal", type(bad).__name__)
    for bad in (LINEAR, None, LABELS):
        yield case("oracle", lambda b=bad: LocallyBiased(LINEAR, b, 0.5), type(bad).__name__)
    yield case("score", lambda: LocallyBiased(LinearScore([1.0, 2.0, 3.0]), ORACLE, 0.5), "three features")
    yield case("score", lambda: LocallyBiased(LinearScore([[1.0], [2.0]]), ORACLE, 0.5), "image")
    yield case("score", lambda: NormalSmoothing(LinearScore([9.0, 9.0]), 0.5, 10).score([[9.0, 9.0]]), "outside [-1, 1]")
    yield case("generator", lambda: NormalSmoothing(LINEAR, 0.5, 10, 0), "seed")
    yield case("function", lambda: Score(3.0), "number")
    yield case("weight", lambda: LinearScore(1.0), "number")
    yield case("weight", lambda: LinearScore([]), "empty")
    yield case("trials", lambda: clopper_pearson(0, 0), "zero")
    yield case("successes", lambda: clopper_pearson(3, 2), "too many")
    yield case("successes", lambda: clopper_pearson(-1, 2), "negative")
    for kind, function in {"vector": lambda x: x, "mean": lambda x: x.mean(), "array": lambda x: x.sum(1).numpy(), "list": lambda x: x.tolist(), "two columns": lambda x: x[:, :2],
                           "too few": lambda x: x.sum(1)[1:], "nan": lambda x: x.sum(1) / 0 * 0, "inf": lambda x: x.sum(1) + math.inf}.items():
        yield case("function", lambda f=function: Score(f).value(np.ones((3, 2))), kind)
    for kind, function in {"constant": lambda x: torch.ones(len(x)), "cut off": lambda x: x.detach().sum(1), "no finite gradient": lambda x: x.square().sum(1).sqrt()}.items():
        yield case("function", lambda f=function: Score(f).value_and_gradient(np.zeros((3, 2))), kind)
        yield case("function", lambda f=function: LocallyBiased(Score(f, 1.0), ORACLE, 1.0).certify(np.zeros((3, 2))), "certify", kind)
    yield case("gradient_lipschitz", lambda: LocallyBiased(Score(lambda x: x.sin().sum(1)), ORACLE, 1.0).certify(POINTS), "none at certify")


@pytest.mark.parametrize(("argument", "call"), list(cases()))
def test_bad_argument_is_refused_by_name(argument, call):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert re.match(rf"{argument}\b", str(caught.value))


@pytest.mark.parametrize(("call", "given"), [
    (lambda: LocallyBiased(LINEAR, ORACLE, -0.25), "-0.25"), (lambda: NearestNeighborOracle(POINTS, [1, 3]), "got 3"), (lambda: MODEL.certify(POINTS, bound="best"), "'best'"),
    (lambda: Norm(0.5), "0.5"), (lambda: MODEL.predict([[1.0, 2.0, 3.0]]), r"\(1, 3\)"), (lambda: MODEL.predict([1.0, 2.0]), r"x\[None\]"),
    (lambda: MODEL.predict([[math.nan, 0.0]]), "1 NaN or infinite of 2"), (lambda: LocallyBiased(LINEAR, ORACLE, 1, "l2"), "LINF"), (lambda: LocallyBiased(torch.sin, ORACLE, 1), r"Score\(function\)"),
])
def test_message_says_what_was_given_or_what_to_do(call, given):
    with pytest.raises((ValueError, TypeError), match=given):
        call()


@pytest.mark.parametrize("cast", [np.int64, np.uint8, np.float32, torch.int32, torch.float32, torch.float64, list])
def test_any_real_type_of_input_gives_the_same_double_precision_certificate(cast):
    def as_given(values):
        values = np.array(values)
        return values.tolist() if cast is list else torch.from_numpy(values).to(cast) if isinstance(cast, torch.dtype) else values.astype(cast)

    whole = [[1, 0], [3, 2], [2, 5]]
    model = LocallyBiased(LinearScore(as_given([2, 1]), 1), NearestNeighborOracle(as_given([[0, 0], [4, 0]]), [1, -1]), 1, LINF)
    expected = LocallyBiased(LinearScore([2.0, 1.0], 1.0), NearestNeighborOracle(POINTS, [1.0, -1.0]), 1.0, LINF).certify(np.array(whole, float))
    certificate = model.certify(as_given(whole))
    assert certificate.radius.dtype == certificate.prediction.dtype == model.score(as_given(whole)).dtype == torch.float64
    assert torch.equal(certificate.radius, expected.radius) and torch.equal(certificate.prediction, expected.prediction)


def test_numbers_may_be_of_any_real_type():
    for one in (1, 1.0, np.float32(1), np.int8(1), np.array(1.0), torch.tensor(1), torch.tensor(1.0)):
        assert LocallyBiased(LINEAR, ORACLE, one).alpha == NormalSmoothing(LINEAR, one).sigma == Norm(one).p == Score(torch.sin, one).gradient_lipschitz == 1.0
