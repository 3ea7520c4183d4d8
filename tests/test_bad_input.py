"""Every bad argument is refused with a message that begins with its name."""

import math
import re
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision import tv_tensors

from lbrs import (
    L2,
    LINF,
    AffineScores,
    Certificate,
    ClassOracle,
    LinearScore,
    LocallyBiased,
    NearestNeighborOracle,
    Norm,
    NormalSmoothing,
    ProbabilityMargin,
    Score,
    _checks,
    cohen_certificate,
)
from lbrs.montecarlo import clopper_pearson

pytestmark = pytest.mark.usefixtures("one_thread")

POINTS, LABELS = [[0.0, 0.0], [4.0, 0.0]], [1, -1]
ORACLE = NearestNeighborOracle(POINTS, LABELS)
LINEAR = LinearScore([1.0, 0.0], -1.5)
SMOOTH = Score(lambda x: x.sin().sum(1), gradient_lipschitz=1.0)
MODEL = LocallyBiased(LINEAR, ORACLE, 0.5)
NORMAL = NormalSmoothing(
    ProbabilityMargin(lambda x: x.sum(1)), 0.5, 20, torch.Generator().manual_seed(0)
)
CERTIFICATE = Certificate(
    torch.ones(2), torch.ones(2), L2, "deterministic", "Theorem 6", "g is affine"
)

NOT_REAL = {
    "nan": [[0.0, math.nan]],
    "inf": [[math.inf, 0.0]],
    "-inf tensor": torch.tensor([[0.0, -math.inf]]),
    "complex": [[1j, 0]],
    "complex tensor": torch.zeros(1, 2) * 1j,
    "bool": [[True, False]],
    "bool tensor": torch.zeros(1, 2, dtype=torch.bool),
    "ragged": [[1.0, 2.0], [3.0]],
    "words": [["a", "b"]],
    "digits as text": np.array([["1", "2"]]),
    "objects": np.array([[1.0, None]]),
    "none": None,
    "dictionary": {"x": 1},
    "text": "points",
    "date": np.array([["2020-01-01", "2020-01-02"]], dtype="datetime64"),
}
NOT_TWO = {
    "single point": [0.0, 0.0],
    "number": 1.0,
    "three features": [[0.0, 0.0, 0.0]],
    "image": np.zeros((1, 2, 1)),
    "no features": np.zeros((1, 0)),
    "empty list": [],
}
NOT_NUMBER = {
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "text": "1",
    "bool": True,
    "numpy bool": np.True_,
    "none": None,
    "complex": 1j,
    "list": [1.0],
    "vector": np.ones(2),
    "vector tensor": torch.ones(2),
    "beyond float": 10**400,
}
NOT_NORM = {"text": "l2", "number": 2, "none": None, "class": Norm, "function": np.linalg.norm}
NOT_LABELS = {
    "0": [1, 0],
    "2": [2, -1],
    "nan": [math.nan, 1],
    "inf": [math.inf, 1],
    "half": [1, 0.5],
    "bool": [True, False],
    "text": ["1", "-1"],
    "too few": [1],
    "too many": [1, 1, -1],
    "column": [[1], [-1]],
    "none": None,
    "number": 1,
    "ragged": [[1], [1, -1]],
}


def without_data(values):
    """`values` (n, m) or (n,) in the kinds of tensor that have no number for each entry, with what
    a message must say of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = torch.tensor(values, dtype=torch.float32)
        kinds = {
            "sparse": (values.to_sparse(), "layout torch.sparse_coo"),
            "meta": (values.to("meta"), "device meta"),
            "quantized": (
                torch.quantize_per_tensor(values, 0.1, 0, torch.qint8),
                "the quantized dtype torch.qint8",
            ),
            "masked": (torch.masked.masked_tensor(values, values > 0), "a MaskedTensor"),
            "fake": (FakeTensorMode().from_tensor(values), "a FakeTensor"),
            "mkldnn": (values.to_mkldnn(), "layout torch._mkldnn"),
        }
        if values.ndim == 2:
            kinds |= {
                "compressed": (values.to_sparse_csr(), "layout torch.sparse_csr"),
                "nested": (torch.nested.nested_tensor(list(values)), "a nested tensor"),
                "jagged": (
                    torch.nested.nested_tensor(list(values), layout=torch.jagged),
                    "a nested tensor",
                ),
            }
        return kinds


ENTRIES = {
    "score": MODEL.score,
    "predict": MODEL.predict,
    "certify": MODEL.certify,
    "label": ORACLE.label,
    "nearest": ORACLE.nearest,
    "radius": lambda x: ORACLE.radius(x, L2),
    "linear value": LINEAR.value,
    "linear gradient": LINEAR.value_and_gradient,
    "linearize": lambda x: LINEAR.linearize(x, L2),
}
LOOSE = {
    "value": SMOOTH.value,
    "gradient": SMOOTH.value_and_gradient,
    "normal score": NORMAL.score,
    "normal predict": NORMAL.predict,
    "normal certify": NORMAL.certify,
}


POSITIVE = NOT_NUMBER | {"zero": 0, "negative": -1}
NOT_SHARE = NOT_NUMBER | {"zero": 0, "one": 1, "percent": 95, "negative": -0.5}
NOT_EXPONENT = {"less than 1": 0.5, "zero": 0, "negative": -2, **NOT_NUMBER}
del NOT_EXPONENT["inf"]
NOT_OUTPUT = {
    "vector": lambda x: x.repeat(1, 2),
    "mean": lambda x: x.mean(),
    "array": lambda x: x.sum(1).numpy(),
    "list": lambda x: x.tolist(),
    "three columns": lambda x: x[:, [0, 1, 1]],
    "too few": lambda x: x.sum(1)[1:],
    "nan": lambda x: x.sum(1) / 0 * 0,
    "inf": lambda x: x.sum(1) + math.inf,
}
NOT_GRADIENT = {
    "constant": lambda x: torch.ones(len(x)),
    "cut off": lambda x: x.detach().sum(1),
    "no finite gradient": lambda x: x.square().sum(1).sqrt(),
}
NOT_RADII = {
    "words": ["a", "b"],
    "none": None,
    "bool": [True, True],
    "complex": [1j, 1],
    "ragged": [[1.0], 1.0],
    "dictionary": {},
    "nan": [math.nan, 1.0],
    "-inf": [-math.inf, 1.0],
    "too few": [1.0],
    "column": [[1.0], [1.0]],
}


def case(argument, call, *name):
    return pytest.param(argument, call, id="-".join((argument, *name)))


def points_and_labels():
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
    masked = np.ma.masked_array(POINTS, mask=[[True, False], [False, False]])
    yield case("x", lambda: MODEL.certify(masked), "masked array")
    for kind, bad in NOT_LABELS.items():
        yield case("labels", lambda b=bad: NearestNeighborOracle(POINTS, b), kind)
        yield case("y", lambda b=bad: CERTIFICATE.accuracy(b), kind)


def numbers():
    for kind, bad in (NOT_NUMBER | {"negative": -1e-9}).items():
        yield case("alpha", lambda b=bad: LocallyBiased(LINEAR, ORACLE, b), kind)
        yield case("radius", lambda b=bad: CERTIFICATE.accuracy([1, -1], b), kind)
        if bad is None:
            continue
        yield case("gradient_lipschitz", lambda b=bad: Score(torch.sin, b), kind)
        margin = partial(ProbabilityMargin, torch.sin, bad)
        yield case("gradient_lipschitz", margin, "margin", kind)
    for kind, bad in NOT_NUMBER.items():
        yield case("bias", lambda b=bad: LinearScore([1.0], b), kind)
    for kind, bad in POSITIVE.items():
        yield case("sigma", lambda b=bad: NormalSmoothing(LINEAR, b), kind)
    for kind, bad in NOT_SHARE.items():
        yield case("confidence", lambda b=bad: NORMAL.certify([[0.0, 0.0]], b), kind)
        yield case("confidence", lambda b=bad: clopper_pearson(1, 2, b), "clopper_pearson", kind)
        yield case("error", lambda b=bad: NormalSmoothing(LINEAR, 1.0, error=b), kind)
    for kind, bad in NOT_EXPONENT.items():
        yield case("p", lambda b=bad: Norm(b), kind)
    for kind, bad in NOT_RADII.items():
        call = partial(cohen_certificate, [3, 4], 9, 1.0, [1, 1], bad, 0.5)
        yield case("neighbor", call, kind)
    one = torch.ones(())
    for kind, bad in {"sparse": one.to_sparse(), "meta": one.to("meta")}.items():
        yield case("alpha", lambda b=bad: LocallyBiased(LINEAR, ORACLE, b), kind)


def counts():
    for kind, bad in POSITIVE.items():
        if kind == "beyond float":
            continue
        yield case("samples", lambda b=bad: NormalSmoothing(LINEAR, 1.0, b), kind)
        yield case("batch_size", lambda b=bad: Score(torch.sin, batch_size=b), kind)
        yield case("k", lambda b=bad: NearestNeighborOracle(POINTS, LABELS, b), kind)
    yield case("k", lambda: NearestNeighborOracle(POINTS, LABELS, 3), "three")
    yield case("samples", lambda: NormalSmoothing(LINEAR, 1.0, 10.0), "float")
    yield case("trials", lambda: clopper_pearson(0, 0), "zero")
    yield case("successes", lambda: clopper_pearson(3, 2), "too many")
    yield case("successes", lambda: clopper_pearson(-1, 2), "negative")


def choices():
    for kind, bad in NOT_NORM.items():
        yield case("norm", lambda b=bad: LocallyBiased(LINEAR, ORACLE, 0.5, b), kind)
        yield case("norm", lambda b=bad: ORACLE.radius(POINTS, b), "radius", kind)
    for bad in ("best", "Paper", "", None, 6):
        yield case("bound", lambda b=bad: MODEL.certify(POINTS, bound=b), repr(bad))
    for bad in (torch.sin, None, ORACLE, "linear"):
        kind = type(bad).__name__
        yield case("score", lambda b=bad: LocallyBiased(b, ORACLE, 0.5), kind)
        yield case("score", lambda b=bad: NormalSmoothing(b, 0.5), "normal", kind)
    for bad in (LINEAR, None, LABELS):
        yield case("oracle", lambda b=bad: LocallyBiased(LINEAR, b, 0.5), type(bad).__name__)
    for kind, weight in {"three features": [1.0, 2.0, 3.0], "image": [[1.0], [2.0]]}.items():
        score = LinearScore(weight)
        yield case("score", lambda s=score: LocallyBiased(s, ORACLE, 0.5), kind)
    outside = NormalSmoothing(LinearScore([9.0, 9.0]), 0.5, 10)
    yield case("score", lambda: outside.score([[9.0, 9.0]]), "outside [-1, 1]")
    yield case("generator", lambda: NormalSmoothing(LINEAR, 0.5, 10, 0), "seed")
    yield case("weight", lambda: LinearScore(1.0), "number")
    yield case("weight", lambda: LinearScore([]), "empty")


def functions():
    yield case("function", lambda: Score(3.0), "number")
    for kind, function in NOT_OUTPUT.items():
        yield case("function", lambda f=function: Score(f).value(np.ones((3, 2))), kind)
    for kind, function in NOT_GRADIENT.items():
        value = partial(Score(function).value_and_gradient, np.zeros((3, 2)))
        yield case("function", value, kind)
        model = LocallyBiased(Score(function, 1.0), ORACLE, 1.0)
        kinked = kind == "no finite gradient"  # its square root is a kink as well
        argument = "(gradient_lipschitz|function)" if kinked else "function"
        yield case(argument, partial(model.certify, np.zeros((3, 2))), "certify", kind)
    unknown = LocallyBiased(Score(lambda x: x.sin().sum(1)), ORACLE, 1.0)
    yield case("gradient_lipschitz", lambda: unknown.certify(POINTS), "none at certify")


CASES = [*points_and_labels(), *numbers(), *counts(), *choices(), *functions()]


@pytest.mark.parametrize(("argument", "call"), CASES)
def test_bad_argument_is_refused_by_name(argument, call):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert re.match(rf"{argument}\b", str(caught.value))


@pytest.mark.parametrize(
    ("call", "given"),
    [
        (lambda: LocallyBiased(LINEAR, ORACLE, -0.25), "-0.25"),
        (lambda: NearestNeighborOracle(POINTS, [1, 3]), "got 3"),
        (lambda: MODEL.certify(POINTS, bound="best"), "'best'"),
        (lambda: Norm(0.5), "0.5"),
        (lambda: MODEL.predict([[1.0, 2.0, 3.0]]), r"\(1, 3\)"),
        (lambda: MODEL.predict([1.0, 2.0]), r"x\[None\]"),
        (lambda: MODEL.predict([[math.nan, 0.0]]), "1 NaN or infinite of 2"),
        (lambda: LocallyBiased(LINEAR, ORACLE, 1, "l2"), "LINF"),
        (lambda: LocallyBiased(torch.sin, ORACLE, 1), r"Score\(function\)"),
    ],
)
def test_message_says_what_was_given_or_what_to_do(call, given):
    with pytest.raises((ValueError, TypeError), match=given):
        call()


DOORS = {
    "x": [lambda bad, c=call: c(bad) for call in (ENTRIES | LOOSE).values()],
    "points": [
        lambda bad: NearestNeighborOracle(bad, LABELS),
        lambda bad: ClassOracle(bad, [0, 1]),
    ],
    "weight": [
        LinearScore,
        lambda bad: AffineScores(bad, [0, 0]),
    ],
    "labels": [
        lambda bad: NearestNeighborOracle(POINTS, bad),
        lambda bad: ClassOracle(POINTS, bad),
    ],
    "y": [CERTIFICATE.accuracy],
    "counts": [lambda bad: cohen_certificate(bad, 9, 1.0, [1, 1], [1.0, 1.0], 0.5)],
    "label": [lambda bad: cohen_certificate([3, 4], 9, 1.0, bad, [1.0, 1.0], 0.5)],
    "neighbor": [lambda bad: cohen_certificate([3, 4], 9, 1.0, [1, 1], bad, 0.5)],
}


@pytest.mark.parametrize("argument", DOORS)
def test_a_tensor_without_a_number_for_each_entry_is_refused_by_name_and_kind(argument):
    for bad, told in without_data(
        [[1.0, 2.0], [3.0, 4.0]] if argument in ("x", "points", "weight") else [1.0, 1.0]
    ).values():
        for door in DOORS[argument]:
            with pytest.raises(
                TypeError, match=rf"^{argument} must be a dense tensor with data, got {told}$"
            ):
                door(bad)


@pytest.mark.parametrize(
    "kind",
    [
        "parameter",
        "image of torchvision",
        "needs a gradient",
        "view",
        "negated view",
        "read-only array",
        "expanded",
        "transposed",
        "half",
        "bfloat16",
        "float8",
        "uint16",
        "inference",
    ],
)
def test_every_dense_tensor_is_admitted(kind):
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    fixed = values.numpy().copy()
    fixed.setflags(write=False)
    with torch.inference_mode():
        inference = values + 0
    given = {
        "parameter": torch.nn.Parameter(values.clone()),
        "image of torchvision": values.as_subclass(tv_tensors.Image),
        "needs a gradient": values.clone().requires_grad_(),
        "view": torch.cat([values, values])[:2],
        "negated view": torch.imag(torch.complex(values, -values).conj()),
        "read-only array": fixed,
        "expanded": values[:1].expand(2, 2),
        "transposed": values.T,
        "half": values.half(),
        "bfloat16": values.bfloat16(),
        "float8": values.to(torch.float8_e4m3fn),
        "uint16": values.to(torch.uint16),
        "inference": inference,
    }[kind]
    result = _checks.array("x", given)
    plain = (
        np.asarray(given)
        if kind == "read-only array"
        else given.detach().to(torch.float64).resolve_neg().numpy()
    )
    assert (
        type(result) is torch.Tensor and result.dtype == torch.float64 and not result.requires_grad
    )
    np.testing.assert_array_equal(result.numpy(), plain)
    assert MODEL.certify(given).radius.shape == ORACLE.label(given).shape == (2,)


@pytest.mark.parametrize(
    "given",
    [
        np.ones((2, 2)),
        torch.ones(2, 2, dtype=torch.float64),
        torch.ones(1, 2, dtype=torch.float64).expand(2, 2),
        np.ones((2, 2), np.float32),
        [[1.0, 1.0], [1.0, 1.0]],
    ],
    ids=["array", "tensor", "expanded", "other type", "list"],
)
def test_owned_numbers_do_not_change_with_the_callers(given):
    kept, shared = _checks.owned("x", given), _checks.array("x", given)
    if isinstance(given, list):
        given[0][0] = 5.0
    else:
        given[0, 0] = 5.0
    assert (kept == 1).all() and kept.is_contiguous()
    exact = getattr(given, "dtype", None) in (np.float64, torch.float64)
    assert bool((shared == 5).any()) == exact


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (
            lambda: _checks.number("error", 1 + 2**-52, low=0, high=1),
            "error must be a finite number >= 0 and <= 1, got 1.0000000000000002",
        ),
        (
            lambda: _checks.number("error", torch.tensor(1 + 1.2e-7), low=0, high=1),
            "error must be a finite number >= 0 and <= 1, got 1.0000001192092896",
        ),
        (
            lambda: _checks.number("error", 0.75, low=0, high=0.7 - 2**-50),
            "error must be a finite number >= 0 and <= 0.6999999999999991, got 0.75",
        ),
        (
            lambda: _checks.number("error", 10**400, low=0),
            "error must be a finite number >= 0, got a number beyond float64",
        ),
        (
            lambda: _checks.number("p", -math.inf, low=1, infinite=True),
            "p must be a number >= 1 or inf, got -inf",
        ),
        (
            lambda: _checks.integer("k", -(10**5000), low=1),
            "k must be a whole number >= 1, got an object of the class int",
        ),
        (
            lambda: _checks.labels("y", [1 + 2**-52], 1),
            "y must be -1 or +1, got 1.0000000000000002",
        ),
        (
            lambda: _checks.classes("y", [0.9999999999], 1, 2),
            "y must be whole numbers from 0 to 1, got 0.9999999999",
        ),
        (lambda: _checks.radii("radius", [-1e-300], 1), "radius must be >= 0, got -1e-300"),
        (
            lambda: _checks.array("x", [1e150 * (1 + 2**-52)]),
            "x must hold numbers of at most 1e150 in size, so that their squares can be computed, "
            "got 1.0000000000000002e+150",
        ),
        (
            lambda: _checks.array(
                "x", torch.zeros(2, 2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
            ),
            "x must hold numbers that can be float64, got dtype torch.float4_e2m1fn_x2 on cpu",
        ),
    ],
)
def test_a_message_has_enough_digits_to_show_what_is_wrong(call, told):
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(told)}$"):
        call()


def test_what_lies_on_the_edge_is_admitted():
    assert (
        _checks.number("error", 1, low=0, high=1) == 1
        and _checks.number("p", math.inf, low=1, infinite=True) == math.inf
    )
    assert _checks.integer("k", np.int64(1), low=1) == 1 and _checks.labels(
        "y", [1, -1], 2
    ).tolist() == [1, -1]
    assert _checks.radii("radius", [0, math.inf], 2).tolist() == [0, math.inf] and _checks.classes(
        "y", [0, 1], 2, 2
    ).tolist() == [0, 1]
    assert _checks.array("x", [1e150, -1e150]).tolist() == [1e150, -1e150]


@pytest.mark.parametrize(
    "cast", [np.int64, np.uint8, np.float32, torch.int32, torch.float32, torch.float64, list]
)
def test_any_real_type_of_input_gives_the_same_double_precision_certificate(cast):
    def as_given(values):
        values = np.array(values)
        return (
            values.tolist()
            if cast is list
            else torch.from_numpy(values).to(cast)
            if isinstance(cast, torch.dtype)
            else values.astype(cast)
        )

    whole = [[1, 0], [3, 2], [2, 5]]
    model = LocallyBiased(
        LinearScore(as_given([2, 1]), 1),
        NearestNeighborOracle(as_given([[0, 0], [4, 0]]), [1, -1]),
        1,
        LINF,
    )
    expected = LocallyBiased(
        LinearScore([2.0, 1.0], 1.0), NearestNeighborOracle(POINTS, [1.0, -1.0]), 1.0, LINF
    ).certify(np.array(whole, float))
    certificate = model.certify(as_given(whole))
    assert certificate.radius.dtype == model.score(as_given(whole)).dtype == torch.float64
    assert certificate.prediction.dtype == torch.int64
    assert torch.equal(certificate.radius, expected.radius)
    assert torch.equal(certificate.prediction, expected.prediction)


def test_numbers_may_be_of_any_real_type():
    for one in (
        1,
        1.0,
        np.float32(1),
        np.int8(1),
        np.array(1.0),
        torch.tensor(1),
        torch.tensor(1.0),
    ):
        assert (
            LocallyBiased(LINEAR, ORACLE, one).alpha
            == NormalSmoothing(LINEAR, one).sigma
            == Norm(one).p
            == Score(torch.sin, one).gradient_lipschitz
            == 1.0
        )
