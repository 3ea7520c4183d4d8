"""Exact radii of the nearest neighbour: all points together, against the loop of Wang et al. (2019)
over one small dual after another, by greedy coordinate ascent."""

import numpy as np
import pytest
from measuring import interleaved

from lbrs import L2, LinearScore, NearestNeighborOracle
from lbrs.exact.cells import exact_radii
from lbrs.experiments import data

ALPHA = 1e9
"""So large that the score has no say."""


def ascended(gram: np.ndarray, side: np.ndarray) -> np.ndarray:
    """The maximum of side^T lam - lam^T gram lam / 2 over lam >= 0, one coordinate at a time, that
    of the longest step."""
    lam, left, diagonal = np.zeros(len(side)), side, np.diag(gram).clip(1e-12)
    for _ in range(20_000):
        step = np.maximum(lam + left / diagonal, 0) - lam
        place = abs(step).argmax()
        if abs(step[place]) < 1e-12:
            break
        left = left - step[place] * gram[:, place]
        lam[place] += step[place]
    return lam


def one_by_one(points: np.ndarray, labels: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The radii of 1-NN at the rows of x: opposite points by their distance, those left out that a
    bisector with the nearest point puts too far away."""
    return np.array([radius(points, labels, row) for row in x])


def radius(points: np.ndarray, labels: np.ndarray, x: np.ndarray) -> float:
    far = np.linalg.norm(points - x, axis=1)
    alike = labels == labels[far.argmin()]
    same, other = points[alike], points[~alike]
    products, nearest, best = same @ same.T, same[far[alike].argmin()], np.inf
    for point in other[far[~alike].argsort()]:
        apart = nearest - point
        bisector = (2 * x - nearest - point) @ apart / (2 * np.linalg.norm(apart))
        if bisector >= best:
            continue
        rows, mixed = point - same, same @ point
        side = ((2 * x - same - point) * (same - point)).sum(1) / 2
        gram = products - mixed - mixed[:, None] + point @ point
        best = min(best, float(np.linalg.norm(ascended(gram, side) @ rows)))
    return best


@pytest.mark.benchmark(group="exact")
def test_exact_radii_of_the_nearest_neighbour(benchmark, sizes):
    contenders = {}
    for N in sizes.exact_references:
        task = data.images("mnist", 0, reference_points=N, test_points=sizes.exact_points)
        x, points = task.test_x.double().flatten(1), task.reference_x.double().flatten(1)
        score = LinearScore(np.random.default_rng(0).normal(size=x.shape[1]))
        oracle = NearestNeighborOracle(points, task.reference_y)
        peer = points.numpy(), task.reference_y.numpy(), x.numpy()
        found = exact_radii(score, oracle, ALPHA, L2, x).radius
        np.testing.assert_allclose(found, one_by_one(*peer), rtol=1e-8)
        contenders[f"together {N}"] = lambda turn, given=(score, oracle, ALPHA, L2, x): (
            lambda: exact_radii(*given)
        )
        contenders[f"one by one {N}"] = lambda turn, given=peer: lambda: one_by_one(*given)
    seconds = interleaved(benchmark, contenders, sizes.rounds)
    benchmark.extra_info.update(
        dataset="mnist",
        N=sizes.exact_references,
        points=len(x),
        seconds={
            name: [seconds[f"{name} {N}"] for N in sizes.exact_references]
            for name in ("together", "one by one")
        },
    )
