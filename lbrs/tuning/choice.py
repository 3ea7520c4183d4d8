"""The best alpha and oracle for a radius, in one pass (Proposition T)."""

import math
from collections.abc import Sequence

import torch

from lbrs._checks import ArrayLike, batch, fraction, number
from lbrs.multiclass import MulticlassLocallyBiased
from lbrs.norms import L2, Norm
from lbrs.oracles.classes import ClassOracle
from lbrs.oracles.nearest import NearestNeighborOracle
from lbrs.paths import Steps
from lbrs.scores.base import Score
from lbrs.scores.classes import ClassScores
from lbrs.smoothing import LocallyBiased
from lbrs.tuning.thresholds import thresholds
from lbrs.tuning.tuned import Tuned

Oracle = NearestNeighborOracle | ClassOracle


def tune(
    score: Score,
    oracles: Oracle | Sequence[Oracle],
    x: ArrayLike,
    y: ArrayLike,
    *,
    radius: float = 0.0,
    norm: Norm = L2,
    confidence: float = 0.95,
) -> Tuned:
    """The alpha, and of several oracles the one, with the largest certified accuracy at a radius:
    exactly, from one pass over the points and without a grid.

    Every point is right and certified in one interval of alphas, so the accuracy is a step
    function. Of equally good steps alpha = 0 is taken, else the middle of the widest.

    Theorems: B and H for a ``LinearScore`` and a ``LipschitzScore``, E' for a ``Score`` with one
    constant L (without its allowances for rounding), M for ``ClassScores``.

    The interval holds since each curve is the difference of two distribution functions, to which
    the inequality of Dvoretzky, Kiefer and Wolfowitz applies, and by a union bound over the
    oracles. Use points that neither the score nor the oracles were made of.

    Source: :prf:ref:`Proposition T <proposition-t>`.

    Parameters:
        score: of one of these classes.
        oracles: one or several: with other points, other k, another metric.
        x: points (n, *shape), n >= 1.
        y: (n,), in {-1, +1}, or classes from 0 for ``ClassScores``.
        radius: r >= 0; 0 for clean accuracy.
        norm: of the threat.
        confidence: in (0, 1), of the interval.

    Raises:
        ValueError, TypeError: naming the argument; for scores from random draws.

    >>> oracle = NearestNeighborOracle([[0.0], [4.0]], [1, -1])
    >>> found = tune(LinearScore([-1.0], 1.0), oracle, [[0.5], [1.8], [3.0]], [1, 1, -1])
    >>> print(found.advice)
    use the oracle alone, or alpha = 1.2: 1 clean, base 0.6667, oracle 1
    """
    several = [oracles] if isinstance(oracles, Oracle) else list(oracles)
    if not several:
        raise ValueError("oracles must hold at least one oracle, got none")
    radius, confidence = number("radius", radius, low=0), fraction("confidence", confidence)
    models = [_model(score, oracle, norm) for oracle in several]
    points = batch("x", x, models[0].oracle.shape)
    if not len(points):
        raise ValueError("x must hold at least one point, got none")
    found = [thresholds(model, points, y, radius) for model in models]
    best = [_best(each.curve()) for each in found]
    winner = max(range(len(best)), key=lambda place: (best[place][1], -place))
    alpha, accuracy = best[winner]
    wide = 2 * math.sqrt(math.log(4 * len(several) / (1 - confidence)) / (2 * len(points)))
    chosen, steps = found[winner], found[winner].curve()
    return Tuned(
        alpha,
        accuracy,
        (max(0.0, accuracy - wide), min(1.0, accuracy + wide)),
        float(steps(0.0)),
        float(chosen.backed.double().mean()),
        chosen.backed_near(radius),
        steps.jumps,
        steps.values,
        radius,
        norm,
        confidence,
        winner,
        _model(score, several[winner], norm, alpha),
        chosen,
    )


def _best(curve: Steps) -> tuple[float, float]:
    """The best alpha of a curve, and its value."""
    top = curve.values.max()
    good = (curve.values == top).nonzero().flatten()
    if good[0] == 0:
        return 0.0, float(top)
    last = 2 * curve.jumps[-1:] + (curve.jumps[-1:] == 0)
    ends = torch.cat([curve.jumps, last])
    low, high = ends[good - 1], ends[good]
    widest = (high - low).argmax()
    return float((low[widest] + high[widest]) / 2), float(top)


def _model(
    score: Score, oracle: Oracle, norm: Norm, alpha: float = 0.0
) -> LocallyBiased | MulticlassLocallyBiased:
    if isinstance(score, ClassScores) and isinstance(oracle, ClassOracle):
        return MulticlassLocallyBiased(score, oracle, alpha, norm)
    if isinstance(oracle, ClassOracle):
        raise TypeError("oracles must be of two classes for this score, got a ClassOracle")
    return LocallyBiased(score, oracle, alpha, norm)
