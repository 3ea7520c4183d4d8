"""Certified MNIST: a bias certifies more than the smooth network alone, within time and memory,
and no attack of ART's comes inside."""

import resource

import numpy as np
import pytest
import torch
from torch import nn

from lbrs import L2, LocallyBiased, NearestNeighborOracle
from lbrs.curvature import CertifiedLoss, smooth_score
from lbrs.experiments import data
from lbrs.experiments.networks import smooth_mlp, train


@pytest.fixture(scope="module")
def task(mnist):
    return data.images("mnist", 0)


@pytest.fixture(scope="module")
def score(task):
    network = smooth_mlp(task.shape, generator=torch.Generator().manual_seed(0))
    loss = CertifiedLoss(task.shape, L2, 0.5, 0.5, torch.Generator().manual_seed(1))
    train(
        network,
        task.train_x,
        task.train_y,
        epochs=5,
        generator=torch.Generator().manual_seed(2),
        loss=loss,
    )
    return smooth_score(network, task.shape, L2)


def oracle(task, N):
    rows = torch.cat([(task.train_y == label).nonzero().flatten()[: N // 2] for label in (1, -1)])
    return NearestNeighborOracle(task.train_x[rows], task.train_y[rows])


def test_a_bias_is_better_on_clean_images_and_certified_at_both_radii(task, score):
    nearest = oracle(task, 2000)
    base, *biased = (
        LocallyBiased(score, nearest, alpha).certify(task.test_x) for alpha in (0.0, 0.1, 0.2)
    )
    assert base.kind == "deterministic" and base.source == "Theorem E'"
    assert (base.prediction == score.linearize(task.test_x, L2).base).all()
    gains = [
        [
            certificate.accuracy(task.test_y, radius) - base.accuracy(task.test_y, radius)
            for radius in (0, 0.25, 0.5)
        ]
        for certificate in biased
    ]
    assert max(min(gain) for gain in gains) > 0


def test_all_test_images_against_ten_thousand_reference_points_fit_into_memory(task, score):
    nearest = oracle(task, 10_000)
    certificate = LocallyBiased(score, nearest, 0.2).certify(task.test_x)
    assert len(certificate) == 1948 and certificate.accuracy(task.test_y, 0.5) > 0.85
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 6 * 2**20


class Smoothed(nn.Module):
    """g^mu as scores (-g^mu, g^mu), differentiable through the gradient's norm;
    the oracle's label is piecewise constant."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        with torch.enable_grad():
            x = x.double() if x.requires_grad else x.double().requires_grad_()
            g = self.model.base.function(x).flatten()
            (gradient,) = torch.autograd.grad(g.sum(), x, create_graph=True)
            value = g + self.model.alpha * self.model.oracle.label(x.detach()) * gradient.flatten(
                1
            ).norm(dim=1)
        return torch.stack([-value, value], 1)


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"
)
def test_projected_gradient_descent_of_art_finds_no_flip_inside_and_some_outside(task, score):
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    model = LocallyBiased(score, oracle(task, 200), 0.2)
    rows = slice(0, None, 40)
    x, certificate = task.test_x[rows], model.certify(task.test_x[rows])
    wrapped = PyTorchClassifier(
        Smoothed(model),
        nn.CrossEntropyLoss(),
        input_shape=task.shape,
        nb_classes=2,
        device_type="cpu",
    )
    target, flips = ((certificate.prediction + 1) // 2).long().numpy(), {}
    for share in (1 - 1e-6, 4.0):
        attacked = x.double().clone()
        for i in certificate.radius.gt(0).nonzero().flatten().tolist():
            radius = share * certificate.radius[i].item()
            attack = ProjectedGradientDescent(
                wrapped,
                norm=2,
                eps=radius,
                eps_step=radius / 4,
                max_iter=20,
                num_random_init=1,
                verbose=False,
            )
            np.random.seed(i)
            attacked[i] = torch.from_numpy(
                attack.generate(x[i : i + 1].numpy(), target[i : i + 1])[0]
            ).double()
        distance = L2((attacked - x).flatten(1))
        inside = (distance <= share * certificate.radius * (1 + 1e-6)) & (
            distance > 0.5 * share * certificate.radius
        )
        assert inside.double().mean() > 0.8
        flips[share] = (
            (model.predict(attacked) != certificate.prediction)[inside].double().mean().item()
        )
    assert flips[1 - 1e-6] == 0 and flips[4.0] > 0.5
