"""Every alpha at once: accuracy and average radius of locally biased smoothing as exact functions of alpha (Proposition L)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lbrs._checks import labels, radii
from lbrs.scores.base import Linearization


@dataclass(frozen=True)
class Steps:
    """A step function of alpha >= 0: `values` (m + 1,), of which the i-th holds for jumps[i - 1] < alpha <= jumps[i], `jumps` (m,) rising."""

    jumps: Tensor
    values: Tensor

    def __call__(self, alpha: object) -> Tensor:
        """The values at each of `alpha`, any shape."""
        alpha = torch.as_tensor(alpha, dtype=torch.float64, device=self.jumps.device)
        return self.values[torch.searchsorted(self.jumps, alpha)]


@dataclass(frozen=True)
class Line:
    """A continuous piecewise linear function of alpha >= 0 with the `values` (m,) at the `knots` (m,), which rise from 0; constant after the last."""

    knots: Tensor
    values: Tensor

    def __call__(self, alpha: object) -> Tensor:
        """The values at each of `alpha`, any shape."""
        alpha = torch.as_tensor(alpha, dtype=torch.float64, device=self.knots.device)
        right = torch.searchsorted(self.knots, alpha, right=True).clamp(
            1, max(1, len(self.knots) - 1)
        )
        if len(self.knots) == 1:
            return self.values.expand(alpha.shape)
        low, high = self.knots[right - 1], self.knots[right]
        share = ((alpha - low) / (high - low)).clamp(0, 1)
        return self.values[right - 1] * (1 - share) + self.values[right] * share

    def thinned(self, top: float, tolerance: float) -> "Line":
        """The function on [0, `top`], without the knots that it can spare: nowhere off by more than `tolerance` in value."""
        inside = self.knots[self.knots < top]
        knots = torch.cat([inside, inside.new_tensor([top])])
        x, y = knots.tolist(), self(knots).tolist()
        kept, last, low, high = [0], 0, -math.inf, math.inf
        for place in range(1, len(x)):
            width, rise = x[place] - x[kept[-1]], y[place] - y[kept[-1]]
            if not low <= rise / width <= high:
                kept.append(last)
                width, rise = x[place] - x[last], y[place] - y[last]
                low, high = -math.inf, math.inf
            last, low, high = (
                place,
                max(low, (rise - tolerance) / width),
                min(high, (rise + tolerance) / width),
            )
        places = torch.tensor([*kept, last]).unique()
        return Line(knots[places], self(knots)[places])


def accuracy_path(local: Linearization, label: Tensor, y: object) -> Steps:
    """The accuracy of f^mu as a function of alpha, exactly, from one pass (Proposition L; book: proposition-l).

    f^mu(x) is the oracle's `label` (n,) where alpha > |g(x)|/||grad g(x)||_* and sign g(x) elsewhere, so the accuracy changes only at the crossings of the points where
    the two differ. Parameters: `local`, of the score at the n points; `y` (n,) in {-1, +1}.

    >>> local = Linearization(torch.ones(3), torch.ones(3), torch.ones(3), torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    >>> accuracy_path(local, torch.tensor([1.0, -1.0, -1.0]), [1, 1, -1])([0.0, 2.5, 4.0])
    tensor([0.6667, 0.3333, 0.6667], dtype=torch.float64)
    """
    y = labels("y", y, len(local.base)).to(local.base)
    gain = (label.to(y) == y).double() - (local.base == y).double()
    moves = (gain != 0) & torch.isfinite(local.crossing)
    jumps, where = local.crossing[moves].double().unique(return_inverse=True)
    steps = torch.zeros_like(jumps).index_add_(0, where, gain[moves])
    start = (local.base == y).double().sum()
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
    """The average certified radius of a linear or a Lipschitz score as a function of alpha, exactly: piecewise linear (Proposition L; book: proposition-l).

    With D = |h|/K and nb the oracle's radius: by Theorems B and H (bound="sharp") a point where the base classifier and the oracle agree has min{D + alpha, nb} if nb >= D,
    else max{nb, D - alpha}; one where they do not has D - alpha up to alpha = D, where its prediction turns, and min{alpha - D, nb} from there on.
    By Theorem 6 (bound="paper") it has min{D + alpha, nb} where they agree, else min{|D - alpha|, nb}.

    Parameters, each (n,): `distance` D >= 0, finite; `agrees`, bool, sign h(x) = yhat(x); `neighbor` nb for this bound, finite; `weight`, 1 by default, of each point in the
    sum that is divided by n; `after`, its weight once the oracle has overruled the base classifier, `weight` by default.
    """
    if bound not in ("sharp", "paper"):
        raise ValueError(f"bound must be 'sharp' or 'paper', got {bound!r}")
    D, nb = (
        radii("distance", distance, len(distance)),
        radii("neighbor", neighbor, len(distance)).to(distance),
    )
    if not torch.isfinite(D).all() or not torch.isfinite(nb).all():
        raise ValueError("distance and neighbor must be finite along a path, got infinity")
    before = torch.ones_like(D) if weight is None else weight.to(D)
    after = before if after is None else after.to(D)
    sharp, zero = bound == "sharp", torch.zeros_like(D)
    up = torch.where(nb >= D, before, -before if sharp else zero)
    falls = zero if sharp else (D - nb).clamp(min=0)
    bends = [
        (torch.where(agrees, zero, falls), torch.where(agrees, up, -before)),
        (torch.where(agrees, (nb - D).abs(), D), torch.where(agrees, -up, before + after)),
        (torch.where(agrees, zero, D + nb), torch.where(agrees, zero, -after)),
    ]
    start = (D if sharp else torch.minimum(D, nb)) * before
    knots, where = torch.cat([*(place for place, _ in bends), D.new_zeros(1)]).unique(
        return_inverse=True
    )
    slopes = (
        torch.zeros_like(knots)
        .index_add_(0, where[:-1], torch.cat([turn for _, turn in bends]))
        .cumsum(0)
    )
    rise = torch.cat([slopes.new_zeros(1), (slopes[:-1] * knots.diff()).cumsum(0)])
    return Line(knots, (start.sum() + rise) / max(1, len(D)))
