"""Reference points: drawn from the training data, or learnt of each class by clustering."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lbrs._checks import ArrayLike, array, batch, integer
from lbrs.certificate import needed

WAYS = ("random", "kmeans")


def reference_points(
    x: ArrayLike,
    y: ArrayLike,
    n: int,
    how: str = "random",
    *,
    metric: ArrayLike | None = None,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """n reference points and their labels, of each class its share, at least one.

    - ``"random"``: points of the class, drawn without replacement;
    - ``"kmeans"``: the centers of k-means of the class, by scikit-learn. There are fewer if the
      class has fewer different points.

    Theorem A holds for any points, learnt or drawn, as long as they are fixed before a certificate
    is asked for.

    Source: :prf:ref:`Theorem A <theorem-a>`.

    Parameters:
        x: points (m, *shape).
        y: (m,), numbers: labels or classes.
        n: how many, at least one for each class.
        how: "random" or "kmeans".
        metric: in which k-means measures, as for ``NearestNeighborOracle``.
        seed: of the draw, and of k-means.

    Returns:
        Points (about n, *shape) and labels (about n,), float64.

    >>> points, labels = reference_points([[0.0], [1.0], [4.0], [5.0]], [1, 1, -1, -1], 2, "kmeans")
    >>> points.flatten().tolist(), labels.tolist()
    ([4.5, 0.5], [-1.0, 1.0])
    """
    points, labels = batch("x", x), array("y", y).flatten()
    if how not in WAYS:
        raise ValueError(f"how must be one of {', '.join(map(repr, WAYS))}, got {how!r}")
    if len(labels) != len(points) or not len(points):
        raise ValueError(f"y must hold one label for each of {len(points)} points of x, at least 1")
    every, counts = labels.unique(return_counts=True)
    n = integer("n", n, low=len(every))
    draw = np.random.default_rng(seed)
    rows = points.flatten(1).cpu().numpy()
    scale = np.ones(rows.shape[1]) if metric is None else array("metric", metric).cpu().numpy()
    found, told = [], []
    for label, count in zip(every.tolist(), counts.tolist(), strict=True):
        some = max(1, min(round(n * count / len(points)), count))
        mine = rows[(labels == label).cpu().numpy()]
        chosen = draw.permutation(mine)[:some]
        if how == "kmeans":
            chosen = _centers(mine * scale.ravel(), some, seed) / scale.ravel()
        found.append(chosen)
        told += [label] * len(chosen)
    kept = torch.from_numpy(np.concatenate(found)).reshape(-1, *points.shape[1:])
    return kept, torch.tensor(told, dtype=torch.float64)


def _centers(rows: npt.NDArray[np.float64], count: int, seed: int) -> npt.NDArray[np.float64]:
    """The centers of k-means; the rows themselves where no more are different."""
    different = np.unique(rows, axis=0)
    if len(different) <= count:
        return different
    found = needed("sklearn.cluster").KMeans(count, n_init=4, random_state=seed).fit(rows)
    centers: npt.NDArray[np.float64] = found.cluster_centers_.astype(np.float64)
    return centers
