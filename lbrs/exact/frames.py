"""Changes of variables after which a norm is an lp norm (Lemma R)."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from lbrs.exact.programs import Array, Box
from lbrs.norms import L1, L2, LINF, Mahalanobis, Norm
from lbrs.norms.lp import Lp
from lbrs.norms.weighted import Weighted
from lbrs.rounding import EPS

PLAIN = (L1, L2, LINF)
"""The lp norms in which the programs are solved."""


@dataclass(frozen=True)
class Frame:
    """Coordinates v = T d with ||d|| = ||v||_p, and rows h^T d = (T^-T h)^T v.

    p: the exponent. share: how far a row may be off, as a share of its dual norm.
    """

    p: float
    q: float
    share: float

    def into(self, d: Array) -> Array:
        """T d for rows d (..., n)."""
        return d

    def back(self, v: Array) -> Array:
        """d = T^-1 v."""
        return v

    def rows(self, h: Array) -> Array:
        """T^-T h."""
        return h

    def box(self, box: Box) -> Box:
        """The lowest and the highest v of a box of d."""
        return box


@dataclass(frozen=True)
class Stretched(Frame):
    """T = diag(w); where w is inf, d and v are 0."""

    w: Array
    inverse: Array

    def into(self, d: Array) -> Array:
        return np.where(self.inverse > 0, d, 0.0) * np.where(self.inverse > 0, self.w, 0.0)

    def back(self, v: Array) -> Array:
        return v * self.inverse

    def rows(self, h: Array) -> Array:
        return h * self.inverse

    def box(self, box: Box) -> Box:
        free = self.inverse > 0
        w = np.where(free, self.w, 1.0)
        low, high = np.nextafter(box[0] * w, -np.inf), np.nextafter(box[1] * w, np.inf)
        low, high = (
            np.where(end == 0, 0.0, wide) for end, wide in zip(box, (low, high), strict=True)
        )
        return np.where(free, low, 0.0), np.where(free, high, 0.0)


@dataclass(frozen=True)
class Turned(Frame):
    """Any invertible T, without a box."""

    T: Array
    inverse: Array

    def into(self, d: Array) -> Array:
        found: Array = d @ self.T.T
        return found

    def back(self, v: Array) -> Array:
        found: Array = v @ self.inverse.T
        return found

    def rows(self, h: Array) -> Array:
        found: Array = h @ self.inverse
        return found


def frame(norm: Norm, d: int) -> Frame | None:
    """The frame of a norm, None where exact radii are not known."""
    if isinstance(norm, Mahalanobis):
        return Turned(2.0, 2.0, 2 * norm.rounding(d), norm.matrix.numpy(), norm.inverse.numpy())
    base = norm.base if isinstance(norm, Weighted) else norm
    if base not in PLAIN or not isinstance(base, Lp):
        return None
    q = {1.0: math.inf, math.inf: 1.0}.get(base.p, 2.0)
    if not isinstance(norm, Weighted):
        return Frame(base.p, q, 0.0)
    w = norm.weights
    inverse = torch.where(torch.isinf(w), 0.0, 1 / w)
    return Stretched(base.p, q, 4 * EPS, w.numpy(), inverse.numpy())
