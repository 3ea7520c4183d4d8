"""The probability margin of a logit, which keeps sign and gradient where tanh saturates."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from lbrs._checks import ArrayLike, batch
from lbrs.norms import Norm
from lbrs.scores.base import Constant, Linearization, Score, sign
from lbrs.scores.local import Link, Logistic


class ProbabilityMargin(Score):
    r"""The probability margin of a network's logit z, with values in [-1, 1].

    .. math:: g = p(+1) - p(-1) = \tanh(z/2)

    This is the paper's g in [0, 1]^2 (Theorem 1), written as g_1 - g_2. The sign is that of z, and
    the crossing is sinh(abs(z))/||grad z||_*, both computed from the logit, so that a saturated
    tanh neither loses its gradient nor its sign.

    Source: :prf:ref:`Theorem 1 <theorem-1>`.

    Parameters:
        network: a module that maps (n, *shape) to logits (n,) or (n, 1), or to two-class logits
            (n, 2) in the order (-1, +1), as for every score.
        gradient_lipschitz, dtype, device, batch_size, rounding: as for ``Score``.
    """

    link: ClassVar[Link] = Logistic()

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        gradient_lipschitz: Constant | None = None,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        batch_size: int = 256,
        rounding: float | None = None,
    ) -> None:
        super().__init__(
            network,
            gradient_lipschitz,
            dtype=dtype,
            device=device,
            batch_size=batch_size,
            rounding=rounding,
        )

    def logit(self, x: ArrayLike) -> Tensor:
        """The logit z at the points `x` (n, *shape), as float64 (n,)."""
        return super().raw(batch("x", x))

    def logit_and_gradient(self, x: ArrayLike) -> tuple[Tensor, Tensor]:
        """z (n,) and grad z (n, *shape) at the points `x` (n, *shape), as float64."""
        return super().value_and_gradient(x)

    def raw(self, x: Tensor) -> Tensor:
        """tanh(z/2), as `Score.raw`."""
        return self.link.value(super().raw(x))

    def value_and_gradient(self, x: ArrayLike) -> tuple[Tensor, Tensor]:
        """tanh(z/2) (n,) and its gradient grad z / (2 cosh(z/2)^2) (n, *shape), as float64."""
        logit, gradient = self.logit_and_gradient(x)
        rate = self.link.rate(logit)
        return self.link.value(logit), gradient * rate.reshape(-1, *[1] * (gradient.ndim - 1))

    def seen(self, x: ArrayLike, norm: Norm) -> tuple[Tensor, Tensor, Tensor]:
        """As `Score.seen`, of the logit."""
        logit, gradient = self.logit_and_gradient(x)
        return logit, gradient, norm.dual(gradient.flatten(1))

    def linearize(self, x: ArrayLike, norm: Norm) -> Linearization:
        """As `Score.linearize`, with base and crossing from the logit."""
        logit, gradient = self.logit_and_gradient(x)
        length = norm.dual(gradient.flatten(1))
        slope = length * 0.5 / (logit / 2).cosh() ** 2
        crossing = torch.where(length > 0, logit.abs().sinh() / length, torch.inf)
        return Linearization(sign(logit), self.link.value(logit), slope, crossing)
