"""Scores with a Lipschitz gradient: what they must show, and Theorems 8 and E' for them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lbrs.certificate import Certificate
from lbrs.certificates import radius_against, radius_along, sign_aware, theorem8
from lbrs.norms import Norm
from lbrs.rounding import EPS, general_score, least, round_down, slopes
from lbrs.scores.admission import Watch, observed
from lbrs.scores.kinks import Judge
from lbrs.scores.local import Local, select

if TYPE_CHECKING:
    from lbrs.scores.base import Score

SEARCH = 40
"""Halvings, on a logarithmic scale, of the interval in which the best radius R is sought."""

Radius = Callable[[Tensor], Tensor]
Constants = Callable[[Tensor, Tensor], Tensor]


def certify_smooth(score: "Score", local: Local, alpha: float, bound: str) -> Certificate:
    """:prf:ref:`Theorem E' <theorem-e-prime>` for bound="sharp", :prf:ref:`Theorem 8 <theorem-8>`
    for bound="paper", at the points of `local`."""
    first = local.linearization()
    prediction = select(first, local.label, alpha)
    if bound == "paper":
        radius, source = paper_radius(local, alpha), "Theorem 8"
    else:
        radius, source = sharp_radius(score, local, prediction, alpha), "Theorem E'"
    radius = score.within_domain(local.x, round_down(radius), local.norm)
    told = assumption(score, local, bound)
    return Certificate(prediction, radius, local.norm, "deterministic", source, told)


def assumption(score: "Score", local: Local, bound: str) -> str:
    """What a certificate takes for granted, in words."""
    given = "Lipschitz on each ball with the given local constant,"
    constant = given if callable(local.L) else f"{local.L:g}-Lipschitz"
    text = f"grad g is {constant} from {local.norm} to {local.norm.dual}{score.assumed}"
    if bound == "paper":
        return text
    return f"{text}, computed with relative errors of at most {score.rounding:g}"


def paper_radius(local: Local, alpha: float) -> Tensor:
    """Theorem 8, in plain floating-point arithmetic; with local constants those of the ball of
    radius r_nghbr, as in Section 4."""
    first, neighbor, L = local.linearization(), local.neighbor, local.L
    value = first.value + alpha * local.label * first.slope
    if not callable(L):
        return theorem8(value, first.slope, neighbor, alpha, known(L))
    neighbor = torch.minimum(neighbor, largest_ball(local.x, local.norm))
    constants = constants_within(L, local.x, neighbor)
    return where_bounded(constants, lambda L: theorem8(value, first.slope, neighbor, alpha, L))


def sharp_radius(score: "Score", local: Local, prediction: Tensor, alpha: float) -> Tensor:
    """Theorem E' for g and its gradient as computed: value less allowance. With local constants
    the largest min{R, radius for L_R} over the R tried."""
    first, L = local.linearization(), local.L
    value, agrees = prediction * first.value, prediction == local.label
    share = score.rounding
    loose = (1 + share) * 2 * local.norm.dual.rounding(local.x[:1].numel() or 1) + share
    (low, high), value = slopes(first.slope, loose), least(value, share)

    def radius(L: float | Tensor) -> Tensor:
        def safe(reach: Radius) -> Tensor:
            farthest = reach(value)
            allowance = general_score(high, farthest, alpha, L, share, loose)
            return torch.minimum(farthest, reach(value - allowance)) * (1 - 64 * EPS)

        along = safe(lambda v: lowest_radius_along(v, low, high, alpha, L))
        against = safe(lambda v: radius_against(v, high, alpha, L))
        return sign_aware(along, against, agrees, local.neighbor)

    return best_ball(L, local, radius) if callable(L) else radius(known(L))


def known(L: float | None) -> float:
    """L, where there is one."""
    if L is None:
        raise ValueError("L must be a number >= 0 for Theorems 8 and E', got None")
    return L


def lowest_radius_along(
    value: Tensor, low: Tensor, high: Tensor, alpha: float, L: float | Tensor
) -> Tensor:
    """The least rho_+(v, G) of :prf:ref:`Theorem E <theorem-e>` over G in [`low`, `high`], each
    (n,): rho_+ at either end, or sqrt(2 v/L) where G = sqrt(2 v L) lies between.

    Proof. Minimise (E3) over G as well, with D = nu - G in [max(-G, -L t), L t]:
    v - L t^2/4 + (alpha - t) G + D^2/(4 L) + (alpha - t/2) D. For t >= alpha it falls with G, so
    that G = `high` is worst. For t < alpha the best D is max(-G, -L t): where G >= L t it grows
    with G, where G < L t it is v - L t^2/4 - t G/2 + G^2/(4 L), which falls with G. So the worst G
    is that of [low, high] nearest to L t, and at G = L t the value is v - L t^2/2.
    """
    ends = torch.minimum(radius_along(value, low, alpha, L), radius_along(value, high, alpha, L))
    root = (2 * value.clamp(min=0) / L).sqrt()
    inside = (value > 0) & (L * root >= low) & (L * root <= high)
    return torch.where(inside, torch.minimum(ends, root), ends)


def best_ball(constants: Constants, local: Local, radius: Radius) -> Tensor:
    """The largest min{R, radius(L_R)} over the R tried: it is valid for each, since L_R holds on
    the ball of radius R. The search takes L_R not to decrease with R, and checks it where it
    looks, at the oracle's radius too."""
    x, tried = local.x, []

    def attempt(R: Tensor) -> tuple[Tensor, Tensor]:
        L = constants_within(constants, x, R)
        tried.append((R, L))
        found = where_bounded(L, radius)
        return found, torch.minimum(R, found)

    point = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    high = torch.minimum(attempt(point)[0], largest_ball(x, local.norm))
    best = attempt(high)[1]
    low = torch.maximum(best, 1e-12 * high)
    for _ in range(SEARCH):
        middle = low.sqrt() * high.sqrt()
        found, safe = attempt(middle)
        best = torch.maximum(best, safe)
        larger = found >= middle
        low, high = torch.where(larger, middle, low), torch.where(larger, high, middle)
    oracle = torch.minimum(local.neighbor.to(x), largest_ball(x, local.norm))
    best = torch.maximum(best, attempt(oracle)[1])
    check_increasing(tried)
    return best


def check_increasing(tried: Sequence[tuple[Tensor, Tensor]]) -> None:
    """A ValueError where a larger radius (n,) came with a smaller constant (n,), by more than
    rounding."""
    radii, constants = (torch.stack(values) for values in zip(*tried, strict=True))
    order = radii.argsort(dim=0)
    L = constants.gather(0, order)
    most = L.cummax(dim=0).values
    falls = most * (1 - 1e-6) > L
    if falls.any():
        place = int(falls.nonzero()[0, 1])
        larger, smaller = most[:, place].max().item(), L[-1, place].item()
        raise ValueError(
            "gradient_lipschitz must not decrease with the radius, since a constant for a ball "
            f"serves every smaller one, got {larger:g} and then {smaller:g} at point {place} of x"
        )


def constants_within(constants: Constants, x: Tensor, radius: Tensor) -> Tensor:
    """L (n,) for the closed balls of the radii (n,) around the points `x` (n, *shape), checked."""
    L: object = constants(x, radius)
    if not isinstance(L, Tensor) or tuple(L.shape) != (len(x),):
        given = tuple(L.shape) if isinstance(L, Tensor) else type(L).__name__
        raise ValueError(
            f"gradient_lipschitz must return a tensor of shape ({len(x)},) "
            f"for {len(x)} points, got {given}"
        )
    L = L.detach().to(radius)
    if not (L >= 0).all():
        least = L[~(L >= 0)][0].item()
        raise ValueError(f"gradient_lipschitz must return numbers >= 0, got {least:g}")
    return L


def where_bounded(L: Tensor, radius: Radius) -> Tensor:
    """radius(L), and 0 where L is infinite."""
    bounded = torch.isfinite(L)
    return torch.where(bounded, radius(torch.where(bounded, L, 0.0)), 0.0)


def largest_ball(x: Tensor, norm: Norm) -> Tensor:
    """The largest radii (n,) at which a local constant is asked for."""
    return 1e9 * (1 + norm(norm.movable(x.flatten(1))))


def gradient_of(output: Tensor, x: Tensor) -> Tensor:
    """The gradient of each of the numbers `output` (n,) by its own row of `x`, or a ValueError
    where torch has none."""
    if not output.requires_grad:
        raise ValueError(
            "function must be differentiable by torch, got an output without a gradient"
        )
    (gradient,) = torch.autograd.grad(output, x, torch.ones_like(output))
    return gradient


def refuse_kinks(score: "Score", x: Tensor) -> None:
    """A ValueError where an operation of the function at `x` is not known to be smooth."""
    x, judge = x.detach().to(score.device, score.dtype).requires_grad_(), Judge()
    with Watch(x, judge):
        output = score.evaluate(x)
    kink = judge.verdict(output)
    if kink is not None:
        raise ValueError(
            f"gradient_lipschitz must be None for a function with {kink}: its gradient jumps, or "
            "is not known not to, so that a certificate from Theorem 8 may be false; use smooth "
            "operations (softplus with threshold=40, tanh), or say assume_smooth=True if you have "
            "proved that L exists"
        )


def refuse_gradient(score: "Score", x: Tensor) -> None:
    """A ValueError where no difference quotient comes near the gradient: a backward of its own, or
    a detached part."""
    value, gradient = score.value_and_gradient(x)
    unit, size = (score.observed or observed(score.dtype)).unit, 1 + x.abs().max().item()
    seeded = torch.Generator().manual_seed(0)
    way = torch.randn(x.flatten(1).shape, generator=seeded, dtype=torch.float64).to(value)
    way = (way / way.norm(dim=1, keepdim=True)).reshape(x.shape)
    told, close = torch.zeros((2, len(x)), dtype=torch.bool, device=value.device)
    for shrink in (1.0, 0.1, 1e-2, 1e-4):
        step = shrink * size * unit ** (1 / 3) * way
        ahead, behind = score.inside(x.to(way) + step), score.inside(x.to(way) - step)
        rise = (gradient * (ahead - behind)).flatten(1).sum(1)
        gap = (score.value(ahead) - score.value(behind) - rise).abs()
        most = gradient.flatten(1).norm(dim=1) * (ahead - behind).flatten(1).norm(dim=1)
        rounded = 64 * unit * (1 + value.abs())
        clear = rounded < 1e-3 * most
        told |= clear
        close |= clear & (gap <= max(1e-6, unit**0.5) * most + rounded)
    if (told & ~close).any():
        raise ValueError(
            "gradient_lipschitz must be None for a function whose gradient, as torch gives it, is "
            "not that of its values: a custom backward or a detached part changes it; "
            "say assume_smooth=True if that is meant"
        )
