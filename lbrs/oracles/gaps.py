"""Distances between reference points in a dual norm: bounds of many, a few exactly."""

import math
from functools import cached_property

import torch
from torch import Tensor

from lbrs._checks import chunks
from lbrs.norms import Norm
from lbrs.norms.lp import Lp
from lbrs.oracles.distances import CACHED
from lbrs.rounding import EPS, TINY, of_product

ROOM = 1e-12
"""The share by which bounds are widened, for the rounding of ranges, powers and quotients."""


class Gaps:
    """||x_i - x_j||_q between rows of `points` (m, d), with `centered` = points - center and the
    squared lengths `squares` (m,) of these."""

    def __init__(self, points: Tensor, center: Tensor, centered: Tensor, squares: Tensor) -> None:
        self.points, self.center, self.centered = points, center, centered
        self.squares = squares
        self._images: dict[Norm, tuple[Gaps, Tensor, Lp] | None] = {}

    @cached_property
    def _ranges(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The lower end and the width (d,) of each feature's range; for each point (m,) its
        distance in l1 from the lower ends, and in linf from the farther ends."""
        low, high = self.points.amin(0), self.points.amax(0)
        size, reach = [], []
        for part in chunks(len(self.points), self.points.shape[1]):
            above = self.points[part] - low
            size.append(above.sum(1))
            reach.append(torch.maximum(above, high - self.points[part]).amax(1))
        return low, high - low, torch.cat(size), torch.cat(reach)

    def bounds(self, rows: Tensor, columns: slice, norm: Norm) -> tuple[Tensor, Tensor]:
        """Numbers (n, m) below and above ||x_i - x_j|| for i in `rows` (n,) and j in `columns`.

        A norm that is an lp norm of images is bounded by theirs, another one is computed.
        """
        if isinstance(norm, Lp):
            return self._between(rows, columns, norm)
        if norm not in self._images:
            self._images[norm] = self._imaged(norm)
        found = self._images[norm]
        if found is None:
            return self._computed(rows, columns, norm)
        gaps, off, plain = found
        low, high = gaps._between(rows, columns, plain)
        wide = off[rows][:, None] + off[columns]
        return (low - wide).clamp_(min=0), high + wide

    def _imaged(self, norm: Norm) -> tuple["Gaps", Tensor, Lp] | None:
        """The gaps between the images of `Norm.image`, and how far each may be off (m,)."""
        found = norm.image(self.centered)
        if found is None or not found[0].abs().max() < 1e150:
            return None
        image, off, plain = found
        assert isinstance(plain, Lp)
        zero = torch.zeros_like(self.center)[: image.shape[1]]
        return Gaps(image, zero, image, image.square().sum(1)), off, plain

    def _computed(self, rows: Tensor, columns: slice, norm: Norm) -> tuple[Tensor, Tensor]:
        """As `bounds`, from every difference."""
        others, d = self.points[columns], self.points.shape[1]
        parts = chunks(len(rows), max(1, others.numel()))
        values = [norm(self.points[rows[part]][:, None] - others) for part in parts]
        length = torch.cat(values) if values else others.new_zeros(0, len(others))
        share, lost = norm.rounding(d) + 4 * EPS, norm.lost(d)
        return (length * (1 - share) - lost).clamp_(min=0), length * (1 + 2 * share) + lost

    def _between(self, rows: Tensor, columns: slice, norm: Lp) -> tuple[Tensor, Tensor]:
        """As `bounds`, for lp.

        With v = x_i - x_j: l2 by a product of matrices; ||v||_1 <= sum_c w_c (s + t - 2 s t) where
        x_i and x_j have s and t of the range w_c above its lower end; ||v||_inf by the ranges.
        Lemma. log ||v||_p is convex in 1/p (Lyapunov), so with e = |1 - 2/p| for p <= 2
        ||v||_2 (||v||_2 / ||v||_inf)^e <= ||v||_p <= ||v||_2 (||v||_1 / ||v||_2)^e, and for p >= 2
        ||v||_2 (||v||_2 / ||v||_1)^e <= ||v||_p <= ||v||_2 (||v||_inf / ||v||_2)^e.
        """
        left, right, d = self.centered[rows], self.centered[columns], self.points.shape[1]
        total = self.squares[rows][:, None] + self.squares[columns]
        slack = of_product(d) * total + 16 * d * TINY
        square = total.addmm_(left, right.T, alpha=-2)
        low, high = (square - slack).clamp_(min=0).sqrt_(), (square + slack).sqrt_()
        power, p = abs(1 - 2 / norm.p), norm.p
        if p == 2:
            return low, high
        reach = self._ranges[-1]
        reach = torch.minimum(reach[rows][:, None], reach[columns])
        if p < 2:
            ratio = (self._one(rows, columns) / high).clamp_(1, math.sqrt(d))
            excess = (low / reach.clamp_(min=1e-300)).clamp_(min=1)
            low, high = low * excess**power, high * ratio**power
        else:
            one = self._one(rows, columns).clamp_(min=high, max=high * math.sqrt(d))
            low, high = low * (low / one) ** power, high * (reach / high).clamp_(max=1) ** power
        return low * (1 - ROOM), high * (1 + ROOM)

    def _one(self, rows: Tensor, columns: slice) -> Tensor:
        """A number (n, m) not below ||x_i - x_j||_1, as of `bounds`.

        All terms of its sums are at most w_c s or w_c t in size, so they are off by a share of
        2.5 (d + 6) eps of their sums over c: a third of what is allowed.
        """
        low, width, size, _ = self._ranges
        weight = torch.where(width > 0, (self.points[rows] - low) / width, 0.0)
        start = size[rows] - 2 * (weight @ (self.center - low))
        slack = 2 * of_product(self.points.shape[1])
        base = (start + slack * size[rows])[:, None] + (1 + slack) * size[columns]
        return base.addmm_(weight, self.centered[columns].T, alpha=-2).clamp_(min=0)

    def exact(self, i: Tensor, j: Tensor, norm: Norm) -> Tensor:
        """||x_i - x_j|| (n,) as `norm` computes it, for pairs of rows, each of them once."""
        code, inverse = (i * len(self.points) + j).unique(return_inverse=True)
        i, j = code // len(self.points), code % len(self.points)
        parts = chunks(len(i), CACHED * self.points.shape[1])
        values = [self._plain(i[part], j[part], norm) for part in parts]
        return torch.cat(values)[inverse] if values else self.squares[i]

    def _plain(self, i: Tensor, j: Tensor, norm: Norm) -> Tensor:
        """As `exact`; one row alone goes through twice, as it might be summed in another order."""
        rows = self.points[i] - self.points[j]
        return norm(rows.expand(2, -1) if len(rows) == 1 else rows)[: len(rows)]
