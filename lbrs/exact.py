"""Exact radii of a locally biased linear score (Theorem C): the distance to the nearest change of the prediction, with a witness."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.optimize import linprog, nnls
from torch import Tensor

from lbrs._checks import batch, number
from lbrs.norms import L1, L2, LINF, Norm, as_norm
from lbrs.oracles import NearestNeighborOracle
from lbrs.scores import LinearScore

EPS = float(np.finfo(np.float64).eps)
TIE = 1 + 1e-9
BEYOND = 1e-6
FEW = 32
Box = tuple[np.ndarray, np.ndarray] | None


@dataclass(frozen=True)
class ExactRadii:
    """For each of n points the exact radius, and a witness: a point at that distance where the prediction changes.

    radius: (n,), a lower bound of the distance, tight to 1e-9 relative; inf where no point changes the prediction.
    witness: (n, *shape), at most 1e-6 relative beyond the radius; NaN where the radius is inf.
    prediction: (n,) in {-1, +1}, f^mu at the points.
    """

    radius: Tensor
    witness: Tensor
    prediction: Tensor


def exact_radii(score: LinearScore, oracle: NearestNeighborOracle, alpha: float, norm: Norm, x: object, *, box: bool = False) -> ExactRadii:
    """The distance from x to the nearest point where f^mu = sign(g + alpha yhat ||a||_*), g(x) = a^T x + b, changes (Theorem C).

    f^mu is constant on the open ball of the radius around x; with `box`, on the part of it in [0, 1]^d.
    radius = min over y in {-1, +1} and j in I_y of dist(x, P_{y,j}), with s = f^mu(x) and the polyhedron

        P_{y,j} = {z : ||z - x_j||_2 <= ||z - x_k||_2 for all k in I_{-y}, and s (g(z) + alpha y ||a||_*) <= 0}.

    A distance is a least-distance program (l2: NNLS; l1, linf: HiGHS). The radius is not the solver's distance but what its multipliers
    lambda >= 0 prove by weak duality: (h - e)^T lambda / ||H^T lambda||_* for the rows H d >= h of P - x, where e bounds the rounding of h.
    So it is a lower bound in real arithmetic; that it agrees with the solver's point to 1e-9 is checked.

    The witness lies inside P, at most 1e-6 of the radius behind its nearest point, and `predict` changes there, with these exceptions.
    Where g^mu(x) = 0 the radius is 0 and the witness x. Where the nearest P has no interior (the half-space touches a cell from outside) or
    one thinner than rounding, the radius is only a lower bound and the witness a point of the closed P.
    Of equal reference points only the first counts, as in the oracle; opposite labels at one place are no exception.
    a = 0 gives inf, or 0 if b = 0; one label alone |g^mu| / ||a||_*; alpha = 0 |g| / ||a||_*; alpha -> inf the radius of 1-NN.

    Parameters: `score`, `oracle` and `alpha` >= 0 as for `LocallyBiased`; `norm`, L1, L2 or LINF; `x` (n, *shape), in [0, 1] if `box`.
    Raises ValueError or TypeError that names the argument, and ArithmeticError that names the point where a solver fails.

    >>> oracle = NearestNeighborOracle([[0.5, 0.5], [1.0, 0.5], [0.0, 1.0]], [1, 1, -1])
    >>> exact_radii(LinearScore([1.0, 0.0]), oracle, 100.0, L2, [[0.0, 0.0]]).radius
    tensor([0.3536], dtype=torch.float64)
    """
    alpha, x = _check(score, oracle, alpha, norm, x, box)
    model = _Model(score, oracle, alpha, norm, x)
    radius, witness = torch.full_like(model.prediction, torch.inf), torch.full_like(x, torch.nan)
    for i in range(len(x)):
        search = _Search(model, i, box)
        try:
            cells = search.nearest()
            if cells:
                radius[i] = cells[0].radius * model.scale
                for z in search.inside(cells):
                    witness[i] = torch.from_numpy(z).reshape(oracle.shape)
                    if model.decide(witness[i:i + 1]) != model.prediction[i]:
                        break
        except (ArithmeticError, RuntimeError) as error:
            raise ArithmeticError(f"the exact radius of point {i} of x could not be verified: {error}") from error
    return ExactRadii(radius, witness, model.prediction)


def _check(score: object, oracle: object, alpha: object, norm: object, x: object, box: bool) -> tuple[float, Tensor]:
    if not isinstance(score, LinearScore):
        raise TypeError(f"score must be a LinearScore for exact radii, got {type(score).__name__}")
    if not isinstance(oracle, NearestNeighborOracle):
        raise TypeError(f"oracle must be a NearestNeighborOracle, got {type(oracle).__name__}")
    if tuple(score.weight.shape) != oracle.shape:
        raise ValueError(f"score must take points of the oracle's shape {oracle.shape}, got a weight of shape {tuple(score.weight.shape)}")
    if oracle.k != 1:
        raise ValueError(f"oracle must have k = 1 for exact radii, got k = {oracle.k}")
    if as_norm("norm", norm) not in (L1, L2, LINF):
        raise ValueError(f"norm must be L1, L2 or LINF for exact radii, got {norm}")
    alpha, x = number("alpha", alpha, low=0), batch("x", x, oracle.shape).cpu()
    if box and len(x) and not (x.min() >= 0 and x.max() <= 1):
        raise ValueError(f"x must lie in [0, 1] for radii inside the box, got {x.min().item():g} to {x.max().item():g}")
    return alpha, x


class _Model:
    """What all points share, as NumPy arrays in units of `scale`, a power of two, in which no square overflows."""

    def __init__(self, score: LinearScore, oracle: NearestNeighborOracle, alpha: float, norm: Norm, x: Tensor) -> None:
        self.score, self.oracle, self.alpha, self.norm = score, oracle, alpha, norm
        local = score.linearize(x, norm)
        self.prediction = self.decide(x)
        largest = max(float(oracle.points.abs().max()), float(x.abs().max()) if len(x) else 0.0)
        self.scale = 2.0 ** math.frexp(largest)[1] if largest else 1.0
        self.x = x.flatten(1).numpy() / self.scale
        ...
