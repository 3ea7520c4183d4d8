"""A falsifier for certificates: it attacks every point from inside its ball and reports the closest change of the prediction it finds."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lbrs._checks import batch, integer
from lbrs.certificates import Certificate
from lbrs.multiclass import MulticlassLocallyBiased
from lbrs.norms import Norm
from lbrs.smoothing import LocallyBiased

INSIDE = (0.5, 0.9, 0.999, 1 - 1e-9)
OUTSIDE = (1 + 1e-9, 1.001, 1.03, 1.2, 2.0, 5.0)


@dataclass(frozen=True)
class Verification:
    """What the attacks found for each of n points.

    `distance` (n,): the closest change of the prediction found, in the certificate's norm, rounded to nearest; inf if none was found.
    `witness` (n, *shape): the point where it changes; NaN if none was found. `broken` (n,) bool: the distance is below the radius,
    so that the certificate is false there. `tightness` (n,): radius / distance, in [0, 1] unless broken; 0 if no change was found.
    """

    distance: Tensor
    witness: Tensor
    broken: Tensor
    tightness: Tensor

    @property
    def holds(self) -> bool:
        """Whether no certificate was falsified. It does not prove that they hold."""
        return not bool(self.broken.any())

    def __str__(self) -> str:
        found = torch.isfinite(self.distance)
        middle = self.tightness[found].median().item() if found.any() else 0.0
        return f"{int(self.broken.sum())} of {len(self.broken)} certificates falsified; a change found for {int(found.sum())}, median radius / distance {middle:.3f}"


def verify(model: LocallyBiased | MulticlassLocallyBiased, x: object, certificate: Certificate, *, probes: int = 32, generator: torch.Generator | None = None) -> Verification:
    """Attack each point of `x` (n, *shape) from inside its certified ball, and a little beyond it.

    Along each of many directions the prediction is asked for at several distances up to just inside the radius, and then beyond it; a change
    is pulled closer by bisection. The directions: random ones, corners of the ball, the gradient of the score in both senses at x and at
    the end of a gradient step, and those in which the oracle's label changes soonest.

    Parameters: `model`; `x`; `certificate`, from `model.certify(x)`; `probes` >= 1, random directions; `generator`, on the CPU.
    Raises ValueError if the certificate is not one of these points, and for a score known through random draws, whose predictions are random.

    >>> oracle = NearestNeighborOracle([[0.0, 0.0], [4.0, 0.0]], [1, -1])
    >>> model = LocallyBiased(LinearScore([1.0, 0.0], -1.5), oracle, alpha=1.0)
    >>> verify(model, [[1.0, 0.0]], model.certify([[1.0, 0.0]])).holds
    True
    """
    if not isinstance(model, (LocallyBiased, MulticlassLocallyBiased)):
        raise TypeError(f"model must be a LocallyBiased or MulticlassLocallyBiased classifier, got {type(model).__name__}")
    if model.score_function.random:
        raise ValueError(f"model must predict without chance, got one with a {type(model.score_function).__name__}, which is known through random draws")
    x = batch("x", x, model.oracle.shape)
    if not isinstance(certificate, Certificate) or len(certificate) != len(x):
        raise ValueError(f"certificate must be a Certificate of the {len(x)} points x, got {certificate if not isinstance(certificate, Certificate) else len(certificate)}")
    radius, prediction = certificate.radius.to(x), certificate.prediction.to(x)
    flat, size = x.flatten(1), certificate.norm(x.flatten(1)) + 1
    scale = torch.where(torch.isfinite(radius), torch.maximum(radius, 1e-6 * size), 1e3 * size)
    best, witness = torch.full_like(radius, torch.inf), torch.full_like(flat, torch.nan)
    for direction in _directions(model, x, scale, certificate.norm, integer("probes", probes, low=1), generator):
        _attack(model, x, direction, scale, prediction, certificate.norm, best, witness)
    broken = best < radius
    tightness = torch.where(torch.isfinite(best), radius / best, 0.0)
    return Verification(best, witness.reshape(x.shape), broken, tightness)


def _attack(model: LocallyBiased | MulticlassLocallyBiased, x: Tensor, direction: Tensor, scale: Tensor, prediction: Tensor, norm: Norm, best: Tensor, witness: Tensor) -> None:
    """Look along `direction` (n, d); where the prediction changes, bisect, and keep the point if it is the closest so far."""
    flat, low, high = x.flatten(1), torch.zeros_like(scale), torch.full_like(scale, torch.inf)
    for share in (*INSIDE, *OUTSIDE):
        changed = model.predict((flat + (share * scale)[:, None] * direction).reshape(x.shape)).to(prediction) != prediction
        high = torch.where(changed & torch.isinf(high), share * scale, high)
        low = torch.where(torch.isinf(high), share * scale, low)
    rows = torch.isfinite(high).nonzero().flatten()
    if len(rows) == 0:
        return
    low, high, start, way = low[rows], high[rows], flat[rows], direction[rows]
    for _ in range(40):
        middle = (low + high) / 2
        changed = model.predict((start + middle[:, None] * way).reshape(-1, *x.shape[1:])).to(prediction) != prediction[rows]
        low, high = torch.where(changed, low, middle), torch.where(changed, middle, high)
    point = start + high[:, None] * way
    length = norm(point - start)
    closer = length < best[rows]
    best[rows[closer]], witness[rows[closer]] = length[closer], point[closer]


def _gradient(model: LocallyBiased | MulticlassLocallyBiased, x: Tensor) -> Tensor | None:
    """The gradient (n, d) of the score, or None where a score that needs no gradient has none."""
    try:
        found = model.push(x) if isinstance(model, MulticlassLocallyBiased) else model.score_function.value_and_gradient(x)[1]
    except ValueError:
        return None
    return found.flatten(1).to(x)


def _directions(model: LocallyBiased | MulticlassLocallyBiased, x: Tensor, scale: Tensor, norm: Norm, probes: int, generator: torch.Generator | None) -> Iterator[Tensor]:
    """Directions (n, d) of length 1 in `norm`."""
    for number in range(probes):
        noise = torch.randn(x.flatten(1).shape, dtype=x.dtype, generator=generator).to(x.device)
        corner = noise.sign() if number % 2 else noise
        yield corner / norm(corner)[:, None]
    gradient = _gradient(model, x)
    for sense in (1.0, -1.0) if gradient is not None else ():
        step = norm.maximizer(sense * gradient)
        yield step
        further = _gradient(model, (x.flatten(1) + scale.clamp(max=1e6)[:, None] * step).reshape(x.shape))
        if further is not None:
            yield norm.maximizer(sense * further)
    points, labels, label = model.oracle.points.to(x), model.oracle.labels.to(x), model.oracle.label(x).to(x)
    rho = torch.cdist(x.flatten(1), points)
    nearest = points[torch.where(labels == label[:, None], rho, torch.inf).argmin(1)]
    order = torch.where(labels != label[:, None], rho, torch.inf).argsort(1)
    for place in range(min(8, len(points))):
        toward = points[order[:, place]]
        yield norm.maximizer(toward - nearest)
        straight = toward - x.flatten(1)
        length = norm(straight)[:, None]
        yield torch.where(length > 0, straight / torch.where(length > 0, length, 1.0), 0.0)
