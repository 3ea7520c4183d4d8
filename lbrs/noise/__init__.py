"""Normal noise for smoothing: plain draws, and draws that are sound in floating point.

Why plain noise is not enough. fl(x + eps) keeps traces of the low bits of x. A classifier that
reads them can tell the points apart to which noise was added, so its smoothed score is no normal
smoothing, and its certificates are false (Voracek and Hein, 2023, "Sound randomized smoothing in
floating-point arithmetic"). Networks do not look for such traces, but no proof says so.

Sound noise. Let r = 2^16 (`STEPS`), h = sigma/r, Z ~ N(0, I) and E = round(r Z), whole numbers.
For a point x let q(x) = round(fl(x/h)). The function f gets fl(h k) for k = q(x) + E, a sum of
whole numbers.

Theorem. Let F(k) = f(fl(h k)) for k in Z^d, f any function, and
s(u) = E F(round((u + sigma Z)/h)) for u in R^d: the normal smoothing of a measurable function, in
real arithmetic. The smoothed score at x is s(h q(x)), exactly, and h q moves distances by little:
for all x, z at which it is defined, ||h q(z) - h q(x)||_2 <= ||z - x||_2 + c, c = 1.01 sqrt(d) h
(`shift`). So what Theorems 1, E', G and H say of s at distance t + c holds for the smoothed score
at distance t.
Proof. round(k + r Z) = k + round(r Z) for whole k, and (h k + sigma Z)/h = k + r Z. Where
|x_i| <= 2^45 h, as is checked, |fl(x_i/h) - x_i/h| <= 2^-53 2^45, so that
|x_i - h q_i| <= (1/2 + 2^-8) h; twice that, at x and at z, in d coordinates, is less than c. []
How fl(h k) is rounded does not matter, nor what f computes in: both are functions of k.

Each coordinate of E is drawn up to a total variation distance of `DISTANCE` = 2^-48 (see
`lbrs.noise.rounded_normal`). So with probability at least 1 - n d 2^-48 all numbers of n draws
equal ideal ones, and this much is taken from the error that a confidence leaves (`spend`).

Assumed: the generator's bits are independent and fair; f is a function of each point alone; whole
numbers are computed as they should be, and float64 operations up to 2^-50 (see there).
"""

import math

import torch
from torch import Tensor

from lbrs.noise.rounded_normal import DISTANCE, STEPS, rounded_normal

Shape = tuple[int, ...]
Source = torch.Generator | None

EXACT = {torch.float32: 2.0**23, torch.float64: 2.0**52}
"""The whole numbers below, and their sums with a draw, are exact in these types."""
SPACINGS = 1024
"""The least number of spacings of the floating-point type that a sigma must span at the points."""


class PlainNoise:
    """eps = sigma Z, Z from torch's normal generator: normal smoothing if arithmetic were real.

    Draws are made, and added to the points, in float32, or in float64 for a function that gets it.
    """

    assumption = "independent normal draws, real arithmetic"

    def draw(
        self, shape: Shape, dtype: torch.dtype, device: torch.device, generator: Source
    ) -> Tensor:
        """Z of `shape`, in at least float32."""
        return torch.randn(shape, dtype=working(dtype), device=device, generator=generator)

    def around(self, x: Tensor, noise: Tensor, sigma: float | Tensor, dtype: torch.dtype) -> Tensor:
        """x + sigma Z (k, m, *shape) for `x` (k, *shape), Z from `draw` (k, m, *shape) and `sigma`,
        a number or (k,). Raises ValueError where the type cannot hold such noise at `x`."""
        refuse_coarse(x, sigma, working(dtype))
        x = x.to(noise.device, working(dtype))[:, None]
        if isinstance(sigma, Tensor):
            return (noise * sigma.to(noise).reshape(-1, *[1] * (noise.ndim - 1))).add_(x)
        return torch.add(x, noise, alpha=sigma)

    def normal(self, noise: Tensor) -> Tensor:
        """Z, from what `draw` returned."""
        return noise

    def shift(self, sigma: float, d: int) -> float:
        """How much further apart than two points of `d` features may be what noise is added to."""
        return 0.0

    def spend(self, error: float, samples: int, d: int) -> float:
        """What `error` leaves when `samples` draws in `d` dimensions are taken for ideal ones."""
        return error

    def bias(self, d: int) -> float:
        """How far at most `normal` is from draws that have the law's mean given the noisy point."""
        return 0.0


class SoundNoise(PlainNoise):
    """eps = h E, whole multiples of h = sigma/2^16 with the law of a rounded normal (see above)."""

    assumption = "sound noise: rounded normal draws on a grid of sigma/65536, ideal random bits"

    def draw(
        self, shape: Shape, dtype: torch.dtype, device: torch.device, generator: Source
    ) -> Tensor:
        """E of `shape`, as int32, at most 10 2^16 in size."""
        return rounded_normal(math.prod(shape), device, generator).reshape(shape)

    def around(self, x: Tensor, noise: Tensor, sigma: float | Tensor, dtype: torch.dtype) -> Tensor:
        """fl(h (q(x) + E)), as `PlainNoise.around`. Raises ValueError where |x_i| > 2^45 h."""
        step = sigma / STEPS
        if isinstance(step, Tensor):
            step = step.to(x.device, torch.float64).reshape(-1, *[1] * (x.ndim - 1))
        places, kind = grid(x, step), working(dtype)
        if isinstance(step, Tensor):
            step = step[:, None].to(noise.device, kind)
        most = places.abs().max() if places.numel() else 0
        if most < EXACT[kind]:
            places = places.to(noise.device, kind)[:, None]
            return noise.to(kind).add_(places).mul_(step)
        whole = places.to(noise.device, torch.int64)[:, None] + noise
        return whole.to(kind).mul_(step)

    def normal(self, noise: Tensor) -> Tensor:
        """E/r, as float32: exact, since E has at most 20 bits."""
        return noise.to(torch.float32).mul_(1 / STEPS)

    def shift(self, sigma: float, d: int) -> float:
        """c = 1.01 sqrt(d) h."""
        return 1.01 * math.sqrt(d) * sigma / STEPS

    def spend(self, error: float, samples: int, d: int) -> float:
        """`error` - samples d 2^-48; a ValueError unless at least half of it is left."""
        lost = samples * d * DISTANCE
        if lost > error / 2:
            raise ValueError(
                f"samples must be at most {int(error / 2 / d / DISTANCE)} for sound noise in {d} "
                f"dimensions and an error of {error:.3g}, got {samples}"
            )
        return error - lost

    def bias(self, d: int) -> float:
        """sqrt(d) 2^-31: |E[Z_i | E_i] - E_i/r| <= 10 (1/r)^2/12 for |E_i| <= 10 r."""
        return math.sqrt(d) * 2.0**-31


PLAIN = PlainNoise()
NOISES = {"plain": PLAIN, "sound": SoundNoise()}


def noise_named(name: object) -> PlainNoise:
    """The noise of this name, or a ValueError."""
    if name not in tuple(NOISES):
        raise ValueError(f"noise must be one of {', '.join(map(repr, NOISES))}, got {name!r}")
    return NOISES[name]


def working(dtype: torch.dtype) -> torch.dtype:
    """The type in which noise is added to points for a function that gets `dtype`."""
    return torch.promote_types(dtype, torch.float32)


def refuse_coarse(x: Tensor, sigma: float | Tensor, dtype: torch.dtype) -> None:
    """A ValueError unless `sigma` spans 1024 spacings of `dtype` at the largest |x_i| + 8 sigma.

    With fewer, x + eps takes so few values that rounding decides what a smoothed score is.
    """
    if not x.numel():
        return
    sizes = x.flatten(1).abs().amax(1).double()
    sigmas = torch.as_tensor(sigma, dtype=torch.float64, device=x.device).expand(len(x))
    exponents = torch.frexp(sizes + 8 * sigmas).exponent - 1
    spacing = torch.ldexp(torch.full_like(sizes, torch.finfo(dtype).eps), exponents)
    wrong = spacing > sigmas / SPACINGS
    if wrong.any():
        told, least = sigmas[wrong][0].item(), (SPACINGS * spacing[wrong][0]).item()
        wider = "" if dtype == torch.float64 else ", or give the score dtype=torch.float64"
        raise ValueError(
            f"sigma must be at least {least:g} at |x_i| = {sizes[wrong][0].item():g} in {dtype}, "
            f"whose numbers there are {spacing[wrong][0].item():g} apart and cannot hold the "
            f"noise, got {told:g}: centre the points{wider}"
        )


def grid(x: Tensor, step: float | Tensor) -> Tensor:
    """q(x) = round(x/h) for `x` (n, *shape) and `step` h, as float64; an error if |q| > 2^45."""
    smallest = step.min().item() if isinstance(step, Tensor) else step
    if smallest < 2.0**-1000:
        least = 2.0**-1000 * STEPS
        raise ValueError(
            f"sigma must be at least {least:g} for sound noise, got {smallest * STEPS:g}"
        )
    places = (x.to(torch.float64) / step).round()
    if places.numel() and not places.abs().max() <= 2.0**45:
        size = x.abs().max().item()
        raise ValueError(
            f"sigma must be at least {size * 2.0**-29:g} for sound noise at |x_i| = {size:g}, "
            f"got {smallest * STEPS:g}: centre the points"
        )
    return places
