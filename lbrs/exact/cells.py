"""Exact radii of a locally biased linear score (Theorem C): the distance to the nearest change of
the prediction, with a witness."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from lbrs._checks import ArrayLike, batch, number
from lbrs.exact.frames import frame
from lbrs.exact.programs import Array
from lbrs.exact.scaled import Scaled, View, scaled
from lbrs.exact.search import Search
from lbrs.exact.together import is_small, together
from lbrs.norms import Norm, as_norm
from lbrs.oracles.nearest import NearestNeighborOracle
from lbrs.scores.base import select
from lbrs.scores.linear import LinearScore


@dataclass(frozen=True)
class ExactRadii:
    """For each of n points the exact radius, and a witness: a point at that distance where the
    prediction changes.

    Attributes:
        radius: (n,), a lower bound of the distance, rounding included; inf where no point changes
            the prediction.
        witness: (n, *shape), at most 1e-6 relative beyond the radius; NaN where the radius is inf.
        prediction: (n,) in {-1, +1}, f^mu at the points.
    """

    radius: Tensor
    witness: Tensor
    prediction: Tensor


def exact_radii(
    score: LinearScore,
    oracle: NearestNeighborOracle,
    alpha: float,
    norm: Norm,
    x: ArrayLike,
    *,
    box: bool = False,
) -> ExactRadii:
    r"""The distance from x to the nearest point where f^mu = sign(g + alpha yhat ||a||_*) changes,
    for g(x) = a^T x + b.

    .. math::

       r^*(x) = \min_{y,j} \operatorname{dist}(x, P_{y,j}), \qquad
       \begin{aligned}
       P_{y,j} = {} & \big\{ z : \rho(z, x_j) \le \rho(z, x_k)
       \text{ for all } k \in I_{-y} \big\} \\
       & \cap \big\{ z : s\,(g(z) + \alpha y \|a\|_*) \le 0 \big\}
       \end{aligned}

    Here s = f^mu(x), y is one of the labels and j in I_y. f^mu is constant on the open ball of the
    radius around x; with `box`, on the part of it in [0, 1]^d.

    A distance is found by NNLS (l2) or HiGHS (l1, linf). Returned is the bound that the solver's
    multipliers lambda >= 0 prove, (h - e)^T lambda / ||H^T lambda||_* for the rows H d >= h of
    P - x. Here e bounds the rounding of H and h, and that of the score, of ||a||_* and of the
    labels as they are computed at the points of the ball: the radius is a lower bound for
    ``predict``. That the bound for e = 0 equals the distance of the solver's point, to 1e-9
    relative and 1e-12 of the coordinates, is checked.

    The witness lies inside P, at most 1e-6 of the radius behind its nearest point, and ``predict``
    changes there. Two exceptions:

    - where g^mu(x) = 0, or cannot be told from 0, the radius is 0 and the witness x;
    - where the nearest P has no interior (half-space or box only touch the cell), or one thinner
      than rounding, the radius is only a lower bound and the witness a point of the closed P.

    Of equal reference points the first alone counts, as in the oracle, whatever the labels. a = 0
    gives inf, or 0 if b = 0 too; one label alone |g^mu| / ||a||_*; alpha = 0 |g| / ||a||_*;
    alpha -> inf the exact radius of 1-NN.

    Source: :prf:ref:`Theorem C <theorem-c>`.

    Parameters:
        score, alpha: as for ``LocallyBiased``.
        oracle: with k = 1.
        norm: L1, L2 or LINF, these with weights or masks, or Mahalanobis (without `box`).
        x: points (n, *shape), in [0, 1] if `box`.
        box: whether only points in [0, 1]^d count.

    Raises:
        ValueError, TypeError: naming the argument.
        ArithmeticError: naming the point where the check fails.

    >>> oracle = NearestNeighborOracle([[0.5, 0.5], [1.0, 0.5], [0.0, 1.0]], [1, 1, -1])
    >>> exact_radii(LinearScore([1.0, 0.0]), oracle, 100.0, L2, [[0.0, 0.0]]).radius
    tensor([0.3536], dtype=torch.float64)
    """
    alpha = _checked(score, oracle, alpha, norm)
    points = batch("x", x, oracle.shape).to(score.device)
    if box and not norm.absolute:
        raise ValueError(f"box must be False in {norm}, got {box}")
    if box and len(points) and not (points.min() >= 0 and points.max() <= 1):
        given = f"{points.min().item():g} to {points.max().item():g}"
        raise ValueError(f"x must lie in [0, 1] for radii inside the box, got {given}")

    def predict(z: Tensor) -> Tensor:
        return select(score.linearize(z, norm), oracle.label(z), alpha)

    prediction = predict(points)
    problem = scaled(score, oracle, alpha, norm, points, box=box)
    radius = torch.zeros_like(prediction, dtype=torch.float64)
    if not score.weight.any() and score.bias == 0:
        return ExactRadii(radius, points.clone(), prediction)
    witness = torch.full_like(points, torch.nan)
    trails = {}
    for i in _settled(problem, radius, witness, prediction, predict):
        with _named(i):
            search = Search(View(problem, i, float(prediction[i])))
            safe, cells = search.nearest()
            radius[i] = safe * problem.scale
            trails[i] = map(partial(_point, witness[i], problem.scale), search.inside(cells))
            witness[i] = next(trails[i], torch.full_like(witness[i], torch.nan))
    searched = torch.tensor([*trails], dtype=torch.int64, device=witness.device)
    for i in _without_change(searched, witness, prediction, predict):
        with _named(i):
            witness[i] = _witness(trails[i], witness[i], predict, prediction[i].item())
    return ExactRadii(radius, witness, prediction)


@contextmanager
def _named(i: int) -> Iterator[None]:
    """Whatever goes wrong is said of point i."""
    try:
        yield
    except (ArithmeticError, RuntimeError) as error:
        raise ArithmeticError(
            f"the exact radius of point {i} of x could not be verified: {error}"
        ) from error


def _checked(score: LinearScore, oracle: NearestNeighborOracle, alpha: float, norm: Norm) -> float:
    """alpha as a float, or an error unless exact radii are known for such arguments."""
    if not isinstance(oracle, NearestNeighborOracle):
        raise TypeError(f"oracle must be a NearestNeighborOracle, got {type(oracle).__name__}")
    norm, alpha = as_norm("norm", norm, oracle.shape), number("alpha", alpha, low=0)
    if not isinstance(score, LinearScore) or oracle.k != 1 or frame(norm, 1) is None:
        raise ValueError(
            "exact radii need as score a LinearScore, an oracle with k = 1, "
            "and as norm L1, L2 or LINF, these with weights or masks, or Mahalanobis, "
            f"got {type(score).__name__}, k = {oracle.k} and {norm}"
        )
    if oracle.metric is not None:
        raise ValueError("oracle must measure in l2 for exact radii, got one with a metric")
    score.check_shape(oracle.shape)
    return alpha


def _settled(
    problem: Scaled,
    radius: Tensor,
    witness: Tensor,
    prediction: Tensor,
    predict: Callable[[Tensor], Tensor],
) -> list[int]:
    """Enter the radii and witnesses that are found for all points together, where a prediction
    confirms them; returns the other points."""
    rest = torch.ones_like(prediction, dtype=torch.bool)
    if is_small(problem):
        safe, z = together(problem, prediction.cpu().numpy().astype(np.float64))
        radius[:] = torch.from_numpy(safe * problem.scale)
        witness[:] = torch.from_numpy(z * problem.scale).reshape(witness.shape)
        rest = radius.isnan() | (witness.flatten(1).abs().amax(1) > 1e150)
        done = (~rest).nonzero().flatten()
        rest[_without_change(done, witness, prediction, predict)] = True
    return rest.nonzero().flatten().tolist()


def _point(like: Tensor, scale: float, z: Array) -> Tensor:
    """The point `z` (d,), in units of `scale`, shaped as `like`."""
    return torch.from_numpy(z * scale).reshape(like.shape).to(like)


def _without_change(
    rows: Tensor, witness: Tensor, prediction: Tensor, predict: Callable[[Tensor], Tensor]
) -> list[int]:
    """At which of the witnesses in these rows the prediction is that at the point; none is asked
    for where there is no witness, or where squares would overflow."""
    rows = rows[witness[rows].flatten(1).abs().amax(1) <= 1e150] if len(rows) else rows
    return rows[predict(witness[rows]) == prediction[rows]].tolist() if len(rows) else []


def _witness(
    candidates: Iterator[Tensor], start: Tensor, predict: Callable[[Tensor], Tensor], s: float
) -> Tensor:
    """The first of the candidates where the prediction is not s, or the last of them, or `start`.

    Where squares would overflow no prediction is asked for."""
    point = start
    for point in candidates:
        if point.abs().max() > 1e150 or predict(point[None]).item() != s:
            break
    return point
