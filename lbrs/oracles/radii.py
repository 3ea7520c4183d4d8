"""Theorems A and K: the least over opposite points of the largest distance to a bisector, found by
bounds from matrix products and decided in twice the working precision."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from lbrs._checks import chunks
from lbrs.norms import Norm
from lbrs.oracles.distances import CACHED, nth_largest, nth_least, ranked
from lbrs.oracles.frontier import Frontier
from lbrs.oracles.gaps import Gaps
from lbrs.rounding import EPS, SHARE, TINY, overtaking, squares


def bisectors(
    to_same: tuple[Tensor, Tensor],
    to_other: tuple[Tensor, Tensor],
    gap: Tensor,
    d: int,
    dual: Norm,
    lost: Tensor | float = 0.0,
) -> Tensor:
    """Lower bounds of b_kj, which no rounding error of the labels or of this formula can break.

    The difference x_k - x_j costs a share u, its norm `Norm.rounding`, the formula 5 u. Where the
    gap is 0, so that no change allowed reaches x_j before x_k, b_kj is inf.

    Parameters: squared distances as of `squares` and computed gaps ||x_k - x_j||_*, each (n,); what
    is `lost` besides, as of `farthest`.
    """
    numerator = (to_other[0] - to_same[0]) + (to_other[1] - to_same[1])
    loose = dual.rounding(d) + 8 * EPS
    margin = numerator - overtaking(to_other[0], d) - lost
    return torch.where(margin > 0, margin / (2 * gap * (1 + loose)), 0.0)


def farthest(
    size: Tensor, stretch: float, blur: Tensor, d: int, far: float
) -> tuple[Tensor, Tensor]:
    """How far labels may be asked for in any norm (n,), and what rounding may then take from a
    difference of two squared distances (n,).

    Lemma. Let ||d||_2 <= `stretch` ||d||, all points be within `size` of x in l2, and
    ||d|| <= `far` size / stretch. Then z = x + d is within (1 + far) size of all of them, so a
    label there is that of real arithmetic up to 2 SHARE (1 + far)^2 size^2 + 8 d TINY
    (`rounding.overtaking` has the case of lp norms, where no such limit is needed). If z itself is
    computed up to `blur`, and x too, a difference of squares 2 (x_k - x_j)^T z is off by
    2 (2 size) (2 blur) besides.

    Parameters: `size` (n,); `stretch` >= 0; `blur` (n,), in l2; `d` features.
    """
    limit = far * size / stretch if stretch > 0 else torch.full_like(size, torch.inf)
    label = 2 * SHARE * ((1 + far) * size).square() * (1 + 1e-9)
    return limit * (1 - 1e-9), label + 8 * d * TINY + 8 * (1 + 1e-9) * size * blur


FAR, NEAR = 2.0**18, 2.0**10
"""Labels are asked for within these multiples of the largest distance: where points are taken as
they are, and where a metric rounds them."""


class Pairs(NamedTuple):
    """Rows of x with opposite points j, whose beta_j lies between `low` and `high`; each (p,)."""

    row: Tensor
    j: Tensor
    low: Tensor
    high: Tensor


class Triples(NamedTuple):
    """For a pair, by its number, points k that may decide beta_j, and their gaps; each (t,)."""

    pair: Tensor
    k: Tensor
    gap: Tensor


Visit = Callable[[Tensor, Tensor], tuple[Pairs, Triples]]


@dataclass(frozen=True)
class Side:
    """Points x (n, d) with one oracle label: the reference points of that label and the others.

    `low` and `high` (n, m) hold each row's squared distances, less a number of the row, within
    bounds that include four times all rounding and 16 d TINY; `same` and `other` are the slices of
    the m reference points; `quorum` is (k + 1)/2; `lost` (n,) is taken off each difference of
    squared distances, and off `low` of the others already.
    """

    x: Tensor
    low: Tensor
    high: Tensor
    same: slice
    other: slice
    quorum: int
    gaps: Gaps
    dual: Norm
    lost: Tensor | None = None

    def radius(self, paper: Tensor | None) -> Tensor:
        """The radius (n,) of Theorem K, or with k = `paper` (n,) alone that of Theorem 8."""
        M = self.other.stop - self.other.start
        if self.quorum > M:
            return torch.full_like(self.x[:, 0], torch.inf)
        if paper is None:
            near = self.low[:, self.same].topk(self.quorum, largest=False).indices
            return self._settled(*self._search(near, self._visited))
        return self._settled(*self._search(paper[:, None], partial(self._alone, paper)))

    def _bounds(self, row: Tensor, k: Tensor, j: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds of what `bisectors` gives for triples with known gaps."""
        below = self.low[row, self.other.start + j] - self.high[row, self.same.start + k]
        above = self.high[row, self.other.start + j] - self.low[row, self.same.start + k]
        return _quotient(below, gap * (1 + self._loose)), _quotient(above, gap * (1 - 8 * EPS))

    @property
    def _loose(self) -> float:
        """More than what `bisectors` adds to a gap, with its own rounding."""
        return self.dual.rounding(self.x.shape[1]) + 24 * EPS

    def _from(self, k: Tensor) -> Tensor:
        """Numbers (n, M) not above b_kj for one point k (n,) a row, by bounds of the gaps."""
        unique, inverse = k.unique(return_inverse=True)
        far = self.gaps.bounds(self.same.start + unique, self.other, self.dual)[1]
        far *= 1 + self._loose
        below = self.low[:, self.other] - self.high.gather(1, self.same.start + k[:, None])
        return _quotient(below, far[inverse])

    def _search(self, near: Tensor, visited: Visit) -> tuple[Pairs, Triples]:
        """Visit the j with the least lower bounds of beta_j, until none can be closer. The bounds
        are those of `near` (n, quorum) points of the label alone, by bounds of their gaps for all
        j, then by the gaps themselves for few."""
        frontier = Frontier(torch.stack([self._from(k) for k in near.T]).amin(0), self.quorum)
        found = []
        while frontier.open:
            row, j = frontier.next_batch()
            close = self._least(near, row, j) < frontier.worst[row]
            pairs, triples = visited(row[close], j[close])
            frontier.tighten(pairs.row, pairs.high)
            found.append((pairs, triples))
        return _joined(found)

    def _least(self, near: Tensor, row: Tensor, j: Tensor) -> Tensor:
        """What beta_j is not below for the points `near` of the row, by their computed gaps."""
        found = [self._bounds(row, k, j, self._gap(k, j))[0] for k in near[row].T]
        return torch.stack(found).amin(0)

    def _alone(self, k: Tensor, row: Tensor, j: Tensor) -> tuple[Pairs, Triples]:
        """As `_visited`, where for each row of x one point k (n,) counts."""
        gap = self._gap(k[row], j)
        pair = torch.arange(len(row), device=row.device)
        return Pairs(row, j, *self._bounds(row, k[row], j, gap)), Triples(pair, k[row], gap)

    def _visited(self, row: Tensor, j: Tensor) -> tuple[Pairs, Triples]:
        """Bounds of beta_j, and the k that may decide it, for rows of x with points j."""
        width = max(self.same.stop - self.same.start, self.x.shape[1])
        parts = [self._visit(row[part], j[part]) for part in chunks(len(row), width)]
        empty = Pairs(row, j, *self.x.new_zeros(2, 0)), Triples(row, row, self.x.new_zeros(0))
        return _joined(parts) if parts else empty

    def _visit(self, row: Tensor, j: Tensor) -> tuple[Pairs, Triples]:
        """As `_visited`, for pairs that fit into memory with all points of the label."""
        pair, k = self._candidates(row, j)
        gap = self._gap(k, j[pair])
        low, high = self._bounds(row[pair], k, j[pair], gap)
        order, start = ranked(pair, (-low,), len(row))
        top = order[start[:, None] + torch.arange(self.quorum, device=start.device)]
        least, most = low[top[:, -1]], nth_largest(self.quorum, high, pair, len(row))
        keep = high > least[pair]
        keep[top] = True
        return Pairs(row, j, least, most), Triples(pair[keep], k[keep], gap[keep])

    def _candidates(self, row: Tensor, j: Tensor) -> tuple[Tensor, Tensor]:
        """For pairs, by their numbers, the k that may decide beta_j, by bounds of all gaps: those
        whose b_kj may be above the `quorum` largest lower bounds, and these themselves."""
        unique, inverse = j.unique(return_inverse=True)
        near, far = self.gaps.bounds(self.other.start + unique, self.same, self.dual)
        far *= 1 + self._loose
        to = self.other.start + j
        above = self.high[row, to][:, None] - self.low[row, self.same]
        below = self.low[row, to][:, None] - self.high[row, self.same]
        above, below = _quotient(above, near[inverse]), _quotient(below, far[inverse])
        top = below.topk(self.quorum)
        may = (above > top.values[:, -1:]).scatter_(1, top.indices, True)
        pair, k = may.nonzero(as_tuple=True)
        return pair, k

    def _gap(self, k: Tensor, j: Tensor) -> Tensor:
        return self.gaps.exact(self.same.start + k, self.other.start + j, self.dual)

    def _settled(self, pairs: Pairs, triples: Triples) -> Tensor:
        """The radius (n,): beta_j is the `quorum`-th largest b_kj, and the radius the `quorum`-th
        least beta_j. Exact are the b_kj of those triples that may decide it."""
        worst = nth_least(self.quorum, pairs.high, pairs.row, len(self.x))
        matter = pairs.low <= worst[pairs.row]
        number = matter.cumsum(0) - 1
        kept = matter[triples.pair].nonzero().flatten()
        pair, k, gap = (values[kept] for values in triples)
        b = self._exact(pairs.row[pair], k, pairs.j[pair], gap)
        row = pairs.row[matter]
        beta = nth_largest(self.quorum, b, number[pair], len(row))
        return nth_least(self.quorum, beta, row, len(self.x))

    def _exact(self, row: Tensor, k: Tensor, j: Tensor, gap: Tensor) -> Tensor:
        """`bisectors` for triples, which are those of any other call with the same points."""
        points, triple = self.gaps.points, row
        ends = torch.cat([self.same.start + k, self.other.start + j])
        code, inverse = (row.repeat(2) * len(points) + ends).unique(return_inverse=True)
        row, ends, d = code // len(points), code % len(points), points.shape[1]
        parts = [squares(self.x[row[p]], points[ends[p]]) for p in chunks(len(row), CACHED * d)]
        high, low = (torch.cat(values)[inverse] for values in zip(*parts, strict=True))
        to_same, to_other = (high[: len(k)], low[: len(k)]), (high[len(k) :], low[len(k) :])
        lost = 0.0 if self.lost is None else self.lost[triple]
        return bisectors(to_same, to_other, gap, d, self.dual, lost)


def _quotient(numerator: Tensor, gap: Tensor) -> Tensor:
    """max(numerator, 0) / (2 gap), widened by rounding where it matters; 0 / 0 is 0.

    Where a b_kj is not 0, its gap is above 1e-180 (`bisectors`): below that any gap serves."""
    return numerator.clamp_(min=0) / (2 * gap.clamp(min=1e-190))


def _joined(parts: list[tuple[Pairs, Triples]]) -> tuple[Pairs, Triples]:
    """All pairs and triples together, numbered anew."""
    first, moved = 0, []
    for pairs, triples in parts:
        moved.append(triples._replace(pair=triples.pair + first))
        first += len(pairs.row)
    every = zip(*(pairs for pairs, _ in parts), strict=True)
    return Pairs(*map(torch.cat, every)), Triples(*map(torch.cat, zip(*moved, strict=True)))
