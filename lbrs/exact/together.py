"""Theorem C in l2 for many points at once, where few reference points make small programs. Every
bound is proved by multipliers, every witness asked for; what is not settled is left to the search.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lbrs._checks import chunks
from lbrs.exact.frames import Frame
from lbrs.exact.programs import Array, lengths
from lbrs.exact.scaled import FAR, LEAST, Places, Scaled
from lbrs.exact.search import BEYOND, TIE
from lbrs.rounding import (
    EPS,
    TINY,
    affine_slope,
    mislabelled,
    of_combination,
    of_filling,
    of_length,
    of_row,
)

Truth = npt.NDArray[np.bool_]

FEW = 64
"""Up to so many points of a label are a small program."""

TURNS = 30
"""After so many exchanges a program is left to the search."""


def is_small(problem: Scaled) -> bool:
    """Whether points may be looked at together: in l2 without a box, with few points of both
    labels, and a score and an oracle that both have a say."""
    groups = problem.groups.values()
    plain = type(problem.frame) is Frame and problem.frame.p == 2
    free = problem.limits[1] == np.inf and problem.alpha > 0 and bool(problem.w.any())
    return plain and free and len(groups) == 2 and max(map(len, groups)) <= FEW


def together(problem: Scaled, s: Array) -> tuple[Array, Array]:
    """Safe radii (n,) and points (n, d) behind them, where the prediction should not be s (n,);
    radii are NaN where nothing is settled."""
    radius, points = np.full(len(s), np.nan), problem.x.copy()
    for sign in (-1.0, 1.0):
        alike = np.flatnonzero(s == sign)
        for part in chunks(len(alike), len(problem.points) * max(problem.points.shape)):
            rows = alike[part]
            batch = Batch(problem, sign, problem.x[rows], problem.R[rows], problem.error[rows])
            with np.errstate(all="ignore"), suppress(np.linalg.LinAlgError):
                radius[rows], moved = batch.nearest()
                points[rows] += moved
    return radius, points


@dataclass(frozen=True)
class Program:
    """P_{y,j} without its sides: rows H (m, d) of norm 1, first the half-space, then the bisectors
    with `members`."""

    y: float
    j: int
    members: Places
    gaps: Array
    H: Array

    @cached_property
    def gram(self) -> Array:
        found: Array = self.H @ self.H.T
        return found + 1e-15 * np.eye(len(found))

    def certified(self, lam: Array, h: Array) -> Array:
        """As `programs.certified` in l2 without a box, for p sides h and multipliers (p, m)."""
        m, d = self.H.shape
        share = of_combination(m)
        side = (lam * h).sum(1) - share * (lam * abs(h)).sum(1)
        size = abs(self.combined(lam)) + share * self.combined(lam, abs(self.H))
        whole = np.maximum((size * size).sum(1), 1e-300)
        least = lengths((side * (1 - of_filling(d)) / whole)[:, None] * size, 2)
        return np.where(side > 0, least * (1 - of_length(d)), 0.0)

    def combined(self, lam: Array, H: Array | None = None) -> Array:
        """H^T lam (p, d), each row the same in any batch."""
        found: Array = np.einsum("pm,md->pd", lam, self.H if H is None else H)
        return found

    def solve(self, h: Array) -> tuple[Array, Array]:
        """Multipliers (p, m) and their derivative if all sides grow alike, by exchanging all rows
        that are wrong (block principal pivoting); zeros where that does not end."""
        used = np.zeros(h.shape, bool)
        used[np.arange(len(h)), h.argmax(1)] = True
        done = np.zeros(len(h), bool)
        for _ in range(TURNS):
            lam, rate = self._on(used, h)
            left = h - np.einsum("pm,mk->pk", lam, self.gram)
            right = np.where(used, lam > 0, left > 1e-13 * abs(h).max(1, keepdims=True))
            done = (right == used).all(1)
            if done.all():
                break
            used = right
        return np.where(done[:, None], np.maximum(lam, 0), 0.0), rate

    def _on(self, used: Truth, h: Array) -> tuple[Array, Array]:
        both = used[:, :, None] & used[:, None, :]
        system = np.where(both, self.gram, np.eye(len(self.gram)))
        sides = np.stack([np.where(used, h, 0.0), used.astype(float)], -1)
        found = np.linalg.solve(system, sides)
        return found[..., 0], found[..., 1]


@dataclass(frozen=True)
class Batch:
    """Points x (n, d) where the prediction is s, with scores R and their errors, both (n,)."""

    problem: Scaled
    s: float
    x: Array
    R: Array
    error: Array

    @cached_property
    def V(self) -> Array:
        found: Array = self.problem.points - self.x[:, None]
        return found

    @cached_property
    def half(self) -> Array:
        squares: Array = (self.V * self.V).sum(2)
        return squares / 2

    def c(self, y: float) -> Array:
        """As `View.c`."""
        margin = self.s * (self.R + y * self.problem.alpha) - self.error
        return np.clip(margin, -FAR, FAR)

    def wrong(self, half: Array, square: Array) -> Array:
        """As `View.mislabelled`."""
        problem, d = self.problem, self.x.shape[1]
        return mislabelled(half, square, d * TINY / problem.scale / problem.scale)

    def program(self, y: float, j: int) -> Program:
        problem = self.problem
        members = problem.groups[-y]
        apart = problem.points[j] - problem.points[members]
        gaps = np.maximum(lengths(apart, 2), LEAST * abs(apart).max(1))
        return Program(y, j, members, gaps, np.vstack([-self.s * problem.w, apart / gaps[:, None]]))

    def bound(self, program: Program) -> Array:
        """A lower bound of the distance of P_{y,j}, as of `Search.against`."""
        here, there = self.half[:, program.j], self.half[:, program.members]
        k, d = there.argmin(1), self.x.shape[1]
        near = there[np.arange(len(k)), k]
        slack = 2 * of_row(d) * (here + near) + self.wrong(here, 2 * d * here)
        bound: Array = np.maximum((here - near - slack) / program.gaps[k], self.c(program.y))
        return bound

    def sides(self, program: Program, rows: Places) -> Array:
        """Sides as those of `View.bisectors`, after that of the half-space: (p, m).

        Lemma. (x_j - x_k)^T d >= (v_j^2 - v_k^2)/2 for v = ||x_j - x|| and ||x_k - x|| is the
        bisector. Both squares are off by a share `of_row`, the row by 2 u (v_j + v_k)/2, which is
        at most 2 u (v_j^2 + v_k^2) over the gap, as the gap is at most v_j + v_k.
        """
        half = self.half[rows]
        here, there = half[:, [program.j]], half[:, program.members]
        lowered = here - there - 2 * of_row(self.x.shape[1]) * (here + there)
        found: Array = np.c_[self.c(program.y)[rows], lowered / program.gaps]
        return found

    def nearest(self) -> tuple[Array, Array]:
        """As `together`, with displacements for points."""
        n, d = self.x.shape
        groups = self.problem.groups.items()
        programs = [self.program(y, int(j)) for y, group in groups for j in group]
        bounds = np.stack([self.bound(program) for program in programs], 1)
        best, safe, moved = np.full(n, np.inf), np.full(n, np.inf), np.zeros((n, d))
        while (near := bounds.min(1) <= best * TIE).any() and np.isfinite(bounds[near]).any():
            place = bounds.argmin(1)
            for number in np.unique(place[near & np.isfinite(bounds.min(1))]):
                rows = np.flatnonzero(near & (place == number))
                radius, proved, step = self.solved(programs[number], rows)
                closer = radius < best[rows]
                moved[rows[closer]] = step[closer]
                best[rows] = np.minimum(best[rows], radius)
                safe[rows] = np.minimum(safe[rows], proved)
                bounds[rows, number] = np.inf
        known = (safe >= best * (1 - 1e-9)) & (safe > 0) & np.isfinite(safe)
        known &= lengths(moved, 2) <= best * (1 + 0.999 * BEYOND)
        return np.where(known, safe, np.nan), moved

    def solved(self, program: Program, rows: Places) -> tuple[Array, Array, Array]:
        """Distances (p,) of a polyhedron as proved, those for the classifier as computed, and
        displacements into it; 0 where the program is not solved."""
        h = self.sides(program, rows)
        lam, rate = program.solve(h)
        radius = program.certified(lam, h)
        reach = np.minimum(1.01 * radius, self.farthest[rows])
        slack = self.slack(program, rows, reach)
        safe = np.minimum(reach, program.certified(lam, h - slack))
        d = program.combined(lam)
        missed = (h - np.einsum("pd,md->pm", d, program.H)).max(1)
        stretch = np.maximum(1, radius * lam.sum(1) / np.maximum((lam * h).sum(1), 1e-300))
        off = np.maximum(lengths(d, 2) - radius, stretch * missed)
        right = (radius > 0) & (off <= 1e-9 * radius + 1e-12)
        push = 0.5 * BEYOND * radius / stretch
        step = d + program.combined(push[:, None] * rate)
        return np.where(right, radius, 0.0), np.where(right, safe, 0.0), step

    @cached_property
    def farthest(self) -> Array:
        """As `View.farthest`, without a box."""
        found: Array = 1.01 * (abs(self.R) + self.problem.alpha + self.error)
        return found

    def slack(self, program: Program, rows: Places, reach: Array) -> Array:
        """What rounding may cost each side within reach, as in `Search.lowered`: (p, m)."""
        half = np.maximum(self.half[rows, program.j][:, None], self.half[rows][:, program.members])
        wrong = self.wrong(half, (reach * reach)[:, None]) / program.gaps
        turned = (affine_slope(self.x.shape[1]) + 4 * EPS) * reach
        found: Array = np.c_[turned, 2 * EPS * reach[:, None] + wrong]
        return found
