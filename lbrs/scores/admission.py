"""The door of every score: a function is admitted by watching it compute, not by what it is called.

Watched are all torch operations of a forward pass, with their types and arguments, whoever calls them: modules, lambdas,
traced, scripted and compiled code. What no operation shows is found by comparing runs: one input twice, two inputs,
rows alone, together and in another order.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lbrs.scores.kinks import Judge
from lbrs.scores.operations import SHAPES

PROBES = 3
"""So many of the points given are looked at, and as many that are drawn in their range."""

SHARES = {torch.float64: 1e-10, torch.float32: 1e-4}
"""How far a computed score is taken to be off, as a share of 1 + its size, unless `rounding` says otherwise."""

SILENT = {
    "detach",
    "alias",
}  # operations of torch's own book-keeping, which may differ from run to run
PRODUCTS = {
    "mm",
    "addmm",
    "bmm",
    "baddbmm",
    "addmv",
    "mv",
    "convolution",
    "convolution_backward",
    "linear",
}
OFF = {
    "p",
    "dropout_p",
    "dropout",
    "train",
    "training",
}  # arguments whose 0 or False turns the chance of an operation off


REMEDY = (
    "rows change with what is beside them, as through batch statistics: use evaluation mode or a layer that "
    "normalises each point alone; if it is rounding, say how much with rounding="
)


@dataclass(frozen=True)
class Observed:
    """What was seen while a function computed: its lowest floating type, that type's `unit` (eps), and how it is called in messages."""

    dtype: torch.dtype
    unit: float
    name: str


@dataclass(eq=False)
class Watch(TorchDispatchMode):
    """Watches one forward pass on `x`; raises a ValueError before an operation that a score must not have."""

    x: Tensor
    judge: Judge | None = None
    transcript: list[tuple] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.source = _storage(self.x)
        self.moving, self.made = {self.source}, set()
        self.held = [self.x]  # so that neither an id nor a storage is used twice
        self.lowest = _precision(self.x)
        if self.judge is not None:
            self.judge.begin(self.x)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        own = func.overloadpacket.__name__ in SHAPES  # their results hold no number of x
        moving = [] if own else [tensor for tensor in given if _storage(tensor) in self.moving]
        _refuse_chance(func, args, kwargs)
        self._refuse_writing(func, args, kwargs)
        if func.overloadpacket.__name__ not in SILENT:
            foreign = [
                tensor for tensor in given if _storage(tensor) not in self.moving | self.made
            ]
            plain = [
                repr(leaf) for leaf in tree_leaves((args, kwargs)) if not isinstance(leaf, Tensor)
            ]
            self.transcript.append((str(func), plain, [tensor.detach() for tensor in foreign]))
        result = func(*args, **kwargs)
        found = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.held += given + found
        self._mark(func, given, moving, found)
        if self.judge is not None and moving:
            self.judge.step(func, args, kwargs, found, {id(tensor) for tensor in moving})
        return result

    def depends(self, output: Tensor) -> bool:
        """Whether numbers of x went into `output`, as far as operations show."""
        return _storage(output) in self.moving

    def _mark(self, func, given: list[Tensor], moving: list[Tensor], found: list[Tensor]) -> None:
        known = {_storage(tensor) for tensor in given}
        for tensor in found:
            if moving:
                self.moving.add(_storage(tensor))
            elif _storage(tensor) not in known:
                self.made.add(_storage(tensor))
        for tensor in moving + found if moving else ():
            self.lowest = max(self.lowest, _precision(tensor, func), key=lambda seen: seen.unit)

    def _refuse_writing(self, func, args, kwargs) -> None:
        name = func.overloadpacket.__name__
        for argument, value in _arguments(func, args, kwargs):
            writes = argument.alias_info is not None and argument.alias_info.is_write
            if name.endswith("batch_norm") and argument.name in ("running_mean", "running_var"):
                writes = dict((a.name, v) for a, v in _arguments(func, args, kwargs)).get(
                    "training", False
                )
            for tensor in tree_leaves(value) if writes else ():
                if isinstance(tensor, Tensor) and _storage(tensor) == self.source:
                    raise ValueError(
                        f"function must leave its input as it is, got {name}, which writes into it"
                    )
                if isinstance(tensor, Tensor) and _storage(tensor) not in self.moving | self.made:
                    raise ValueError(
                        f"function must not change what it computes with, got {name} on a tensor of its own: "
                        "put it into evaluation mode (.eval()) and keep no state between calls"
                    )


def admit(
    evaluate: Callable[[Tensor], Tensor],
    x: Tensor,
    rounding: float | None,
    *,
    most: int = 2 * PROBES,
    unseen: bool = False,
) -> Observed:
    """Look at `evaluate` (n, *shape) -> (n, ...) at a few points in the range of `x`, and say in what precision it computes.

    A ValueError that begins with "function" refuses: a random operation, by name; a state that is changed; what comes from x
    unseen by torch, as through NumPy or a Python number; values that differ from call to call; and rows that see each other.
    Values may differ by `rounding` (or the type's share) of 1 + their size, as far as certificates allow for it.
    `most`: no more points are evaluated at once. `unseen`: the user answers for what torch cannot watch.
    """
    probes, value = _probes(x)[:most], None
    with suppress(ValueError):
        value = evaluate(probes)
    if value is None or not torch.isfinite(value).all():
        probes = x[: min(most, PROBES)].clone()
        value = evaluate(probes)
    others = probes.flip(0) if len(probes) > 1 else probes
    others = others.lerp(probes, 0.25) if probes.is_floating_point() else others
    seen = _watched_twice(evaluate, probes, others, unseen)
    share = 2 * max(rounding or 0.0, SHARES.get(seen.dtype, min(0.25, 32 * seen.unit)))
    _compare(
        value,
        evaluate(probes),
        share,
        "be the same for the same points",
        "keep chance and state out of it",
    )
    alone = _alone(evaluate, probes)
    turned = evaluate(probes.flip(0)).flip(0)
    for other in (alone, turned):
        _compare(value, other, share, "see each row on its own", REMEDY)
    return seen


def _alone(evaluate: Callable[[Tensor], Tensor], probes: Tensor) -> Tensor:
    """The values of points that are given one at a time."""
    try:
        return torch.cat([evaluate(row) for row in probes.split(1)])
    except Exception as error:
        raise ValueError(
            f"function must see each row on its own, got an error for a point alone: {error}; {REMEDY}"
        ) from error


def observed(dtype: torch.dtype) -> Observed:
    """What a function that computes in `dtype` throughout shows."""
    return Observed(dtype, torch.finfo(dtype).eps, str(dtype))


def signature(function: object) -> tuple:
    """What may change between two calls and would make `function` another one: weights, modes, hooks, precision of products."""
    state: list = [_product_unit(torch.device("cpu")), _product_unit(torch.device("cuda"))]
    if isinstance(function, nn.Module):
        for module in function.modules():
            state.append(
                (
                    id(module),
                    module.training,
                    len(module._forward_hooks),
                    len(module._forward_pre_hooks),
                )
            )
            held = (*module._parameters.values(), *module._buffers.values())
            state += [
                (id(tensor), 0 if tensor.is_inference() else tensor._version)
                for tensor in held
                if tensor is not None
            ]
    return tuple(state)


def _probes(x: Tensor) -> Tensor:
    """Rows of `x`, and rows drawn uniformly from its range."""
    rows = x[torch.linspace(0, len(x) - 1, min(PROBES, len(x)), device=x.device).long().unique()]
    low, high = rows.min().double().item(), rows.max().double().item()
    low, high = (low, high) if high > low else (low - 1, high + 1)
    share = torch.rand(
        (PROBES, *x.shape[1:]), generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    drawn = (low + (high - low) * share).to(rows)
    return torch.cat([rows, drawn.clamp(low, high) if x.is_floating_point() else drawn])


def _watched_twice(
    evaluate: Callable[[Tensor], Tensor], first: Tensor, second: Tensor, unseen: bool
) -> Observed:
    """What two watched passes show; a ValueError where they differ in more than the numbers that come from x."""
    for attempt in range(2):  # a script may be compiled in between
        watches, outputs = [Watch(first), Watch(second)], []
        for watch in watches:
            with watch:
                outputs.append(evaluate(watch.x))
        difference = _difference(watches[0].transcript, watches[1].transcript)
        if difference is None:
            break
    if difference is not None and not unseen:
        raise ValueError(
            f"function must compute with torch operations that can be watched, got {difference} that depends on the "
            "points unseen, as through NumPy, a Python number or a branch"
        )
    if (
        not unseen
        and not watches[0].depends(outputs[0])
        and not torch.equal(outputs[0], outputs[1])
    ):
        raise ValueError(
            "function must compute with torch operations that can be watched, got an output that comes from elsewhere, "
            "as through NumPy"
        )
    return max((watch.lowest for watch in watches), key=lambda seen: seen.unit)


def _difference(first: list[tuple], second: list[tuple]) -> str | None:
    """The operation at which two transcripts part, or None."""
    for (name, plain, foreign), (other, scalars, tensors) in zip(first, second, strict=False):
        if name != other:
            return f"the operation {_short(name)}"
        if plain != scalars:
            return f"an argument of {_short(name)}"
        if len(foreign) != len(tensors) or not all(
            _same(a, b) for a, b in zip(foreign, tensors, strict=True)
        ):
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
    if _storage(a) == _storage(b) or not a.numel():
        return True
    return bool(
        torch.equal(a, b)
        or torch.equal(a.isnan(), b.isnan())
        and torch.equal(a.nan_to_num(), b.nan_to_num())
    )


def _compare(value: Tensor, other: Tensor, share: float, must: str, remedy: str) -> None:
    gap = (value - other).abs()
    wrong = ~(gap <= share * (1 + value.abs()))
    if wrong.any():
        raise ValueError(
            f"function must {must}, got values that differ by {gap[wrong].max().item():.3g}; {remedy}"
        )


def _refuse_chance(func, args, kwargs) -> None:
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return
    for argument, value in _arguments(func, args, kwargs):
        if argument.name in OFF and isinstance(value, (bool, int, float)) and not value:
            return
    raise ValueError(
        f"function must leave nothing to chance, got the random operation {func.overloadpacket.__name__}: "
        "put it into evaluation mode (.eval()), and draw no numbers in it"
    )


def _arguments(func, args, kwargs) -> list[tuple]:
    """The arguments of the operation's schema with the values they have in this call."""
    named = func._schema.arguments
    given = list(zip(named, args, strict=False))
    return given + [
        (argument, kwargs.get(argument.name, argument.default_value))
        for argument in named[len(args) :]
    ]


def _storage(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):
        return id(tensor)


def _precision(tensor: Tensor, func=None) -> Observed:
    """The type of a tensor as a precision: none lower than exact for whole numbers."""
    if tensor.is_quantized:
        return Observed(tensor.dtype, 1.0, str(tensor.dtype))
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return observed(torch.float64)
    dtype = tensor.dtype.to_real() if tensor.is_complex() else tensor.dtype
    name = None if func is None else func.overloadpacket.__name__
    unit = _product_unit(tensor.device) if dtype == torch.float32 and name in PRODUCTS else 0.0
    if unit > torch.finfo(dtype).eps:
        return Observed(
            torch.bfloat16 if unit > 2.0**-10 else torch.float16,
            unit,
            "float32 products in less than float32",
        )
    return observed(dtype)


def _product_unit(device: torch.device) -> float:
    """The unit in which torch multiplies float32 matrices on `device`."""
    units = {"none": 2.0**-23, "ieee": 2.0**-23, "tf32": 2.0**-10}
    backends = torch.backends
    cpu, gpu = (
        (backends.mkldnn.matmul, backends.mkldnn.conv),
        (backends.cuda.matmul, backends.cudnn.conv),
    )
    told = (backends, *(gpu if device.type == "cuda" else cpu))
    return max(units.get(switch.fp32_precision, 2.0**-7) for switch in told)
