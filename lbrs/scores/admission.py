"""The door of every score: a function is admitted by watching it compute, whatever it is called.

Watched are all torch operations of a forward pass, with their types and arguments, whoever calls
them: modules, lambdas, traced, scripted and compiled code. What no operation shows is found by
comparing runs: one input twice, two inputs, rows alone, together and in another order.
"""

from collections.abc import Callable, Hashable
from contextlib import suppress

import torch
from torch import Tensor, nn

from lbrs.scores.operations import place
from lbrs.scores.watching import Call, Observed, Watch, lowest, observed, product_unit

__all__ = [
    "PROBES",
    "SHARES",
    "Observed",
    "Watch",
    "admit",
    "first_type",
    "observed",
    "share_of",
    "signature",
]

PROBES = 3
"""So many of the points given are looked at, and as many that are drawn in their range."""

SHARES = {torch.float64: 1e-10, torch.float32: 1e-4}
"""How far a computed score is taken to be off, as a share of 1 + its size, if none is given."""

REMEDY = (
    "rows change with what is beside them, as through batch statistics: use evaluation mode or a "
    "layer that normalises each point alone; if it is rounding, say how much with rounding="
)

UNSEEN = "function must compute with torch operations that can be watched, got"

Evaluate = Callable[[Tensor], Tensor]


def admit(
    evaluate: Evaluate,
    x: Tensor,
    rounding: float | None,
    *,
    most: int = 2 * PROBES,
    unseen: bool = False,
) -> Observed:
    """Look at `evaluate` (n, *shape) -> (n, ...) at a few points in the range of `x`, and say in
    what precision it computes.

    A ValueError that begins with "function" refuses: a random operation, by name; a state that is
    changed; what comes from x unseen by torch, as through NumPy or a Python number; values that
    differ from call to call; and rows that see each other. Values may differ by `rounding` (or the
    type's share) of 1 + their size, as far as certificates allow for it.

    Parameters: `most`, no more points are evaluated at once; `unseen`, the user answers for what
    torch cannot watch.
    """
    probes, value = _evaluated(evaluate, x, most)
    others = probes.flip(0) if len(probes) > 1 else probes
    others = others.lerp(probes, 0.25) if probes.is_floating_point() else others
    seen = _watched_twice(evaluate, probes, others, unseen)
    share = 2 * max(rounding or 0.0, SHARES.get(seen.dtype, min(0.25, 32 * seen.unit)))
    again, same = evaluate(probes), "be the same for the same points"
    _compare(value, again, share, same, "keep chance and state out of it")
    alone = _alone(evaluate, probes)
    turned = evaluate(probes.flip(0)).flip(0)
    for other in (alone, turned):
        _compare(value, other, share, "see each row on its own", REMEDY)
    return seen


def share_of(seen: Observed) -> float:
    """The share in `SHARES` of what was seen, or a ValueError where there is none."""
    if seen.dtype not in SHARES:
        raise ValueError(
            f"rounding must be given for a function that computes in {seen.name} "
            f"(eps {seen.unit:.2g}), got None: say how far at most its value is off, "
            "as a share of 1 + its size, or compute in float32"
        )
    return SHARES[seen.dtype]


def first_type(evaluate: Callable[[Tensor, torch.dtype], Tensor], x: Tensor) -> torch.dtype | None:
    """The first type in which `evaluate` gives values at `x` (n, *shape), or None."""
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        with torch.no_grad(), suppress(Exception):
            evaluate(x, dtype)
            return dtype
    return None


def signature(function: object) -> Hashable:
    """What may change between two calls and would make `function` another one: weights, modes,
    hooks, precision of products.

    It is asked once a batch: about ten microseconds, and two more a layer.
    """
    units = product_unit(torch.device("cpu")), product_unit(torch.device("cuda"))
    if not isinstance(function, nn.Module):
        return units
    return units, *(_state(module) for module in function.modules())


def _state(module: nn.Module) -> Hashable:
    hooks = len(module._forward_hooks), len(module._forward_pre_hooks)
    held = *module._parameters.values(), *module._buffers.values()
    versions = [
        (id(tensor), 0 if tensor.is_inference() else tensor._version)
        for tensor in held
        if tensor is not None
    ]
    return id(module), module.training, hooks, tuple(versions)


def _evaluated(evaluate: Evaluate, x: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Probes and their values; only points of `x` where those drawn in its range have none."""
    probes = _probes(x)[:most]
    with suppress(ValueError):
        value = evaluate(probes)
        if torch.isfinite(value).all():
            return probes, value
    probes = x[: min(most, PROBES)].clone()
    return probes, evaluate(probes)


def _probes(x: Tensor) -> Tensor:
    """Rows of `x`, and rows drawn uniformly from its range."""
    rows = x[torch.linspace(0, len(x) - 1, min(PROBES, len(x)), device=x.device).long().unique()]
    low, high = rows.min().double().item(), rows.max().double().item()
    low, high = (low, high) if high > low else (low - 1, high + 1)
    seeded, size = torch.Generator().manual_seed(0), (PROBES, *x.shape[1:])
    drawn = (low + (high - low) * torch.rand(size, generator=seeded, dtype=torch.float64)).to(rows)
    return torch.cat([rows, drawn.clamp(low, high) if x.is_floating_point() else drawn])


def _alone(evaluate: Evaluate, probes: Tensor) -> Tensor:
    """The values of points that are given one at a time."""
    try:
        return torch.cat([evaluate(row) for row in probes.split(1)])
    except Exception as error:
        raise ValueError(
            f"function must see each row on its own, got an error for a point alone: {error}; "
            f"{REMEDY}"
        ) from error


def _watched_twice(evaluate: Evaluate, first: Tensor, second: Tensor, unseen: bool) -> Observed:
    """What two watched passes show; a ValueError where they differ in more than the numbers that
    come from x."""
    for _ in range(2):  # a script may be compiled in between
        watches, outputs = (Watch(first), Watch(second)), []
        for watch in watches:
            with watch:
                outputs.append(evaluate(watch.x))
        difference = _difference(watches[0].transcript, watches[1].transcript)
        if difference is None:
            break
    if difference is not None and not unseen:
        raise ValueError(
            f"{UNSEEN} {difference} that depends on the points unseen, "
            "as through NumPy, a Python number or a branch"
        )
    moves = not torch.equal(outputs[0], outputs[1])
    if moves and not unseen and not watches[0].depends(outputs[0]):
        raise ValueError(f"{UNSEEN} an output that comes from elsewhere, as through NumPy")
    return lowest(watch.lowest for watch in watches)


def _difference(first: list[Call], second: list[Call]) -> str | None:
    """The operation at which two transcripts part, or None."""
    for (name, plain, foreign), (other, scalars, tensors) in zip(first, second, strict=False):
        if name != other:
            return f"the operation {_short(name)}"
        if plain != scalars:
            return f"an argument of {_short(name)}"
        if len(foreign) != len(tensors) or not all(map(_same, foreign, tensors)):
            return f"a tensor in {_short(name)}"
    if len(first) != len(second):
        longer = max(first, second, key=len)
        return f"the operation {_short(longer[min(len(first), len(second))][0])}"
    return None


def _short(name: str) -> str:
    return name.split(".")[1] if "." in name else name


def _same(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
        return False
    if place(a) == place(b) or not a.numel() or torch.equal(a, b):
        return True
    return torch.equal(a.isnan(), b.isnan()) and torch.equal(a.nan_to_num(), b.nan_to_num())


def _compare(value: Tensor, other: Tensor, share: float, must: str, remedy: str) -> None:
    gap = (value - other).abs()
    wrong = ~(gap <= share * (1 + value.abs()))
    if wrong.any():
        most = gap[wrong].max().item()
        raise ValueError(f"function must {must}, got values that differ by {most:.3g}; {remedy}")
