"""Scores: values, gradients, what saturates, and what may not be certified."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lbrs.scores.base
from lbrs import (
    L2,
    LINF,
    LinearScore,
    LocallyBiased,
    NearestNeighborOracle,
    ProbabilityMargin,
    Score,
)
from lbrs.scores.base import sign

pytestmark = pytest.mark.usefixtures("one_thread")

WEIGHT = torch.tensor([0.5, -1.25, 2.0], dtype=torch.float64)


def network(out: int = 1, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    return (
        nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Softplus(), nn.Linear(5, out))
        .to(dtype)
        .eval()
    )


SCORES = {
    "function": lambda **k: Score(lambda x: (x.flatten(1) ** 3).sum(1).sin(), **k),
    "module": lambda **k: Score(network(), **k),
    "margin": lambda **k: ProbabilityMargin(network(), **k),
    "two logits": lambda **k: ProbabilityMargin(network(2), **k),
    "linear": lambda **k: LinearScore(torch.arange(6.0).reshape(2, 3) - 2.2, 0.3),
}


@pytest.fixture
def x(rng):
    return rng.normal(size=(9, 2, 3))


@pytest.fixture(params=SCORES)
def score(request):
    return SCORES[request.param]()


def test_gradient_equals_central_differences(score, x):
    _, gradient = score.value_and_gradient(x)
    h = 1e-5
    for k in np.ndindex(2, 3):
        step = np.zeros((2, 3))
        step[k] = h
        difference = (score.value(x + step) - score.value(x - step)) / (2 * h)
        torch.testing.assert_close(gradient[(slice(None), *k)], difference, rtol=1e-6, atol=1e-8)


def test_value_gradient_and_linearization_agree(score, x, norm):
    value, gradient = score.value_and_gradient(x)
    local = score.linearize(x, norm)
    torch.testing.assert_close(score.value(x), value, rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(local.value, value, rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(local.slope, norm.dual(gradient.flatten(1)), rtol=1e-13, atol=0)
    assert torch.equal(local.base, sign(value))


@pytest.mark.parametrize("name", ["function", "module", "margin", "linear"])
def test_crossing_is_where_the_bias_outweighs_the_score(name, x, norm):
    score = SCORES[name]()
    local = score.linearize(x, norm)
    expected = local.value.abs() / local.slope
    if name == "margin":
        z, gradient = score.logit_and_gradient(x)
        expected = (z / 2).tanh().abs() / (
            norm.dual(gradient.flatten(1)) / 2 * (1 - (z / 2).tanh() ** 2)
        )
    torch.testing.assert_close(local.crossing, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", SCORES)
def test_result_for_a_point_does_not_depend_on_the_batch(name, x):
    whole, single = SCORES[name](batch_size=1024), SCORES[name](batch_size=1)
    for a, b in zip(
        whole.linearize(x, L2).__dict__.values(),
        single.linearize(x, L2).__dict__.values(),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
    order = [4, 0, 8, 2]
    torch.testing.assert_close(whole.value(x[order]), whole.value(x)[order], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(whole.value(x[:1]), whole.value(x)[:1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("limit", "largest"), [(2**23, 4), (18, 3), (1, 1)])
def test_function_never_sees_more_than_the_batch_or_the_memory_allows(
    x, monkeypatch, limit, largest
):
    monkeypatch.setattr(lbrs.scores.base, "ELEMENTS", limit)
    seen = []

    def function(z):
        seen.append(len(z))
        return z.flatten(1).sum(1)

    score = Score(function, batch_size=4)
    score.value(x)
    at_the_door = len(seen) - -(-len(x) // largest)
    score.value_and_gradient(x)
    assert max(seen) == largest and sum(seen[at_the_door:]) == 2 * len(x)


@pytest.mark.parametrize(
    "given",
    [
        np.int64,
        np.uint8,
        np.float16,
        np.float32,
        np.float64,
        np.longdouble,
        ">f8",
        torch.int32,
        torch.float32,
        torch.bfloat16,
        list,
    ],
)
def test_any_real_input_gives_float64(score, given):
    whole = np.arange(12).reshape(2, 2, 3)
    x = (
        whole.tolist()
        if given is list
        else torch.from_numpy(whole).to(given)
        if isinstance(given, torch.dtype)
        else whole.astype(given)
    )
    expected = score.value_and_gradient(torch.from_numpy(whole).double())
    for a, b in zip(score.value_and_gradient(x), expected, strict=True):
        assert a.dtype == torch.float64 and torch.equal(a, b)


def test_views_and_read_only_arrays_are_read_as_they_are(score, x):
    fixed = x.copy()
    fixed.setflags(write=False)
    assert torch.equal(score.value(fixed), score.value(x))
    assert torch.equal(
        score.value(np.flip(x.copy(), (0, 2))), score.value(np.flip(x, (0, 2)).copy())
    )


def test_input_is_left_alone(score, x):
    given, before = torch.from_numpy(x.copy()).requires_grad_(), x.copy()
    value, gradient = score.value_and_gradient(given)
    assert not value.requires_grad and not gradient.requires_grad
    assert given.grad is None and (given.detach().numpy() == before).all()


def test_no_points_give_no_values(score):
    value, gradient = score.value_and_gradient(np.zeros((0, 2, 3)))
    assert (
        value.shape == (0,)
        and gradient.shape == (0, 2, 3)
        and score.value(np.zeros((0, 2, 3))).shape == (0,)
    )


def test_module_computes_in_its_own_precision(x):
    single = Score(network(dtype=torch.float32))
    assert single.dtype == torch.float32 and single.value(x).dtype == torch.float64
    torch.testing.assert_close(single.value(x), Score(network()).value(x), rtol=1e-5, atol=1e-6)
    assert (
        Score(torch.sin, dtype=torch.float32).dtype == torch.float32
        and Score(torch.sin).dtype == torch.float64
    )


def test_gradient_is_taken_even_where_the_caller_forbids_it(score, x):
    with torch.no_grad():
        inside = score.value_and_gradient(x)
    assert torch.equal(inside[1], score.value_and_gradient(x)[1])


def test_linear_score_equals_the_same_function_differentiated_by_torch(rng, norm):
    x = rng.normal(size=(50, 3))
    linear, traced = LinearScore(WEIGHT, -0.75), Score(lambda x: x @ WEIGHT - 0.75)
    for a, b in zip(
        linear.linearize(x, norm).__dict__.values(),
        traced.linearize(x, norm).__dict__.values(),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-15)
    for a, b in zip(linear.value_and_gradient(x), traced.value_and_gradient(x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-15)


def test_linear_score_is_a_transposed_x_plus_b():
    assert LinearScore([3, -1], 2).value([[1, 1], [0, 5]]).tolist() == [4.0, -3.0]


def test_constant_score_is_never_crossed():
    local = LinearScore([0.0, 0.0], -1.0).linearize(np.ones((3, 2)), L2)
    assert (
        (local.crossing == math.inf).all() and (local.slope == 0).all() and (local.base == -1).all()
    )


def test_sign_of_zero_is_plus_one():
    assert sign(torch.tensor([-2.0, -0.0, 0.0, 3.0])).tolist() == [-1.0, 1.0, 1.0, 1.0]


def test_probability_margin_is_the_difference_of_two_softmax_probabilities(x):
    logits = network(2)(torch.from_numpy(x))
    expected = logits.softmax(1) @ torch.tensor([-1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(
        ProbabilityMargin(network(2)).value(x), expected.detach(), rtol=1e-12, atol=1e-14
    )
    single = ProbabilityMargin(network())
    torch.testing.assert_close(
        single.value(x), 2 * single.logit(x).sigmoid() - 1, rtol=1e-12, atol=1e-14
    )


def test_logit_zero_is_on_the_positive_side_and_crossed_by_any_bias():
    local = ProbabilityMargin(lambda x: 2 * x[:, 0]).linearize([[0.0, 1.0]], L2)
    assert (local.base.item(), local.value.item(), local.slope.item(), local.crossing.item()) == (
        1,
        0,
        1,
        0,
    )


def test_two_logits_count_as_their_difference(x):
    both = network(2)
    difference = ProbabilityMargin(lambda x: both(x)[:, 1] - both(x)[:, 0])
    for a, b in zip(
        ProbabilityMargin(both).linearize(x, LINF).__dict__.values(),
        difference.linearize(x, LINF).__dict__.values(),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_probability_margin_equals_tanh_differentiated_by_torch(x, norm):
    net = network()
    margin, traced = (
        ProbabilityMargin(net),
        Score(lambda x: (net(x) / 2).tanh(), dtype=torch.float64),
    )
    for a, b in zip(
        margin.value_and_gradient(x) + tuple(margin.linearize(x, norm).__dict__.values()),
        traced.value_and_gradient(x) + tuple(traced.linearize(x, norm).__dict__.values()),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 2.0, 50.0])
def test_crossing_rule_gives_the_sign_of_the_biased_score_where_nothing_saturates(alpha, rng, norm):
    x = rng.normal(size=(200, 2, 3))
    local = ProbabilityMargin(network()).linearize(x, norm)
    label = torch.from_numpy(rng.choice([-1.0, 1.0], 200))
    biased = local.value + alpha * label * local.slope
    assert local.value.abs().max() < 0.99 and biased.abs().min() > 1e-9
    assert torch.equal(torch.where(alpha > local.crossing, label, local.base), sign(biased))


@pytest.mark.parametrize("z", [-800.0, -300.0, -40.0, 40.0, 300.0, 800.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_saturated_logits_keep_sign_gradient_and_crossing(z, dtype):
    score = ProbabilityMargin(lambda x: 2 * x[:, 0], dtype=dtype)
    local, (_, gradient) = (
        score.linearize([[z / 2, 0.0]], L2),
        score.value_and_gradient([[z / 2, 0.0]]),
    )
    assert local.base.item() == local.value.item() == math.copysign(1, z)
    assert local.slope.item() == pytest.approx(
        4 * math.exp(-abs(z)), rel=1e-12
    ) and gradient.tolist() == [[local.slope.item(), 0]]
    expected = math.sinh(abs(z)) / 2 if abs(z) < 700 else math.inf
    assert local.crossing.item() == pytest.approx(expected, rel=1e-12)
    assert all(not part.isnan().any() for part in local.__dict__.values())


SMOOTH = {
    "softplus": lambda x: F.softplus(x, threshold=40),
    "tanh": torch.tanh,
    "elu": F.elu,
    "celu": lambda x: F.celu(x, 2.0),
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "silu": F.silu,
    "logsigmoid": F.logsigmoid,
    "sin": torch.sin,
    "square": torch.square,
}
KINKED = {
    "relu": F.relu,
    "leaky": F.leaky_relu,
    "clamp": lambda x: x.clamp(-1, 1),
    "clamp_min": lambda x: x.clamp_min(0),
    "abs": torch.abs,
    "maximum": lambda x: torch.maximum(x, -x),
    "where": lambda x: torch.where(x > 0, x, 0 * x),
    "max_pool": lambda x: F.max_pool1d(x[:, None], 2)[:, 0],
    "amax": lambda x: x.amax(1, keepdim=True),
    "selu": F.selu,
    "elu alpha 2": lambda x: F.elu(x, 2.0),
    "hardtanh": F.hardtanh,
    "relu6": F.relu6,
    "hardsigmoid": F.hardsigmoid,
    "softshrink": F.softshrink,
    "threshold": lambda x: F.threshold(x, 0, 0),
    "sort": lambda x: x.sort(1).values[:, :2],
    "cummax": lambda x: x.cummax(1).values,
    "masked": lambda x: x.masked_fill(x < 0, 0.0),
    "remainder": lambda x: x.remainder(1.0),
    "median": lambda x: x.median(1, keepdim=True).values,
    "linf norm": lambda x: x.norm(p=math.inf, dim=1, keepdim=True),
    "round": torch.round,
}


def certify(score):
    oracle = NearestNeighborOracle(np.eye(6), [1, 1, 1, -1, -1, -1])
    return LocallyBiased(score, oracle, 0.5).certify(np.full((2, 6), 0.25))


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_function_is_certified(name):
    assert len(certify(Score(lambda x: SMOOTH[name](x).sum(1), gradient_lipschitz=3.0))) == 2


@pytest.mark.parametrize("name", KINKED)
def test_function_with_a_kink_is_refused_where_it_is_certified(name):
    with pytest.raises(ValueError, match=r"\bgradient_lipschitz\b.*jumps"):
        certify(Score(lambda x: (KINKED[name](2 * x) + x[:, :1]).sum(1), gradient_lipschitz=3.0))


PARTS = {
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(),
    "prelu": nn.PReLU(),
    "rrelu": nn.RReLU(),
    "hardtanh": nn.Hardtanh(),
    "hardswish": nn.Hardswish(),
    "max_pool": nn.MaxPool1d(2),
    "adaptive_max_pool": nn.AdaptiveMaxPool1d(2),
    "threshold": nn.Threshold(0, 0),
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("kind", [Score, ProbabilityMargin])
def test_module_with_a_kink_is_refused_a_certificate_but_not_a_use(kind, name):
    outer = nn.Linear(2 if "pool" in name else 4, 1)
    net = nn.Sequential(nn.Sequential(nn.Linear(6, 4), PARTS[name]), outer).double().eval()
    score = kind(net, gradient_lipschitz=1.0)
    with pytest.raises(ValueError, match=rf"^gradient_lipschitz\b.*{name}"):
        certify(score)
    assert score.value(np.ones((2, 6))).shape == (2,)


@pytest.mark.parametrize("kind", [Score, ProbabilityMargin])
def test_relu_network_predicts_but_is_not_certified(kind, rng):
    net = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1)).double().eval()
    score = kind(net)
    assert set(
        LocallyBiased(score, NearestNeighborOracle(np.eye(6), [1, 1, 1, -1, -1, -1]), 0.5)
        .predict(rng.normal(size=(9, 6)))
        .tolist()
    ) <= {-1.0, 1.0}
    with pytest.raises(ValueError, match=r"\bgradient_lipschitz\b.*None"):
        certify(score)


@pytest.mark.parametrize(
    "part",
    [nn.Dropout(0.5), nn.BatchNorm1d(4), nn.AlphaDropout(0.1)],
    ids=lambda part: type(part).__name__,
)
def test_module_whose_output_depends_on_chance_or_on_the_batch_is_refused(part):
    net = nn.Sequential(nn.Linear(6, 4), part, nn.Linear(4, 1))
    with pytest.raises(ValueError, match=r"\bfunction\b.*evaluation mode"):
        Score(net).value(np.ones((2, 6)))
    assert Score(net.eval()).value(np.ones((2, 6))).shape == (2,)


@pytest.mark.parametrize("size", [1.0, 1e-2])
def test_a_detached_part_is_noticed_in_many_dimensions(rng, size):
    oracle = NearestNeighborOracle(np.eye(784)[:2], [1, -1])
    weight = torch.linspace(-1, 1, 784, dtype=torch.float64)
    whole = lambda x: (x @ weight).sin() * (1 + size * (x @ weight.flip(0)).sin())  # noqa: E731

    def cut(x):
        return (x @ weight).sin() * (1 + size * (x.detach() @ weight.flip(0)).sin())

    x = 0.03 * rng.normal(size=(3, 784))
    LocallyBiased(Score(whole, 500.0), oracle, 0.1).certify(x)
    with pytest.raises(ValueError, match="^gradient_lipschitz.*not that of its values"):
        LocallyBiased(Score(cut, 500.0), oracle, 0.1).certify(x)
