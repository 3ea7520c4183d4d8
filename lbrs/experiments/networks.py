"""The base networks, and how they are trained."""

import math
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lbrs._checks import integer, number

SOFT = 40.0
"""Where torch's softplus turns into the identity.

From 37 on that makes no difference in float64, while at the default, 20, its gradient jumps."""


def cnn(
    shape: tuple[int, ...],
    channels: tuple[int, int, int] = (16, 32, 64),
    *,
    generator: torch.Generator | None = None,
) -> nn.Sequential:
    """The paper's network: three convolutional layers with ReLU and one fully connected layer,
    giving one logit (n, 1).

    The convolutions are 3x3 with stride 2 (Section 5.2 leaves kernel, stride and width open).

    Parameters:
        shape: (channels, height, width) of an image.
        channels: of the three layers.
        generator: draws the weights, uniformly with torch's usual bounds.
    """
    return _convolutional(shape, channels, 3, nn.ReLU, generator)


def smooth_mlp(
    shape: tuple[int, ...],
    widths: tuple[int, ...] = (256,),
    *,
    generator: torch.Generator | None = None,
) -> nn.Sequential:
    """A fully connected network with softplus units, giving one logit (n, 1).

    Its gradient is Lipschitz, so Theorems 8 and E' hold for it.

    Parameters:
        shape: of a point.
        widths: of the hidden layers.
        generator: draws the weights.
    """
    sizes = [math.prod(shape), *widths]
    layers: list[nn.Module] = [nn.Flatten()]
    for inner, outer in zip(sizes, sizes[1:], strict=False):
        layers += [nn.utils.skip_init(nn.Linear, inner, outer), nn.Softplus(threshold=SOFT)]
    return _drawn(nn.Sequential(*layers, nn.utils.skip_init(nn.Linear, sizes[-1], 1)), generator)


def smooth_cnn(
    shape: tuple[int, ...],
    channels: tuple[int, ...] = (16,),
    *,
    generator: torch.Generator | None = None,
) -> nn.Sequential:
    """Convolutions (5x5, stride 2) with softplus units and one linear layer, giving one logit
    (n, 1); its gradient is Lipschitz.

    Parameters:
        shape: (channels, height, width) of an image.
        channels: of the hidden layers.
        generator: draws the weights.
    """
    return _convolutional(shape, channels, 5, partial(nn.Softplus, threshold=SOFT), generator)


def _convolutional(
    shape: tuple[int, ...],
    channels: tuple[int, ...],
    size: int,
    activation: Callable[[], nn.Module],
    generator: torch.Generator | None,
) -> nn.Sequential:
    """Convolutions with odd kernel `size` and stride 2, each with its activation, then one linear
    layer to a logit."""
    depth, height, width = shape
    layers: list[nn.Module] = []
    for wide in channels:
        padding = size // 2
        layers.append(nn.utils.skip_init(nn.Conv2d, depth, wide, size, stride=2, padding=padding))
        layers.append(activation())
        depth, height, width = wide, -(-height // 2), -(-width // 2)
    last = nn.utils.skip_init(nn.Linear, depth * height * width, 1)
    return _drawn(nn.Sequential(*layers, nn.Flatten(), last), generator)


def _drawn(network: nn.Sequential, generator: torch.Generator | None) -> nn.Sequential:
    for layer in network:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            if layer.bias is not None:
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return network


def logistic(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The mean logistic loss of the logits at `x` (n, *shape) with labels `y` (n,) in {-1, +1}."""
    return F.softplus(-y * network(x).flatten()).mean()


def train(
    network: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    epochs: int,
    batch: int = 128,
    learning_rate: float = 3e-3,
    noise: float = 0.0,
    generator: torch.Generator | None = None,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
    loss: Callable[[nn.Module, Tensor, Tensor], Tensor] = logistic,
) -> float:
    r"""Train a logit network in place by Adam with a one-cycle rate; returns the last epoch's mean
    loss.

    Afterwards the network is in evaluation mode and its weights are fixed.

    Parameters:
        network: giving one logit (n, 1).
        x: the points (n, \*shape).
        y: the labels (n,) in {-1, +1}.
        epochs: how often all points are used.
        batch: how many points a step uses.
        learning_rate: the largest one of the cycle.
        noise: standard deviation of the normal noise that is added to each batch.
        generator: on the CPU, draws order and noise.
        progress: wraps the loop over epochs.
        loss: the mean loss of the network at a batch.
    """
    integer("epochs", epochs, low=1)
    number("learning_rate", learning_rate, low=0, open_low=True)
    device = next(network.parameters()).device
    x, y = x.to(device), y.to(device, torch.float32)
    steps = math.ceil(len(x) / integer("batch", batch, low=1))
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=epochs * steps
    )
    network.train()
    for _ in progress(range(epochs)):
        total = 0.0
        for rows in torch.randperm(len(x), generator=generator).split(batch):
            inputs = x[rows.to(device)]
            if number("noise", noise, low=0) > 0:
                inputs = inputs + noise * torch.randn(inputs.shape, generator=generator).to(device)
            value = loss(network, inputs, y[rows.to(device)])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
            total += value.item() * len(rows)
    network.eval().requires_grad_(False)
    return total / len(x)
