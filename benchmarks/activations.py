"""How far torch's tanh, sigmoid and softplus and their derivatives are off, over all exponents: the
constants of lbrs.layers.arithmetic.

Run as `python benchmarks/activations.py`; prints the largest errors of values, in eps |s(z)|
(softplus: eps (s(z) + 1/beta)), and of derivatives as the backward pass computes them, in eps max
|s'|, after what the floor covers. float64 is compared with the processor's extended precision (64
bits of mantissa), other types with float64 and for float16 and bfloat16 at every number there is.
Points: 300 in each binade of either sign, the neighbours of powers of two, and a fine grid of [-90,
90]; each is computed in a contiguous vector and in a strided one, which torch hands to scalar code.
"""

import numpy as np
import torch
from torch import Tensor, nn

from lbrs.layers.arithmetic import Arithmetic
from lbrs.layers.chains import TYPES

BETAS = (1.0, 0.1, 1 / 3, 5.0, 1e-3, 123.456)


def points(dtype: torch.dtype, each: int = 300, seed: int = 0) -> Tensor:
    """Numbers of `dtype` in all of its binades, `each` in either sign of one; all numbers of a half
    type."""
    if torch.finfo(dtype).bits == 16:
        every = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype)
        return every[torch.isfinite(every)]
    kind, rng = torch.finfo(dtype), np.random.default_rng(seed)
    low, high = int(np.floor(np.log2(kind.tiny))), int(np.frexp(kind.max)[1]) - 1
    powers = np.ldexp(1.0, np.arange(low, high + 1))
    drawn = (powers[:, None] * (1 + rng.random((len(powers), each)))).ravel()
    edges = np.concatenate([powers, np.nextafter(powers, 0), np.nextafter(powers, np.inf)])
    sizes = np.concatenate(
        [drawn, edges, np.linspace(0, 90, 300 * each), np.linspace(0, 2, 300 * each)]
    )
    values = torch.from_numpy(np.concatenate([sizes, -sizes])).to(dtype)
    return values[torch.isfinite(values)]


def true(name: str, z: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """s(z) and s'(z) in extended precision, without cancellation."""
    z = z.astype(np.longdouble)
    half = np.exp(-np.abs(z * np.longdouble(beta)))
    rising = np.where(z >= 0, 1 / (1 + half), half / (1 + half))
    if name == "Sigmoid":
        return rising, half / (1 + half) ** 2
    if name == "Softplus":
        return (np.maximum(z * np.longdouble(beta), 0) + np.log1p(half)) / np.longdouble(
            beta
        ), rising
    return np.tanh(z), 4 * half**2 / (1 + half**2) ** 2


def computed(module: nn.Module, z: Tensor, step: int) -> tuple[np.ndarray, np.ndarray]:
    """s(z) and s'(z) by torch, of numbers that lie `step` apart in memory: beyond 1 the code is
    scalar."""
    spread = torch.zeros(len(z), step, dtype=z.dtype)
    spread[:, 0] = z
    ones = torch.ones_like(spread)[:, 0]
    z = spread[:, 0].detach().requires_grad_()
    value = module(z)
    (slope,) = torch.autograd.grad(value, z, ones)
    return value.detach().double().numpy(), slope.double().numpy()


def errors(module: nn.Module, z: Tensor, step: int = 1) -> tuple[float, float]:
    """The largest errors of values and of derivatives at `z`, in the units of
    `lbrs.layers.arithmetic.VALUES` and `RATES`."""
    name, kind = type(module).__name__, Arithmetic(z.dtype)
    beta = getattr(module, "beta", 1.0)
    with np.errstate(under="ignore", over="ignore"):
        exact, rate = true(name, z.double().numpy(), beta)
        value, slope = computed(module, z, step)
        size = np.abs(exact) + (1 / beta if name == "Softplus" else 0)
        off = (np.abs(value - exact) - kind.floor).clip(0)
        top = 0.25 if name == "Sigmoid" else 1.0
        values = np.divide(off, kind.eps * size, out=np.zeros_like(off), where=off > 0).max()
        return float(values), float(
            ((np.abs(slope - rate) - kind.floor).clip(0) / (kind.eps * top)).max()
        )


def modules() -> list[nn.Module]:
    """The activations, softplus with several betas and the thresholds allowed."""
    soft = [nn.Softplus(beta, threshold) for beta in BETAS for threshold in (37.0, 40.0, 80.0)]
    return [nn.Tanh(), nn.Sigmoid(), *soft]


def largest(dtype: torch.dtype, each: int = 300) -> dict[str, tuple[float, float]]:
    """The largest errors of each kind of activation in `dtype`."""
    found: dict[str, tuple[float, float]] = {}
    z = points(dtype, each)
    for module in modules():
        name = type(module).__name__
        scaled = z / getattr(module, "beta", 1.0)
        for part in (z, scaled[torch.isfinite(scaled)]):
            for step in (1, 2):
                worst = zip(found.get(name, (0.0, 0.0)), errors(module, part, step), strict=True)
                found[name] = tuple(map(max, worst))
    return found


if __name__ == "__main__":
    for dtype in TYPES:
        print(
            dtype,
            len(points(dtype)),
            {name: tuple(round(v, 3) for v in pair) for name, pair in largest(dtype).items()},
        )
