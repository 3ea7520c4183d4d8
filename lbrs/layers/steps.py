"""What one layer does to numbers and to their errors: linear maps, activations and pools."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lbrs.layers.arithmetic import Arithmetic
from lbrs.layers.spectra import spectral_norm, written_out
from lbrs.norms import L1, L2, LINF, Norm

Bounds = tuple[Tensor, Tensor]
"""Elementwise bounds (1, *shape): of the sizes of exact numbers, and of the errors of computed
ones."""

Weighted = nn.Linear | nn.Conv2d


@dataclass(frozen=True)
class Map:
    """A linear map W u + b: Linear, Conv2d with zero padding, or AvgPool2d, for inputs that are
    reshaped to (n, *shape)."""

    module: Weighted | nn.AvgPool2d
    shape: tuple[int, ...]
    linear: ClassVar[bool] = True
    smooth: ClassVar[bool] = True
    peak: ClassVar[float] = 1.0

    def __call__(self, u: Tensor, absolute: bool = False) -> Tensor:
        """W u for inputs (n, ...), or |W| u with the entries' sizes."""
        u, module = u.reshape(len(u), *self.shape), self.module
        if isinstance(module, nn.AvgPool2d):
            return averages(module, u)
        weight = module.weight.abs() if absolute else module.weight
        if isinstance(module, nn.Linear):
            return F.linear(u, weight)
        stride, padding, dilation = module.stride, module.padding, module.dilation
        return F.conv2d(u, weight, None, stride, padding, dilation, module.groups)

    def back(self, q: Tensor) -> Tensor:
        """|W|^T q for `q` (1, ...), differentiable in the weights."""
        return transposed(self, q)

    def bias(self) -> Tensor | None:
        """b, or None."""
        return None if isinstance(self.module, nn.AvgPool2d) else self.module.bias

    @property
    def terms(self) -> tuple[int, int]:
        """The most products in one entry of W u, and of W^T q."""
        module = self.module
        if isinstance(module, nn.AvgPool2d):
            window = math.prod(pair(module.kernel_size))
            return window, window
        inner = module.weight[0].numel()
        columns = self.shape[0] if isinstance(module, nn.Conv2d) else inner
        return inner, module.weight.numel() // columns

    @property
    def size(self) -> float:
        """The sum of the sizes of the weights; 1 for averages."""
        if isinstance(self.module, nn.AvgPool2d):
            return 1.0
        return self.module.weight.abs().sum().item()

    def constant(self, norm: Norm) -> float:
        """The operator norm in `norm`, up to rounding; at most a bound."""
        ones = torch.ones(1, *self.shape, dtype=torch.float64)
        there = self(ones, absolute=True)
        columns, rows = self.back(torch.ones_like(there)).max().item(), there.max().item()
        if norm == L2 and not isinstance(self.module, nn.AvgPool2d):
            return spectral_norm(written_out(self.module, self.shape))
        return {L1: columns, L2: math.sqrt(columns) * math.sqrt(rows), LINF: rows}[norm]

    def forward(self, bounds: Bounds, kind: Arithmetic) -> Bounds:
        """The bounds of W u + b from those of u: of n products, each passes at most n roundings,
        and one more with a bias."""
        (size, error), count, bias = bounds, self.terms[0], self.bias()
        exact, wrong = self(size, absolute=True), self(error, absolute=True)
        if bias is not None:
            exact = exact + bias.abs().reshape(1, -1, *[1] * (exact.ndim - 2)).expand_as(exact)
        entries = self(torch.ones_like(size), absolute=True)
        lost = 2 * count + 2 + entries + count * (size + error).max()
        grown = kind.grows(count + (bias is not None)) * (exact + wrong)
        return exact, wrong + grown + kind.floor * lost

    def backward(self, bounds: Bounds, kept: Tensor, kind: Arithmetic) -> Bounds:
        """The bounds of W^T q from those of q."""
        (q, off), count = bounds, self.terms[1]
        exact, wrong = self.back(q), self.back(off)
        lost = 2 * count + 2 + self.back(torch.ones_like(q)) + count * (q + off).max()
        return exact, wrong + kind.grows(count) * (exact + wrong) + kind.floor * lost


@dataclass(frozen=True)
class Unit:
    """An activation s: |s'| <= `slope`, `low` <= s'' <= `high`, |s| <= `top`, |s(0)| = `origin`;
    infinite where s' jumps.

    A computed s(z) is off by at most `value` eps (|s(z)| + `offset`), a computed q s'(z) by `rate`
    eps `slope` |q|; on the way back numbers of up to `peak` |q| occur.
    """

    name: str
    slope: float
    low: float = -math.inf
    high: float = math.inf
    origin: float = 0.0
    top: float = math.inf
    value: float = 0.0
    rate: float = math.inf
    offset: float = 0.0
    peak: float = 1.0
    linear: ClassVar[bool] = False

    @property
    def smooth(self) -> bool:
        """Whether s'' is bounded."""
        return math.isfinite(self.high)

    @property
    def bend(self) -> float:
        """The largest |s''|."""
        return max(self.high, -self.low)

    def __call__(self, u: Tensor, absolute: bool = False) -> Tensor:
        """Sizes at the steepest."""
        return self.slope * u

    back = __call__

    def forward(self, bounds: Bounds, kind: Arithmetic) -> Bounds:
        """The bounds of s(z) from those of z."""
        size, error = bounds
        exact, given = self._most(size), self._most(size + error)
        lost = kind.floor * (1 + self.slope)
        return exact, self.slope * error + self.value * kind.eps * (given + self.offset) + lost

    def _most(self, size: Tensor) -> Tensor:
        """The largest |s(z)| for |z| <= `size`."""
        return (self.slope * size + self.origin).clamp(max=self.top)

    @property
    def size(self) -> float:
        """The slope."""
        return self.slope

    def constant(self, norm: Norm) -> float:
        """The Lipschitz constant, in every norm."""
        return self.slope

    def backward(self, bounds: Bounds, kept: Tensor, kind: Arithmetic) -> Bounds:
        """The bounds of q s'(z) from those of q, where the computed z is off by `kept`."""
        q, off = bounds
        rate = self.bend * kept + self.rate * kind.eps * self.slope + kind.floor
        return self.slope * q, self.slope * off + (q + off) * rate + kind.floor * (1 + self.slope)


@dataclass(frozen=True)
class Pool:
    """MaxPool2d: each output is one of its inputs."""

    module: nn.MaxPool2d
    shape: tuple[int, ...]
    linear: ClassVar[bool] = False
    smooth: ClassVar[bool] = False

    @property
    def windows(self) -> int:
        """The most outputs that an input may become."""
        sizes, strides = pair(self.module.kernel_size), pair(self.module.stride)
        return math.prod(-(-size // stride) for size, stride in zip(sizes, strides, strict=True))

    def __call__(self, u: Tensor, absolute: bool = False) -> Tensor:
        """The sums over the windows, which no change of the outputs exceeds."""
        u, module = u.reshape(len(u), *self.shape), self.module
        moves = module.kernel_size, module.stride, module.padding, module.ceil_mode
        return F.avg_pool2d(u, *moves, count_include_pad=True, divisor_override=1)

    def back(self, q: Tensor) -> Tensor:
        """The sums over the windows of which an input is part."""
        return transposed(self, q)

    @property
    def size(self) -> float:
        """1: no number grows."""
        return 1.0

    def constant(self, norm: Norm) -> float:
        """A Lipschitz constant in `norm`: an input becomes at most `windows` outputs."""
        return math.pow(self.windows, 0.0 if norm == LINF else 1.0 if norm == L1 else 0.5)

    def forward(self, bounds: Bounds, kind: Arithmetic) -> Bounds:
        """The bounds of the largest of a window: those of the entries."""
        size, error = (self.module(bound.reshape(1, *self.shape)) for bound in bounds)
        return size, error + kind.floor


Step = Map | Unit | Pool


def transposed(step: Map | Pool, q: Tensor) -> Tensor:
    """|W|^T q for `q` (1, ...), with the W whose |W| u a step gives."""
    at = torch.zeros(1, *step.shape, dtype=q.dtype, device=q.device, requires_grad=True)
    kept = q.requires_grad or torch.is_grad_enabled()
    with torch.enable_grad():
        there = step(at, absolute=True)
        (found,) = torch.autograd.grad(there, at, q.reshape(there.shape), create_graph=kept)
    return found


def averages(module: nn.AvgPool2d, u: Tensor) -> Tensor:
    """What `module` gives for `u`."""
    found: Tensor = module(u)
    return found


def pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    """The sizes along both axes of an image."""
    return (value, value) if isinstance(value, int) else tuple(value)
