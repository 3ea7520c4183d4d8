"""Means of bounded random numbers with a stated error."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lbrs._checks import integer, number


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
        step = self.count + torch.arange(1, values.shape[1] + 1, dtype=torch.float64, device=values.device)
        sums = torch.cat([total[:, None], total[:, None] + values.cumsum(1)], 1)
        means = (0.5 + sums) / (1 + torch.cat([step[:1] - 1, step]))
        spreads = torch.cat([spread[:, None], spread[:, None] + (values - means[:, 1:]).square().cumsum(1)], 1)
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


def sequential_sign(draw: Callable[[Tensor, int], Tensor], n: int, *, samples: int, error: float, device: torch.device | str = "cpu") -> SignEstimate:
    """The signs of n means, drawing from each stream only until its interval excludes 0.

    Where it decides before `samples` numbers are drawn, the sign is wrong with probability at most `error` for each stream.
    Parameters: `draw(rows, m)` gives m new independent numbers in [-1, 1] of each stream in `rows`, as (len(rows), m);
    `samples` >= 1, the most drawn per stream; `error` in (0, 1).
    """
    mean = torch.zeros(n, dtype=torch.float64, device=device)
    used, decided = torch.zeros_like(mean), torch.zeros(n, dtype=torch.bool, device=device)
    rows, sequence = torch.arange(n, device=device), ConfidenceSequence(n, error, device)
    while len(rows) and sequence.count < samples:
        batch = 16 if sequence.count < 64 else 64
        sequence.update((draw(rows, min(batch, samples - sequence.count)) + 1) / 2)
        done = (sequence.lower > 0.5) | (sequence.upper < 0.5)
        mean[rows], used[rows], decided[rows] = 2 * sequence.mean - 1, float(sequence.count), done
        rows = rows[~done]
        sequence.keep((~done).nonzero().flatten())
    return SignEstimate(torch.where(mean >= 0, 1.0, -1.0).to(torch.float64), mean, decided, used)


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
    upper = 1.0 if successes == trials else float(beta.ppf(1 - tail, successes + 1, trials - successes))
    return lower, upper
