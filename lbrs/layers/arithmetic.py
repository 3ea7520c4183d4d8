"""What floating-point arithmetic may cost, and how far torch's activations are off."""

import math
from dataclasses import dataclass

import torch

SAFETY = 4
"""How often the largest measured error of an activation is taken."""

VALUES = {"Softplus": 1.5, "Tanh": 0.75, "Sigmoid": 1.25}
"""The largest error of s seen over all exponents (benchmarks/activations.py), rounded up, in eps of
the type times |s(z)|, or times s(z) + 1/beta for softplus, whose argument beta z is rounded too."""

RATES = {"Softplus": 1.0, "Tanh": 0.75, "Sigmoid": 3.0}
"""The same for s' as the backward pass computes it, from s(z) for tanh and sigmoid, in eps of the
type times the largest |s'|: it is an absolute error, since 1 - tanh^2 cancels. Measured for q = 1;
that q s'(z) is a product with up to two more roundings, of at most eps together, is within
`SAFETY`."""


@dataclass(frozen=True)
class Arithmetic:
    """Rounded arithmetic of a floating-point type of torch, in any order and with or without fused
    operations.

    fl(a op b) = (a op b)(1 + d) + f with |d| <= `unit` and |f| <= `floor`, as long as no result
    exceeds `largest` (Higham 2002, Section 2.2). The floor is the smallest normal number, since
    processors may be told to flush what is smaller to zero, also where it is an operand; in float16
    they never are.

    >>> round(256 * Arithmetic(torch.bfloat16).grows(1), 9)
    1.0
    """

    dtype: torch.dtype

    @property
    def eps(self) -> float:
        """The distance from 1 to the next larger number."""
        return torch.finfo(self.dtype).eps

    @property
    def floor(self) -> float:
        """The most that underflow costs in one operation or operand."""
        kind = torch.finfo(self.dtype)
        return kind.smallest_normal * (kind.eps if self.dtype == torch.float16 else 1.0)

    @property
    def largest(self) -> float:
        """The largest number."""
        return torch.finfo(self.dtype).max

    def grows(self, count: int) -> float:
        """(1 + unit)^count - 1, rounded up: the relative error of `count` roundings in a row."""
        power = count * math.log1p(self.eps / 2)
        return math.expm1(power) * (1 + 1e-12) if power < 700 else math.inf
