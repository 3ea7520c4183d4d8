"""Norms of groups of features: patches, colours, one-hot columns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from lbrs._checks import ArrayLike
from lbrs.norms.base import Norm, kept, tensor, whole
from lbrs.norms.lp import Lp


@final
@dataclass(frozen=True, init=False)
class GroupNorm(Norm):
    r"""The lp norm of the lq norms of groups of features.

    .. math::

       \|v\| = \big\| \big( \|v_g\|_q \big)_g \big\|_p, \qquad
       \|y\|_* = \big\| \big( \|y_g\|_{q*} \big)_g \big\|_{p*}

    p = inf, q = 2 lets each group move by the radius: each pixel's colour, say. p = 1, q = inf
    adds up what groups move: few of them, freely.

    Proof of the dual. y^T v <= sum_g ||y_g||_q* ||v_g||_q by Lemma 0 in each group, and that is at
    most the product of the norms by Lemma 0 over the groups; the maximisers attain both. []

    Source: Section 2.1, :doc:`linear`.

    Parameters:
        p: of the groups.
        q: within a group.
        groups: of the shape of one point, a whole number >= 0 for each feature: its group's.

    >>> norm = GroupNorm(float("inf"), 2, [0, 0, 1])
    >>> v = torch.tensor([3.0, 4.0, 1.0])
    >>> float(norm(v)), float(norm.dual(v)), norm.maximizer(v)
    (5.0, 6.0, tensor([0.6000, 0.8000, 1.0000]))
    """

    __slots__ = ("_groups", "inner", "outer")
    outer: Norm
    inner: Norm
    _groups: bytes

    def __init__(self, p: float, q: float, groups: ArrayLike) -> None:
        numbers = torch.tensor(whole("groups", groups))
        if len(numbers) == 0 or int(numbers.min()) < 0:
            raise ValueError("groups must hold a whole number >= 0 for each feature")
        self._set(Lp(p), Lp(q), kept(numbers.unique(return_inverse=True)[1]))

    def _set(self, outer: Norm, inner: Norm, groups: bytes) -> "GroupNorm":
        for name, value in (("outer", outer), ("inner", inner), ("_groups", groups)):
            object.__setattr__(self, name, value)
        return self

    def __reduce__(self) -> tuple[Callable[..., Norm], tuple[Norm, Norm, bytes]]:
        return _remade, (self.outer, self.inner, self._groups)

    def __str__(self) -> str:
        count = int(self._numbers(torch.device("cpu")).max()) + 1
        return f"{self.outer} of the {self.inner} of {count} groups of {self.features()} features"

    def _numbers(self, device: torch.device) -> Tensor:
        """The group (d,) of each feature."""
        return tensor(self._groups, torch.int64, device)

    @property
    def dual(self) -> Norm:
        return _remade(self.outer.dual, self.inner.dual, self._groups)

    def features(self) -> int:
        return len(self._groups) // 8

    def _gathered(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """`v` (..., d) as (..., G, size), filled up with 0, and the place of each feature there."""
        group = self._numbers(v.device)
        order = group.argsort(stable=True)
        counts = torch.bincount(group)
        start = counts.cumsum(0) - counts
        size = int(counts.max())
        within = torch.empty_like(group)
        within[order] = torch.arange(len(group), device=v.device) - start[group[order]]
        place = group * size + within
        padded = v.new_zeros((*v.shape[:-1], len(counts) * size))
        padded = padded.index_copy(-1, place, v)
        return padded.unflatten(-1, (len(counts), size)), place

    def __call__(self, v: Tensor) -> Tensor:
        return self.outer(self.inner(self._gathered(v)[0]))

    def maximizer(self, a: Tensor) -> Tensor:
        parts, place = self._gathered(a)
        lengths = self.outer.maximizer(self.inner.dual(parts))
        found = lengths[..., None] * self.inner.maximizer(parts)
        return found.flatten(-2).index_select(-1, place)

    def rounding(self, d: int, dtype: torch.dtype = torch.float64) -> float:
        """As `Norm.rounding`: groups are off by the share of the norm within, in the sense that the
        norm over the groups keeps, and that one adds its own."""
        return (self.inner.rounding(d, dtype) + self.outer.rounding(d, dtype)) * (1 + 1e-6)

    def reach(self, d: int) -> Tensor:
        return torch.ones(d, dtype=torch.float64)

    def stretch(self, d: int) -> float:
        return self.inner.stretch(d) * self.outer.stretch(d)

    def stated(self) -> dict[str, object]:
        groups = self._numbers(torch.device("cpu")).tolist()
        return {"group": [self.outer.stated(), self.inner.stated()], "groups": groups}


def _remade(outer: Norm, inner: Norm, groups: bytes) -> GroupNorm:
    found: GroupNorm = object.__new__(GroupNorm)
    return found._set(outer, inner, groups)
