"""Adversaries who only move the input: the prediction as it is computed, in batches and alone, at
points inside the ball that are hard to get right. Here for affine scores and oracles."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from shapes import drawn
from torch import Tensor

from lbrs import (
    AffineScores,
    ClassOracle,
    LinearScore,
    LocallyBiased,
    MulticlassLocallyBiased,
    NearestNeighborOracle,
    Norm,
)
from lbrs.exact import cells

SHARES = (1 - 2**-53, 1 - 1e-15, 1 - 1e-13, 1 - 1e-10, 1 - 1e-6, 0.99)
Found = tuple[Tensor, Tensor, Tensor]
"""Rows (m,) of attacked points, points (m, d), predictions (m,)."""


@dataclass(frozen=True)
class Trial:
    """Certified points `x` (n, d) with their `prediction` and `radius` (n,), and the attack, which
    yields rows (m,), points (m, d) and the predictions (m,) found there."""

    x: Tensor
    prediction: Tensor
    radius: Tensor
    norm: Norm
    attack: Callable[[], Iterator[Found]]
    note: str = ""

    def describe(self, row: int, z: Tensor) -> str:
        """One certificate and the point that falsifies it."""
        x, radius = self.x[row], self.radius[row].item()
        distance = self.norm(z - x).item()
        return f"x = {x.tolist()}, radius {radius!r}, changes at distance {distance!r}; {self.note}"


def power(rng: np.random.Generator, low: float, high: float) -> float:
    """10^U with U uniform."""
    return 10.0 ** rng.uniform(low, high)


def tensor(values: object) -> Tensor:
    return torch.as_tensor(np.asarray(values), dtype=torch.float64)


def probes(
    x: Tensor, radius: Tensor, norm: Norm, ways: list[Tensor], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Rows (m,) and points (m, d): along each of the `ways` (n, d), and random ones, at the end of
    the ball or anywhere in it, half of them moved by a unit in the last place of each number."""
    n, d = x.shape
    noise = tensor(rng.normal(size=(8, n, d)))
    every = torch.cat([torch.stack(ways), noise, noise[:4].sign()]) if ways else noise
    every = norm.movable(every)
    scaled = every / every.abs().amax(-1, keepdim=True).clamp(min=1e-300)
    units = scaled / norm(scaled)[..., None].clamp(min=1e-300)
    far = tensor(10.0 ** rng.uniform(-3, 6, size=n)) * (1 + norm(norm.movable(x)))
    reach = torch.where(torch.isfinite(radius), radius, far).clamp(max=1e149)
    shares = rng.choice(SHARES, (len(units), n))
    shares = tensor(np.where(rng.random(shares.shape) < 0.3, rng.random(shares.shape), shares))
    z = x + (shares * reach)[..., None] * units
    toward = tensor(rng.choice([-np.inf, np.inf], z.shape))
    some = (tensor(rng.random(z.shape[:2]))[..., None] < 0.5) & (norm.movable(toward) != 0)
    z = torch.where(some, torch.nextafter(z, toward), z)
    keep = (z.abs() <= 1e150).all(-1)
    return torch.arange(n).expand(len(units), n)[keep], z[keep]


def watch(
    predict: Callable[[Tensor], Tensor],
    rows: Tensor,
    z: Tensor,
    x: Tensor,
    rng: np.random.Generator,
) -> Iterator[Found]:
    """The predictions at `z` in one batch, and at x and some z in small batches and alone."""
    if len(z) == 0:
        return
    yield rows, z, predict(z)
    yield torch.arange(len(x)), x, predict(x)
    for size in (1, 1, 2, 3, 5):
        some = torch.from_numpy(rng.integers(0, len(z), size))
        yield rows[some], z[some], predict(z[some])
        one = torch.from_numpy(rng.integers(0, len(x), size))
        yield one, x[one], predict(x[one])


def magnitude(rng: np.random.Generator) -> float:
    kind = rng.choice(["any", "tiny", "usual", "one"], p=[0.35, 0.05, 0.3, 0.3])
    return {
        "any": power(rng, -149, 147),
        "tiny": power(rng, -323, -149),
        "usual": power(rng, -4, 10),
        "one": 1.0,
    }[kind]


def cloud(rng: np.random.Generator, N: int, d: int, n: int) -> tuple[Tensor, Tensor, float]:
    """Reference points (N, d), points (n, d), and their spread: normal or on a grid, near 0 or far
    from it, of any size."""
    unit, shape = magnitude(rng), (N + n, d)
    normal = rng.random() < 0.7
    base = rng.normal(size=shape) if normal else rng.integers(-3, 4, shape).astype(float)
    offset = 0.0
    if unit < 1e100:
        offset = rng.normal(size=d) * (0 if rng.random() < 0.5 else power(rng, 0, 10))
    both = tensor(unit * (base + offset))
    if rng.random() < 0.2 and n > 1:
        both[N] = both[0]
    return both[:N], both[N:], unit


def bisectors(
    x: Tensor, points: Tensor, norm: Norm, rng: np.random.Generator, count: int = 12
) -> list[Tensor]:
    """Ways (n, d) across the bisectors of pairs of points, and straight to points."""
    i, j = (torch.from_numpy(rng.integers(0, len(points), count)) for _ in range(2))
    across = norm.maximizer(points[i] - points[j]).nan_to_num()
    return [*(way.expand_as(x) for way in across), *(points[k] - x for k in i[:4])]


def subnormal(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Weights of a few units of the least positive number, and biases with g = 0 within reach."""
    bias = rng.choice([-1.0, 1.0], shape[:-1]) * 10.0 ** rng.uniform(-306, -175)
    return tensor(rng.integers(-3, 4, shape) * 5e-324), tensor(bias)


def linear_score(rng: np.random.Generator, x: Tensor) -> LinearScore:
    """Weights of any size, subnormal ones too, and a bias that often cancels a^T x."""
    d, kind = x.shape[1], rng.random()
    if kind < 0.15:
        weight, bias = subnormal(rng, (d,))
        return LinearScore(weight, float(bias))
    size = magnitude(rng) if kind < 0.9 else power(rng, -323, -300)
    weight = rng.normal(size=d) * size * 10.0 ** (rng.uniform(-8, 0, d) * (rng.random() < 0.3))
    value = float(weight @ x[0].numpy())
    bias = rng.choice(
        [0.0, -value, -value * (1 + power(rng, -16, 0)), value * rng.normal(), size * rng.normal()]
    )
    return LinearScore(weight, float(bias))


def near_boundary(score: LinearScore, x: Tensor, rng: np.random.Generator) -> Tensor:
    """Half of the points moved to g = 0, or close to it."""
    a = score.weight / score.weight.abs().max().clamp(min=5e-324)
    g = (x @ a + score.bias / score.weight.abs().max().clamp(min=5e-324).item()).nan_to_num()
    share = tensor(rng.choice([1, 1 + 1e-12, 1 - 1e-6], (len(x), 1)))
    step = (g / a.square().sum())[:, None] * a * share
    moved = torch.where(torch.arange(len(x))[:, None] % 2 == 0, x - step, x)
    return torch.where((moved.abs() <= 1e149) & torch.isfinite(moved), moved, x)


def linear(bound: str) -> Callable[[np.random.Generator, Norm], Trial]:
    """`LinearScore`: whatever floating point does."""
    few = bound == "exact"
    sizes, most, n = ([1, 2, 3], 5, 4) if few else ([1, 2, 3, 8, 40], 10, 16)

    def make(rng: np.random.Generator, norm: Norm) -> Trial:
        d, N = int(rng.choice(sizes)), int(rng.integers(1, most))
        norm = drawn(norm, rng, d)
        points, x, unit = cloud(rng, N, d, n)
        score = linear_score(rng, x)
        x = near_boundary(score, x, rng)
        alpha = rng.choice(
            [0.0, unit * power(rng, -4, 4), float(norm(norm.movable(x[:1] - points[:1]))[0])]
        )
        references = NearestNeighborOracle(points, rng.choice([-1.0, 1.0], N))
        model = LocallyBiased(score, references, alpha, norm)
        try:
            certificate = model.certify(x, bound=bound)
        except ArithmeticError:  # the exact radius could not be verified: no certificate
            return nothing(norm)
        a = norm.maximizer(score.weight).expand_as(x)

        def attack() -> Iterator[Found]:
            worst = [nearest_change(model, x)] * 4 if few else []
            for _ in range(8 if few else 1):
                ways = [a, -a, a, -a, *bisectors(x, points, norm, rng), *worst]
                rows, z = probes(x, certificate.radius, norm, ways, rng)
                yield from watch(model.predict, rows, z, x, rng)

        known = f"points = {points.tolist()}, labels = {references.labels.tolist()}"
        note = f"a = {score.weight.tolist()}, b = {score.bias!r}, alpha = {alpha!r}, {known}"
        return Trial(x, certificate.prediction, certificate.radius, norm, attack, note)

    return make


def nearest_change(model: LocallyBiased, x: Tensor) -> Tensor:
    """The ways (n, d) to the nearest points with another prediction, 0 where there is none."""
    exact = cells.exact_radii(model.base, model.oracle, model.alpha, model.norm, x)
    return exact.witness.nan_to_num() - x


def nothing(norm: Norm) -> Trial:
    empty = torch.zeros(0, dtype=torch.float64)
    return Trial(empty[:, None], empty, empty, norm, lambda: iter(()))


def oracle(
    k: int, bound: str, metric: bool = False
) -> Callable[[np.random.Generator, Norm], Trial]:
    """The k-NN oracle alone: its label within its radius."""

    def make(rng: np.random.Generator, norm: Norm) -> Trial:
        d, N = int(rng.choice([1, 2, 3, 8, 40])), int(rng.integers(k, 12))
        norm = drawn(norm, rng, d)
        points, x, unit = cloud(rng, N, d, 16)
        near = unit * tensor(rng.normal(size=(4, d))) * power(rng, -16, -8)
        x[:4] = (points[0] + points[-1]) / 2 + near
        scale = 10.0 ** rng.uniform(-3, 0, d) if metric else None
        found = NearestNeighborOracle(points, rng.choice([-1.0, 1.0], N), k, metric=scale)
        label, radius = found.label(x), found.radius(x, norm, bound)

        def attack() -> Iterator[Found]:
            rows, z = probes(x, radius, norm, bisectors(x, points, norm, rng, 24), rng)
            yield from watch(found.label, rows, z, x, rng)

        note = f"points = {points.tolist()}, labels = {found.labels.tolist()}"
        return Trial(x, label, radius, norm, attack, note)

    return make


def classes(rng: np.random.Generator, norm: Norm) -> Trial:
    """`AffineScores`: whatever floating point does."""
    d, N, C = int(rng.choice([1, 2, 3, 8])), int(rng.integers(1, 10)), int(rng.integers(2, 5))
    norm = drawn(norm, rng, d)
    points, x, unit = cloud(rng, N, d, 16)
    size = power(rng, -149, 149) if rng.random() < 0.3 else 1.0
    weight = tensor(rng.normal(size=(C, d)) * size)
    i, j = 0, C - 1
    x = near_boundary(LinearScore(weight[i] - weight[j]), x - x[:1], rng) + x[:1]
    origin = x[0] if rng.random() < 0.8 else torch.zeros(d, dtype=torch.float64)
    bias = -(weight @ origin) + tensor(rng.normal(size=C)) * size * unit * power(rng, -12, 0)
    bias = bias.clamp(-1e150, 1e150)
    if rng.random() < 0.1:
        weight, bias = subnormal(rng, (C, d))
        bias = bias * tensor(rng.random(C))
    alpha = rng.choice([0.0, unit * power(rng, -4, 2), unit * power(rng, -9, 2)])
    oracle = ClassOracle(points, rng.integers(0, C, N))
    model = MulticlassLocallyBiased(AffineScores(weight, bias), oracle, alpha, norm)
    certificate = model.certify(x)

    def attack() -> Iterator[Found]:
        differences = (weight[i] - weight[j] for i, j in itertools.permutations(range(C), 2))
        pairs = [norm.maximizer(difference).expand_as(x) for difference in differences]
        ways = [*pairs, *bisectors(x, points, norm, rng)]
        yield from watch(model.predict, *probes(x, certificate.radius, norm, ways, rng), x, rng)

    note = f"weight = {weight.tolist()}, bias = {bias.tolist()}, alpha = {alpha!r}"
    return Trial(x, certificate.prediction, certificate.radius, norm, attack, note)
