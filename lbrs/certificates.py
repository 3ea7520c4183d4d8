"""Certified radii: one pure function per theorem, and the object that carries a radius with what it rests on."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lbrs._checks import classes, labels, number
from lbrs._files import write_text
from lbrs.norms import Norm, as_norm


@dataclass(frozen=True)
class Certificate:
    """For each of n points: the prediction does not change on the open ball of the radius.

    One that `certify` returns has tensors of its own. One that you make is as true as what you
    give: its tensors are kept as they are, neither checked nor copied, so do not change them later.

    prediction: (n,) in {-1, 0, +1}; 0 means that the classifier abstains, with radius 0. With
        `classes`: the class, in 0..classes-1, or -1.
    radius: (n,) >= 0 in the units of x, rounded down.
    norm: the threat norm of the ball.
    kind: "deterministic", or "probabilistic": each point's statement holds with probability at
        least `confidence`.
    source: the theorem. assumption: what it takes for granted, in words.
    confidence: None if deterministic.
    classes: None for the two labels -1 and +1, else the number of classes.

    Raises TypeError for a norm that is none.

    >>> one = torch.ones(1)
    >>> Certificate(one, one, L2, "deterministic", "Theorem 6", "g is affine").accuracy([1], 0.5)
    1.0
    """

    prediction: Tensor
    radius: Tensor
    norm: Norm
    kind: str
    source: str
    assumption: str
    confidence: float | None = None
    classes: int | None = None

    def __post_init__(self) -> None:
        as_norm("norm", self.norm)

    def __len__(self) -> int:
        return len(self.radius)

    @property
    def abstains(self) -> Tensor:
        """(n,) bool: where there is no prediction."""
        return self.prediction == (0 if self.classes is None else -1)

    def accuracy(self, y: object, radius: float = 0.0) -> float:
        """Certified accuracy: the share of points predicted as `y` (n,) with a certified radius of
        more than `radius` >= 0; clean accuracy at 0.

        At radius 0 a point counts as soon as its prediction is right. With `classes`, `y` holds
        whole numbers from 0 to classes - 1. `y` may lie on any device.
        """
        if len(self) == 0:
            raise ValueError("y must hold at least one label, got none")
        n = len(self)
        y = labels("y", y, n) if self.classes is None else classes("y", y, n, self.classes)
        right = self.prediction == y.to(self.prediction.device)
        radius = number("radius", radius, low=0)
        return (right & ((self.radius > radius) | (radius == 0))).double().mean().item()

    def save(self, path: object) -> None:
        """Write the certificate to a JSON file, whole or not at all; radii keep every bit."""
        content = {
            "prediction": self.prediction.int().tolist(),
            "radius": [value.hex() for value in self.radius.tolist()],
            "p": self.norm.p.hex(),
            "kind": self.kind,
            "source": self.source,
            "assumption": self.assumption,
            "confidence": self.confidence,
        }
        if self.classes is not None:
            content["classes"] = self.classes
        write_text(Path(path), json.dumps(content) + "\n")

    @classmethod
    def load(cls, path: object) -> "Certificate":
        """Read a certificate written by `save`; a ValueError that names the file if it is none."""
        try:
            content = json.loads(Path(path).read_text())
            radius = [float.fromhex(value) for value in content.pop("radius")]
            prediction = torch.tensor(content.pop("prediction"), dtype=torch.int64)
            norm = Norm(float.fromhex(content.pop("p")))
            return cls(prediction, torch.tensor(radius, dtype=torch.float64), norm, **content)
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                f"path must name a file written by Certificate.save, got {path}: {error}"
            ) from error


def theorem1(lower: Tensor, sigma: float) -> Tensor:
    """Theorem 1 (book: theorem-1) for two classes whose scores sum to one: sigma PhiInv(g_y^mu(x)).

    The smoothed classifier keeps its class y on the open l2 ball of radius (sigma/2)(PhiInv(g_y) - PhiInv(g_y')), and
    g_y' = 1 - g_y. Parameters: `lower` (n,), a lower bound of g_y^mu(x) in [0, 1]; `sigma` > 0, in the units of x.
    Returns (n,): 0 where lower <= 1/2.
    """
    return sigma * torch.special.ndtri(lower.clamp(min=0.5))


def theorem6(value: Tensor, slope: Tensor, neighbor: Tensor) -> Tensor:
    """Theorem 6 (book: theorem-6), for a linear g: min{|g^mu(x)| / ||a||_*, r_nghbr(x)}.

    f^mu is constant on the open ball of this radius. Parameters, each (n,): `value` g^mu(x), `slope` ||a||_*, `neighbor` r_nghbr(x).
    Where a = 0 the first term is inf if g^mu(x) != 0, else 0.
    """
    size = value.abs()
    boundary = torch.where(slope > 0, size / slope, torch.where(size > 0, torch.inf, 0.0))
    return torch.minimum(boundary, neighbor)


def theorem8(
    value: Tensor, slope: Tensor, neighbor: Tensor, alpha: float, L: float | Tensor
) -> Tensor:
    """Theorem 8 (book: theorem-8, assumption-7), for grad g L-Lipschitz from the norm to its dual: min{r_bdry(x), r_nghbr(x)}.

    f^mu is constant on the open ball of this radius, with r_bdry = (sqrt(B^2 + 4 L |g^mu(x)|) - B) / (2 L), B = alpha L + ||grad g(x)||_*.
    Computed as 2 |g^mu| / (B + sqrt(B^2 + 4 L |g^mu|)), which has no cancellation and at L = 0 is Theorem 6.
    Parameters: `value` g^mu(x), `slope` ||grad g(x)||_*, `neighbor` r_nghbr(x), each (n,); `alpha` >= 0; `L` >= 0, a number or (n,).
    Where alpha L is beyond float64 the radius is 0.
    """
    size = value.abs()
    B = alpha * L + slope
    root = torch.hypot(B, 2 * L**0.5 * size.sqrt())
    boundary = torch.where(
        B + root > 0, size / ((B + root) / 2), torch.where(size > 0, torch.inf, 0.0)
    )
    return torch.minimum(boundary.nan_to_num(nan=0.0, posinf=torch.inf), neighbor)


def theorem_h(distance: Tensor, agrees: Tensor, neighbor: Tensor, alpha: float) -> Tensor:
    """Theorems B and H (book: theorem-b, theorem-h): the sign-aware radius of h + alpha K yhat for a K-Lipschitz h; B is the case of a linear h, K = ||a||_*.

    f^mu is constant on the open ball of radius R - alpha where f^mu(x) != yhat(x), and else of radius min{R + alpha, max(R_nb, R - alpha)}:
    an oracle that flips does no harm within R - alpha. Parameters, each (n,): `distance` R = f^mu(x) h(x)/K, negative where the oracle
    overrules h; `agrees`, bool, f^mu(x) = yhat(x); `neighbor` R_nb, within which yhat cannot change. `alpha` >= 0. At alpha = 0 it is |h|/K.
    """
    return sign_aware(distance + alpha, distance - alpha, agrees, neighbor)


def sign_aware(along: Tensor, against: Tensor, agrees: Tensor, neighbor: Tensor) -> Tensor:
    """What Theorems B, H and E' share (book: theorem-b, theorem-h, theorem-e-prime): `against` in disagreement, and min{along, max(R_nb, against)}
    in agreement, at least 0.

    `along` (n,): how far the decision holds while the bias speaks for it; `against` <= `along`: how far it holds even when the bias speaks against it;
    `agrees`, `neighbor` (n,): as for `theorem_h`.
    """
    return torch.where(
        agrees, torch.minimum(along, torch.maximum(neighbor, against)), against
    ).clamp(min=0)


def theorem_e(
    value: Tensor, slope: Tensor, agrees: Tensor, neighbor: Tensor, alpha: float, L: float | Tensor
) -> Tensor:
    """Theorem E' (book: theorem-e-prime): the sign-aware radius for an L-Lipschitz gradient; never below Theorem 8, and Theorem B as L -> 0.

    f^mu is constant on the open ball of radius rho_- where f^mu(x) != yhat(x), and else of radius min{rho_+, max(R_nb, rho_-)}.
    Parameters, each (n,): `value` v = f^mu(x) g(x); `slope` G = ||grad g(x)||_*; `agrees`, bool; `neighbor` R_nb. `alpha` >= 0; `L` >= 0, a number or (n,).
    """
    return sign_aware(
        radius_along(value, slope, alpha, L),
        radius_against(value, slope, alpha, L),
        agrees,
        neighbor,
    )


def radius_against(value: Tensor, slope: Tensor, alpha: float, L: float | Tensor) -> Tensor:
    """rho_-, the root of Psi_-(t) = m - (G + alpha L) t - (L/2) t^2 with m = v - alpha G, a lower bound of f^mu(x) g - alpha ||grad g|| at distance t.

    No smaller radius is possible for all g with these v, G, L (Theorem E; book: theorem-e). 0 where m <= 0, inf where Psi_- is a positive constant.
    """
    margin = (value - alpha * slope).clamp(min=0)
    B = slope + alpha * L
    root = B + torch.hypot(B, (2 * L) ** 0.5 * margin.sqrt())
    return torch.where(margin > 0, torch.where(root > 0, margin / (root / 2), torch.inf), 0.0)


def radius_along(value: Tensor, slope: Tensor, alpha: float, L: float | Tensor) -> Tensor:
    """rho_+, the root of Psi_+(t), the best lower bound of f^mu(x) g + alpha ||grad g|| at distance t (Theorem E; book: theorem-e), in its three regimes.

    0 where m = v + alpha G <= 0, inf where Psi_+ is a positive constant.
    """
    margin = (value + alpha * slope).clamp(min=0)
    L = torch.as_tensor(L, dtype=margin.dtype, device=margin.device)
    bent = L > 0
    straight = torch.where(
        slope > 0,
        torch.where(torch.isinf(margin), value / slope + alpha, margin / slope),
        torch.inf,
    )
    found = _along(value, slope, alpha, torch.where(bent, L, 1.0))
    return torch.where(margin > 0, torch.where(bent, found, straight), 0.0)


def _along(value: Tensor, slope: Tensor, alpha: float, L: Tensor) -> Tensor:
    """rho_+ for L > 0 and v + alpha G > 0, in its three regimes.

    With T = min(alpha, G/L): Psi_+(T) = v - L T^2 / 2, and Psi_+(2 alpha - G/L) = v + G^2/(2 L) - alpha^2 L where that regime exists.
    The first root is computed in units of max(alpha, 1), so that no alpha overflows.
    """
    unit = max(alpha, 1.0)
    turn = (slope / L).clamp(max=alpha)
    early = value <= L / 2 * turn**2
    bias = alpha / unit * L
    B, square = slope / unit + bias, (slope / unit) ** 2 + bias**2 - 2 * (L / unit) * (value / unit)
    first = (value / unit + alpha / unit * slope) / ((B + square.clamp(min=0).sqrt()) / 2)
    middle = ((2 * slope**2 + 4 * L * value).clamp(min=0).sqrt() - slope) / L
    C, rest = slope - alpha * L, (value + alpha * slope - alpha * (alpha * L)).clamp(min=0)
    last_root = (C**2 + 2 * L * rest).sqrt()
    last = torch.where(C > 0, 2 * rest / (C + last_root), (last_root - C) / L)
    in_middle = (slope / L < alpha) & (value + slope**2 / (2 * L) <= alpha * (alpha * L))
    return torch.where(early, first, torch.where(in_middle, middle, last)).nan_to_num(
        nan=0.0, posinf=torch.inf
    )


def theorem_g(sigma: float, oscillation: float = 2.0) -> tuple[float, float]:
    """Theorem G (book: theorem-g): (K, L) such that g = g0 * N(0, sigma^2 I) has ||grad g||_2 <= K and an L-Lipschitz gradient in l2, for any measurable g0.

    K = Omega / (sigma sqrt(2 pi)) and L = 2 phi(1) Omega / sigma^2 = 0.48394 Omega / sigma^2, phi the standard normal density; no smaller constants are
    true for all g0. Parameters: `sigma` > 0, in the units of x; `oscillation` Omega = sup g0 - inf g0 >= 0, 2 for a g0 in [-1, 1].

    >>> theorem_g(1.0, 1.0)
    (0.3989422804014327, 0.48394144903828673)
    """
    sigma, oscillation = (
        number("sigma", sigma, low=0, open_low=True),
        number("oscillation", oscillation, low=0),
    )
    return oscillation / sigma / math.sqrt(2 * math.pi), 2 * math.exp(-0.5) / math.sqrt(
        2 * math.pi
    ) * oscillation / sigma**2


def theorem_m(
    scores: Tensor,
    label: Tensor,
    neighbors: Tensor,
    alpha: float,
    K: float,
    pairs: Tensor | None = None,
    predicted: Tensor | None = None,
) -> Tensor:
    """Theorem M (book: theorem-m): the radius of argmax_c S_c, S_c = h_c + alpha K 1[c = k(x)], for scores whose
    differences h_s - h_c are K-Lipschitz; H for two classes.

    min over k' of max{nb(k'), R_k'}, R_k' = min over c != s of ((h_s - h_c)/K + alpha (1[s = k'] - 1[c = k'])), s the prediction: an oracle whose class is
    k' within the ball does no harm within R_k'. 0 where two classes have the largest S_c.

    Parameters: `scores` h_c(x) (n, C), C >= 2; `label` k(x) (n,) in 0..C-1; `neighbors` nb (n, C), within which the oracle's class is not k' (taken
    as 0 at k' = k(x)); `alpha`, `K` >= 0; `pairs` (C, C), constants of the single differences, instead of K as the divisor; `predicted` s (n,), the argmax by default.
    """
    count, bias, label = scores.shape[1], min(alpha * K, 1e300), label.long()
    unit = torch.eye(count, dtype=scores.dtype, device=scores.device)
    if predicted is None:
        predicted = (scores + bias * unit[label]).argmax(1)
    divisor = torch.full_like(scores, K) if pairs is None else pairs.to(scores)[predicted]
    other = unit[predicted] == 0
    gap = scores.gather(1, predicted[:, None]) - scores
    margin = gap[:, None] + bias * (unit[predicted][:, :, None] - unit)
    reach = torch.where(
        divisor[:, None] > 0,
        margin / torch.where(divisor > 0, divisor, 1.0)[:, None],
        torch.where(margin > 0, torch.inf, 0.0),
    )
    own = torch.where(other[:, None], reach, torch.inf).amin(2)
    safe = torch.where(unit[label] > 0, 0.0, neighbors.clamp(min=0).to(scores))
    return torch.maximum(own, safe).amin(1).clamp(min=0)


def round_down(radius: Tensor) -> Tensor:
    """The next smaller float64, so that a radius which rounding raised by half a unit is lowered by one; 0 and inf stay."""
    lower = torch.nextafter(radius, torch.zeros_like(radius))
    return torch.where(torch.isinf(radius), radius, lower)
