"""The affine score, every rounding error of which is bounded (Section 3)."""

import math

import torch
from torch import Tensor

from lbrs._checks import array, batch, number
from lbrs.norms import Norm
from lbrs.rounding import CHOICE, affine_scores, affine_slope
from lbrs.scores.admission import observed
from lbrs.scores.base import Constant, Linearization, Score, sign


class LinearScore(Score):
    """The affine score g(x) = a^T x + b (Section 3), whose gradient a is 0-Lipschitz: Theorem 6 applies exactly.

    Parameters: `weight` a of shape (*shape) of one point; `bias` b, a number.

    >>> LinearScore([1.0, -1.0], 0.5).value(torch.tensor([[2.0, 1.0]]))
    tensor([1.5000], dtype=torch.float64)
    """

    def __init__(self, weight: object, bias: float = 0.0) -> None:
        self.weight = array("weight", weight).clone()
        if self.weight.ndim == 0 or self.weight.numel() == 0:
            raise ValueError(
                f"weight must have the shape of one point, got {tuple(self.weight.shape)}"
            )
        self.bias = number("bias", bias, low=-math.inf)
        super().__init__(self._affine, gradient_lipschitz=0.0, device=self.weight.device)
        self.observed = observed(torch.float64)
        top = self.weight.abs().max().item()
        self._unit = 2.0 ** min(900, -math.frexp(top)[1]) if 0 < top < 2.0**-500 else 1.0

    def smoothness(self, x: Tensor) -> Constant:
        """0: the gradient is the same everywhere."""
        return 0.0

    def slope(self, norm: Norm) -> Tensor:
        """||a||_* in units in which no entry of a is near the smallest numbers: times `_unit`, a power of two."""
        return norm.dual(self.weight.flatten() * self._unit)

    def share(self, norm: Norm) -> float:
        """Twice what the computed ||a||_* is off by at most, as a share."""
        return 2 * norm.dual.rounding(self.weight.numel())

    def rounding_error(self, x: Tensor) -> Tensor:
        """A bound (n,) of the rounding errors of g at the points `x` and in their certified balls, together (`rounding.affine_scores`)."""
        sizes = x.to(self.weight).flatten(1).abs() @ self.weight.flatten().abs() + abs(self.bias)
        return affine_scores(sizes, self.weight.numel())

    def reaches(
        self, x: Tensor, prediction: Tensor, local: Linearization, alpha: float, norm: Norm
    ) -> tuple[Tensor, Tensor]:
        """Lower bounds (n,), (n,) of R + alpha and R - alpha, R = f^mu(x) g(x)/||a||_*, for Theorems 6 and B.

        f^mu as computed in floating point is `prediction` (n,) at all z with the oracle's label f^mu(x) within the first of x, and at those with the
        other label within the second. It compares alpha with fl(|fl(g(z))| / fl(||a||_*)), so with G = fl(||a||_*) it turns where
        f^mu(x) fl(g(z)) -+ alpha G changes its sign, up to two roundings of alpha G; the distance to that is the margin at x over ||a||_*,
        and G (1 + share + spread) is not below ||a||_* and the errors that grow with the distance. `local`: of this score at
        `x` (n, *shape). Where a = 0, inf, or -inf if g(x) = 0 too.
        """
        slope, spread = self.slope(norm), affine_slope(self.weight.numel())
        bias, above = alpha * slope, slope * (1 + self.share(norm) + spread)
        value = (prediction * local.value - self.rounding_error(x)) * self._unit
        rounded = CHOICE * bias
        flat = torch.where(value > 0, torch.inf, -torch.inf)
        sides = []
        for sense in (1.0, -1.0):
            margin = torch.where(
                torch.isfinite(bias), value + sense * bias - rounded, sense * torch.inf
            )
            sides.append(
                torch.where(
                    above > 0,
                    margin.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf) / above,
                    flat,
                )
            )
        return sides[0], sides[1]

    def _affine(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.flatten() + self.bias

    def value_and_gradient(self, x: object) -> tuple[Tensor, Tensor]:
        """g (n,) and the constant gradient a repeated to (n, *shape), without a copy."""
        x = batch("x", x, tuple(self.weight.shape))
        return self.value(x), self.weight.expand(len(x), *self.weight.shape)

    def value(self, x: object) -> Tensor:
        """a^T x + b at the points `x` (n, *shape), as float64 (n,)."""
        return self.raw(batch("x", x, tuple(self.weight.shape)))

    def raw(self, x: Tensor) -> Tensor:
        """a^T x + b, as `Score.raw`."""
        return self._affine(x.to(self.device, torch.float64))

    def linearize(self, x: object, norm: Norm) -> Linearization:
        """As `Score.linearize`; ||a||_* is computed once."""
        value = self.value(x)
        slope = self.slope(norm).expand(len(value))
        crossing = torch.where(slope > 0, value.abs() * self._unit / slope, torch.inf)
        return Linearization(sign(value), value, slope / self._unit, crossing)
