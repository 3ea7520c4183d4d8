"""The opposite points that a search for the nearest bisectors has still to look at."""

import torch
from torch import Tensor

from lbrs.oracles.distances import ranked

MOST = 8
"""Most points that a row looks at before it asks again which may be closer still."""


class Frontier:
    """For each of n rows the points j whose beta_j may be among the `quorum` least: those with a
    lower bound below `worst`.

    `lower` (n, M), M >= quorum, are lower bounds of beta_j, and become inf for points that were
    looked at; the frontier owns them.
    """

    def __init__(self, lower: Tensor, quorum: int) -> None:
        self.lower, self.quorum = lower, quorum
        self.rows = torch.arange(len(lower), device=lower.device)
        self.best = torch.full_like(lower[:, :quorum], torch.inf)
        self.left, self.width = lower.shape[1], quorum

    @property
    def open(self) -> bool:
        """Whether a row may have points to look at."""
        return len(self.rows) > 0 and self.left > 0

    @property
    def worst(self) -> Tensor:
        """What `quorum` of the beta_j of a row are known not to exceed (n,); inf for fewer."""
        return self.best[:, -1]

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """Rows and points j (p,), (p,): of each row some with the least bounds, if below `worst`.
        A row without such points is closed."""
        width = min(self.width, self.left)
        values, columns = self.lower[self.rows].topk(width, largest=False)
        closer = values < self.worst[self.rows, None]
        stay = closer.any(1)
        self.rows, columns, closer = self.rows[stay], columns[stay], closer[stay]
        self.lower[self.rows[:, None], columns] = torch.inf
        self.left, self.width = self.left - width, min(2 * width, max(MOST, self.quorum))
        place, column = closer.nonzero(as_tuple=True)
        return self.rows[place], columns[place, column]

    def tighten(self, row: Tensor, high: Tensor) -> None:
        """Learn upper bounds `high` (p,) of beta_j for further points of the rows `row` (p,)."""
        n, quorum = self.best.shape
        known = torch.arange(n, device=row.device).repeat_interleave(quorum)
        bounds = torch.cat([self.best.flatten(), high])
        order, start = ranked(torch.cat([known, row]), (bounds,), n)
        self.best = bounds[order[start[:, None] + torch.arange(quorum, device=row.device)]]
