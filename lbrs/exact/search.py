"""The search for the nearest of the polyhedra of Theorem C around one point."""

import math
from collections.abc import Iterator
from contextlib import suppress
from itertools import repeat
from typing import NamedTuple

import numpy as np

from lbrs.exact.programs import Array, certified, length, solve
from lbrs.exact.scaled import Places, View
from lbrs.rounding import EPS, affine_slope, of_row

TIE = 1 + 1e-9
"""Distances within this factor of the least are looked at together."""

BEYOND = 1e-6
"""The share of the radius within which the witness lies behind it."""

FEW = 32
"""Up to so many bisectors, all that may matter are added at once."""


class Candidate(NamedTuple):
    """P_{y,j} with a lower bound of its distance, and how far x_j is from the point of the
    half-space that is nearest to x; in this order they are looked at."""

    bound: float
    far: float
    y: float
    j: int


class Polyhedron(NamedTuple):
    """A set that holds P_{y,j}: H d >= h for the half-space and the bisectors with `members`.

    H: rows of dual norm 1. h: rounded down.
    """

    y: float
    j: int
    members: Places
    H: Array
    h: Array


class Cell(NamedTuple):
    """P_{y,j} as solved.

    radius: its distance, as proved. safe: that for the classifier as computed.
    d: its nearest point, None if that is beyond what was asked for or there is none.
    stretch: by how much the distance grows when all rows are tightened.
    """

    y: float
    j: int
    radius: float
    safe: float
    d: Array | None
    stretch: float


class Search:
    """The nearest of the polyhedra around one point."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.p = view.problem.frame.p

    def nearest(self) -> tuple[float, list[Cell]]:
        """The safe radius, and the polyhedra at the least distance; none if all are empty."""
        best, safe, cells = math.inf, math.inf, []
        for candidate in self.candidates():
            if candidate.bound > best * TIE:
                break
            cell = self.cell(candidate.y, candidate.j, best * TIE)
            best, safe = min(best, cell.radius), min(safe, cell.safe)
            cells.append(cell)
        if best == math.inf:
            return safe, []
        near = sorted(
            (cell for cell in cells if cell.radius <= best * TIE), key=lambda cell: cell.radius
        )
        if near[0].d is None:
            raise ArithmeticError(f"no point was found at the least distance {best:g}")
        return safe, [cell for cell in near if cell.d is not None]

    def candidates(self) -> list[Candidate]:
        """All polyhedra; where x_j has no other label against it, one stands for all of a label."""
        view = self.view
        if not view.w.any():
            return []
        found: list[Candidate] = []
        for y, group in view.problem.groups.items():
            if y in view.opposite_nearest:
                found += self.against(y, view.opposite_nearest[y])
            else:
                found.append(Candidate(view.c[y], 0.0, y, group[0]))
        return sorted(found)

    def against(self, y: float, k: int) -> Iterator[Candidate]:
        """The polyhedra of a label, bounded by the half-space and the bisectors with x_k."""
        view, c = self.view, self.view.c[y]
        group = view.problem.groups[y]
        half = view.half[group]
        slack = 2 * of_row(len(view.x)) * (half + view.half[k])
        wrong = view.mislabelled(half, 2 * len(view.x) * half)
        with np.errstate(over="ignore"):
            bound = (half - view.half[k] - slack - wrong) / view.gaps(group, k)
        far = half - view.V[group] @ view.foot(y)
        return map(Candidate, np.maximum(bound, c), far, repeat(y), group)

    def cell(self, y: float, j: int, cutoff: float) -> Cell:
        """P_{y,j}, solved until no bisector is violated or the distance is beyond the cutoff."""
        for P, lam, d in self.steps(y, j):
            radius = certified(P.H, P.h, lam, self.view.box, self.p)
            if d is None or radius > cutoff:
                return Cell(y, j, radius, self.safe(P, lam, radius), None, 1.0)
        stretch = max(1.0, radius * lam.sum() / (lam @ P.h)) if radius > 0 else 1.0
        assert d is not None  # as the loop has not returned
        self.check(P, d, radius, stretch)
        return Cell(y, j, radius, self.safe(P, lam, radius), d, stretch)

    def steps(
        self, y: float, j: int, push: float = 0.0
    ) -> Iterator[tuple[Polyhedron, Array, Array | None]]:
        """P_{y,j} with all rows tightened by `push`, its multipliers and its nearest point, as
        violated bisectors are added until there are none, or until there is no point."""
        view = self.view
        P = Polyhedron(y, j, np.zeros(0, int), view.w[None], np.array([view.c[y] + push]))
        k = view.opposite_nearest.get(y)
        new = np.array([] if k is None else [k], int)
        while True:
            P = self.with_bisectors(P, new, push)
            lam, d = solve(P.H, P.h, view.box, self.p)
            yield P, lam, d
            new = np.zeros(0, int) if d is None else self.violated(P, d, push)
            if not len(new):
                break

    def with_bisectors(self, P: Polyhedron, k: Places, push: float) -> Polyhedron:
        u, side = self.view.bisectors(P.j, k)
        H, h = np.vstack([P.H, u]), np.r_[P.h, side + push]
        return Polyhedron(P.y, P.j, np.r_[P.members, k], H, h)

    def violated(self, P: Polyhedron, d: Array, push: float) -> Places:
        """At most 16 further points of I_{-y} to which x + d is nearer than to x_j; where there are
        few points, all that may matter."""
        view = self.view
        against = view.problem.groups[-P.y] if P.y in view.opposite_nearest else ()
        others = np.setdiff1d(against, P.members).astype(int)
        moved = view.problem.frame.back(d)
        near = np.argsort(view.half[others] - view.V[others] @ moved)[:64]
        others = others[near]
        u, h = view.bisectors(P.j, others)
        over, size = h + push - u @ d, length(d, self.p)
        worst = np.argsort(-over)[:16]
        worst = worst[over[worst] > 1e-12 * size]
        few = len(worst) > 0 and len(P.members) + len(u) <= FEW
        return others[h > -10 * size] if few else others[worst]

    def check(self, P: Polyhedron, d: Array, radius: float, stretch: float) -> None:
        """An error unless the solver's point and the proved distance tell the same."""
        size, missed = length(d, self.p), (P.h - P.H @ d).max()
        if not max(size - radius, stretch * missed) <= 1e-9 * radius + 1e-12:
            raise ArithmeticError(
                f"the solver's point is {size:.15g} away and misses rows by {missed:.1e}, "
                f"proved are {radius:.15g}"
            )

    def safe(self, P: Polyhedron, lam: Array, radius: float) -> float:
        """A lower bound of the distance to where ``predict`` changes by P_{y,j}, given that of real
        arithmetic and its multipliers.

        `lowered` gives a bound for any reach; the first that costs nothing is taken.
        """
        view, proved = self.view, 0.0
        top = min(1.01 * radius, view.farthest)
        for reach in (top, 2.0**30, 2.0**20, 2.0**10, 8.0):
            proved = max(proved, self.lowered(P, lam, min(reach, top)))
            if proved >= min(radius * (1 - 1e-9), top):
                break
        whole_box = view.problem.limits[1] < math.inf and proved == view.farthest
        return math.inf if whole_box else proved

    def lowered(self, P: Polyhedron, lam: Array, reach: float) -> float:
        """min{reach, the distance proved for sides lowered by all that rounding may cost within
        reach of x}, a bound for the classifier as computed.

        Within reach the score is off by a share `affine_slope` of it beyond what `View.c` has, w by
        a share u and a row of bisectors by 2 u, and a label by `View.mislabelled`.
        """
        view, d, share = self.view, len(self.view.x), self.view.problem.frame.share
        half = np.maximum(view.half[P.j], view.half[P.members])
        wide = view.norm.stretch(d)
        with np.errstate(over="ignore"):
            wrong = view.mislabelled(half, wide * reach * (wide * reach))
            wrong = wrong / view.gaps(P.j, P.members)
        turned = (affine_slope(d) * view.spread + 4 * EPS + share) * reach
        slack = np.r_[turned, (2 * EPS + share) * reach + wrong]
        if not slack.max() < 1e290:
            return 0.0
        return min(reach, certified(P.H, P.h - slack, lam, view.box, self.p))

    def inside(self, cells: list[Cell]) -> Iterator[Array]:
        """Points to try as witness: inside the polyhedra, then their nearest points, the very
        nearest last."""
        for cell in cells:
            for share in (0.5, 0.1, 0.01) if cell.radius > 0 else ():
                d = self.pushed(cell, share * BEYOND * cell.radius / cell.stretch)
                if d is not None and length(d, self.p) <= cell.radius * (1 + 0.999 * BEYOND):
                    yield self.moved(d)
        for cell in reversed(cells):
            if cell.d is not None:
                yield self.moved(cell.d)

    def pushed(self, cell: Cell, push: float) -> Array | None:
        """The nearest point of the polyhedron with tightened rows, if one is found."""
        with suppress(ArithmeticError):
            *_, (_, _, d) = self.steps(cell.y, cell.j, push)
            return d
        return None

    def moved(self, d: Array) -> Array:
        """x + d, within the limits."""
        moved = self.view.problem.frame.back(d)
        return np.clip(self.view.x + moved, *self.view.problem.limits)
