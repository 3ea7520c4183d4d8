"""A falsifier for certificates: it attacks every point from inside its ball and reports the closest
change of the prediction it finds."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lbrs._checks import ArrayLike, batch, integer
from lbrs.certificate import Certificate
from lbrs.multiclass import MulticlassLocallyBiased
from lbrs.smoothing import LocallyBiased

INSIDE = (0.5, 0.9, 0.999, 1 - 1e-9)
OUTSIDE = (1 + 1e-9, 1.001, 1.03, 1.2, 2.0, 5.0)
OUTWARD = (0.0, 1e-12, 1e-9, 1e-6, 1e-3)  # how far a witness may be moved out to be one alone

Classifier = LocallyBiased | MulticlassLocallyBiased


@dataclass(frozen=True)
class Verification:
    """What the attacks found for each of n points.

    Attributes:
        distance: (n,), the closest change of the prediction found, in the certificate's norm,
            rounded to nearest; inf if none was found, 0 if x alone has another prediction.
        witness: (n, *shape), the point where it changes; NaN if none was found.
        broken: (n,) bool, the distance is below the radius: the certificate is false there.
        tightness: (n,), radius / distance, in [0, 1] unless broken; 0 if no change was found.
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
        return (
            f"{int(self.broken.sum())} of {len(self.broken)} certificates falsified; "
            f"a change found for {int(found.sum())}, median radius / distance {middle:.3f}"
        )


def verify(
    model: Classifier,
    x: ArrayLike,
    certificate: Certificate,
    *,
    probes: int = 32,
    generator: torch.Generator | None = None,
) -> Verification:
    """Attack each point of `x` (n, *shape) from inside its certified ball, and a little beyond it.

    Along each of many directions the prediction is asked for at several distances up to just inside
    the radius, and then beyond it; a change is pulled closer by bisection. The directions: random
    ones, corners of the ball, the gradient of the score in both senses at x and at the end of a
    gradient step, and those in which the oracle's label changes soonest. All points are moved
    together; then each point, a point just inside its ball and its witness are asked for alone, as
    a batch of one. So a model whose rows see each other is found out: its certificate is broken at
    distance 0 where x alone has another prediction. A witness is one alone too, moved out a little
    if need be; a change that only company shows is kept where it lies inside the ball.
    Points stay within the ``domain`` of a score that has one.

    Parameters:
        model: what was certified.
        x: the points (n, *shape).
        certificate: from ``model.certify(x)``.
        probes: >= 1, random directions.
        generator: a torch generator on the CPU; None takes torch's own.

    Raises:
        ValueError: if the certificate is not one of these points, and for a score known through
            random draws, whose predictions are random.

    >>> oracle = NearestNeighborOracle([[0.0, 0.0], [4.0, 0.0]], [1, -1])
    >>> model = LocallyBiased(LinearScore([1.0, 0.0], -1.5), oracle, alpha=1.0)
    >>> verify(model, [[1.0, 0.0]], model.certify([[1.0, 0.0]])).holds
    True
    """
    _check_model(model)
    x = batch("x", x, model.oracle.shape)
    if not isinstance(certificate, Certificate) or len(certificate) != len(x):
        given = len(certificate) if isinstance(certificate, Certificate) else certificate
        raise ValueError(f"certificate must be a Certificate of the {len(x)} points x, got {given}")
    attack = _Attack(model, x, certificate)
    for direction in attack.directions(integer("probes", probes, low=1), generator):
        attack.along(direction)
    attack.alone()
    broken = attack.best < attack.radius
    some = torch.isfinite(attack.best) & (attack.radius > 0)
    tightness = torch.where(some, attack.radius / attack.best, 0.0)
    return Verification(attack.best, attack.witness.reshape(x.shape), broken, tightness)


def _check_model(model: object) -> None:
    if not isinstance(model, Classifier):
        raise TypeError(
            "model must be a LocallyBiased or MulticlassLocallyBiased classifier, "
            f"got {type(model).__name__}"
        )
    if model.base.random:
        raise ValueError(
            "model must predict without chance, got one with a "
            f"{type(model.base).__name__}, which is known through random draws"
        )


class _Attack:
    """The attacked points, and the closest change found so far: `best` (n,), `witness` (n, d)."""

    def __init__(self, model: Classifier, x: Tensor, certificate: Certificate) -> None:
        self.model, self.x, self.norm = model, x, certificate.norm
        self.flat = x.flatten(1)
        self.radius, self.prediction = certificate.radius.to(x), certificate.prediction.to(x)
        size = self.norm(self.norm.movable(self.flat)) + 1
        finite = torch.isfinite(self.radius)
        self.scale = torch.where(finite, torch.maximum(self.radius, 1e-6 * size), 1e3 * size)
        self.best = torch.full_like(self.radius, torch.inf)
        self.witness = torch.full_like(self.flat, torch.nan)

    def changed(self, rows: Tensor, point: Tensor) -> Tensor:
        """Whether the prediction at `point` (m, d) is not that of the points `rows` (m,)."""
        found = self.model.predict(point.reshape(-1, *self.x.shape[1:]))
        return found.to(self.prediction) != self.prediction[rows]

    def keep(self, rows: Tensor, point: Tensor) -> None:
        """Note the changes at `point` (m, d) that are the closest so far of the points `rows`."""
        length = self.norm(point - self.flat[rows])
        closer = length < self.best[rows]
        self.best[rows[closer]], self.witness[rows[closer]] = length[closer], point[closer]

    def along(self, direction: Tensor) -> None:
        """Look along `direction` (n, d), and bisect where the prediction changes."""
        low, high = torch.zeros_like(self.scale), torch.full_like(self.scale, torch.inf)
        everyone = torch.arange(len(self.x), device=self.x.device)
        for share in (*INSIDE, *OUTSIDE):
            point = self.model.base.inside(self.flat + (share * self.scale)[:, None] * direction)
            changed = self.changed(everyone, point)
            high = torch.where(changed & torch.isinf(high), share * self.scale, high)
            low = torch.where(torch.isinf(high), share * self.scale, low)
        rows = torch.isfinite(high).nonzero().flatten()
        if len(rows) == 0:
            return
        low, high, start, way = low[rows], high[rows], self.flat[rows], direction[rows]
        for _ in range(40):
            middle = (low + high) / 2
            changed = self.changed(rows, self.model.base.inside(start + middle[:, None] * way))
            low, high = torch.where(changed, low, middle), torch.where(changed, middle, high)
        self.keep(rows, self.model.base.inside(start + high[:, None] * way))

    def alone(self) -> None:
        """Ask for single points: x, the end of its ball toward the witness, and the witness."""
        for row in range(len(self.x)):
            one, x = torch.tensor([row], device=self.x.device), self.flat[row]
            known = bool(torch.isfinite(self.best[row]))
            way = self.witness[row] - x if known else self.norm.maximizer(torch.ones_like(x))
            unit = way / self.best[row] if known and self.best[row] > 0 else way
            if self.radius[row] > 0:
                end = self.model.base.inside(x + INSIDE[-2] * self.scale[row] * unit)
                for point in (x, end):
                    if self.changed(one, point[None]):
                        self.keep(one, point[None])
            if known:
                self.confirm(one, x, way)

    def confirm(self, one: Tensor, x: Tensor, way: Tensor) -> None:
        """Move a witness out until it is one alone; drop it if none is, unless inside the ball."""
        for share in OUTWARD:
            point = (
                self.witness[one]
                if share == 0
                else self.model.base.inside(x + (1 + share) * way)[None]
            )
            if self.changed(one, point):
                self.best[one], self.witness[one] = self.norm(point - x), point
                return
        if self.best[one] >= self.radius[one]:
            self.best[one], self.witness[one] = torch.inf, torch.nan

    def gradient(self, x: Tensor) -> Tensor | None:
        """The gradient (n, d) of the score, or None where a score that needs none has none."""
        try:
            return self.model.base.push(x.reshape(self.x.shape)).flatten(1).to(x)
        except ValueError:
            return None

    def directions(self, probes: int, generator: torch.Generator | None) -> Iterator[Tensor]:
        """Directions (n, d) of length 1 in the norm."""
        flat, norm = self.flat, self.norm
        for number in range(probes):
            noise = torch.randn(flat.shape, dtype=flat.dtype, generator=generator).to(flat.device)
            corner = norm.movable(noise.sign() if number % 2 else noise)
            yield corner / norm(corner)[:, None]
        gradient = self.gradient(flat)
        if gradient is not None:
            yield from self.along_gradient(gradient)
        yield from self.toward()

    def along_gradient(self, gradient: Tensor) -> Iterator[Tensor]:
        """Up and down the gradient, at x and at the end of a long step."""
        for sense in (1.0, -1.0):
            step = self.norm.maximizer(sense * gradient)
            yield step
            length = self.scale.clamp(max=1e6)[:, None]
            further = self.gradient(self.model.base.inside(self.flat + length * step))
            if further is not None:
                yield self.norm.maximizer(sense * further)

    def toward(self) -> Iterator[Tensor]:
        """Directions in which the oracle's label changes soonest: across bisectors, straight."""
        flat, oracle, norm = self.flat, self.model.oracle, self.norm
        points, labels = oracle.points.to(flat), oracle.labels.to(flat)
        label, rho = oracle.label(self.x).to(flat), torch.cdist(flat, points)
        same = labels == label[:, None]
        nearest = points[torch.where(same, rho, torch.inf).argmin(1)]
        order = torch.where(same, torch.inf, rho).argsort(1)
        for place in range(min(8, len(points))):
            toward = points[order[:, place]]
            yield norm.maximizer(toward - nearest)
            straight = norm.movable(toward - flat)
            length = norm(straight)[:, None]
            yield torch.where(length > 0, straight / torch.where(length > 0, length, 1.0), 0.0)
