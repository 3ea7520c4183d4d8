"""Functions that no score may have: chance, rows that see each other, numbers that leave torch."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from admission_cases import Case, chain, rows, seeded
from torch import nn


class Careless(nn.Module):
    """A network that drops what it should keep: by a layer built in forward, or by a flag that
    stays set."""

    def __init__(self, drop):
        super().__init__()
        self.linear, self.drop = nn.Linear(4, 1), drop

    def forward(self, x):
        return self.linear(self.drop(self, x))


class Caller:
    """A callable object, or one with a method, around a network in training mode."""

    def __init__(self, network):
        self.network = network.train()

    def __call__(self, x):
        return self.network(x)

    method = __call__


class Counter:
    """A function with a memory."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return x.sum(1) + self.calls


class Averager(nn.Module):
    """Keeps a running mean of what it sees, in evaluation mode as well."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(4, dtype=torch.float64))

    def forward(self, x):
        self.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))
        return (x - self.mean).sum(1)


def careless(drop):
    return seeded(Careless, drop)


def noise(draw):
    return lambda x: x.sum(1) + draw(x)


def behind_a_lambda(*layers):
    network = chain(*layers).train()
    return lambda x: network(x)


def attention(**options):
    return lambda x: rows(lambda q: F.scaled_dot_product_attention(q, q, q, **options))(x)


DROPPED = "dropout|bernoulli|attention"
UNSEEN = "watched|same points"

CHANCE = {
    "dropout, training by default": Case(lambda: rows(lambda x: F.dropout(x, 0.1, True)), DROPPED),
    "dropout under self.training": Case(
        lambda: Caller(careless(lambda m, x: F.dropout(x, 0.5, m.training))), DROPPED
    ),
    "a layer built in forward": Case(lambda: careless(lambda m, x: nn.Dropout(0.5)(x)), DROPPED),
    "attention with dropout": Case(lambda: attention(dropout_p=0.1), DROPPED, (3, 4)),
    "masked attention with dropout": Case(
        lambda: attention(dropout_p=0.2, is_causal=True), DROPPED, (3, 4)
    ),
    "training behind a lambda": Case(lambda: behind_a_lambda(nn.Dropout(0.3)), DROPPED),
    "training behind a method": Case(lambda: Caller(chain(nn.Dropout(0.3))).method, DROPPED),
    "training behind an object": Case(lambda: Caller(chain(nn.Dropout(0.3))), DROPPED),
    "a module in training mode": Case(
        lambda: chain(nn.Dropout(0.3)).train(), DROPPED + "|evaluation"
    ),
    "dropout of whole features": Case(
        lambda: rows(lambda x: F.feature_alpha_dropout(x, 0.2, True)), "dropout|bernoulli", (2, 3)
    ),
    "alpha dropout": Case(lambda: behind_a_lambda(nn.AlphaDropout(0.2)), "dropout|bernoulli"),
    "leaky ReLU of random slope": Case(lambda: behind_a_lambda(nn.RReLU()), "rrelu"),
    "rand": Case(lambda: noise(lambda x: torch.rand(len(x))), "rand"),
    "randn_like": Case(lambda: noise(lambda x: torch.randn_like(x).sum(1)), "randn_like"),
    "tiny noise": Case(lambda: noise(lambda x: 1e-14 * torch.randn(len(x))), "randn"),
    "noise times zero": Case(lambda: noise(lambda x: 0 * torch.randn(len(x))), "randn"),
    "noise of a seed of its own": Case(
        lambda: noise(lambda x: torch.rand(len(x), generator=torch.Generator().manual_seed(0))),
        "rand",
    ),
    "bernoulli": Case(
        lambda: noise(lambda x: torch.bernoulli(torch.full_like(x, 0.5)).sum(1)), "bernoulli"
    ),
    "multinomial": Case(
        lambda: lambda x: x[:, torch.multinomial(torch.ones(4), 2)].sum(1), "multinomial"
    ),
    "normal_ in place": Case(
        lambda: noise(lambda x: torch.empty_like(x).normal_().sum(1)), "normal_"
    ),
    "uniform_ in place": Case(
        lambda: noise(lambda x: torch.empty_like(x).uniform_().sum(1)), "uniform_"
    ),
    "randperm": Case(
        lambda: lambda x: (x[:, torch.randperm(4)] * torch.arange(4)).sum(1), "randperm"
    ),
    "Gumbel softmax": Case(lambda: lambda x: F.gumbel_softmax(x)[:, 0], "exponential_"),
    "a normal distribution": Case(
        lambda: noise(lambda x: torch.distributions.Normal(x, 1.0).rsample().sum(1)), "normal"
    ),
    "NumPy's noise": Case(
        lambda: noise(lambda x: torch.from_numpy(np.random.normal(size=len(x)))), UNSEEN
    ),
    "Python's noise": Case(lambda: noise(lambda x: random.random()), UNSEEN),
    "a count of calls": Case(lambda: Counter(), UNSEEN),
    "a running mean": Case(lambda: seeded(Averager), "mul_"),
}

BATCH = "rows"

ROWS = {
    "standardised by hand": Case(lambda: rows(lambda x: (x - x.mean(0)) / x.std(0)), BATCH),
    "scaled by the largest": Case(lambda: rows(lambda x: (x / x.max()).tanh()), BATCH),
    "scaled by the norm of all": Case(lambda: rows(lambda x: (x / x.norm()).tanh()), BATCH),
    "less the first row": Case(lambda: rows(lambda x: x - x[0]), BATCH),
    "less the row before": Case(lambda: rows(lambda x: x - x.roll(1, 0)), BATCH),
    "sorted along the batch": Case(lambda: rows(lambda x: x.sort(0).values), BATCH),
    "ranks in the batch": Case(lambda: rows(lambda x: x.argsort(0).argsort(0).double()), BATCH),
    "softmax of the wrong axis": Case(lambda: lambda x: x.softmax(0)[:, 0], BATCH),
    "cumulative sum of the wrong axis": Case(lambda: lambda x: x.cumsum(0)[:, 0], BATCH),
    "normalised along the batch": Case(lambda: rows(lambda x: F.normalize(x, dim=0)), BATCH),
    "batch norm without statistics": Case(
        lambda: chain(nn.BatchNorm1d(6, track_running_stats=False), nn.Tanh()), BATCH
    ),
    "F.batch_norm in training": Case(
        lambda: rows(lambda x: F.batch_norm(x, None, None, training=True).tanh()), BATCH
    ),
    "F.batch_norm that learns": Case(lambda: learning_norm(), "batch_norm|rows"),
    "batch norm in training behind a lambda": Case(
        lambda: behind_a_lambda(nn.BatchNorm1d(6)), "batch_norm|rows|evaluation"
    ),
    "attention across the batch": Case(lambda: across(nn.MultiheadAttention, 4, 2), BATCH, (3, 4)),
    "LSTM across the batch": Case(lambda: across(nn.LSTM, 4, 4), BATCH, (3, 4)),
    "GRU across the batch": Case(lambda: across(nn.GRU, 4, 4), BATCH, (3, 4)),
    "layer norm over the batch": Case(
        lambda: rows(lambda x: F.layer_norm(x.T, x.T.shape[1:]).T.tanh()), BATCH
    ),
    "whitened by the batch": Case(
        lambda: rows(lambda x: (x - x.mean(0)) @ torch.linalg.inv(torch.cov(x.T) + torch.eye(4))),
        BATCH,
    ),
    "quantised by the batch": Case(
        lambda: rows(lambda x: (x * 7 / x.abs().max()).round() * x.abs().max() / 7), BATCH
    ),
    "neighbours in the batch": Case(
        lambda: lambda x: torch.cdist(x, x).sort(1).values[:, 1], BATCH
    ),
    "a graph on the batch": Case(
        lambda: lambda x: ((-torch.cdist(x, x)).softmax(1) @ x).sum(1), BATCH
    ),
    "values by the batch's median": Case(lambda: rows(lambda x: x - x.median(0).values), BATCH),
    "convolution along the batch": Case(
        lambda: (
            lambda x: F.conv1d(x.T[:, None], torch.ones(1, 1, 3).double(), padding=1).sum((0, 1))
        ),
        BATCH,
    ),
    "a mean of all scores": Case(lambda: lambda x: x.sum(1) - 0.01 * x.sum(1).mean(), BATCH),
}


def learning_norm():
    mean, variance = torch.zeros(4).double(), torch.ones(4).double()
    return rows(lambda x: F.batch_norm(x, mean, variance, training=True))


def across(layer, *args):
    """An attention or a recurrent layer that takes the batch for the sequence."""
    module = seeded(layer, *args)
    return lambda x: module(*([x] * (3 if layer is nn.MultiheadAttention else 1)))[0].sum((1, 2))


DETOURS = {
    "through NumPy": Case(
        lambda: lambda x: torch.from_numpy(np.tanh(x.detach().numpy()).sum(1)), UNSEEN
    ),
    "through NumPy and back to x": Case(
        lambda: lambda x: x.sum(1) * torch.from_numpy(np.cos(x.detach().numpy())).mean(1), UNSEEN
    ),
    "through single precision in NumPy": Case(
        lambda: lambda x: torch.from_numpy(x.detach().numpy().astype("f4")).double().sum(1), UNSEEN
    ),
    "through a list": Case(
        lambda: lambda x: torch.tensor([sum(row) for row in x.tolist()]), UNSEEN
    ),
    "through a list, as weights": Case(
        lambda: lambda x: x.sum(1) + torch.tensor([max(row) for row in x.tolist()]), UNSEEN
    ),
    "through numbers": Case(
        lambda: lambda x: torch.stack([row.sum() * row[0].item() for row in x]), UNSEEN
    ),
    "through a copy to Python": Case(
        lambda: lambda x: x.new_tensor([float(row[0]) for row in x.detach()]), UNSEEN
    ),
}
