"""The fast adaptive boundary attack (FAB) of Croce and Hein, 2020, for two classes and from the
point itself: it looks for the nearest point of the other class in the unit box."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from lbrs.exact.programs import nearest_in_half_space

LARGEST_SHARE, KEPT, BEYOND = 0.1, 0.9, 1.05
"""alpha_max, beta and eta of the paper."""


def fab(module: nn.Module, x: Tensor, target: Tensor, p: float, steps: int = 20) -> Tensor:
    """For each of the points x (n, *shape) the nearest point found where the module's argmax is not
    `target` (n,), or the point itself."""
    z, best = x.clone(), x.clone()
    least = torch.full((len(x),), math.inf, dtype=x.dtype)
    for _ in range(steps):
        over, slope = linearized(module, z, target)
        here, there = (to_boundary(start, z, over, slope, p) for start in (z, x))
        near, far = size(here, p), size(there, p)
        share = (near / (near + far).clamp(min=1e-12)).clamp(max=LARGEST_SHARE)
        share = share.reshape(-1, *[1] * (x.ndim - 1))
        z = (1 - share) * (z + BEYOND * here) + share * (x + BEYOND * there)
        z = z.clamp(0, 1).detach()
        changed = module(z).argmax(1) != target
        better = changed & (size(z - x, p) < least)
        least[better], best[better] = size(z - x, p)[better], z[better]
        z[changed] = (1 - KEPT) * x[changed] + KEPT * z[changed]
    return best


def linearized(module: nn.Module, z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """How far the logit of the other class is above that of the target, and its gradient."""
    z = z.detach().requires_grad_()
    logits = module(z)
    over = logits.gather(1, 1 - target[:, None]) - logits.gather(1, target[:, None])
    (slope,) = torch.autograd.grad(over.sum(), z)
    return over.detach()[:, 0], slope


def to_boundary(start: Tensor, z: Tensor, over: Tensor, slope: Tensor, p: float) -> Tensor:
    """The least step from `start` within the box to where over + slope^T (. - z) = 0; none where
    the box holds no such point."""
    value = over + (slope * (start - z)).flatten(1).sum(1)
    found = torch.zeros_like(start)
    for i, (w, v) in enumerate(zip(slope.flatten(1), value.tolist(), strict=True)):
        q, at = np.sign(-v) * w.double().numpy(), start[i].flatten().double().numpy()
        _, d = nearest_in_half_space(q, 0.0, abs(v), (-at, 1 - at), p)
        if d is not None:
            found[i] = torch.from_numpy(d).reshape(found[i].shape)
    return found


def size(d: Tensor, p: float) -> Tensor:
    return d.flatten(1).norm(p, 1)
