"""Accuracy and average radius as exact functions of alpha (Proposition L)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lbrs._checks import ArrayLike, labels, radii
from lbrs.scores.base import Linearization


@dataclass(frozen=True)
class Steps:
    """A step function of alpha >= 0.

    Attributes:
        jumps: (m,), rising.
        values: (m + 1,), of which the i-th holds for jumps[i - 1] < alpha <= jumps[i].
    """

    jumps: Tensor
    values: Tensor

    def __call__(self, alpha: ArrayLike) -> Tensor:
        """The values at each of `alpha`, any shape."""
        alpha = torch.as_tensor(alpha, dtype=torch.float64, device=self.jumps.device)
        return self.values[torch.searchsorted(self.jumps, alpha)]


@dataclass(frozen=True)
class Line:
    """A continuous piecewise linear function of alpha >= 0, constant after the last knot.

    Attributes:
        knots: (m,), rising from 0.
        values: (m,), at the knots.
    """

    knots: Tensor
    values: Tensor

    def __call__(self, alpha: ArrayLike) -> Tensor:
        """The values at each of `alpha`, any shape."""
        alpha = torch.as_tensor(alpha, dtype=torch.float64, device=self.knots.device)
        if len(self.knots) == 1:
            return self.values.expand(alpha.shape)
        right = torch.searchsorted(self.knots, alpha, right=True).clamp(1, len(self.knots) - 1)
        low, high = self.knots[right - 1], self.knots[right]
        share = ((alpha - low) / (high - low)).clamp(0, 1)
        return self.values[right - 1] * (1 - share) + self.values[right] * share

    def thinned(self, top: float, tolerance: float) -> "Line":
        """The function on [0, `top`], without the knots that it can spare: nowhere off by more than
        `tolerance` in value.

        From each knot that is kept, the next is as far as one slope meets all values between.
        """
        inside = self.knots[self.knots < top]
        knots = torch.cat([inside, inside.new_tensor([top])])
        x, y = knots.tolist(), self(knots).tolist()
        kept, low, high = [0], -math.inf, math.inf
        for place in range(1, len(x)):
            width, rise = x[place] - x[kept[-1]], y[place] - y[kept[-1]]
            if not low <= rise / width <= high:
                last = place - 1
                width, rise = x[place] - x[last], y[place] - y[last]
                low, high = -math.inf, math.inf
                kept.append(last)
            low = max(low, (rise - tolerance) / width)
            high = min(high, (rise + tolerance) / width)
        places = torch.tensor([*kept, len(x) - 1]).unique()
        return Line(knots[places], self(knots)[places])


def accuracy_path(local: Linearization, label: Tensor, y: ArrayLike) -> Steps:
    """The accuracy of f^mu as a function of alpha, exactly, from one pass.

    f^mu(x) is the oracle's label where alpha > abs(g(x))/||grad g(x)||_* and sign g(x) elsewhere,
    so the accuracy changes only at the crossings of the points where the two differ.

    Source: :prf:ref:`Proposition L <proposition-l>`.

    Parameters:
        local: of the score at n points.
        label: (n,), the oracle's yhat(x).
        y: (n,) in {-1, +1}.

    >>> one = torch.ones(3)
    >>> crossing = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    >>> local = Linearization(one, one, one, crossing)
    >>> accuracy_path(local, torch.tensor([1.0, -1.0, -1.0]), [1, 1, -1])([0.0, 2.5, 4.0])
    tensor([0.6667, 0.3333, 0.6667], dtype=torch.float64)
    """
    y = labels("y", y, len(local.base)).to(local.base)
    before, after = (local.base == y).double(), (label.to(y) == y).double()
    gain = after - before
    moves = (gain != 0) & torch.isfinite(local.crossing)
    jumps, where = local.crossing[moves].double().unique(return_inverse=True)
    steps = torch.zeros_like(jumps).index_add_(0, where, gain[moves])
    start = before.sum()
    values = torch.cat([start[None], start + steps.cumsum(0)]) / max(1, len(y))
    return Steps(jumps, values)


def radius_path(
    distance: Tensor,
    agrees: Tensor,
    neighbor: Tensor,
    weight: Tensor | None = None,
    after: Tensor | None = None,
    bound: str = "sharp",
) -> Line:
    """The average certified radius of a linear or a Lipschitz score as a function of alpha,
    exactly: piecewise linear.

    With D = abs(h)/K and nb the oracle's radius, by Theorems B and H (bound="sharp"): a point where
    the base classifier and the oracle agree has min{D + alpha, nb} if nb >= D, else
    max{nb, D - alpha}; one where they do not has D - alpha up to alpha = D, where its prediction
    turns, and min{alpha - D, nb} from there on. By Theorem 6 (bound="paper") it has
    min{D + alpha, nb} where they agree, else min{abs(D - alpha), nb}.

    Source: :prf:ref:`Proposition L <proposition-l>`.

    Parameters:
        distance: D >= 0 (n,), finite.
        agrees: (n,) bool, sign h(x) = yhat(x).
        neighbor: nb (n,) for this bound, finite.
        weight: (n,), of each point in the sum that is divided by n; 1 by default.
        after: (n,), its weight once the oracle has overruled the base classifier; `weight` by
            default.
        bound: "sharp" or "paper".
    """
    if bound not in ("sharp", "paper"):
        raise ValueError(f"bound must be 'sharp' or 'paper', got {bound!r}")
    D = radii("distance", distance, len(distance))
    nb = radii("neighbor", neighbor, len(distance)).to(D)
    if not torch.isfinite(D).all() or not torch.isfinite(nb).all():
        raise ValueError("distance and neighbor must be finite along a path, got infinity")
    before = torch.ones_like(D) if weight is None else weight.to(D)
    after = before if after is None else after.to(D)
    start = (D if bound == "sharp" else torch.minimum(D, nb)) * before
    bends = _bends(D, agrees, nb, before, after, bound)
    places = torch.cat([*(place for place, _ in bends), D.new_zeros(1)])
    knots, where = places.unique(return_inverse=True)
    turns = torch.cat([turn for _, turn in bends])
    slopes = torch.zeros_like(knots).index_add_(0, where[:-1], turns).cumsum(0)
    rise = torch.cat([slopes.new_zeros(1), (slopes[:-1] * knots.diff()).cumsum(0)])
    return Line(knots, (start.sum() + rise) / max(1, len(D)))


def _bends(
    D: Tensor, agrees: Tensor, nb: Tensor, before: Tensor, after: Tensor, bound: str
) -> list[tuple[Tensor, Tensor]]:
    """The three alphas (n,) at which each radius bends, and by how much its slope turns there."""
    zero = torch.zeros_like(D)
    if bound == "sharp":
        slope, falls = torch.where(nb >= D, before, -before), zero
    else:
        slope, falls = torch.where(nb >= D, before, zero), (D - nb).clamp(min=0)
    agreeing = (zero, slope), ((nb - D).abs(), -slope), (zero, zero)
    apart = (falls, -before), (D, before + after), (D + nb, -after)
    return [
        (torch.where(agrees, own_place, place), torch.where(agrees, own_turn, turn))
        for (own_place, own_turn), (place, turn) in zip(agreeing, apart, strict=True)
    ]
