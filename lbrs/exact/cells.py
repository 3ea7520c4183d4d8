"""Exact radii of a locally biased linear score (Theorem C): the distance to the nearest change of the prediction, with a witness."""

import math
from collections import namedtuple
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.optimize import brentq, linprog, nnls
from torch import Tensor

from lbrs._checks import batch, number
from lbrs.norms import L1, L2, LINF, Norm, as_norm
from lbrs.oracles.nearest import NearestNeighborOracle
from lbrs.rounding import EPS, SHARE, TINY
from lbrs.scores.base import select
from lbrs.scores.linear import LinearScore

TIE, BEYOND, FAR, FEW = 1 + 1e-9, 1e-6, 1e300, 32
Box = tuple[np.ndarray, np.ndarray]
Cell = namedtuple("Cell", "y j radius safe d stretch")


@dataclass(frozen=True)
class ExactRadii:
    """For each of n points the exact radius, and a witness: a point at that distance where the prediction changes.

    radius: (n,), a lower bound of the distance, rounding included; inf where no point changes the prediction.
    witness: (n, *shape), at most 1e-6 relative beyond the radius; NaN where the radius is inf.
    prediction: (n,) in {-1, +1}, f^mu at the points.
    """

    radius: Tensor
    witness: Tensor
    prediction: Tensor


def exact_radii(
    score: LinearScore,
    oracle: NearestNeighborOracle,
    alpha: float,
    norm: Norm,
    x: object,
    *,
    box: bool = False,
) -> ExactRadii:
    """The distance from x to the nearest point where f^mu = sign(g + alpha yhat ||a||_*), g(x) = a^T x + b, changes (Theorem C; book: theorem-c).

    f^mu is constant on the open ball of the radius around x; with `box`, on the part of it in [0, 1]^d. With s = f^mu(x) the radius is
    the least dist(x, P_{y,j}) over y in {-1, +1} and j in I_y, where
    P_{y,j} = {z : ||z - x_j||_2 <= ||z - x_k||_2 for all k in I_{-y}, and s (g(z) + alpha y ||a||_*) <= 0}.
    A distance is found by NNLS (l2) or HiGHS (l1, linf); returned is the bound that the solver's multipliers lambda >= 0 prove,
    (h - e)^T lambda / ||H^T lambda||_* for the rows H d >= h of P - x. Here e bounds the rounding of H and h, and that of the score, of
    ||a||_* and of the labels as they are computed at the points of the ball (`_Search.safe`): the radius is a lower bound for `predict`.
    That the bound for e = 0 equals the distance of the solver's point, to 1e-9 relative and 1e-12 of the coordinates, is checked.

    The witness lies inside P, at most 1e-6 of the radius behind its nearest point, and `predict` changes there. Two exceptions: where
    g^mu(x) = 0, or cannot be told from 0, the radius is 0 and the witness x; where the nearest P has no interior (half-space or box only
    touch the cell), or one thinner than rounding, the radius is only a lower bound and the witness a point of the closed P. Of equal
    reference points the first alone counts, as in the oracle, whatever the labels. a = 0 gives inf, or 0 if b = 0 too; one label alone
    |g^mu| / ||a||_*; alpha = 0 |g| / ||a||_*; alpha -> inf the exact radius of 1-NN.

    Parameters: `score`, `oracle` (k = 1) and `alpha` as for `LocallyBiased`; `norm`, L1, L2 or LINF; `x` (n, *shape), in [0, 1] if `box`.
    Raises ValueError or TypeError that names the argument, and ArithmeticError that names the point where the check fails.

    >>> oracle = NearestNeighborOracle([[0.5, 0.5], [1.0, 0.5], [0.0, 1.0]], [1, 1, -1])
    >>> exact_radii(LinearScore([1.0, 0.0]), oracle, 100.0, L2, [[0.0, 0.0]]).radius
    tensor([0.3536], dtype=torch.float64)
    """
    model = _Model(score, oracle, alpha, norm, x, box)
    if model.flat:
        return ExactRadii(
            torch.zeros_like(model.prediction, dtype=torch.float64),
            model.given.clone(),
            model.prediction,
        )
    radius, witness = (
        torch.full_like(model.prediction, torch.inf, dtype=torch.float64),
        torch.full_like(model.given, torch.nan),
    )
    for i in range(len(radius)):
        try:
            safe, cells = (search := _Search(model, i)).nearest()
            radius[i] = safe * model.scale
            for z in search.inside(cells):
                witness[i] = torch.from_numpy(z * model.scale).reshape(oracle.shape)
                if (
                    abs(z).max() * model.scale > 1e150
                    or model.predict(witness[i : i + 1]) != model.prediction[i]
                ):
                    break
        except (ArithmeticError, RuntimeError) as error:
            raise ArithmeticError(
                f"the exact radius of point {i} of x could not be verified: {error}"
            ) from error
    return ExactRadii(radius, witness, model.prediction)


class _Model:
    """The classifier, and the points as NumPy arrays in units of `scale`, a power of two in which no square overflows."""

    def __init__(
        self,
        score: LinearScore,
        oracle: NearestNeighborOracle,
        alpha: float,
        norm: Norm,
        x: object,
        box: bool,
    ) -> None:
        if not isinstance(oracle, NearestNeighborOracle):
            raise TypeError(f"oracle must be a NearestNeighborOracle, got {type(oracle).__name__}")
        self.score, self.oracle, self.norm = score, oracle, as_norm("norm", norm)
        self.length = number("alpha", alpha, low=0)
        if not isinstance(score, LinearScore) or oracle.k != 1 or norm not in (L1, L2, LINF):
            raise ValueError(
                "exact radii need as score a LinearScore, an oracle with k = 1, and as norm L1, L2 or LINF, "
                f"got {type(score).__name__}, k = {oracle.k} and {norm}"
            )
        if tuple(score.weight.shape) != oracle.shape:
            raise ValueError(
                f"score must take points of the oracle's shape {oracle.shape}, got a weight of shape {tuple(score.weight.shape)}"
            )
        self.given = batch("x", x, oracle.shape).to(score.device)
        if box and len(self.given) and not (self.given.min() >= 0 and self.given.max() <= 1):
            raise ValueError(
                f"x must lie in [0, 1] for radii inside the box, got {self.given.min().item():g} to {self.given.max().item():g}"
            )
        self.prediction = self.predict(self.given)
        points, x, labels, a = (
            np.ascontiguousarray(v.cpu())
            for v in (oracle.points, self.given.flatten(1), oracle.labels, score.weight.flatten())
        )
        self.scale = 2.0 ** math.frexp(max(abs(points).max(), abs(x).max(initial=0)))[1]
        if not all((v / self.scale * self.scale == v).all() for v in (points, x)):
            raise ArithmeticError(
                "points and x must keep their digits in units of the largest of them for exact radii"
            )
        self.x, points = x / self.scale, points / self.scale + 0.0
        first = sorted({row.tobytes(): i for i, row in reversed(list(enumerate(points)))}.values())
        self.points, self.groups = (
            points[first],
            {y: np.flatnonzero(labels[first] == y) for y in np.unique(labels[first])},
        )
        self.box = (0.0, 1 / self.scale) if box else (-np.inf, np.inf)
        self.rounding = (
            min(len(a), 40) + 8
        ) * EPS  # of a sum of rounded products, which NumPy sums pairwise, in blocks of 128
        slope = float(score.slope(norm)) or 1.0
        self.w, b = a * score._unit / slope, score.bias * score._unit / slope / self.scale
        self.alpha = min(self.length / self.scale, FAR)
        self.R = np.clip((self.x * self.w).sum(1) + b, -FAR, FAR)
        size = np.minimum(abs(self.x * self.w).sum(1) + abs(b), FAR)
        self.error = (self.rounding + (len(a) + 2) * EPS / 2) * size + 2 * EPS * (
            abs(self.R) + self.alpha
        )
        self.tiny, self.wide = (
            len(a) * TINY / self.scale / self.scale,
            len(a) ** max(0.0, 0.5 - 1 / norm.p),
        )
        self.error = self.error + len(a) * 2.0**-1020 * score._unit / slope / self.scale
        self.flat = not a.any() and score.bias == 0

    def predict(self, x: Tensor) -> Tensor:
        """f^mu at the points `x` (n, *shape), as `LocallyBiased` gives it."""
        return select(self.score.linearize(x, self.norm), self.oracle.label(x), self.length)


class _Search:
    """The polyhedra around the point x, as rows H d >= h of dual norm 1 for the displacement d = z - x, h rounded down."""

    def __init__(self, model: _Model, i: int) -> None:
        self.model, self.x, self.points, self.groups, self.norm = (
            model,
            model.x[i],
            model.points,
            model.groups,
            model.norm,
        )
        self.V = model.points - self.x
        self.half = (self.V * self.V).sum(1) / 2
        s = float(model.prediction[i])
        self.w = -s * model.w
        self.c = {
            y: float(np.clip(s * (model.R[i] + y * model.alpha) - model.error[i], -FAR, FAR))
            for y in model.groups
        }
        opposite = model.groups if model.alpha > 0 else {}  # at alpha = 0 the oracle has no say
        self.first = {
            y: others[self.half[others].argmin()]
            for y in model.groups
            if len(others := opposite.get(-y, ()))
        }
        self.rounding, self.limits, (low, high) = model.rounding, model.box, model.box
        self.box = low - self.x, np.where(self.x < high, np.nextafter(high - self.x, np.inf), 0.0)
        edge = high * _length(np.ones_like(self.x), self.norm.p)
        self.farthest = 1.01 * float(
            edge if high < np.inf else abs(model.R[i]) + model.alpha + model.error[i]
        )  # no change is only farther

    def bisectors(self, j: int, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows of {z : z is at least as near to x_j as to x_k} for all k, and their right-hand sides, rounded down."""
        u, V = self.points[j] - self.points[k], self.V[j] + self.V[k]
        u /= _length(u, self.norm.dual.p)[:, None]
        error = self.rounding * (abs(u) * (abs(self.V[j]) + abs(self.V[k]))).sum(1)
        return u, ((u * V).sum(1) - error) / 2

    def order(self) -> list[tuple[float, float, float, int]]:
        """(bound, far, y, j) by increasing lower bound of the distance, then by how far x_j is from the half-space's nearest point."""
        if not self.w.any():
            return []
        rows = [
            (self.c[y], 0.0, y, group[0]) for y, group in self.groups.items() if y not in self.first
        ]
        for y, k in self.first.items():
            group = self.groups[y]
            gap = _length(self.points[group] - self.points[k], self.norm.dual.p)
            slack = 2 * self.rounding * (self.half[group] + self.half[k])
            bound = (
                self.half[group]
                - self.half[k]
                - slack
                - self.noise(self.half[group], 2 * len(self.x) * self.half[group])
            ) / gap
            far = (
                self.half[group]
                - self.V[group] @ _least(self.w, 0.0, self.c[y], (-np.inf, np.inf), self.norm.p)[1]
            )
            rows += zip(np.maximum(bound, self.c[y]), far, [y] * len(group), group)
        return sorted(rows)

    def noise(self, half: np.ndarray, square: np.ndarray | float) -> np.ndarray:
        """How far the computed label at z may be from the nearer point, for ||z - x||_2^2 <= square and ||x - x_k||^2 / 2 <= half: a bound of
        (rho_j^2 - rho_k^2) / 2 at z where the label is that of x_j (`squares` and `_bisectors` in oracles)."""
        return 2 * SHARE * (2 * half + square) + self.model.tiny

    def safe(
        self,
        j: int,
        members: np.ndarray,
        H: np.ndarray,
        h: np.ndarray,
        lam: np.ndarray,
        radius: float,
    ) -> float:
        """A lower bound, given that of real arithmetic and its multipliers, of the distance to where `predict` changes by P_{y,j}.

        Within `reach` of x the score is off by (d + 1) u (sum |w_i x_i| + |b| + reach) of which c has the first two, w by a share u, a row
        of bisectors by 2 u, and the label by `noise`; with h lowered by these, min(reach, proved distance) is a bound, for any reach.
        """

        def lowered(reach: float) -> float:
            gap, half = (
                _length(self.points[j] - self.points[members], self.norm.dual.p),
                np.maximum(self.half[j], self.half[members]),
            )
            with np.errstate(over="ignore"):
                wrong = self.noise(half, self.model.wide * reach * (self.model.wide * reach)) / gap
            slack = np.r_[(len(self.x) + 8) * EPS * reach, 2 * EPS * reach + wrong]
            return (
                min(reach, _certified(H, h - slack, lam, self.box, self.norm.p))
                if slack.max() < 1e290
                else 0.0
            )

        top, proved = min(1.01 * radius, self.farthest), 0.0
        for reach in (top, 2.0**30, 2.0**20, 2.0**10, 8.0):
            proved = max(proved, lowered(min(reach, top)))
            if proved >= min(radius * (1 - 1e-9), top):
                break
        return math.inf if self.limits[1] < math.inf and proved == self.farthest else proved

    def nearest(self) -> tuple[float, list[Cell]]:
        """The safe radius, and the polyhedra at the least distance; none if all are empty."""
        best, safe, cells = math.inf, math.inf, []
        for bound, _, y, j in self.order():
            if bound > best * TIE:
                break
            cells.append(self.cell(y, j, best * TIE))
            best, safe = min(best, cells[-1].radius), min(safe, cells[-1].safe)
        cells = sorted(
            (cell for cell in cells if cell.radius <= best * TIE and best < math.inf),
            key=lambda cell: cell.radius,
        )
        if cells and cells[0].d is None:
            raise ArithmeticError(f"no point was found at the least distance {best:g}")
        return safe, [cell for cell in cells if cell.d is not None]

    def cell(self, y: float, j: int, cutoff: float, push: float = 0.0) -> Cell:
        """P_{y,j} with all rows tightened by `push`: its distance as proved (`radius`) and for the computed classifier (`safe`), its nearest
        point d (None if that is beyond the cutoff or there is none) and the growth of the distance per push (`stretch`). Violated bisectors
        are added until there are none."""
        H, h, members = self.w[None], np.array([self.c[y] + push]), np.zeros(0, int)
        new = np.array([self.first[y]] if y in self.first else [], int)
        while True:
            u, side = self.bisectors(j, new)
            H, h, members = np.vstack([H, u]), np.r_[h, side + push], np.r_[members, new]
            lam, d = _solve(H, h, self.box, self.norm.p)
            radius = _certified(H, h, lam, self.box, self.norm.p)
            if d is None or radius > cutoff:
                return Cell(y, j, radius, self.safe(j, members, H, h, lam, radius), None, 1.0)
            new = self.violated(y, j, d, members, push)
            if not len(new):
                break
        stretch, size = (
            max(1.0, radius * lam.sum() / (lam @ h)) if radius > 0 else 1.0,
            _length(d, self.norm.p),
        )
        if (
            push == 0
            and not max(size - radius, stretch * (h - H @ d).max()) <= 1e-9 * radius + 1e-12
        ):
            raise ArithmeticError(
                f"the solver's point is {size:.15g} away and misses rows by {(h - H @ d).max():.1e}, proved are {radius:.15g}"
            )
        return Cell(y, j, radius, self.safe(j, members, H, h, lam, radius), d, stretch)

    def violated(
        self, y: float, j: int, d: np.ndarray, members: np.ndarray, push: float
    ) -> np.ndarray:
        """At most 16 further points of I_{-y} to which x + d is nearer than to x_j; where there are few points, all that may matter."""
        others = np.setdiff1d(self.groups[-y] if y in self.first else (), members).astype(int)
        others = others[np.argsort(self.half[others] - self.V[others] @ d)[:64]]
        u, h = self.bisectors(j, others)
        over, size = h + push - u @ d, _length(d, self.norm.p)
        worst = np.argsort(-over)[:16]
        worst = worst[over[worst] > 1e-12 * size]
        return (
            others[h > -10 * size] if len(worst) and len(members) + len(u) <= FEW else others[worst]
        )

    def inside(self, cells: list[Cell]) -> Iterator[np.ndarray]:
        """Points to try as witness: inside the polyhedra, then their nearest points, the very nearest last."""
        for cell in cells:
            for share in (0.5, 0.1, 0.01) if cell.radius > 0 else ():
                with suppress(ArithmeticError):
                    inner = self.cell(
                        cell.y, cell.j, math.inf, share * BEYOND * cell.radius / cell.stretch
                    )
                    if inner.d is not None and _length(inner.d, self.norm.p) <= cell.radius * (
                        1 + 0.999 * BEYOND
                    ):
                        yield np.clip(self.x + inner.d, *self.limits)
        yield from (np.clip(self.x + cell.d, *self.limits) for cell in reversed(cells))


def _length(v: np.ndarray, p: float) -> np.ndarray:
    """||v|| in lp along the last axis, without underflow."""
    largest = np.maximum(abs(v).max(-1, keepdims=True), 1e-300)
    return largest[..., 0] * np.linalg.norm(v / largest, p, -1)


def _least(
    q: np.ndarray, slack: np.ndarray | float, c: float, box: Box, p: float
) -> tuple[float, np.ndarray | None]:
    """The least ||d|| with (q + t)^T d >= c and d in the box for some |t| <= slack, and that d for t = 0; (inf, None) if there is none."""
    size = abs(q) + slack
    cap = np.where(q > slack, box[1], np.where(q < -slack, -box[0], np.maximum(box[1], -box[0])))
    d, use = np.zeros_like(size), np.flatnonzero((size > 0) & (cap > 0))
    if c <= 0:
        return 0.0, d
    if not size[use] @ cap[use] >= c:
        return math.inf, None
    rate = np.ones_like(size) if p == math.inf else size
    order = use[np.argsort(-size[use] if p == 1 else cap[use] / rate[use], kind="stable")]
    left = c - np.r_[0.0, np.cumsum(size[order] * cap[order])[:-1]]
    if p == 1:
        d[order] = np.clip(left / size[order], 0, cap[order])
    else:
        times = left / np.cumsum((size[order] * rate[order])[::-1])[::-1]
        enough = np.r_[(times <= cap[order] / rate[order])[:-1], True]
        d[use] = np.minimum(times[enough.argmax()] * rate[use], cap[use])
    return float(_length(d, p)), d * np.where(q < 0, -1.0, 1.0)


def _certified(H: np.ndarray, h: np.ndarray, lam: np.ndarray, box: Box, p: float) -> float:
    """A lower bound of min{||d|| : H d >= h, d in the box} for any lam >= 0, rounding included: only lam^T H d >= lam^T h is asked of d."""
    m, d = H.shape
    c = (lam @ h - (m + 4) * EPS * (lam @ abs(h))) * (1 - 8 * (d + 8) * EPS)
    return _least(lam @ H, (m + 4) * EPS * (lam @ abs(H)), c, box, p)[0] * (1 - (d + 20) * EPS)


def _solve(
    H: np.ndarray, h: np.ndarray, box: Box, p: float
) -> tuple[np.ndarray, np.ndarray | None]:
    """Multipliers and the nearest point of min{||d|| : H d >= h, d in the box}; None as point if there is none."""
    top, lam = h.argmax(), np.zeros(len(h))
    lam[top] = h[top] > 0
    (size, d), unit = _least(H[top], 0.0, h[top], box, p), h[top]
    if d is None or (H @ d >= h - 1e-14 * size).all():
        return lam, d
    for _ in range(8):
        near, lam, edges = h > -1e6 * unit, np.zeros(len(h)), (box[0] / unit, box[1] / unit)
        lam[near], d = (
            _newton(H[near], h[near] / unit, edges)
            if p == 2
            else _program(H[near], h[near] / unit, edges, p)
        )
        size = math.inf if d is None else _length(d, p)
        if size <= 10:
            return lam, d * unit
        if size > 1e7:
            break
        unit *= size
    return lam, None


def _program(
    H: np.ndarray, h: np.ndarray, box: Box, p: float
) -> tuple[np.ndarray, np.ndarray | None]:
    """l1, linf: max t with H v >= h t and ||v|| <= 1, a linear program that always has a solution; d = v / t, v = v+ - v-."""
    m, n = H.shape
    A = np.vstack([np.c_[-H, H, h], np.r_[np.full(2 * n, p == 1), 0]])
    if np.isfinite(box[0]).all():
        A = sparse.vstack(
            [A, sparse.hstack([sparse.eye(2 * n), np.r_[-box[1], box[0]][:, None]])]
        ).tocsr()
    b, bounds = np.zeros(A.shape[0]), np.r_[np.tile([0, 1], (2 * n, 1)), [[0, np.inf]]]
    b[m] = 1
    # HiGHS ignores coefficients below 1e-9 and is content with errors of 1e-7, so the factor is the accuracy, as large as it can attain.
    for factor in (1e4, 1e3, 1e2, 1.0):
        result = linprog(
            factor * np.r_[np.zeros(2 * n), -1],
            A_ub=factor * A,
            b_ub=factor * b,
            bounds=bounds,
            method="highs",
        )
        if result.status == 0:
            break
    else:
        raise ArithmeticError(result.message)
    v, t = result.x[:n] - result.x[n:-1], result.x[-1]
    return np.maximum(-result.ineqlin.marginals[:m], 0), v / t if t > 1e-7 else None


def _newton(H: np.ndarray, h: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray | None]:
    """l2: Newton's method with NNLS steps on the dual, whose gradient in lam >= 0 is h - H d for d = H^T lam clipped to the box."""
    lam = np.zeros(len(h))
    for _ in range(100):
        q = lam @ H
        d = np.clip(q, *box)
        over = h - H @ d
        if np.where(lam > 0, abs(over), over).max() <= 1e-13:
            break
        free = (q >= box[0]) & (q <= box[1])
        target, endless = _least_distance(H[:, free], over + H[:, free] @ q[free])
        step = target if endless else target - lam
        t, dq, rise = 1.0, step @ H, step @ h

        def slope(t: float) -> float:
            return rise - dq @ np.clip(q + t * dq, *box)

        if slope(0.0) <= 0:
            break
        while endless and t < 1e15 and slope(t) > 0:
            t *= 2
        if slope(t) < 0:
            t = brentq(slope, 0.0, t, xtol=1e-15 * t)
        elif endless:
            return step, None
        lam = np.maximum(lam + t * step, 0) if endless or t < 1 else target
    return lam, d


def _least_distance(G: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, bool]:
    """Multipliers of min{||v|| : G v >= b} by NNLS (Lawson and Hanson, 1974), or (lam, True) with G^T lam = 0 < b^T lam if there is no v."""
    if b.max() <= 0:
        return np.zeros(len(b)), False
    R = G.T if G.shape[1] <= len(b) else np.linalg.qr(G.T, mode="r")
    lam, _ = nnls(
        np.vstack([R, b / b.max()]), np.r_[np.zeros(len(R)), 1.0], maxiter=100 * len(b) + 100
    )
    length = np.linalg.norm(R @ lam)
    endless = bool(length <= 1e-12 * lam.sum())
    return (lam if endless else lam * (b @ lam / length**2)), endless
