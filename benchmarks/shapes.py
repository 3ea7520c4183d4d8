"""Norms that are not lp, drawn for any number of features, and their exact lengths."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import mpmath
import numpy as np
import torch
from torch import Tensor

from lbrs import L1, L2, LINF, GroupNorm, Mahalanobis, Norm, OwnNorm
from lbrs.norms.lp import Lp
from lbrs.norms.weighted import Weighted


@dataclass(frozen=True)
class Shape:
    """A kind of norm, drawn for d features."""

    name: str
    make: Callable[[np.random.Generator, int], Norm]

    def __str__(self) -> str:
        return self.name


class Cone(OwnNorm):
    """||v||_1 + ||v||_inf, as a user would write it."""

    def length(self, v: Tensor) -> Tensor:
        return v.abs().sum(-1) + v.abs().amax(-1)

    def dual_length(self, y: Tensor) -> Tensor:
        return self.shares(y.abs().sort(descending=True).values).amax(-1)

    def shares(self, top: Tensor) -> Tensor:
        return top.cumsum(-1) / torch.arange(2, top.shape[-1] + 2)

    def attained(self, a: Tensor) -> Tensor:
        top, order = a.abs().sort(descending=True)
        last = self.shares(top).argmax(-1, keepdim=True)
        some = torch.arange(a.shape[-1]) <= last
        return a.sign() * torch.zeros_like(a).scatter(-1, order, some / (last.to(a) + 2))


def weights(rng: np.random.Generator, d: int) -> np.ndarray:
    return 10.0 ** (rng.choice([0.1, 1, 3]) * rng.normal(size=d)).clip(-15, 15)


def mask(rng: np.random.Generator, d: int) -> np.ndarray:
    return (rng.random(d) < 0.6) | (np.arange(d) == rng.integers(d))


def turned(rng: np.random.Generator, d: int) -> Norm:
    matrix = rng.normal(size=(d, d)) + rng.choice([0.5, 5]) * np.eye(d)
    try:
        return Mahalanobis(matrix * 10.0 ** rng.uniform(-3, 3))
    except ValueError:
        return Mahalanobis(np.eye(d))


def grouped(p: float, q: float) -> Callable[[np.random.Generator, int], Norm]:
    return lambda rng, d: GroupNorm(p, q, rng.integers(0, max(1, d // 2), d))


def drawn(norm: Norm | Shape, rng: np.random.Generator, d: int) -> Norm:
    """The norm itself, or one of the shape."""
    return norm.make(rng, d) if isinstance(norm, Shape) else norm


def weighted(base: Norm) -> Shape:
    return Shape(f"weighted {base}", lambda rng, d: base.weighted(weights(rng, d)))


def masked(base: Norm) -> Shape:
    return Shape(
        f"masked, weighted {base}",
        lambda rng, d: base.weighted(weights(rng, d)).only(mask(rng, d)),
    )


SOLVED = (
    *(weighted(norm) for norm in (L1, L2, LINF)),
    *(masked(norm) for norm in (L1, L2, LINF)),
    Shape("Mahalanobis", turned),
)
"""Shapes in which exact radii are known."""

SHAPES = (
    *SOLVED,
    weighted(Norm(3)),
    Shape("linf of l2 groups", grouped(math.inf, 2)),
    Shape("l1 of linf groups", grouped(1, math.inf)),
    Shape("weighted Mahalanobis", lambda rng, d: turned(rng, d).weighted(weights(rng, d))),
    Shape("a user's norm", lambda rng, d: Cone()),
)


def exact_length(norm: Norm, parts: list[mpmath.mpf]) -> mpmath.mpf:
    """||v|| of the numbers `parts`, in the working precision of mpmath."""
    if isinstance(norm, Lp):
        sizes = [abs(part) for part in parts]
        if norm.p == math.inf:
            return max(sizes)
        p = mpmath.mpf(norm.p)
        return mpmath.fsum(size**p for size in sizes if size) ** (1 / p)
    if isinstance(norm, Weighted):
        pairs = zip(norm.weights.tolist(), parts, strict=True)
        return exact_length(
            norm.base, [mpmath.mpf(w) * part if part else part for w, part in pairs]
        )
    if isinstance(norm, GroupNorm):
        group = norm.stated()["groups"]
        members = [[p for g, p in zip(group, parts, strict=True) if g == k] for k in set(group)]
        return exact_length(norm.outer, [exact_length(norm.inner, few) for few in members])
    if isinstance(norm, Mahalanobis):
        rows = norm.matrix.tolist()
        products = ([mpmath.mpf(t) * part for t, part in zip(r, parts, strict=True)] for r in rows)
        return exact_length(L2, [mpmath.fsum(product) for product in products])
    return mpmath.fsum(map(abs, parts)) + max(map(abs, parts))
