"""Adversaries for biases that follow the oracle's certainty (Theorem U): the input is moved along
the bisectors and the gradient, where both margins fall, with thresholds close to the oracle's radii
and stairs close to the base's margins."""

from collections.abc import Iterator

import numpy as np
import torch
import worst
from adversaries import (
    Found,
    Trial,
    bisectors,
    cloud,
    linear_score,
    near_boundary,
    nothing,
    power,
    probes,
    tensor,
    watch,
)
from torch import Tensor

from lbrs import (
    AffineScores,
    Bias,
    ClassOracle,
    LocallyBiased,
    MulticlassLocallyBiased,
    NearestNeighborOracle,
    Norm,
)


def near(values: Tensor, unit: float, rng: np.random.Generator, count: int) -> list[float]:
    """Numbers >= 0 close to some of `values` (n,), or of any size, rising."""
    known = values[torch.isfinite(values)].abs().tolist() or [unit]
    drawn = []
    for _ in range(count):
        close = float(rng.choice(known)) * (1 + rng.choice([-1, 1, 0]) * power(rng, -16, 0))
        drawn.append(close if rng.random() < 0.7 else unit * power(rng, -4, 3))
    return sorted(value for value in {max(0.0, value) for value in drawn} if value < 1e150)


def bias(
    margin: Tensor, certain: Tensor, unit: float, rng: np.random.Generator, odd: bool = False
) -> Bias:
    """A bias with 1 to 4 stairs, for margins and oracle's radii (n,); also uneven, and with a slope
    between its steps."""
    radii = [value for value in near(certain, unit, rng, int(rng.integers(0, 4))) if value > 0]
    lengths = near(margin, unit, rng, 6)
    lengths = (lengths + [lengths[-1] if lengths else 0.0] * 6)[: len(radii) + 1]
    if rng.random() < 0.3:
        lengths[-1] = np.inf
    found = Bias.stairs(lengths, radii)
    weight = float(rng.choice([0.0, 0.0, power(rng, -2, 2)]))
    if odd or rng.random() < 0.6:
        return Bias(found.thresholds, found.values, weight)
    shift = unit * rng.normal() * power(rng, -3, 1)
    edges = tuple(edge + shift for edge in found.thresholds)
    edges = edges if sorted(set(edges)) == list(edges) else found.thresholds
    return Bias(edges, tuple(value - shift / 2 for value in found.values), weight)


def linear(rng: np.random.Generator, norm: Norm) -> Trial:
    """`LinearScore` with a Bias: whatever floating point does."""
    d, N, k = (
        int(rng.choice([1, 2, 3, 8, 40])),
        int(rng.integers(3, 10)),
        int(rng.choice([1, 1, 3])),
    )
    points, x, unit = cloud(rng, N, d, 16)
    score = linear_score(rng, x)
    x = near_boundary(score, x, rng)
    references = NearestNeighborOracle(points, rng.choice([-1.0, 1.0], N), k)
    if not unit < 1e140:
        return nothing(norm)
    margin, certain = score.linearize(x, norm).crossing, references.radius(x, norm)
    model = LocallyBiased(score, references, bias(margin, certain, unit, rng), norm)
    certificate = model.certify(x)
    a = norm.maximizer(score.weight).expand_as(x)

    def attack() -> Iterator[Found]:
        ways = [a, -a, a, -a, *bisectors(x, points, norm, rng, 24)]
        rows, z = probes(x, certificate.radius, norm, ways, rng)
        yield from watch(model.predict, rows, z, x, rng)

    known = f"points = {points.tolist()}, labels = {references.labels.tolist()}, k = {k}"
    note = f"a = {score.weight.tolist()}, b = {score.bias!r}, {model.alpha}, {known}"
    return Trial(x, certificate.prediction, certificate.radius, norm, attack, note)


def lipschitz(rng: np.random.Generator, norm: Norm) -> Trial:
    """`LipschitzScore` with a Bias: h falls by K t, with all errors of the assumption."""
    chosen, oracle, m, _ = worst.draw(rng, norm, worst.share(rng), False)
    chosen.L0, chosen.choices = 0.0, [("seen", "up", 1.0)]
    score = worst.ChosenLipschitz(chosen, chosen.at[1])
    x = chosen.x[None]
    certain, margin = oracle.radius(x, norm), score.linearize(x, norm).crossing
    drawn = bias(margin, certain, float(certain.clamp(max=1e6)) + 1e-6, rng)
    return worst.certified(LocallyBiased(score, oracle, drawn, norm), chosen, m, rng, "sharp", 60)


def classes(rng: np.random.Generator, norm: Norm) -> Trial:
    """`AffineScores` with an odd Bias: whatever floating point does."""
    d, N, C = int(rng.choice([1, 2, 3, 8])), int(rng.integers(2, 10)), int(rng.integers(2, 5))
    points, x, unit = cloud(rng, N, d, 16)
    if not 1e-100 < unit < 1e100:
        return nothing(norm)
    weight = tensor(rng.normal(size=(C, d)))
    moved = tensor(rng.normal(size=C)) * unit * power(rng, -12, 0)
    scores, oracle = (
        AffineScores(weight, moved - weight @ x[0]),
        ClassOracle(points, rng.integers(0, C, N)),
    )
    h = scores.value(x).topk(2, dim=1).values
    K = scores.pairs(C, norm).max().item()
    certain = oracle.radii(x, norm, C)
    certain = torch.where(certain > 0, certain, torch.inf).amin(1)
    drawn = bias((h[:, 0] - h[:, 1]) / K, certain, unit, rng, odd=True)
    model = MulticlassLocallyBiased(scores, oracle, drawn, norm)
    certificate = model.certify(x)

    def attack() -> Iterator[Found]:
        i, j = torch.from_numpy(rng.integers(0, C, (2, 8)))
        against = norm.maximizer(weight[i] - weight[j]).nan_to_num()
        ways = [*(way.expand_as(x) for way in against), *bisectors(x, points, norm, rng)]
        rows, z = probes(x, certificate.radius, norm, ways, rng)
        yield from watch(model.predict, rows, z, x, rng)

    note = f"weight = {weight.tolist()}, {drawn}, points = {points.tolist()}"
    return Trial(x, certificate.prediction, certificate.radius, norm, attack, note)
