"""The locally biased classifier."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from lbrs._checks import batch, number, radii
from lbrs.certificates import Certificate, radius_against, round_down, sign_aware, theorem8
from lbrs.norms import L2, Norm, as_norm
from lbrs.oracles.nearest import NearestNeighborOracle
from lbrs.rounding import EPS, general_score, least, slopes
from lbrs.scores.base import Constant, Linearization, Score, select
from lbrs.scores.gaussian import lowest_radius_along
from lbrs.scores.linear import LinearScore

BOUNDS = ("sharp", "paper", "exact")
SEARCH = 40  # halvings, on a logarithmic scale, of the interval in which the best radius for local constants lies


class LocallyBiased:
    """Locally biased randomized smoothing: f^mu = sign g^mu, g^mu(x) = g(x) + alpha yhat(x) ||grad g(x)||_*
    (equations (3) to (5); book: paper-eq-3, paper-eq-4, paper-eq-5).

    Parameters
    ----------
    score: the base score g.
    oracle: the direction oracle yhat.
    alpha: >= 0, the length of the bias, in the units of x.
    norm: the threat norm ||.||; its dual measures the gradient.

    Raises ValueError or TypeError that names the argument.

    >>> oracle = NearestNeighborOracle([[0.0, 0.0], [4.0, 0.0]], [1, -1])
    >>> model = LocallyBiased(LinearScore([1.0, 0.0], -1.5), oracle, alpha=1.0)
    >>> model.predict([[1.0, 0.0]]), model.certify([[1.0, 0.0]]).radius
    (tensor([1.], dtype=torch.float64), tensor([0.5000], dtype=torch.float64))
    """

    def __init__(
        self, score: Score, oracle: NearestNeighborOracle, alpha: float, norm: Norm = L2
    ) -> None:
        if not isinstance(score, Score):
            raise TypeError(
                f"score must be a Score, got {type(score).__name__}; wrap a torch callable as Score(function)"
            )
        if not isinstance(oracle, NearestNeighborOracle):
            raise TypeError(f"oracle must be a NearestNeighborOracle, got {type(oracle).__name__}")
        if isinstance(score, LinearScore) and tuple(score.weight.shape) != oracle.shape:
            raise ValueError(
                f"score must take points of the oracle's shape {oracle.shape}, got a weight of shape {tuple(score.weight.shape)}"
            )
        self.norm = as_norm("norm", norm)
        if score.only_norm not in (None, self.norm):
            raise ValueError(
                f"norm must be {score.only_norm} for a {type(score).__name__}, got {self.norm}"
            )
        self.base = score
        self.oracle = oracle
        self.alpha = number("alpha", alpha, low=0)
        self._known: dict[str, Any] | None = None

    def score(self, x: object) -> Tensor:
        """g^mu(x) for `x` (n, *shape), as float64 (n,)."""
        x = batch("x", x, self.oracle.shape)
        local = self.base.linearize(x, self.norm)
        return local.value + self.alpha * self.oracle.label(x).to(local.value) * local.slope

    def predict(self, x: object) -> Tensor:
        """f^mu(x) in {-1, +1} for `x` (n, *shape), as float64 (n,): the oracle's label where alpha > |g|/||grad g||_*, else sign g.

        This is sign g^mu(x), without its overflow and underflow; where g^mu(x) = 0 it is sign g(x), and +1 if g(x) = 0 too.
        """
        x = batch("x", x, self.oracle.shape)
        local = self.base.linearize(x, self.norm)
        return select(local, self.oracle.label(x), self.alpha)

    def certify(self, x: object, bound: str = "sharp", confidence: float = 0.999) -> Certificate:
        """A certificate: f^mu is constant on the open `norm` ball of the radius around each point.

        bound="sharp": Theorem B for a `LinearScore`, H for a `LipschitzScore` or `CohenScore`, E' and G for a `GaussianScore`, else E', with the
        neighbour term of Theorem A (K for a k-NN oracle). The base classifier's own radius at alpha = 0. It holds for f^mu as computed in floating point:
        for a `LinearScore` all rounding errors are bounded, for another score those of g and its gradient are taken to be at most its `rounding`.
        For a `LinearScore` it is never below the paper's radius, for another score not but for this allowance.
        bound="paper": Theorem 6 for a `LinearScore`, safe from rounding in the same way; else Theorem 8, in plain floating-point arithmetic.
        bound="exact": Theorem C, for a `LinearScore` and a 1-NN oracle in l1, l2 or linf: no larger radius is true, but for rounding,
        where a nearest polyhedron has interior (else it is a lower bound). It solves optimisation problems, point by point.
        `lbrs.exact.cells.exact_radii` gives the witnesses too.

        With local constants L_R (see `Score`), "sharp" is the largest min{R, radius for L_R} over the R that a search tries, and "paper" takes R = r_nghbr, as
        Section 4 does. Parameters: `x` (n, *shape); `confidence` in (0, 1), with which a certificate from random draws (`CohenScore`, `GaussianScore`) holds
        at each point; others are deterministic. Raises ValueError for a score without a gradient-Lipschitz constant.
        """
        if bound not in BOUNDS:
            raise ValueError(f"bound must be one of {', '.join(map(repr, BOUNDS))}, got {bound!r}")
        confidence = number("confidence", confidence, low=0, high=1, open_low=True, open_high=True)
        x, score = batch("x", x, self.oracle.shape), self.base
        if bound == "exact":
            return self._exact(x)
        if score.certify_biased is not None:
            if bound != "sharp":
                raise ValueError(
                    f"bound must be 'sharp' for a {type(score).__name__}: the paper has no theorem for it, got {bound!r}"
                )
            return score.certify_biased(
                x, self.oracle.label(x), self._neighbor(x), self.alpha, self.norm, confidence
            )
        L = self._once("L", lambda: score.smoothness(x))
        local = self._once("local", lambda: score.linearize(x, self.norm))
        label = self._once("label", lambda: self.oracle.label(x)).to(local.base)
        radius, source = (self._paper if bound == "paper" else self._sharp)(x, local, label, L)
        radius = score.within_domain(x, round_down(radius))
        return Certificate(
            select(local, label, self.alpha),
            radius,
            self.norm,
            "deterministic",
            source,
            self._assumption(bound, L),
        )

    def certify_path(
        self,
        x: object,
        alphas: Iterable[float],
        bound: str = "sharp",
        neighbor: Tensor | None = None,
    ) -> list[Certificate]:
        """The certificates of `certify` for each of `alphas`, with one evaluation of the score and one search of the oracle for all.

        Parameters: `x` (n, *shape); `alphas` >= 0; `bound`, "sharp" or "paper"; `neighbor` (n,), the oracle's radius in this norm for this bound where
        it is known already. Random scores draw anew for each alpha; `cohen_certificate` does not.
        """
        if bound not in ("sharp", "paper"):
            raise ValueError(f"bound must be 'sharp' or 'paper' along a path, got {bound!r}")
        x = batch("x", x, self.oracle.shape)
        known = (
            {} if neighbor is None else {f"neighbor {bound}": radii("neighbor", neighbor, len(x))}
        )
        found = []
        for alpha in alphas:
            model = LocallyBiased(self.base, self.oracle, alpha, self.norm)
            model._known = known
            found.append(model.certify(x, bound))
        return found

    def _once(self, name: str, compute: Callable[[], Any]) -> Any:
        """The value of `compute`, along a path computed for the first alpha only."""
        if self._known is None:
            return compute()
        if name not in self._known:
            self._known[name] = compute()
        return self._known[name]

    def _neighbor(self, x: Tensor, bound: str = "sharp") -> Tensor:
        return self._once(f"neighbor {bound}", lambda: self.oracle.radius(x, self.norm, bound))

    def _assumption(self, bound: str, L: Constant) -> str:
        if isinstance(self.base, LinearScore):
            return "g is affine"
        constant = (
            "Lipschitz on each ball with the given local constant,"
            if callable(L)
            else f"{L:g}-Lipschitz"
        )
        score = self.base
        text = f"grad g is {constant} from {self.norm} to {self.norm.dual}{score.smooth_assumption}"
        if score.domain is not None:
            text += f", for |x_i| <= {score.domain:g}"
        return (
            text
            if bound == "paper"
            else f"{text}, computed with relative errors of at most {score.rounding:g}"
        )

    def _exact(self, x: Tensor) -> Certificate:
        from lbrs.exact.cells import exact_radii

        found = exact_radii(self.base, self.oracle, self.alpha, self.norm, x)
        radius = torch.maximum(round_down(found.radius), self.certify(x).radius)
        return Certificate(
            found.prediction, radius, self.norm, "deterministic", "Theorem C", "g is affine"
        )

    def _paper(
        self, x: Tensor, local: Linearization, label: Tensor, L: Constant
    ) -> tuple[Tensor, str]:
        neighbor = self._neighbor(x, "paper").to(local.value)
        if isinstance(self.base, LinearScore):
            prediction = select(local, label, self.alpha)
            along, against = self.base.reaches(
                x, prediction, local, self.alpha, self.norm
            )
            return torch.minimum(
                torch.where(prediction == label, along, against).clamp(min=0), neighbor
            ), "Theorem 6"
        value = local.value + self.alpha * label * local.slope
        if callable(L):
            neighbor = torch.minimum(neighbor, _cap(x, self.norm))
            L = self.base.local_smoothness(x, neighbor)
            bounded = torch.isfinite(L)
            return torch.where(
                bounded,
                theorem8(value, local.slope, neighbor, self.alpha, torch.where(bounded, L, 0.0)),
                0.0,
            ), "Theorem 8"
        return theorem8(value, local.slope, neighbor, self.alpha, L), "Theorem 8"

    def _sharp(
        self, x: Tensor, local: Linearization, label: Tensor, L: Constant
    ) -> tuple[Tensor, str]:
        neighbor = self._neighbor(x).to(local.value)
        prediction = select(local, label, self.alpha)
        value, agrees = prediction * local.value, prediction == label
        if isinstance(self.base, LinearScore):
            return sign_aware(
                *self.base.reaches(x, prediction, local, self.alpha, self.norm),
                agrees,
                neighbor,
            ), "Theorem B"
        if callable(L):
            return self._largest(
                x, lambda L: self._theorem_e(x, value, local.slope, agrees, neighbor, L)
            ), "Theorem E'"
        return self._theorem_e(x, value, local.slope, agrees, neighbor, L), "Theorem E'"

    def _theorem_e(
        self,
        x: Tensor,
        value: Tensor,
        slope: Tensor,
        agrees: Tensor,
        neighbor: Tensor,
        L: float | Tensor,
    ) -> Tensor:
        """Theorem E' for g and grad g as computed: value less allowance, over all slopes that the computed one allows."""
        share, alpha = self.base.rounding, self.alpha
        loose = (1 + share) * 2 * self.norm.dual.rounding(x[:1].numel() or 1) + share
        (low, high), value = slopes(slope, loose), least(value, share)

        def safe(radius: Callable[[Tensor], Tensor]) -> Tensor:
            reach = radius(value)
            allowance = general_score(high, reach, alpha, L, share, loose)
            return torch.minimum(reach, radius(value - allowance)) * (1 - 64 * EPS)

        along = safe(lambda v: lowest_radius_along(v, low, high, alpha, L))
        against = safe(lambda v: radius_against(v, high, alpha, L))
        return sign_aware(along, against, agrees, neighbor)

    def _largest(self, x: Tensor, radius: Callable[[Tensor], Tensor]) -> Tensor:
        """The largest min{R, radius(L_R)} over the R tried: it is valid for each, since L_R holds on the ball of radius R."""

        def attempt(R: Tensor) -> tuple[Tensor, Tensor]:
            L = self.base.local_smoothness(x, R)
            bounded = torch.isfinite(L)
            found = torch.where(bounded, radius(torch.where(bounded, L, 0.0)), 0.0)
            return found, torch.minimum(R, found)

        high = torch.minimum(
            attempt(torch.zeros(len(x), dtype=x.dtype, device=x.device))[0], _cap(x, self.norm)
        )
        best = attempt(high)[1]
        low = torch.maximum(best, 1e-12 * high)
        for _ in range(SEARCH):
            middle = low.sqrt() * high.sqrt()
            found, safe = attempt(middle)
            best = torch.maximum(best, safe)
            low, high = (
                torch.where(found >= middle, middle, low),
                torch.where(found >= middle, high, middle),
            )
        return best


def _cap(x: Tensor, norm: Norm) -> Tensor:
    """The largest radii (n,) at which a local constant is asked for."""
    return 1e9 * (1 + norm(x.flatten(1)))
