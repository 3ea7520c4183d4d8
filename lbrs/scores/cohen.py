"""Cohen's smoothed score, whose Lipschitz constant is known for every classifier (Theorem H)."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from lbrs import _checks
from lbrs._checks import ArrayLike, batch, fraction, integer, number
from lbrs.certificate import Certificate
from lbrs.certificates import theorem_h
from lbrs.montecarlo import safe_lower
from lbrs.noise import noise_named
from lbrs.norms import L2, Norm
from lbrs.plane.bias import Bias, Length, as_length, pull
from lbrs.plane.radii import in_frame
from lbrs.rounding import EPS, round_down
from lbrs.scores.base import Linearization, Local, Score, select, sign
from lbrs.scores.sampled import SampledScore, normal_draws


class CohenScore(SampledScore):
    r"""Cohen's score, 1-Lipschitz in l2 for every measurable classifier f (Salman et al. 2019), so
    that Theorem H certifies h^mu(x) = h(x) + alpha yhat(x) in l2.

    .. math:: h(x) = \sigma\Phi^{-1}\big(P(f(x + \varepsilon) = 1)\big)

    The noise is N(0, sigma^2 I). At alpha = 0 this is the certificate of Cohen et al. (2019), draw
    for draw with ``selection=100``. The probability p is known through draws:
    ``LocallyBiased.certify`` is probabilistic and may abstain; ``predict`` and ``score`` estimate
    p by (k + 1/2)/(n + 1) from new draws.

    Source: :prf:ref:`Theorem H <theorem-h>`.

    Parameters:
        score: f is the sign of this Score, or of this torch callable (n, *shape) -> (n,), with
            sign 0 = +1. Any network will do.
        sigma: > 0, in the units of x.
        samples: >= 1, n draws per point.
        generator: a torch generator on the score's device; None takes torch's own.
        selection: 0, and one set of draws both chooses the class and bounds its probability, from
            two sides; or n0 >= 1, and n0 other draws choose the class first, so that a bound from
            one side will do, as in Cohen et al., who take 100: radii are larger by 1.4 % of the
            largest at n = 1,000, and where the draws disagree it abstains.
        dtype, device, batch_size: as for ``Score``, for a callable.
        noise: "plain", with which certificates hold in real arithmetic, or "sound": they hold for
            what is computed in floating point, for the classifier that rounds its points to a grid
            of sigma/65536 (see ``lbrs.noise``). The radius is less by 1.01 sqrt(d) of its steps,
            and the confidence pays for n d 2^-48.

    Raises:
        ValueError, TypeError: naming the argument; ValueError, of sigma, where the type in which
            x + eps is computed cannot hold noise of this size.

    >>> model = CohenScore(lambda x: x[:, 0], 1.0, 1000, torch.Generator().manual_seed(0))
    >>> low, high = model.interval([[0.5]], confidence=0.999)
    >>> bool(low < 0.5 < high)
    True
    """

    steep: ClassVar[bool] = False

    def __init__(
        self,
        score: Score | Callable[[Tensor], Tensor],
        sigma: float,
        samples: int = 10_000,
        generator: torch.Generator | None = None,
        *,
        selection: int = 0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        batch_size: int = 256,
        noise: str = "plain",
    ) -> None:
        super().__init__(
            score,
            sigma,
            samples,
            generator,
            dtype=dtype,
            device=device,
            batch_size=batch_size,
            noise=noise,
        )
        self.selection = integer("selection", selection, low=0)

    def counts(self, x: ArrayLike, samples: int | None = None) -> Tensor:
        """How many of `samples` new draws (all by default) of f(x + eps) are +1, for `x`
        (n, *shape), as int64 (n,)."""
        x, samples = batch("x", x), self.samples if samples is None else samples
        counts = torch.zeros(len(x), dtype=torch.int64, device=self.device)
        for m in self.rounds(x, samples):
            draws = normal_draws(self.base, x, self.sigma, m, self.generator, self._noise)
            for rows, _, values in draws:
                counts[rows] += (values >= 0).sum(1)
        return counts

    def interval(self, x: ArrayLike, confidence: float = 0.999) -> tuple[Tensor, Tensor]:
        """Bounds (n,), (n,) of h at `x` (n, *shape) from new draws, see `cohen_interval`; with
        sound noise, of h at the points of the grid that `x` is rounded to."""
        confidence = fraction("confidence", confidence)
        x = batch("x", x)
        return cohen_interval(
            self.counts(x),
            self.samples,
            self.sigma,
            confidence,
            noise=self.noise,
            features=x[:1].numel(),
        )

    def linearize(self, x: ArrayLike, norm: Norm) -> Linearization:
        """h as estimated from new draws, with slope 1 and crossing |h|, at the points `x`
        (n, *shape)."""
        return self._estimated(x, self.samples)

    def _estimated(self, x: ArrayLike, samples: int) -> Linearization:
        share = (self.counts(x, samples).double() + 0.5) / (samples + 1)
        value = self.sigma * torch.special.ndtri(share)
        return Linearization(sign(value), value, torch.ones_like(value), value.abs())

    def certify_biased(
        self, local: Local, alpha: Length, bound: str = "sharp", confidence: float | None = None
    ) -> Certificate:
        """`cohen_certificate` at the points of `local`, from new draws, for the class that
        `selection` other draws choose."""
        selected = None
        if self.selection:
            selected = select(self._estimated(local.x, self.selection), *local.pull(alpha))
        return cohen_certificate(
            self.counts(local.x),
            self.samples,
            self.sigma,
            local.label,
            local.neighbor,
            alpha,
            0.999 if confidence is None else confidence,
            selected=selected,
            noise=self.noise,
            features=local.x[:1].numel(),
            slack=local.slack,
        )


def cohen_interval(
    counts: ArrayLike,
    samples: int,
    sigma: float,
    confidence: float = 0.999,
    *,
    selected: ArrayLike | None = None,
    noise: str = "plain",
    features: int = 1,
) -> tuple[Tensor, Tensor]:
    """Bounds (n,), (n,) of sigma PhiInv(p): for each point, both hold with probability at least
    `confidence`; -inf or inf where nothing is known.

    Clopper and Pearson's two-sided interval of p, each side missed with probability at most
    (1 - confidence)/2, rounded outward. Where a class was `selected` without these draws, the bound
    from its side only, missed with probability at most 1 - confidence: Cohen's, to 12 digits.

    Parameters:
        counts: (n,) of +1 in `samples` independent draws.
        samples: >= 1.
        sigma: > 0, in the units of x.
        confidence: in (0, 1).
        selected: None, or classes (n,) in {-1, +1}.
        noise: with which the counts were drawn.
        features: d of a point, which sound noise needs to know.
    """
    counts, samples = _counts(counts, samples)
    sigma = number("sigma", sigma, low=0, open_low=True)
    error = 1 - fraction("confidence", confidence)
    error = noise_named(noise).spend(error, samples, integer("features", features, low=0))
    if selected is not None:
        side = _checks.labels("selected", selected, len(counts)).to(counts)
        of_side = torch.where(side > 0, counts, samples - counts)
        low = sigma * one_sided(of_side, samples, error)
        low = low - 1e-13 * (low.abs() + sigma)
        return torch.where(side > 0, low, -torch.inf), torch.where(side < 0, -low, torch.inf)
    tail = error / 2
    lower = safe_lower(counts, samples, tail), safe_lower(samples - counts, samples, tail)
    low, high = (sigma * torch.special.ndtri(one) for one in lower)
    slack = 1e-12
    return low - slack * (low.abs() + sigma), slack * (high.abs() + sigma) - high


def one_sided(counts: Tensor, samples: int, error: float) -> Tensor:
    """A lower bound (n,) of PhiInv(p), each above it with probability at most `error`: Clopper and
    Pearson's from one side, as Cohen et al. take it for a class chosen from other draws.

    Above p = 1/2 the bound of 1 - p is what is computed, so that nothing is lost in 1 - p.

    Parameters: `counts` (n,) of a class in `samples` draws. Returns -inf for a count of 0.
    """
    from scipy.special import betainccinv, betaincinv

    k = counts.cpu().numpy().clip(min=1)
    below = torch.from_numpy(betaincinv(k, samples - k + 1, error) * (1 - 1e-13)).to(counts)
    rest = torch.from_numpy(betainccinv(samples - k + 1, k, error) * (1 + 1e-13)).to(counts)
    value = torch.where(below < 0.5, torch.special.ndtri(below), -torch.special.ndtri(rest))
    return torch.where(counts > 0, value, -torch.inf)


def cohen_certificate(
    counts: ArrayLike,
    samples: int,
    sigma: float,
    label: ArrayLike,
    neighbor: ArrayLike,
    alpha: Length,
    confidence: float = 0.999,
    *,
    selected: ArrayLike | None = None,
    noise: str = "plain",
    features: int = 1,
    slack: Callable[[Tensor], Tensor] = torch.zeros_like,
) -> Certificate:
    """:prf:ref:`Theorem H <theorem-h>` for Cohen's score h = sigma PhiInv(p), in l2, from counts.

    With R the lower end of f^mu(x) h(x), the radius is min{R + alpha, max(R_nb, R - alpha)} where
    f^mu(x) = yhat(x), and else R - alpha. Where the interval of h does not decide the sign of
    h + alpha yhat(x), it abstains.

    For each point the statement holds with probability at least `confidence`, for all alphas at
    once: the one event that it rests on, that ``cohen_interval`` holds h(x), does not depend on
    alpha. So one set of counts serves any number of alphas. A point whose p is below 1/2 for a
    label +1 can be certified, where Cohen's certificate abstains or gives the other label.

    With `selected` classes only these can be predicted, and the one event is that their bounds
    hold: all alphas that share `selected` share it, too.

    Parameters:
        counts: (n,) of +1 in `samples` draws.
        samples: >= 1.
        sigma: > 0, in the units of x.
        label: yhat(x) (n,) in {-1, +1}.
        neighbor: R_nb (n,) in l2.
        alpha: >= 0, or a ``Bias``, for :prf:ref:`Theorem U <theorem-u>`.
        confidence: in (0, 1).
        selected: None, or classes (n,) in {-1, +1} chosen without these draws.
        noise: "plain" or "sound", with which the counts were drawn.
        features: d of a point: R is less by the shift of sound noise.
        slack: reaches (n,) to what rounding may take from R_nb within them (n,), for a ``Bias``.

    >>> cohen_certificate([450], 1000, 1.0, [1], [2.0], alpha=1.0).radius
    tensor([0.7422], dtype=torch.float64)
    """
    low, high = cohen_interval(
        counts,
        samples,
        sigma,
        confidence,
        selected=selected,
        noise=noise,
        features=features,
    )
    used, alpha = noise_named(noise), as_length("alpha", alpha)
    label = _checks.labels("label", label, len(low)).to(low)
    neighbor = _checks.radii("neighbor", neighbor, len(low)).to(low)
    toward, length = pull(label, neighbor, alpha)
    plus, minus = low + length * toward > 0, high + length * toward < 0
    prediction, end = plus.long() - minus.long(), torch.where(plus, low, -high)

    end = end - used.shift(sigma, features)
    local = Local(label, L2, label, neighbor, None, None, slack)
    radius, source = _radius(local, prediction, end, alpha)
    radius = round_down(torch.where(prediction != 0, radius, 0.0))
    source, told = f"{source} (Cohen's score)", used.assumption
    return Certificate(prediction, radius, L2, "probabilistic", source, told, float(confidence))


def _radius(local: Local, prediction: Tensor, end: Tensor, alpha: Length) -> tuple[Tensor, str]:
    """The radius (n,) for the lower `end` (n,) of f^mu(x) h(x), and the theorem."""

    def distance(size: float | Tensor) -> Tensor:
        return end - 8 * EPS * (end.abs() + size)

    if isinstance(alpha, Bias):
        found = in_frame(local, prediction, alpha, lambda bias: distance(bias.abs()) + bias)
        return found, "Theorem U"
    agrees = prediction == local.label
    return theorem_h(distance(alpha), agrees, local.neighbor, alpha), "Theorem H"


def _counts(counts: ArrayLike, samples: int) -> tuple[Tensor, int]:
    samples, given = integer("samples", samples, low=1), _checks.array("counts", counts)
    wrong = (given != given.floor()) | (given < 0) | (given > samples)
    if given.ndim != 1 or wrong.any():
        told = f"shape {tuple(given.shape)}"
        if given.numel():
            told += f" and values from {given.min().item():g} to {given.max().item():g}"
        raise ValueError(
            f"counts must be whole numbers (n,) from 0 to samples = {samples}, got {told}"
        )
    return given, samples
