"""Linear classifiers behind scalers and projections, as one affine function of the input."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

TOLD = (
    "pipeline must be StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, PCA or "
    "TruncatedSVD steps before a linear classifier of two classes with coef_ and intercept_"
)


def folded(pipeline: Any) -> tuple[Array, float]:
    """a (d,) and b with a^T x + b the pipeline's decision function, as observed at points of the
    sizes that its first scaler has seen.

    Raises:
        TypeError: for other steps, or if the function observed is another one.
    """
    steps = [step for _, step in pipeline.steps] if hasattr(pipeline, "steps") else [pipeline]
    *before, last = [step for step in steps if step not in (None, "passthrough")]
    try:
        weight = np.array(last.coef_, dtype=np.float64).reshape(-1, np.shape(last.coef_)[-1])
        bias = np.array(last.intercept_, dtype=np.float64).reshape(-1)
    except AttributeError as error:
        raise TypeError(f"{TOLD}, and be fitted, got {type(last).__name__}") from error
    if len(weight) != 1:
        raise TypeError(f"{TOLD}, got one of {len(weight)} classes")
    a, b = weight[0], float(bias[0])
    for step in reversed(before):
        A, c = _affine(step)
        b += float(a @ c)
        a = a * A if A.ndim == 1 else a @ A
    points = _seen(before, len(a))
    told, found = pipeline.decision_function(points), points @ a + b
    size = abs(points) @ abs(a) + abs(b)
    if not (abs(np.ravel(told) - found) <= 1e-9 * size).all():
        raise TypeError(f"{TOLD}, got {type(pipeline).__name__} with another decision function")
    return a, b


def _affine(step: Any) -> tuple[Array, Array]:
    """A, (d,) for a diagonal or (m, d), and c with A x + c the transform of a step."""
    if hasattr(step, "components_"):
        A = np.array(step.components_, dtype=np.float64)
        if getattr(step, "whiten", False):
            A = A / np.sqrt(step.explained_variance_)[:, None]
        mean = getattr(step, "mean_", None)
        return A, np.zeros(len(A)) if mean is None else -A @ mean
    scale = getattr(step, "scale_", None)
    if hasattr(step, "data_min_"):
        return np.array(step.scale_, np.float64), np.array(step.min_, np.float64)
    center = getattr(step, "mean_", getattr(step, "center_", None))
    center = center if getattr(step, "with_mean", True) else None
    known = next((np.asarray(v) for v in (scale, center) if v is not None), None)
    if known is None:
        raise TypeError(f"{TOLD}, got {type(step).__name__}")
    A = np.ones(len(known)) if scale is None else 1 / np.asarray(scale, np.float64)
    return A, np.zeros(len(A)) if center is None else -A * np.asarray(center, np.float64)


def _seen(before: list[Any], d: int) -> Array:
    """Points (n, d) of the sizes that the first scaler has seen."""
    draws: Array = np.random.default_rng(0).normal(size=(32, d))
    if not before or hasattr(before[0], "components_"):
        return draws
    A, c = _affine(before[0])
    return (draws - c) / A
