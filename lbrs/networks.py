"""The base networks, and how they are trained."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lbrs._checks import integer, number


def cnn(shape: tuple[int, int, int], channels: tuple[int, int, int] = (16, 32, 64), *, generator: torch.Generator | None = None) -> nn.Sequential:
    """The paper's network: three convolutional layers with ReLU and one fully connected layer, giving one logit (n, 1).

    The convolutions are 3x3 with stride 2 (Section 5.2 leaves kernel, stride and width open). Weights are drawn by `generator`,
    uniformly with torch's usual bounds. Parameters: `shape` (channels, height, width) of an image; `channels` of the three layers.
    """
    depth, height, width = shape
    layers: list[nn.Module] = []
    for wide in channels:
        layers += [nn.utils.skip_init(nn.Conv2d, depth, wide, 3, stride=2, padding=1), nn.ReLU()]
        depth, height, width = wide, -(-height // 2), -(-width // 2)
    layers += [nn.Flatten(), nn.utils.skip_init(nn.Linear, depth * height * width, 1)]
    network = nn.Sequential(*layers)
    for layer in network:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return network


def train(network: nn.Module, x: Tensor, y: Tensor, *, epochs: int, batch: int = 128, learning_rate: float = 3e-3,
          noise: float = 0.0, generator: torch.Generator | None = None, progress=lambda epochs: epochs) -> float:
    """Train a logit network in place by Adam with a one-cycle rate on the logistic loss; returns the last epoch's mean loss.

    Afterwards the network is in evaluation mode and its weights are fixed. Parameters: `x` (n, *shape), `y` (n,) in {-1, +1};
    `noise`, the standard deviation of normal noise added to each batch; `generator`, on the CPU, draws order and noise;
    `progress` wraps the loop over epochs.
    """
    integer("epochs", epochs, low=1)
    number("learning_rate", learning_rate, low=0, open_low=True)
    device = next(network.parameters()).device
    x, y = x.to(device), y.to(device, torch.float32)
    steps = math.ceil(len(x) / integer("batch", batch, low=1))
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=epochs * steps)
    network.train()
    for _ in progress(range(epochs)):
        total = 0.0
        for rows in torch.randperm(len(x), generator=generator).split(batch):
            inputs = x[rows.to(device)]
            if number("noise", noise, low=0) > 0:
                inputs = inputs + noise * torch.randn(inputs.shape, generator=generator).to(device)
            loss = F.softplus(-y[rows.to(device)] * network(inputs).flatten()).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
    network.eval().requires_grad_(False)
    return total / len(x)
