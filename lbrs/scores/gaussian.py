"""Normal noise makes any bounded score smooth, with a known constant (Theorem G), so that Theorem E' certifies any network."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lbrs._checks import batch, integer, labels, number, radii
from lbrs.certificates import (
    Certificate,
    radius_against,
    radius_along,
    round_down,
    sign_aware,
    theorem_g,
)
from lbrs.montecarlo import SampledScore, bounded, empirical_bernstein, normal_draws
from lbrs.noise import noise_named
from lbrs.norms import L2, Norm
from lbrs.scores.base import Linearization, sign

SPREAD = 1 + 4 * math.exp(-0.5) / math.sqrt(2 * math.pi)
"""s^2 = 1 + 4 phi(1) < 1.97, such that E exp(l (W - EW)) <= exp(s^2 l^2 / 2) for W = a u^T Z, |a| <= 1, |u| = 1, Z ~ N(0, I), and all l."""


@dataclass(frozen=True)
class Estimate:
    """Intervals at n points: `low` <= g <= `high` and `slope_low` <= ||grad g||_2 <= `slope_high`, all true at once with probability `confidence` at each."""

    low: Tensor
    high: Tensor
    slope_low: Tensor
    slope_high: Tensor
    confidence: float


class GaussianScore(SampledScore):
    """g(x) = E g0(x + eps), eps ~ N(0, sigma^2 I), of a score g0 in [-1, 1]: its gradient is L-Lipschitz in l2, L = 0.968/sigma^2 (Theorem G; book: theorem-g).

    g0 need not be differentiable or continuous: a `ProbabilityMargin` of any network will do, ReLU included. g and its gradient E[g0 eps]/sigma^2 are known
    through draws: `LocallyBiased.certify` gives Theorem E' with a confidence, and may abstain; `predict` and `score` use estimates from new draws.

    Parameters
    ----------
    score: g0, a Score or torch callable with values in [-1, 1]. sigma: > 0, in the units of x.
    samples: >= 2, draws per point. generator: a torch generator on the score's device; None takes torch's own.
    dtype, device, batch_size: as for `Score`, for a callable. noise: "plain" or "sound", as for `CohenScore`.

    Raises ValueError or TypeError that names the argument; ValueError when g0 leaves [-1, 1].

    >>> model = GaussianScore(lambda x: x[:, 0].sign(), 1.0, 4000, torch.Generator().manual_seed(0))
    >>> found = model.estimate([[0.5]])
    >>> bool(found.low < math.erf(0.5 / math.sqrt(2)) < found.high)
    True
    """

    least = 2

    def estimate(self, x: object, confidence: float = 0.999) -> Estimate:
        """Intervals of g and ||grad g||_2 at the points `x` (n, *shape), from new draws.

        g: the bound of Maurer and Pontil (`empirical_bernstein`) with half of the error d = 1 - `confidence`. The gradient is mu/sigma, mu = E[g0 Z]. With the means
        M1, M2 of g0 Z over two independent halves of N1, N2 draws, and t_i = sqrt(2 s^2 log(6/d)/N_i), each with probability at least 1 - d/6:
        M1^T (M2 - mu) <= |M1| t_2, its negative too, and mu^T (mu - M1) <= |mu| t_1. So |mu| >= mu^T M1/|M1| >= M1^T M2/|M1| - t_2, and
        |mu|^2 <= M1^T M2 + |M1| t_2 + |mu| t_1, a quadratic inequality for |mu|. Moreover |mu| <= 2 phi(PhiInv((1 + g)/2)), since sigma PhiInv((1 + g)/2) is
        1-Lipschitz. None of it depends on the dimension but through |M1|.

        Why s^2 = 1 + 4 phi(1): let l > 0, r = |u^T Z|, m = EW. By convexity E exp(lW) <= E[cosh(lr) + b sinh(lr)] for some |b| <= 1 with E[b r] = m. As
        sinh(lr)/r grows with r, the best b is 1 for r > c and -1 for r < c, with the c that gives m. Then E exp(lW) <= exp(l^2/2) F(l),
        F(l) = 2(Phi(l - c) + Phi(l + c) - Phi(l)), F(0) = 1, F'(0) = m, and F''(l) <= 4 phi(1), because |v phi(v)| <= phi(1) and (l + c) phi(l + c) >= 0.
        So F(l) <= 1 + m l + 2 phi(1) l^2 <= exp(m l + 2 phi(1) l^2). For l < 0 take -a.

        With sound noise g is that of the points of the grid which `x` is rounded to, and g0 depends on Z through E = round(r Z) only. So
        mu = E[g0 E[Z | E]], the means of g0 E[Z | E] keep the bound for W by Jensen's inequality, and those of g0 E/r, which are computed,
        are within `bias` of them in l2: it is added to t_1 and t_2.
        """
        confidence = number("confidence", confidence, low=0, high=1, open_low=True, open_high=True)
        x = batch("x", x)
        error = self._noise.spend(1 - confidence, self.samples, x[:1].numel())
        sums, means = self._draw(x)
        low, high = (2 * bound - 1 for bound in empirical_bernstein(*sums, self.samples, error / 2))
        size, product = torch.linalg.vector_norm(means[0], dim=1), (means[0] * means[1]).sum(1)
        bias = self._noise.bias(x[:1].numel())
        t1, t2 = (math.sqrt(2 * SPREAD * math.log(6 / error) / n) + bias for n in self._halves())
        below = torch.where(size > 0, product / torch.where(size > 0, size, 1.0) - t2, 0.0).clamp(
            min=0
        )
        above = (t1 + (t1**2 + 4 * (product + size * t2)).clamp(min=0).sqrt()) / 2
        middle = torch.where(
            (low <= 0) & (high >= 0), 0.0, torch.minimum(low.abs(), high.abs())
        ).clamp(max=1)
        most = (
            2
            / math.sqrt(2 * math.pi)
            * torch.exp(-(torch.special.ndtri((1 + middle) / 2) ** 2) / 2)
        )
        above = torch.minimum(above, most) * (1 + 1e-9) / self.sigma
        return Estimate(
            low, high, torch.minimum(below * (1 - 1e-9) / self.sigma, above), above, confidence
        )

    def linearize(self, x: object, norm: Norm) -> Linearization:
        """g and ||grad g||_2 as estimated from new draws, at the points `x` (n, *shape)."""
        x = batch("x", x)
        sums, means = self._draw(x)
        value, limit = 2 * sums[0] / self.samples - 1, theorem_g(self.sigma)[0]
        slope = ((means[0] * means[1]).sum(1).clamp(min=0).sqrt() / self.sigma).clamp(max=limit)
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
        """`gaussian_certificate` at the points `x` (n, *shape), from new draws."""
        found, features = self.estimate(x, confidence), x[:1].numel()
        return gaussian_certificate(
            found, label, neighbor, alpha, self.sigma, noise=self.noise, features=features
        )

    def _halves(self) -> tuple[int, int]:
        return self.samples // 2, self.samples - self.samples // 2

    def _draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The sums (2, n) of v = (g0 + 1)/2 and of v^2 over all draws, and the means (2, n, d) of g0 Z over both halves."""
        sums = torch.zeros(2, len(x), dtype=torch.float64, device=self.device)
        means = torch.zeros(2, *x.flatten(1).shape, dtype=torch.float64, device=self.device)
        for half, samples in enumerate(self._halves()):
            for m in self.rounds(x, samples):
                for rows, drawn, values in normal_draws(
                    self.base, x, self.sigma, m, self.generator, self._noise
                ):
                    values = bounded(values, self.base)
                    noise, share = self._noise.normal(drawn), (values + 1) / 2
                    sums[:, rows] += torch.stack([share.sum(1), share.square().sum(1)])
                    means[half, rows] += (values[:, None] @ noise.flatten(2).to(values))[
                        :, 0
                    ] / samples
        return sums, means


def gaussian_certificate(
    found: Estimate,
    label: object,
    neighbor: object,
    alpha: float,
    sigma: float,
    *,
    noise: str = "plain",
    features: int = 1,
) -> Certificate:
    """Theorem E' (book: theorem-e-prime) for g = g0 * N(0, sigma^2 I), |g0| <= 1, in l2, with L from Theorem G and
    g and ||grad g|| known to lie in the intervals `found`.

    Where these do not decide the sign of g + alpha yhat(x) ||grad g||, it abstains. For each point the statement holds with the confidence of `found`,
    for all alphas at once, so that one set of draws serves any number of them.
    Parameters: `found`; `label` yhat(x) (n,) in {-1, +1}; `neighbor` R_nb (n,) in l2; `alpha` >= 0; `sigma` > 0;
    `noise`, with which it was found, and d `features` of a point: both distances are less by the shift of sound noise.
    """
    label = labels("label", label, len(found.low)).to(found.low)
    neighbor, alpha, L = (
        radii("neighbor", neighbor, len(label)).to(label),
        number("alpha", alpha, low=0),
        theorem_g(sigma)[1] * (1 + 1e-12),
    )
    least, most = (
        (found.low, found.slope_low, found.slope_high),
        (found.high, found.slope_high, found.slope_low),
    )
    plus, minus = (
        value + alpha * label * torch.where(label > 0, up, down)
        for value, up, down in (least, most)
    )
    prediction = (plus > 0).double() - (minus < 0).double()
    value = torch.where(prediction > 0, found.low, -found.high)
    against = radius_against(value, found.slope_high, alpha, L)
    along = lowest_radius_along(value, found.slope_low, found.slope_high, alpha, L)
    used = noise_named(noise)
    shift = used.shift(sigma, integer("features", features, low=0))
    safe = sign_aware(along - shift, against - shift, prediction == label, neighbor)
    radius = torch.where(prediction != 0, safe * (1 - 1e-12), 0.0)
    assumption = f"g0 in [-1, 1], {used.assumption}"
    return Certificate(
        prediction,
        round_down(radius),
        L2,
        "probabilistic",
        "Theorems E' and G",
        assumption,
        found.confidence,
    )


def lowest_radius_along(value: Tensor, low: Tensor, high: Tensor, alpha: float, L: float) -> Tensor:
    """The least rho_+(v, G) over G in [`low`, `high`] (Theorem E; book: theorem-e), each (n,): rho_+ at either end,
    or sqrt(2 v/L) where G = sqrt(2 v L) lies between.

    Minimise (E3) over G as well, with D = nu - G in [max(-G, -L t), L t]: v - L t^2/4 + (alpha - t) G + D^2/(4 L) + (alpha - t/2) D. For t >= alpha it falls
    with G, so that G = `high` is worst. For t < alpha the best D is max(-G, -L t): where G >= L t it grows with G, where G < L t it is
    v - L t^2/4 - t G/2 + G^2/(4 L), which falls with G. So the worst G is that of [low, high] nearest to L t, and at G = L t the value is v - L t^2/2.
    """
    least = torch.minimum(radius_along(value, low, alpha, L), radius_along(value, high, alpha, L))
    root = (2 * value.clamp(min=0) / L).sqrt()
    inside = (value > 0) & (L * root >= low) & (L * root <= high)
    return torch.where(inside, torch.minimum(least, root), least)
