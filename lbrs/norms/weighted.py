"""Norms with a weight for each feature (Lemma R)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from lbrs._checks import ArrayLike, digits, shown
from lbrs.norms.base import Image, Norm, kept, tensor

LIGHTEST, HEAVIEST = 1e-30, 1e30
"""Weights between these lose nothing to underflow that `lost` does not cover."""


@final
@dataclass(frozen=True, init=False)
class Weighted(Norm, kind="weighted"):
    r"""A norm of (w_1 v_1, ..., w_d v_d), as `Norm.weighted` and `Norm.only` give it.

    .. math::

       \|v\|_w = \|w \odot v\|, \qquad \|y\|_{w*} = \|y \oslash w\|_*, \qquad
       m_w(a) = m(a \oslash w) \oslash w

    Proof. With u = w v the pairing y^T v is (y / w)^T u, over ||u|| <= 1 (Lemma R). A feature with
    w_i = inf has v_i = 0 in the ball, which is what y_i / w_i = 0 says where the norm is absolute:
    the other entries alone decide the largest pairing. One with w_i = 0 is free. []
    """

    __slots__ = ("_inverse", "_weights", "base")
    base: Norm
    _weights: bytes
    _inverse: bytes

    def __init__(self, base: Norm, weights: ArrayLike) -> None:
        w = _weights(base, weights)
        if isinstance(base, Weighted):
            w, base = _weights(base.base, w * base.weights), base.base
        self._set(base, kept(w), kept(1 / w))

    def _set(self, base: Norm, weights: bytes, inverse: bytes) -> "Weighted":
        for name, value in (("base", base), ("_weights", weights), ("_inverse", inverse)):
            object.__setattr__(self, name, value)
        return self

    def __reduce__(self) -> tuple[Callable[..., Norm], tuple[Norm, bytes, bytes]]:
        return _remade, (self.base, self._weights, self._inverse)

    def __str__(self) -> str:
        w = self.weights
        frozen, some = torch.isinf(w), w[torch.isfinite(w)]
        told = f"{self.base} of {len(w)} features"
        if len(some) and not (some == 1).all():
            low, high = (digits(float(f"{v:.4g}")) for v in (some.min().item(), some.max().item()))
            told += f" with weights {low}" if low == high else f" with weights from {low} to {high}"
        return told + (f", {int(frozen.sum())} of them frozen" if frozen.any() else "")

    @property
    def absolute(self) -> bool:
        return self.base.absolute

    @property
    def weights(self) -> Tensor:
        """w (d,), as a copy."""
        return tensor(self._weights, torch.float64, torch.device("cpu")).clone()

    @property
    def dual(self) -> Norm:
        return _remade(self.base.dual, self._inverse, self._weights)

    def features(self) -> int:
        return len(self._weights) // 8

    def __call__(self, v: Tensor) -> Tensor:
        image = self._times(v, self._weights)
        endless = torch.isinf(image).any(-1)
        length = self.base(torch.where(endless[..., None], 0.0, image))
        return torch.where(endless, torch.inf, length)

    def maximizer(self, a: Tensor) -> Tensor:
        """As `Norm.maximizer`; 0 where ||a||_* is inf, too, as there is none."""
        b = self._times(a, self._inverse)
        b = torch.where(torch.isinf(b).any(-1, keepdim=True), 0.0, b)
        return self._times(self.base.maximizer(b), self._inverse)

    def _times(self, v: Tensor, weights: bytes) -> Tensor:
        """w v, 0 where v_i = 0."""
        w = tensor(weights, v.dtype, v.device)
        return torch.where(v == 0, 0.0, v * w) if torch.isinf(w).any() else v * w

    def rounding(self, d: int, dtype: torch.dtype = torch.float64) -> float:
        """As `Norm.rounding`. A weight, perhaps the inverse of one, is off by 2 u, and the product
        with it by u."""
        return self.base.rounding(d, dtype) * (1 + 1e-6) + 2 * torch.finfo(dtype).eps

    def reach(self, d: int) -> Tensor:
        inverse = tensor(self._inverse, torch.float64, torch.device("cpu"))
        return self.base.reach(d) * inverse * (1 + 1e-12)

    def stretch(self, d: int) -> float:
        longest = tensor(self._inverse, torch.float64, torch.device("cpu")).max().item()
        return self.base.stretch(d) * longest * (1 + 1e-12)

    def movable(self, v: Tensor) -> Tensor:
        w = tensor(self._weights, v.dtype, v.device)
        return self.base.movable(torch.where(torch.isinf(w), 0.0, v))

    def image(self, v: Tensor) -> Image | None:
        found = self.base.image(self._times(v, self._weights))
        if found is None:
            return None
        image, off, norm = found
        share = 2 * torch.finfo(v.dtype).eps
        return image, off * (1 + share) + share * (1 + 1e-6) * norm(image), norm

    def stated(self) -> dict[str, object]:
        weights = [weight.hex() for weight in self.weights.tolist()]
        return {"weighted": self.base.stated(), "weights": weights}


def _remade(base: Norm, weights: bytes, inverse: bytes) -> Weighted:
    found: Weighted = object.__new__(Weighted)
    return found._set(base, weights, inverse)


def _weights(base: Norm, weights: ArrayLike) -> Tensor:
    """Checked weights (d,)."""
    try:
        given = weights.detach().cpu().numpy() if isinstance(weights, Tensor) else weights
        w = torch.from_numpy(np.array(given, dtype=np.float64)).flatten()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"weights must be numbers, got {shown(weights)}") from error
    known = base.features()
    if len(w) == 0 or known not in (None, len(w)):
        raise ValueError(f"weights must be {known or 'at least one'} numbers, got {len(w)}")
    usual = (w >= LIGHTEST) & (w <= HEAVIEST)
    wrong = w[~(usual | (w == 0) | (w == math.inf))]
    if len(wrong):
        raise ValueError(
            f"weights must be 0, inf, or from {LIGHTEST:g} to {HEAVIEST:g}, got {wrong[0].item():g}"
        )
    if torch.isinf(w).all():
        raise ValueError("weights must leave a feature that can move, got none")
    if not base.absolute and not usual.all():
        raise ValueError(f"weights must be finite and > 0 for {base}, got {w[~usual][0].item():g}")
    return w
