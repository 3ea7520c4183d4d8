"""Certified radii: one pure function per theorem, and the object that carries a radius with what it rests on."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lbrs._checks import labels, number
from lbrs._files import write_text
from lbrs.norms import Norm


@dataclass(frozen=True)
class Certificate:
    """For each of n points: the prediction does not change on the open ball of the radius around the point.

    prediction: (n,) in {-1, 0, +1}; 0 means that the classifier abstains, with radius 0.
    radius: (n,) >= 0 in the units of x, rounded down.
    norm: the threat norm of the ball.
    kind: "deterministic", or "probabilistic": each point's statement holds with probability at least `confidence`.
    source: the theorem. assumption: what it takes for granted, in words. confidence: None if deterministic.
    """

    prediction: Tensor
    radius: Tensor
    norm: Norm
    kind: str
    source: str
    assumption: str
    confidence: float | None = None

    def __len__(self) -> int:
        return len(self.radius)

    @property
    def abstains(self) -> Tensor:
        """(n,) bool: where there is no prediction."""
        return self.prediction == 0

    def accuracy(self, y: object, radius: float = 0.0) -> float:
        """Certified accuracy: the share of points predicted as `y` (n,) with a certified radius of more than `radius` >= 0; clean accuracy at 0.

        At radius 0 a point counts as soon as its prediction is right.
        """
        if len(self) == 0:
            raise ValueError("y must hold at least one label, got none")
        right = self.prediction == labels("y", y, len(self)).to(self.prediction.device)
        radius = number("radius", radius, low=0)
        return (right & ((self.radius > radius) | (radius == 0))).double().mean().item()


    def save(self, path: object) -> None:
        """Write the certificate to a JSON file, whole or not at all; radii keep every bit."""
        content = {"prediction": self.prediction.int().tolist(), "radius": [value.hex() for value in self.radius.tolist()], "p": self.norm.p.hex(),
                   "kind": self.kind, "source": self.source, "assumption": self.assumption, "confidence": self.confidence}
        write_text(Path(path), json.dumps(content) + "\n")

    @classmethod
    def load(cls, path: object) -> "Certificate":
        """Read a certificate written by `save`; a ValueError that names the file if it is none."""
        try:
            content = json.loads(Path(path).read_text())
            radius = torch.tensor([float.fromhex(value) for value in content.pop("radius")], dtype=torch.float64)
            prediction = torch.tensor(content.pop("prediction"), dtype=torch.float64)
            return cls(prediction, radius, Norm(float.fromhex(content.pop("p"))), **content)
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"path must name a file written by Certificate.save, got {path}: {error}") from error


def theorem1(lower: Tensor, sigma: float) -> Tensor:
    """Theorem 1 for two classes whose scores sum to one: sigma PhiInv(g_y^mu(x)).

    The smoothed classifier keeps its class y on the open l2 ball of radius (sigma/2)(PhiInv(g_y) - PhiInv(g_y')), and
    g_y' = 1 - g_y. Parameters: `lower` (n,), a lower bound of g_y^mu(x) in [0, 1]; `sigma` > 0, in the units of x.
    Returns (n,): 0 where lower <= 1/2.
    """
    return sigma * torch.special.ndtri(lower.clamp(min=0.5))


def theorem6(value: Tensor, slope: Tensor, neighbor: Tensor) -> Tensor:
    """Theorem 6 (linear g): min{|g^mu(x)| / ||a||_*, r_nghbr(x)}.

    f^mu is constant on the open ball of this radius. Parameters, each (n,): `value` g^mu(x), `slope` ||a||_*, `neighbor` r_nghbr(x).
    Where a = 0 the first term is inf if g^mu(x) != 0, else 0.
    """
    size = value.abs()
    boundary = torch.where(slope > 0, size / slope, torch.where(size > 0, torch.inf, 0.0))
    return torch.minimum(boundary, neighbor)


def theorem8(value: Tensor, slope: Tensor, neighbor: Tensor, alpha: float, L: float) -> Tensor:
    """Theorem 8 (grad g L-Lipschitz from the norm to its dual): min{r_bdry(x), r_nghbr(x)}.

    f^mu is constant on the open ball of this radius, with r_bdry = (sqrt(B^2 + 4 L |g^mu(x)|) - B) / (2 L), B = alpha L + ||grad g(x)||_*.
    Computed as 2 |g^mu| / (B + sqrt(B^2 + 4 L |g^mu|)), which has no cancellation and at L = 0 is Theorem 6.
    Parameters: `value` g^mu(x), `slope` ||grad g(x)||_*, `neighbor` r_nghbr(x), each (n,); `alpha` >= 0; `L` >= 0.
    Where alpha L is beyond float64 the radius is 0.
    """
    size = value.abs()
    B = alpha * L + slope
    root = torch.hypot(B, 2 * L**0.5 * size.sqrt())
    boundary = torch.where(B + root > 0, size / ((B + root) / 2), torch.where(size > 0, torch.inf, 0.0))
    return torch.minimum(boundary.nan_to_num(nan=0.0, posinf=torch.inf), neighbor)


def theorem_h(distance: Tensor, agrees: Tensor, neighbor: Tensor, alpha: float) -> Tensor:
    """Theorems B and H: the sign-aware radius of h + alpha K yhat for a K-Lipschitz h; B is the case of a linear h, K = ||a||_*.

    f^mu is constant on the open ball of radius R - alpha where f^mu(x) != yhat(x), and else of radius min{R + alpha, max(R_nb, R - alpha)}:
    an oracle that flips does no harm within R - alpha. Parameters, each (n,): `distance` R = f^mu(x) h(x)/K, negative where the oracle
    overrules h; `agrees`, bool, f^mu(x) = yhat(x); `neighbor` R_nb, within which yhat cannot change. `alpha` >= 0. At alpha = 0 it is |h|/K.
    """
    harmless = distance - alpha
    radius = torch.where(agrees, torch.minimum(distance + alpha, torch.maximum(neighbor, harmless)), harmless)
    return radius.clamp(min=0)


def theorem_e(value: Tensor, slope: Tensor, agrees: Tensor, neighbor: Tensor, alpha: float, L: float) -> Tensor:
    """Theorem E': the sign-aware radius for an L-Lipschitz gradient; never below Theorem 8, and Theorem B as L -> 0.

    f^mu is constant on the open ball of radius rho_- where f^mu(x) != yhat(x), and else of radius min{rho_+, max(R_nb, rho_-)}.
    Parameters, each (n,): `value` v = f^mu(x) g(x); `slope` G = ||grad g(x)||_*; `agrees`, bool; `neighbor` R_nb. `alpha`, `L` >= 0.
    """
    against, along = radius_against(value, slope, alpha, L), radius_along(value, slope, alpha, L)
    return torch.where(agrees, torch.minimum(along, torch.maximum(neighbor, against)), against)


def radius_against(value: Tensor, slope: Tensor, alpha: float, L: float) -> Tensor:
    """rho_-, the root of Psi_-(t) = m - (G + alpha L) t - (L/2) t^2 with m = v - alpha G, a lower bound of f^mu(x) g - alpha ||grad g|| at distance t.

    No smaller radius is possible for all g with these v, G, L (Theorem E). 0 where m <= 0, inf where Psi_- is a positive constant.
    """
    margin = (value - alpha * slope).clamp(min=0)
    B = slope + alpha * L
    root = B + torch.hypot(B, (2 * L) ** 0.5 * margin.sqrt())
    return torch.where(margin > 0, torch.where(root > 0, margin / (root / 2), torch.inf), 0.0)


def radius_along(value: Tensor, slope: Tensor, alpha: float, L: float) -> Tensor:
    """rho_+, the root of Psi_+(t), the best lower bound of f^mu(x) g + alpha ||grad g|| at distance t (Theorem E), in its three regimes.

    0 where m = v + alpha G <= 0, inf where Psi_+ is a positive constant.
    """
    margin = (value + alpha * slope).clamp(min=0)
    if L == 0:
        return torch.where(margin > 0, torch.where(slope > 0, margin / slope, torch.inf), 0.0)
    B = slope + alpha * L
    turn = (slope / L).clamp(max=alpha)
    early = margin - B * turn + L / 2 * turn**2 <= 0
    first = margin / ((B + (B**2 - 2 * L * margin).clamp(min=0).sqrt()) / 2)
    flat = 2 * alpha - slope / L
    middle = ((2 * slope**2 + 4 * L * value).clamp(min=0).sqrt() - slope) / L
    C, rest = slope - alpha * L, (margin - alpha**2 * L).clamp(min=0)
    last_root = (C**2 + 2 * L * rest).sqrt()
    last = torch.where(C > 0, 2 * rest / (C + last_root), (last_root - C) / L)
    in_middle = (slope / L < alpha) & (value - L * flat**2 / 4 - flat * slope / 2 + slope**2 / (4 * L) <= 0)
    return torch.where(margin > 0, torch.where(early, first, torch.where(in_middle, middle, last)), 0.0)


def round_down(radius: Tensor) -> Tensor:
    """The next smaller float64, so that a radius which rounding raised by half a unit is lowered by one; 0 and inf stay."""
    lower = torch.nextafter(radius, torch.zeros_like(radius))
    return torch.where(torch.isinf(radius), radius, lower)
