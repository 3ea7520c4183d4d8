"""Direction oracles: which way the decision boundary is pushed at x (Section 3.2)."""

from functools import cached_property

import torch
from torch import Tensor

from lbrs import _checks
from lbrs._checks import array, batch, chunks, integer, owned
from lbrs.norms import L2, Norm, as_norm
from lbrs.norms.lp import Lp
from lbrs.oracles.distances import CACHED, distances, folded, ranked
from lbrs.oracles.gaps import Gaps
from lbrs.oracles.radii import FAR, NEAR, Side, farthest
from lbrs.rounding import EPS, TINY, of_product, of_sum, squares

SAMPLE = 1024
"""Most reference points of which the center is taken: their median, which no single row moves."""

MORE = 7
"""Candidates looked at beyond the k nearest before all points are looked through."""

ROUGH = 1e-6
"""Share of the nearest opposite squared distance that the rounding of matrix products may reach."""


class NearestNeighborOracle:
    r"""The k-nearest-neighbour oracle: yhat(x) is the majority label of the k reference points
    nearest to x in l2.

    .. math:: \hat y(x) = y_{i^*(x)}

    The paper has k = 1 (Section 3.2), and i*(x) is the index of the nearest point. Of equally near
    points those that come first count. Nothing of size N x N is ever held for many points.
    Distances are compared in twice the working precision where they are close: a label is that of
    real arithmetic unless two squared distances agree in 89 bits. Labels and radii at a point
    depend on that point alone, to the last bit, and not on the others of a call or on earlier
    calls.

    Source: :prf:ref:`Direction oracle <direction-oracle>`.

    Parameters:
        points: (N, *shape), N >= 1, any real dtype; kept as float64 on the device they are on.
        labels: (N,) of -1 and +1.
        k: odd, 1 <= k <= N.
        metric: None, or the factor of each feature in the distance, > 0, of the shape of one point:
            rho(x, z) = ||metric (x - z)||_2 (:prf:ref:`Lemma S <lemma-s>`). 1/std makes features of
            any units count alike; points and radii stay in the units of the input.

    Attributes:
        points, labels: (N, d) and (N,), copies of what was given: whatever is done to either in
            place changes nothing here.

    Raises:
        ValueError, TypeError: for an empty reference set, NaN or infinite numbers, labels other
            than -1 and +1, wrong shapes, an even k, k > N.

    >>> oracle = NearestNeighborOracle([[0.0, 0.0], [4.0, 0.0]], [1, -1])
    >>> oracle.label([[1.0, 0.0]]), oracle.radius([[1.0, 0.0]], L2)
    (tensor([1.], dtype=torch.float64), tensor([1.0000], dtype=torch.float64))
    """

    def __init__(
        self, points: object, labels: object, k: int = 1, *, metric: object = None
    ) -> None:
        points = batch("points", points)
        if len(points) == 0:
            raise ValueError("points must hold at least one reference point, got none")
        labels = _checks.labels("labels", labels, len(points)).to(points.device)
        self.shape = tuple(points.shape[1:])
        self.k = integer("k", k, low=1)
        if self.k % 2 == 0 or self.k > len(points):
            told = f"k must be odd and at most the number of points {len(points)}, got {k}"
            raise ValueError(told)
        self._metric = None if metric is None else scales("metric", metric, points)
        self._given = points.flatten(1).clone() if metric is not None else None
        points = self._measured(points.flatten(1)).contiguous()
        self._labels = labels.clone()
        self._kept, self._place = folded(points, labels, self.k)
        self._points = points[self._kept]
        self._minus = int((labels[self._kept] < 0).sum())
        sample = self._points[:: -(-len(self._points) // SAMPLE)]
        self._center = sample.median(0).values
        self._centered = self._points - self._center
        self._squares = self._centered.square().sum(1)

    def __repr__(self) -> str:
        told = f"{len(self._place)} points of shape {self.shape}, k={self.k}"
        return f"NearestNeighborOracle({told})"

    def to(self, device: torch.device | str) -> "NearestNeighborOracle":
        """The same oracle on `device`; this one stays as it is."""
        points = self.points.reshape(-1, *self.shape).to(device)
        return NearestNeighborOracle(points, self._labels, self.k, metric=self._metric)

    @property
    def points(self) -> Tensor:
        """The reference points (N, d) in the order they were given, as a copy."""
        return self._points[self._place] if self._given is None else self._given.clone()

    @property
    def metric(self) -> Tensor | None:
        """The factors (d,) of the features in distances, as a copy; None in l2."""
        return None if self._metric is None else self._metric.clone()

    @property
    def labels(self) -> Tensor:
        """Their labels (N,), as a copy."""
        return self._labels.clone()

    def nearest(self, x: object) -> Tensor:
        """i*(x) for `x` (n, *shape), as int64 (n,): the first index at the least distance."""
        return self._kept[self._search(self._flat(x), 1)[:, 0]]

    def label(self, x: object) -> Tensor:
        """yhat(x) in {-1, +1} for `x` (n, *shape), as float64 (n,): a sign in formulas."""
        return self._majority(self._search(self._flat(x), self.k))

    def radius(self, x: object, norm: Norm, bound: str = "sharp") -> Tensor:
        r"""The label does not change on the open ball of this radius around x; inf if all reference
        points have one label.

        .. math::

           R_{\mathrm{nb}}(x) = \min_{j \in I_{-\hat y}} \max_{k \in I_{\hat y}} b_{kj}(x), \qquad
           b_{kj}(x) = \frac{\rho(x, x_j)^2 - \rho(x, x_k)^2}{2\,\|x_k - x_j\|_*}

        Here I_y holds the points with the label y, and b_kj is 0 where x_k = x_j.

        With a `metric` M, ||M^2 (x_k - x_j)||_* stands for ||x_k - x_j||_*.

        - ``"sharp"``: this number, by :prf:ref:`Theorem A <theorem-a>`, and by
          :prf:ref:`Theorem K <theorem-k>` for k > 1.
        - ``"paper"``: r_nghbr of :prf:ref:`Theorem 8 <theorem-8>`, which takes k = i*(x) only;
          never above "sharp". Needs k = 1.

        Both hold for the labels as computed in floating point: each b_kj is lowered by a bound
        of all rounding errors, at x and at the points of the ball.

        Parameters:
            x: points (n, *shape).
            norm: of the threat.
            bound: "sharp" or "paper".

        Returns:
            float64 (n,).

        Raises:
            ValueError, TypeError: naming the argument.
        """
        if bound not in ("sharp", "paper"):
            raise ValueError(f"bound must be 'sharp' or 'paper', got {bound!r}")
        if bound == "paper" and self.k != 1:
            told = f"bound must be 'sharp' for k = {self.k}: the paper has k = 1 only, got 'paper'"
            raise ValueError(told)
        norm, x = as_norm("norm", norm, self.shape), self._flat(x)
        if self._metric is not None:
            norm = norm.weighted(1 / self._metric)
        parts = chunks(len(x), max(self._points.shape))
        found = [self._radius(x[part], norm, bound == "paper") for part in parts]
        return torch.cat(found) if found else x.new_zeros(0)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_gaps"}

    @cached_property
    def _gaps(self) -> Gaps:
        return Gaps(self._points, self._center, self._centered, self._squares)

    def _flat(self, x: object) -> Tensor:
        return self._measured(batch("x", x, self.shape).flatten(1).to(self._points.device))

    def _measured(self, x: Tensor) -> Tensor:
        """Points in the units of the metric."""
        if self._metric is None:
            return x
        return array("points in the units of the metric", x * self._metric.to(x.device))

    def _majority(self, index: Tensor) -> Tensor:
        """The label (n,) that most of the points `index` (n, k) have."""
        return (2.0 * (index >= self._minus) - 1).to(torch.float64).sum(1).sign()

    def _search(self, x: Tensor, k: int) -> Tensor:
        """The k nearest points (n, k); their order is that of the distance only for k = 1."""
        width = max(self._points.shape)
        parts = [self._nearest(x[part], *self._low(x[part]), k) for part in chunks(len(x), width)]
        return torch.cat(parts) if parts else self._kept.new_zeros(0, k)

    def _low(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bounds of each squared distance, less a number of the row: the lower one (n, m), and
        what to add for the upper one, by row (n, 1) and by reference point (m,)."""
        a, d = x - self._center, x.shape[1]
        share = of_product(d)
        low = torch.addmm((1 - share) * self._squares, a, self._centered.T, alpha=-2)
        size = a.square().sum(1, keepdim=True)
        return low, 2 * share * size + 64 * d * TINY, 2 * share * self._squares

    def _nearest(self, x: Tensor, low: Tensor, row: Tensor, column: Tensor, k: int) -> Tensor:
        """The k nearest points, by the bounds of `_low`; rows with more than k candidates by sums
        of squares, and what these leave by `squares`, where of equal ones the first counts."""
        width = min(k + MORE, low.shape[1])
        values, index = low.topk(width, largest=False)
        limit = (values[:, :k] + column[index[:, :k]]).amax(1, keepdim=True) + row
        near = values <= limit
        all_near = near[:, -1] & (width < low.shape[1])
        some = (near[:, k:].any(1) & ~all_near).nonzero().flatten()
        found = index[:, :k].clone()
        if len(some):
            i, place = near[some].nonzero(as_tuple=True)
            found[some] = self._decided(x[some], i, index[some][i, place], k)
        many = all_near.nonzero().flatten()
        for part in chunks(len(many), low.shape[1]):
            rows = many[part]
            i, j = (low[rows] <= limit[rows]).nonzero(as_tuple=True)
            found[rows] = self._decided(x[rows], i, j, k)
        return found

    def _decided(self, x: Tensor, i: Tensor, j: Tensor, k: int) -> Tensor:
        """The k nearest of candidates j (p,) to the rows i (p,) of `x`, at least k for each row."""
        d, more = x.shape[1], torch.arange(k, device=x.device)
        parts = chunks(len(i), CACHED * d)
        sums = [(x[i[part]] - self._points[j[part]]).square_().sum(1) for part in parts]
        values, slack = torch.cat(sums), of_sum(d)
        order, start = ranked(i, (values,), len(x))
        limit = values[order[start + k - 1]] * (1 + slack) + 8 * d * TINY
        close = (values * (1 - slack) - 8 * d * TINY <= limit[i]).nonzero().flatten()
        i, j = i[close], j[close]
        parts = chunks(len(i), CACHED * d)
        pieces = [squares(x[i[part]], self._points[j[part]]) for part in parts]
        high, low = map(torch.cat, zip(*pieces, strict=True))
        order, start = ranked(i, (high, low, self._kept[j]), len(x))
        return j[order[start[:, None] + more]]

    def _radius(self, x: Tensor, norm: Norm, paper: bool) -> Tensor:
        """The radius at a chunk of points."""
        limit, lost = self._limits(x, norm)
        low, row, column = self._low(x)
        index = self._nearest(x, low, row, column, self.k)
        high = (low + column).add_(row)
        label, result = self._majority(index), torch.full_like(x[:, 0], torch.inf)
        slices = slice(0, self._minus), slice(self._minus, len(self._points))
        for side, (same, other) in ((-1, slices), (1, slices[::-1])):
            rows = (label == side).nonzero().flatten()
            if not len(rows) or other.stop == other.start:
                continue
            z, lower, upper = self._sharpened(x[rows], low[rows], high[rows], other)
            quorum = (self.k + 1) // 2
            taken = None if lost is None else lost[rows]
            if taken is not None:
                lower[:, other] -= taken[:, None]
            search = Side(z, lower, upper, same, other, quorum, self._gaps, norm.dual, taken)
            found = search.radius(index[rows, 0] - same.start if paper else None)
            result[rows] = torch.minimum(found, limit[rows])
        return result

    def _limits(self, x: Tensor, norm: Norm) -> tuple[Tensor, Tensor | None]:
        """`radii.farthest` for points x; no limit for lp norms."""
        if isinstance(norm, Lp):
            return torch.full_like(x[:, 0], torch.inf), None
        size = (L2(x - self._center) + self._squares.max().sqrt()) * (1 + 1e-9)
        d, far = x.shape[1], FAR if self._metric is None else NEAR
        blur = 0 * size if self._metric is None else EPS * (L2(x) + far * size)
        return farthest(size, norm.stretch(d), blur, d, far)

    def _sharpened(self, x: Tensor, low: Tensor, high: Tensor, other: slice) -> tuple[Tensor, ...]:
        """x, low, high; by direct sums where they are wide for the nearest opposite point."""
        d, slack = x.shape[1], of_sum(x.shape[1])
        size = (x - self._center).square().sum(1)
        least, place = low[:, other].min(1)
        room = high[:, other].gather(1, place[:, None])[:, 0] - least
        rows = (~(room <= ROUGH * (least + size))).nonzero().flatten()
        if len(rows):
            values = distances(x[rows], self._points).square_()
            low[rows] = values * (1 - slack) - 32 * d * TINY
            high[rows] = values * (1 + slack) + 32 * d * TINY
        return x, low, high


def scales(name: str, value: object, points: Tensor) -> Tensor:
    """Factors (d,) of the features of `points` (N, *shape), or an error that names them."""
    found = owned(name, value).flatten().to(points.device)
    d = points[:1].numel()
    if len(found) != d:
        raise ValueError(f"{name} must hold {d} numbers, one a feature, got {len(found)}")
    wrong = found[~((found >= 1e-20) & (found <= 1e20))]
    if len(wrong):
        raise ValueError(f"{name} must hold numbers from 1e-20 to 1e+20, got {wrong[0].item():g}")
    return found
