"""The attacker who knows the oracle: how near to each point the decision is another one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from lbrs._checks import ArrayLike, batch, chunks, digits, integer, labels, shown
from lbrs.attacks.cells import SIDES, Cells, cells_around
from lbrs.attacks.pursuit import Pursuit
from lbrs.attacks.sight import BiasedSight, NoisySight, Sight
from lbrs.normal import NormalSmoothing
from lbrs.norms import L2, LINF, Norm, as_norm
from lbrs.smoothing import LocallyBiased

FARTHER = (1.0, 1 + 1e-7, 1 + 1e-5, 1.001, 1.01, 1.03, 1.1, 1.3)
"""How far beyond a witness on its way from x another decision may be confirmed."""


@dataclass(frozen=True)
class Distances:
    """How far n points are from another decision, at most.

    Attributes:
        distance: (n,), 0 where the decision at the point itself is not y; inf where no other one
            was found.
        witness: (n, *shape) in [0, 1], points at these distances where ``predict`` is not y; the
            points themselves where the distance is inf.
    """

    distance: Tensor
    witness: Tensor

    def accuracy(self, radii: Iterable[float]) -> Tensor:
        """The share of points that are right under attack within each of `radii`.

        >>> Distances(torch.tensor([0.0, 0.5, 2.0]), torch.zeros(3, 1)).accuracy([0.0, 1.0])
        tensor([0.6667, 0.3333], dtype=torch.float64)
        """
        return torch.stack([(self.distance > radius).double().mean() for radius in radii])


def minimal_distance(
    model: LocallyBiased | NormalSmoothing,
    x: ArrayLike,
    y: ArrayLike,
    norm: Norm | None = None,
    *,
    steps: int = 50,
    restarts: int = 1,
    cells: int = 16,
    draws: int = 32,
    seed: int = 0,
    watch: Callable[[float], None] | None = None,
) -> Distances:
    r"""The distance from each point to the nearest one in [0, 1]^d where the decision is not y, as
    far as an attacker finds it who knows the model and its oracle: an upper bound.

    .. math:: \inf\{\|z - x\| : f^\mu(z) \ne y,\ z \in [0, 1]^d\}

    By :prf:ref:`Lemma Q <lemma-q>` there are two ways to it, in the units of the base network's
    output u, whose bias t does not saturate: *over* the oracle, y u < -t, and *through* it, into a
    cell of the oracle's wrong label with y u < t. For either way, gradient steps on y u stay in the
    box, in the cell and in a ball that shrinks after each other decision and grows after the same
    one; then :prf:ref:`Theorem C <theorem-c>` is solved on the network's tangent at the best point,
    and the way there halved. Cells are tried in the order of their lower bounds, and skipped where
    these are beyond what was found. The decision itself is looked at in every step.

    One distance per point gives robust accuracy at every radius. For NormalSmoothing the same
    noise serves all steps, and a witness counts where ``predict`` confirms it with other noise, or
    a little farther out.

    Parameters:
        model: a LocallyBiased whose score has a gradient and whose oracle has k = 1, or a
            NormalSmoothing.
        x: points (n, *shape) in [0, 1].
        y: (n,) in {-1, +1}.
        norm: L2 or LINF, in which the attacker is measured; by default the model's, L2 for
            NormalSmoothing.
        steps: gradient steps for each way.
        restarts: how often each way is gone, at first from x or from the nearest point of the cell
            (the witness of the exact 1-NN), then from random points.
        cells: most cells that are tried for a point.
        draws: noisy copies of a point that the attack on NormalSmoothing averages over.
        seed: of restarts and of that noise.
        watch: told the share of points that are done.

    Raises:
        ValueError, TypeError: naming the argument.

    >>> from lbrs import LinearScore, NearestNeighborOracle
    >>> oracle = NearestNeighborOracle([[0.0, 0.5], [1.0, 0.5]], [1, -1])
    >>> model = LocallyBiased(LinearScore([-1.0, 0.0], 0.8), oracle, alpha=0.1)
    >>> minimal_distance(model, [[0.25, 0.5]], [1]).distance.round(decimals=3)
    tensor([0.4500], dtype=torch.float64)
    """
    options = {"steps": steps, "restarts": restarts, "cells": cells, "draws": draws}
    low = {"cells": 0}
    steps, restarts, cells, draws = (
        integer(name, value, low=low.get(name, 1)) for name, value in options.items()
    )
    x = batch("x", x)
    y = labels("y", y, len(x)).to(x.device, torch.float64)
    if len(x) and not (x.min() >= 0 and x.max() <= 1):
        given = f"{digits(x.min().item())} to {digits(x.max().item())}"
        raise ValueError(f"x must hold points in [0, 1], got values from {given}")
    norm = _norm(model, norm)
    sight = _sight(model, tuple(x.shape[1:]), draws, integer("seed", seed, low=0))
    flat = x.flatten(1).to(torch.float64)
    hunt = Hunt(sight, norm, steps, restarts, cells, seed)
    found = []
    for part in chunks(len(x), 2 * (SIDES + 1) * max(1, flat.shape[1])):
        found.append(hunt(flat[part], y[part]))
        if watch is not None:
            watch(part.stop / len(x))
    if not found:
        return Distances(y.clone(), x)
    distance, witness = map(torch.cat, zip(*found, strict=True))
    return Distances(distance, witness.reshape(x.shape))


def _norm(model: LocallyBiased | NormalSmoothing, norm: Norm | None) -> Norm:
    given = getattr(model, "norm", L2) if norm is None else norm
    if as_norm("norm", given) not in (L2, LINF):
        raise ValueError(f"norm must be L2 or LINF for this attack, got {shown(given)}")
    return given


def _sight(
    model: LocallyBiased | NormalSmoothing, shape: tuple[int, ...], draws: int, seed: int
) -> Sight:
    if isinstance(model, LocallyBiased):
        return BiasedSight(model)
    if isinstance(model, NormalSmoothing):
        return NoisySight(model, shape, draws, seed)
    given = type(model).__name__
    raise TypeError(f"model must be a LocallyBiased or a NormalSmoothing, got {given}")


@dataclass(frozen=True)
class Hunt:
    """The attack on a few points at a time, with its choices."""

    sight: Sight
    norm: Norm
    steps: int
    restarts: int
    cells: int
    seed: int

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Distances (n,) and witnesses (n, d) of points `x` (n, d), labels `y` (n,)."""
        wrong = self.sight.look(x).decision != y
        best = torch.where(wrong, 0.0, torch.inf).to(x)
        every = Pursuit(self.sight, x, y, self.norm, best, x)
        self._pursue(every, (best > 0).nonzero()[:, 0])
        oracle = self.sight.oracle
        if oracle is not None:
            around = cells_around(oracle, x, y, self.norm)
            for rank in range(min(self.cells, around.center.shape[1])):
                rows = (around.bound[:, rank] < every.best).nonzero()[:, 0]
                self._pursue(every, rows, around, rank)
        return self._confirmed(every)

    def _pursue(
        self, every: Pursuit, rows: Tensor, around: Cells | None = None, rank: int = 0
    ) -> None:
        """Pursue the points `rows`, over the oracle or through their cells of this rank, and keep
        what is better."""
        if not len(rows):
            return
        cell = (around.center[rows, rank], around.rivals[rows, rank]) if around else ()
        given = every.x[rows], every.y[rows], every.norm, every.best[rows], every.witness[rows]
        one = Pursuit(self.sight, *given, *cell)
        start, least = one.at_cells()
        if around is not None and (least >= one.best).any():
            near = (least < one.best).nonzero()[:, 0]
            rows, one, start, least = rows[near], one.part(near), start[near], least[near]
            if not len(rows):
                return
        draws = torch.Generator(one.x.device).manual_seed(self.seed)
        for turn in range(self.restarts):
            z = start if turn == 0 else _beside(start, one, draws)
            reach = torch.maximum(1.02 * least, least / 2 + one.reach(z))
            one.descend(z, torch.minimum(reach, 0.9 * one.best), self.steps)
            one.polish()
        every.best[rows], every.witness[rows] = one.best, one.witness

    def _confirmed(self, found: Pursuit) -> tuple[Tensor, Tensor]:
        """The distances and witnesses at which ``predict`` is another label."""
        distance = torch.where(found.best > 0, torch.inf, 0.0).to(found.best)
        witness = found.x.clone()
        for share in FARTHER:
            rows = (found.best.isfinite() & distance.isinf()).nonzero()[:, 0]
            if not len(rows):
                break
            x = found.x[rows]
            z = (x + share * (found.witness[rows] - x)).clamp(0, 1)
            other = self.sight.predict(z).to(found.y) != found.y[rows]
            distance[rows[other]] = self.norm((z - x)[other])
            witness[rows[other]] = z[other]
        return distance, witness


def _beside(start: Tensor, pursuit: Pursuit, draws: torch.Generator) -> Tensor:
    """Random points around `start` (n, d), about as far as the witnesses are from `x`."""
    away = torch.empty_like(start).normal_(generator=draws)
    size = pursuit.best.where(pursuit.best.isfinite(), pursuit.norm(start - pursuit.x))
    share = size * torch.rand(len(start), generator=draws, device=start.device).to(start)
    unit = away / pursuit.norm(away)[:, None].clamp(min=1e-300)
    return (start + share[:, None] * unit).clamp(0, 1)
