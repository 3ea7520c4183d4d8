"""Locally biased smoothing as a scikit-learn classifier."""

from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

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
from lbrs.adapters.tables import feature_table, refuse_columns
from lbrs.certificate import Certificate
from lbrs.multiclass import MulticlassLocallyBiased
from lbrs.norms import L1, L2, LINF, Norm
from lbrs.oracles.classes import ClassOracle
from lbrs.oracles.nearest import NearestNeighborOracle
from lbrs.scores.classes import ClassScores
from lbrs.smoothing import LocallyBiased
from lbrs.tuning import Tuned, tune

if TYPE_CHECKING:
    from pandas import DataFrame

NORMS: dict[str, Norm] = {str(norm): norm for norm in (L1, L2, LINF)}


class LBRSClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # they have no types
    """A classifier of scikit-learn whose predictions come with certified radii.

    ``fit`` holds out reference points, fits the base classifier to the rest, and biases it toward
    the class of the nearest reference point. Labels may be of any kind; two classes make a
    ``LocallyBiased``, more a ``MulticlassLocallyBiased``.

    Source: :prf:ref:`Theorem B <theorem-b>`, for several classes :prf:ref:`M <theorem-m>`.

    Parameters:
        base: a linear classifier of scikit-learn, by default ``LogisticRegression()``, or, for two
            classes, a pipeline of scalers and PCA before one: radii are those of X; a network of
            skorch, which is fitted, too; or, taken as they are, a torch network with one output or
            one a class, or a Score. A network's output, or the difference of its two, is g.
        alpha: >= 0, the length of the bias, in the units of X; or "tune": the best for `radius` on
            a fifth of the rows, held out for it (:prf:ref:`Proposition T <proposition-t>`).
        radius: >= 0, at which "tune" chooses: 0 for clean accuracy.
        metric: of the oracle: None for l2, "scaled" for l2 after each feature of X is divided by
            its standard deviation.
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
        tuned_: what tuning found; None where alpha was given.

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
        alpha: float | str = 0.1,
        radius: float = 0.0,
        metric: str | None = None,
        norm: str | Norm = "l2",
        k: int = 1,
        reference: float = 0.2,
        lipschitz: float | None = None,
        random_state: Any = None,
    ) -> None:
        self.base = base
        self.alpha = alpha
        self.radius = radius
        self.metric = metric
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
        refuse_columns(X)
        points, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least two classes, got 1 class: {self.classes_[0]!r}")
        self.reference_, rest = self._parts(codes)
        held, rest = self._held(rest)
        self.base_ = self._fitted(points[rest], codes[rest])
        self._scale = self._units(points)
        self.model_ = self._smoothed(points[self.reference_], codes[self.reference_])
        self.tuned_ = self._tuned(points[held], codes[held]) if len(held) else None
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

    def feature_radii(self, X: npt.ArrayLike, bound: str = "sharp") -> "DataFrame":
        """A pandas table, a row a point: its prediction, and how far each feature alone may move,
        in its own unit, before the prediction may change.

        Parameters:
            X: (n, d); a DataFrame's columns and index are those of the table.
            bound: as for `certify`.
        """
        found, d = self.certify(X, bound), self.n_features_in_
        labels = self.classes_[found.prediction.numpy()]
        return feature_table(X, found, self.model_.norm.reach(d), labels)

    def _held(self, rest: Array) -> tuple[Array, Array]:
        """Indices of the rows that alpha is tuned on, and those that the base is fitted to."""
        if self.alpha != "tune":
            return rest[:0], rest
        mixed = check_random_state(self.random_state).permutation(rest)
        count = max(1, round(len(rest) / 5))
        return np.sort(mixed[:count]), np.sort(mixed[count:])

    def _tuned(self, points: Array, codes: Array) -> Tuned:
        model = self.model_
        truth = 2.0 * codes - 1 if isinstance(model, LocallyBiased) else codes
        norm, radius = model.norm, number("radius", self.radius, low=0)
        found = tune(model.base, model.oracle, points, truth, radius=radius, norm=norm)
        self.model_ = found.model
        return found

    def _units(self, points: Array) -> Array | None:
        """The factors of the oracle's metric."""
        if self.metric not in (None, "scaled"):
            raise ValueError(f"metric must be None or 'scaled', got {self.metric!r}")
        spread = points.std(0)
        return None if self.metric is None else 1 / np.where(spread > 0, spread, 1.0)

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
        alpha: Any = 0.0 if self.alpha == "tune" else self.alpha
        score = as_score(self.base_, points, len(self.classes_), self.lipschitz)
        if len(self.classes_) == 2 and not isinstance(score, ClassScores):
            oracle = NearestNeighborOracle(points, 2.0 * codes - 1, self.k, metric=self._scale)
            return LocallyBiased(score, oracle, alpha, norm)
        if self.k != 1:
            raise ValueError(f"k must be 1 for several scores, got {self.k!r}")
        if not isinstance(score, ClassScores):
            told = f"{len(self.classes_)} classes, got {type(score).__name__}"
            raise TypeError(f"base must be ClassScores for {told}")
        classes = ClassOracle(points, codes, metric=self._scale)
        return MulticlassLocallyBiased(score, classes, alpha, norm)

    def _checked(self, X: npt.ArrayLike) -> torch.Tensor:
        check_is_fitted(self)
        refuse_columns(X)
        return torch.tensor(validate_data(self, X, dtype=np.float64, reset=False))

    def _logits(self, X: npt.ArrayLike) -> Array:
        checked = self._checked(X)
        with torch.no_grad():
            return np.asarray(self.model_.as_module()(checked))
