"""The two smoothed classifiers: locally biased, and normal."""

import torch
from torch import Tensor

from lbrs._checks import ELEMENTS, batch, integer, number
from lbrs.certificates import Certificate, round_down, theorem1, theorem6, theorem8, theorem_e, theorem_h
from lbrs.montecarlo import ConfidenceSequence, SignEstimate, sequential_sign
from lbrs.norms import L2, Norm, as_norm
from lbrs.oracles import NearestNeighborOracle
from lbrs.scores import Linearization, LinearScore, Score

BOUNDS = ("sharp", "paper", "exact")


def select(local: Linearization, label: Tensor, alpha: float) -> Tensor:
    """f^mu(x) in {-1, +1} at n points: the oracle's `label` (n,) where alpha > |g|/||grad g||_*, else sign g (the sign of equation (5)).

    Given the `local` linearization, any number of alphas cost no further evaluation of g.
    """
    return torch.where(alpha > local.crossing, label.to(local.base), local.base)


class LocallyBiased:
    """Locally biased randomized smoothing: f^mu = sign g^mu, g^mu(x) = g(x) + alpha yhat(x) ||grad g(x)||_* (equations (3) to (5)).

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

    def __init__(self, score: Score, oracle: NearestNeighborOracle, alpha: float, norm: Norm = L2) -> None:
        if not isinstance(score, Score):
            raise TypeError(f"score must be a Score, got {type(score).__name__}; wrap a torch callable as Score(function)")
        if not isinstance(oracle, NearestNeighborOracle):
            raise TypeError(f"oracle must be a NearestNeighborOracle, got {type(oracle).__name__}")
        if isinstance(score, LinearScore) and tuple(score.weight.shape) != oracle.shape:
            raise ValueError(f"score must take points of the oracle's shape {oracle.shape}, got a weight of shape {tuple(score.weight.shape)}")
        self.score_function = score
        self.oracle = oracle
        self.alpha = number("alpha", alpha, low=0)
        self.norm = as_norm("norm", norm)

    def score(self, x: object) -> Tensor:
        """g^mu(x) for `x` (n, *shape), as float64 (n,)."""
        x = batch("x", x, self.oracle.shape)
        local = self.score_function.linearize(x, self.norm)
        return local.value + self.alpha * self.oracle.label(x).to(local.value) * local.slope

    def predict(self, x: object) -> Tensor:
        """f^mu(x) in {-1, +1} for `x` (n, *shape), as float64 (n,): the oracle's label where alpha > |g|/||grad g||_*, else sign g.

        This is sign g^mu(x), without its overflow and underflow; where g^mu(x) = 0 it is sign g(x), and +1 if g(x) = 0 too.
        """
        x = batch("x", x, self.oracle.shape)
        local = self.score_function.linearize(x, self.norm)
        return select(local, self.oracle.label(x), self.alpha)

    def certify(self, x: object, bound: str = "sharp") -> Certificate:
        """A deterministic certificate: f^mu is constant on the open `norm` ball of the radius around each point.

        bound="sharp": Theorem B for a `LinearScore`, else Theorem E', with the neighbour term of Theorem A (K for a k-NN oracle). Never below
        the paper's radius but for rounding, and the base classifier's own radius at alpha = 0. It holds for f^mu as computed in
        floating point: for a `LinearScore` all rounding errors are bounded, for another score those of g and its gradient are taken to be
        at most its `rounding`.
        bound="paper": Theorem 6 for a `LinearScore`, else Theorem 8, as printed and in plain floating-point arithmetic.
        bound="exact": Theorem C, for a `LinearScore` and a 1-NN oracle in l1, l2 or linf: no larger radius is true, in real arithmetic. It solves
        optimisation problems, point by point. `lbrs.exact.exact_radii` gives the witnesses too.

        Parameters: `x` (n, *shape). Raises ValueError for a score without a gradient-Lipschitz constant.
        """
        if bound not in BOUNDS:
            raise ValueError(f"bound must be one of {', '.join(map(repr, BOUNDS))}, got {bound!r}")
        x = batch("x", x, self.oracle.shape)
        if bound == "exact":
            return self._exact(x)
        L = self.score_function.smoothness(x)
        local = self.score_function.linearize(x, self.norm)
        label = self.oracle.label(x).to(local.base)
        neighbor = self.oracle.radius(x, self.norm, bound).to(local.value)
        radius, source = (self._paper if bound == "paper" else self._sharp)(x, local, label, neighbor, L)
        linear = isinstance(self.score_function, LinearScore)
        assumption = "g is affine" if linear else f"grad g is {L:g}-Lipschitz from {self.norm} to {self.norm.dual}"
        if not linear and bound != "paper":
            assumption += f", computed with relative errors of at most {self.score_function.rounding:g}"
        return Certificate(select(local, label, self.alpha), round_down(radius), self.norm, "deterministic", source, assumption)

    def _exact(self, x: Tensor) -> Certificate:
        from lbrs.exact import exact_radii

        found = exact_radii(self.score_function, self.oracle, self.alpha, self.norm, x)
        radius = torch.maximum(round_down(found.radius), self.certify(x).radius)
        return Certificate(found.prediction, radius, self.norm, "deterministic", "Theorem C", "g is affine, real arithmetic")

    def _paper(self, x: Tensor, local: Linearization, label: Tensor, neighbor: Tensor, L: float) -> tuple[Tensor, str]:
        value = local.value + self.alpha * label * local.slope
        if isinstance(self.score_function, LinearScore):
            return theorem6(value, local.slope, neighbor), "Theorem 6"
        return theorem8(value, local.slope, neighbor, self.alpha, L), "Theorem 8"

    def _sharp(self, x: Tensor, local: Linearization, label: Tensor, neighbor: Tensor, L: float) -> tuple[Tensor, str]:
        prediction = select(local, label, self.alpha)
        value, agrees = prediction * local.value, prediction == label
        if isinstance(self.score_function, LinearScore):
            value = value - self.score_function.rounding_error(x, self.alpha * local.slope)
            above = local.slope * (1 + self.score_function.share)
            distance = torch.where(above > 0, value / above, value.sign() * torch.inf)
            return theorem_h(distance, agrees, neighbor, self.alpha), "Theorem B"
        share = self.score_function.rounding
        reach = theorem_e(value, local.slope, agrees, neighbor, self.alpha, L).nan_to_num(posinf=0.0)
        error = 2 * share * (1 + value.abs() + (self.alpha + reach) * (1 + local.slope + L * reach))
        return theorem_e(value - error, local.slope * (1 + share) + share, agrees, neighbor, self.alpha, L), "Theorem E'"


class NormalSmoothing:
    """Normal smoothing of the soft score: g^mu(x) = E g(x + eps), eps ~ N(0, sigma^2 I), f^mu = sign g^mu (Theorem 1).

    The score must lie in [-1, 1]; it is the margin p(+1) - p(-1) of the paper's g in [0, 1]^2.

    Parameters
    ----------
    score: the base score, such as `ProbabilityMargin`. sigma: > 0, in the units of x.
    samples: >= 1, the most draws of eps per point. generator: a torch generator on the score's device; None takes torch's own.
    error: in (0, 1), how often at most a decided prediction may be wrong.
    """

    def __init__(self, score: Score, sigma: float, samples: int = 1000, generator: torch.Generator | None = None, *, error: float = 1e-3) -> None:
        if not isinstance(score, Score):
            raise TypeError(f"score must be a Score, got {type(score).__name__}; wrap a torch callable as Score(function)")
        if generator is not None and not isinstance(generator, torch.Generator):
            raise TypeError(f"generator must be a torch.Generator or None, got {type(generator).__name__}")
        self.score_function = score
        self.sigma = number("sigma", sigma, low=0, open_low=True)
        self.samples = integer("samples", samples, low=1)
        self.generator = generator
        self.error = number("error", error, low=0, high=1, open_low=True, open_high=True)

    def estimate(self, x: object) -> SignEstimate:
        """The sign of g^mu at `x` (n, *shape) by sequential sampling, with what was decided and how many draws it took."""
        x = batch("x", x)
        return sequential_sign(lambda rows, m: self._draw(x[rows.to(x.device)], m), len(x), samples=self.samples, error=self.error,
                               device=self.score_function.device)

    def predict(self, x: object) -> Tensor:
        """f^mu(x) in {-1, +1} for `x` (n, *shape), as float64 (n,): wrong with probability at most `error` where decided, see `estimate`."""
        return self.estimate(x).sign

    def score(self, x: object) -> Tensor:
        """The average of g(x + eps) over `samples` draws for `x` (n, *shape), as float64 (n,)."""
        x = batch("x", x)
        total = torch.zeros(len(x), dtype=torch.float64, device=self.score_function.device)
        for m in self._rounds():
            total += self._draw(x, m).sum(1)
        return total / self.samples

    def certify(self, x: object, confidence: float = 0.999) -> Certificate:
        """Theorem 1 in l2: for each point, with probability at least `confidence` over the draws, f^mu is constant on the open ball.

        The prediction is the side of 0 on which the whole interval for g^mu(x) lies after `samples` draws; where it holds 0, the
        classifier abstains: prediction 0, radius 0. Parameters: `x` (n, *shape), `confidence` in (0, 1).
        """
        confidence = number("confidence", confidence, low=0, high=1, open_low=True, open_high=True)
        x = batch("x", x)
        sequence = ConfidenceSequence(len(x), 1 - confidence, self.score_function.device)
        for m in self._rounds():
            sequence.update((self._draw(x, m) + 1) / 2)
        plus, minus = sequence.lower > 0.5, sequence.upper < 0.5
        prediction = plus.double() - minus.double()
        lower = torch.where(prediction > 0, sequence.lower, torch.where(prediction < 0, 1 - sequence.upper, 0.5))
        return Certificate(prediction, round_down(theorem1(lower, self.sigma)), L2, "probabilistic", "Theorem 1",
                           "g in [0, 1]^2, independent normal draws", confidence)

    def _rounds(self) -> list[int]:
        return [min(64, self.samples - done) for done in range(0, self.samples, 64)]

    def _draw(self, x: Tensor, m: int) -> Tensor:
        """m values of g(x + eps) at each point of `x`, as (n, m), a bounded number of noisy points at a time."""
        score = self.score_function
        step = max(1, ELEMENTS // (m * max(1, x[0].numel() if len(x) else 1)))
        parts = [self._noisy(part.to(score.device, score.dtype), m) for part in x.split(step)]
        values = torch.cat(parts) if parts else x.new_zeros(0, m)
        if (values.abs() > 1).any():
            raise ValueError(f"score must lie in [-1, 1] for normal smoothing, got {values.abs().max().item():g}; use ProbabilityMargin")
        return values

    def _noisy(self, x: Tensor, m: int) -> Tensor:
        noise = torch.randn(len(x), m, *x.shape[1:], dtype=x.dtype, device=x.device, generator=self.generator)
        return self.score_function.value((x[:, None] + self.sigma * noise).flatten(0, 1)).reshape(len(x), m)
