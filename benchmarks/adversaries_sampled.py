"""Adversaries of scores known through random draws, where the truth is a closed form."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
import torch
from adversaries import Found, Trial, bisectors, power, probes, tensor, watch
from torch import Tensor

from lbrs import (
    L2,
    CohenScore,
    GaussianScore,
    LocallyBiased,
    NearestNeighborOracle,
    Norm,
    NormalSmoothing,
    Score,
)
from lbrs.scores.base import sign


@dataclass(frozen=True)
class Slab:
    """1 where `low` < w^T z < `low` + `wide`, else -1, under normal noise `sigma`."""

    w: Tensor
    low: float
    wide: float
    sigma: float

    def __call__(self, z: Tensor) -> Tensor:
        return ((z @ self.w > self.low) & (z @ self.w < self.low + self.wide)).double() * 2 - 1

    def biased(self, z: Tensor, bias: Tensor, kind: str) -> Tensor:
        """The true prediction (n,) with a bias alpha times the oracle's label."""
        p, slope = slab(z @ self.w, self.low, self.wide, self.sigma)
        if kind == "cohen":
            return sign(self.sigma * torch.special.ndtri(p) + bias)
        return sign(2 * p - 1 + bias * 2 * slope.abs())


def drawn(rng: np.random.Generator, d: int, sigma: float) -> Slab:
    w = tensor(rng.normal(size=d))
    low, wide = float(rng.normal()), rng.choice([np.inf, sigma * power(rng, -0.5, 1)])
    return Slab(w / L2(w), low, wide, sigma)


def sampled(kind: str) -> Callable[[np.random.Generator, Norm], Trial]:
    """Scores known through draws, of the sign of a half-space or a slab: the truth is known."""

    def make(rng: np.random.Generator, norm: Norm) -> Trial:
        d, N, n, sigma = int(rng.choice([1, 2, 6])), int(rng.integers(1, 8)), 24, power(rng, -1, 1)
        f = drawn(rng, d, sigma)
        x = tensor(2 * sigma * rng.normal(size=(n, d)))
        points = tensor(3 * sigma * rng.normal(size=(N, d)))
        alpha = 0.0 if kind == "normal" else rng.choice([0.0, sigma * power(rng, -1, 0.3)])
        samples = int(rng.choice([200, 2000]))
        references = NearestNeighborOracle(points, rng.choice([-1.0, 1.0], N))
        if kind == "normal":
            certificate = NormalSmoothing(Score(f), sigma, samples).certify(x, 1 - 1e-9)
        else:
            score = (CohenScore if kind == "cohen" else GaussianScore)(f, sigma, samples)
            certificate = LocallyBiased(score, references, alpha).certify(x, confidence=1 - 1e-9)
        radius = certificate.radius * (1 - 1e-9)  # the closed form is rounded too

        def truth(z: Tensor) -> Tensor:
            return f.biased(z, alpha * references.label(z), kind)

        def attack() -> Iterator[Found]:
            ways = [f.w.expand_as(x), -f.w.expand_as(x)] * 4 + bisectors(x, points, norm, rng)
            yield from watch(truth, *probes(x, radius, norm, ways, rng), x, rng)

        where = f"w = {f.w.tolist()}, slab from {f.low}, {f.wide} wide"
        note = f"sigma = {sigma}, alpha = {alpha}, {where}"
        return Trial(x, certificate.prediction, radius, norm, attack, note)

    return make


def slab(t: Tensor, low: float, wide: float, sigma: float) -> tuple[Tensor, Tensor]:
    """P(low < t + eps < low + wide), eps ~ N(0, sigma^2), uncancelled, and its derivative by t."""
    a, b = (t - low) / sigma, (low + wide - t) / sigma
    p = torch.where(
        a < b,
        torch.special.ndtr(a) - torch.special.ndtr(-b),
        torch.special.ndtr(b) - torch.special.ndtr(-a),
    )
    return p, (torch.exp(-a.square() / 2) - torch.exp(-b.square() / 2)) / (sqrt(2 * pi) * sigma)
