"""Normal smoothing of a soft score, certified by Theorem 1."""

from collections.abc import Iterable

import torch
from torch import Tensor

from lbrs._checks import ELEMENTS, ArrayLike, batch, fraction, generator_or_none, integer, number
from lbrs.attacks.logits import NoisyLogits
from lbrs.certificate import Certificate
from lbrs.certificates import theorem1
from lbrs.montecarlo import ConfidenceSequence, SignEstimate, sequential_sign
from lbrs.noise import noise_named
from lbrs.norms import L2
from lbrs.rounding import round_down
from lbrs.scores.base import Score
from lbrs.scores.sampled import bounded, normal_draws, reseeded


class NormalSmoothing:
    r"""Normal smoothing of a soft score: f^mu = sign g^mu.

    .. math:: g^\mu(x) = \operatorname{E}_{\epsilon \sim \mu}\, g(x + \epsilon)

    The measure mu is N(0, sigma^2 I). The score must lie in [-1, 1]; it is the margin p(+1) - p(-1)
    of the paper's g in [0, 1]^2.

    Source: :prf:ref:`Theorem 1 <theorem-1>`, :doc:`smoothing`.

    Parameters:
        score: the base score, such as ``ProbabilityMargin``.
        sigma: > 0, in the units of x.
        samples: >= 1, the most draws of eps per point.
        generator: a torch generator on the score's device; None takes torch's own.
        error: in (0, 1), how often at most a decided prediction may be wrong.
        noise: "plain" or "sound", as for ``CohenScore``.

    Attributes:
        base: the base score; the method ``score`` gives the smoothed one.

    Raises:
        ValueError, TypeError: naming the argument; ValueError, of sigma, where the type in which
            x + eps is computed cannot hold noise of this size.
    """

    def __init__(
        self,
        score: Score,
        sigma: float,
        samples: int = 1000,
        generator: torch.Generator | None = None,
        *,
        error: float = 1e-3,
        noise: str = "plain",
    ) -> None:
        if not isinstance(score, Score):
            raise TypeError(
                f"score must be a Score, got {type(score).__name__}; "
                "wrap a torch callable as Score(function)"
            )
        generator_or_none("generator", generator)
        self.base = score
        self.sigma = number("sigma", sigma, low=0, open_low=True)
        self.samples = integer("samples", samples, low=1)
        self.generator = generator
        self.error = fraction("error", error)
        self.noise = noise
        self._noise = noise_named(noise)

    def __repr__(self) -> str:
        told = f"sigma={self.sigma:g}, samples={self.samples}, noise={self.noise!r}"
        return f"NormalSmoothing({self.base}, {told})"

    def to(self, device: torch.device | str) -> "NormalSmoothing":
        """The same classifier on `device`, with a generator there of the same seed."""
        return NormalSmoothing(
            self.base.to(device),
            self.sigma,
            self.samples,
            reseeded(self.generator, device),
            error=self.error,
            noise=self.noise,
        )

    def estimate(self, x: ArrayLike) -> SignEstimate:
        """The sign of g^mu at `x` (n, *shape) by sequential sampling, with what was decided and how
        many draws it took."""
        return self.estimate_path(x, [self.sigma])[0]

    def estimate_path(self, x: ArrayLike, sigmas: Iterable[float]) -> list[SignEstimate]:
        """As ``estimate`` for each of `sigmas` > 0 in place of sigma, with the same draws Z of
        N(0, I) at a point for all of them, eps = sigma Z.

        Each sign alone is wrong with probability at most ``error`` where decided; those of
        different sigmas depend on each other.
        """
        x = batch("x", x)
        lengths = [number("sigmas", sigma, low=0, open_low=True) for sigma in sigmas]
        grid = torch.tensor(lengths, dtype=torch.float64)
        rows = max(1, ELEMENTS // (64 * max(1, x[:1].numel())))
        whole = SignEstimate.joined([self._estimate(part, grid) for part in x.split(rows)])
        return [whole.column(place, len(lengths)) for place in range(len(lengths))]

    def _estimate(self, x: Tensor, sigmas: Tensor) -> SignEstimate:
        """The signs at the points `x` for all `sigmas`, a stream for each pair, sigma varying
        fastest."""
        score, used = self.base, self._noise
        score.fit_dtype(x)
        points, sigmas = x.to(score.device), sigmas.to(score.device)
        most = ELEMENTS // max(1, x[:1].numel())

        def draw(rows: Tensor, m: int) -> Tensor:
            point = rows.div(len(sigmas), rounding_mode="floor")
            seen, where = point.unique(return_inverse=True)
            shape = (len(seen), m, *x.shape[1:])
            drawn = used.draw(shape, score.dtype, score.device, self.generator)
            pieces = []
            for part in torch.arange(len(rows), device=rows.device).split(most // m or 1):
                place, sigma = where[part], sigmas[rows[part] % len(sigmas)]
                noisy = used.around(points[seen[place]], drawn[place], sigma, score.dtype)
                pieces.append(score.raw(noisy.flatten(0, 1)).reshape(len(part), m))
            return bounded(torch.cat(pieces), score)

        error = used.spend(self.error, self.samples, x[:1].numel())
        streams = len(x) * len(sigmas)
        return sequential_sign(
            draw, streams, samples=self.samples, error=error, device=score.device
        )

    def predict(self, x: ArrayLike) -> Tensor:
        """f^mu(x) for `x` (n, *shape), as int64 (n,) in {-1, +1}: wrong with probability at most
        ``error`` where decided, see ``estimate``."""
        return self.estimate(x).sign.long()

    def score(self, x: ArrayLike) -> Tensor:
        """The average of g(x + eps) over ``samples`` draws for `x` (n, *shape), as float64 (n,)."""
        x = batch("x", x)
        total = torch.zeros(len(x), dtype=torch.float64, device=self.base.device)
        for m in self._rounds():
            total += self._draw(x, m).sum(1)
        return total / self.samples

    def as_module(
        self, kind: str = "link", draws: int = 64, seed: int | None = None
    ) -> NoisyLogits:
        """f^mu as a torch module: points (n, *shape) to two logits (n, 2) in the order (-1, +1), in
        the points' type and on their device.

        Its gradient is an expectation over transformations, from `draws` values of eps at a call.
        The argmax is the sign of the average over these, of which ``predict`` is the limit.

        Parameters:
            kind: "link", the logit of the average probability, which does not saturate; "score",
                the average of g; or "decision", what ``predict`` says, without a gradient.
            draws: >= 1, of eps at each point and call.
            seed: None to draw anew at each call, from the model's generator; or a number that makes
                every call the same function of x.
        """
        return NoisyLogits(self, kind, draws, seed)

    def certify(self, x: ArrayLike, confidence: float = 0.999) -> Certificate:
        """:prf:ref:`Theorem 1 <theorem-1>` in l2: for each point, with probability at least
        `confidence` over the draws, f^mu is constant on the open ball.

        The prediction is the side of 0 on which the whole interval for g^mu(x) lies after
        ``samples`` draws; where it holds 0, the classifier abstains: prediction 0, radius 0.

        Parameters:
            x: points (n, *shape).
            confidence: in (0, 1).
        """
        confidence = fraction("confidence", confidence)
        x = batch("x", x)
        d = x[:1].numel()
        error = self._noise.spend(1 - confidence, self.samples, d)
        sequence = ConfidenceSequence(len(x), error, self.base.device)
        for m in self._rounds():
            sequence.update((self._draw(x, m) + 1) / 2)
        prediction = (sequence.lower > 0.5).long() - (sequence.upper < 0.5).long()
        lower = torch.where(prediction < 0, 1 - sequence.upper, 0.5)
        lower = torch.where(prediction > 0, sequence.lower, lower)
        radius = theorem1(lower, self.sigma) - self._noise.shift(self.sigma, d)
        radius, told = round_down(radius.clamp(min=0)), f"g in [0, 1]^2, {self._noise.assumption}"
        source = "probabilistic", "Theorem 1"
        return Certificate(prediction, radius, L2, *source, told, confidence)

    def _rounds(self) -> list[int]:
        return [min(64, self.samples - done) for done in range(0, self.samples, 64)]

    def _draw(self, x: Tensor, m: int) -> Tensor:
        """m values of g(x + eps) at each point of `x`, as (n, m)."""
        draws = normal_draws(self.base, x, self.sigma, m, self.generator, self._noise)
        parts = [values for _, _, values in draws]
        return bounded(torch.cat(parts) if parts else x.new_zeros(0, m), self.base)
