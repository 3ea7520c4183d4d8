"""Scores that are known through draws under normal noise only."""

from collections.abc import Callable, Iterator
from typing import ClassVar, Self

import torch
from torch import Tensor

from lbrs._checks import ELEMENTS, ArrayLike, generator_or_none, integer, number
from lbrs.noise import PLAIN, PlainNoise, noise_named
from lbrs.norms import L2, Norm
from lbrs.scores.base import Constant, Linearization, Score


def normal_draws(
    score: Score,
    x: Tensor,
    sigma: float,
    m: int,
    generator: torch.Generator | None,
    noise: PlainNoise = PLAIN,
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """m values of `score` at x + eps, eps ~ N(0, sigma^2 I), for each point of `x` (n, *shape), a
    bounded number of noisy points at a time.

    Yields the rows, as a slice, of k of the points, with what `noise` drew (k, m, *shape) and the
    values (k, m). Raises ValueError where the type of the sum cannot hold the noise at `x`.
    """
    score.fit_dtype(x)
    step = max(1, ELEMENTS // (m * max(1, x[:1].numel())))
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        part = x[rows]
        drawn = noise.draw((len(part), m, *x.shape[1:]), score.dtype, score.device, generator)
        points = noise.around(part, drawn, sigma, score.dtype).flatten(0, 1)
        yield rows, drawn, score.raw(points).reshape(len(part), m)


def reseeded(
    generator: torch.Generator | None, device: torch.device | str
) -> torch.Generator | None:
    """A generator on `device` that starts from the seed of `generator`; None for None."""
    if generator is None:
        return None
    return torch.Generator(device).manual_seed(generator.initial_seed())


def bounded(values: Tensor, score: Score) -> Tensor:
    """`values` of `score` in [-1, 1], or an error unless they lie there up to rounding.

    What is beyond by at most 16 eps of the lowest type that the score is seen to compute in counts
    as -1 or 1: a softmax in float32 sums to 1 + 1.2e-7 now and then. The clamped score is the one
    that is smoothed, at all points alike.
    """
    unit = torch.finfo(score.dtype).eps if score.observed is None else score.observed.unit
    size = values.abs().max().item() if values.numel() else 0.0
    if not size <= 1 + 16 * unit:
        raise ValueError(
            f"score must lie in [-1, 1] for normal smoothing, up to {16 * unit:.2g} for rounding, "
            f"got {size!r}; use ProbabilityMargin"
        )
    return values.clamp(-1, 1) if size > 1 else values


class SampledScore(Score):
    """A smooth score that is known through draws of a base score under normal noise, and certified
    in l2 with a confidence.

    Parameters:
        score: a Score, or a torch callable that becomes one.
        sigma: > 0, in the units of x.
        samples: the draws per point.
        generator: a torch generator on the score's device; None takes torch's own.
        dtype, device, batch_size: as for ``Score``, for a callable.
        noise: "plain" or "sound" (see ``lbrs.noise``).

    Attributes:
        base: the score that is drawn from.
    """

    only_norm: ClassVar[Norm | None] = L2
    bounds: ClassVar[tuple[str, ...]] = ("sharp",)
    random: ClassVar[bool] = True
    least: ClassVar[int] = 1

    def __init__(
        self,
        score: Score | Callable[[Tensor], Tensor],
        sigma: float,
        samples: int = 10_000,
        generator: torch.Generator | None = None,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        batch_size: int = 256,
        noise: str = "plain",
    ) -> None:
        if isinstance(score, SampledScore) or not (isinstance(score, Score) or callable(score)):
            given = type(score).__name__
            raise TypeError(
                f"score must be a Score or map a tensor (n, *shape) to (n,), got {given}"
            )
        if not isinstance(score, Score):
            score = Score(score, dtype=dtype, device=device, batch_size=batch_size)
        self.base = score
        super().__init__(
            score.function, dtype=score.dtype, device=score.device, batch_size=score.batch_size
        )
        self.sigma = number("sigma", sigma, low=0, open_low=True)
        self.samples = integer("samples", samples, low=self.least)
        generator_or_none("generator", generator)
        self.generator = generator
        self.noise = noise
        self._noise = noise_named(noise)

    def to(self, device: torch.device | str) -> Self:
        """The same score on `device`, with a generator there of the same seed."""
        moved = super().to(device)
        moved.base = self.base.to(device)
        moved.function, moved.generator = moved.base.function, reseeded(self.generator, device)
        return moved

    def value(self, x: ArrayLike) -> Tensor:
        """An estimate of the smooth score at the points `x` (n, *shape), from new draws, as float64
        (n,)."""
        return self.linearize(x, L2).value

    def value_and_gradient(self, x: ArrayLike) -> tuple[Tensor, Tensor]:
        """A ValueError: draws give no gradient."""
        raise ValueError(
            f"score must have a gradient, got a {type(self).__name__}, "
            "which is known through random draws only"
        )

    def linearize(self, x: ArrayLike, norm: Norm) -> Linearization:
        """An estimate of value and slope at the points `x` (n, *shape), from new draws."""
        raise NotImplementedError

    def first_order(self, x: Tensor, norm: Norm) -> tuple[Linearization | None, Constant | None]:
        """Nothing: a certificate draws for itself."""
        return None, None

    def rounds(self, x: Tensor, samples: int) -> list[int]:
        """`samples` in rounds, each of at most 1024 draws per point and of bounded memory."""
        most = min(1024, max(1, ELEMENTS // max(1, x[:1].numel(), 8 * len(x))))
        return [min(most, samples - done) for done in range(0, samples, most)]
