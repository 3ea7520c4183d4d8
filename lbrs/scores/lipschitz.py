"""Scores certified by a Lipschitz constant alone (Theorem H): any network will do."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from lbrs._checks import ArrayLike, number
from lbrs.certificate import Certificate
from lbrs.certificates import theorem_h
from lbrs.norms import Norm
from lbrs.plane.bias import Bias, Length
from lbrs.plane.radii import in_frame
from lbrs.rounding import lipschitz_distance, round_down
from lbrs.scores.base import Constant, Linearization, Local, Score, select, sign


class LipschitzScore(Score):
    r"""A score with a Lipschitz constant, in the norm used for certification; it need not be
    differentiable, so that ReLU networks are allowed.

    .. math:: |h(x) - h(z)| \le K\,\|x - z\|

    ``LocallyBiased`` with it is h^mu(x) = h(x) + alpha K yhat(x), and ``certify`` gives Theorem H:
    with R = f^mu(x) h(x)/K the radius is min{R + alpha, max(R_nb, R - alpha)} where
    f^mu(x) = yhat(x), and else R - alpha.

    Source: :prf:ref:`Theorem H <theorem-h>`.

    Parameters:
        function: as for ``Score``, without the need of a gradient.
        lipschitz: K >= 0, in units of h per unit of x. The certificate is only as true as this
            number.
        rounding: how far at most the computed h is from h, as a share of 1 + abs(h); certificates
            allow for it. By default 1e-10 where every operation is seen to compute in float64,
            1e-4 in float32.
        dtype, device, batch_size, domain: as for ``Score``.

    Raises:
        ValueError, TypeError: naming the argument.

    >>> h = LipschitzScore(lambda x: x.abs().amax(1) - 1, 1.0)
    >>> h.linearize(torch.tensor([[0.5, -3.0]]), L2).crossing
    tensor([2.], dtype=torch.float64)
    """

    bounds: ClassVar[tuple[str, ...]] = ("sharp",)
    steep: ClassVar[bool] = False

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        lipschitz: float,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        batch_size: int = 256,
        rounding: float | None = None,
        domain: float | None = None,
    ) -> None:
        super().__init__(
            function,
            dtype=dtype,
            device=device,
            batch_size=batch_size,
            rounding=rounding,
            domain=domain,
        )
        self.lipschitz = number("lipschitz", lipschitz, low=0)

    def linearize(self, x: ArrayLike, norm: Norm) -> Linearization:
        """h (n,), K as slope (n,) and |h|/K as crossing (n,), inf for K = 0, at the points `x`
        (n, *shape)."""
        value = self.value(x)
        slope = torch.full_like(value, self.lipschitz)
        crossing = torch.where(slope > 0, value.abs() / slope, torch.inf)
        return Linearization(sign(value), value, slope, crossing)

    def seen(self, x: ArrayLike, norm: Norm) -> tuple[Tensor, Tensor, Tensor]:
        """As `Score.seen`, with K for the length of the gradient."""
        u, gradient = self.value_and_gradient(x)
        return u, gradient, torch.full_like(u, self.lipschitz)

    def traced(self, x: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
        """As `Score.traced`, with K for the length of the gradient."""
        u = self.evaluate(x).double()
        return u, torch.full_like(u, self.lipschitz)

    def first_order(self, x: Tensor, norm: Norm) -> tuple[Linearization | None, Constant | None]:
        """As `Score.first_order`; Theorem H needs no L."""
        return self.linearize(x, norm), None

    def certify_biased(
        self, local: Local, alpha: Length, bound: str = "sharp", confidence: float | None = None
    ) -> Certificate:
        """:prf:ref:`Theorem H <theorem-h>` at the points of `local`, or
        :prf:ref:`U <theorem-u>` for a `Bias`."""
        first, K = local.linearization(), self.lipschitz
        prediction = select(first, *local.pull(alpha))
        value = prediction * first.value
        if isinstance(alpha, Bias):

            def reach(bias: Tensor) -> Tensor:
                return lipschitz_distance(value, bias.abs(), K, self.rounding) + bias

            radius, source = in_frame(local, prediction, alpha, reach), "Theorem U"
        else:
            distance = lipschitz_distance(value, alpha, K, self.rounding)
            radius = theorem_h(distance, prediction == local.label, local.neighbor, alpha)
            source = "Theorem H"
        radius = self.within_domain(local.x, round_down(radius), local.norm)
        told = f"computed with relative errors of at most {self.rounding:g}{self.assumed}"
        told = f"h is {K:g}-Lipschitz in {local.norm}, {told}"
        return Certificate(prediction, radius, local.norm, "deterministic", source, told)
