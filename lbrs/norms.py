"""lp norms, their duals, and the direction in which the dual pairing is largest."""

import math
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from lbrs._checks import number


@dataclass(frozen=True)
class Norm:
    """The lp norm ||v|| = (sum_i |v_i|^p)^(1/p) on R^d, max_i |v_i| for p = inf (paper, Section 2.1).

    Calling it maps vectors (..., d) to their norms (...,), scaled so that neither overflow nor underflow occurs.

    Parameters: `p`, a number with 1 <= p <= inf. Raises ValueError or TypeError for any other p.

    >>> float(L2(torch.tensor([3.0, 4.0])))
    5.0
    """

    p: float

    def __post_init__(self) -> None:
        value = self.p if isinstance(self.p, Real) and self.p == math.inf else number("p", self.p, low=1)
        object.__setattr__(self, "p", float(value))

    def __str__(self) -> str:
        return "linf" if self.p == math.inf else f"l{self.p:g}"

    @property
    def dual(self) -> "Norm":
        """The dual norm ||y||_* = sup{x^T y : ||x|| <= 1}, which is lq with 1/p + 1/q = 1 (book: lemma-0)."""
        if self.p == 1:
            return LINF
        return L1 if self.p == math.inf else Norm(self.p / (self.p - 1))

    def __call__(self, v: Tensor) -> Tensor:
        largest = v.abs().amax(-1)
        if self.p == math.inf:
            return largest
        scale = torch.where(largest > 0, largest, 1.0)
        return scale * torch.linalg.vector_norm(v / scale[..., None], ord=self.p, dim=-1)

    def maximizer(self, a: Tensor) -> Tensor:
        """A vector m with ||m|| = 1 and a^T m = ||a||_*, the optimal bias of Section 3.1 for alpha = 1 (book: paper-eq-3); 0 where a = 0.

        Parameters: `a` (..., d). Returns (..., d).

        >>> LINF.maximizer(torch.tensor([2.0, -3.0]))
        tensor([ 1., -1.])
        """
        if self.p == math.inf:
            return a.sign()
        if self.p == 1:
            top = a.abs().argmax(-1, keepdim=True)
            return torch.zeros_like(a).scatter(-1, top, a.gather(-1, top).sign())
        length = self.dual(a)[..., None]
        ratio = a.abs() / torch.where(length > 0, length, 1.0)
        return a.sign() * ratio ** (self.dual.p - 1)


L1 = Norm(1)
L2 = Norm(2)
LINF = Norm(math.inf)


def as_norm(name: str, value: object) -> Norm:
    """`value` itself, or an error unless it is a `Norm`."""
    if not isinstance(value, Norm):
        raise TypeError(f"{name} must be a Norm such as L1, L2, LINF or Norm(3), got {value!r}")
    return value
