"""Watching a function compute: its operations, their types and arguments, what depends on x."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lbrs.scores.kinks import Args, Judge, Kwargs
from lbrs.scores.operations import SHAPES, arguments, by_name, is_written, place

SILENT = {"detach", "alias"}
"""Operations of torch's own book-keeping, which may differ from run to run."""

PRODUCTS = set("mm addmm bmm baddbmm addmv mv convolution convolution_backward linear".split())
"""Operations for which torch may compute in less than the type of their arguments."""

OFF = {"p", "dropout_p", "dropout", "train", "training"}
"""Arguments whose 0 or False turns the chance of an operation off."""

Call = tuple[str, list[str], list[Tensor]]
"""An operation's name, its plain arguments, and the tensors that come from outside."""


@dataclass(frozen=True)
class Observed:
    """What was seen while a function computed.

    dtype: its lowest floating type. unit: that type's eps. name: how it is called in messages.
    """

    dtype: torch.dtype
    unit: float
    name: str


@dataclass(eq=False)
class Watch(TorchDispatchMode):
    """Watches one forward pass on `x`; a ValueError before an operation that no score may have.

    `moving`: places of tensors that depend on x. `made`: of those that the function made of
    nothing else. `held`: all tensors seen, so that neither an id nor a place is used twice.
    """

    x: Tensor
    judge: Judge | None = None
    transcript: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.source = place(self.x)
        self.moving: set[int] = {self.source}
        self.made: set[int] = set()
        self.held = [self.x]
        self.lowest = precision(self.x)
        if self.judge is not None:
            self.judge.begin(self.x)

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: Args = (), kwargs: Kwargs | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = tensors((args, kwargs))
        shape_only = name_of(func) in SHAPES
        moving = [] if shape_only else [one for one in given if place(one) in self.moving]
        refuse_chance(func, args, kwargs)
        self._refuse_writing(func, args, kwargs)
        if name_of(func) not in SILENT:
            self.transcript.append(self._call(func, args, kwargs))
        result = func(*args, **kwargs)
        found = tensors(result)
        self.held += given + found
        self._mark(func, given, moving, found)
        if self.judge is not None and moving:
            self.judge.step(func, args, kwargs, found, {id(one) for one in moving})
        return result

    def depends(self, output: Tensor) -> bool:
        """Whether numbers of x went into `output`, as far as operations show."""
        return place(output) in self.moving

    def _foreign(self, one: Tensor) -> bool:
        """Whether the function has this tensor from elsewhere, as its weights."""
        return place(one) not in self.moving | self.made

    def _call(self, func: OpOverload, args: Args, kwargs: Kwargs) -> Call:
        leaves = tree_leaves((args, kwargs))
        plain = [repr(leaf) for leaf in leaves if not isinstance(leaf, Tensor)]
        foreign = [one.detach() for one in tensors(leaves) if self._foreign(one)]
        return str(func), plain, foreign

    def _mark(
        self, func: OpOverload, given: list[Tensor], moving: list[Tensor], found: list[Tensor]
    ) -> None:
        """Note where the results come from, and in what precision they were computed."""
        if not moving:
            known = {place(one) for one in given}
            self.made |= {place(one) for one in found} - known
            return
        self.moving |= {place(one) for one in found}
        seen = [self.lowest, *(precision(one, func) for one in moving + found)]
        self.lowest = lowest(seen)

    def _refuse_writing(self, func: OpOverload, args: Args, kwargs: Kwargs) -> None:
        for one in tensors(written(func, args, kwargs)):
            if place(one) == self.source:
                raise ValueError(
                    f"function must leave its input as it is, got {name_of(func)}, "
                    "which writes into it"
                )
            if self._foreign(one):
                raise ValueError(
                    f"function must not change what it computes with, got {name_of(func)} on a "
                    "tensor of its own: put it into evaluation mode (.eval()) and keep no state "
                    "between calls"
                )


def tensors(values: Any) -> list[Tensor]:
    """The tensors in nested containers."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def name_of(func: OpOverload) -> str:
    """The name of an operation, without its overload."""
    return str(func.overloadpacket.__name__)


def written(func: OpOverload, args: Args, kwargs: Kwargs) -> list[Any]:
    """What the operation writes into; a normalisation that trains its running statistics, too."""
    given = arguments(func, args, kwargs)
    values = [value for argument, value in given.items() if is_written(argument)]
    named = by_name(func, args, kwargs)
    if name_of(func).endswith("batch_norm"):
        statistics = [named.pop(name, None) for name in ("running_mean", "running_var")]
        known = set(map(id, statistics))
        values = [value for value in values if id(value) not in known]
        values += statistics if named.get("training", False) else []
    return values


def refuse_chance(func: OpOverload, args: Args, kwargs: Kwargs) -> None:
    """A ValueError for an operation that draws numbers."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return
    for name, value in by_name(func, args, kwargs).items():
        if name in OFF and isinstance(value, (bool, int, float)) and not value:
            return
    raise ValueError(
        f"function must leave nothing to chance, got the random operation {name_of(func)}: "
        "put it into evaluation mode (.eval()), and draw no numbers in it"
    )


def observed(dtype: torch.dtype) -> Observed:
    """What a function that computes in `dtype` throughout shows."""
    return Observed(dtype, torch.finfo(dtype).eps, str(dtype))


def lowest(seen: Iterable[Observed]) -> Observed:
    """The first with the largest unit."""
    return max(seen, key=lambda one: one.unit)


def precision(tensor: Tensor, func: OpOverload | None = None) -> Observed:
    """The type of a tensor as a precision: none lower than exact for whole numbers."""
    if tensor.is_quantized:
        return Observed(tensor.dtype, 1.0, str(tensor.dtype))
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return observed(torch.float64)
    dtype = tensor.dtype.to_real() if tensor.is_complex() else tensor.dtype
    multiplies = func is not None and name_of(func) in PRODUCTS
    unit = product_unit(tensor.device) if multiplies and dtype == torch.float32 else 0.0
    if unit > torch.finfo(dtype).eps:
        half = torch.bfloat16 if unit > 2.0**-10 else torch.float16
        return Observed(half, unit, "float32 products in less than float32")
    return observed(dtype)


def product_unit(device: torch.device) -> float:
    """The unit in which torch multiplies float32 matrices on `device`."""
    units = {"none": 2.0**-23, "ieee": 2.0**-23, "tf32": 2.0**-10}
    backends: Any = torch.backends  # its switches have no types
    if device.type == "cuda":
        switches = backends, backends.cuda.matmul, backends.cudnn.conv
    else:
        switches = backends, backends.mkldnn.matmul, backends.mkldnn.conv
    return max(units.get(switch.fp32_precision, 2.0**-7) for switch in switches)
