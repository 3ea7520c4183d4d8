"""Direction oracles: which way the decision boundary is pushed at x (Section 3.2)."""

import torch
from torch import Tensor

from lbrs import _checks
from lbrs._checks import batch, chunks, integer
from lbrs.norms import L2, Norm, as_norm

CACHE = 2**26
"""Most float64 numbers (512 MiB) that are kept of the distances between reference points of opposite labels."""

ROUND = 8  # opposite points looked at together before asking which may be closer still


def distances(a: Tensor, b: Tensor, norm: Norm) -> Tensor:
    """||a_i - b_j|| for rows of `a` (n, d) and `b` (m, d), as (n, m); summed directly, so that equal rows have distance 0."""
    return torch.cdist(a, b, p=norm.p, compute_mode="donot_use_mm_for_euclid_dist")


class NearestNeighborOracle:
    """The k-nearest-neighbour oracle: yhat(x) is the majority label of the k reference points nearest to x in l2 (Section 3.2; k = 1 there).

    Of equally near points those that come first count. Nothing of size N x N is ever held for many points.

    Parameters
    ----------
    points: (N, *shape), N >= 1, any real dtype; kept as float64 on the device they are on.
    labels: (N,) of -1 and +1.
    k: odd, 1 <= k <= N.

    Raises ValueError for an empty reference set, NaN or infinite numbers, labels other than -1 and +1, wrong shapes, an even k, k > N.

    >>> oracle = NearestNeighborOracle([[0.0, 0.0], [4.0, 0.0]], [1, -1])
    >>> oracle.label([[1.0, 0.0]]), oracle.radius([[1.0, 0.0]], L2)
    (tensor([1.], dtype=torch.float64), tensor([1.0000], dtype=torch.float64))
    """

    def __init__(self, points: object, labels: object, k: int = 1) -> None:
        points = batch("points", points)
        if len(points) == 0:
            raise ValueError("points must hold at least one reference point, got none")
        self.shape = tuple(points.shape[1:])
        self.points = points.flatten(1).clone()
        self.labels = _checks.labels("labels", labels, len(points)).to(points.device)
        self.k = integer("k", k, low=1)
        if self.k % 2 == 0 or self.k > len(points):
            raise ValueError(f"k must be odd and at most the number of points {len(points)}, got {k}")
        self._center = self.points.mean(0)
        self._centered = self.points - self._center
        self._squares = self._centered.square().sum(1)
        self._gaps: dict[Norm, Tensor] = {}

    def nearest(self, x: object) -> Tensor:
        """i*(x) for `x` (n, *shape), as int64 (n,): the first index at the least distance."""
        return self._search(self._flat(x), 1)[:, 0]

    def label(self, x: object) -> Tensor:
        """yhat(x) in {-1, +1} for `x` (n, *shape), as float64 (n,)."""
        return self._majority(self._flat(x))

    def radius(self, x: object, norm: Norm, bound: str = "sharp") -> Tensor:
        """The label does not change on the open ball of this radius around x; inf if all reference points have one label.

        bound="sharp": Theorem A, min over j with y_j != yhat(x) of max over k with y_k = yhat(x) of b_kj(x), and Theorem K for k > 1, with
        b_kj(x) = (rho(x, x_j)^2 - rho(x, x_k)^2) / (2 ||x_k - x_j||_*), 0 where x_k = x_j. It holds for the labels as computed in
        floating point: each b_kj is lowered by a bound of all rounding errors, at x and at the points of the ball.
        bound="paper": r_nghbr of Theorem 8, which takes k = i*(x) only, as printed. Needs k = 1.

        Parameters: `x` (n, *shape), `norm` of the threat. Returns float64 (n,).
        """
        if bound not in ("sharp", "paper"):
            raise ValueError(f"bound must be 'sharp' or 'paper', got {bound!r}")
        if bound == "paper" and self.k != 1:
            raise ValueError(f"bound must be 'sharp' for k = {self.k}: the paper has k = 1 only, got 'paper'")
        norm, x = as_norm("norm", norm), self._flat(x)
        label = self._majority(x)
        result = torch.full_like(x[:, 0], torch.inf)
        for side in (-1.0, 1.0):
            rows = (label == side).nonzero().flatten()
            width = max(self.points.shape)
            for part in chunks(len(rows), width) if (self.labels == -side).any() else ():
                result[rows[part]] = self._paper(x[rows[part]], side, norm) if bound == "paper" else self._sharp(x[rows[part]], side, norm)
        return result

    def _flat(self, x: object) -> Tensor:
        return batch("x", x, self.shape).flatten(1).to(self.points.device)

    def _majority(self, x: Tensor) -> Tensor:
        return self.labels[self._search(x, self.k)].sum(1).sign()

    def _search(self, x: Tensor, k: int) -> Tensor:
        """The indices (n, k) of the k nearest points; their order is that of the distance only for k = 1."""
        parts = [self._nearest(x[part], k) for part in chunks(len(x), max(self.points.shape))]
        return torch.cat(parts) if parts else torch.zeros(0, k, dtype=torch.int64, device=x.device)

    def _nearest(self, x: Tensor, k: int) -> Tensor:
        """Screen by one matrix product, then decide rows with more than k candidates by directly summed distances."""
        a = x - self._center
        scores = self._squares - 2 * (a @ self._centered.T)
        best, index = scores.topk(k, largest=False)
        slack = 8 * torch.finfo(torch.float64).eps * (8 + x.shape[1]) * (a.square().sum(1) + self._squares.max())
        doubtful = ((scores <= (best[:, -1] + slack)[:, None]).sum(1) > k).nonzero().flatten()
        for part in chunks(len(doubtful), len(self.points)):
            rows = doubtful[part]
            index[rows] = distances(x[rows], self.points, L2).sort(dim=1, stable=True).indices[:, :k]
        return index

    def _paper(self, x: Tensor, side: float, norm: Norm) -> Tensor:
        """r_nghbr at points `x` whose oracle label is `side`."""
        nearest, others = self._search(x, 1)[:, 0], self.points[self.labels == -side]
        to_other = distances(x, others, L2)
        to_nearest = torch.linalg.vector_norm(x - self.points[nearest], dim=1)[:, None]
        unique, inverse = nearest.unique(return_inverse=True)
        gap = distances(self.points[unique], others, norm.dual)[inverse]
        numerator = ((to_other - to_nearest) * (to_other + to_nearest)).clamp(min=0)
        return torch.where(gap > 0, numerator / (2 * gap), 0.0).amin(1)

    def _sharp(self, x: Tensor, side: float, norm: Norm) -> Tensor:
        """Theorems A and K at points `x` whose oracle label is `side`: visit j by an upper bound's order, stop when none can be closer."""
        same, other, quorum = self.points[self.labels == side], self.points[self.labels == -side], (self.k + 1) // 2
        best = torch.full((len(x), quorum), torch.inf, dtype=torch.float64, device=x.device)
        if len(other) < quorum:
            return best[:, -1]
        to_same, to_other = distances(x, same, L2), distances(x, other, L2)
        floor = self._floor(to_same, to_other, side, norm, quorum)
        order = floor.argsort(1)
        rows, start = torch.arange(len(x), device=x.device), 0
        while len(rows) and start < len(other):
            for part in chunks(len(rows), ROUND * len(same)):
                self._visit(rows[part], order[rows[part], start : start + ROUND], to_same, to_other, best, side, norm)
            start += ROUND
            if start < len(other):
                rows = rows[floor[rows, order[rows, start]] < best[rows, -1]]
        return best[:, -1]

    def _floor(self, to_same: Tensor, to_other: Tensor, side: float, norm: Norm, quorum: int) -> Tensor:
        """For each point and each j, a value that beta_j is not below: that of the `quorum` nearest points of the label `side` alone."""
        near = to_same.topk(quorum, largest=False).indices
        every = torch.arange(to_other.shape[1], device=near.device)
        bounds = [self._bisectors(to_same.gather(1, column[:, None]), to_other, self._gap(every, side, norm, column), norm) for column in near.T]
        return torch.stack(bounds).amin(0)

    def _visit(self, rows: Tensor, columns: Tensor, to_same: Tensor, to_other: Tensor, best: Tensor, side: float, norm: Norm) -> None:
        """Put beta_j of the points `rows` for the j in `columns` (len(rows), m) into `best`, the smallest ones of each row."""
        unique, inverse = columns.unique(return_inverse=True)
        gap = self._gap(unique, side, norm)[inverse]
        values = self._bisectors(to_same[rows][:, None], to_other[rows].gather(1, columns)[..., None], gap, norm)
        beta = values.topk(best.shape[1], dim=2).values[..., -1]
        best[rows] = torch.cat([best[rows], beta], 1).topk(best.shape[1], largest=False).values.sort(1).values

    def _gap(self, other: Tensor, side: float, norm: Norm, same: Tensor | None = None) -> Tensor:
        """||x_k - x_j||_* or a little more, for j in `other` and all k (len(other), S), or, given `same`, for each of its k and all j."""
        mine, theirs = self.points[self.labels == side], self.points[self.labels == -side]
        if norm not in self._gaps and len(mine) * len(theirs) <= CACHE:
            plus, minus = (mine, theirs) if side > 0 else (theirs, mine)
            self._gaps[norm] = torch.cat([self._above(plus[part], minus, norm.dual) for part in chunks(len(plus), len(minus))])
        table = self._gaps.get(norm)
        if table is not None:
            table = table if side > 0 else table.T
            return table.T[other] if same is None else table[same]
        if same is None:
            return self._above(theirs[other], mine, norm.dual)
        unique, inverse = same.unique(return_inverse=True)
        return self._above(mine[unique], theirs, norm.dual)[inverse]

    def _above(self, a: Tensor, b: Tensor, norm: Norm) -> Tensor:
        """||a_i - b_j||, in l2 by one matrix product plus a bound of its rounding; summed directly where that bound is not negligible."""
        if norm != L2:
            return distances(a, b, norm)
        left, right = a - self._center, b - self._center
        slack = (left.square().sum(1)[:, None] + right.square().sum(1)) * (8 * (8 + a.shape[1]) * torch.finfo(torch.float64).eps)
        squares = torch.cdist(left, right, compute_mode="use_mm_for_euclid_dist").square() + slack
        i, j = (slack > 1e-10 * squares).nonzero(as_tuple=True)
        for part in chunks(len(i), a.shape[1]):
            squares[i[part], j[part]] = (a[i[part]] - b[j[part]]).square().sum(1)
        return squares.sqrt()

    def _bisectors(self, to_same: Tensor, to_other: Tensor, gap: Tensor, norm: Norm) -> Tensor:
        """Lower bounds of b_kj, broadcast, which no rounding error of the labels or of this formula can break.

        A computed squared distance is off by at most a share e = (d + 8) eps, both at x and at a point z with ||z - x|| = b; there
        rho(z, .) <= rho(x, .) + c b, c the largest l2 norm in the unit ball.
        """
        d = self.points.shape[1]
        share = 4 * (d + 8) * torch.finfo(torch.float64).eps
        c = 1.0 if norm.p <= 2 else d ** (0.5 - 1 / norm.p)
        numerator = (to_other - to_same) * (to_other + to_same)
        rough = numerator.clamp(min=0) / (2 * gap)
        safe = (numerator - share * (to_other + c * rough).square()) / (2 * gap * (1 + share))
        return torch.where((gap > 0) & (safe > 0), safe, 0.0)
