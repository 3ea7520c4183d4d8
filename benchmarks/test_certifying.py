"""Seconds per certified point: the closed forms against Cohen's protocol with very many draws."""

import time

import pytest
from measuring import interleaved
from torch import nn

from lbrs import L2, CohenScore, LinearScore, LocallyBiased, NearestNeighborOracle
from lbrs.curvature import smooth_score
from lbrs.experiments import data
from lbrs.experiments.configs import CertifiedConfig
from lbrs.experiments.networks import cnn, smooth_mlp, train
from lbrs.experiments.stages import generator

ALPHA, SIGMA = 0.2, 0.25


def size(network: nn.Module) -> int:
    """The number of weights."""
    return sum(weight.numel() for weight in network.parameters())


def fitted(network: nn.Module, task: data.BinaryTask) -> nn.Module:
    """The network after one epoch: what a certificate costs does not depend on the weights."""
    train(
        network,
        task.train_x,
        task.train_y,
        epochs=1,
        generator=generator("cpu", "certifying", "order"),
    )
    return network


@pytest.mark.benchmark(group="certifying")
def test_closed_forms_against_cohen(benchmark, sizes):
    config = CertifiedConfig()
    task = data.images("mnist", 0, reference_points=10, test_points=sizes.certified_points)
    oracle = NearestNeighborOracle(task.reference_x, task.reference_y)
    linear = fitted(nn.Sequential(nn.Flatten(), nn.Linear(task.test_x[0].numel(), 1)), task)
    smooth = fitted(
        smooth_mlp(task.shape, (config.width,), generator=generator("cpu", "certifying", "smooth")),
        task,
    )
    rough = fitted(
        cnn(task.shape, config.channels, generator=generator("cpu", "certifying", "rough")), task
    )
    start = time.perf_counter()
    smooth_one = smooth_score(smooth, task.shape, L2)
    setup = time.perf_counter() - start
    scores = {
        "linear score": LinearScore(linear[1].weight.reshape(task.shape), linear[1].bias.item()),
        "smooth network": smooth_one,
    }
    models = {name: LocallyBiased(score, oracle, ALPHA) for name, score in scores.items()}
    cohen = LocallyBiased(
        CohenScore(rough, SIGMA, sizes.cohen_samples, generator("cpu", "certifying", "draws")),
        oracle,
        0.0,
    )
    contenders = {
        f"{name}, {bound}": lambda turn, model=model, bound=bound: (
            lambda: model.certify(task.test_x, bound)
        )
        for name, model in models.items()
        for bound in ("paper", "sharp")
    }
    for prepare in contenders.values():
        prepare(0)()
    contenders["Cohen"] = lambda turn: lambda: cohen.certify(task.test_x[turn : turn + 1])
    seconds = interleaved(benchmark, contenders, sizes.cohen_points, warm=False)
    benchmark.extra_info.update(
        dataset="mnist",
        points={name: 1 if name == "Cohen" else len(task.test_x) for name in seconds},
        N=len(task.reference_y),
        samples=sizes.cohen_samples,
        alpha=ALPHA,
        sigma=SIGMA,
        setup=setup,
        seconds=seconds,
        weights={
            "linear score": size(linear),
            "smooth network": size(smooth),
            "Cohen": size(rough),
        },
    )
