"""The door of every score: what must be refused, by what name, and what must be admitted."""

import re

import pytest
import torch
import torch.nn.functional as F
from admission_admitted import KINKED, SMOOTH
from admission_cases import Case, chain, rows
from admission_kinks import FALSE_GRADIENTS, KINKS
from admission_refused import CHANCE, DETOURS, ROWS
from torch import nn

from lbrs import (
    ClassOracle,
    ClassScores,
    CohenScore,
    GaussianScore,
    LipschitzScore,
    LocallyBiased,
    MulticlassLocallyBiased,
    NearestNeighborOracle,
    NormalSmoothing,
    ProbabilityMargin,
    Score,
)

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning"),
]


ROOMY = 1e4
"""A constant that is large enough for all smooth functions of the tables, at their points."""


def generator():
    return torch.Generator().manual_seed(0)


def oracle(x):
    return NearestNeighborOracle(x[:2] + 1, [1, -1])


def biased(score, x):
    return LocallyBiased(score, oracle(x), 0.5).certify(x)


def two_classes(function, x):
    def scores(z):
        value = function(z).reshape(-1, 1)
        return torch.cat([value, -value], 1)

    own = next(function.parameters()).dtype if isinstance(function, nn.Module) else None
    oracle = ClassOracle(x[:2] + 1, [0, 1])
    return MulticlassLocallyBiased(ClassScores(scores, 1.0, dtype=own), oracle, 0.5)


ASKED = {
    "value": lambda f, x: Score(f).value(x),
    "gradient": lambda f, x: Score(f).value_and_gradient(x),
    "certificate of a gradient": lambda f, x: biased(Score(f, 50.0), x),
    "margin": lambda f, x: biased(ProbabilityMargin(f, 50.0), x),
    "Lipschitz": lambda f, x: biased(LipschitzScore(f, 1.0), x),
    "Cohen": lambda f, x: biased(CohenScore(f, 0.5, 50, generator()), x),
    "Gauss": lambda f, x: biased(GaussianScore(ProbabilityMargin(f), 0.5, 50, generator()), x),
    "normal": lambda f, x: NormalSmoothing(ProbabilityMargin(f), 0.5, 50, generator()).certify(x),
    "normal, predicted": lambda f, x: NormalSmoothing(
        ProbabilityMargin(f), 0.5, 50, generator()
    ).predict(x),
    "classes": lambda f, x: two_classes(f, x).certify(x),
    "classes, predicted": lambda f, x: two_classes(f, x).predict(x),
}
"""Every kind of score, and what may be asked of it first."""


def test_the_tables_are_as_long_as_promised():
    refused = len(CHANCE) + len(ROWS) + len(DETOURS) + len(KINKS) + len(FALSE_GRADIENTS)
    assert refused >= 120 and len(SMOOTH) + len(KINKED) >= 110


@pytest.mark.parametrize("name", CHANCE | ROWS | DETOURS)
def test_chance_rows_and_detours_are_refused(name):
    case = (CHANCE | ROWS | DETOURS)[name]
    with pytest.raises(ValueError, match=rf"^function [^:]*.*({case.names})"):
        LipschitzScore(case.make(), 1.0).value(case.points())


@pytest.mark.parametrize("kind", ASKED)
@pytest.mark.parametrize(
    "name",
    ["training behind a lambda", "rand", "standardised by hand", "through NumPy and back to x"],
)
def test_every_kind_of_score_has_the_same_door(kind, name):
    case = (CHANCE | ROWS | DETOURS)[name]
    with pytest.raises(ValueError, match=rf"^function .*({case.names})"):
        ASKED[kind](case.make(), case.points())


@pytest.mark.parametrize("kind", ASKED)
@pytest.mark.parametrize("name", ["tanh", "softsign", "RMS norm", "scripted, warm"])
def test_every_kind_of_score_admits_smooth_networks(kind, name):
    ASKED[kind](SMOOTH[name].make(), SMOOTH[name].points())


@pytest.mark.parametrize("kind", ["value", "Lipschitz", "Cohen", "Gauss", "normal", "classes"])
@pytest.mark.parametrize("name", ["ReLU", "no gradient", "scripted ReLU, warm"])
def test_scores_without_a_gradient_admit_kinks(kind, name):
    ASKED[kind](KINKED[name].make(), KINKED[name].points())


@pytest.mark.parametrize("name", KINKS)
def test_kinks_are_refused_by_name_with_the_way_out(name):
    case, x = KINKS[name], KINKS[name].points()
    function = case.make()
    with pytest.raises(
        ValueError, match=rf"^(gradient_lipschitz|function) .*({case.names})"
    ) as caught:
        Score(function, ROOMY).smoothness(x)
    assert "assume_smooth=True" in str(caught.value)
    if name != "a branch":
        assert Score(function, ROOMY, assume_smooth=True).smoothness(x) == ROOMY


@pytest.mark.parametrize("name", FALSE_GRADIENTS)
def test_a_gradient_that_is_not_the_function_s_is_refused(name):
    case = FALSE_GRADIENTS[name]
    with pytest.raises(ValueError, match=f"^(gradient_lipschitz|function) .*({case.names})"):
        Score(case.make(), ROOMY).smoothness(case.points())


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_functions_are_admitted(name):
    case, x = SMOOTH[name], SMOOTH[name].points()
    score = Score(case.make(), ROOMY)
    assert score.smoothness(x) == ROOMY
    assert torch.isfinite(score.value(x)).all()


@pytest.mark.parametrize("name", KINKED)
def test_kinked_functions_are_admitted_without_a_gradient(name):
    case = KINKED[name]
    assert torch.isfinite(LipschitzScore(case.make(), 1.0).value(case.points())).all()


def test_what_is_assumed_of_smoothness_stands_in_the_certificate():
    x = Case(None).points()
    function = rows(lambda z: torch.hypot(z, torch.ones_like(z)))
    with pytest.raises(ValueError, match="hypot.*assume_smooth=True"):
        biased(Score(function, 1.0), x)
    assert "smooth" in biased(Score(function, 1.0, assume_smooth=True), x).assumption
    assert "smooth" not in biased(Score(rows(torch.sin), 1.0), x).assumption


def test_the_door_is_passed_once_and_again_when_the_network_changes():
    x, calls = Case(None).points(200), []
    network = chain(nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.5))
    network.register_forward_hook(lambda *_: calls.append(1))
    score = LipschitzScore(network, 1.0)
    score.value(x)
    first = len(calls)
    score.value(x)
    assert first > 1 and len(calls) == first + 1
    network.train()
    with pytest.raises(ValueError, match="^function .*(batch_norm|dropout|rows|evaluation)"):
        score.value(x)


def single(network):
    return lambda x: network(x.float())


def under_autocast(network):
    def function(x):
        with torch.autocast("cpu", torch.bfloat16):
            return network(x.float())

    return function


PRECISION = {
    "double": (lambda: chain(nn.Tanh()), torch.float64),
    "single inside": (lambda: single(chain(nn.Tanh()).float()), torch.float32),
    "single and back": (lambda: rows(lambda x: x.float().double().sin()), torch.float32),
    "a step in single": (lambda: rows(lambda x: x + 1e-3 * x.float().sin()), torch.float32),
    "single weights alone": (
        lambda: rows(lambda x: x * torch.tensor([0.1, 0.2, 0.3, 0.4]).double()),
        torch.float64,
    ),
    "half constants alone": (
        lambda: rows(lambda x: x + torch.ones(4, dtype=torch.float16)),
        torch.float64,
    ),
    "a module in single": (lambda: chain(nn.Tanh()).float(), torch.float32),
    "a module in bfloat16": (lambda: chain(nn.Tanh()).bfloat16(), torch.bfloat16),
    "half": (lambda: rows(lambda x: x.half().sin()), torch.float16),
    "bfloat16 and back": (lambda: rows(lambda x: x.bfloat16().double().sin()), torch.bfloat16),
    "autocast": (lambda: under_autocast(chain(nn.Tanh()).float()), torch.bfloat16),
    "eight bits": (lambda: rows(lambda x: x.to(torch.float8_e5m2).double()), torch.float8_e5m2),
    "complex single": (
        lambda: rows(lambda x: torch.view_as_real(x.to(torch.complex64).exp()).sum(-1)),
        torch.float32,
    ),
    "compiled single": (
        lambda: torch.compile(single(chain(nn.Tanh()).float()), backend="aot_eager"),
        torch.float32,
    ),
    "vmap of single": (lambda: torch.func.vmap(lambda row: row.float().sin().sum()), torch.float32),
}


@pytest.mark.parametrize("name", PRECISION)
def test_the_lowest_type_of_any_operation_is_observed(name):
    make, dtype = PRECISION[name]
    x = Case(None).points()
    score = LipschitzScore(make(), 1.0)
    score.value(x)
    assert score.observed.dtype == dtype


@pytest.mark.parametrize("kind", ["certificate of a gradient", "Lipschitz", "classes"])
@pytest.mark.parametrize("name", ["bfloat16 and back", "half", "autocast", "a module in bfloat16"])
def test_half_types_need_a_rounding_in_certificates(kind, name):
    make, x = PRECISION[name][0], Case(None).points()
    with pytest.raises(ValueError, match="rounding"):
        ASKED[kind](make(), x)
    assert ASKED["Cohen"](make(), x).radius.shape == (5,)


@pytest.mark.parametrize("kind", [Score, LipschitzScore])
def test_the_allowance_follows_what_was_observed(kind):
    x = Case(None).points()
    for function, share in (
        (chain(nn.Tanh()), "1e-10"),
        (single(chain(nn.Tanh()).float()), "0.0001"),
    ):
        assert re.search(rf"at most {share}\b", biased(kind(function, 50.0), x).assumption)
    given = kind(rows(lambda z: z.bfloat16().sin()), 50.0, rounding=0.25)
    assert "0.25" in biased(given, x).assumption


def test_single_precision_behind_a_lambda_was_certified_falsely():
    """g = x - 3e-7, computed in steps of 9.5e-7: an allowance of 1e-10 certifies across a step,
    that of single precision not."""
    x = torch.linspace(-3e-6, 3e-6, 301).double()[:, None]
    given = {"double": {"rounding": 1e-10}, "observed": {}}
    broken = {}
    for name, options in given.items():
        score = LipschitzScore(lambda z: (z.float() + 8 - 8).double().sum(1) - 3e-7, 1.0, **options)
        model = LocallyBiased(score, NearestNeighborOracle([[1.0]], [1]), 0.0)
        certificate = model.certify(torch.cat([x, x + 1]))
        moved = [
            torch.cat([x, x + 1]) + step * certificate.radius[:, None] for step in (-0.999, 0.999)
        ]
        changed = torch.stack([model.predict(z) != certificate.prediction for z in moved]).any(0)
        broken[name] = int((changed & (certificate.radius > 0)).sum())
        assert (certificate.radius[len(x) :] > 0.9).all()
    assert broken["double"] > 0 and broken["observed"] == 0


def test_batch_statistics_change_points_that_are_predicted_alone():
    """Why rows must not see each other: a certified point changes its class when it is predicted
    alone."""
    function = rows(lambda x: x - x.mean(0))
    x = Case(None).points(40)
    together, alone = function(x).sign(), torch.cat([function(row) for row in x.split(1)]).sign()
    assert (together != alone).any()
    with pytest.raises(ValueError, match="^function .*rows"):
        LipschitzScore(function, 2.0).value(x)


def test_products_in_less_than_single_precision_are_seen():
    before = torch.backends.mkldnn.matmul.fp32_precision
    x = Case(None).points()
    try:
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"
        score = LipschitzScore(chain(nn.Tanh()).float(), 1.0)
        score.value(x)
        assert score.observed.dtype == torch.bfloat16
        exact = LipschitzScore(rows(lambda z: F.softplus(z.float())), 1.0)
        exact.value(x)
        assert exact.observed.dtype == torch.float32
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before
