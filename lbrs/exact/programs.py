"""The small optimisation problems of Theorem C, min{||d|| : H d >= h, d in a box}: solved by NNLS
or HiGHS, and bounded from below by what multipliers prove, rounding included."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import OptimizeResult, brentq, linprog, nnls

from lbrs.rounding import of_combination, of_filling, of_length

Array = npt.NDArray[np.float64]
Box = tuple[Array, Array]
"""The lowest and the highest value of each coordinate, -inf and inf among them."""

FACTORS = (1e4, 1e3, 1e2, 1.0)
"""Of all coefficients, by turns: HiGHS ignores those below 1e-9 and is content with errors of 1e-7,
so the factor is the accuracy, as large as it can attain."""


def lengths(v: Array, p: float) -> Array:
    """||v|| in lp along the last axis, without underflow."""
    largest: Array = np.maximum(abs(v).max(-1, keepdims=True), 1e-300)
    found: Array = largest[..., 0] * np.linalg.norm(v / largest, p, -1)
    return found


def length(v: Array, p: float) -> float:
    """||v|| in lp, of one vector."""
    return float(lengths(v, p))


def nearest_in_half_space(
    q: Array, slack: Array | float, c: float, box: Box, p: float
) -> tuple[float, Array | None]:
    """The least ||d|| with (q + t)^T d >= c and d in the box for some |t| <= slack, and that d for
    t = 0; (inf, None) if there is none."""
    size = abs(q) + slack
    d = np.zeros_like(size)
    if c <= 0:
        return 0.0, d
    either = np.maximum(box[1], -box[0])
    cap = np.where(q > slack, box[1], np.where(q < -slack, -box[0], either))
    use = np.flatnonzero((size > 0) & (cap > 0))
    if not size[use] @ cap[use] >= c:
        return math.inf, None
    fill = _one_by_one if p == 1 else partial(_all_at_once, p)
    d[use] = fill(size[use], cap[use], c)
    return length(d, p), d * np.where(q < 0, -1.0, 1.0)


def _one_by_one(size: Array, cap: Array, c: float) -> Array:
    """l1: the coordinates that give most are filled first, up to their caps, until c is reached."""
    order = np.argsort(-size, kind="stable")
    size, cap = size[order], cap[order]
    left = c - np.r_[0.0, np.cumsum(size * cap)[:-1]]
    filled = np.empty_like(size)
    filled[order] = np.clip(left / size, 0, cap)
    return filled


def _all_at_once(p: float, size: Array, cap: Array, c: float) -> Array:
    """l2, linf: all coordinates grow as t times their rates, up to their caps, until c is reached:
    at the first t for which those that are not yet full give what is left."""
    rate = np.ones_like(size) if p == math.inf else size
    if np.isinf(cap).all():
        whole: Array = c / np.cumsum((size * rate)[::-1])[-1] * rate
        return whole
    full = cap / rate
    order = np.argsort(full, kind="stable")
    left = c - np.r_[0.0, np.cumsum((size * cap)[order])[:-1]]
    times = left / np.cumsum((size * rate)[order][::-1])[::-1]
    enough = np.r_[(times <= full[order])[:-1], True]
    filled: Array = np.minimum(times[enough.argmax()] * rate, cap)
    return filled


def certified(H: Array, h: Array, lam: Array, box: Box, p: float) -> float:
    """A lower bound of min{||d|| : H d >= h, d in the box} for any lam >= 0, rounding included.

    Of d only lam^T H d >= lam^T h is asked, which each of its rows implies.
    """
    m, d = H.shape
    share = of_combination(m)
    side = float(lam @ h - share * (lam @ abs(h)))
    slack = share * (lam @ abs(H))
    least, _ = nearest_in_half_space(lam @ H, slack, side * (1 - of_filling(d)), box, p)
    return least * (1 - of_length(d))


def solve(H: Array, h: Array, box: Box, p: float) -> tuple[Array, Array | None]:
    """Multipliers (m,) and the nearest point d of min{||d|| : H d >= h, d in the box}; None as
    point if there is none.

    Where the row with the largest h is not enough, the problem is solved in units of that h, and
    anew in units of the distance found while this is large.
    """
    top, lam = h.argmax(), np.zeros(len(h))
    lam[top] = h[top] > 0
    size, d = nearest_in_half_space(H[top], 0.0, h[top], box, p)
    if d is None or (H @ d >= h - 1e-14 * size).all():
        return lam, d
    unit, program = h[top], _newton if p == 2 else partial(_linear_program, p)
    for _ in range(8):
        near, lam = h > -1e6 * unit, np.zeros(len(h))
        lam[near], d = program(H[near], h[near] / unit, (box[0] / unit, box[1] / unit))
        if d is None:
            break
        size = length(d, p)
        if size <= 10:
            return lam, d * unit
        if size > 1e7:
            break
        unit *= size
    return lam, None


def _linear_program(p: float, H: Array, h: Array, box: Box) -> tuple[Array, Array | None]:
    """l1, linf: max t with H v >= h t and ||v|| <= 1, a linear program that always has a solution;
    d = v / t, v = v+ - v-."""
    m, n = H.shape
    A = np.vstack([np.c_[-H, H, h], np.r_[np.full(2 * n, p == 1), 0]])
    if np.isfinite(box[0]).all():
        edges = np.r_[-box[1], box[0]][:, None]
        A = sparse.vstack([A, sparse.hstack([sparse.eye(2 * n), edges])]).tocsr()
    b = np.zeros(A.shape[0])
    b[m] = 1
    cost = np.r_[np.zeros(2 * n), -1]
    bounds = np.r_[np.tile([0, 1], (2 * n, 1)), [[0, np.inf]]]
    result = _highs(cost, A, b, bounds)
    v, t = result.x[:n] - result.x[n:-1], result.x[-1]
    return np.maximum(-result.ineqlin.marginals[:m], 0), v / t if t > 1e-7 else None


def _highs(cost: Array, A: Array | sparse.csr_array, b: Array, bounds: Array) -> OptimizeResult:
    """min cost^T v with A v <= b, by the largest of `FACTORS` that HiGHS copes with."""
    for factor in FACTORS:
        given = {"A_ub": factor * A, "b_ub": factor * b, "bounds": bounds, "method": "highs"}
        result = linprog(factor * cost, **given)
        if result.status == 0:
            return result
    raise ArithmeticError(result.message)


def _newton(H: Array, h: Array, box: Box) -> tuple[Array, Array | None]:
    """l2: Newton's method with NNLS steps on the dual, whose gradient in lam >= 0 is h - H d for
    d = H^T lam clipped to the box."""
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
        slope = partial(_slope, q, step @ H, float(step @ h), box)
        if slope(0.0) <= 0:
            break
        t = _crest(slope, endless)
        if t == math.inf:
            return step, None
        lam = np.maximum(lam + t * step, 0) if endless or t < 1 else target
    return lam, d


def _slope(q: Array, dq: Array, rise: float, box: Box, t: float) -> float:
    """The slope of the dual after a share t of a step that moves q by dq and lam^T h by `rise`."""
    return float(rise - dq @ np.clip(q + t * dq, *box))


def _crest(slope: Callable[[float], float], endless: bool) -> float:
    """Where the falling `slope` becomes negative, at most 1; if `endless`, at most inf."""
    t = 1.0
    while endless and t < 1e15 and slope(t) > 0:
        t *= 2
    if slope(t) < 0:
        return float(brentq(slope, 0.0, t, xtol=1e-15 * t))
    return math.inf if endless else t


def _least_distance(G: Array, b: Array) -> tuple[Array, bool]:
    """Multipliers of min{||v|| : G v >= b} by NNLS (Lawson and Hanson, 1974), or (lam, True) with
    G^T lam = 0 < b^T lam if there is no v."""
    if b.max() <= 0:
        return np.zeros(len(b)), False
    R = G.T if G.shape[1] <= len(b) else np.linalg.qr(G.T, mode="r")
    A, target = np.vstack([R, b / b.max()]), np.r_[np.zeros(len(R)), 1.0]
    lam, _ = nnls(A, target, maxiter=100 * len(b) + 100)
    size = np.linalg.norm(R @ lam)
    endless = bool(size <= 1e-12 * lam.sum())
    return (lam if endless else lam * (b @ lam / size**2)), endless
