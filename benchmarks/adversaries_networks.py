"""Adversaries of networks: gradients lead to the points that are asked for. In float64 and in types
with few bits, with errors that are proved or measured."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from adversaries import Found, Trial, bisectors, nothing, power, probes, tensor, watch
from torch import Tensor, nn

from lbrs import LipschitzScore, LocallyBiased, NearestNeighborOracle, Norm, Score, curvature
from lbrs.layers import chains


def layers(rng: np.random.Generator, d: int, relu: bool = False) -> nn.Sequential:
    """A network of one or two hidden layers, with weights of any size."""
    sizes = [d, *rng.integers(2, 12, int(rng.integers(1, 3))), 1]
    parts = []
    for inner, outer in zip(sizes, sizes[1:], strict=False):
        part = nn.Linear(int(inner), int(outer)).double()
        part.weight.data = tensor(rng.normal(size=(outer, inner)) * power(rng, -1, 0.7))
        part.bias.data = tensor(rng.normal(size=outer))
        smooth = [nn.Softplus(threshold=40), nn.Tanh(), nn.Sigmoid()]
        parts += [part, nn.ReLU() if relu else rng.choice(smooth)]
    return nn.Sequential(*parts[:-1]).eval().requires_grad_(False)


def network(bound: str) -> Callable[[np.random.Generator, Norm], Trial]:
    """A smooth network with its proved L, in float64."""

    def make(rng: np.random.Generator, norm: Norm) -> Trial:
        d, N = int(rng.choice([1, 2, 4])), int(rng.integers(1, 8))
        net = layers(rng, d)
        x, points = tensor(rng.uniform(-9, 9, (24, d))), tensor(rng.uniform(-9, 9, (N, d)))
        net[-1].bias.data -= net(x[:1])[0] * rng.choice([0.0, 1.0, 1 - 1e-6])
        score, alpha = curvature.smooth_score(net, (d,), norm), rng.choice([0.0, power(rng, -3, 1)])
        references = NearestNeighborOracle(points, rng.choice([-1.0, 1.0], N))
        model = LocallyBiased(score, references, alpha, norm)
        certificate = model.certify(x, bound=bound)
        radius = certificate.radius if bound == "sharp" else unrounded(certificate.radius, model, x)
        attack = climb(model.predict, score, x, radius, points, norm, rng, 10.0)
        return Trial(x, certificate.prediction, radius, norm, attack)

    return make


def unrounded(radius: Tensor, model: LocallyBiased, x: Tensor) -> Tensor:
    """Radii of Theorem 8, which knows no rounding: its bound falls by G + alpha L a unit of length
    at least, so that this much less leaves twice what the score's rounding errors can do."""
    score, alpha = model.base, model.alpha
    local = score.linearize(x, model.norm)
    error = 4 * score.rounding * (1 + local.value.abs() + alpha * (1 + local.slope))
    less = error / (local.slope + alpha * score.gradient_lipschitz)
    return (radius * (1 - 1e-12) - less).clamp(min=0)


def climb(
    predict: Callable,
    score: Score,
    x: Tensor,
    radius: Tensor,
    points: Tensor,
    norm: Norm,
    rng: np.random.Generator,
    box: float,
) -> Callable[[], Iterator[Found]]:
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


@dataclass(frozen=True)
class Rough:
    """A network computed in a half type, and the true one; with ReLU it has no gradient."""

    rough: nn.Sequential
    true: nn.Sequential
    norm: Norm
    relu: bool

    def errors(self, z: Tensor) -> Tensor:
        """The errors (n,) of value and gradient as the shares that `rounding` bounds."""
        if self.relu:
            value = self.true(z).flatten()
            return (Score(self.rough).value(z) - value).abs() / (1 + value.abs())
        fast, slope = Score(self.rough).value_and_gradient(z)
        value, gradient = Score(self.true).value_and_gradient(z)
        turned = self.norm.dual(slope - gradient) / (1 + self.norm.dual(gradient))
        return torch.maximum((fast - value).abs() / (1 + value.abs()), turned)

    def score(self, share: float) -> Score:
        """The score with its constant, and `share` as its rounding."""
        if self.relu:
            return LipschitzScore(self.rough, self.product(), rounding=share)
        shape = tuple(self.true[0].weight.shape[1:])
        L = curvature.gradient_lipschitz(self.true, shape, self.norm)
        return Score(self.rough, L, rounding=share)

    def product(self) -> float:
        """A Lipschitz constant: the weights' sizes multiplied."""
        K = 1.0
        for place, part in enumerate(layer for layer in self.true if isinstance(layer, nn.Linear)):
            rows = part.weight
            K = K * self.norm.dual(rows)[:, None].abs() if place == 0 else rows.abs() @ K
        return K.item() * (1 + 1e-9)


def half(dtype: torch.dtype, relu: bool = False) -> Callable[[np.random.Generator, Norm], Trial]:
    """A network computed in a half type, with a measured `rounding`; points where it is not kept do
    not count: nothing was promised there. With ReLU it is a `LipschitzScore`."""
    box = 5.0

    def make(rng: np.random.Generator, norm: Norm) -> Trial:
        d, N = int(rng.choice([1, 2, 4])), int(rng.integers(1, 8))
        rough = layers(rng, d, relu).to(dtype)
        pair = Rough(rough, copy.deepcopy(rough).double(), norm, relu)
        x = tensor(rng.uniform(-3, 3, (24, d))).to(dtype).double()
        points = tensor(rng.uniform(-3, 3, (N, d)))
        measured = pair.errors(tensor(rng.uniform(-box, box, (1500, d)))).max().item()
        share = max(1.5 * measured, 1e-4)
        if share >= 1:
            return nothing(norm)
        score, alpha = pair.score(share), rng.choice([0.0, power(rng, -2, 1)])
        references = NearestNeighborOracle(points, rng.choice([-1.0, 1.0], N))
        model = LocallyBiased(score, references, alpha, norm)
        certificate = model.certify(x)

        def predict(z: Tensor) -> Tensor:
            """NaN where the assumption does not hold."""
            return torch.where(pair.errors(z) <= share, model.predict(z), torch.nan)

        kept = pair.errors(x) <= share
        attack = climb(predict, Score(pair.true), x, certificate.radius, points, norm, rng, box)
        radius = torch.where(kept, certificate.radius, 0.0)
        note = f"{dtype}, alpha = {alpha}, share = {share}"
        return Trial(x, certificate.prediction, radius, norm, lambda: known(attack), note)

    return make


def known(attack: Callable[[], Iterator[Found]]) -> Iterator[Found]:
    """What `attack` finds, but for predictions that are NaN."""
    for rows, z, seen in attack():
        kept = ~seen.isnan()
        yield rows[kept], z[kept], seen[kept]


def chain(dtype: torch.dtype) -> Callable[[np.random.Generator, Norm], Trial]:
    """A ReLU network in any type, with K and its rounding errors proved: nothing is assumed."""

    def make(rng: np.random.Generator, norm: Norm) -> Trial:
        d, N, domain = int(rng.choice([1, 2, 4])), int(rng.integers(1, 8)), 4.0
        net = layers(rng, d, relu=True)
        x, points = tensor(rng.uniform(-4, 4, (24, d))), tensor(rng.uniform(-4, 4, (N, d)))
        net[-1].bias.data -= net(x[:1])[0] * rng.choice([0.0, 1.0, 1 - 1e-6])
        try:
            score = chains.lipschitz_score(net, (d,), norm, domain=domain, dtype=dtype)
        except ValueError as error:
            if "with an error below 1" not in str(error):
                raise
            return nothing(norm)
        alpha = rng.choice([0.0, power(rng, -3, 1)])
        labels = rng.choice([-1.0, 1.0], N)
        model = LocallyBiased(score, NearestNeighborOracle(points, labels), alpha, norm)
        certificate = model.certify(x)
        attack = climb(model.predict, Score(net), x, certificate.radius, points, norm, rng, domain)
        note = f"{dtype}, alpha = {alpha}, rounding = {score.rounding}"
        return Trial(x, certificate.prediction, certificate.radius, norm, attack, note)

    return make
