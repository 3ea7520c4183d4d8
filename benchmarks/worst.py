"""Adversaries who choose the score too: among all scores with the certified values at x and with
the assumed constants, and all rounding errors that are assumed, at x and at z, the worst.

For `Score` these are the extremal functions of Theorem E along one direction w, ||w||_* = 1. With
t = ||z - x||, G and nu the lengths of the gradient at x and z, the least value in the frame of the
prediction is  v - L t^2/4 - (t/2)(G + nu) + (nu - G)^2/(4 L).  A computed value may be off by
s (1 + |g|), a computed gradient by s (1 + ||grad g||_*). `SLACK` is what the evaluation here may be
off by itself: it comes out of the allowed error, so that the assumption is kept to the last bit;
with s = 0 arithmetic is plain.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import numpy as np
import torch
from adversaries import Found, Trial, nothing, power, probes, tensor
from torch import Tensor

from lbrs import (
    ClassOracle,
    ClassScores,
    LipschitzScore,
    LocallyBiased,
    MulticlassLocallyBiased,
    NearestNeighborOracle,
    Norm,
    Score,
)

SLACK = 2.0**-48
ENDS = (1 - 1e-13, 1 - 1e-6, 0.999, 0.9, 0.5, 0.1)
CHOICES = list(product(("low", "seen", "high"), ("up", "best", "down"), (1.0, -1.0)))
"""G at x, nu at z, and the sign of the gradient's error at z."""


def true_values(seen: Tensor, s: float) -> tuple[Tensor, Tensor]:
    """The least and the largest v with |seen - v| <= s (1 + |v|), a little inside."""
    s = max(0.0, s * (1 - SLACK) - SLACK)
    low = torch.where(seen >= s, (seen - s) / (1 + s), (seen - s) / (1 - s))
    high = torch.where(seen <= -s, (seen + s) / (1 + s), (seen + s) / (1 - s))
    return low, high


class Chosen:
    """What a score is at x and may be at the attacked points, chosen by the adversary.

    `x` (d,); `value`, `slope`: the computed g(x) and ||grad g(x)||_*; `w` (d,); `L0`, `L1`:
    the constant on a ball of radius R is L0 + L1 R; `s`: the share of rounding.
    """

    def __init__(
        self, x: Tensor, value: float, slope: float, w: Tensor, L0: float, L1: float, s: float
    ) -> None:
        self.x, self.at, self.w, self.L0, self.L1, self.s = x, (value, slope), w, L0, L1, s
        self.prediction, self.alpha = 1.0, 0.0
        self.choices, self.choice = CHOICES, CHOICES[0]
        self.told: tuple[Tensor, Tensor] | None = None

    def lengths(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """G (a number) and nu (m,) of the choice."""
        pick, turn, _ = self.choice
        G = torch.tensor(self.at[1], dtype=torch.float64)
        if pick != "seen":
            low, high = true_values(G, self.s)
            G = low.clamp(min=0) if pick == "low" else high
        rise = self.L0 * t + self.L1 * t**2 / 2
        if turn == "up":
            return G, G + rise
        lowest, highest = (G - self.L0 * t).clamp(min=0), G + self.L0 * t
        best = torch.maximum(highest - 2 * self.alpha * self.L0, lowest)
        return G, lowest if turn == "down" else torch.minimum(best, highest)

    def profile(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Computed value and gradient length (m,), in the frame of the prediction, and where the
        assumption is kept."""
        s, (G, nu) = self.s * (1 - 8 * SLACK), self.lengths(t)
        v = true_values(torch.tensor(self.prediction * self.at[0], dtype=torch.float64), s)[0]
        if self.choice[1] == "up":
            terms = (v.expand_as(t), -G * t, -self.L0 * t**2 / 2, -self.L1 * t**3 / 6)
        else:
            bend = (nu - G) ** 2 / (4 * max(self.L0, 1e-300)) * (self.L0 > 0)
            terms = (v.expand_as(t), -self.L0 * t**2 / 4, -t / 2 * (G + nu), bend)
        value, size = sum(terms), sum(term.abs() for term in terms)
        rest = s * (1 + value.abs()) - 8 * SLACK * size
        turned = s * (1 + nu) - 8 * SLACK * (G + nu + self.L0 * (t + self.alpha))
        kept = (rest >= 0) & (turned >= 0) | (s == 0)
        rest, turned = rest.clamp(min=0), turned.clamp(min=0)
        return value - rest, (nu + self.choice[2] * turned).clamp(min=0), kept

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The computed value (m,), gradient (m, d): what `pursue` told, or that of the choice."""
        if self.told is not None:
            return self.told
        here = (z == self.x).all(1)
        value, nu, _ = self.profile(self.distance(z))
        p = self.prediction
        value = torch.where(here, self.at[0], p * value)
        return value, torch.where(here, self.at[1], nu)[:, None] * (-p * self.w)

    def distance(self, z: Tensor) -> Tensor:
        """How far along the worst direction, a little less than it may be."""
        return ((z - self.x) @ self.w).clamp(min=0) * (1 - SLACK)

    def kept(self, z: Tensor) -> Tensor:
        return self.profile(self.distance(z))[2]


class ChosenScore(Score):
    def __init__(self, chosen: Chosen, L: object) -> None:
        super().__init__(lambda z: z.flatten(1).sum(1), L, rounding=chosen.s, assume_smooth=True)
        self.chosen = chosen

    def value_and_gradient(self, x: object) -> tuple[Tensor, Tensor]:
        return self.chosen.evaluate(x)

    def value(self, x: object) -> Tensor:
        return self.chosen.evaluate(x)[0]


class ChosenLipschitz(LipschitzScore):
    def __init__(self, chosen: Chosen, K: float) -> None:
        super().__init__(lambda z: z.flatten(1).sum(1), K, rounding=chosen.s)
        self.chosen = chosen

    def value(self, x: object) -> Tensor:
        return self.chosen.evaluate(x)[0]


def share(rng: np.random.Generator) -> float:
    small, usual = power(rng, -10, -4), power(rng, -4, -1)
    large, most = rng.uniform(0.1, 0.5), rng.uniform(0.5, 0.9)
    return float(rng.choice([small, usual, large, most], p=[0.4, 0.4, 0.1, 0.1]))


def setting(
    rng: np.random.Generator, norm: Norm
) -> tuple[Tensor, Tensor, Tensor, NearestNeighborOracle, float]:
    """x (d,), the worst direction w and the way m with w^T m = ||m|| = 1, an oracle whose label
    changes along m, and a unit of length."""
    d, unit = int(rng.integers(1, 4)), power(rng, -3, 3)
    w = tensor(rng.normal(size=d))
    w = w / norm.dual(w)
    x = tensor(unit * rng.normal(size=d) * (rng.random() < 0.5))
    label = rng.choice([-1.0, 1.0])
    points = torch.stack([x, x + unit * power(rng, -2, 3) * w])
    return x, w, norm.maximizer(w), NearestNeighborOracle(points, [label, -label]), unit


def draw(
    rng: np.random.Generator, norm: Norm, s: float, local: bool
) -> tuple[Chosen, NearestNeighborOracle, Tensor, float]:
    """A score near its decision, whose |g|/||grad g||_* is close to alpha."""
    x, w, m, oracle, unit = setting(rng, norm)
    alpha = 0.0
    if rng.random() >= 0.1:
        alpha = power(rng, -3, 10 if rng.random() < 0.5 else 2)
        alpha *= unit if rng.random() < 0.5 else 1
    slope = power(rng, -6, 3) * (rng.random() < 0.95)
    value = alpha * slope * (1 + rng.choice([-1, 1]) * power(rng, -4, 0)) + rng.choice(
        [0.0, power(rng, -3, 3), slope * unit * power(rng, -2, 1)]
    )
    L0 = 0.0 if rng.random() < 0.3 else (slope + 1e-6) * power(rng, -4, 1) / max(unit, alpha)
    L1 = L0 * power(rng, -2, 1) / unit if local else 0.0
    return Chosen(x, rng.choice([-1, 1]) * value, slope, w, L0, L1, s), oracle, m, alpha


def along(
    chosen: Chosen, m: Tensor, radius: float, neighbor: float, rng: np.random.Generator, more: int
) -> Tensor:
    """Points on the way m in the ball: at its end, behind the change of the label, anywhere."""
    end = min(radius, 1e9 * (1 + float(chosen.x.abs().sum())))
    shares = [*ENDS, *rng.random(2), *(1 - 10.0 ** rng.uniform(-13, 0, more))]
    behind = [(1 + e) * neighbor for e in (1e-12, 1e-6) if neighbor < end]
    t = [share * end for share in shares] + behind
    return chosen.x + torch.tensor(t, dtype=torch.float64)[:, None] * m


def pursue(model: LocallyBiased, chosen: Chosen, z: Tensor) -> Iterator[Found]:
    """The predictions at `z` for all choices of score and errors that keep the assumption."""
    asked, told = [], []
    for choice in chosen.choices:
        chosen.choice = choice
        points = z[chosen.kept(z) & (z != chosen.x).any(1)]
        asked.append(points)
        told.append(chosen.evaluate(points))
    points = torch.cat(asked)
    if len(points):
        values, slopes = zip(*told, strict=True)
        chosen.told = torch.cat(values), torch.cat(slopes)
        seen, chosen.told = model.predict(points), None
        yield torch.zeros(len(points), dtype=torch.int64), points, seen


def smooth(bound: str, local: bool = False) -> Callable[[np.random.Generator, Norm], Trial]:
    """`Score`: Theorem 8 in real arithmetic, as it says, and E' with all its errors."""

    def make(rng: np.random.Generator, norm: Norm) -> Trial:
        s = 0.0 if bound == "paper" else share(rng)
        chosen, oracle, m, alpha = draw(rng, norm, s, local)
        if bound == "paper":
            alpha = min(alpha, 1e3)
        constant = (lambda x, R: chosen.L0 + chosen.L1 * R) if local else chosen.L0
        model = LocallyBiased(ChosenScore(chosen, constant), oracle, alpha, norm)
        return certified(model, chosen, m, rng, bound)

    return make


def certified(
    model: LocallyBiased, chosen: Chosen, m: Tensor, rng: np.random.Generator, bound: str, more=0
) -> Trial:
    """The trial of one point, x; the paper's radius, which knows no rounding, lowered a little."""
    x = chosen.x[None]
    certificate = model.certify(x, bound=bound)
    radius = certificate.radius * (1 - 1e-6 if bound == "paper" else 1.0)
    chosen.prediction = certificate.prediction.item()
    chosen.alpha = model.alpha if isinstance(model.alpha, float) else 0.0
    if radius.item() == 0:
        return nothing(model.norm)
    z = along(chosen, m, radius.item(), model.oracle.radius(x, model.norm).item(), rng, more)
    constants = f"L = {chosen.L0} + {chosen.L1} R, alpha = {model.alpha}, s = {chosen.s}"
    note = f"value, slope = {chosen.at}, {constants}"
    attack = partial(pursue, model, chosen, z)
    return Trial(x, certificate.prediction, radius, model.norm, attack, note)


def lipschitz(rng: np.random.Generator, norm: Norm) -> Trial:
    """`LipschitzScore`: h falls by K t, and is computed with all errors of the assumption."""
    chosen, oracle, m, alpha = draw(rng, norm, share(rng), False)
    chosen.L0, chosen.choices = 0.0, [("seen", "up", 1.0)]
    model = LocallyBiased(ChosenLipschitz(chosen, chosen.at[1]), oracle, alpha, norm)
    return certified(model, chosen, m, rng, "sharp", more=60)


class ChosenClasses(ClassScores):
    """Affine scores W x + b, with errors: at x in favour of the prediction, elsewhere against it.

    Of the classes s and c, whose difference D is used, one is raised and the other lowered, by
    `split` and the rest of s (1 + |D|), unless another difference allows less.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, origin: Tensor, s: float, pairs: Tensor
    ) -> None:
        super().__init__(lambda z: z.flatten(1) @ weight.T, pairs, rounding=s)
        self.weight, self.bias, self.origin, self.s = weight, bias, origin, s
        self.pair, self.split, self.favour = (0, 1), 0.5, True

    def value(self, x: object) -> Tensor:
        change = x.flatten(1) - self.origin
        h = change @ self.weight.T + self.bias
        size = change.abs() @ self.weight.abs().T + self.bias.abs()
        here = (x.flatten(1) == self.origin).all(1)
        (s, c), parts = self.pair, []
        for own, other, part in ((s, c, self.split), (c, s, 1 - self.split)):
            gap = (h[:, own, None] - h).abs()
            room = self.s * (1 + gap) - 8 * SLACK * (size + size[:, own, None])
            room[:, own], room[:, other] = torch.inf, part * room[:, other]
            parts.append(room.amin(1).clamp(min=0))
        sense = torch.where(here, 1.0 if self.favour else -1.0, -1.0)
        h[:, s] += sense * parts[0]
        h[:, c] -= sense * parts[1]
        return h


def classes(rng: np.random.Generator, norm: Norm) -> Trial:
    """`MulticlassLocallyBiased` of affine scores with the constants of their differences."""
    x, _, _, _, unit = setting(rng, norm)
    d, C, s, N = len(x), int(rng.integers(2, 5)), share(rng), int(rng.integers(1, 6))
    weight, size = tensor(rng.normal(size=(C, d))), power(rng, -4, 2)
    weight = weight * size
    alpha = rng.choice([0.0, unit * power(rng, -2, 7)])
    pairs = norm.dual(weight[:, None] - weight) * (1 + 1e-12)
    tie = rng.choice([0.0, 1.0, -1.0], C) * alpha * pairs.max().item() * (1 + power(rng, -4, 0))
    bias = tensor(tie + rng.normal(size=C) * rng.choice([1.0, size * unit]))
    points = x + unit * power(rng, -2, 2) * tensor(rng.normal(size=(N, d)))
    scores = ChosenClasses(weight, bias, x, s, pairs)
    oracle = ClassOracle(points, rng.integers(0, C, N))
    model = MulticlassLocallyBiased(scores, oracle, alpha, norm)
    s_class = int(model.predict(x[None]).item())
    c_class = int(rng.choice([c for c in range(C) if c != s_class]))
    scores.pair, scores.split = (s_class, c_class), rng.choice([0.0, 0.5, 1.0])
    scores.favour = bool(rng.random() < 0.8)
    certificate = model.certify(x[None])
    if certificate.radius.item() == 0:
        return nothing(norm)

    def attack() -> Iterator[Found]:
        against = norm.maximizer(weight[c_class] - weight[s_class])
        across = [norm.maximizer(p - points[0]).nan_to_num() for p in points]
        ways = [way[None] for way in (*[against] * 60, *across)]
        rows, z = probes(x[None], certificate.radius, norm, ways, rng)
        away = (z != x).any(1)
        yield rows[away], z[away], model.predict(z[away])

    note = f"weight = {weight.tolist()}, bias = {bias.tolist()}, alpha = {alpha}, s = {s}"
    return Trial(x[None], certificate.prediction, certificate.radius, norm, attack, note)
