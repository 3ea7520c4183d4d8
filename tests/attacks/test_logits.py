"""Smoothed classifiers as torch modules: predictions, gradients, types, what an attacker gains."""

import copy
import math
import pickle
import re

import numpy as np
import pytest
import torch
from torch import nn

from lbrs import (
    L1,
    L2,
    LINF,
    AffineScores,
    ClassOracle,
    ClassScores,
    CohenScore,
    LinearScore,
    LipschitzScore,
    LocallyBiased,
    MulticlassLocallyBiased,
    NearestNeighborOracle,
    Norm,
    NormalSmoothing,
    ProbabilityMargin,
    Score,
)
from lbrs.attacks.logits import settled
from lbrs.attacks.pgd import pgd

pytestmark = pytest.mark.usefixtures("one_thread")

ORACLE = NearestNeighborOracle([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [1, -1, 1])
CLASSES = ClassOracle([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0, 1, 2])


def network(last: int = 1, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, last)).to(dtype)


BASES = {
    "linear": lambda: LinearScore([2.0, -1.0], -0.3),
    "smooth": lambda: Score(network()),
    "margin": lambda: ProbabilityMargin(network()),
    "float32": lambda: ProbabilityMargin(network(dtype=torch.float32)),
    "lipschitz": lambda: LipschitzScore(network(), 3.0),
    "dead": lambda: Score(lambda x: (x - 0.5).relu().sum(1)),
    "saturated": lambda: ProbabilityMargin(lambda x: 4000 * (x[:, 0] - 0.5)),
}


@pytest.mark.parametrize("kind", ["link", "score", "decision"])
@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_argmax_is_the_prediction_everywhere(kind, base, dtype):
    axis = torch.linspace(-0.5, 1.5, 13, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis).to(dtype)
    for alpha, norm in ((0.0, L2), (0.3, LINF), (5.0, L1)):
        model = LocallyBiased(base(), ORACLE, alpha, norm)
        logits = model.as_module(kind)(x)
        assert logits.dtype == dtype and logits.shape == (len(x), 2)
        assert torch.equal(2 * logits.argmax(1) - 1, model.predict(x))


@pytest.mark.parametrize("norm", [L1, L2, Norm(3), LINF], ids=str)
def test_the_score_is_g_mu_and_the_link_is_lemma_q(rng, norm):
    x, alpha = torch.from_numpy(rng.normal(size=(200, 2))), 0.4
    base = ProbabilityMargin(network())
    model = LocallyBiased(base, ORACLE, alpha, norm)
    by_kind = {kind: model.as_module(kind)(x) for kind in ("score", "link")}
    score, link = (logits[:, 1] - logits[:, 0] for logits in by_kind.values())
    torch.testing.assert_close(score, model.score(x), rtol=1e-12, atol=1e-14)
    z, gradient = base.logit_and_gradient(x)
    bias = torch.asinh(alpha * norm.dual(gradient))
    torch.testing.assert_close(link, z + ORACLE.label(x) * bias, rtol=1e-12, atol=1e-14)
    assert torch.equal(link.sign(), score.sign()) and (score < 0).any() and (score > 0).any()


@pytest.mark.parametrize("kind", ["link", "score"])
@pytest.mark.parametrize("base", ["linear", "smooth", "margin", "lipschitz"])
@pytest.mark.parametrize("norm", [L2, Norm(3), LINF], ids=str)
def test_gradients_are_those_of_difference_quotients(rng, kind, base, norm):
    """Through g, the norm of its gradient and the link."""
    x = torch.from_numpy(rng.uniform(-1, 2, size=(40, 2)))
    module = LocallyBiased(BASES[base](), ORACLE, 0.4, norm).as_module(kind)
    seen = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(module(seen)[:, 1].sum(), seen)
    step, near = 1e-6, torch.zeros(len(x), dtype=torch.bool)
    for i, way in enumerate(torch.eye(2, dtype=torch.float64)):
        ahead, behind = x + step * way, x - step * way
        rise = (module(ahead)[:, 1] - module(behind)[:, 1]) / (2 * step)
        close = (rise - gradient[:, i]).abs() <= 1e-6 * (1 + rise.abs())
        near |= ~close & (ORACLE.label(ahead) == ORACLE.label(behind))
    assert near.sum() == 0


def test_a_module_follows_its_input_and_leaves_no_graph_where_none_is_asked_for():
    module = LocallyBiased(BASES["margin"](), ORACLE, 0.4).as_module()
    x = torch.rand(300, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not module(x).requires_grad
    torch.testing.assert_close(module(x.double()).float(), module(x), rtol=1e-5, atol=1e-6)
    assert list(module.parameters()) == [] and module.half()(x).dtype == torch.float32
    assert module(x[:0]).shape == (0, 2) and "kind='link'" in repr(module)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(other(x), module(x))


@pytest.mark.parametrize(
    "scores",
    [
        AffineScores([[1.0, 0.2], [-1.0, 0.5], [0.1, -1.0]], [0.0, 0.4, 0.2]),
        ClassScores(network(3), 4.0),
        ClassScores(lambda x: torch.stack([x[:, 0], x[:, 0], 1 - x[:, 0]], 1), 2.0),
    ],
    ids=["affine", "network", "ties"],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_several_classes(scores, dtype):
    axis = torch.linspace(-0.5, 1.5, 13, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis).to(dtype)
    for alpha in (0.0, 0.2, 1e3, 1e200):
        model = MulticlassLocallyBiased(scores, CLASSES, alpha)
        for kind in ("link", "decision"):
            logits = model.as_module(kind)(x)
            assert logits.dtype == dtype and logits.shape == (len(x), 3)
            assert torch.equal(logits.argmax(1), model.predict(x))
            assert torch.isfinite(logits).all()
    seen = x.double().requires_grad_()
    logits = MulticlassLocallyBiased(scores, CLASSES, 0.2).as_module()(seen)
    torch.testing.assert_close(
        logits.detach(), MulticlassLocallyBiased(scores, CLASSES, 0.2).score(x), rtol=0, atol=1e-12
    )
    assert torch.autograd.grad(logits[:, 0].sum(), seen)[0].abs().sum() > 0


def test_normal_smoothing_is_an_average_over_draws():
    base = ProbabilityMargin(network())
    model = NormalSmoothing(base, 0.3, 2000, torch.Generator().manual_seed(0))
    x = torch.rand(20, 2, generator=torch.Generator().manual_seed(1)).requires_grad_()
    module = model.as_module("score", draws=4000, seed=3)
    logits = module(x)
    assert logits.dtype == torch.float32 and torch.equal(logits, module(x))
    torch.testing.assert_close((logits[:, 1] - logits[:, 0]).double(), model.score(x), atol=0.05,
                               rtol=0)  # fmt: skip
    link = model.as_module("link", draws=4000, seed=3)(x.double())
    share = (1 + (logits[:, 1] - logits[:, 0]).double()) / 2
    torch.testing.assert_close(link[:, 1] - link[:, 0], share.logit(), rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), x)
    assert (gradient.abs().sum(1) > 0).all()
    fresh = model.as_module(draws=8)
    assert not torch.equal(fresh(x), fresh(x))
    decided = model.estimate(x).decided
    votes = model.as_module("decision")(x).argmax(1)
    assert torch.equal((2 * votes - 1)[decided], model.predict(x)[decided]) and decided.any()


def test_the_link_of_an_average_does_not_saturate():
    base = ProbabilityMargin(lambda x: 400 * x[:, 0])
    module = NormalSmoothing(base, 0.1).as_module(draws=16, seed=0)
    x = torch.tensor([[3.0], [-3.0]], dtype=torch.float64, requires_grad=True)
    logits = module(x)
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), x)
    assert (gradient > 100).all() and logits.argmax(1).tolist() == [1, 0]


def test_rounding_to_a_lower_type_neither_ties_nor_turns():
    logits = torch.tensor([[0.0, 0.0], [1.0, 1 + 1e-12], [-1e-60, 1e-60], [1e300, -1e300]])
    logits, prediction = logits.double(), torch.tensor([1, 1, 1, 0])
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        found = settled(logits, prediction, torch.zeros(1, dtype=dtype))
        assert torch.equal(found.argmax(1), prediction) and torch.isfinite(found).all()
        assert (found[:3].double() - logits[:3]).abs().max() <= 2.0**-6


TWO = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 2))
HIDDEN = [TWO]


@pytest.mark.parametrize(
    "function",
    [TWO, TWO.half(), lambda x: TWO(x), lambda x: HIDDEN[0](x)[:, 1:], lambda x: HIDDEN[0](x)],
    ids=["module", "half", "wrapped", "one logit", "hidden"],
)
def test_one_logit_or_two_in_any_type_need_no_dtype(function):
    """Every score, and what is made of it, without dtype=."""
    TWO.to(torch.float32)
    x = torch.rand(30, 2, generator=torch.Generator().manual_seed(0))
    z = function(x).detach()
    z = (z[:, -1] - z[:, 0] if z.shape[1] == 2 else z[:, 0]).double()
    for make in (Score, ProbabilityMargin, lambda f: LipschitzScore(f, 9.0)):
        score = make(function)
        torch.testing.assert_close(score.value(x).atanh() * 2 if score.link.rate(z).min() < 1
                                   else score.value(x), z, rtol=1e-4, atol=1e-5)  # fmt: skip
        assert score.dtype == torch.float32 and score.rounding == 1e-4
        assert LocallyBiased(score, ORACLE, 0.2).as_module()(x).dtype == torch.float32
    assert NormalSmoothing(ProbabilityMargin(function), 0.1, 50).predict(x).shape == (30,)
    assert CohenScore(function, 0.1, 50).counts(x).max() <= 50


def test_pgd_attacks_a_module():
    model = LocallyBiased(ProbabilityMargin(network()), ORACLE, 0.05)
    x = torch.rand(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = model.predict(x)
    z = pgd(model.as_module(), x, y, 0.3, L2)
    assert (model.predict(z) != y).double().mean() > 0.3


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("kind", lambda: LocallyBiased(LinearScore([1.0, 0.0]), ORACLE, 1.0).as_module("logit")),
        ("kind", lambda: LocallyBiased(CohenScore(network(), 1.0, 9), ORACLE, 1.0).as_module()),
        ("draws", lambda: NormalSmoothing(Score(network()), 1.0).as_module(draws=0)),
        ("seed", lambda: NormalSmoothing(Score(network()), 1.0).as_module(seed=-1)),
        ("x", lambda: LocallyBiased(LinearScore([1.0, 0.0]), ORACLE, 1.0).as_module()(np.ones(2))),
        (
            "x",
            lambda: LocallyBiased(LinearScore([1.0, 0.0]), ORACLE, 1.0).as_module()(
                torch.ones(1, 2, dtype=torch.int64)
            ),
        ),
    ],
)
def test_a_bad_argument_is_refused_by_name(argument, call):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert re.match(rf"{argument}\b", str(caught.value)), caught.value


def test_a_random_score_has_its_decision():
    model = LocallyBiased(
        CohenScore(network(), 0.1, 400, torch.Generator().manual_seed(0)), ORACLE, math.pi
    )
    x = torch.rand(20, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.as_module("decision")(x).argmax(1) * 2 - 1, model.predict(x))
