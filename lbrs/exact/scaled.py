"""A locally biased linear classifier in units in which no square overflows, seen from one point."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lbrs.exact.frames import Frame, frame
from lbrs.exact.programs import Array, Box, lengths, nearest_in_half_space
from lbrs.norms import Norm
from lbrs.oracles.nearest import NearestNeighborOracle
from lbrs.rounding import TINY, mislabelled, of_row, scaled_scores
from lbrs.scores.linear import LinearScore

FAR = 1e300
"""Numbers beyond are cut off here: no sum or difference of two of them is infinite or NaN."""

LEAST = 1e-200
"""The least share of a row's largest entry that counts as its dual norm, where that is 0."""

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scaled:
    """sign(R + alpha yhat) for the affine R = g/||a||_*, at n points.

    scale: a power of two, the unit of points and distances. frame: where norms are lp norms.
    x: (n, d). points: (m, d), of equal reference points the first. groups: I_y for each label y.
    w: (d,), a/||a||_*; 0 if a = 0. R: (n,). error: (n,), how far R -+ alpha may be off.
    limits: of each coordinate.
    """

    scale: float
    norm: Norm
    frame: Frame
    x: Array
    points: Array
    groups: dict[float, Places]
    w: Array
    alpha: float
    R: Array
    error: Array
    limits: tuple[float, float]


def scaled(
    score: LinearScore,
    oracle: NearestNeighborOracle,
    alpha: float,
    norm: Norm,
    x: Tensor,
    *,
    box: bool,
) -> Scaled:
    """The classifier at the points `x` (n, *shape), with `box` within [0, 1]^d.

    Raises:
        ArithmeticError: where points or x lose digits in units of the largest of them.
    """
    points, rows, a = map(_array, (oracle.points, x.flatten(1), score.weight.flatten()))
    scale = 2.0 ** math.frexp(max(abs(points).max(), abs(rows).max(initial=0)))[1]
    if not all((v / scale * scale == v).all() for v in (points, rows)):
        raise ArithmeticError(
            "points and x must keep their digits in units of the largest of them for exact radii"
        )
    rows, points = rows / scale, points / scale + 0.0  # the sum makes 0 of -0
    first = _first(points)
    labels = _array(oracle.labels)[first]
    turned = frame(norm, len(a))
    assert turned is not None  # as `exact_radii` has seen to
    slope = float(score.slope(norm)) or 1.0
    w, b = a * score._unit / slope, score.bias * score._unit / slope / scale
    length = min(alpha / scale, FAR)
    R = np.clip((rows * w).sum(1) + b, -FAR, FAR)
    sizes = np.minimum(abs(rows * w).sum(1) + abs(b), FAR)
    underflow = len(a) * 2.0**-1020 * score._unit / slope / scale
    return Scaled(
        scale,
        norm,
        turned,
        rows,
        points[first],
        {y: np.flatnonzero(labels == y) for y in np.unique(labels)},
        w,
        length,
        R,
        scaled_scores(sizes, abs(R) + length, len(a)) + underflow,
        (0.0, 1 / scale) if box else (-math.inf, math.inf),
    )


def _array(v: Tensor) -> Array:
    found: Array = np.ascontiguousarray(v.cpu().numpy(), np.float64)
    return found


def _first(points: Array) -> Places:
    """The places of the rows, of equal ones the first."""
    found: dict[bytes, int] = {}
    for place, row in enumerate(points):
        found.setdefault(row.tobytes(), place)
    return np.array([*found.values()])


@dataclass(frozen=True)
class View:
    """The `i`-th point x of a classifier whose prediction there is s, and displacements d = z - x.

    Rows and the box are those of v = T d, the problem's frame. A z of P_{y,j} has w^T v >= c_y,
    which is s (R(z) + y alpha) <= 0, and is at least as near to x_j as to all points of the other
    label (`bisectors`).
    """

    problem: Scaled
    i: int
    s: float

    @property
    def x(self) -> Array:
        row: Array = self.problem.x[self.i]
        return row

    @property
    def norm(self) -> Norm:
        return self.problem.norm

    @cached_property
    def V(self) -> Array:
        """x_j - x, (m, d)."""
        return self.problem.points - self.x

    @cached_property
    def half(self) -> Array:
        """||x_j - x||_2^2 / 2, (m,)."""
        squares: Array = (self.V * self.V).sum(1)
        return squares / 2

    @cached_property
    def w(self) -> Array:
        """-s a/||a||_*, (d,)."""
        return -self.s * self.problem.frame.rows(self.problem.w)

    @cached_property
    def c(self) -> dict[float, float]:
        """The lowest c_y that rounding may give, for each label y."""
        problem, i = self.problem, self.i

        def lowest(y: float) -> float:
            margin = self.s * (problem.R[i] + y * problem.alpha) - problem.error[i]
            return float(np.clip(margin, -FAR, FAR))

        return {y: lowest(y) for y in problem.groups}

    @cached_property
    def opposite_nearest(self) -> dict[float, int]:
        """For each label y the point of the other label that is nearest to x; none where there is
        no such point, or where alpha = 0, so that the oracle has no say."""
        groups = self.problem.groups if self.problem.alpha > 0 else {}
        others = {y: groups[-y] for y in groups if -y in groups}
        return {y: other[self.half[other].argmin()] for y, other in others.items()}

    @cached_property
    def box(self) -> Box:
        """The lowest and the highest displacement of each coordinate, which has to be >= 0."""
        low, high = self.problem.limits
        above = np.nextafter(high - self.x, np.inf)
        return self.problem.frame.box((low - self.x, np.where(self.x < high, above, 0.0)))

    @cached_property
    def farthest(self) -> float:
        """No change of the prediction is farther, in a box or where there is no other label."""
        problem, high = self.problem, self.problem.limits[1]
        if high < math.inf:
            corner = problem.frame.into(np.ones_like(self.x))
            return 1.01 * float(high * lengths(corner, problem.frame.p))
        return 1.01 * float(abs(problem.R[self.i]) + problem.alpha + problem.error[self.i])

    @cached_property
    def spread(self) -> float:
        """How fast rounding errors of the score grow, in multiples of ||w||_* = 1."""
        if self.norm.absolute:
            return 1.0
        return float(self.norm.spread(torch.from_numpy(self.problem.w)))

    def foot(self, y: float) -> Array:
        """The displacement to the nearest point of the half-space of a label, without the box."""
        everywhere = np.full_like(self.x, -np.inf), np.full_like(self.x, np.inf)
        frame = self.problem.frame
        _, v = nearest_in_half_space(self.w, 0.0, self.c[y], everywhere, frame.p)
        assert v is not None  # as long as w is not 0
        return frame.back(v)

    def gaps(self, j: int | Places, k: int | Places) -> Array:
        """||x_j - x_k||_* for each of j or of k."""
        frame, points = self.problem.frame, self.problem.points
        apart = points[j] - points[k]
        least = LEAST * abs(apart).max(-1)
        found: Array = np.maximum(lengths(frame.rows(apart), frame.q), least)
        return found

    def bisectors(self, j: int, k: Places) -> tuple[Array, Array]:
        """Rows u (., d), of dual norm 1 (0 where no change allowed moves between x_j and x_k), and
        sides h for each of k: u^T v >= h where x + d is at least as near to x_j as to x_k. The
        sides are rounded down."""
        frame, points, V = self.problem.frame, self.problem.points, self.V
        u = points[j] - points[k]
        u /= self.gaps(j, k)[:, None]
        size = (abs(u) * (abs(V[j]) + abs(V[k]))).sum(1)
        side = (u * (V[j] + V[k])).sum(1)
        return frame.rows(u), (side - of_row(len(self.x)) * size) / 2

    def mislabelled(self, half: Array, square: Array | float) -> Array:
        """`rounding.mislabelled`, in these units."""
        scale = self.problem.scale
        return mislabelled(half, square, len(self.x) * TINY / scale / scale)
