"""Adversaries of scores known through random draws, where the truth is a closed form."""

from collections.abc import Callable, Iterator
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


def sampled(kind: str) -> Callable[[np.random.Generator, Norm], Trial]:
    """Scores known through draws, of the sign of a half-space or a slab: the truth is known."""

    def make(rng: np.random.Generator, norm: Norm) -> Trial:
        d, N, n, sigma = int(rng.choice([1, 2, 6])), int(rng.integers(1, 8)), 24, power(rng, -1, 1)
        w = tensor(rng.normal(size=d))
        w, low, high = (
            w / L2(w),
            float(rng.normal()),
            rng.choice([np.inf, sigma * power(rng, -0.5, 1)]),
        )
        x, points = (
            tensor(2 * sigma * rng.normal(size=(n, d))),
            tensor(3 * sigma * rng.normal(size=(N, d))),
        )
        alpha, samples = (
            (0.0 if kind == "normal" else rng.choice([0.0, sigma * power(rng, -1, 0.3)])),
            int(rng.choice([200, 2000])),
        )
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

        return Trial(
            x,
            certificate.prediction,
            radius,
            norm,
            attack,
            f"sigma = {sigma}, alpha = {alpha}, w = {w.tolist()}, slab from {low}, {high} wide",
        )

    return make


def slab(t: Tensor, low: float, high: float, sigma: float) -> tuple[Tensor, Tensor]:
    """P(low < t + eps < low + high), eps ~ N(0, sigma^2), uncancelled, and its derivative by t."""
    a, b = (t - low) / sigma, (low + high - t) / sigma
    p = torch.where(
        a < b,
        torch.special.ndtr(a) - torch.special.ndtr(-b),
        torch.special.ndtr(b) - torch.special.ndtr(-a),
    )
    return p, (torch.exp(-a.square() / 2) - torch.exp(-b.square() / 2)) / (sqrt(2 * pi) * sigma)
