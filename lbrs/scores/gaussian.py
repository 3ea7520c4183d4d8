"""Normal noise makes any bounded score smooth (Theorem G), so that Theorem E' certifies it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lbrs._checks import ArrayLike, batch, fraction, integer, labels, number, radii
from lbrs.certificate import Certificate
from lbrs.certificates import radius_against, sign_aware, theorem_g
from lbrs.montecarlo import empirical_bernstein
from lbrs.noise import noise_named
from lbrs.norms import L2, Norm
from lbrs.plane.bias import Length
from lbrs.rounding import round_down
from lbrs.scores.base import Linearization, Local, sign
from lbrs.scores.sampled import SampledScore, bounded, normal_draws
from lbrs.scores.smooth import lowest_radius_along

SPREAD = 1 + 4 * math.exp(-0.5) / math.sqrt(2 * math.pi)
"""s^2 = 1 + 4 phi(1) < 1.97, see `slope_interval`."""


@dataclass(frozen=True)
class Estimate:
    """Intervals at n points, all true at once with probability `confidence` at each.

    Attributes:
        low, high: (n,), low <= g <= high.
        slope_low, slope_high: (n,), slope_low <= ||grad g||_2 <= slope_high.
        confidence: in (0, 1).
    """

    low: Tensor
    high: Tensor
    slope_low: Tensor
    slope_high: Tensor
    confidence: float


class GaussianScore(SampledScore):
    r"""A score smoothed by normal noise: its gradient is L-Lipschitz in l2, L = 0.968/sigma^2.

    .. math:: g(x) = E\,g_0(x + \sigma Z), \qquad Z \sim N(0, I)

    g0 need not be differentiable or continuous: a ``ProbabilityMargin`` of any network will do,
    ReLU included. g and its gradient E[g0 eps]/sigma^2 are known through draws:
    ``LocallyBiased.certify`` gives Theorem E' with a confidence, and may abstain; ``predict`` and
    ``score`` use estimates from new draws.

    Source: :prf:ref:`Theorem G <theorem-g>`.

    Parameters:
        score: g0, a Score or torch callable with values in [-1, 1].
        sigma: > 0, in the units of x.
        samples: >= 2, draws per point.
        generator: a torch generator on the score's device; None takes torch's own.
        dtype, device, batch_size: as for ``Score``, for a callable.
        noise: "plain" or "sound", as for ``CohenScore``.

    Raises:
        ValueError, TypeError: naming the argument; ValueError when g0 leaves [-1, 1].

    >>> model = GaussianScore(lambda x: x[:, 0].sign(), 1.0, 4000, torch.Generator().manual_seed(0))
    >>> found = model.estimate([[0.5]])
    >>> bool(found.low < math.erf(0.5 / math.sqrt(2)) < found.high)
    True
    """

    least = 2

    def estimate(self, x: ArrayLike, confidence: float = 0.999) -> Estimate:
        """Intervals of g and ||grad g||_2 at the points `x` (n, *shape), from new draws.

        g: the bound of Maurer and Pontil (`empirical_bernstein`) with half of the error
        1 - `confidence`; the gradient: `slope_interval` with the other half.

        With sound noise g is that of the points of the grid which `x` is rounded to, and g0
        depends on Z through E = round(r Z) only. So mu = E[g0 E[Z | E]], the means of g0 E[Z | E]
        keep the bound for W by Jensen's inequality, and those of g0 E/r, which are computed, are
        within `bias` of them in l2.
        """
        confidence = fraction("confidence", confidence)
        x = batch("x", x)
        d = x[:1].numel()
        error = self._noise.spend(1 - confidence, self.samples, d)
        sums, means = self._draw(x)
        bounds = empirical_bernstein(sums[0], sums[1], self.samples, error / 2)
        low, high = (2 * bound - 1 for bound in bounds)
        below, above = slope_interval(means, self._halves(), error, self._noise.bias(d))
        above = torch.minimum(above, steepest(low, high)) * (1 + 1e-9) / self.sigma
        below = torch.minimum(below * (1 - 1e-9) / self.sigma, above)
        return Estimate(low, high, below, above, confidence)

    def linearize(self, x: ArrayLike, norm: Norm) -> Linearization:
        """g and ||grad g||_2 as estimated from new draws, at the points `x` (n, *shape)."""
        sums, means = self._draw(batch("x", x))
        value, limit = 2 * sums[0] / self.samples - 1, theorem_g(self.sigma)[0]
        slope = ((means[0] * means[1]).sum(1).clamp(min=0).sqrt() / self.sigma).clamp(max=limit)
        crossing = torch.where(slope > 0, value.abs() / slope, torch.inf)
        return Linearization(sign(value), value, slope, crossing)

    def certify_biased(
        self, local: Local, alpha: Length, bound: str = "sharp", confidence: float | None = None
    ) -> Certificate:
        """`gaussian_certificate` at the points of `local`, from new draws."""
        return gaussian_certificate(
            self.estimate(local.x, 0.999 if confidence is None else confidence),
            local.label,
            local.neighbor,
            number("alpha", alpha, low=0),
            self.sigma,
            noise=self.noise,
            features=local.x[:1].numel(),
        )

    def _halves(self) -> tuple[int, int]:
        return self.samples // 2, self.samples - self.samples // 2

    def _draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The sums (2, n) of v = (g0 + 1)/2 and of v^2 over all draws, and the means (2, n, d) of
        g0 Z over both halves."""
        sums = torch.zeros(2, len(x), dtype=torch.float64, device=self.device)
        means = torch.zeros(2, *x.flatten(1).shape, dtype=torch.float64, device=self.device)
        for mean, samples in zip(means, self._halves(), strict=True):
            for m in self.rounds(x, samples):
                self._add(x, m, sums, mean, samples)
        return sums, means

    def _add(self, x: Tensor, m: int, sums: Tensor, mean: Tensor, samples: int) -> None:
        """Add m draws a point to `sums`, and their share of `samples` to `mean`."""
        draws = normal_draws(self.base, x, self.sigma, m, self.generator, self._noise)
        for rows, drawn, values in draws:
            values = bounded(values, self.base)
            share = (values + 1) / 2
            sums[:, rows] += torch.stack([share.sum(1), share.square().sum(1)])
            noise = self._noise.normal(drawn).flatten(2).to(values)
            mean[rows] += (values[:, None] @ noise)[:, 0] / samples


def slope_interval(
    means: Tensor, halves: tuple[int, int], error: float, bias: float
) -> tuple[Tensor, Tensor]:
    """Bounds (n,), (n,) of |mu|, mu = E[g0 Z], each point's true with probability at least
    1 - `error`/2.

    Proof. With the means M1, M2 of g0 Z over two independent halves of N1, N2 draws, and
    t_i = sqrt(2 s^2 log(6/error)/N_i), each with probability at least 1 - error/6:
    M1^T (M2 - mu) <= |M1| t_2, its negative too, and mu^T (mu - M1) <= |mu| t_1. So
    |mu| >= mu^T M1/|M1| >= M1^T M2/|M1| - t_2, and |mu|^2 <= M1^T M2 + |M1| t_2 + |mu| t_1, a
    quadratic inequality for |mu|. None of it depends on the dimension but through |M1|.

    Here s^2 = 1 + 4 phi(1), such that E exp(l (W - EW)) <= exp(s^2 l^2 / 2) for W = a u^T Z,
    |a| <= 1, |u| = 1 and all l. Let l > 0, r = |u^T Z|, m = EW. By convexity
    E exp(lW) <= E[cosh(lr) + b sinh(lr)] for some |b| <= 1 with E[b r] = m. As sinh(lr)/r grows
    with r, the best b is 1 for r > c and -1 for r < c, with the c that gives m. Then
    E exp(lW) <= exp(l^2/2) F(l), F(l) = 2(Phi(l - c) + Phi(l + c) - Phi(l)), F(0) = 1,
    F'(0) = m, and F''(l) <= 4 phi(1), because |v phi(v)| <= phi(1) and (l + c) phi(l + c) >= 0.
    So F(l) <= 1 + m l + 2 phi(1) l^2 <= exp(m l + 2 phi(1) l^2). For l < 0 take -a.

    Parameters: `means` (2, n, d); `halves` N1, N2; `bias`, by how much the means of sound noise
    may be off in l2, which is added to t_1 and t_2.
    """
    size, product = torch.linalg.vector_norm(means[0], dim=1), (means[0] * means[1]).sum(1)
    t1, t2 = (math.sqrt(2 * SPREAD * math.log(6 / error) / n) + bias for n in halves)
    below = product / torch.where(size > 0, size, 1.0) - t2
    below = torch.where(size > 0, below, 0.0).clamp(min=0)
    above = (t1 + (t1**2 + 4 * (product + size * t2)).clamp(min=0).sqrt()) / 2
    return below, above


def steepest(low: Tensor, high: Tensor) -> Tensor:
    """The largest |mu| (n,) for a g in [`low`, `high`]: |mu| <= 2 phi(PhiInv((1 + g)/2)), since
    sigma PhiInv((1 + g)/2) is 1-Lipschitz."""
    nearest = torch.minimum(low.abs(), high.abs())
    middle = torch.where((low <= 0) & (high >= 0), 0.0, nearest).clamp(max=1)
    density = torch.exp(-(torch.special.ndtri((1 + middle) / 2) ** 2) / 2)
    return 2 / math.sqrt(2 * math.pi) * density


def gaussian_certificate(
    found: Estimate,
    label: ArrayLike,
    neighbor: ArrayLike,
    alpha: float,
    sigma: float,
    *,
    noise: str = "plain",
    features: int = 1,
) -> Certificate:
    """:prf:ref:`Theorem E' <theorem-e-prime>` in l2 for g = g0 * N(0, sigma^2 I), abs(g0) <= 1,
    from intervals.

    L is that of Theorem G; g and ||grad g|| lie in the intervals `found`. Where these do not decide
    the sign of g + alpha yhat(x) ||grad g||, it abstains. For each point the statement holds with
    the confidence of `found`, for all alphas at once, so that one set of draws serves any number of
    them.

    Parameters:
        found: the intervals at n points.
        label: yhat(x) (n,) in {-1, +1}.
        neighbor: R_nb (n,) in l2.
        alpha: >= 0.
        sigma: > 0.
        noise: with which `found` was found.
        features: d of a point: both distances are less by the shift of sound noise.
    """
    label = labels("label", label, len(found.low)).to(found.low)
    neighbor = radii("neighbor", neighbor, len(label)).to(label)
    alpha, L = number("alpha", alpha, low=0), theorem_g(sigma)[1] * (1 + 1e-12)
    small = torch.where(label > 0, found.slope_low, found.slope_high)
    large = torch.where(label > 0, found.slope_high, found.slope_low)
    plus = found.low + alpha * label * small > 0
    minus = found.high + alpha * label * large < 0
    prediction = plus.long() - minus.long()
    value = torch.where(prediction > 0, found.low, -found.high)
    against = radius_against(value, found.slope_high, alpha, L)
    along = lowest_radius_along(value, found.slope_low, found.slope_high, alpha, L)
    used = noise_named(noise)
    shift = used.shift(sigma, integer("features", features, low=0))
    safe = sign_aware(along - shift, against - shift, prediction == label, neighbor)
    radius = round_down(torch.where(prediction != 0, safe * (1 - 1e-12), 0.0))
    source, told = "Theorems E' and G", f"g0 in [-1, 1], {used.assumption}"
    return Certificate(prediction, radius, L2, "probabilistic", source, told, found.confidence)
