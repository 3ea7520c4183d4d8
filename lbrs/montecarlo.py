"""Signs and means of bounded random numbers, with a stated error."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lbrs._checks import fraction, integer


class ConfidenceSequence:
    r"""Intervals for the means of n streams of independent numbers in [0, 1], valid at all times at
    once.

    With probability at least 1 - error, for each stream, all the intervals ever shown contain its
    mean, so that one may look after every batch and stop when one likes. It is the
    empirical-Bernstein sequence of Waudby-Smith and Ramdas (2024, Theorem 2),

    .. math::

       \frac{\sum_i \lambda_i X_i}{\sum_i \lambda_i} \mp
       \frac{\log(2/\text{error}) + \sum_i 4 (X_i - m_{i-1})^2\,\psi(\lambda_i)}{\sum_i \lambda_i},
       \qquad \psi(l) = \frac{-\log(1 - l) - l}{4},

    with predictable weights lambda_i, the smaller of 3/4 and the root of
    2 log(2/error)/(v_{i-1} i log(1 + i)).

    Parameters:
        n: the number of streams.
        error: in (0, 1).
        device: where they lie.
    """

    CAP = 0.75

    def __init__(self, n: int, error: float, device: torch.device | str = "cpu") -> None:
        self.evidence = math.log(2 / error)
        self.count = 0
        self._sums = torch.zeros(5, n, dtype=torch.float64, device=device)
        self.lower = torch.zeros(n, dtype=torch.float64, device=device)
        self.upper = torch.ones(n, dtype=torch.float64, device=device)

    def update(self, values: Tensor) -> None:
        """Take m more numbers of each stream, `values` (n, m), in the order in which they were
        drawn."""
        values = values.to(self._sums)
        total, spread, weight, weighted, cost = self._sums
        step = self.count + torch.arange(1, values.shape[1] + 1).to(values)
        before = torch.cat([step[:1] - 1, step])
        sums = torch.cat([total[:, None], total[:, None] + values.cumsum(1)], 1)
        means = (0.5 + sums) / (1 + before)
        spread = spread[:, None]
        spreads = spread + (values - means[:, 1:]).square().cumsum(1)
        spreads = torch.cat([spread, spreads], 1)
        variance = ((0.25 + spreads) / (1 + before))[:, :-1]
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

    Two gamblers hold a fortune of 1 for each stream. One bets shares c of its fortune on +, the
    other on -: in equal parts for each c in STAKES. A number g turns a part into 1 + c g or 1 - c g
    times as much. While the mean is not on its side, a fortune is a supermartingale, and by
    Ville's inequality it ever reaches 1/error with probability at most `error`. So the sign of the
    first gambler to do so is wrong with probability at most `error` (Waudby-Smith and Ramdas, 2024,
    Section 4).

    Parameters:
        n: the number of streams.
        error: in (0, 1).
        device: where they lie.
    """

    STAKES = (1.0, 0.5, 0.25, 0.125)

    def __init__(self, n: int, error: float, device: torch.device | str = "cpu") -> None:
        self.target = math.log(len(self.STAKES) / error)
        stakes = torch.tensor(self.STAKES, dtype=torch.float64, device=device)
        self._stakes = torch.stack([stakes, -stakes])
        self._fortunes = torch.zeros(n, 2, len(self.STAKES), dtype=torch.float64, device=device)

    @property
    def least(self) -> int:
        """The fewest numbers after which a sign can be decided."""
        return math.ceil(self.target / math.log(2))

    def update(self, values: Tensor) -> Tensor:
        """Take m more numbers of each stream, `values` (n, m); returns (n,): the sign decided, 0
        where none is."""
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

    Attributes:
        sign: (n,) in {-1, +1}; where `decided`, wrong with probability at most the stated error,
            elsewhere the sign of the average.
        mean: (n,), the average of the numbers drawn.
        decided: (n,) bool.
        used: (n,), how many numbers were drawn.
    """

    sign: Tensor
    mean: Tensor
    decided: Tensor
    used: Tensor

    @classmethod
    def joined(cls, parts: Sequence["SignEstimate"]) -> "SignEstimate":
        """The streams of all `parts`, one after the other."""
        return cls(
            torch.cat([part.sign for part in parts]),
            torch.cat([part.mean for part in parts]),
            torch.cat([part.decided for part in parts]),
            torch.cat([part.used for part in parts]),
        )

    def column(self, place: int, width: int) -> "SignEstimate":
        """Every `width`-th stream, from that at `place` on."""
        rows = slice(place, None, width)
        return SignEstimate(self.sign[rows], self.mean[rows], self.decided[rows], self.used[rows])


def sequential_sign(
    draw: Callable[[Tensor, int], Tensor],
    n: int,
    *,
    samples: int,
    error: float,
    device: torch.device | str = "cpu",
) -> SignEstimate:
    """The signs of n means, drawing from each stream only until a `SignTest` decides.

    Where it decides before `samples` numbers are drawn, the sign is wrong with probability at most
    `error` for each stream; streams need not be independent of each other. Parameters: `draw(rows,
    m)` gives m new independent numbers in [-1, 1] of each stream in `rows`, as (len(rows), m);
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
    r"""The exact interval (lower, upper) for the chance p of success.

    .. math:: \mathbb{P}(\text{lower} \le p \le \text{upper}) \ge \text{confidence}

    Clopper and Pearson (1934): quantiles of Beta(k, n - k + 1) and Beta(k + 1, n - k).

    Parameters:
        successes: k, 0 <= k <= n.
        trials: n >= 1.
        confidence: in (0, 1).

    >>> clopper_pearson(0, 10)[0]
    0.0
    """
    from scipy.stats import beta

    trials = integer("trials", trials, low=1)
    if integer("successes", successes, low=0) > trials:
        raise ValueError(f"successes must be at most trials = {trials}, got {successes}")
    tail = (1 - fraction("confidence", confidence)) / 2
    failures = trials - successes
    lower = float(beta.ppf(tail, successes, failures + 1)) if successes else 0.0
    upper = float(beta.ppf(1 - tail, successes + 1, failures)) if failures else 1.0
    return lower, upper


def safe_lower(counts: Tensor, trials: int, tail: float) -> Tensor:
    """Lower bounds (n,) of chances of success, each above its chance with probability at most
    `tail`: Clopper and Pearson's, rounded down.

    Parameters: `counts` (n,) whole numbers from 0 to `trials`; `trials` >= 1; `tail` in (0, 1).
    """
    from scipy.special import betaincinv

    k = counts.detach().cpu().double().numpy()
    lower = betaincinv(k.clip(min=1), trials - k.clip(min=1) + 1, tail) * (1 - 1e-10)
    return torch.where(counts > 0, torch.from_numpy(lower).to(counts.device), 0.0)


def empirical_bernstein(
    total: Tensor, squares: Tensor, trials: int, error: float
) -> tuple[Tensor, Tensor]:
    r"""Bounds (n,), (n,) of the means of numbers in [0, 1] that both hold with probability at least
    1 - `error`, for a number n of draws fixed beforehand.

    .. math::

       \bar X \mp \bigg( \sqrt{\frac{2V\log(4/\text{error})}{n}}
       + \frac{7\log(4/\text{error})}{3(n - 1)} \bigg)

    V is the sample variance (Maurer and Pontil 2009, Theorem 4).

    Parameters:
        total: (n,), the sums of the draws.
        squares: (n,), the sums of their squares.
        trials: n >= 2.
        error: in (0, 1).
    """
    mean, evidence = total / trials, math.log(4 / error)
    variance = ((squares - total * mean) / (trials - 1)).clamp(min=0) + 1e-12
    width = (2 * evidence / trials * variance).sqrt() + 7 * evidence / (3 * (trials - 1))
    return (mean - width).clamp(min=0), (mean + width).clamp(max=1)
