"""Seconds per certified point: the closed forms against Cohen's protocol with very many draws."""

import itertools
import time
from functools import partial

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
    order = generator("cpu", "certifying", "order")
    train(network, task.train_x, task.train_y, epochs=1, generator=order)
    return network


def networks(task: data.BinaryTask) -> dict[str, nn.Module]:
    """A fitted network for each kind of score, by its row of the table."""
    config = CertifiedConfig()
    linear = nn.Sequential(nn.Flatten(), nn.Linear(task.test_x[0].numel(), 1))
    first, second = (generator("cpu", "certifying", name) for name in ("smooth", "rough"))
    smooth = smooth_mlp(task.shape, (config.width,), generator=first)
    rough = cnn(task.shape, config.channels, generator=second)
    found = {"linear score": linear, "smooth network": smooth, "Cohen": rough}
    return {name: fitted(network, task) for name, network in found.items()}


@pytest.mark.benchmark(group="certifying")
def test_closed_forms_against_cohen(benchmark, sizes):
    task = data.images("mnist", 0, reference_points=10, test_points=sizes.certified_points)
    oracle = NearestNeighborOracle(task.reference_x, task.reference_y)
    known = networks(task)
    start = time.perf_counter()
    smooth = smooth_score(known["smooth network"], task.shape, L2)
    setup = time.perf_counter() - start
    last = known["linear score"][1]
    linear = LinearScore(last.weight.reshape(task.shape), last.bias.item())
    scores = {"linear score": linear, "smooth network": smooth}
    contenders = {}
    for (name, score), bound in itertools.product(scores.items(), ("paper", "sharp")):
        certify = partial(LocallyBiased(score, oracle, ALPHA).certify, task.test_x, bound)
        certify()
        contenders[f"{name}, {bound}"] = lambda turn, certify=certify: certify
    draws = generator("cpu", "certifying", "draws")
    drawn = CohenScore(known["Cohen"], SIGMA, sizes.cohen_samples, draws)
    cohen = LocallyBiased(drawn, oracle, 0.0)
    contenders["Cohen"] = lambda turn: partial(cohen.certify, task.test_x[turn : turn + 1])
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
        weights={name: size(network) for name, network in known.items()},
    )
