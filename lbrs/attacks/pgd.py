"""Attacks: adversarial points inside a ball and inside the pixel box."""

from collections.abc import Callable

import torch
from torch import Tensor

from lbrs._checks import batch, digits, generator_or_none, integer, labels, number, shown
from lbrs.norms import L2, LINF, Norm, as_norm
from lbrs.scores.local import one_logit


def pgd(
    logit: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    radius: float,
    norm: Norm,
    *,
    steps: int = 10,
    step: float = 2.5,
    start: torch.Generator | None = None,
    chunk: int = 1024,
) -> Tensor:
    r"""Projected gradient descent on y z(x), the way to the other class, inside
    {z : ||z - x|| <= radius} and the box [0, 1]^d.

    .. math::

       x^{(i+1)} = \Pi\big(x^{(i)} - \eta\, y\, m(\nabla z(x^{(i)}))\big), \qquad \|m(v)\| = 1

    The logistic loss log(1 + exp(-y z)) has the same normalised gradient as -y z, without
    underflow, so that these are the steps of the attack of Madry et al. (2018) on the logistic
    loss.

    Parameters:
        logit: maps (n, *shape) to the attacked network's logit (n,) or (n, 1), or to its two
            logits (n, 2) in the order (-1, +1), on the device of x: a network, or a smoothed
            classifier's ``as_module()``.
        x: pixels (n, *shape) in [0, 1].
        y: (n,) in {-1, +1}.
        radius: >= 0, in the units of x.
        norm: L2 or LINF.
        steps: how many.
        step: each has length `step` * radius / steps.
        start: None to start at x; a generator on the device of x, to start at a random point of the
            ball (in linf uniform, in l2 of uniform direction and length), moved into the box.
        chunk: most points attacked at once.

    Returns:
        (n, *shape) in the type and on the device of x.

    Raises:
        ValueError, TypeError: naming the argument.
    """
    y = labels("y", y, len(batch("x", x)))
    radius, steps = number("radius", radius, low=0), integer("steps", steps, low=1)
    step, chunk = number("step", step, low=0, open_low=True), integer("chunk", chunk, low=1)
    if as_norm("norm", norm) not in (L2, LINF):
        raise ValueError(f"norm must be L2 or LINF for this attack, got {shown(norm)}")
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(f"x must be a floating-point torch tensor, got {type(x).__name__}")
    if len(x) and (x.min() < 0 or x.max() > 1):
        low, high = digits(x.min().item()), digits(x.max().item())
        raise ValueError(f"x must hold pixels in [0, 1], got values from {low} to {high}")
    if radius == 0 or len(x) == 0:
        return x.clone()
    generator_or_none("start", start)
    signs = y.to(x).reshape(-1, *[1] * (x.ndim - 1))
    length, parts = step * radius / steps, zip(x.split(chunk), signs.split(chunk), strict=True)
    attacked = (_attack(logit, *part, radius, norm, steps, length, start) for part in parts)
    return torch.cat(list(attacked))


def _attack(
    logit: Callable[[Tensor], Tensor],
    x: Tensor,
    sign: Tensor,
    radius: float,
    norm: Norm,
    steps: int,
    length: float,
    start: torch.Generator | None,
) -> Tensor:
    point = x.clone()
    if start is not None:
        point = project(x + _random(x, radius, norm, start), x, radius, norm)
    for _ in range(steps):
        point.requires_grad_(True)
        (gradient,) = torch.autograd.grad(one_logit(logit(point)).sum(), point)
        direction = norm.maximizer(-(sign * gradient).flatten(1)).reshape(x.shape)
        point = project(point.detach() + length * direction, x, radius, norm)
    return point


def _random(x: Tensor, radius: float, norm: Norm, start: torch.Generator) -> Tensor:
    """A random change of each point: uniform in the linf ball; in l2 of normal direction and a
    length uniform in [0, radius]."""
    if norm == LINF:
        corner: Tensor = 2 * x.new_empty(x.shape).uniform_(generator=start) - 1
        return radius * corner
    change = x.new_empty(x.shape).normal_(generator=start).flatten(1)
    length = radius * x.new_empty(len(x), 1).uniform_(generator=start)
    return (change * (length / norm(change)[:, None].clamp(min=1e-12))).reshape(x.shape)


def project(point: Tensor, x: Tensor, radius: float, norm: Norm) -> Tensor:
    """`point` moved into the ball of `radius` around `x` (in [0, 1]^d) and into the box [0, 1]^d,
    all (n, *shape).

    In linf it is the nearest point of the intersection, in l2 the nearest of the ball cut to the
    box, which lies in both.
    """
    change = (point - x).flatten(1)
    if norm == LINF:
        change = change.clamp(-radius, radius)
    else:
        change = change * (radius / norm(change).clamp(min=radius))[:, None]
    return (x + change.reshape(x.shape)).clamp(0, 1)
