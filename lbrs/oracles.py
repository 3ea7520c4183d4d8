"""Direction oracles: which way the decision boundary is pushed at x (Section 3.2)."""

import torch
from torch import Tensor

from lbrs import _checks
from lbrs._checks import batch, chunks, integer
from lbrs.norms import L2, Norm, as_norm


def distances(a: Tensor, b: Tensor, norm: Norm) -> Tensor:
    """||a_i - b_j|| for rows of `a` (n, d) and `b` (m, d), as (n, m); summed directly, so that equal rows have distance 0."""
    return torch.cdist(a, b, p=norm.p, compute_mode="donot_use_mm_for_euclid_dist")


class NearestNeighborOracle:
    """The 1-nearest-neighbour oracle yhat(x) = y_{i*(x)}, i*(x) the index of the nearest reference point in l2 (Section 3.2).

    Of several nearest points the one that comes first counts. Nothing of size N x N is ever held.

    Parameters
    ----------
    points: (N, *shape), N >= 1, any real dtype; kept as float64 on the device they are on.
    labels: (N,) of -1 and +1.
    k: number of neighbours; 1.

    Raises ValueError for an empty reference set, NaN or infinite numbers, labels other than -1 and +1, wrong shapes.

    >>> oracle = NearestNeighborOracle([[0.0, 0.0], [4.0, 0.0]], [1, -1])
    >>> oracle.label([[1.0, 0.0]]), oracle.radius([[1.0, 0.0]], L2)
    (tensor([1.], dtype=torch.float64), tensor([1.], dtype=torch.float64))
    """

    def __init__(self, points: object, labels: object, k: int = 1) -> None:
        points = batch("points", points)
        if len(points) == 0:
            raise ValueError("points must hold at least one reference point, got none")
        self.shape = tuple(points.shape[1:])
        self.points = points.flatten(1)
        self.labels = _checks.labels("labels", labels, len(points)).to(points.device)
        if integer("k", k, low=1) != 1:
            raise ValueError(f"k must be 1, the oracle of the paper, got {k}")
        self.k = 1
        self._center = self.points.mean(0)

    def nearest(self, x: object) -> Tensor:
        """i*(x) for `x` (n, *shape), as int64 (n,): the first index at the least distance."""
        return self._search(self._flat(x))

    def label(self, x: object) -> Tensor:
        """yhat(x) in {-1, +1} for `x` (n, *shape), as float64 (n,)."""
        return self.labels[self.nearest(x)]

    def radius(self, x: object, norm: Norm) -> Tensor:
        """The label does not change on the open ball of this radius around x; inf if all reference points have one label.

        r_nghbr(x) = min over j with y_j != y_i of (rho(x, x_j)^2 - rho(x, x_i)^2) / (2 ||x_i - x_j||_*), i = i*(x) (Theorem 8);
        0 where x_i = x_j. Parameters: `x` (n, *shape), `norm` of the threat. Returns float64 (n,).
        """
        dual = as_norm("norm", norm).dual
        x = self._flat(x)
        nearest = self._search(x)
        result = torch.full_like(x[:, 0], torch.inf)
        for label in (-1.0, 1.0):
            others = self.points[self.labels == -label]
            rows = (self.labels[nearest] == label).nonzero().flatten()
            for part in chunks(len(rows), max(others.shape)) if len(others) else ():
                row = rows[part]
                result[row] = self._bisectors(x[row], nearest[row], others, dual).amin(1)
        return result

    def _flat(self, x: object) -> Tensor:
        return batch("x", x, self.shape).flatten(1).to(self.points.device)

    def _search(self, x: Tensor) -> Tensor:
        parts = [self._nearest(x[part]) for part in chunks(len(x), max(self.points.shape))]
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.int64, device=x.device)

    def _nearest(self, x: Tensor) -> Tensor:
        """Screen by one matrix product, then decide rows with several candidates by directly summed distances."""
        a, b = x - self._center, self.points - self._center
        squares = b.square().sum(1)
        scores = squares - 2 * (a @ b.T)
        best, index = scores.min(1)
        slack = 8 * torch.finfo(torch.float64).eps * (8 + x.shape[1]) * (a.square().sum(1) + squares.max())
        doubtful = ((scores <= (best + slack)[:, None]).sum(1) > 1).nonzero().flatten()
        for part in chunks(len(doubtful), len(b)):
            rows = doubtful[part]
            index[rows] = distances(x[rows], self.points, L2).argmin(1)
        return index

    def _bisectors(self, x: Tensor, nearest: Tensor, others: Tensor, dual: Norm) -> Tensor:
        """b = (rho(x, x_j)^2 - rho(x, x_i)^2) / (2 ||x_i - x_j||_*) for rows x, i = nearest (n,), and all x_j in `others`, as (n, m)."""
        to_other = distances(x, others, L2)
        to_nearest = torch.linalg.vector_norm(x - self.points[nearest], dim=1)[:, None]
        unique, inverse = nearest.unique(return_inverse=True)
        gap = distances(self.points[unique], others, dual)[inverse]
        numerator = ((to_other - to_nearest) * (to_other + to_nearest)).clamp(min=0)
        return torch.where(gap > 0, numerator / (2 * gap), 0.0)
