"""Balls that are ellipsoids in any position (Lemma R)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lbrs._checks import ArrayLike, array
from lbrs.norms.base import Image, Norm, kept, tensor
from lbrs.norms.lp import L2

WORST = 1e-4
"""The largest share by which a norm may be off; a matrix that needs more is refused."""

Array = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, init=False)
class Mahalanobis(Norm):
    r"""The l2 norm after a linear map: ||matrix v||_2.

    .. math:: \|v\| = \|T v\|_2, \qquad \|y\|_* = \|T^{-\top} y\|_2

    With T^T T the inverse of a covariance matrix its balls are the ellipsoids of that distribution.

    Source: Section 2.1, :doc:`linear`.

    Parameters:
        matrix: T (d, d), invertible.

    Raises:
        ValueError: for a matrix so close to a singular one that rounding spoils its norm.

    >>> norm = Mahalanobis([[2.0, 0.0], [1.0, 1.0]])
    >>> float(norm(torch.tensor([1.0, -1.0]))), float(norm.dual(torch.tensor([2.0, 0.0])))
    (2.0, 1.0)
    """

    __slots__ = ("_inverse", "_matrix", "_share", "_size")
    _matrix: bytes
    _inverse: bytes
    _share: float
    _size: float

    def __init__(self, matrix: ArrayLike) -> None:
        T = array("matrix", matrix).cpu().numpy()
        if T.ndim != 2 or T.shape[0] != T.shape[1] or not T.size:
            raise ValueError(f"matrix must have shape (d, d), got {T.shape}")
        try:
            inverse = np.linalg.inv(T)
        except np.linalg.LinAlgError:
            inverse = np.full_like(T, np.nan)
        share = _share(T, inverse)
        if not share <= WORST:
            raise ValueError(
                "matrix must be invertible in float64 with digits to spare, got one whose norm is "
                f"known to a share of {share:.2g} only; at most {WORST:g} is allowed"
            )
        self._set(kept(torch.from_numpy(T)), kept(torch.from_numpy(inverse.T)), share)

    def _set(self, matrix: bytes, inverse: bytes, share: float) -> "Mahalanobis":
        size = math.sqrt(float((np.frombuffer(inverse) ** 2).sum())) * (1 + 1e-9) / (1 - share)
        parts = {"_matrix": matrix, "_inverse": inverse, "_share": share, "_size": size}
        for name, value in parts.items():
            object.__setattr__(self, name, value)
        return self

    def __reduce__(self) -> tuple[Callable[..., Norm], tuple[bytes, bytes, float]]:
        return _remade, (self._matrix, self._inverse, self._share)

    def __str__(self) -> str:
        return f"Mahalanobis of {self.features()} features"

    def features(self) -> int:
        return math.isqrt(len(self._matrix) // 8)

    @property
    def matrix(self) -> Tensor:
        """T (d, d), as a copy."""
        return self._as(self._matrix, torch.empty(0, dtype=torch.float64)).clone()

    @property
    def inverse(self) -> Tensor:
        """T^-1 (d, d) as computed, as a copy."""
        return self._as(self._inverse, torch.empty(0, dtype=torch.float64)).T.clone()

    def _as(self, numbers: bytes, like: Tensor) -> Tensor:
        d = self.features()
        return tensor(numbers, like.dtype, like.device).reshape(d, d)

    @property
    def absolute(self) -> bool:
        return False

    @property
    def dual(self) -> Norm:
        return _remade(self._inverse, self._matrix, self._share)

    def __call__(self, v: Tensor) -> Tensor:
        return L2(v @ self._as(self._matrix, v).T)

    def maximizer(self, a: Tensor) -> Tensor:
        """T^-1 m(T^-T a)."""
        inverse = self._as(self._inverse, a)
        return L2.maximizer(a @ inverse.T) @ inverse

    def rounding(self, d: int, dtype: torch.dtype = torch.float64) -> float:
        """As `Norm.rounding`, with the error of the inverse.

        Lemma. Let X be the computed inverse, T X = I - F, ||F|| <= f < 1. Then
        T^-T y = (I - F)^-T X^T y, so ||X^T y||_2 is off by a share of f / (1 - f). A product T v is
        off by (d + 2) u |T| |v|, whose length is at most (d + 2) u ||T||_F ||v||_2, and
        ||v||_2 <= ||T^-1|| ||T v||_2: (d + 2) u ||T||_F ||T^-1||_F, for X^T y likewise.
        """
        eps = torch.finfo(dtype).eps
        return self._share * (eps / torch.finfo(torch.float64).eps) + L2.rounding(d, dtype)

    def lost(self, d: int, dtype: torch.dtype = torch.float64) -> float:
        return 4 * d * d * torch.finfo(dtype).tiny

    def reach(self, d: int) -> Tensor:
        rows = self._as(self._inverse, torch.empty(0, dtype=torch.float64)).T
        return L2(rows) * ((1 + 1e-9) / (1 - self._share))

    def stretch(self, d: int) -> float:
        return self._size

    def image(self, v: Tensor) -> Image:
        image = v @ self._as(self._matrix, v).T
        return image, L2(image) * (2 * self._share), L2

    def stated(self) -> dict[str, object]:
        rows = self.matrix.tolist()
        return {"matrix": [[entry.hex() for entry in row] for row in rows]}


def _remade(matrix: bytes, inverse: bytes, share: float) -> Mahalanobis:
    found: Mahalanobis = object.__new__(Mahalanobis)
    return found._set(matrix, inverse, share)


def _share(T: Array, X: Array) -> float:
    """The share of `Mahalanobis.rounding` in float64, for the computed inverse X of T; inf or NaN
    where that is no inverse."""
    d, eps = len(T), float(np.finfo(float).eps)
    size = float(np.linalg.norm(T) * np.linalg.norm(X)) * (1 + 1e-9)
    f = float(np.linalg.norm(T @ X - np.eye(d))) + 2 * (d + 2) * eps * (size + d)
    return (f + (d + 2) * eps * size) / (1 - f) * (1 + 1e-9) if f < 0.5 else math.inf
