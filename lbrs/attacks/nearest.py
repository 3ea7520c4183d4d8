"""The nearest point of a polyhedron in a box, for many polyhedra at once, by steps on the dual."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lbrs.norms import L2, Norm

Box = tuple[Tensor, Tensor]
"""The lowest and the highest value of each coordinate, (n, d) each, with 0 between them."""

ROOM = (0.01, 0.001, 0.001, 0.0003, 0.0003)
"""By which shares the cubes of linf are larger than the largest known to be too small, by turns."""


@dataclass(frozen=True)
class HalfSpaces:
    """The points d with H d >= h, for each of n problems.

    Attributes:
        H: (n, m, d), its rows of length 1, or 0.
        h: (n, m).
        known: `rate`, where it is known.
    """

    H: Tensor
    h: Tensor
    known: Tensor | None = None

    @classmethod
    def scaled(cls, H: Tensor, h: Tensor) -> "HalfSpaces":
        """Those of rows of any length."""
        length = H.norm(dim=2).clamp(min=1e-300)
        return cls(H / length[:, :, None], h / length)

    def __getitem__(self, rows: Tensor) -> "HalfSpaces":
        return HalfSpaces(self.H[rows], self.h[rows])

    def __and__(self, other: "HalfSpaces") -> "HalfSpaces":
        return HalfSpaces(torch.cat([self.H, other.H], 1), torch.cat([self.h, other.h], 1))

    @cached_property
    def rate(self) -> Tensor:
        """(n, 1), not above 1/||H H^T||: the length of a step on the dual."""
        if self.known is not None:
            return self.known
        above: Tensor = torch.linalg.matrix_norm(self.H @ self.H.mT, torch.inf)
        return 1 / above.clamp(min=1)[:, None]

    def short(self, d: Tensor) -> Tensor:
        """(n, m), by how much each row misses at `d` (n, d)."""
        return self.h - (self.H @ d[:, :, None])[:, :, 0]

    def push(self, lam: Tensor) -> Tensor:
        """lam^T H (n, d), of multipliers (n, m)."""
        return (lam[:, None] @ self.H)[:, 0]

    def deeper(self, by: Tensor) -> "HalfSpaces":
        """Those that lie inside by `by` (n, m)."""
        return HalfSpaces(self.H, self.h + by, self.rate)

    def none(self) -> Tensor:
        """Multipliers 0."""
        return torch.zeros_like(self.h)


def nearest_point(
    sides: HalfSpaces, box: Box, norm: Norm, lam: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    r"""Nearly the nearest point to 0 of each set, with its multipliers.

    .. math:: \min\{\|d\| : H d \ge h,\ d \in \text{box}\}

    In linf the box is cut to cubes: any multipliers prove that smaller cubes are too small, and
    one larger by `ROOM` is tried next. Where a set is empty, the point is one of the box.

    Parameters:
        sides: the half-spaces.
        box: bounds of d.
        norm: L2 or LINF.
        lam: multipliers (n, m) to start with, found before or 0.
        steps: how many; in linf for each entry of `ROOM`.

    Returns:
        The points (n, d) and the multipliers (n, m).
    """
    origin = torch.zeros_like(box[0])
    if norm == L2:
        return moved(origin, sides, box, lam, steps)
    least = torch.zeros_like(origin[:, :1])
    for room in ROOM:
        proven = cube(sides.push(lam), (lam * sides.h).sum(1, keepdim=True), box)
        least = torch.maximum(least, proven)
        d, lam = moved(origin, sides, cut(box, least * (1 + room)), lam, steps)
    return d, lam


def projected(
    w: Tensor, sides: HalfSpaces, box: Box, radius: Tensor, norm: Norm, lam: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """`w` (n, d) moved into half-spaces and box, and into the ball of `radius` (n, 1) around 0 as
    far as these allow, with the multipliers (n, m)."""
    if norm != L2:
        return moved(w, sides, cut(box, radius), lam, steps)
    share = (radius / norm(w)[:, None].clamp(min=1e-300)).clamp(max=1)
    for _ in range(2 if sides.h.shape[1] else 1):
        d, lam = moved(share * w, sides, box, lam, steps)
        share = share * (radius / norm(d)[:, None].clamp(min=1e-300)).clamp(max=1)
    return d, lam


def moved(w: Tensor, sides: HalfSpaces, box: Box, lam: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The nearest point in l2 to `w` (n, d), which for multipliers lam >= 0 is w + lam^T H clipped
    to the box, by Nesterov's steps, started anew in each row where they turn back."""
    if not sides.h.shape[1]:
        return w.clamp(*box), lam
    ahead, age = lam, torch.ones_like(lam[:, :1])
    for _ in range(steps):
        short = sides.short((w + sides.push(ahead)).clamp(*box))
        after = (ahead + sides.rate * short).clamp(min=0)
        step = after - lam
        back = ((ahead - after) * step).sum(1, keepdim=True) > 0
        older = (1 + (1 + 4 * age**2).sqrt()) / 2
        ahead = torch.where(back, after, after + (age - 1) / older * step)
        age, lam = torch.where(back, 1.0, older), after
    return (w + sides.push(lam)).clamp(*box), lam


def cut(box: Box, radius: Tensor) -> Box:
    """The part of `box` in the cube of `radius` (n, 1)."""
    return torch.maximum(box[0], -radius), torch.minimum(box[1], radius)


def cube(q: Tensor, c: Tensor, box: Box) -> Tensor:
    """The least t (n, 1) at which q^T d reaches `c` (n, 1) with abs(d_i) <= t in the box; where it
    never does, the largest that matters."""
    cap = torch.where(q > 0, box[1], -box[0])
    cap, order = cap.sort(1)
    size = q.abs().gather(1, order)
    full = (size * cap).cumsum(1) - size * cap
    t = (c - full) / size.flip(1).cumsum(1).flip(1).clamp(min=1e-300)
    enough = t <= cap
    first = t.gather(1, enough.int().argmax(1, keepdim=True))
    return torch.where(enough.any(1, keepdim=True), first, cap[:, -1:]).clamp(min=0)
