"""What one layer does to numbers and to their errors: linear maps, activations and pools."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lbrs.layers.arithmetic import Arithmetic

Bounds = tuple[Tensor, Tensor]
"""Elementwise bounds (1, *shape): of the sizes of exact numbers, and of the errors of computed
ones."""


@dataclass(frozen=True)
class Map:
    """A linear map W u + b: Linear, Conv2d with zero padding, or AvgPool2d, for inputs that are
    reshaped to (n, *shape)."""

    module: nn.Module
    shape: tuple[int, ...]
    linear: ClassVar[bool] = True
    smooth: ClassVar[bool] = True

    def __call__(self, u: Tensor, absolute: bool = False) -> Tensor:
        """W u for inputs (n, ...), or |W| u with the entries' sizes."""
        u, module = u.reshape(len(u), *self.shape), self.module
        if isinstance(module, nn.AvgPool2d):
            return module(u)
        weight = module.weight.abs() if absolute else module.weight
        if isinstance(module, nn.Linear):
            return F.linear(u, weight)
        return F.conv2d(
            u, weight, None, module.stride, module.padding, module.dilation, module.groups
        )

    def back(self, q: Tensor) -> Tensor:
        """|W|^T q for `q` (1, ...), differentiable in the weights."""
        at = torch.zeros(1, *self.shape, dtype=q.dtype, device=q.device, requires_grad=True)
        kept = q.requires_grad or torch.is_grad_enabled()
        with torch.enable_grad():
            there = self(at, absolute=True)
            return torch.autograd.grad(there, at, q.reshape(there.shape), create_graph=kept)[0]

    def bias(self, like: Tensor) -> Tensor:
        """|b| in the shape of the output `like` (1, *out)."""
        bias = getattr(self.module, "bias", None)
        if bias is None:
            return torch.zeros_like(like)
        return bias.abs().reshape(1, -1, *[1] * (like.ndim - 2)).expand_as(like)

    @property
    def terms(self) -> tuple[int, int]:
        """The most products in one entry of W u, and of W^T q."""
        module = self.module
        if isinstance(module, nn.AvgPool2d):
            return (math.prod(pair(module.kernel_size)),) * 2
        inner = module.weight[0].numel()
        return inner, module.weight.numel() // (
            self.shape[0] if isinstance(module, nn.Conv2d) else inner
        )

    def forward(self, bounds: Bounds, kind: Arithmetic) -> Bounds:
        """The bounds of W u + b from those of u: of n products, each passes at most n roundings,
        and one more with a bias."""
        (size, error), count = bounds, self.terms[0]
        roundings = count + (getattr(self.module, "bias", None) is not None)
        exact = self(size, absolute=True)
        exact = exact + self.bias(exact)
        wrong = self(error, absolute=True)
        given = exact + wrong
        lost = (
            2 * count
            + 2
            + self(torch.ones_like(size), absolute=True)
            + count * (size + error).max()
        )
        result = wrong + kind.grows(roundings) * given + kind.floor * lost
        return exact, result

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
        exact, given = (
            (self.slope * v + self.origin).clamp(max=self.top) for v in (size, size + error)
        )
        lost = kind.floor * (1 + self.slope)
        return exact, self.slope * error + self.value * kind.eps * (given + self.offset) + lost

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
        module = self.module
        return F.avg_pool2d(
            u.reshape(len(u), *self.shape),
            module.kernel_size,
            module.stride,
            module.padding,
            module.ceil_mode,
            True,
            1,
        )

    back = Map.back

    def forward(self, bounds: Bounds, kind: Arithmetic) -> Bounds:
        """The bounds of the largest of a window: those of the entries."""
        size, error = (self.module(bound.reshape(1, *self.shape)) for bound in bounds)
        return size, error + kind.floor


Step = Map | Unit | Pool


def pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    """The sizes along both axes of an image."""
    return (value, value) if isinstance(value, int) else tuple(value)
