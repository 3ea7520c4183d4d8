"""lp norms, their duals, and the direction in which the dual pairing is largest."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from lbrs._checks import digits, number
from lbrs.norms.base import Image, Norm


@final
@dataclass(frozen=True)
class Lp(Norm, kind="lp"):
    """The lp norm, as `Norm` says: vectors are scaled by the largest entry, so that neither
    overflow nor underflow occurs."""

    __slots__ = ("p",)  # not slots=True, whose copy of the class breaks the errors of a frozen one
    p: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", number("p", self.p, low=1, infinite=True))

    def __reduce__(self) -> tuple[type[Norm], tuple[float]]:
        return Norm, (self.p,)

    def __repr__(self) -> str:
        return f"Norm(p={self.p})"

    def __str__(self) -> str:
        return "linf" if self.p == math.inf else f"l{digits(self.p)}"

    @property
    def dual(self) -> Norm:
        if self.p == 1:
            return LINF
        return L1 if self.p == math.inf else Lp(self.p / (self.p - 1))

    def __call__(self, v: Tensor) -> Tensor:
        largest = v.abs().amax(-1)
        if self.p == math.inf:
            return largest
        scale = torch.where(largest > 0, largest, 1.0)
        length: Tensor = torch.linalg.vector_norm(v / scale[..., None], ord=self.p, dim=-1)
        return scale * length

    def rounding(self, d: int, dtype: torch.dtype = torch.float64) -> float:
        """A share s such that the computed norm of any v in R^d is off by at most s ||v|| + t, t
        the least positive number of the type: s = (d + 10 + 4 ln d) u, u half the machine
        precision; 0 for p = inf.

        It holds for the norm with this exponent, and for the exact dual of the norm that this one
        was computed from as `dual`.

        Proof. With m = max abs(v_i), r_i = abs(v_i)/m, S = sum r_i^p, ||v|| = m S^(1/p), where
        1 <= S <= d, as one r_i is 1. To first order in u, rounding changes ||v|| by these shares:
        r_i is off by u, so r_i^p by p u, and by 4 u more from the power itself (2 units in the last
        place is what processors and GPUs promise), the sum by (d - 1) u in any order; together
        (p + d + 3) u / p. The exponent 1/p is off by a share u, which changes S^(1/p) by
        u ln(S) / p <= u ln d. The root costs 4 u and the product with m u. Powers and quotients
        that underflow change S by less than d times the least normal number, far below u^2.
        The dual exponent q = p/(p - 1) is off by a share 2 u, so 1/q by at most 2 u, and
        d ln||v||_q / d(1/q) = - sum w_i ln w_i, w_i = r_i^q / S, is an entropy, in [0, ln d]:
        2 u ln d. As p >= 1, the sum is at most (d + 8 + 3 ln d) u; 2 u and u ln d are left for
        terms of second order. Where the product with m is below the least normal number, it is
        rounded to a multiple of t. []
        """
        if self.p == math.inf:
            return 0.0
        return (d + 10 + 4 * math.log(max(d, 1))) * torch.finfo(dtype).eps / 2

    def lost(self, d: int, dtype: torch.dtype = torch.float64) -> float:
        return 0.0  # `above` takes the next number

    def reach(self, d: int) -> Tensor:
        return torch.ones(d, dtype=torch.float64)

    def stretch(self, d: int) -> float:
        power: float = d ** max(0.0, 0.5 - 1 / self.p)
        return power * (1 + 1e-12)

    def image(self, v: Tensor) -> Image:
        return v, torch.zeros_like(v[:, 0]), self

    def stated(self) -> dict[str, object]:
        return {"p": self.p.hex()}

    def maximizer(self, a: Tensor) -> Tensor:
        """As `Norm.maximizer`: m_i = sign(a_i) w_i / ||w|| with
        w_i = (abs(a_i) / max abs(a))^(1/(p - 1)), so that nothing underflows."""
        if self.p == math.inf:
            return a.sign()
        sizes = a.abs()
        if self.p == 1:
            top = sizes.argmax(-1, keepdim=True)
            return torch.zeros_like(a).scatter(-1, top, a.gather(-1, top).sign())
        largest = sizes.amax(-1, keepdim=True)
        w = (sizes / torch.where(largest > 0, largest, 1.0)) ** (1 / (self.p - 1))
        length = self(w)[..., None]
        return a.sign() * (w / torch.where(length > 0, length, 1.0))


L1: Norm = Lp(1)
L2: Norm = Lp(2)
LINF: Norm = Lp(math.inf)
