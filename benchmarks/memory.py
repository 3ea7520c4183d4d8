"""Certifying MNIST with many reference points: the model, and, run as a program, the peak memory of
one kind of call.

    python benchmarks/memory.py sharp '[[1000, 20], [10000, 20]]'

prints, for each pair of reference points N and test points n, how many MiB the peak of the process
has risen above that before the first oracle was made. Pairs should grow, as a peak never falls.
"""

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lbrs import LinearScore, LocallyBiased, NearestNeighborOracle
from lbrs.experiments import data

ALPHA = 1.0
METHODS: dict[str, Callable[[LocallyBiased, Tensor], object]] = {
    "predict": lambda model, x: model.predict(x),
    "paper": lambda model, x: model.certify(x, "paper"),
    "sharp": lambda model, x: model.certify(x, "sharp"),
}


def images() -> tuple[Tensor, Tensor, Tensor]:
    """All training images of MNIST in random order, one of each label first, with labels (eight or
    not), and all test images; pixels 0 to 255."""
    from torchvision.datasets import MNIST

    folder = data.fetch("mnist")
    train, test = MNIST(folder, train=True), MNIST(folder, train=False)
    order = torch.randperm(len(train.data), generator=torch.Generator().manual_seed(0))
    positive = (train.targets[order] == 8).double()
    first = torch.stack([positive.argmax(), positive.argmin()])
    order = torch.cat([order[first], order[~torch.isin(torch.arange(len(order)), first)]])
    return train.data[order], torch.where(train.targets[order] == 8, 1.0, -1.0), test.data


def model(points: Tensor, labels: Tensor) -> LocallyBiased:
    """LBRS on a linear score with a new oracle of these reference points, so that the oracle is
    what costs."""
    weight = torch.randn(
        points[0].shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    return LocallyBiased(
        LinearScore(weight, 0.1), NearestNeighborOracle(points.double() / 255, labels), ALPHA
    )


def peak() -> float:
    """The most memory this process has held, in MiB. On Linux ru_maxrss would begin with the peak
    of the parent."""
    status = Path("/proc/self/status")
    if status.is_file():
        return (
            next(
                int(line.split()[1])
                for line in status.read_text().splitlines()
                if line.startswith("VmHWM:")
            )
            / 1024
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def rises(method: str, pairs: list[tuple[int, int]]) -> list[float]:
    """The peak after each call less the peak before the first oracle, in MiB."""
    points, labels, test = images()
    before, found = peak(), []
    for N, n in pairs:
        METHODS[method](model(points[:N], labels[:N]), test[:n].double() / 255)
        found.append(peak() - before)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(rises(sys.argv[1], json.loads(sys.argv[2]))))
