"""What rounding costs: each allowance as one function, with its lemma."""

import torch
from torch import Tensor

EPS = torch.finfo(torch.float64).eps
CHOICE = 2 * EPS
"""How far fl(|g| / G) may be from |g| / G where it is compared with alpha, as a share, and a little more."""


def slopes(slope: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Lower and upper ends (n,), (n,) of G, where the computed `slope` is off by at most `share` (1 + G)."""
    return ((slope - share) / (1 + share)).clamp(min=0) * (1 - 4 * EPS), (slope + share) / (1 - share) * (1 + 4 * EPS)


def general_score(size: Tensor, slope: Tensor, reach: Tensor, alpha: float, L: float | Tensor, share: float, slope_share: float) -> Tensor:
    """How much f^mu(x) (g +- alpha ||grad g||) may seem larger, at x and at any z with ||z - x|| <= reach, than it is.

    Lemma. Let |fl(g) - g| <= s (1 + |g|) and |fl(G) - G| <= s' (1 + G), G = ||grad g||_*, at x and at z, and let grad g be
    L-Lipschitz. With t = ||z - x||: |g(x)| <= V = (|fl g(x)| + s)/(1 - s), |g(z)| <= V + G t + L t^2/2 and G(z) <= G + L t. So
    fl(g) at x is off by at most s (1 + V), at z by s (1 + V + G t + L t^2/2), and alpha fl(G) at z, compared with |fl(g)| by a
    rounded quotient, by alpha (s' + 2 eps)(1 + G + L t). The error of fl(G) at x is in the ends of `slopes`.

    Parameters: `size` |fl g(x)|, `slope` the upper end of G, `reach`, each (n,); `share` s, `slope_share` s' < 1. Returns (n,).
    """
    value = (size + share) / (1 - share)
    there = value + slope * reach + L * reach**2 / 2
    turning = 1 + slope + L * reach
    plain = 8 * EPS * (value + alpha * slope)
    return (share * (2 + value + there) + alpha * (slope_share + CHOICE) * turning + plain).nan_to_num(nan=torch.inf, posinf=torch.inf)


def lipschitz_score(size: Tensor, alpha: float, K: float, share: float) -> Tensor:
    """How much f^mu(x) (h +- alpha K) may seem larger, at x and within its certified ball, than it is.

    Lemma. Let |fl(h) - h| <= s (1 + |h|) at x and at z, and h be K-Lipschitz. The certified radius is at most |h(x)|/K + alpha, so
    |h(z)| <= 2 |h(x)| + alpha K; the errors at x and at z add to at most s (2 + 3 |h(x)| + alpha K). Comparing h with alpha K costs a few
    eps of their sizes. The same holds for differences of scores h_s - h_c with K their constant.

    Parameters: `size` >= |fl h(x)| (n,); `alpha`, `K` >= 0; `share` s < 1. Returns (n,).
    """
    value = (size + share) / (1 - share)
    return share * (2 + 3 * value + alpha * K) + 16 * EPS * (value + alpha * K)


def affine_scores(sizes: Tensor, d: int) -> Tensor:
    """How far a computed w^T z + b is off at x and, but for what grows with ||z - x||, at z, together.

    Lemma. In any order of summation each of the d products takes part in at most d + 1 roundings, so the error at z is at most
    (1 + O(d u)) (d + 1) u (sum |w_i z_i| + |b|), u = eps/2, and sum |w_i z_i| <= sum |w_i x_i| + ||w||_* ||z - x||. Half an eps is for
    the computed sizes; underflow may cost 2^-1020 d besides. What grows is at most `affine_slope` ||w||_* ||z - x||.

    Parameters: `sizes` sum |w_i x_i| + |b|, any shape; `d` features.
    """
    return (d + 1.5) * EPS * sizes + d * 2.0**-1020


def affine_slope(d: int) -> float:
    """The share of ||w||_* by which the rounding error of w^T z + b grows with ||z - x||, see `affine_scores`."""
    return (d + 4) * EPS
