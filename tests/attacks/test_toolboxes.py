"""Attack toolboxes run on smoothed classifiers as they are, in float32 and float64, and the link is
attacked at least as well as the score."""

from functools import partial

import numpy as np
import pytest
import torch
from boundary import fab
from scipy.stats import beta
from torch import nn

from lbrs import (
    L2,
    LINF,
    CohenScore,
    LocallyBiased,
    NearestNeighborOracle,
    NormalSmoothing,
    ProbabilityMargin,
)
from lbrs.attacks.pgd import pgd
from lbrs.experiments import data
from lbrs.experiments.networks import smooth_mlp, train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
]

DTYPES = [torch.float32, torch.float64]


def trained(task, epochs):
    network = smooth_mlp(task.shape, (64,), generator=torch.Generator().manual_seed(0))
    order = torch.Generator().manual_seed(1)
    train(network, task.train_x, task.train_y, epochs=epochs, generator=order)
    return ProbabilityMargin(network)


@pytest.fixture(scope="module")
def digits():
    """The task, a smoothed classifier, 16 points that it has right, and their classes 0 and 1."""
    task = data.images("digits", 0)
    oracle = NearestNeighborOracle(task.reference_x, task.reference_y)
    model = LocallyBiased(trained(task, 8), oracle, 0.3)
    x = task.test_x[model.predict(task.test_x) == task.test_y][:16]
    return task, model, x, (model.predict(x) + 1) // 2


def fooled(model, attacked, target):
    return (model.predict(attacked) != 2 * target - 1).double().mean().item()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["LinfPGD", "L2PGD", "L2DeepFoolAttack", "HopSkipJumpAttack"])
def test_foolbox(digits, dtype, name):
    import foolbox

    _, model, x, target = digits
    module = model.as_module("decision" if name == "HopSkipJumpAttack" else "link").eval()
    wrapped = foolbox.PyTorchModel(module, bounds=(0, 1), device="cpu")
    attack = {
        "LinfPGD": lambda: foolbox.attacks.LinfPGD(steps=40),
        "L2PGD": lambda: foolbox.attacks.L2PGD(steps=10),
        "L2DeepFoolAttack": lambda: foolbox.attacks.L2DeepFoolAttack(steps=10, candidates=2),
        "HopSkipJumpAttack": lambda: foolbox.attacks.HopSkipJumpAttack(
            steps=2, max_gradient_eval_steps=20, gamma=1e3
        ),
    }[name]()
    radius = 0.3 if name == "LinfPGD" else 2.5
    torch.manual_seed(0)
    _, attacked, success = attack(wrapped, x.to(dtype), target, epsilons=radius)
    norm = LINF if name == "LinfPGD" else L2
    assert (norm((attacked - x).flatten(1)) <= radius * (1 + 1e-5)).all()
    assert fooled(model, attacked, target) == success.double().mean() >= 0.5


def art(module, shape, classes=2):
    from art.estimators.classification import PyTorchClassifier

    loss = nn.CrossEntropyLoss()
    return PyTorchClassifier(
        module, loss, shape, classes, clip_values=(0.0, 1.0), device_type="cpu"
    )


class In(nn.Module):
    """A module that computes in another type than its input's: this toolbox knows float32 only."""

    def __init__(self, module, dtype):
        super().__init__()
        self.module, self.dtype = module, dtype

    def forward(self, x):
        return self.module(x.to(self.dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["PGD", "HopSkipJump", "APGD", "Square"])
def test_art_with_the_components_of_autoattack(digits, dtype, name):
    from art.attacks import evasion

    task, model, x, target = digits
    wrapped = art(In(model.as_module(), dtype), task.shape)
    attack = {
        "PGD": lambda: evasion.ProjectedGradientDescent(
            wrapped, 2, eps=2.5, eps_step=0.6, max_iter=10, verbose=False
        ),
        "HopSkipJump": lambda: evasion.HopSkipJump(
            wrapped, norm=2, max_iter=2, max_eval=100, init_eval=10, verbose=False
        ),
        "APGD": lambda: evasion.AutoProjectedGradientDescent(
            wrapped, 2, eps=2.5, eps_step=0.6, max_iter=10, nb_random_init=1, verbose=False
        ),
        "Square": lambda: evasion.SquareAttack(
            wrapped, norm=np.inf, eps=0.4, max_iter=60, nb_restarts=1, verbose=False
        ),
    }[name]()
    np.random.seed(0)
    torch.manual_seed(0)
    attacked = torch.from_numpy(attack.generate(x.numpy(), target.numpy()))
    assert attacked.dtype == torch.float32 and fooled(model, attacked, target) >= 0.5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("norm", [L2, LINF])
def test_the_fast_adaptive_boundary_attack_of_autoattack(digits, dtype, norm):
    """It finds the other class at every point, within the box and near."""
    _, model, x, target = digits
    attacked = fab(model.as_module().eval(), x.to(dtype), target, norm.p)
    size = norm((attacked - x).flatten(1))
    assert attacked.dtype == dtype and fooled(model, attacked, target) == 1
    assert attacked.min() >= 0 and attacked.max() <= 1
    assert size.median() < (1.5 if norm == L2 else 0.25)


def test_randomized_smoothing_of_art_agrees_with_the_radius_of_cohens_score(digits, monkeypatch):
    """At alpha = 0, up to the noise of their draws and of ours. Their bound of p asks statsmodels;
    here it is the same quantile from SciPy."""
    from art.estimators.certification.randomized_smoothing import PyTorchRandomizedSmoothing

    task, model, x, target = digits
    theirs = PyTorchRandomizedSmoothing(
        model=LocallyBiased(model.base, model.oracle, 0.0).as_module(),
        loss=nn.CrossEntropyLoss(),
        input_shape=task.shape,
        nb_classes=2,
        device_type="cpu",
        sample_size=100,
        scale=0.25,
        alpha=0.001,
    )
    bound = partial(beta.ppf, 0.001)
    monkeypatch.setattr(theirs, "_lower_confidence_bound", lambda k, n: bound(k, n - k + 1))
    torch.manual_seed(0)
    np.random.seed(0)
    predicted, radius = theirs.certify(x.numpy(), n=1000)
    score = CohenScore(model.base, 0.25, 1000, torch.Generator().manual_seed(0), selection=100)
    ours = LocallyBiased(score, model.oracle, 0.0).certify(x)
    both = (~ours.abstains).numpy() & (predicted >= 0)
    assert both.sum() >= 10
    assert np.array_equal(2 * predicted[both] - 1, ours.prediction.numpy()[both])
    np.testing.assert_allclose(radius[both], ours.radius.numpy()[both], atol=0.08)


def test_a_noisy_module_is_attacked_by_expectation_over_its_draws(digits):
    import foolbox

    _, model, x, target = digits
    smooth = NormalSmoothing(model.base, 0.2, 500, torch.Generator().manual_seed(0))
    keep = smooth.predict(x) == 2 * target - 1
    x, target = x[keep], target[keep]
    wrapped = foolbox.PyTorchModel(smooth.as_module(draws=32).eval(), (0, 1), "cpu")
    torch.manual_seed(0)
    attacked = foolbox.attacks.L2PGD(steps=10)(wrapped, x, target, epsilons=2.5)[1]
    assert fooled(smooth, attacked, target) >= 0.5


def test_captum_explains_the_logit_of_a_class(digits):
    from captum.attr import IntegratedGradients

    _, model, x, target = digits
    module = LocallyBiased(model.base, model.oracle, 0.0).as_module()
    share = IntegratedGradients(module).attribute(x, target=target, n_steps=50)
    logits = [module(z).gather(1, target[:, None])[:, 0] for z in (x, torch.zeros_like(x))]
    torch.testing.assert_close(share.flatten(1).sum(1), logits[0] - logits[1], rtol=0.05, atol=0.1)


def test_the_link_is_attacked_at_least_as_well_as_the_score_on_mnist(mnist):
    task = data.images("mnist", 0, test_points=200)
    oracle = NearestNeighborOracle(task.reference_x, task.reference_y)
    model = LocallyBiased(trained(task, 1), oracle, 10.0)
    left = {}
    for kind in ("link", "score"):
        attacked = pgd(model.as_module(kind), task.test_x, task.test_y, 2.0, L2, steps=40)
        left[kind] = (model.predict(attacked) == task.test_y).double().mean().item()
    assert left["link"] <= left["score"] - 0.1
