"""Does the oracle help? Base, oracle and tuned classifier on real binary problems of scikit-learn,
over many splits (Proposition T)."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn import datasets
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lbrs._files import write_text
from lbrs.norms import L2
from lbrs.oracles.nearest import NearestNeighborOracle
from lbrs.oracles.points import reference_points
from lbrs.scores.linear import LinearScore
from lbrs.tuning import Tuned, tune
from lbrs.tuning.thresholds import thresholds

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

PUBLISHED = Path("book/problems.json")
"""Where the published numbers lie, in the project."""

POINTS = (10, 40)
"""How many reference points an oracle has, of k-means and drawn, to choose from."""


@dataclass(frozen=True)
class Means:
    """What one split gave, or all splits on average; accuracies at the radius, on test points.

    Attributes:
        base, oracle, tuned: of the three.
        gain: of the tuned classifier over the better part, chosen on validation points.
        backed: the share of validation points near the radius that the oracle certifies.
        alpha: in units of the radius.
        apart: by how much the two parts differ.
    """

    base: float
    oracle: float
    tuned: float
    gain: float
    backed: float
    alpha: float
    apart: float


@dataclass(frozen=True)
class Problem:
    """A problem over all splits.

    Attributes:
        name: of the problem. n, d: points and features.
        means, errors: on average over the splits, and the standard errors of that, which respect
            that splits overlap (Nadeau and Bengio, 2003).
    """

    name: str
    n: int
    d: int
    means: Means
    errors: Means


def problems() -> Iterator[tuple[str, Array, Array]]:
    """Names, points (n, d) and labels (n,) in {-1, +1}."""
    for name, load, positive, negative in (
        ("breast cancer", datasets.load_breast_cancer, [1], [0]),
        ("wine, 1 and the rest", datasets.load_wine, [0], [1, 2]),
        ("wine, 2 and 3", datasets.load_wine, [1], [2]),
        ("iris, 2 and 3", datasets.load_iris, [1], [2]),
        ("digits, 3 and 8", datasets.load_digits, [3], [8]),
        ("digits, 4 and 9", datasets.load_digits, [4], [9]),
        ("digits, 1 and 8", datasets.load_digits, [1], [8]),
        ("digits, even and odd", datasets.load_digits, [0, 2, 4, 6, 8], [1, 3, 5, 7, 9]),
    ):
        X, y = load(return_X_y=True)
        rows = np.isin(y, [*positive, *negative])
        yield name, X[rows].astype(np.float64), np.where(np.isin(y[rows], positive), 1.0, -1.0)
    X, y = datasets.load_diabetes(return_X_y=True)
    yield "diabetes, above the median", X, np.where(y > np.median(y), 1.0, -1.0)


def parts(n: int, seed: int) -> tuple[Rows, Rows, Rows]:
    """Rows for training (one half), validation and testing (a quarter each)."""
    rows: Rows = np.random.default_rng(seed).permutation(n)
    return rows[: n // 2], rows[n // 2 : 3 * n // 4], rows[3 * n // 4 :]


def chosen(X: Array, y: Array, seed: int) -> tuple[Tuned, Rows]:
    """What `tune` chooses on the validation points of a split, at the median margin of the base on
    its training points; and the rows to test on.

    Features are measured in standard deviations of the training points.
    """
    train, held, test = parts(len(X), seed)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2_000))
    score = LinearScore.from_sklearn(pipeline.fit(X[train], y[train]))
    spread = X[train].std(0)
    scale = 1 / np.where(spread > 0, spread, 1.0)
    norm = L2.weighted(scale)
    oracles = []
    for how in ("kmeans", "random"):
        for count in POINTS:
            drawn = reference_points(X[train], y[train], count, how, metric=scale, seed=seed)
            oracles.append(NearestNeighborOracle(*drawn, metric=scale))
    margin = score.value(X[train]).abs() / norm.dual(score.weight)
    radius = float(margin.median())
    return tune(score, oracles, X[held], y[held], radius=radius, norm=norm), test


def split(X: Array, y: Array, seed: int) -> Means:
    """One split of a problem."""
    found, test = chosen(X, y, seed)
    fresh = thresholds(found.model, torch.tensor(X[test]), y[test], found.radius)
    base, oracle = float(fresh.curve()(0.0)), float(fresh.backed.double().mean())
    tuned = float(fresh.curve()(found.alpha))
    better = base if found.base >= found.oracle else oracle
    near = found.alpha / found.radius
    return Means(base, oracle, tuned, tuned - better, found.backed, near, abs(base - oracle))


def study(name: str, X: Array, y: Array, splits: int = 20) -> Problem:
    """A problem over `splits` splits, seeds 0, 1, ..."""
    rows = [split(X, y, seed) for seed in range(splits)]
    train, _, test = parts(len(X), 0)
    share = 1 / splits + len(test) / len(train)
    means, errors = {}, {}
    for field in fields(Means):
        values = np.array([getattr(row, field.name) for row in rows])
        means[field.name] = float(values.mean())
        errors[field.name] = math.sqrt(share * float(values.var(ddof=1)))
    return Problem(name, len(X), X.shape[1], Means(**means), Means(**errors))


def save(found: list[Problem], path: Path) -> None:
    """Write what the problems gave, whole or not at all."""
    text = json.dumps([asdict(problem) for problem in found], indent=1) + "\n"
    write_text(path, text)


def load(path: Path) -> list[Problem]:
    """Read what `save` has written."""
    return [
        Problem(row["name"], row["n"], row["d"], Means(**row["means"]), Means(**row["errors"]))
        for row in json.loads(path.read_text(encoding="utf-8"))
    ]
