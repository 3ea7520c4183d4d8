"""The cells of the reference points with the wrong label, as an attacker sees them from points."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lbrs._checks import chunks
from lbrs.attacks.nearest import HalfSpaces
from lbrs.norms import LINF, Norm
from lbrs.oracles.nearest import NearestNeighborOracle

NEAR = 64
"""From how many points of either label, the nearest ones, cells and their sides are chosen."""

SIDES = 12
"""How many sides of a cell are kept at once."""


@dataclass(frozen=True)
class Cells:
    r"""For each of n points the cells of reference points x_j with a label other than y, nearest
    first.

    .. math:: P_j = \{z : \rho(z, x_j) \le \rho(z, x_k) \text{ for all } k \in I_y\}

    Attributes:
        center: (n, c), which j.
        bound: (n, c), a lower bound of the distance to each cell (Lemma 0), rising; inf where there
            is no cell.
        rivals: (n, c, m), the k whose sides bind most at the point.
    """

    center: Tensor
    bound: Tensor
    rivals: Tensor


def cells_around(oracle: NearestNeighborOracle, x: Tensor, y: Tensor, norm: Norm) -> Cells:
    """The cells that make `oracle` say another label than `y` (n,), seen from `x` (n, d)."""
    points, labels = oracle.points.to(x), oracle.labels.to(x)
    width = max(len(points), NEAR * max(NEAR, points.shape[1]))
    found = [_cells(points, labels, x[part], y[part], norm) for part in chunks(len(x), width)]
    return Cells(*map(torch.cat, zip(*found, strict=True)))


def _cells(
    points: Tensor, labels: Tensor, x: Tensor, y: Tensor, norm: Norm
) -> tuple[Tensor, Tensor, Tensor]:
    squares, other = torch.cdist(x, points).square(), labels != y[:, None]
    wrong, center = _nearest(squares, other)
    right, rivals = _nearest(squares, ~other)
    gap = torch.cdist(points[center], points[rivals], p=1.0 if norm == LINF else 2.0)
    ahead = (wrong[:, :, None] - right[:, None]) / (2 * gap)
    ahead = ahead.where((gap > 0) & ahead.isfinite(), -torch.inf)
    bound = ahead.amax(2).clamp(min=0).where(wrong.isfinite(), torch.inf)
    bound, order = bound.sort(1)
    center, ahead = center.gather(1, order), ahead.gather(1, order[:, :, None].expand_as(ahead))
    most = ahead.topk(min(SIDES, ahead.shape[2]), 2).indices
    return center, bound, rivals[:, None].expand_as(ahead).gather(2, most)


def _nearest(squares: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """The least of `squares` (n, N) among some of the columns and which they are, as many as the
    row with most has; inf where there are no more."""
    most = int(among.sum(1).max().clamp(1, NEAR))
    return squares.where(among, torch.inf).topk(most, largest=False)


def walls(points: Tensor, x: Tensor, center: Tensor, rivals: Tensor) -> HalfSpaces:
    r"""The sides of the cell of `center` (n,) towards `rivals` (n, m), for d = z - x, x (n, d).

    .. math:: (x_j - x_k)^\top (x + d) \ge (\|x_j\|^2 - \|x_k\|^2) / 2
    """
    mine, rival = points[center][:, None], points[rivals]
    H = mine - rival
    return HalfSpaces.scaled(H, (H * ((mine + rival) / 2 - x[:, None])).sum(2))
