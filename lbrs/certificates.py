"""Certified radii: one pure function a theorem."""

import math

import torch
from torch import Tensor

from lbrs._checks import number
from lbrs.certificate import Certificate

__all__ = [
    "Certificate",
    "radius_against",
    "radius_along",
    "sign_aware",
    "theorem1",
    "theorem6",
    "theorem8",
    "theorem_e",
    "theorem_g",
    "theorem_h",
    "theorem_m",
]


def theorem1(lower: Tensor, sigma: float) -> Tensor:
    r""":prf:ref:`Theorem 1 <theorem-1>` for two classes whose scores sum to one.

    .. math::

       r^\mu_{\mathrm{nrm}}(x)
       = \frac{\sigma}{2}\Big(\Phi^{-1}\big(g^\mu_y(x)\big) - \Phi^{-1}\big(g^\mu_{y'}(x)\big)\Big)

    The smoothed classifier keeps its class y on the open l2 ball of this radius. As g_y' = 1 - g_y,
    it is sigma PhiInv(g_y^mu(x)).

    Parameters:
        lower: (n,), a lower bound of g_y^mu(x) in [0, 1].
        sigma: > 0, in the units of x.

    Returns:
        Radii (n,), 0 where lower <= 1/2.
    """
    quantile: Tensor = torch.special.ndtri(lower.clamp(min=0.5))
    return sigma * quantile


def theorem6(value: Tensor, slope: Tensor, neighbor: Tensor) -> Tensor:
    r""":prf:ref:`Theorem 6 <theorem-6>`, for a linear g: f^mu is constant on the open ball.

    .. math::

       r^\mu_{\mathrm{lin}}(x) = \min\Big\{ \frac{|g^\mu(x)|}{\|a\|_*},\
       \min_{y_j \ne y_i} \frac{\rho(x, x_j)^2 - \rho(x, x_i)^2}{2\,\|x_i - x_j\|_*} \Big\}

    The second term is r_nghbr(x). Where a = 0 the first is inf if g^mu(x) != 0, else 0.

    Parameters:
        value: g^mu(x) (n,).
        slope: ||a||_* (n,).
        neighbor: r_nghbr(x) (n,).
    """
    size = value.abs()
    boundary = torch.where(slope > 0, size / slope, torch.where(size > 0, torch.inf, 0.0))
    return torch.minimum(boundary, neighbor)


def theorem8(
    value: Tensor, slope: Tensor, neighbor: Tensor, alpha: float, L: float | Tensor
) -> Tensor:
    r""":prf:ref:`Theorem 8 <theorem-8>`, for a gradient that is L-Lipschitz from the norm to its
    dual (:prf:ref:`Assumption 7 <assumption-7>`): f^mu is constant on the open ball of radius
    min{r_bdry(x), r_nghbr(x)}.

    .. math::

       r^\mu_{\mathrm{bdry}}(x) = \frac{\sqrt{B^2 + 4L\,|g^\mu(x)|} - B}{2L},
       \qquad B = \alpha L + \|\nabla g(x)\|_*

    Computed without cancellation, so that at L = 0 it is Theorem 6. Where alpha L is beyond float64
    the radius is 0.

    Parameters:
        value: g^mu(x) (n,).
        slope: ||grad g(x)||_* (n,).
        neighbor: r_nghbr(x) (n,).
        alpha: >= 0.
        L: >= 0, a number or (n,).
    """
    size = value.abs()
    B = alpha * L + slope
    root = torch.hypot(B, 2 * L**0.5 * size.sqrt())
    unbent = torch.where(size > 0, torch.inf, 0.0)
    boundary = torch.where(B + root > 0, size / ((B + root) / 2), unbent)
    return torch.minimum(boundary.nan_to_num(nan=0.0, posinf=torch.inf), neighbor)


def theorem_h(distance: Tensor, agrees: Tensor, neighbor: Tensor, alpha: float) -> Tensor:
    r""":prf:ref:`Theorem H <theorem-h>`: the sign-aware radius of h + alpha K yhat for a
    K-Lipschitz h; :prf:ref:`Theorem B <theorem-b>` is the case of a linear h, K = ||a||_*.

    .. math::

       r_H(x) = \begin{cases} R - \alpha & \text{if } s \neq \hat y(x), \\
       \min\big\{R + \alpha,\ \max\{R_{\mathrm{nb}}(x),\, R - \alpha\}\big\}
       & \text{if } s = \hat y(x) . \end{cases}

    f^mu, which is s at x, is constant on the open ball of this radius: an oracle that flips does no
    harm within R - alpha. At alpha = 0 it is |h|/K.

    Parameters:
        distance: R = f^mu(x) h(x)/K (n,), negative where the oracle overrules h.
        agrees: (n,) bool, f^mu(x) = yhat(x).
        neighbor: R_nb (n,), within which yhat cannot change.
        alpha: >= 0.
    """
    return sign_aware(distance + alpha, distance - alpha, agrees, neighbor)


def sign_aware(along: Tensor, against: Tensor, agrees: Tensor, neighbor: Tensor) -> Tensor:
    """What :prf:ref:`Theorem B <theorem-b>`, :prf:ref:`H <theorem-h>` and
    :prf:ref:`E' <theorem-e-prime>` share: `against` in disagreement, min{along, max(R_nb, against)}
    in agreement, at least 0.

    Parameters:
        along: (n,), how far the decision holds while the bias speaks for it.
        against: (n,), at most `along`: how far it holds even when the bias speaks against it.
        agrees, neighbor: as for ``theorem_h``.
    """
    together = torch.minimum(along, torch.maximum(neighbor, against))
    return torch.where(agrees, together, against).clamp(min=0)


def theorem_e(
    value: Tensor, slope: Tensor, agrees: Tensor, neighbor: Tensor, alpha: float, L: float | Tensor
) -> Tensor:
    r""":prf:ref:`Theorem E' <theorem-e-prime>`: the sign-aware radius for an L-Lipschitz gradient;
    never below Theorem 8, and Theorem B as L -> 0.

    .. math::

       r_{E'}(x) = \begin{cases} \rho_- & \text{if } s \neq \hat y(x), \\
       \min\big\{\rho_+,\ \max\{R_{\mathrm{nb}}(x),\, \rho_-\}\big\}
       & \text{if } s = \hat y(x) . \end{cases}

    f^mu, which is s at x, is constant on the open ball of this radius.

    Parameters:
        value: v = f^mu(x) g(x) (n,).
        slope: G = ||grad g(x)||_* (n,).
        agrees: (n,) bool, f^mu(x) = yhat(x).
        neighbor: R_nb (n,).
        alpha: >= 0.
        L: >= 0, a number or (n,).
    """
    along, against = radius_along(value, slope, alpha, L), radius_against(value, slope, alpha, L)
    return sign_aware(along, against, agrees, neighbor)


def radius_against(value: Tensor, slope: Tensor, alpha: float, L: float | Tensor) -> Tensor:
    r"""The root rho_- of Psi_-(t), a lower bound of f^mu(x) g - alpha ||grad g|| at distance t.

    .. math::

       \Psi_-(t) = v - \alpha G - (G + \alpha L)\,t - \tfrac L2 t^2, \qquad
       \rho_- = \frac{2 m_-}{B + \sqrt{B^2 + 2 L m_-}}

    Here m_- = v - alpha G and B = G + alpha L. No larger radius is true for all g with these v, G,
    L. It is 0 where m_- <= 0, inf where Psi_- is a positive constant.

    Source: :prf:ref:`Theorem E <theorem-e>`.

    Parameters:
        value, slope, alpha, L: as for ``theorem_e``.
    """
    margin = (value - alpha * slope).clamp(min=0)
    B = slope + alpha * L
    root = B + torch.hypot(B, (2 * L) ** 0.5 * margin.sqrt())
    return torch.where(margin > 0, torch.where(root > 0, margin / (root / 2), torch.inf), 0.0)


def radius_along(value: Tensor, slope: Tensor, alpha: float, L: float | Tensor) -> Tensor:
    r"""The root rho_+ of Psi_+(t), the best lower bound of f^mu(x) g + alpha ||grad g|| at distance
    t, in its three regimes.

    .. math::

       \Psi_+(t) = v - \frac{L t^2}{4} - \frac t2 (G + \nu^*) + \frac{(\nu^* - G)^2}{4L}
       + \alpha\nu^*, \qquad \nu^* = \max\{0,\ G - Lt,\ G + Lt - 2\alpha L\}

    It is 0 where m = v + alpha G <= 0, inf where Psi_+ is a positive constant.

    Source: :prf:ref:`Theorem E <theorem-e>`.

    Parameters:
        value, slope, alpha, L: as for ``theorem_e``.
    """
    margin = (value + alpha * slope).clamp(min=0)
    L = torch.as_tensor(L, dtype=margin.dtype, device=margin.device)
    bent = L > 0
    straight = torch.where(torch.isinf(margin), value / slope + alpha, margin / slope)
    straight = torch.where(slope > 0, straight, torch.inf)
    found = _along(value, slope, alpha, torch.where(bent, L, 1.0))
    return torch.where(margin > 0, torch.where(bent, found, straight), 0.0)


def _along(value: Tensor, slope: Tensor, alpha: float, L: Tensor) -> Tensor:
    """rho_+ for L > 0 and v + alpha G > 0, in its three regimes.

    With T = min(alpha, G/L): Psi_+(T) = v - L T^2 / 2, and Psi_+(2 alpha - G/L) =
    v + G^2/(2 L) - alpha^2 L where that regime exists. The first root is computed in units of
    max(alpha, 1), so that no alpha overflows.
    """
    unit = max(alpha, 1.0)
    turn = (slope / L).clamp(max=alpha)
    early = value <= L / 2 * turn**2
    bias = alpha / unit * L
    B = slope / unit + bias
    square = (slope / unit) ** 2 + bias**2 - 2 * (L / unit) * (value / unit)
    first = (value / unit + alpha / unit * slope) / ((B + square.clamp(min=0).sqrt()) / 2)
    middle = ((2 * slope**2 + 4 * L * value).clamp(min=0).sqrt() - slope) / L
    C, rest = slope - alpha * L, (value + alpha * slope - alpha * (alpha * L)).clamp(min=0)
    root = (C**2 + 2 * L * rest).sqrt()
    last = torch.where(C > 0, 2 * rest / (C + root), (root - C) / L)
    in_middle = (slope / L < alpha) & (value + slope**2 / (2 * L) <= alpha * (alpha * L))
    late = torch.where(in_middle, middle, last)
    return torch.where(early, first, late).nan_to_num(nan=0.0, posinf=torch.inf)


def theorem_g(sigma: float, oscillation: float = 2.0) -> tuple[float, float]:
    r""":prf:ref:`Theorem G <theorem-g>`: (K, L) such that g = g0 * N(0, sigma^2 I) has
    ||grad g||_2 <= K and an L-Lipschitz gradient in l2, for any measurable g0.

    .. math::

       \|\nabla g(x)\|_2 \le \frac{\Omega}{\sigma\sqrt{2\pi}}, \qquad
       \|\nabla g(x) - \nabla g(z)\|_2 \le \frac{2\varphi(1)\,\Omega}{\sigma^2}\,\|x - z\|_2

    phi is the standard normal density; no smaller constants are true for all g0.

    Parameters:
        sigma: > 0, in the units of x.
        oscillation: Omega = sup g0 - inf g0 >= 0, 2 for a g0 in [-1, 1].

    >>> theorem_g(1.0, 1.0)
    (0.3989422804014327, 0.48394144903828673)
    """
    sigma = number("sigma", sigma, low=0, open_low=True)
    oscillation = number("oscillation", oscillation, low=0)
    K = oscillation / sigma / math.sqrt(2 * math.pi)
    return K, 2 * math.exp(-0.5) / math.sqrt(2 * math.pi) * oscillation / sigma**2


def theorem_m(
    scores: Tensor,
    label: Tensor,
    neighbors: Tensor,
    alpha: float,
    K: float,
    pairs: Tensor | None = None,
    predicted: Tensor | None = None,
) -> Tensor:
    r""":prf:ref:`Theorem M <theorem-m>`: the radius of the class with the largest
    S_c = h_c + alpha K 1[c = k(x)], for scores whose differences h_s - h_c are K-Lipschitz; H for
    two classes.

    .. math::

       r_M(x) = \min_{k'} \max\{\mathrm{nb}(k'),\, R_{k'}\}, \qquad
       R_{k'} = \min_{c \ne s} \Big( \frac{h_s(x) - h_c(x)}K
       + \alpha\big(1[s = k'] - 1[c = k']\big) \Big)

    s is the prediction: an oracle whose class is k' within the ball does no harm within R_k'. It is
    0 where two classes have the largest S_c.

    Parameters:
        scores: h_c(x) (n, C), C >= 2.
        label: k(x) (n,) in 0..C-1.
        neighbors: nb (n, C), within which the oracle's class is not k' (taken as 0 at k' = k(x)).
        alpha: >= 0.
        K: >= 0.
        pairs: (C, C), constants of the single differences, instead of K as the divisor.
        predicted: s (n,), the argmax by default.
    """
    bias, label = min(alpha * K, 1e300), label.long()
    unit = torch.eye(scores.shape[1]).to(scores)
    if predicted is None:
        predicted = (scores + bias * unit[label]).argmax(1)
    divisor = torch.full_like(scores, K) if pairs is None else pairs.to(scores)[predicted]  # n, c
    gap = scores.gather(1, predicted[:, None]) - scores  # n, c
    wins = unit[predicted][:, :, None] - unit  # n, k', c: 1[s = k'] - 1[c = k']
    margin = gap[:, None] + bias * wins  # n, k', c
    flat = torch.where(margin > 0, torch.inf, 0.0)
    steep = divisor[:, None] > 0  # n, 1, c
    reach = torch.where(steep, margin / torch.where(divisor > 0, divisor, 1.0)[:, None], flat)
    other = unit[predicted] == 0  # n, c: c != s
    own = torch.where(other[:, None], reach, torch.inf).amin(2)  # n, k': R_k'
    safe = torch.where(unit[label] > 0, 0.0, neighbors.clamp(min=0).to(scores))  # n, k': nb(k')
    return torch.maximum(own, safe).amin(1).clamp(min=0)
