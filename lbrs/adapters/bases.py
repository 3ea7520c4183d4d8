"""Base classifiers of other libraries as scores."""

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from lbrs.scores.base import Score
from lbrs.scores.classes import AffineScores, ClassScores
from lbrs.scores.linear import LinearScore
from lbrs.scores.lipschitz import LipschitzScore

Array = npt.NDArray[Any]


def is_fitted_elsewhere(base: object) -> bool:
    """Whether `base` is a network or a score, which is taken as it is."""
    return isinstance(base, Score | nn.Module)


def as_network_takes(base: object, X: Array) -> Array:
    """`X` in float32 where `base` wraps a torch module that trains in float32, as skorch's do."""
    return X.astype(np.float32) if hasattr(base, "module") else X


def as_score(base: Any, X: Array, classes: int, lipschitz: float | None) -> Score:
    """The score of a base classifier of `classes` classes, the labels 0, 1, ...: its affine
    function, its network, or itself.

    That an affine function is what it decides by is observed at the points `X`.

    Raises:
        TypeError: unless it is linear, a network or a score.
        ValueError: of lipschitz, where there are several classes and no constant is known.
    """
    if isinstance(base, Score):
        return base
    network = getattr(base, "module_", base)
    if isinstance(network, nn.Module):
        return _of_network(network.eval(), classes, lipschitz)
    if hasattr(base, "steps") and classes == 2:
        return LinearScore.from_sklearn(base)
    if all(hasattr(base, name) for name in ("coef_", "intercept_", "decision_function")):
        return _of_weights(base, X, classes)
    raise TypeError(
        "base must be a linear classifier that decides by its coef_ and intercept_, a torch or "
        f"skorch network, or a Score, got {type(base).__name__}"
    )


def _of_network(network: nn.Module, classes: int, lipschitz: float | None) -> Score:
    if classes == 2:
        return Score(network) if lipschitz is None else LipschitzScore(network, lipschitz)
    if lipschitz is None:
        raise ValueError(
            f"lipschitz must be a number >= 0 for a network of {classes} classes, got None: the "
            "bias is measured by the constant of its differences"
        )
    return ClassScores(network, lipschitz)


def _of_weights(base: Any, X: Array, classes: int) -> Score:
    weight, bias = np.atleast_2d(_dense(base.coef_)), np.ravel(_dense(base.intercept_))
    told, found = base.decision_function(X), np.squeeze(X @ weight.T + bias)
    rows = 1 if classes == 2 else classes
    if len(weight) != rows or not np.allclose(np.squeeze(told), found):
        raise TypeError(
            f"base must decide by one affine function a class, its coef_ and intercept_, got "
            f"{type(base).__name__}, which does not"
        )
    if classes == 2:
        return LinearScore(weight[0], float(bias[0]))
    return AffineScores(weight, np.broadcast_to(bias, rows).copy())


def _dense(values: Any) -> Array:
    return np.array(values.toarray() if hasattr(values, "toarray") else values, dtype=np.float64)
