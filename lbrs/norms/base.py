"""What every norm answers, and what follows from that alone."""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from lbrs._checks import ArrayLike, array

Image = tuple[Tensor, Tensor, "Norm"]

KINDS: dict[str, type["Norm"]] = {}
"""The classes that a norm makes others of, by their names."""


class Norm:
    r"""A norm on R^d, with its dual and the vector in which the dual pairing is largest.

    ``Norm(p)`` is the lp norm, 1 <= p <= inf:

    .. math::

       \|v\| = \Big(\sum_i |v_i|^p\Big)^{1/p}, \qquad
       \|v\| = \max_i |v_i| \ \text{ for } p = \infty

    Calling a norm maps vectors (..., d) to their norms (...,); ``rounding`` bounds how far the
    result may be off. A certificate rests on the laws of a norm and of its dual, so there are
    only the classes of ``lbrs.norms``, and `OwnNorm` for a norm of your own.

    Source: Section 2.1, :doc:`linear`.

    Parameters:
        p: a number with 1 <= p <= inf.

    Raises:
        ValueError, TypeError: for any other p; TypeError for a subclass.

    >>> float(L2(torch.tensor([3.0, 4.0])))
    5.0
    >>> print(LINF.weighted([1.0, 10.0]), "|", L2.only([True, False, True]))
    linf of 2 features with weights from 1 to 10 | l2 of 3 features, 1 of them frozen
    """

    __slots__ = ()

    def __new__(cls, *given: object, **named: object) -> "Norm":
        return object.__new__(KINDS["lp"] if cls is Norm else cls)

    def __init_subclass__(cls, kind: str = "", **_: object) -> None:
        if kind:
            KINDS[kind] = cls
        if cls.__module__.rpartition(".")[0] != __package__:
            raise TypeError(
                "Norm must not be subclassed: a certificate rests on the laws of a norm; "
                "write a norm of your own as a subclass of lbrs.norms.OwnNorm"
            )

    @property
    def dual(self) -> "Norm":
        r"""The dual norm; for lp it is lq with 1/p + 1/q = 1 (:prf:ref:`Lemma 0 <lemma-0>`).

        .. math:: \|y\|_* = \sup\{x^\top y : \|x\| \le 1\}
        """
        raise NotImplementedError

    def __call__(self, v: Tensor) -> Tensor:
        raise NotImplementedError

    def maximizer(self, a: Tensor) -> Tensor:
        r"""A vector m of length 1 in which the pairing with a is largest: the optimal bias for
        alpha = 1; 0 where ||a||_* = 0.

        .. math:: a^\top m = \|a\|_*, \qquad \|m\| = 1

        Source: equation (3), :doc:`linear`.

        Parameters:
            a: (..., d).

        Returns:
            (..., d).

        >>> LINF.maximizer(torch.tensor([2.0, -3.0]))
        tensor([ 1., -1.])
        """
        raise NotImplementedError

    @property
    def absolute(self) -> bool:
        """Whether the norm depends on the sizes of the entries alone."""
        return True

    def rounding(self, d: int, dtype: torch.dtype = torch.float64) -> float:
        """A share s such that the computed norm of any v in R^d is off by at most
        s ||v|| + `lost(d)`."""
        raise NotImplementedError

    def lost(self, d: int, dtype: torch.dtype = torch.float64) -> float:
        """What underflow may take from a computed norm, beside the share of `rounding`."""
        return 2 * d * torch.finfo(dtype).tiny

    def reach(self, d: int) -> Tensor:
        """Upper bounds (d,) of abs(v_i) for ||v|| <= 1: the dual norms of the unit vectors."""
        raise NotImplementedError

    def stretch(self, d: int) -> float:
        """An upper bound of ||v||_2 for ||v|| <= 1."""
        raise NotImplementedError

    def features(self) -> int | None:
        """The d of its R^d; None if any will do."""
        return None

    def above(self, v: Tensor) -> Tensor:
        """||v|| or a little more, never less, for `v` (..., d), as (...,): what a divisor has to
        be; 0 for v = 0.

        It is also above the norm of a vector whose entries, differences of two numbers each, were
        rounded to `v`: with s = `rounding(d)`, ||v|| (1 + u) <= (computed + t) (1 + u) / (1 - s).

        >>> bool(L2.above(torch.tensor([1.0, 1.0])) ** 2 > 2)
        True
        """
        d, u = v.shape[-1], torch.finfo(v.dtype).eps / 2
        length = self(v)
        share = min(self.rounding(d, v.dtype) + u, 0.5)
        raised = (length + self.lost(d, v.dtype)) * ((1 + 4 * u) / (1 - share))
        raised = torch.nextafter(raised, length.new_tensor(math.inf))
        return torch.where((v != 0).any(-1), raised, length)

    def spread(self, w: Tensor) -> Tensor:
        """An upper bound of sum_i abs(w_i v_i) for ||v|| <= 1, for `w` (..., d), as (...,): how
        fast rounding errors of a sum grow. The dual norm, where signs do not matter."""
        if self.absolute:
            return self.dual.above(w)
        return (w.abs() * self.reach(w.shape[-1]).to(w)).sum(-1) * (1 + 1e-9)

    def movable(self, v: Tensor) -> Tensor:
        """`v` (..., d) with 0 for the features that cannot move."""
        return v

    def image(self, v: Tensor) -> Image | None:
        """T v for rows `v` (n, d), how far at most each is off (n,) in an lp norm, and that norm,
        whose value at T v is ||v||; None where there is no such T."""
        return None

    def weighted(self, weights: ArrayLike) -> "Norm":
        r"""The norm in which feature i costs `weights[i]` times as much.

        .. math:: \|v\|_w = \|(w_1 v_1, \dots, w_d v_d)\|

        With w_i = 1/t_i a radius r in linf lets feature i move by r t_i: give the tolerances t_i.
        inf freezes a feature: a v that moves it has length inf, and the dual ignores it. 0 frees
        it: the dual of a vector with an entry there is inf, and no certificate is given.

        Parameters:
            weights: of the shape of one point, each 0, inf, or between 1e-30 and 1e30.

        >>> norm = LINF.weighted([1.0, 10.0])
        >>> float(norm(torch.tensor([0.5, 0.25]))), float(norm.dual(torch.tensor([0.5, 5.0])))
        (2.5, 1.0)
        """
        return KINDS["weighted"](self, weights)

    def only(self, mask: ArrayLike) -> "Norm":
        """The norm of changes of the features where `mask` is True; the others cannot move.

        Parameters:
            mask: bool or 0 and 1, of the shape of one point.

        >>> norm = L2.only([True, False])
        >>> norm(torch.tensor([[3.0, 0.0], [3.0, 1.0]])), norm.dual(torch.tensor([3.0, 1.0]))
        (tensor([3., inf]), tensor(3.))
        """
        allowed = torch.as_tensor(mask if isinstance(mask, Tensor) else np.asarray(mask))
        if not ((allowed == 0) | (allowed == 1)).all():
            raise ValueError("mask must hold True and False, or 1 and 0, only")
        return self.weighted(torch.where(allowed.bool(), 1.0, math.inf).double())

    def stated(self) -> dict[str, object]:
        """What tells this norm from others, for JSON."""
        raise ValueError(f"norm must be one of lbrs.norms to be written to a file, got {self}")


@lru_cache(maxsize=256)
def tensor(numbers: bytes, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Kept float64 numbers as a tensor, which nobody may change."""
    found = torch.frombuffer(bytearray(numbers), dtype=torch.float64)
    return found.to(device, dtype)


def kept(values: Tensor) -> bytes:
    """Float64 numbers in memory that nobody can change."""
    return bytes(values.detach().cpu().to(torch.float64).contiguous().numpy().tobytes())


def whole(name: str, values: ArrayLike) -> tuple[int, ...]:
    """Whole numbers as a tuple."""
    found = array(name, values).flatten()
    if not torch.equal(found, found.floor()):
        raise ValueError(f"{name} must hold whole numbers, a group's number for each feature")
    return tuple(int(value) for value in found.tolist())
