"""Direction oracles: which way the decision boundary is pushed at x (Section 3.2)."""

import torch
from torch import Tensor

from lbrs import _checks
from lbrs._checks import batch, chunks, integer
from lbrs.norms import L2, Norm, as_norm

CACHE = 2**26
"""Most float64 numbers (512 MiB) that are kept of the distances between reference points of opposite labels, for one norm."""

FEW = 2**12
"""Most numbers in a reference set to which squared distances are computed in twice the working precision for radii, too."""

ROUND = 8  # most opposite points looked at together before asking which may be closer still
EPS = torch.finfo(torch.float64).eps
SHARE, TINY = 2.0**-90, 2.0**-1020  # |high + low - ||a - b||^2| <= SHARE ||a - b||^2 + TINY d, for `squares`


def distances(a: Tensor, b: Tensor, norm: Norm) -> Tensor:
    """||a_i - b_j|| for rows of `a` (n, d) and `b` (m, d), as (n, m); summed directly, so that equal rows have distance 0."""
    return torch.cdist(a, b, p=norm.p, compute_mode="donot_use_mm_for_euclid_dist")


def squares(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """||a - b||^2 along the last axis (broadcast) as a sum high + low of two float64 numbers, high = fl(high + low).

    Differences, squares and sums are split into a rounded number and its error (Knuth; Dekker), and the errors are summed in plain
    arithmetic: in ceil(log2 d) = l <= 20 steps they are at most (l + 4) u S in size, u = eps/2, S the result, and their sum is off by
    at most (l + 6)(l + 5) u^2 S < 2^-96 S. Underflow may cost TINY d besides.
    """
    difference, low = _two_sum(a, -b)
    top = 134217729.0 * difference
    top = top - (top - difference)
    rest, high = difference - top, difference * difference
    low = ((top * top - high) + 2 * top * rest) + rest * rest + 2 * difference * low
    while (width := high.shape[-1]) > 1:
        high, low = (torch.nn.functional.pad(v, (0, width % 2)).unflatten(-1, (2, -1)) for v in (high, low))
        high, error = _two_sum(high[..., 0, :], high[..., 1, :])
        low = low.sum(-2) + error
    high, low = high[..., 0], low[..., 0]
    total = high + low
    return total, low - (total - high)


def _two_sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """fl(a + b) and its rounding error, exactly."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _at(values: tuple[Tensor, ...], rows: Tensor, columns: Tensor | None = None) -> tuple[Tensor, ...]:
    """Of each tensor the `rows`, and of these the `columns` (len(rows), m)."""
    return tuple(v[rows] if columns is None else v[rows].gather(1, columns) for v in values)


class NearestNeighborOracle:
    """The k-nearest-neighbour oracle: yhat(x) is the majority label of the k reference points nearest to x in l2 (book: direction-oracle).

    The paper has k = 1 (Section 3.2). Of equally near points those that come first count. Nothing of size N x N is ever held for many points.
    Distances are compared in twice the working precision where they are close: a label is that of real arithmetic unless two squared distances
    agree in 89 bits.

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
        self._gaps: dict[tuple[Norm, float], tuple[Tensor, Tensor]] = {}

    def nearest(self, x: object) -> Tensor:
        """i*(x) for `x` (n, *shape), as int64 (n,): the first index at the least distance."""
        return self._search(self._flat(x), 1)[:, 0]

    def label(self, x: object) -> Tensor:
        """yhat(x) in {-1, +1} for `x` (n, *shape), as float64 (n,)."""
        return self._majority(self._flat(x))

    def radius(self, x: object, norm: Norm, bound: str = "sharp") -> Tensor:
        """The label does not change on the open ball of this radius around x; inf if all reference points have one label.

        bound="sharp": Theorem A (book: theorem-a), min over j with y_j != yhat(x) of max over k with y_k = yhat(x) of b_kj(x),
        and Theorem K (book: theorem-k) for k > 1, with b_kj(x) = (rho(x, x_j)^2 - rho(x, x_k)^2) / (2 ||x_k - x_j||_*), 0 where x_k = x_j.
        bound="paper": r_nghbr of Theorem 8 (book: theorem-8), which takes k = i*(x) only; never above "sharp". Needs k = 1.
        Both hold for the labels as computed in floating point: each b_kj is lowered by a bound of all rounding errors, at x and at the
        points of the ball.

        Parameters: `x` (n, *shape), `norm` of the threat. Returns float64 (n,).
        """
        if bound not in ("sharp", "paper"):
            raise ValueError(f"bound must be 'sharp' or 'paper', got {bound!r}")
        if bound == "paper" and self.k != 1:
            raise ValueError(f"bound must be 'sharp' for k = {self.k}: the paper has k = 1 only, got 'paper'")
        norm, x = as_norm("norm", norm), self._flat(x)
        index = self._search(x, self.k)
        label = self.labels[index].sum(1).sign()
        result = torch.full_like(x[:, 0], torch.inf)
        for side in (-1.0, 1.0):
            rows = (label == side).nonzero().flatten()
            width = max(self.points.shape)
            for part in chunks(len(rows), width) if (self.labels == -side).any() else ():
                result[rows[part]] = (self._paper if bound == "paper" else self._sharp)(x[rows[part]], index[rows[part]], side, norm)
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
        """Screen by one matrix product, then decide rows with more than k candidates by `squares`.

        With S = ||x - c||^2 + max ||x_j - c||^2 for the center c, a score is off by at most (2 d + 10) u S, a difference of two by half as
        many eps S; the slack is four times as much, so what it leaves out is farther in real arithmetic.
        """
        a, d = x - self._center, x.shape[1]
        scores = self._squares - 2 * (a @ self._centered.T)
        best, index = scores.topk(k, largest=False)
        slack = 8 * EPS * (8 + d) * (a.square().sum(1) + self._squares.max()) + 8 * TINY * d
        near = scores <= (best[:, -1] + slack)[:, None]
        doubtful = (near.sum(1) > k).nonzero().flatten()
        for part in chunks(len(doubtful), len(self.points)):
            rows = doubtful[part]
            row, column = near[rows].nonzero(as_tuple=True)
            pairs = [squares(x[rows[row[pair]]], self.points[column[pair]]) for pair in chunks(len(row), d)]
            order = torch.arange(len(row), device=x.device)
            for key in (torch.cat([low for _, low in pairs]), torch.cat([high for high, _ in pairs]), row):
                order = order[key[order].argsort(stable=True)]
            first = torch.searchsorted(row, torch.arange(len(rows), device=x.device))
            index[rows] = column[order[first[:, None] + torch.arange(k, device=x.device)]]
        return index

    def _paper(self, x: Tensor, index: Tensor, side: float, norm: Norm) -> Tensor:
        """r_nghbr at points `x` whose oracle label is `side`; `index` (n, 1) is i*(x)."""
        return self._floor(*self._sides(x, side), index, side, norm).amin(1)

    def _sides(self, x: Tensor, side: float) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The squared distances (n, S) to the points of the label `side`, and those to the others: (high, low) as of `squares`, or (rounded,)."""
        few, sides = self.points.numel() <= FEW, (self.points[self.labels == side], self.points[self.labels == -side])
        if not few:
            return tuple((distances(x, points, L2).square_(),) for points in sides)
        parts = [[squares(x[part, None], points) for part in chunks(len(x), points.numel())] for points in sides]
        return tuple(tuple(torch.cat(values) for values in zip(*part)) for part in parts)

    def _sharp(self, x: Tensor, index: Tensor, side: float, norm: Norm) -> Tensor:
        """Theorems A and K at points `x` whose oracle label is `side`: visit the j with the least lower bounds of beta_j, stop when none can be closer."""
        S, M, quorum = int((self.labels == side).sum()), int((self.labels == -side).sum()), (self.k + 1) // 2
        best = torch.full((len(x), quorum), torch.inf, dtype=torch.float64, device=x.device)
        if M < quorum:
            return best[:, -1]
        to_same, to_other = self._sides(x, side)
        lower = self._floor(to_same, to_other, index, side, norm)
        paper, rows, seen, step = lower.amin(1), torch.arange(len(x), device=x.device), 0, quorum
        while len(rows) and seen < M:
            near = lower[rows].topk(min(step, M - seen), largest=False)
            closer = near.values[:, 0] < best[rows, -1]
            rows, columns, seen, step = rows[closer], near.indices[closer], seen + step, min(2 * step, max(ROUND, quorum))
            lower[rows[:, None], columns] = torch.inf
            for part in chunks(len(rows), max(columns.shape[1] * S, M)):
                column = self._visit(rows[part], columns[part], to_same, to_other, best, side, norm)
                if quorum == 1 and S >= M:
                    bounds = self._bisectors(_at(to_same, rows[part], column[:, None]), _at(to_other, rows[part]), self._rows(column, side, norm), norm)
                    lower[rows[part]] = torch.maximum(lower[rows[part]], bounds)
        return best[:, -1] if quorum > 1 else torch.maximum(best[:, -1], paper)

    def _floor(self, to_same: tuple[Tensor, ...], to_other: tuple[Tensor, ...], index: Tensor, side: float, norm: Norm) -> Tensor:
        """For each point and each j, a value that beta_j is not below: that of (k + 1)/2 nearest points of the label `side` alone."""
        quorum = (self.k + 1) // 2
        near = to_same[0].topk(quorum, largest=False).indices if self.k > 1 else ((self.labels == side).cumsum(0) - 1)[index]
        rows = torch.arange(len(index), device=near.device)
        bounds = [self._bisectors(_at(to_same, rows, column[:, None]), to_other, self._rows(column, side, norm), norm) for column in near.T]
        return torch.stack(bounds).amin(0)

    def _visit(self, rows: Tensor, columns: Tensor, to_same: tuple[Tensor, ...], to_other: tuple[Tensor, ...], best: Tensor, side: float,
               norm: Norm) -> Tensor:
        """Put beta_j of the points `rows` for the j in `columns` (len(rows), m) into `best`, the smallest ones of each row.

        Returns the k, counted among the points of the label `side`, that gives the least of these beta_j: it may give much for other j as well.
        """
        gap = self._rows(columns.flatten(), -side, norm).unflatten(0, columns.shape)
        values = self._bisectors(tuple(v[:, None] for v in _at(to_same, rows)), tuple(v[..., None] for v in _at(to_other, rows, columns)), gap, norm)
        beta, winner = (found[..., -1] for found in values.topk(best.shape[1], dim=2))
        best[rows] = torch.cat([best[rows], beta], 1).topk(best.shape[1], largest=False).values.sort(1).values
        return winner.gather(1, beta.argmin(1, keepdim=True))[:, 0]

    def _rows(self, index: Tensor, side: float, norm: Norm) -> Tensor:
        """||x_k - x_j||_* or a little more, for k in `index` (m,) among the points of the label `side`, and all j of the other: (m, M).

        What was computed once is kept, as long as all of it fits, so a first call costs no more than the rows it asks for.
        """
        mine, theirs = self.labels == side, self.labels == -side
        S, M = int(mine.sum()), int(theirs.sum())
        unique, inverse = index.unique(return_inverse=True)
        if 2 * S * M > CACHE:
            return self._above(self.points[mine.nonzero().flatten()[unique]], self.points[theirs], norm.dual)[inverse]
        if (norm, side) not in self._gaps:
            self._gaps[norm, side] = (torch.empty(S, M, dtype=torch.float64, device=index.device), torch.zeros(S, dtype=torch.bool, device=index.device))
        table, known = self._gaps[norm, side]
        new = unique[~known[unique]]
        for part in chunks(len(new), M):
            table[new[part]] = self._above(self.points[mine.nonzero().flatten()[new[part]]], self.points[theirs], norm.dual)
        known[new] = True
        return table[index]

    def _above(self, a: Tensor, b: Tensor, norm: Norm) -> Tensor:
        """||a_i - b_j||, in l2 between many points by one matrix product plus a bound of its rounding; summed directly where that bound is
        not negligible, and scaled where a power underflows."""
        if norm == L2 and self.points.numel() > FEW:
            left, right = a - self._center, b - self._center
            slack = (left.square().sum(1)[:, None] + right.square().sum(1)) * (8 * (8 + a.shape[1]) * EPS)
            values = torch.cdist(left, right, compute_mode="use_mm_for_euclid_dist").square() + slack
            doubtful = slack > 1e-10 * values
            values = values.sqrt()
        else:
            values = distances(a, b, norm)
            doubtful = values < 1e-290 ** (1 / norm.p)
        i, j = doubtful.nonzero(as_tuple=True)
        for part in chunks(len(i), a.shape[1]):
            values[i[part], j[part]] = norm(a[i[part]] - b[j[part]])
        return values

    def _bisectors(self, to_same: tuple[Tensor, ...], to_other: tuple[Tensor, ...], gap: Tensor, norm: Norm) -> Tensor:
        """Lower bounds of b_kj, broadcast, which no rounding error of the labels or of this formula can break.

        Where the computed label at z, t = ||z - x|| < b_kj(x), is that of x_j and not of x_k, 2 t ||x_k - x_j||_* >= rho_j^2 - rho_k^2 - n
        with n = SHARE (rho(z, x_j)^2 + rho(z, x_k)^2) + 2 d TINY. There rho(z, .) <= (1 + sqrt d) rho_j in each norm, as
        rho_j - rho_k <= ||x_j - x_k||_2; so n <= 8 d (SHARE rho_j^2 + TINY). With u = eps/2, in any order of summation and with or without
        fused operations, a directly summed squared distance is off by a share (1 + u)^(d + 2) - 1 (difference 2, square 1, sum d - 1), by
        3 u more if its root is rounded and squared: (d + 6) u rho_j^2 each for rho_j^2 and rho_k^2 <= rho_j^2; as of `squares`, SHARE.
        A gap is off by a share (d + 4) u, for other p than 1, 2, inf by a few u for each power and 350 u for the rounded 1/p; the
        formula itself by 5 u.
        """
        d = self.points.shape[1]
        numerator = to_other[0] - to_same[0]
        if len(to_other) > 1:
            numerator = numerator + (to_other[1] - to_same[1])
        share = (0 if len(to_other) > 1 else d + 6) * EPS + (8 * d + 2) * SHARE
        loose = (d + (8 if norm.p in (1, 2, torch.inf) else 200)) * EPS
        safe = (numerator - (share * to_other[0] + 8 * d * TINY)) / (2 * gap * (1 + loose))
        return torch.where((gap > 0) & (safe > 0), safe, 0.0)
