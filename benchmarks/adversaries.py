"""Adversaries who only move the input: the prediction as it is computed, in batches and alone, at
points inside the ball that are hard to get right. For scores known through random draws the truth
is a closed form."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
import torch
from torch import Tensor, nn

from lbrs import (
    L2,
    CohenScore,
    GaussianScore,
    LinearScore,
    LipschitzScore,
    LocallyBiased,
    MulticlassLocallyBiased,
    NearestNeighborOracle,
    Norm,
    NormalSmoothing,
    Score,
    curvature,
    exact,
)
from lbrs.scores import sign

SHARES = (1 - 2**-53, 1 - 1e-15, 1 - 1e-13, 1 - 1e-10, 1 - 1e-6, 0.99)
Found = tuple[Tensor, Tensor, Tensor]  # rows (m,) of attacked points, points (m, d), predictions (m,)


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
        x, radius, distance = self.x[row], self.radius[row].item(), self.norm(z - self.x[row]).item()
        return f"x = {x.tolist()}, radius {radius!r}, changes at distance {distance!r}; {self.note}"


def power(rng: np.random.Generator, low: float, high: float) -> float:
    """10^U with U uniform."""
    return 10.0 ** rng.uniform(low, high)


def tensor(values: object) -> Tensor:
    return torch.as_tensor(np.asarray(values), dtype=torch.float64)


def probes(x: Tensor, radius: Tensor, norm: Norm, ways: list[Tensor], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Rows (m,) and points (m, d): along each of the `ways` (n, d), and random ones, at the end of the
    ball or anywhere in it, half of them moved by a unit in the last place of each number."""
    n, d = x.shape
    noise = tensor(rng.normal(size=(8, n, d)))
    every = torch.cat([torch.stack(ways), noise, noise[:4].sign()]) if ways else noise
    scaled = every / every.abs().amax(-1, keepdim=True).clamp(min=1e-300)
    units = scaled / norm(scaled)[..., None].clamp(min=1e-300)
    far = tensor(10.0 ** rng.uniform(-3, 6, size=n)) * (1 + norm(x))
    reach = torch.where(torch.isfinite(radius), radius, far).clamp(max=1e149)
    shares = rng.choice(SHARES, (len(units), n))
    shares = tensor(np.where(rng.random(shares.shape) < 0.3, rng.random(shares.shape), shares))
    z = x + (shares * reach)[..., None] * units
    toward = tensor(rng.choice([-np.inf, np.inf], z.shape))
    z = torch.where(tensor(rng.random(z.shape[:2]))[..., None] < 0.5, torch.nextafter(z, toward), z)
    keep = (z.abs() <= 1e150).all(-1)
    return torch.arange(n).expand(len(units), n)[keep], z[keep]


def watch(predict: Callable[[Tensor], Tensor], rows: Tensor, z: Tensor, x: Tensor, rng: np.random.Generator) -> Iterator[Found]:
    """The predictions at `z` in one batch, in small batches of points taken at random, and at x and a few z alone."""
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
    return {"any": power(rng, -149, 147), "tiny": power(rng, -323, -149), "usual": power(rng, -4, 10), "one": 1.0}[kind]


def cloud(rng: np.random.Generator, N: int, d: int, n: int) -> tuple[Tensor, Tensor, float]:
    """Reference points (N, d) and points (n, d): normal or on a grid, near 0 or far from it, of any size; and their spread."""
    unit, shape = magnitude(rng), (N + n, d)
    base = rng.normal(size=shape) if rng.random() < 0.7 else rng.integers(-3, 4, shape).astype(float)
    offset = rng.normal(size=d) * (0 if rng.random() < 0.5 else power(rng, 0, 10)) if unit < 1e100 else 0.0
    both = tensor(unit * (base + offset))
    if rng.random() < 0.2 and n > 1:
        both[N] = both[0]
    return both[:N], both[N:], unit


def bisectors(x: Tensor, points: Tensor, norm: Norm, rng: np.random.Generator, count: int = 12) -> list[Tensor]:
    """Ways (n, d) across the bisectors of pairs of points, and straight to points."""
    i, j = (torch.from_numpy(rng.integers(0, len(points), count)) for _ in range(2))
    across = norm.maximizer(points[i] - points[j]).nan_to_num()
    return [*(way.expand_as(x) for way in across), *(points[k] - x for k in i[:4])]


def subnormal(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Weights of a few units of the least positive number, and biases that put g = 0 within reach."""
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
    bias = rng.choice([0.0, -value, -value * (1 + power(rng, -16, 0)), value * rng.normal(), size * rng.normal()])
    return LinearScore(weight, float(bias))


def near_boundary(score: LinearScore, x: Tensor, rng: np.random.Generator) -> Tensor:
    """Half of the points moved to g = 0, or close to it."""
    a = score.weight / score.weight.abs().max().clamp(min=5e-324)
    g = (x @ a + score.bias / score.weight.abs().max().clamp(min=5e-324).item()).nan_to_num()
    step = (g / a.square().sum())[:, None] * a * tensor(rng.choice([1, 1 + 1e-12, 1 - 1e-6], (len(x), 1)))
    moved = torch.where(torch.arange(len(x))[:, None] % 2 == 0, x - step, x)
    return torch.where((moved.abs() <= 1e149) & torch.isfinite(moved), moved, x)


def linear(bound: str) -> Callable[[np.random.Generator, Norm], Trial]:
    """`LinearScore`: whatever floating point does."""
    few = bound == "exact"

    def make(rng: np.random.Generator, norm: Norm) -> Trial:
        d, N, n = int(rng.choice([1, 2, 3] if few else [1, 2, 3, 8, 40])), int(rng.integers(1, 5 if few else 10)), 4 if few else 16
        points, x, unit = cloud(rng, N, d, n)
        score = linear_score(rng, x)
        x = near_boundary(score, x, rng)
        alpha = rng.choice([0.0, unit * power(rng, -4, 4), float(norm(x[:1] - points[:1])[0])])
        model = LocallyBiased(score, NearestNeighborOracle(points, rng.choice([-1.0, 1.0], N)), alpha, norm)
        try:
            certificate = model.certify(x, bound=bound)
        except ArithmeticError:  # the exact radius could not be verified: no certificate
            return nothing(norm)
        a = norm.maximizer(score.weight).expand_as(x)

        def attack() -> Iterator[Found]:
            for _ in range(8 if few else 1):
                ways = [a, -a, a, -a, *bisectors(x, points, norm, rng)] + ([exact.exact_radii(score, model.oracle, alpha, norm, x).witness.nan_to_num() - x] * 4 if few else [])
                yield from watch(model.predict, *probes(x, certificate.radius, norm, ways, rng), x, rng)

        note = f"a = {score.weight.tolist()}, b = {score.bias!r}, alpha = {alpha!r}"
        return Trial(x, certificate.prediction, certificate.radius, norm, attack, note)

    return make


def nothing(norm: Norm) -> Trial:
    empty = torch.zeros(0, dtype=torch.float64)
    return Trial(empty[:, None], empty, empty, norm, lambda: iter(()))


def oracle(k: int, bound: str) -> Callable[[np.random.Generator, Norm], Trial]:
    """The k-NN oracle alone: its label within its radius."""

    def make(rng: np.random.Generator, norm: Norm) -> Trial:
        d, N = int(rng.choice([1, 2, 3, 8, 40])), int(rng.integers(k, 12))
        points, x, unit = cloud(rng, N, d, 16)
        x[:4] = (points[0] + points[-1]) / 2 + unit * tensor(rng.normal(size=(4, d))) * power(rng, -16, -8)
        found = NearestNeighborOracle(points, rng.choice([-1.0, 1.0], N), k)
        label, radius = found.label(x), found.radius(x, norm, bound)

        def attack() -> Iterator[Found]:
            yield from watch(found.label, *probes(x, radius, norm, bisectors(x, points, norm, rng, 24), rng), x, rng)

        return Trial(x, label, radius, norm, attack, f"points = {points.tolist()}, labels = {found.labels.tolist()}")

    return make


def classes(rng: np.random.Generator, norm: Norm) -> Trial:
    """`MulticlassLocallyBiased.linear`: whatever floating point does."""
    d, N, C = int(rng.choice([1, 2, 3, 8])), int(rng.integers(1, 10)), int(rng.integers(2, 5))
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
    model = MulticlassLocallyBiased.linear(weight, bias, points, rng.integers(0, C, N), alpha, norm)
    certificate = model.certify(x)

    def attack() -> Iterator[Found]:
        pairs = [norm.maximizer(weight[i] - weight[j]).expand_as(x) for i in range(C) for j in range(C) if i != j]
        ways = [*pairs, *bisectors(x, points, norm, rng)]
        yield from watch(model.predict, *probes(x, certificate.radius, norm, ways, rng), x, rng)

    note = f"weight = {weight.tolist()}, bias = {bias.tolist()}, alpha = {alpha!r}"
    return Trial(x, certificate.prediction, certificate.radius, norm, attack, note)


def layers(rng: np.random.Generator, d: int, relu: bool = False) -> nn.Sequential:
    """A network of one or two hidden layers, with weights of any size."""
    sizes = [d, *rng.integers(2, 12, int(rng.integers(1, 3))), 1]
    parts = []
    for inner, outer in zip(sizes, sizes[1:], strict=False):
        part = nn.Linear(int(inner), int(outer)).double()
        part.weight.data = tensor(rng.normal(size=(outer, inner)) * power(rng, -1, 0.7))
        part.bias.data = tensor(rng.normal(size=outer))
        parts += [part, nn.ReLU() if relu else rng.choice([nn.Softplus(threshold=40), nn.Tanh(), nn.Sigmoid()])]
    return nn.Sequential(*parts[:-1]).eval().requires_grad_(False)


def network(bound: str) -> Callable[[np.random.Generator, Norm], Trial]:
    """A smooth network with its proved L, in float64."""

    def make(rng: np.random.Generator, norm: Norm) -> Trial:
        d, N = int(rng.choice([1, 2, 4])), int(rng.integers(1, 8))
        net = layers(rng, d)
        x, points = tensor(rng.uniform(-9, 9, (24, d))), tensor(rng.uniform(-9, 9, (N, d)))
        net[-1].bias.data -= net(x[:1])[0] * rng.choice([0.0, 1.0, 1 - 1e-6])
        score, alpha = curvature.smooth_score(net, (d,), norm), rng.choice([0.0, power(rng, -3, 1)])
        model = LocallyBiased(score, NearestNeighborOracle(points, rng.choice([-1.0, 1.0], N)), alpha, norm)
        certificate = model.certify(x, bound=bound)
        # Theorem 8 as printed knows no rounding
        radius = certificate.radius if bound == "sharp" else (certificate.radius * (1 - 1e-9) - 1e-10 * (1 + alpha)).clamp(min=0)
        return Trial(x, certificate.prediction, radius, norm, climb(model.predict, score, x, radius, points, norm, rng, 10.0))

    return make


def climb(predict: Callable, score: Score, x: Tensor, radius: Tensor, points: Tensor, norm: Norm, rng: np.random.Generator, box: float) -> Callable[[], Iterator[Found]]:
    """An attack along gradients at x and at the ends of gradient steps, within the box."""

    def attack() -> Iterator[Found]:
        ways = bisectors(x, points, norm, rng)
        reach = torch.where(torch.isfinite(radius), radius, 1.0)[:, None]
        for side in (-1.0, 1.0):
            z = x
            for _ in range(4):
                ways.append(side * norm.maximizer(score.value_and_gradient(z)[1]))
                z = (x + reach * ways[-1]).clamp(-box, box)
        rows, z = probes(x, radius, norm, ways, rng)
        yield from watch(predict, rows, z.clamp(-box, box), x, rng)

    return attack


def half(dtype: torch.dtype, relu: bool = False) -> Callable[[np.random.Generator, Norm], Trial]:
    """A network computed in a half type, with the least `rounding` that is true at the attacked points: measured, since
    the certificate is to be true wherever its assumption is. With ReLU it is a `LipschitzScore`."""

    def make(rng: np.random.Generator, norm: Norm) -> Trial:
        d, N = int(rng.choice([1, 2, 4])), int(rng.integers(1, 8))
        rough = layers(rng, d, relu).to(dtype)
        true = copy.deepcopy(rough).double()
        x, points, box = tensor(rng.uniform(-3, 3, (24, d))).to(dtype).double(), tensor(rng.uniform(-3, 3, (N, d))), 5.0
        share = max(1.5 * errors(rough, true, tensor(rng.uniform(-box, box, (4000, d))), norm, relu).max().item(), 1e-4)
        if share >= 1:
            return nothing(norm)
        score = rough_score(rough, true, norm, share, relu)
        alpha = rng.choice([0.0, power(rng, -2, 1)])
        model = LocallyBiased(score, NearestNeighborOracle(points, rng.choice([-1.0, 1.0], N)), alpha, norm)
        certificate = model.certify(x)
        fine = errors(rough, true, x, norm, relu) <= share

        def predict(z: Tensor) -> Tensor:
            """NaN where the assumption does not hold: nothing was promised there."""
            kept = errors(rough, true, z, norm, relu) <= share
            return torch.where(kept, model.predict(z), torch.nan)

        attack = climb(predict, Score(true), x, certificate.radius, points, norm, rng, box)

        def allowed() -> Iterator[Found]:
            for rows, z, seen in attack():
                known = ~seen.isnan()
                yield rows[known], z[known], seen[known]

        radius = torch.where(fine, certificate.radius, 0.0)
        return Trial(x, certificate.prediction, radius, norm, allowed, f"{dtype}, alpha = {alpha}, share = {share}")

    return make


def rough_score(rough: nn.Module, true: nn.Sequential, norm: Norm, share: float, relu: bool) -> Score:
    if not relu:
        return Score(rough, curvature.gradient_lipschitz(true, tuple(true[0].weight.shape[1:]), norm), rounding=share)
    K = 1.0
    for place, part in enumerate(layer for layer in true if isinstance(layer, nn.Linear)):
        rows = part.weight
        K = K * norm.dual(rows)[:, None].abs() if place == 0 else rows.abs() @ K
    return LipschitzScore(rough, K.item() * (1 + 1e-9), rounding=share)


def errors(rough: nn.Module, true: nn.Module, z: Tensor, norm: Norm, relu: bool) -> Tensor:
    """The errors (n,) of value and gradient as the shares that `rounding` bounds."""
    if relu:
        value = true(z).flatten()
        return (Score(rough).value(z) - value).abs() / (1 + value.abs())
    (fast, slope), (value, gradient) = (Score(net).value_and_gradient(z) for net in (rough, true))
    turned = norm.dual(slope - gradient) / (1 + norm.dual(gradient))
    return torch.maximum((fast - value).abs() / (1 + value.abs()), turned)


def sampled(kind: str) -> Callable[[np.random.Generator, Norm], Trial]:
    """Scores known through draws, of the sign of a half-space or a slab, where the truth is known."""

    def make(rng: np.random.Generator, norm: Norm) -> Trial:
        d, N, n, sigma = int(rng.choice([1, 2, 6])), int(rng.integers(1, 8)), 24, power(rng, -1, 1)
        w = tensor(rng.normal(size=d))
        w, low, high = w / L2(w), float(rng.normal()), rng.choice([np.inf, sigma * power(rng, -0.5, 1)])
        x, points = tensor(2 * sigma * rng.normal(size=(n, d))), tensor(3 * sigma * rng.normal(size=(N, d)))
        alpha, samples = (0.0 if kind == "normal" else rng.choice([0.0, sigma * power(rng, -1, 0.3)])), int(rng.choice([200, 2000]))
        references = NearestNeighborOracle(points, rng.choice([-1.0, 1.0], N))

        def f(z: Tensor) -> Tensor:
            return ((z @ w > low) & (z @ w < low + high)).double() * 2 - 1

        if kind == "normal":
            certificate = NormalSmoothing(Score(f), sigma, samples).certify(x, 1 - 1e-9)
        else:
            score = (CohenScore if kind == "cohen" else GaussianScore)(f, sigma, samples)
            certificate = LocallyBiased(score, references, alpha).certify(x, confidence=1 - 1e-9)

        def truth(z: Tensor) -> Tensor:
            p, slope = slab(z @ w, low, high, sigma)
            bias = alpha * references.label(z)
            if kind == "cohen":
                return sign(sigma * torch.special.ndtri(p) + bias)
            return sign(2 * p - 1 + bias * 2 * slope.abs())

        radius = certificate.radius * (1 - 1e-9)  # the closed form is rounded too

        def attack() -> Iterator[Found]:
            ways = [w.expand_as(x), -w.expand_as(x)] * 4 + bisectors(x, points, norm, rng)
            yield from watch(truth, *probes(x, radius, norm, ways, rng), x, rng)

        return Trial(x, certificate.prediction, radius, norm, attack, f"sigma = {sigma}, alpha = {alpha}, w = {w.tolist()}, slab from {low}, {high} wide")

    return make


def slab(t: Tensor, low: float, high: float, sigma: float) -> tuple[Tensor, Tensor]:
    """P(low < t + eps < low + high) for eps ~ N(0, sigma^2), without cancellation, and its derivative by t."""
    a, b = (t - low) / sigma, (low + high - t) / sigma
    p = torch.where(a < b, torch.special.ndtr(a) - torch.special.ndtr(-b), torch.special.ndtr(b) - torch.special.ndtr(-a))
    return p, (torch.exp(-a.square() / 2) - torch.exp(-b.square() / 2)) / (sqrt(2 * pi) * sigma)
