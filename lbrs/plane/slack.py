"""How much of the oracle's radius rounding may cost at the points of a ball."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from lbrs._checks import chunks
from lbrs.norms import Norm
from lbrs.oracles.gaps import Gaps
from lbrs.rounding import EPS, of_radius


def oracle_slack(
    points: Tensor, gap: float, x: Tensor, norm: Norm, radius: Tensor, reach: Tensor
) -> Tensor:
    """A bound (n,) of what the signed radius o of a nearest-neighbour oracle, as computed, loses
    beyond t at distance t <= reach from x, see `rounding.of_radius`.

    Lemma. At z with the label of x the radius for this label is 1-Lipschitz, so that only its
    rounding is lost. At z with another label o may only be less than o(x) - t where the balls of
    x and z, each with one computed label, overlap; they do not.

    Parameters: reference `points` (N, d); `gap` of `least_gap`; `x` (n, *shape); `radius` R_o(x)
    (n,); `reach` (n,).
    """
    flat, d = x.flatten(1).to(points), points.shape[1]
    center = points.mean(0)
    width = (points - center).norm(dim=1).max()
    far = (flat - center).norm(dim=1) + width + math.sqrt(d) * reach.to(points)
    square = (far * (1 + (d + 8) * EPS)).square()
    size = (radius + reach).to(points)
    return of_radius(square, gap, size, d, norm.dual.rounding(d)).to(radius)


def least_gap(points: Tensor, labels: Tensor, norm: Norm) -> float:
    """A number not above any positive ||x_i - x_j||_* of `points` (N, d) with other `labels` (N,);
    inf if there are none.

    All pairs are bounded by products of matrices; those that may be the closest are computed.
    """
    order = labels.argsort(stable=True)
    rows, labels, dual = points[order], labels[order], norm.dual
    center = rows.mean(0)
    centered = rows - center
    gaps, best = Gaps(rows, center, centered, centered.square().sum(1)), math.inf
    for part, rest in _opposite(labels):
        low, high = gaps.bounds(part, rest, dual)
        top = torch.where(high > 0, high, torch.inf).min().item()
        close = low < min(best, top)
        i, j = close.nonzero(as_tuple=True)
        found = gaps.exact(part[i], j + rest.start, dual)
        best = min([best, top, *found[found > 0].tolist()])
    return best * (1 - dual.rounding(points.shape[1]) - 4 * EPS)


def _opposite(labels: Tensor) -> Iterator[tuple[Tensor, slice]]:
    """Rows and the slice of all later points with other labels, for sorted labels (N,)."""
    ends = torch.cat(
        [(labels.diff() != 0).nonzero().flatten() + 1, labels.new_tensor([len(labels)])]
    )
    start = 0
    for end in ends.long().tolist()[:-1]:
        for part in chunks(end - start, len(labels) - end):
            place = torch.arange(start, end, device=labels.device)[part]
            yield place, slice(end, len(labels))
        start = end
