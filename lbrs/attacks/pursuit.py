"""Many points pursued at once to the nearest change of the decision, over or through the oracle."""

import math

import torch
from torch import Tensor

from lbrs.attacks.cells import walls
from lbrs.attacks.nearest import Box, HalfSpaces, nearest_point, projected
from lbrs.attacks.sight import Seen, Sight
from lbrs.exact.programs import solve
from lbrs.norms import LINF, Norm

LENGTH = (1.0, 0.01)
"""The first and the last step, as shares of the radius."""

CHANGE = (0.1, 0.003)
"""By which shares the radius changes at first and at last."""

SLACK = 0.1
"""How far inside a cell steps stay, as a share of the change of the radius."""

INNER = 10
"""Steps on the dual for each projection."""

INSIDE = 1e-6
"""How far inside cell and half-space the last solution of the tangent's problem lies, as a share of
the distance."""

ROUNDS, HALVINGS = 4, 8
"""How often a witness is moved to the tangent's solution, and how often the way there is halved."""


class Pursuit:
    """n points, each with the cell through which the decision is to change, or none.

    Attributes:
        x, y: (n, d) in [0, 1] and (n,) in {-1, +1}, float64.
        sense: 1 without cells, where y u < -t is sought; -1 with them: y u < t.
        best: (n,), the least distance at which another decision was seen, inf at first.
        witness: (n, d), where.
    """

    def __init__(
        self,
        sight: Sight,
        x: Tensor,
        y: Tensor,
        norm: Norm,
        best: Tensor,
        witness: Tensor,
        center: Tensor | None = None,
        rivals: Tensor | None = None,
    ) -> None:
        self.sight, self.x, self.y, self.norm = sight, x, y, norm
        self.best, self.witness = best.clone(), witness.clone()
        self.center, self.rivals = center, rivals
        self.sense = 1.0 if center is None else -1.0
        self.box: Box = (-x, 1 - x)
        self.sides = self._sides()
        self.width = norm.dual(self.sides.H)
        self.lam = self.sides.none()

    def _sides(self) -> HalfSpaces:
        if self.center is None or self.rivals is None:
            return HalfSpaces(self.x[:, None][:, :0], self.x[:, :0])
        return walls(self.sight.points, self.x, self.center, self.rivals)

    def at_cells(self) -> tuple[Tensor, Tensor]:
        """The nearest points (n, d) of the cells in the box, the exact witnesses of the 1-NN, and
        their distances; `x` and 0 without cells."""
        if self.center is None:
            return self.x, torch.zeros_like(self.y)
        d, _ = nearest_point(self.sides, self.box, self.norm, self.lam, 30)
        return (self.x + d).clamp(0, 1), self.norm(d)

    def reach(self, z: Tensor) -> Tensor:
        """How far the tangents at `z` (n, d) are from a change of the decision."""
        seen = self.sight.look(z)
        gap = (self.y * seen.u + self.sense * seen.bias).clamp(min=0)
        slope = self.norm.dual(seen.gradient).clamp(min=1e-300)
        return (gap / slope).clamp(max=float(self.norm(torch.ones_like(self.x[0]))))

    def look(self, z: Tensor) -> tuple[Seen, Tensor]:
        """What is seen at `z` (n, d), and where the decision is another one; the nearest of these
        are kept."""
        seen = self.sight.look(z)
        won = seen.decision != self.y
        distance = self.norm(z - self.x)
        nearer = won & (distance < self.best)
        self.best = torch.where(nearer, distance, self.best)
        self.witness = torch.where(nearer[:, None], z, self.witness)
        return seen, won

    def descend(self, z: Tensor, radius: Tensor, steps: int) -> None:
        """Gradient steps from `z` (n, d) on y u, inside box, cell and a ball of `radius` (n,) that
        shrinks after each other decision and grows after the same one; u in place of F, as the bias
        of a network with ReLU has no gradient."""
        for step in range(steps + 1):
            seen, won = self.look(z)
            if step == steps:
                return
            length, change = (_between(*ends, step / steps) for ends in (LENGTH, CHANGE))
            inner = torch.minimum(radius, self.norm(z - self.x)) * (1 - change)
            outer = torch.minimum(radius * (1 + change), self.best * (1 - change))
            radius = torch.where(won, inner, outer)
            self._add_sides(seen)
            way = self.norm.maximizer(self.y[:, None] * seen.gradient)
            w = z - self.x - length * radius[:, None] * way
            sides = self.sides.deeper(SLACK * change * radius[:, None] * self.width)
            d, self.lam = projected(w, sides, self.box, radius[:, None], self.norm, self.lam, INNER)
            z = (self.x + d).clamp(0, 1)

    def _add_sides(self, seen: Seen) -> None:
        """Where another reference point has come nearer than the cell's, its side takes the place
        of the one that binds least."""
        if self.rivals is None:
            return
        new = (self.rivals != seen.nearest[:, None]).all(1)
        rows = (new & (self.sight.labels[seen.nearest] == self.y)).nonzero()[:, 0]
        if not len(rows):
            return
        place = self.lam[rows].argmin(1)
        self.rivals, self.lam = self.rivals.clone(), self.lam.clone()
        self.rivals[rows, place] = seen.nearest[rows]
        self.lam[rows, place] = 0
        self.sides = self._sides()
        self.width = self.norm.dual(self.sides.H)

    def polish(self) -> None:
        """Theorem C on the network's tangent at each witness, and halving between the point that it
        gives and the witness: both lie in box and cell."""
        rows = (self.best.isfinite() & (self.best > 0)).nonzero()[:, 0]
        if not len(rows):
            return
        part = self.part(rows)
        lam = (part.sides & part._tangent()).none()
        for turn in range(ROUNDS):
            sides = part.sides & part._tangent()
            d, lam = nearest_point(sides, part.box, part.norm, lam, 30)
            if turn == ROUNDS - 1:
                inside = INSIDE * part.best[:, None] * part.norm.dual(sides.H)
                d = exactly(d, sides.deeper(inside), part.box, part.norm)
            near = (part.x + d).clamp(0, 1)
            part._halve(near)
            part.lam = lam[:, :-1]
            part._add_sides(part.sight.look(near))
        self.best[rows], self.witness[rows] = part.best, part.witness

    def part(self, rows: Tensor) -> "Pursuit":
        """Some of the points, `rows` (m,)."""
        cell = [None if of is None else of[rows] for of in (self.center, self.rivals)]
        given = self.x[rows], self.y[rows], self.norm, self.best[rows], self.witness[rows]
        return Pursuit(self.sight, *given, *cell)

    def _tangent(self) -> HalfSpaces:
        """The half-space of the other decision by the tangent of u at the witness."""
        seen = self.sight.look(self.witness)
        a = -self.y[:, None] * seen.gradient
        c = self.y * seen.u + self.sense * seen.bias + (a * (self.witness - self.x)).sum(1)
        found = HalfSpaces.scaled(a[:, None], c.clamp(-1e6, 1e6)[:, None])
        return HalfSpaces(found.H, found.h.clamp(-1e6, 1e6))

    def _halve(self, near: Tensor) -> None:
        """Look between `near` (n, d) and the witnesses for the change of the decision."""
        far, low, high = self.witness, torch.zeros_like(self.best), torch.ones_like(self.best)
        for step in range(HALVINGS):
            middle = low + (high - low) * (0.5 if step > 1 else 0.02 * step)
            _, won = self.look(near + middle[:, None] * (far - near))
            low, high = torch.where(won, low, middle), torch.where(won, middle, high)


def exactly(d: Tensor, sides: HalfSpaces, box: Box, norm: Norm) -> Tensor:
    """The nearest points (n, d) by an exact solver, one by one; `d` where it finds none."""
    rows = zip(sides.H.cpu().numpy(), sides.h.cpu().numpy(), strict=True)
    found, ends = d.clone(), [end.cpu().numpy() for end in box]
    for row, (H, h) in enumerate(rows):
        try:
            _, point = solve(H, h, (ends[0][row], ends[1][row]), math.inf if norm == LINF else 2.0)
        except (ArithmeticError, RuntimeError):
            continue
        if point is not None:
            found[row] = torch.from_numpy(point)
    return found


def _between(first: float, last: float, share: float) -> float:
    """From `first` to `last`, as a cosine falls."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
