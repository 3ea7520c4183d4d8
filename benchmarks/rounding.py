"""Bounds of rounding errors against arbitrary precision, on random chains of all kinds of layers,
types, depths and sizes of weights.

Run as `python benchmarks/rounding.py [networks]`, 500 by default: prints for each type the largest
share error / bound, the median one, how many networks the bound refuses, and exits with 1 if an
error exceeds its bound. The reference evaluates each network, with its weights as stored, at the
exact x in 60 digits (mpmath), convolutions and pools by loops of its own.
"""

import itertools
import math
import sys
from dataclasses import dataclass, field

import numpy as np
import torch
from mpmath import mp, mpf
from torch import Tensor, nn

from lbrs import L1, L2, LINF
from lbrs.layers.chains import TYPES, owned, rounding_errors

POINTS = 6
IMAGE = (2, 5, 4)
Triples = list[tuple[int, int, mpf]]


def network(rng: np.random.Generator) -> tuple[nn.Sequential, tuple[int, ...]]:
    """A random chain with 1 to 4 linear maps, and the shape of its points."""
    units = [
        nn.ReLU,
        lambda: nn.LeakyReLU(0.3),
        nn.Tanh,
        nn.Sigmoid,
        lambda: nn.Softplus(float(rng.choice([0.5, 1, 7])), 40),
    ]
    if rng.random() < 0.6:
        units = units[2:]
    depth, unit = int(rng.integers(1, 5)), lambda: units[rng.integers(len(units))]()
    if rng.random() < 0.3:
        return _drawn(nn.Sequential(*_convolutional(rng, unit)), rng), IMAGE
    sizes = [int(n) for n in rng.integers(1, 9, depth)]
    made = [
        layer
        for a, b in itertools.pairwise(sizes)
        for layer in (nn.Linear(a, b, bias=bool(rng.random() < 0.8)), unit())
    ]
    return _drawn(nn.Sequential(*made, nn.Linear(sizes[-1], 1)), rng), (sizes[0],)


def _convolutional(rng: np.random.Generator, unit) -> list[nn.Module]:
    groups, stride, padding = (
        int(rng.integers(1, 3)),
        int(rng.integers(1, 3)),
        int(rng.integers(0, 2)),
    )
    layers: list[nn.Module] = [nn.Conv2d(2, 4, (3, 2), stride, padding, groups=groups), unit()]
    layers += {0: [nn.MaxPool2d(2, 1)], 1: [nn.AvgPool2d(2, 1)]}.get(int(rng.integers(0, 5)), [])
    inner = nn.Sequential(*layers)(torch.zeros(1, *IMAGE)).numel()
    return [*layers, nn.Flatten(), nn.Linear(inner, 1)]


def _drawn(made: nn.Sequential, rng: np.random.Generator) -> nn.Sequential:
    """Weights of sizes between 1e-3 and 1e2, one size a layer."""
    for weight in made.double().parameters():
        weight.data = torch.from_numpy(
            rng.normal(size=weight.shape) * 10 ** rng.uniform(-3, 2) / math.sqrt(weight[0].numel())
        )
    return made


@dataclass
class Reference:
    """g and its gradient in 60 digits."""

    network: nn.Sequential
    shape: tuple[int, ...]
    tables: list = field(default_factory=list)

    def __post_init__(self) -> None:
        mp.dps = 60
        shape = (1, *self.shape)
        for module in self.network:
            after = tuple(
                module(torch.zeros(shape, dtype=next(self.network.parameters()).dtype)).shape
            )
            self.tables.append(_triples(module, shape[1:], after[1:]))
            shape = after

    def __call__(self, x: np.ndarray) -> tuple[mpf, list[mpf] | None]:
        """g(x), and grad g(x), None at kinks."""
        a, kept = [mpf(float(v)) for v in x.ravel()], []
        for module, table in zip(self.network, self.tables, strict=True):
            kept.append(a)
            if isinstance(module, nn.MaxPool2d):
                a = [max(a[i] for i in window) for window in table]
            elif table is not None:
                a = _product(table, a, _bias(module, table))
            elif not isinstance(module, nn.Flatten):
                a = [_unit(module, z)[0] for z in a]
        q = [mpf(1)]
        for module, table, z in zip(
            reversed(self.network), reversed(self.tables), reversed(kept), strict=True
        ):
            if isinstance(module, (nn.ReLU, nn.LeakyReLU, nn.MaxPool2d)):
                return a[0], None
            if table is not None:
                q = _product([(i, o, w) for o, i, w in table], q, [mpf(0)] * len(z))
            elif not isinstance(module, nn.Flatten):
                q = [v * _unit(module, t)[1] for v, t in zip(q, z, strict=True)]
        return a[0], q


def _product(table: Triples, a: list[mpf], start: list[mpf]) -> list[mpf]:
    result = list(start)
    for o, i, w in table:
        result[o] += w * a[i]
    return result


def _bias(module: nn.Module, table: Triples) -> list[mpf]:
    count = max(o for o, _, _ in table) + 1
    if getattr(module, "bias", None) is None:
        return [mpf(0)] * count
    bias = [mpf(v) for v in module.bias.double().tolist()]
    return [bias[o // (count // len(bias))] for o in range(count)]


def _triples(module: nn.Module, shape: tuple[int, ...], after: tuple[int, ...]):
    """A linear map as triples (output, input, weight), the windows of MaxPool2d, or None."""
    if isinstance(module, nn.Linear):
        return [
            (o, i, mpf(w))
            for o, row in enumerate(module.weight.double().tolist())
            for i, w in enumerate(row)
        ]
    if isinstance(module, nn.Conv2d):
        weight, (top, left), (down, right) = (
            module.weight.double().tolist(),
            module.padding,
            module.stride,
        )
        inner, block = len(weight[0]), len(weight) // module.groups
        return [
            (
                (o * after[1] + i) * after[2] + j,
                ((o // block * inner + c) * shape[1] + y) * shape[2] + x,
                mpf(w),
            )
            for o, i, j in np.ndindex(*after)
            for c, a, b in np.ndindex(*module.weight.shape[1:])
            for y, x, w in [(i * down + a - top, j * right + b - left, weight[o][c][a][b])]
            if 0 <= y < shape[1] and 0 <= x < shape[2]
        ]
    if not isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
        return None
    windows = [
        [(c * shape[1] + i + a) * shape[2] + j + b for a in (0, 1) for b in (0, 1)]
        for c, i, j in np.ndindex(*after)
    ]
    return (
        windows
        if isinstance(module, nn.MaxPool2d)
        else [(o, i, mpf(1) / 4) for o, window in enumerate(windows) for i in window]
    )


def _unit(module: nn.Module, z: mpf) -> tuple[mpf, mpf]:
    """s(z) and s'(z)."""
    if isinstance(module, nn.Softplus):
        beta = mpf(module.beta)
        e = mp.exp(-abs(beta * z))
        return max(z, mpf(0)) + mp.log1p(e) / beta, (1 if z >= 0 else e) / (1 + e)
    if isinstance(module, nn.Tanh):
        return mp.tanh(z), mp.sech(z) ** 2
    if isinstance(module, nn.Sigmoid):
        e = mp.exp(-abs(z))
        return (1 if z >= 0 else e) / (1 + e), e / (1 + e) ** 2
    return (z if z >= 0 else z * mpf(getattr(module, "negative_slope", 0.0))), mpf(0)


def points(
    made: nn.Sequential, shape: tuple[int, ...], domain: float, rng: np.random.Generator
) -> Tensor:
    """Points of the box: corners, the corner of the steepest ascent, points that no short type
    holds, and points near 0."""
    corners = torch.from_numpy(rng.choice([-domain, domain], (POINTS, *shape)))
    at = torch.zeros(1, *shape, dtype=torch.float64, requires_grad=True)
    steepest = torch.autograd.grad(made(at).sum(), at)[0].sign() * domain
    odd = torch.from_numpy(rng.uniform(-domain, domain, (POINTS, *shape)))
    return torch.cat([corners, steepest, -steepest, odd, odd * 1e-4])


def shares(seed: int) -> tuple[torch.dtype, list[float] | None]:
    """The type of a random case, and error / bound at its points, of values and then of gradients;
    None if the bound refuses it."""
    rng = np.random.default_rng(seed)
    made, shape = network(rng)
    dtype, domain, norm = (
        TYPES[seed % 4],
        float(rng.choice([1.0, 10.0, 3000.0])),
        (L1, L2, LINF)[seed // 4 % 3],
    )
    x = points(made, shape, domain, rng)
    made = owned(made, dtype)
    try:
        value, gradient = rounding_errors(made, shape, norm, domain)
    except ValueError:
        return dtype, None
    exact, given = Reference(made, shape), x.to(dtype, copy=True).requires_grad_()
    output = made(given)
    (slopes,) = torch.autograd.grad(output.sum(), given)
    found = []
    for point, g, slope in zip(
        x.numpy(), output.double().flatten().tolist(), slopes.double(), strict=True
    ):
        true, rate = exact(point)
        found.append(float(abs(true - g) / mpf(value)))
        if rate is not None:
            gap = torch.tensor(
                [[float(a - mpf(b)) for a, b in zip(rate, slope.flatten().tolist(), strict=True)]],
                dtype=torch.float64,
            )
            found.append(norm.dual(gap).item() / gradient)
    return dtype, found


def run(count: int) -> dict[torch.dtype, tuple[list[float], int]]:
    """For each type the largest share of each network, and how many were refused."""
    found = {dtype: ([], 0) for dtype in TYPES}
    for seed in range(count):
        dtype, every = shares(seed)
        kept, refused = found[dtype]
        found[dtype] = (kept, refused + 1) if every is None else ([*kept, max(every)], refused)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = run(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
    for dtype, (kept, refused) in found.items():
        print(
            f"{dtype}: {len(kept)} networks, error / bound at most {max(kept):.3g}, median "
            f"{np.median(kept):.3g}; {refused} refused"
        )
    sys.exit(max(max(kept) for kept, _ in found.values()) > 1)
