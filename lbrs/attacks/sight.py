"""What an attacker sees of a smoothed classifier at points."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lbrs._checks import number
from lbrs.scores.local import sign

if TYPE_CHECKING:
    from lbrs.normal import NormalSmoothing
    from lbrs.oracles.nearest import NearestNeighborOracle
    from lbrs.smoothing import LocallyBiased


@dataclass(frozen=True)
class Seen:
    """The classifier at n points.

    Attributes:
        u: (n,), what the attacker lowers or raises: it does not saturate.
        gradient: (n, d), of u.
        bias: (n,), t >= 0: the oracle decides where abs(u) < t.
        nearest: (n,), the reference point that the oracle asks; 0 where there is no oracle.
        decision: (n,) in {-1, +1}, float64.
    """

    u: Tensor
    gradient: Tensor
    bias: Tensor
    nearest: Tensor
    decision: Tensor


class Sight:
    """A classifier as an attacker sees it, at points (n, d).

    Attributes:
        shape: of a point.
        oracle: whose cells an attacker can use, None if there is no use in it.
        points, labels: (N, d) and (N,), the oracle's reference points.
    """

    shape: tuple[int, ...]
    oracle: "NearestNeighborOracle | None" = None
    points: Tensor
    labels: Tensor

    def look(self, z: Tensor) -> Seen:
        """What is seen at `z` (n, d)."""
        raise NotImplementedError

    def predict(self, z: Tensor) -> Tensor:
        """f^mu at `z` (n, d)."""
        raise NotImplementedError


class BiasedSight(Sight):
    """A `LocallyBiased` in the units of its base network's output
    (:prf:ref:`Lemma Q <lemma-q>`)."""

    def __init__(self, model: "LocallyBiased") -> None:
        if model.base.random:
            kind = type(model.base).__name__
            raise ValueError(f"model must have a score with a gradient, got a {kind}")
        if getattr(model.oracle, "k", None) != 1:
            raise ValueError(f"model must have a 1-NN oracle, got {model.oracle}")
        self.model, self.shape = model, model.oracle.shape
        self.points, self.labels = model.oracle.points, model.oracle.labels.double()
        self.alpha = number("alpha", model.alpha, low=0)
        self.oracle = model.oracle if self.alpha > 0 else None

    def look(self, z: Tensor) -> Seen:
        """As `Sight.look`."""
        model, points = self.model, z.reshape(-1, *self.shape)
        u, gradient, length = model.base.seen(points, model.norm)
        bias = model.base.link.turn(self.alpha * length)
        nearest = model.oracle.nearest(points)
        decision = torch.where(u.abs() < bias, self.labels[nearest], sign(u))
        return Seen(u, gradient.flatten(1), bias, nearest, decision)

    def predict(self, z: Tensor) -> Tensor:
        """As `Sight.predict`."""
        return self.model.predict(z.reshape(-1, *self.shape))


class NoisySight(Sight):
    """A `NormalSmoothing` through `draws` noisy copies of each point, the same for all: expectation
    over transformation (Athalye et al., 2018)."""

    def __init__(
        self, model: "NormalSmoothing", shape: tuple[int, ...], draws: int, seed: int
    ) -> None:
        self.model, self.shape = model, shape
        self.module = model.as_module("link", draws=draws, seed=seed)
        self.rows = max(1, 2048 // draws)

    def look(self, z: Tensor) -> Seen:
        """As `Sight.look`."""
        parts = zip(*map(self._look, z.split(self.rows)), strict=True)
        u, gradient = map(torch.cat, parts)
        none = torch.zeros_like(u)
        return Seen(u, gradient, none, none.long(), sign(u))

    def _look(self, z: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            points = z.detach().requires_grad_()
            logits, _ = self.module.logits(points.reshape(-1, *self.shape))
            u = logits[:, 1] - logits[:, 0]
            (gradient,) = torch.autograd.grad(u.sum(), points)
        return u.detach().double(), gradient.double()

    def predict(self, z: Tensor) -> Tensor:
        """f^mu at `z` (n, d), from new draws."""
        return self.model.predict(z.reshape(-1, *self.shape))
