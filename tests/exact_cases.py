"""Models for exact radii, and the polyhedra of Theorem C straight from their definition."""

import math

import numpy as np
import torch
from scipy.optimize import linprog, minimize

from lbrs import LinearScore, LocallyBiased, NearestNeighborOracle
from lbrs.exact.cells import exact_radii

BATCH = 10
SPREADS = [
    lambda rng, size: rng.normal(size=size),
    lambda rng, size: rng.integers(-2, 3, size) / 1.0,
]


def radii(model, x, box=False):
    return exact_radii(model.base, model.oracle, model.alpha, model.norm, x, box=box)


def instance(rng, norm, box, d=None, N=None, grid=None):
    """A random model with N <= 12 reference points, ties and duplicates among them on half the
    draws, and BATCH points x."""
    d, N = d or int(rng.integers(1, 9)), N or int(rng.integers(1, 13))
    spread = SPREADS[int(rng.random() < 0.5) if grid is None else grid]
    points, x = spread(rng, (N, d)), spread(rng, (BATCH, d))
    if box:
        points, x = ((np.clip(v, -2, 2) + 2) / 4 for v in (points, x))
    score = LinearScore(spread(rng, d), float(spread(rng, ())))
    oracle = NearestNeighborOracle(points, rng.choice([-1, 1], N))
    alpha = rng.choice([0, 0.25, 0.5, 1, 2, 1e3])
    return LocallyBiased(score, oracle, alpha, norm), torch.from_numpy(x)


def polyhedra(model, x, s):
    """All P_{y,j} - x of Theorem C as rows H d >= h of dual norm 1 for one point x with the
    prediction s; of equal reference points the first."""
    points, labels = model.oracle.points.numpy(), model.oracle.labels.numpy()
    first = [i for i, point in enumerate(points) if not (points[:i] == point).all(1).any()]
    for j in first:
        rows = [half_space(model, x, s, labels[j])]
        rows += [bisector(model, x, j, k) for k in first if labels[k] != labels[j]]
        yield np.array([row for row, _ in rows]), np.array([side for _, side in rows])


def half_space(model, x, s, y):
    """s (g(z) + alpha y ||a||_*) <= 0."""
    a, b = model.base.weight.numpy(), model.base.bias
    size = np.linalg.norm(a, model.norm.dual.p)
    return -s * a / size, s * (a @ x + b) / size + s * y * model.alpha


def bisector(model, x, j, k):
    """z is at least as near to x_j as to x_k."""
    V = model.oracle.points.numpy() - x
    u = V[j] - V[k]
    size = np.linalg.norm(u, model.norm.dual.p)
    return u / size, (V[j] @ V[j] - V[k] @ V[k]) / 2 / size


def program(H, h, x, box, norm):
    """min ||d|| with H d >= h: l1 and linf by the textbook linear program, l2 by SLSQP from the
    linf solution; inf if there is none."""
    m, d = H.shape
    edges = [(-v, 1 - v) if box else (None, None) for v in x]
    top = np.eye(d) if norm.p == 1 else np.ones((d, 1))
    A = np.block([[-H, np.zeros((m, top.shape[1]))], [np.eye(d), -top], [-np.eye(d), -top]])
    cost, b = np.r_[np.zeros(d), np.ones(top.shape[1])], np.r_[-h, np.zeros(2 * d)]
    bounds = edges + [(None, None)] * top.shape[1]
    result = linprog(cost, A_ub=A, b_ub=b, bounds=bounds, method="highs")
    if norm.p != 2 or result.status:
        return result.fun if result.status == 0 else math.inf
    rows = {"type": "ineq", "fun": lambda v: H @ v - h, "jac": lambda v: H}
    result = minimize(
        lambda v: v @ v / 2,
        result.x[:d],
        jac=lambda v: v,
        constraints=[rows],
        bounds=edges,
        options={"ftol": 1e-15, "maxiter": 500},
    )
    return float(np.linalg.norm(result.x))


def depth(H, h, x, box):
    """The largest t for which a point has H d >= h + t: 0 where the polyhedron has no interior (in
    the box)."""
    edges = [(-v, 1 - v) if box else (None, None) for v in x]
    cost, A = np.r_[np.zeros(len(x)), -1], np.c_[-H, np.ones(len(h))]
    return linprog(cost, A_ub=A, b_ub=-h, bounds=[*edges, (None, 1)], method="highs").x[-1]


def flips_inside(model, x, result, box, rng, count=40):
    """Whether the prediction changes at any of `count` probes within (1 - 1e-9) of each radius, the
    direction of the witness included."""
    reach = result.radius.clamp(max=100) * (1 - 1e-9)
    directions = torch.from_numpy(rng.normal(size=(count, *x.shape)))
    directions[0] = torch.where(result.radius[:, None].isfinite(), result.witness - x, 1.0)
    directions[1:9] = torch.from_numpy(rng.choice([-1.0, 1.0], (8, *x.shape)))
    size = model.norm(directions)[..., None]
    z = x + directions / torch.where(size > 0, size, 1.0) * reach[:, None]
    z = z.clamp(0, 1) if box else z
    return changes(model, x, z, result)


def changes(model, x, z, result):
    """Whether the prediction changes at any of the points `z` (m, n, d) that lie, as rounded,
    inside the radii around `x` (n, d)."""
    changed = model.predict(z.flatten(0, 1)).reshape(z.shape[:2]) != result.prediction
    return (changed & (model.norm(z - x) < result.radius * (1 - 1e-14))).any()
