"""Normal smoothing of a soft score, certified by Theorem 1."""

from collections.abc import Iterable

import torch
from torch import Tensor

from lbrs._checks import ELEMENTS, batch, integer, number
from lbrs.certificates import Certificate, round_down, theorem1
from lbrs.montecarlo import ConfidenceSequence, SignEstimate, bounded, normal_draws, sequential_sign
from lbrs.noise import noise_named
from lbrs.norms import L2
from lbrs.scores.base import Score


class NormalSmoothing:
    """Normal smoothing of the soft score: g^mu(x) = E g(x + eps), eps ~ N(0, sigma^2 I), f^mu = sign g^mu (Theorem 1; book: theorem-1, eq-soft-smoothing).

    The score must lie in [-1, 1]; it is the margin p(+1) - p(-1) of the paper's g in [0, 1]^2.

    Parameters
    ----------
    score: the base score, such as `ProbabilityMargin`. sigma: > 0, in the units of x.
    samples: >= 1, the most draws of eps per point. generator: a torch generator on the score's device; None takes torch's own.
    error: in (0, 1), how often at most a decided prediction may be wrong.
    noise: "plain" or "sound", as for `CohenScore`.

    Raises ValueError or TypeError that names the argument; ValueError, of sigma, where the type in which x + eps is
    computed cannot hold noise of this size.
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
                f"score must be a Score, got {type(score).__name__}; wrap a torch callable as Score(function)"
            )
        if generator is not None and not isinstance(generator, torch.Generator):
            raise TypeError(
                f"generator must be a torch.Generator or None, got {type(generator).__name__}"
            )
        self.base = score
        self.sigma = number("sigma", sigma, low=0, open_low=True)
        self.samples = integer("samples", samples, low=1)
        self.generator = generator
        self.error = number("error", error, low=0, high=1, open_low=True, open_high=True)
        self.noise = noise
        self._noise = noise_named(noise)

    def estimate(self, x: object) -> SignEstimate:
        """The sign of g^mu at `x` (n, *shape) by sequential sampling, with what was decided and how many draws it took."""
        return self.estimate_path(x, [self.sigma])[0]

    def estimate_path(self, x: object, sigmas: Iterable[float]) -> list[SignEstimate]:
        """As `estimate` for each of `sigmas` > 0 in place of sigma, with the same draws Z of N(0, I) at a point for all of them, eps = sigma Z.

        Each sign alone is wrong with probability at most `error` where decided; those of different sigmas depend on each other.
        """
        x, sigmas = (
            batch("x", x),
            torch.tensor(
                [number("sigmas", sigma, low=0, open_low=True) for sigma in sigmas],
                dtype=torch.float64,
            ),
        )
        width = max(1, x[0].numel() if len(x) else 1)
        parts = [self._estimate(part, sigmas) for part in x.split(max(1, ELEMENTS // (64 * width)))]
        return [
            SignEstimate(
                *(
                    torch.cat(
                        [getattr(part, name).reshape(-1, len(sigmas))[:, place] for part in parts]
                    )
                    for name in ("sign", "mean", "decided", "used")
                )
            )
            for place in range(len(sigmas))
        ]

    def _estimate(self, x: Tensor, sigmas: Tensor) -> SignEstimate:
        """The signs at the points `x` for all `sigmas`, a stream for each pair, sigma varying fastest."""
        score, used = self.base, self._noise
        points, sigmas = x.to(score.device), sigmas.to(score.device)
        error = used.spend(self.error, self.samples, x[:1].numel())

        def draw(rows: Tensor, m: int) -> Tensor:
            seen, where = rows.div(len(sigmas), rounding_mode="floor").unique(return_inverse=True)
            drawn = used.draw(
                (len(seen), m, *x.shape[1:]), score.dtype, score.device, self.generator
            )
            pieces = []
            for part in torch.arange(len(rows), device=rows.device).split(
                max(1, ELEMENTS // (m * max(1, x[0].numel())))
            ):
                place, sigma = where[part], sigmas[rows[part] % len(sigmas)]
                noisy = used.around(points[seen[place]], drawn[place], sigma, score.dtype)
                pieces.append(score.raw(noisy.flatten(0, 1)).reshape(len(part), m))
            return bounded(torch.cat(pieces), score)

        return sequential_sign(
            draw, len(x) * len(sigmas), samples=self.samples, error=error, device=score.device
        )

    def predict(self, x: object) -> Tensor:
        """f^mu(x) in {-1, +1} for `x` (n, *shape), as int64 (n,): wrong with probability at most `error` where decided, see `estimate`."""
        return self.estimate(x).sign.long()

    def score(self, x: object) -> Tensor:
        """The average of g(x + eps) over `samples` draws for `x` (n, *shape), as float64 (n,)."""
        x = batch("x", x)
        total = torch.zeros(len(x), dtype=torch.float64, device=self.base.device)
        for m in self._rounds():
            total += self._draw(x, m).sum(1)
        return total / self.samples

    def certify(self, x: object, confidence: float = 0.999) -> Certificate:
        """Theorem 1 (book: theorem-1) in l2: for each point, with probability at least `confidence` over the draws, f^mu is constant on the open ball.

        The prediction is the side of 0 on which the whole interval for g^mu(x) lies after `samples` draws; where it holds 0, the
        classifier abstains: prediction 0, radius 0. Parameters: `x` (n, *shape), `confidence` in (0, 1).
        """
        confidence = number("confidence", confidence, low=0, high=1, open_low=True, open_high=True)
        x = batch("x", x)
        error = self._noise.spend(1 - confidence, self.samples, x[:1].numel())
        sequence = ConfidenceSequence(len(x), error, self.base.device)
        for m in self._rounds():
            sequence.update((self._draw(x, m) + 1) / 2)
        plus, minus = sequence.lower > 0.5, sequence.upper < 0.5
        prediction = plus.long() - minus.long()
        lower = torch.where(
            prediction > 0, sequence.lower, torch.where(prediction < 0, 1 - sequence.upper, 0.5)
        )
        radius = (theorem1(lower, self.sigma) - self._noise.shift(self.sigma, x[:1].numel())).clamp(
            min=0
        )
        assumption = f"g in [0, 1]^2, {self._noise.assumption}"
        return Certificate(
            prediction, round_down(radius), L2, "probabilistic", "Theorem 1", assumption, confidence
        )

    def _rounds(self) -> list[int]:
        return [min(64, self.samples - done) for done in range(0, self.samples, 64)]

    def _draw(self, x: Tensor, m: int) -> Tensor:
        """m values of g(x + eps) at each point of `x`, as (n, m)."""
        score = self.base
        draws = normal_draws(score, x, self.sigma, m, self.generator, self._noise)
        parts = [values for _, _, values in draws]
        return bounded(torch.cat(parts) if parts else x.new_zeros(0, m), score)
