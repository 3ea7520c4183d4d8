"""The nearest-neighbour oracle of several classes."""

import torch
from torch import Tensor

from lbrs._checks import ArrayLike, batch, classes
from lbrs.norms import Norm
from lbrs.oracles.nearest import NearestNeighborOracle


class ClassOracle:
    """The class k(x) of the reference point nearest to x in l2, and the radii within which it
    cannot become another one.

    Source: :prf:ref:`Theorem M <theorem-m>`.

    Parameters:
        points: (N, *shape), N >= 1, kept as float64 on the device they are on.
        labels: (N,) whole numbers >= 0.
        metric: as for ``NearestNeighborOracle``.

    Raises:
        ValueError, TypeError: naming the argument.

    >>> ClassOracle([[0.0], [1.0], [2.0]], [0, 1, 2]).label([[1.2]])
    tensor([1])
    """

    def __init__(
        self, points: ArrayLike, labels: ArrayLike, *, metric: ArrayLike | None = None
    ) -> None:
        points = batch("points", points)
        known = classes("labels", labels, len(points), 2**31)
        self._labels = known.to(points.device, torch.int64).clone()
        self._metric = metric
        self._all = NearestNeighborOracle(points, torch.ones(len(points)), metric=metric)
        self._points, self.shape = self._all.points, self._all.shape

    def __repr__(self) -> str:
        found = self._labels.unique().numel()
        return f"ClassOracle({len(self._points)} points of shape {self.shape}, {found} classes)"

    def to(self, device: torch.device | str) -> "ClassOracle":
        """The same oracle on `device`."""
        return ClassOracle(
            self._points.reshape(-1, *self.shape).to(device), self._labels, metric=self._metric
        )

    @property
    def points(self) -> Tensor:
        """The reference points (N, d), as a copy."""
        return self._points.clone()

    @property
    def labels(self) -> Tensor:
        """Their classes (N,), as a copy."""
        return self._labels.clone()

    @property
    def metric(self) -> Tensor | None:
        """As of ``NearestNeighborOracle``."""
        return self._all.metric

    def label(self, x: ArrayLike) -> Tensor:
        """k(x) for `x` (n, *shape), as int64 (n,)."""
        return self._labels[self._all.nearest(x)]

    def radii(self, x: ArrayLike, norm: Norm, count: int) -> Tensor:
        """nb (n, C): within the open ball of radius nb[:, c] the nearest class does not become c.

        0 for c = k(x), inf for a class without points.

        Parameters:
            x: points (n, *shape).
            norm: of the balls.
            count: C, the number of classes.
        """
        x = batch("x", x, self.shape).to(self._points.device)
        label = self.label(x)
        result = torch.full((len(x), count), torch.inf).to(self._points)
        for c in range(count):
            result[label == c, c] = 0.0
            rows = label != c
            if (self._labels == c).any() and rows.any():
                result[rows, c] = self._against(c).radius(x[rows], norm)
        return result

    def _against(self, c: int) -> NearestNeighborOracle:
        """Class c as label -1, all others as +1."""
        points = self._points.reshape(-1, *self.shape)
        return NearestNeighborOracle(
            points, torch.where(self._labels == c, -1.0, 1.0), metric=self._metric
        )
