"""What rounding costs: each allowance as one function, with its lemma.

fl(v) is what floating point gives for v, u = EPS/2 its unit. A theorem's line reads
"value - allowance", with the allowance from here.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

EPS = torch.finfo(torch.float64).eps

CHOICE = 2 * EPS
"""How far fl(|g|/G) may be from |g|/G where it is compared with alpha, as a share, and more."""

SHARE, TINY = 2.0**-90, 2.0**-1020
"""|high + low - ||a - b||^2| <= SHARE ||a - b||^2 + TINY d, for `squares` in d dimensions."""


def slopes(slope: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Lower and upper ends (n,), (n,) of G, where |fl(G) - G| <= s (1 + G).

    Lemma. (fl(G) - s)/(1 + s) <= G <= (fl(G) + s)/(1 - s). In Coq: `slopes_enclose`.

    Parameters: `slope` fl(G) (n,); `share` s < 1.
    """
    low = ((slope - share) / (1 + share)).clamp(min=0) * (1 - 4 * EPS)
    high = (slope + share) / (1 - share) * (1 + 4 * EPS)
    return low, high


def least(value: Tensor, share: float) -> Tensor:
    """The least v with |fl(v) - v| <= s (1 + |v|), any shape.

    Lemma. For v >= 0 fl(v) <= v + s (1 + v), so v >= (fl(v) - s)/(1 + s).
    For v < 0 fl(v) <= v (1 - s) + s, so v >= (fl(v) - s)/(1 - s). Each operation is off
    by u of its result, so 4 EPS of the quotient is enough. In Coq: `least_is_below`.

    Parameters: `value` fl(v); `share` s < 1.
    """
    over = value - share
    low = torch.where(over >= 0, over / (1 + share), over / (1 - share))
    return low - 4 * EPS * low.abs()


def general_score(
    slope: Tensor, reach: Tensor, alpha: float, L: float | Tensor, share: float, slope_share: float
) -> Tensor:
    """By how much +-g(z) +- alpha ||grad g(z)||_* must exceed 0, for any z with ||z - x|| <= reach,
    so that the computed one does, too.

    Lemma. Let |fl(g) - g| <= s (1 + |g|) and |fl(G) - G| <= s' (1 + G), G = ||grad g||_*,
    s <= s' < 1. Write A = +-g + y alpha G for the true margin at z.

    - y = +1, and g speaks against it: |g| <= alpha G, so the computed margin is at least
      A - s (1 + alpha G) - alpha s' (1 + G).
    - y = +1, and g speaks for it: it is at least (1 - s') A - s - alpha s'.
    - y = -1: g = A + alpha G speaks for it, and the computed margin is at least
      (1 - s) A - s (1 + alpha G) - alpha s' (1 + G).

    So A > (s (1 + alpha G) + alpha s' (1 + G))/(1 - s') suffices. Since grad g is L-Lipschitz,
    G(z) <= G(x) + L reach. The rounded quotient |g|/G that is compared with alpha counts as an
    error of G, so s' is `slope_share` + CHOICE throughout. In Coq: `general_score_enough`,
    `choice_is_slope_error`.

    Parameters: `slope` (n,), at least G(x); `reach` (n,); `share` s and `slope_share` s' < 1.
    Returns (n,).
    """
    there = slope + L * reach
    loose = slope_share + CHOICE
    error = share * (1 + alpha * there) + alpha * loose * (1 + there)
    error = error / (1 - loose) + 8 * EPS * alpha * there
    return error.nan_to_num(nan=torch.inf, posinf=torch.inf)


def lipschitz_allowance(alpha: float | Tensor, K: float, share: float) -> float | Tensor:
    """By how much +-h(z) +- alpha K must exceed 0 so that the computed one does, too, where
    |fl(h) - h| <= s (1 + |h|).

    Lemma. That of `general_score` with the exact slope K: s (1 + alpha K)/(1 - s), and a few eps
    of alpha K for the comparison. The same holds for differences of scores h_s - h_c, with a bias
    of at most alpha K. In Coq: `lipschitz_allowance_enough`.
    """
    return share * (1 + alpha * K) / (1 - share) + 16 * EPS * alpha * K


def lipschitz_distance(value: Tensor, alpha: float | Tensor, K: float, share: float) -> Tensor:
    """A lower bound (n,) of v/K, the distance to where a K-Lipschitz h changes its sign, for
    Theorem H with h and the comparison as computed; inf or -inf for K = 0.

    Lemma. `least` at x, less `lipschitz_allowance` for the other points of the ball; the quotient
    and its sum with alpha are off by a few eps of their sizes.

    Parameters: `value` (n,), the computed f^mu(x) h(x); `share` s of `least`.
    """
    lowered = least(value, share) - lipschitz_allowance(alpha, K, share)
    if K == 0:
        return torch.where(lowered > 0, torch.inf, -torch.inf).to(lowered)
    distance = lowered / K
    rounded = distance - 8 * EPS * (distance.abs() + alpha)
    return torch.where(torch.isfinite(distance), rounded, distance)


def affine_scores(sizes: Tensor, d: int) -> Tensor:
    """How far a computed w^T z + b is off at x and, but for what grows with ||z - x||, at z,
    together.

    Lemma, for d < 2^25 and norms that ignore the signs of coordinates, as all l_p do. In any order
    of summation each of the d products takes part in at most d + 1 roundings, so the error at z is
    at most (1 + O(d u)) (d + 1) u (sum |w_i z_i| + |b|), and
    sum |w_i z_i| <= sum |w_i x_i| + ||w||_* ||z - x||. Half an eps is for the computed sizes;
    underflow may cost 2^-1020 d besides. What grows is at most `affine_slope` ||w||_* ||z - x||.
    In Coq: `affine_scores_enough`, `sum_error`.

    Parameters: `sizes` sum |w_i x_i| + |b|, any shape; `d` features.
    """
    return (d + 1.5) * EPS * sizes + d * 2.0**-1020


def affine_slope(d: int) -> float:
    """The share of ||w||_* by which the error of a computed w^T z + b grows with ||z - x||, see
    `affine_scores`."""
    return (d + 4) * EPS


def round_down(radius: Tensor) -> Tensor:
    """The next smaller float64, so that a radius which rounding raised by half a unit is lowered by
    one; 0 and inf stay."""
    lower = torch.nextafter(radius, torch.zeros_like(radius))
    return torch.where(torch.isinf(radius), radius, lower)


def squares(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """||a - b||^2 along the last axis (broadcast) as high + low, two float64 numbers with
    high = fl(high + low). Every step acts on single entries, so a result depends on its rows alone.

    Differences, squares and sums are split into a rounded number and its error (Knuth; Dekker),
    and the errors are summed in plain arithmetic: in ceil(log2 d) = l <= 20 steps they are at most
    (l + 4) u S in size, u = eps/2, S the result, and their sum is off by at most
    (l + 6)(l + 5) u^2 S < 2^-96 S. Underflow may cost TINY d besides.
    """
    difference, low = _two_sum(a, -b)
    top = 134217729.0 * difference
    top = top - (top - difference)
    rest, high = difference - top, difference * difference
    low = ((top * top - high) + 2 * top * rest) + rest * rest + 2 * difference * low
    while (width := high.shape[-1]) > 1:
        if width % 2:
            high, low = (torch.nn.functional.pad(v, (0, 1)) for v in (high, low))
        high, low = (v.unflatten(-1, (2, -1)) for v in (high, low))
        high, error = _two_sum(high[..., 0, :], high[..., 1, :])
        low = (low[..., 0, :] + low[..., 1, :]) + error
    high, low = high[..., 0], low[..., 0]
    total = high + low
    return total, low - (total - high)


def _two_sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """fl(a + b) and its rounding error, exactly."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def of_product(d: int) -> float:
    """The share of ||a||^2 + ||b||^2 by which ||b||^2 - 2 a^T b may be off, four times over.

    Lemma. In any order of summation the computed value is off by at most (2 d + 10) u S, u = eps/2
    and S = ||a||^2 + ||b||^2; as a measure of ||x - z||^2 - ||a||^2 for a = fl(x - c) and
    b = fl(z - c) too: the two products cost (d + 1) u S each, since 2 |a|^T |b| <= S, the
    differences 4 u S, the last sum 2 u S. That is (d + 5) eps S. Underflow may cost TINY d besides.
    """
    return 4 * EPS * (8 + d)


def of_sum(d: int) -> float:
    """The share by which a directly summed squared distance may be off, four times over.

    Lemma. In any order of summation, with or without fused operations, the share is at most
    (1 + u)^(d + 2) - 1 (difference 2, square 1, sum d - 1), and 3 u more if its root is rounded
    and squared: less than (d + 6) u = (d + 6) eps / 2. In Coq: `of_sum_enough`.
    """
    return 2 * EPS * (8 + d)


def overtaking(square: Tensor, d: int) -> Tensor:
    """By how much rho_j^2 - rho_k^2 as computed at x must exceed 2 t ||x_k - x_j||_* so that at no
    z with ||z - x|| <= t the computed label is that of x_j, not of x_k; rho_j = ||x - x_j||_2.

    Lemma. Where the computed label at z, t = ||z - x|| < b_kj(x), is that of x_j and not of x_k,
    2 t ||x_k - x_j||_* >= rho_j^2 - rho_k^2 - n with
    n = SHARE (rho(z, x_j)^2 + rho(z, x_k)^2) + 2 d TINY. There rho(z, .) <= (1 + sqrt d) rho_j in
    each norm, as rho_j - rho_k <= ||x_j - x_k||_2; so n <= 8 d (SHARE rho_j^2 + TINY). The squared
    distances at x, as of `squares`, are off by SHARE each; a third SHARE holds the second order.
    In Coq: `overtaking_enough`.

    Parameters: `square` rho_j^2, as of `squares`; `d` features.
    """
    return (8 * d + 3) * SHARE * square + 8 * d * TINY


def of_radius(square: Tensor, gap: float, radius: Tensor, d: int, share: float) -> Tensor:
    """How far the oracle's computed radius R_o may be below that of real arithmetic for the labels
    as computed, and the last operations of a bias that uses it beside it (n,).

    Lemma. For each pair the computed b_kj is at least b_kj (1 - 2 r - 8 eps) less
    ((8 d + 6) SHARE rho^2 + 10 d TINY)/(2 gap): `overtaking` is subtracted from a numerator that is
    off by 2 SHARE rho^2 and 4 eps of itself, and r is the share by which the gap may be off.
    Minima, maxima and order statistics keep a bound that holds for every pair. A third of the
    share is left.

    Parameters: `square` at least rho^2 for all reference points (n,); `gap` at most every positive
    ||x_k - x_j||_* of opposite points; `radius` (n,), at least R_o; `d` features; `share` r.
    """
    fixed = ((8 * d + 8) * SHARE * square + 16 * d * TINY) / (2 * gap)
    return fixed + (3 * share + 32 * EPS) * radius


def of_combination(m: int) -> float:
    """The share of a computed sum_i lam_i |v_i| by which a computed lam^T v of m terms may be off,
    where lam >= 0.

    Lemma. In any order of summation each term takes part in at most m roundings, so the value is
    off by m u/(1 - m u) of that sum, and the sum by as much: m eps, and more than enough is left.
    In Coq: `of_combination_enough`.
    """
    return (m + 4) * EPS


def of_filling(d: int) -> float:
    """The share by which c is to be lowered so that the nearest point of {v : q^T v >= c}, found by
    filling up its d coordinates in turn, is not farther than that for c.

    Lemma. What is left of c after some coordinates is c less a sum of at most d rounded products,
    which is not above c: off by (d + 2) u c. A quotient of it by a sum of at most d products is off
    by a share of (d + 2) u besides. So the point is the nearest for a c off by 3 (d + 2) u c.
    """
    return 8 * (d + 8) * EPS


def of_length(d: int) -> float:
    """The share by which the length of a vector of d coordinates may be off, and the coordinates
    of `of_filling` beside it.

    Lemma. The coordinates cost 4 u, the scaled sum of their powers (d + 3) u, its root and the
    product with the largest 4 u.
    """
    return (d + 20) * EPS


def of_row(d: int) -> float:
    """The share of sum_i |t_i| by which a sum of d rounded products t_i is off, as NumPy sums rows.

    Lemma. It sums blocks of at most 128 terms by eight sums side by side, and the blocks pairwise:
    a term takes part in at most 16 + 3 roundings within a block and one for each doubling. The
    products cost u. For d below 40 the plain bound d u is smaller.
    """
    return (min(d, 40) + 8) * EPS


def scaled_scores(
    sizes: npt.NDArray[np.float64], ratios: npt.NDArray[np.float64], d: int
) -> npt.NDArray[np.float64]:
    """How far R -+ alpha, R = (a^T x + b)/||a||_* as NumPy computes it, may be from where the
    classifier turns at points near x, but for what grows with their distance (n,).

    Lemma. Of sum |w_i x_i| + |b|, w = a/||a||_*, R is off by `of_row`, and the classifier's own
    score by (d + 2) u (`affine_scores`). Quotient, sums and the comparison with alpha cost 2 eps of
    |R| + alpha.

    Parameters: `sizes` sum |w_i x_i| + |b|; `ratios` |R| + alpha; `d` features.
    """
    return (of_row(d) + (d + 2) * EPS / 2) * sizes + 2 * EPS * ratios


def mislabelled(
    half: npt.NDArray[np.float64], square: npt.NDArray[np.float64] | float, tiny: float
) -> npt.NDArray[np.float64]:
    """A bound of (rho_j^2 - rho_k^2)/2 at z where the computed label is that of x_j, not of x_k.

    Lemma. `squares` is off by SHARE and tiny, and rho_j^2 <= 2 ||z - x||_2^2 + 2 ||x_j - x||_2^2.

    Parameters: `half` max{||x_j - x||_2^2, ||x_k - x||_2^2}/2; `square` at least ||z - x||_2^2;
    `tiny` TINY d in their units.
    """
    return 2 * SHARE * (2 * half + square) + tiny
