"""Draws of a score under normal noise, and means of bounded random numbers with a stated error."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from lbrs._checks import ELEMENTS, integer, number
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
    step = max(1, ELEMENTS // (m * max(1, x[0].numel() if len(x) else 1)))
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

    What is beyond by at most 16 eps of the lowest type that the score is seen to compute in counts as
    -1 or 1: a softmax in float32 sums to 1 + 1.2e-7 now and then. The clamped score is the one that
    is smoothed, at all points alike.
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
    """A smooth score that is known through draws of a `base` score under normal noise, and certified in l2 with a confidence.

    Parameters: `score`, a Score or a torch callable that becomes one; `sigma` > 0; `samples`, the draws per point; `generator`, on the score's
    device, or None for torch's own; `dtype`, `device`, `batch_size`, as for `Score`, for a callable;
    `noise`, "plain" or "sound" (see `lbrs.noise`).
    """

    only_norm = L2
    bounds = ("sharp",)
    random = True
    least = 1

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
        if not isinstance(score, Score) and not callable(score) or isinstance(score, SampledScore):
            raise TypeError(
                f"score must be a Score or map a tensor (n, *shape) to (n,), got {type(score).__name__}"
            )
        self.base = (
            score
            if isinstance(score, Score)
            else Score(score, dtype=dtype, device=device, batch_size=batch_size)
        )
        super().__init__(
            self.base.function,
            dtype=self.base.dtype,
            device=self.base.device,
            batch_size=self.base.batch_size,
        )
        self.sigma = number("sigma", sigma, low=0, open_low=True)
        self.samples = integer("samples", samples, low=self.least)
        if generator is not None and not isinstance(generator, torch.Generator):
            raise TypeError(
                f"generator must be a torch.Generator or None, got {type(generator).__name__}"
            )
        self.generator = generator
        self.noise = noise
        self._noise = noise_named(noise)

    def value(self, x: object) -> Tensor:
        """An estimate of the smooth score at the points `x` (n, *shape), from new draws, as float64 (n,)."""
        return self.linearize(x, L2).value

    def value_and_gradient(self, x: object) -> tuple[Tensor, Tensor]:
        raise ValueError(
            f"score must have a gradient, got a {type(self).__name__}, which is known through random draws only"
        )

    def linearize(self, x: object, norm: Norm) -> Linearization:
        """An estimate of value and slope at the points `x` (n, *shape), from new draws."""
        raise NotImplementedError

    def to(self, device: torch.device | str) -> Self:
        """The same score on `device`, with a generator there of the same seed."""
        moved = super().to(device)
        moved.base = self.base.to(device)
        moved.function, moved.generator = moved.base.function, reseeded(self.generator, device)
        return moved

    def first_order(self, x: Tensor, norm: Norm) -> tuple[Linearization | None, Constant | None]:
        """Nothing: a certificate draws for itself."""
        return None, None

    def rounds(self, x: Tensor, samples: int) -> list[int]:
        """`samples` in rounds, each of at most 1024 draws per point and of bounded memory."""
        most = min(1024, max(1, ELEMENTS // max(1, x[0].numel() if len(x) else 1, 8 * len(x))))
        return [min(most, samples - done) for done in range(0, samples, most)]


class ConfidenceSequence:
    """Intervals for the means of n streams of independent numbers in [0, 1], valid at all times at once.

    With probability at least 1 - error, for each stream, all the intervals ever shown contain its mean, so that one may look
    after every batch and stop when one likes. It is the empirical-Bernstein sequence of Waudby-Smith and Ramdas (2024, Theorem 2):
    (sum lambda_i X_i) / (sum lambda_i) -+ (log(2/error) + sum 4 (X_i - m_{i-1})^2 psi(lambda_i)) / (sum lambda_i),
    psi(l) = (-log(1 - l) - l) / 4, with predictable weights lambda_i = min{sqrt(2 log(2/error) / (v_{i-1} i log(1 + i))), 3/4}.

    Parameters: `n` streams, `error` in (0, 1), `device`.
    """

    CAP = 0.75

    def __init__(self, n: int, error: float, device: torch.device | str = "cpu") -> None:
        self.evidence = math.log(2 / error)
        self.count = 0
        self._sums = torch.zeros(5, n, dtype=torch.float64, device=device)
        self.lower = torch.zeros(n, dtype=torch.float64, device=device)
        self.upper = torch.ones(n, dtype=torch.float64, device=device)

    def update(self, values: Tensor) -> None:
        """Take m more numbers of each stream, `values` (n, m), in the order in which they were drawn."""
        values = values.to(self._sums)
        total, spread, weight, weighted, cost = self._sums
        step = self.count + torch.arange(
            1, values.shape[1] + 1, dtype=torch.float64, device=values.device
        )
        sums = torch.cat([total[:, None], total[:, None] + values.cumsum(1)], 1)
        means = (0.5 + sums) / (1 + torch.cat([step[:1] - 1, step]))
        spreads = torch.cat(
            [spread[:, None], spread[:, None] + (values - means[:, 1:]).square().cumsum(1)], 1
        )
        variance = ((0.25 + spreads) / (1 + torch.cat([step[:1] - 1, step])))[:, :-1]
        bet = (2 * self.evidence / (variance * step * torch.log1p(step))).sqrt().clamp(max=self.CAP)
        psi = (-torch.log1p(-bet) - bet) / 4
        cost = cost + (4 * (values - means[:, :-1]).square() * psi).sum(1)
        weight, weighted = weight + bet.sum(1), weighted + (bet * values).sum(1)
        self._sums = torch.stack([sums[:, -1], spreads[:, -1], weight, weighted, cost])
        self.count += values.shape[1]
        center, width = weighted / weight, (self.evidence + cost) / weight
        self.lower = torch.maximum(self.lower, center - width)
        self.upper = torch.minimum(self.upper, center + width)

    def keep(self, rows: Tensor) -> None:
        """Go on with the streams `rows` (indices) only."""
        self._sums, self.lower, self.upper = self._sums[:, rows], self.lower[rows], self.upper[rows]

    @property
    def mean(self) -> Tensor:
        """The plain averages (n,)."""
        return self._sums[0] / max(1, self.count)


class SignTest:
    """Tests of the signs of n means of independent numbers in [-1, 1], valid at all times at once.

    Two gamblers hold a fortune of 1 for each stream. One bets shares c of its fortune on +, the other on -: in equal parts for each c in STAKES, so that a number g
    turns the part into (1 + c g) or (1 - c g) times as much. While the mean is not on its side, a fortune is a supermartingale, and by Ville's
    inequality it ever reaches 1/error with probability at most `error`. So the sign of the first gambler to do so is wrong with probability at most `error`.
    (Waudby-Smith and Ramdas, 2024, Section 4.)

    Parameters: `n` streams, `error` in (0, 1), `device`.
    """

    STAKES = (1.0, 0.5, 0.25, 0.125)

    def __init__(self, n: int, error: float, device: torch.device | str = "cpu") -> None:
        self.target = math.log(len(self.STAKES) / error)
        self._stakes = torch.tensor(
            [[c * side for c in self.STAKES] for side in (1, -1)],
            dtype=torch.float64,
            device=device,
        )
        self._fortunes = torch.zeros(n, 2, len(self.STAKES), dtype=torch.float64, device=device)

    @property
    def least(self) -> int:
        """The fewest numbers after which a sign can be decided."""
        return math.ceil(self.target / math.log(2))

    def update(self, values: Tensor) -> Tensor:
        """Take m more numbers of each stream, `values` (n, m); returns (n,): the sign decided, 0 where none is."""
        values = values.to(self._fortunes)
        for start in range(0, values.shape[1], 64):
            bets = torch.log1p(
                self._stakes[None, :, :, None] * values[:, None, None, start : start + 64]
            )
            self._fortunes = self._fortunes + bets.sum(-1)
        plus, minus = (self._fortunes.logsumexp(-1) >= self.target).unbind(-1)
        return plus.double() - minus.double()

    def keep(self, rows: Tensor) -> None:
        """Go on with the streams `rows` (indices) only."""
        self._fortunes = self._fortunes[rows]


@dataclass(frozen=True)
class SignEstimate:
    """Signs of n means of numbers in [-1, 1].

    `sign` (n,) in {-1, +1}: where `decided`, wrong with probability at most the stated error; elsewhere the sign of the average.
    `mean` (n,): the average of the numbers drawn. `decided` (n,) bool. `used` (n,): how many numbers were drawn.
    """

    sign: Tensor
    mean: Tensor
    decided: Tensor
    used: Tensor


def sequential_sign(
    draw: Callable[[Tensor, int], Tensor],
    n: int,
    *,
    samples: int,
    error: float,
    device: torch.device | str = "cpu",
) -> SignEstimate:
    """The signs of n means, drawing from each stream only until a `SignTest` decides.

    Where it decides before `samples` numbers are drawn, the sign is wrong with probability at most `error` for each stream; streams need not be
    independent of each other. Parameters: `draw(rows, m)` gives m new independent numbers in [-1, 1] of each stream in `rows`, as (len(rows), m);
    `samples` >= 1, the most drawn per stream; `error` in (0, 1).
    """
    total = torch.zeros(n, dtype=torch.float64, device=device)
    used, found = torch.zeros_like(total), torch.zeros_like(total)
    rows, test, count = torch.arange(n, device=device), SignTest(n, error, device), 0
    while len(rows) and count < samples:
        batch = min(test.least if count == 0 else min(64, max(4, count // 4)), samples - count)
        values, count = draw(rows, batch).to(total), count + batch
        found[rows] = decided = test.update(values)
        total[rows] += values.sum(1)
        used[rows] = float(count)
        going = (decided == 0).nonzero().flatten()
        rows = rows[going]
        test.keep(going)
    mean = total / used.clamp(min=1)
    return SignEstimate(
        torch.where(found != 0, found, torch.where(mean >= 0, 1.0, -1.0)), mean, found != 0, used
    )


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval (lower, upper) for the chance of success: it holds the chance with probability at least `confidence`.

    Clopper and Pearson (1934): quantiles of Beta(k, n - k + 1) and Beta(k + 1, n - k). Parameters: `successes` k, 0 <= k <= n;
    `trials` n >= 1; `confidence` in (0, 1).

    >>> clopper_pearson(0, 10)[0]
    0.0
    """
    from scipy.stats import beta

    trials = integer("trials", trials, low=1)
    if integer("successes", successes, low=0) > trials:
        raise ValueError(f"successes must be at most trials = {trials}, got {successes}")
    tail = (1 - number("confidence", confidence, low=0, high=1, open_low=True, open_high=True)) / 2
    lower = 0.0 if successes == 0 else float(beta.ppf(tail, successes, trials - successes + 1))
    upper = (
        1.0 if successes == trials else float(beta.ppf(1 - tail, successes + 1, trials - successes))
    )
    return lower, upper


def safe_lower(counts: Tensor, trials: int, tail: float) -> Tensor:
    """Lower bounds (n,) of chances of success, each above its chance with probability at most `tail`: Clopper and Pearson's, rounded down.

    Parameters: `counts` (n,) whole numbers from 0 to `trials`; `trials` >= 1; `tail` in (0, 1).
    """
    from scipy.special import betaincinv

    k = counts.detach().cpu().double().numpy()
    lower = betaincinv(k.clip(min=1), trials - k.clip(min=1) + 1, tail) * (1 - 1e-10)
    return torch.where(counts > 0, torch.from_numpy(lower).to(counts.device), 0.0)


def empirical_bernstein(
    total: Tensor, squares: Tensor, trials: int, error: float
) -> tuple[Tensor, Tensor]:
    """Bounds (n,), (n,) of the means of numbers in [0, 1] that both hold with probability at least 1 - `error`, for a number of draws fixed beforehand.

    Maurer and Pontil (2009, Theorem 4): mean -+ sqrt(2 V log(4/error)/n) + 7 log(4/error)/(3 (n - 1)), V the sample variance.
    Parameters: sums `total` and sums of squares `squares` (n,) of `trials` >= 2 independent draws; `error` in (0, 1).
    """
    mean, evidence = total / trials, math.log(4 / error)
    variance = ((squares - total * mean) / (trials - 1)).clamp(min=0) + 1e-12
    width = (2 * evidence / trials * variance).sqrt() + 7 * evidence / (3 * (trials - 1))
    return (mean - width).clamp(min=0), (mean + width).clamp(max=1)
