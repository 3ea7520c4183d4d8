"""Does the oracle help this model, at which radii, and what limits each point."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lbrs._checks import ArrayLike, batch, fraction, labels, number
from lbrs.certificate import Certificate, needed
from lbrs.montecarlo import clopper_pearson
from lbrs.norms import Norm
from lbrs.smoothing import LocallyBiased

if TYPE_CHECKING:
    from pandas import DataFrame

LIMITS = ("margin", "neighbour", "disagreement", "wrong")
"""What ends a point's radius: the score's margin; the oracle, whose label may change; that the base
overruled the oracle; or the prediction is wrong."""

SHOWN = 5
"""How many reference points the text names."""


@dataclass(frozen=True)
class Gain:
    """Certified accuracy beyond a radius, with the oracle and without.

    Attributes:
        radius: the radius r.
        accuracy, base: of the model, and of its base alone.
        lower, upper: an interval for their difference among all points of the kind.
    """

    radius: float
    accuracy: float
    base: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Diagnosis:
    """What the oracle does for a model on n points.

    Attributes:
        gains: one for each radius.
        limit: (n,), the place in `LIMITS` of what ends each point's radius.
        decided: (m, 2), indices of reference points, and of how many points each is the nearest
            where the oracle decides the prediction or ends its radius; the most first.
        norm, confidence: of the radii, of each interval alone.
    """

    gains: tuple[Gain, ...]
    limit: Tensor
    decided: Tensor
    norm: Norm
    confidence: float

    def to_frame(self) -> "DataFrame":
        """A pandas table, a row a radius."""
        return needed("pandas").DataFrame([vars(gain) for gain in self.gains])

    def _lines(self) -> list[str]:
        rows = [
            f"beyond {gain.radius:.4g}: {gain.accuracy:.4g}, base {gain.base:.4g}, gain "
            f"{gain.accuracy - gain.base:+.4g} (among fresh points {gain.lower:+.3g} to "
            f"{gain.upper:+.3g}, confidence {self.confidence:g})"
            for gain in self.gains
        ]
        counts = torch.bincount(self.limit, minlength=len(LIMITS)).tolist()
        told = ", ".join(f"{name} {count}" for name, count in zip(LIMITS, counts, strict=True))
        most = ", ".join(f"{index} ({count})" for index, count in self.decided[:SHOWN].tolist())
        rows.insert(0, f"certified accuracy in {self.norm}")
        decide = f"reference points that decide most: {most or 'none'}"
        return [*rows, f"what limits: {told}", decide]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{escape(line)}</td></tr>" for line in self._lines())
        return f"<table><caption>Diagnosis</caption>{rows}</table>"


def diagnose(
    model: LocallyBiased,
    x: ArrayLike,
    y: ArrayLike,
    radii: Sequence[float] | None = None,
    confidence: float = 0.95,
) -> Diagnosis:
    """Whether the oracle helps, at which radii and by how much; what limits each point; and which
    reference points decide most.

    Both certified accuracies are of the same points. A point is gained, lost or neither, and the
    interval is that of Clopper and Pearson for the shares of both.

    Parameters:
        model: of two classes, whose score needs no random draws.
        x: points (n, *shape), n >= 1.
        y: (n,) in {-1, +1}.
        radii: r >= 0; by default 0 and the quarters of the model's largest finite radius.
        confidence: in (0, 1), of each interval alone.

    >>> oracle = NearestNeighborOracle([[0.0], [4.0]], [1, -1])
    >>> model = LocallyBiased(LinearScore([-1.0], 1.0), oracle, alpha=1.0)
    >>> print(diagnose(model, [[0.5], [1.8], [3.0]], [1, 1, -1], [0.0]).gains[0].accuracy)
    1.0
    """
    if not isinstance(model, LocallyBiased) or model.base.random:
        raise TypeError("model must be LocallyBiased with a score that needs no random draws")
    points = batch("x", x, model.oracle.shape)
    confidence = fraction("confidence", confidence)
    if not len(points):
        raise ValueError("x must hold at least one point, got none")
    alone, biased = model.certify_path(points, [0.0, model.alpha])
    truth = labels("y", y, len(points)).to(biased.radius)
    if radii is None:
        finite = biased.radius[torch.isfinite(biased.radius)]
        top = finite.max().item() if len(finite) else 1.0
        radii = [top * share for share in (0.0, 0.25, 0.5, 0.75)]
    asked = [number("radii", radius, low=0) for radius in radii]
    limit = _limits(model, points, biased, truth)
    overruled = alone.prediction != biased.prediction
    index = model.oracle.nearest(points)[(overruled | (limit == 1)).cpu()]
    found, count = index.unique(return_counts=True)
    order = count.argsort(descending=True, stable=True)
    decided = torch.stack([found[order], count[order]], 1)
    gains = tuple(_gain(biased, alone, truth, radius, confidence) for radius in asked)
    return Diagnosis(gains, limit, decided, model.norm, confidence)


def _limits(model: LocallyBiased, x: Tensor, found: Certificate, truth: Tensor) -> Tensor:
    """What ends the radius of each point, as its place in `LIMITS` (n,)."""
    label = model.oracle.label(x).to(found.radius)
    neighbor = model.oracle.radius(x, model.norm).to(found.radius)
    ended = (found.radius - neighbor).abs() <= 1e-9 * neighbor
    limit = torch.where(ended, 1, 0).masked_fill(found.prediction != label, 2)
    return limit.masked_fill(found.prediction != truth, 3)


def _gain(
    biased: Certificate, alone: Certificate, truth: Tensor, radius: float, confidence: float
) -> Gain:
    def certified(found: Certificate) -> Tensor:
        return (found.prediction == truth) & ((found.radius > radius) | (radius == 0))

    ours, base = certified(biased), certified(alone)
    won, lost = int((ours & ~base).sum()), int((base & ~ours).sum())
    level = (1 + confidence) / 2
    (low, high), (least, most) = (clopper_pearson(c, len(truth), level) for c in (won, lost))
    shares = float(ours.double().mean()), float(base.double().mean())
    return Gain(radius, *shares, low - most, high - least)
