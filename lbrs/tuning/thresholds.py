"""For which alpha each point is certified at a radius (Proposition T)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lbrs._checks import ArrayLike, classes, labels
from lbrs.multiclass import MulticlassLocallyBiased
from lbrs.paths import Steps
from lbrs.scores.base import Linearization
from lbrs.smoothing import LocallyBiased

NEAR = 0.1
"""The share of the points, those with a margin closest to the radius, of which "backed" is told."""

HALVINGS = 200


@dataclass(frozen=True)
class Thresholds:
    """For which alpha each of n points is right, certified at a radius: low < alpha <= high.

    Attributes:
        low, high: (n,), -inf and inf among them; never where high <= low.
        margin: (n,), how far the base alone is right, negative where it is wrong.
        backed: (n,) bool, the oracle alone is right and certified at the radius.
    """

    low: Tensor
    high: Tensor
    margin: Tensor
    backed: Tensor

    def curve(self) -> Steps:
        """The share of the points, as a step function of alpha >= 0."""
        ever = (self.low < self.high) & (self.high >= 0)
        low, high = self.low[ever], self.high[ever]
        rises, falls = low[low >= 0], high[torch.isfinite(high)]
        jumps, where = torch.cat([rises, falls]).unique(return_inverse=True)
        turn = torch.cat([torch.ones_like(rises), -torch.ones_like(falls)])
        steps = torch.zeros_like(jumps).index_add_(0, where, turn)
        start = (low < 0).sum().to(jumps)
        values = torch.cat([start[None], start + steps.cumsum(0)])
        return Steps(jumps, values / max(1, len(self.low)))

    def backed_near(self, radius: float) -> float:
        """The share backed among the points whose margin is closest to the radius."""
        count = max(1, math.ceil(NEAR * len(self.margin)))
        near = (self.margin - radius).abs().argsort(stable=True)[:count]
        return float(self.backed[near].double().mean())


def proposition_t(margin: Tensor, backed: Tensor, radius: float) -> Thresholds:
    r""":prf:ref:`Proposition T <proposition-t>`, for linear and K-Lipschitz scores: for which alpha
    f^mu(x) = y is certified at the radius.

    .. math::

       m > r - \alpha \ \text{ where } x \text{ is backed at } r, \qquad
       m > r + \alpha \ \text{ where it is not}

    Parameters:
        margin: m = y h(x)/K (n,), negative where the base is wrong.
        backed: (n,) bool, the oracle is right with a certified radius beyond r.
        radius: r >= 0.

    >>> found = proposition_t(torch.tensor([0.5, 2.0]), torch.tensor([True, False]), 1.0)
    >>> found.low.tolist(), found.high.tolist()
    ([0.5, -inf], [inf, 1.0])
    """
    low = torch.where(backed, radius - margin, -torch.inf)
    return Thresholds(low, torch.where(backed, torch.inf, margin - radius), margin, backed)


def thresholds(
    model: LocallyBiased | MulticlassLocallyBiased, x: Tensor, y: ArrayLike, radius: float
) -> Thresholds:
    """For which alpha each of the points `x` (n, *shape) is right and certified beyond the radius,
    whatever that of the model is."""
    if isinstance(model, MulticlassLocallyBiased):
        return _of_classes(model, x, y, radius)
    local = model.local(x, "sharp")
    first, L = local.first, local.L
    if first is None or callable(L):
        told = f"{type(model.base).__name__}{' with local constants' if callable(L) else ''}"
        raise TypeError(
            "score must be a LinearScore, a LipschitzScore, ClassScores, or a Score with one "
            f"constant L, got a {told}"
        )
    truth = labels("y", y, len(x)).to(local.label)
    right = local.label == truth
    backed = right & ((local.neighbor > radius) | (radius == 0))
    if radius == 0:
        return _clean(first, truth, backed)
    value, slope = truth * first.value, first.slope
    if not L:
        flat = torch.where(value > 0, torch.inf, -torch.inf)
        margin = torch.where(slope > 0, value / slope, flat)
        return proposition_t(margin, backed, radius)
    fixed = value - slope * radius - L / 2 * radius**2
    high = fixed / (slope + L * radius)
    low = _lowest(value, slope, L, radius)
    margin = radius + fixed / (slope + L * radius)
    none = torch.full_like(low, -torch.inf)
    return Thresholds(
        torch.where(backed, low, none), torch.where(backed, -none, high), margin, backed
    )


def _clean(first: Linearization, truth: Tensor, backed: Tensor) -> Thresholds:
    """At radius 0 the base decides up to its crossing, and the oracle beyond it."""
    right = first.base == truth
    low = torch.where(backed & ~right, first.crossing, -torch.inf)
    wrong = torch.where(right, first.crossing, -torch.inf)
    margin = torch.where(right, first.crossing, -first.crossing)
    return Thresholds(low, torch.where(backed, torch.inf, wrong), margin, backed)


def _lowest(value: Tensor, slope: Tensor, L: float, r: float) -> Tensor:
    """The least alpha with Psi_+(r) > 0 in Theorem E, by bisection, as Psi_+ grows with alpha."""

    def psi(alpha: Tensor) -> Tensor:
        nu = torch.maximum(slope - L * r, slope + L * r - 2 * alpha * L).clamp(min=0)
        bent = value - L * r**2 / 4 - r / 2 * (slope + nu)
        return bent + (nu - slope).square() / (4 * L) + alpha * nu

    low, high = torch.zeros_like(value), torch.ones_like(value)
    for _ in range(HALVINGS):
        short = psi(high) <= 0
        if not short.any() or high.max() > 1e100:
            break
        high = torch.where(short, 4 * high, high)
    never, always = psi(high) <= 0, psi(low) > 0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        short = psi(middle) <= 0
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return torch.where(never, torch.inf, torch.where(always, -torch.inf, high))


def _of_classes(
    model: MulticlassLocallyBiased, x: Tensor, y: ArrayLike, radius: float
) -> Thresholds:
    """Theorem M. With e_c = h_y - h_c - r K_yc: while the oracle says y, alpha K > -min_c e_c is
    needed; where it may say k' != y, alpha K < e_k', and all other e_c > 0."""
    base, count = model.base, model.classes
    h = base.value(x).reshape(len(x), count)
    truth = classes("y", y, len(x), count).to(h.device, torch.int64)
    pairs = base.constants(base.pairs(count, model.norm), model.norm)
    nb = model.oracle.radii(x, model.norm, count).to(h)
    label = model.oracle.label(x).to(h.device)
    one = torch.nn.functional.one_hot(truth, count).bool()
    excess = h.gather(1, truth[:, None]) - h - radius * pairs[truth]
    excess = excess.masked_fill(one, torch.inf)
    order = excess.sort(1).values
    rest = torch.where(excess == order[:, :1], order[:, 1:2], order[:, :1])
    may = (torch.nn.functional.one_hot(label, count).bool() | (nb <= radius) & (radius > 0)) & ~one
    K = pairs.max().clamp(min=1e-300)
    fits = torch.where(rest > 0, excess / K, -torch.inf)
    high = torch.where(may, fits, torch.inf).amin(1)
    least = order[:, 0] / K
    right = label == truth
    low = torch.where(right, -least, -torch.inf)
    backed = right & ~may.any(1)
    return Thresholds(low, high, radius + least, backed)
