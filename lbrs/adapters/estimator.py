"""Locally biased smoothing as a scikit-learn classifier."""

from dataclasses import replace
from numbers import Integral
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from lbrs._checks import fraction, integer, number
from lbrs.adapters.bases import Array, as_network_takes, as_score, is_fitted_elsewhere
from lbrs.certificate import Certificate
from lbrs.multiclass import MulticlassLocallyBiased
from lbrs.norms import L1, L2, LINF, Norm
from lbrs.oracles.classes import ClassOracle
from lbrs.oracles.nearest import NearestNeighborOracle
from lbrs.scores.classes import ClassScores
from lbrs.smoothing import LocallyBiased

NORMS: dict[str, Norm] = {str(norm): norm for norm in (L1, L2, LINF)}


class LBRSClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # they have no types
    """A classifier of scikit-learn whose predictions come with certified radii.

    ``fit`` holds out reference points, fits the base classifier to the rest, and biases it toward
    the class of the nearest reference point. Labels may be of any kind; two classes make a
    ``LocallyBiased``, more a ``MulticlassLocallyBiased``.

    Source: :prf:ref:`Theorem B <theorem-b>`, for several classes :prf:ref:`M <theorem-m>`.

    Parameters:
        base: a linear classifier of scikit-learn, by default ``LogisticRegression()``; a network of
            skorch, which is fitted, too; or, taken as they are, a torch network with one output or
            one a class, or a Score. A network's output, or the difference of its two, is g.
        alpha: >= 0, the length of the bias, in the units of X.
        norm: of the threat, "l1", "l2", "linf" or a Norm.
        k: odd, neighbours that vote; 1 for more than two classes.
        reference: which share of each class is held out for the oracle, in (0, 1), or how many
            points of it, rounded to at least one. They are drawn by `random_state`; a class of one
            point has it in both parts.
        lipschitz: None, or K of a network: it is certified by Theorem H, and with more than two
            classes, where K must be known, by Theorem M.
        random_state: of the draw.

    Attributes:
        classes_: the labels, sorted.
        base_: the fitted base classifier.
        reference_: indices of the training rows that the oracle has.
        model_: the smoothed classifier, for labels -1, +1 or 0, 1, ...

    Raises:
        ValueError, TypeError: naming the argument, when fitted.

    >>> X, y = [[0.0, 0.0], [0.0, 1.0], [3.0, 0.0], [3.0, 1.0]], ["no", "no", "yes", "yes"]
    >>> model = LBRSClassifier(alpha=0.5, reference=1, random_state=0).fit(X, y)
    >>> model.predict([[0.5, 0.5]]).tolist(), model.certified_score(X, y, radius=1.0)
    (['no'], 1.0)
    """

    def __init__(
        self,
        base: object = None,
        *,
        alpha: float = 0.1,
        norm: str | Norm = "l2",
        k: int = 1,
        reference: float = 0.2,
        lipschitz: float | None = None,
        random_state: Any = None,
    ) -> None:
        self.base = base
        self.alpha = alpha
        self.norm = norm
        self.k = k
        self.reference = reference
        self.lipschitz = lipschitz
        self.random_state = random_state

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Hold out reference points, fit the base classifier to the others, and combine them.

        Parameters:
            X: (n, d).
            y: (n,), at least two classes.
        """
        points, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least two classes, got 1 class: {self.classes_[0]!r}")
        self.reference_, rest = self._parts(codes)
        self.base_ = self._fitted(points[rest], codes[rest])
        self.model_ = self._smoothed(points[self.reference_], codes[self.reference_])
        return self

    def decision_function(self, X: npt.ArrayLike) -> Array:
        """The smoothed score: (n,), positive for ``classes_[1]``, or (n, C) for C > 2 classes."""
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def predict(self, X: npt.ArrayLike) -> Array:
        """The labels (n,)."""
        index = self._logits(X).argmax(1)
        return np.asarray(self.classes_[index])

    def predict_proba(self, X: npt.ArrayLike) -> Array:
        """The softmax of the smoothed scores (n, C): an order of classes, not calibrated."""
        return np.asarray(torch.as_tensor(self._logits(X)).softmax(1))

    def certify(self, X: npt.ArrayLike, bound: str = "sharp") -> Certificate:
        """A certificate whose predictions are indices of ``classes_``, -1 where it abstains.

        Parameters:
            X: (n, d).
            bound: as for ``LocallyBiased.certify``; "sharp" for more than two classes.
        """
        checked = self._checked(X)
        if isinstance(self.model_, MulticlassLocallyBiased):
            if bound != "sharp":
                raise ValueError(f"bound must be 'sharp' for several classes, got {bound!r}")
            return self.model_.certify(checked)
        found = self.model_.certify(checked, bound)
        index = torch.where(found.abstains, -1, (found.prediction + 1) // 2)
        return replace(found, prediction=index, classes=2)

    def certified_score(self, X: npt.ArrayLike, y: npt.ArrayLike, radius: float = 0.0) -> float:
        """The share of points that are predicted as `y` with a certified radius of more than
        `radius`; accuracy at 0. Labels that were not seen in `fit` count as wrong."""
        radius = number("radius", radius, low=0)
        found = self.certify(X)
        right = self.classes_[found.prediction.numpy()] == np.asarray(y)
        right &= ~found.abstains.numpy()
        return float((right & ((found.radius.numpy() > radius) | (radius == 0))).mean())

    def _parts(self, codes: Array) -> tuple[Array, Array]:
        """Sorted indices of the reference points and of those that the base is fitted to."""
        reference, draw = self.reference, check_random_state(self.random_state)
        whole = isinstance(reference, Integral)
        if whole:
            integer("reference", reference, low=1)
        else:
            fraction("reference", reference)
        held, rest = [], []
        for code in range(len(self.classes_)):
            rows = draw.permutation(np.flatnonzero(codes == code))
            asked = int(reference) if whole else round(reference * len(rows))
            count = min(max(asked, 1), max(len(rows) - 1, 1))
            held.append(rows[:count])
            rest.append(rows[count:] if len(rows) > 1 else rows)
        return np.sort(np.concatenate(held)), np.sort(np.concatenate(rest))

    def _fitted(self, X: Array, codes: Array) -> Any:
        base: Any = LogisticRegression() if self.base is None else self.base
        if is_fitted_elsewhere(base):
            return base
        return clone(base).fit(as_network_takes(base, X), codes.astype(np.int64))

    def _smoothed(self, points: Array, codes: Array) -> LocallyBiased | MulticlassLocallyBiased:
        norm: Any = NORMS.get(str(self.norm), self.norm)
        score = as_score(self.base_, points, len(self.classes_), self.lipschitz)
        if len(self.classes_) == 2 and not isinstance(score, ClassScores):
            oracle = NearestNeighborOracle(points, 2.0 * codes - 1, self.k)
            return LocallyBiased(score, oracle, self.alpha, norm)
        if self.k != 1:
            raise ValueError(f"k must be 1 for several scores, got {self.k!r}")
        if not isinstance(score, ClassScores):
            told = f"{len(self.classes_)} classes, got {type(score).__name__}"
            raise TypeError(f"base must be ClassScores for {told}")
        return MulticlassLocallyBiased(score, ClassOracle(points, codes), self.alpha, norm)

    def _checked(self, X: npt.ArrayLike) -> torch.Tensor:
        check_is_fitted(self)
        return torch.tensor(validate_data(self, X, dtype=np.float64, reset=False))

    def _logits(self, X: npt.ArrayLike) -> Array:
        checked = self._checked(X)
        with torch.no_grad():
            return np.asarray(self.model_.as_module()(checked))
