"""Scores that are certified by a Lipschitz constant alone (Theorem H): no gradient is needed, so that any network will do."""

from collections.abc import Callable

import torch
from torch import Tensor

from lbrs._checks import number
from lbrs.certificates import Certificate, round_down, theorem_h
from lbrs.norms import Norm
from lbrs.rounding import EPS, least, lipschitz_allowance
from lbrs.scores.base import Linearization, Score, select, sign


class LipschitzScore(Score):
    """A score h with |h(x) - h(z)| <= K ||x - z|| for all x, z, in the norm used for certification; h need not be differentiable.

    `LocallyBiased` with it is h^mu(x) = h(x) + alpha K yhat(x), and `certify` gives Theorem H: with R = f^mu(x) h(x)/K the radius is
    min{R + alpha, max(R_nb, R - alpha)} where f^mu(x) = yhat(x), and else R - alpha; |h|/K at alpha = 0. ReLU networks are allowed.

    Parameters
    ----------
    function: as for `Score`, without the need of a gradient.
    lipschitz: K >= 0, in units of h per unit of x. The certificate is only as true as this number.
    rounding: how far at most the computed h is from h, as a share of 1 + |h|; certificates allow for it. By default 1e-10
        where every operation is seen to compute in float64, 1e-4 in float32.
    dtype, device, batch_size, domain: as for `Score`.

    Raises ValueError or TypeError that names the argument.

    >>> LipschitzScore(lambda x: x.abs().amax(1) - 1, 1.0).linearize(torch.tensor([[0.5, -3.0]]), L2).crossing
    tensor([2.], dtype=torch.float64)
    """

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

    def linearize(self, x: object, norm: Norm) -> Linearization:
        """h (n,), K as slope (n,) and |h|/K as crossing (n,), inf for K = 0, at the points `x` (n, *shape)."""
        value = self.value(x)
        slope = torch.full_like(value, self.lipschitz)
        return Linearization(
            sign(value), value, slope, torch.where(slope > 0, value.abs() / slope, torch.inf)
        )

    def certify_biased(
        self,
        x: Tensor,
        label: Tensor,
        neighbor: Tensor,
        alpha: float,
        norm: Norm,
        confidence: float,
    ) -> Certificate:
        """Theorem H (book: theorem-h) at the points `x` (n, *shape), given the oracle's `label` (n,) and R_nb, `neighbor` (n,)."""
        local, K = self.linearize(x, norm), self.lipschitz
        label = label.to(local.base)
        prediction = select(local, label, alpha)
        lowered = least(prediction * local.value, self.rounding) - lipschitz_allowance(
            alpha, K, self.rounding
        )
        flat = torch.where(lowered > 0, torch.inf, -torch.inf)
        distance = torch.where(
            local.slope > 0, lowered / torch.where(local.slope > 0, local.slope, 1.0), flat
        )
        distance = torch.where(
            torch.isfinite(distance), distance - 8 * EPS * (distance.abs() + alpha), distance
        )
        radius = self.within_domain(
            x, round_down(theorem_h(distance, prediction == label, neighbor.to(distance), alpha))
        )
        assumption = f"h is {K:g}-Lipschitz in {norm}, computed with relative errors of at most {self.rounding:g}"
        if self.domain is not None:
            assumption += f", for |x_i| <= {self.domain:g}"
        return Certificate(prediction, radius, norm, "deterministic", "Theorem H", assumption)
