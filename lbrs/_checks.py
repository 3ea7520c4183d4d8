"""Checks at the door: each names the argument, what was given and what is allowed.

Points may lie on any device: they are moved to where the model computes, and its results lie there.
"""

import math
from collections.abc import Iterator
from numbers import Real

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

ArrayLike = Tensor | npt.ArrayLike
"""What is accepted where numbers are asked for: a tensor, an array, a list of lists, a number."""

ELEMENTS = 2**23
"""Most float64 numbers (64 MiB) that one chunk of a batched computation may hold."""


def digits(value: float) -> str:
    """`value` as short as can be, with all digits that tell it from every other float64.

    >>> digits(1.0), digits(1 + 1.2e-7)
    ('1', '1.00000012')
    """
    short = f"{value:g}"
    return short if float(short) == value or value != value else repr(float(value))


def shown(value: object) -> str:
    """repr(value), or the class of an object that has no repr."""
    try:
        return repr(value)
    except Exception:
        return f"an object of the class {type(value).__name__}"


def number(
    name: str,
    value: object,
    *,
    low: float,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
    infinite: bool = False,
) -> float:
    """`value` as a float, or an error unless it is a number in the interval from `low` to `high`;
    a finite one, or inf too if `infinite`."""
    allowed = f"a {'' if infinite else 'finite '}number {'>' if open_low else '>='} {digits(low)}"
    if high != math.inf:
        allowed += f" and {'<' if open_high else '<='} {digits(high)}"
    if infinite:
        allowed += " or inf"
    if isinstance(value, (Tensor, np.ndarray)) and value.ndim == 0:
        value = dense(name, value).item() if isinstance(value, Tensor) else value.item()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {allowed}, got {shown(value)}")
    try:
        result = float(value)
    except OverflowError:
        raise ValueError(f"{name} must be {allowed}, got a number beyond float64") from None
    above = result > low if open_low else result >= low
    below = result < high if open_high else result <= high
    if not (math.isfinite(result) or (infinite and result == math.inf)) or not (above and below):
        raise ValueError(f"{name} must be {allowed}, got {shown(value)}")
    return result


def fraction(name: str, value: object) -> float:
    """`value` as a float, or an error unless it is a number strictly between 0 and 1."""
    return number(name, value, low=0, high=1, open_low=True, open_high=True)


def generator_or_none(name: str, value: object) -> None:
    """An error unless `value` is a torch generator or None."""
    if value is not None and not isinstance(value, torch.Generator):
        given = type(value).__name__
        raise TypeError(f"{name} must be a torch.Generator or None, got {given}")


def integer(name: str, value: object, *, low: int) -> int:
    """`value` as an int, or an error unless it is a whole number of at least `low`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number >= {low}, got {shown(value)}")
    if value < low:
        raise ValueError(f"{name} must be a whole number >= {low}, got {shown(value)}")
    return int(value)


def dense(name: str, values: Tensor) -> Tensor:
    """`values` detached, as a plain tensor that shares its memory, or a TypeError unless it has
    data for every entry: not sparse, nested, quantized, masked or on the meta device."""
    kind = type(values)
    given = next(
        (
            told
            for wrong, told in (
                (values.is_nested, "a nested tensor"),
                (values.layout != torch.strided, f"layout {values.layout}"),
                (values.is_meta, "device meta"),
                (values.is_quantized, f"the quantized dtype {values.dtype}"),
                (kind.__torch_dispatch__ is not Tensor.__torch_dispatch__, f"a {kind.__name__}"),
            )
            if wrong
        ),
        None,
    )
    if given is not None:
        raise TypeError(f"{name} must be a dense tensor with data, got {given}")
    return values.detach().as_subclass(Tensor).resolve_neg()


def _real(name: str, values: object) -> Tensor:
    """`values` as a detached float64 tensor of any real numbers, NaN and inf among them."""
    if isinstance(values, Tensor):
        result = dense(name, values)
    else:
        try:
            given = np.asarray(values)
        except (TypeError, ValueError, RuntimeError) as error:
            told = type(values).__name__
            raise TypeError(
                f"{name} must be a torch tensor or an array of real numbers, got {told}"
            ) from error
        if isinstance(values, np.ma.MaskedArray):
            raise TypeError(f"{name} must have a number in every entry, got a masked array")
        if given.dtype.kind not in "iuf":
            raise TypeError(f"{name} must hold real numbers, got dtype {given.dtype}")
        result = torch.from_numpy(np.require(given, np.float64, ["C", "W"]))
    if result.dtype == torch.bool or result.is_complex():
        raise TypeError(f"{name} must hold real numbers, got dtype {result.dtype}")
    try:
        return result.to(torch.float64)
    except (RuntimeError, TypeError) as error:
        told = f"dtype {result.dtype} on {result.device}"
        raise TypeError(f"{name} must hold numbers that can be float64, got {told}") from error


def array(name: str, values: object) -> Tensor:
    """`values` as a detached float64 tensor on the device it is on, or an error unless all are
    finite real numbers. It may share the caller's memory: take what is kept by `owned`."""
    result = _real(name, values)
    if result.numel() and not max(-result.min().item(), result.max().item()) <= 1e150:
        _refuse(name, result)
    return result


def owned(name: str, values: object) -> Tensor:
    """As `array`, in memory of its own, which later changes of `values` in place do not reach."""
    return array(name, values).clone(memory_format=torch.contiguous_format)


def _refuse(name: str, values: Tensor) -> None:
    finite = torch.isfinite(values)
    if (values[finite].abs() > 1e150).any():
        largest = digits(values[finite].abs().max().item())
        raise ValueError(
            f"{name} must hold numbers of at most 1e150 in size, so that their squares can be "
            f"computed, got {largest}"
        )
    wrong = (~finite).sum().item()
    raise ValueError(
        f"{name} must hold finite numbers only, got {wrong} NaN or infinite of {values.numel()}"
    )


def batch(name: str, values: object, shape: tuple[int, ...] | None = None) -> Tensor:
    """`values` as a float64 tensor (n, *shape), checked as by `array`; any shape with at least one
    axis after the first if `shape` is None."""
    result = array(name, values)
    given = tuple(result.shape)
    allowed = "(n, *shape)" if shape is None else f"(n, {', '.join(map(str, shape))})"
    if result.ndim < 2 or (shape is not None and given[1:] != tuple(shape)):
        raise ValueError(
            f"{name} must have shape {allowed}, got {given}; a single point x is passed as x[None]"
        )
    if shape is None and 0 in given[1:]:
        raise ValueError(
            f"{name} must have shape {allowed} without an empty feature axis, got {given}"
        )
    return result


def labels(name: str, values: object, n: int) -> Tensor:
    """`values` as a float64 tensor (n,) of -1 and +1."""
    result = _column(name, array(name, values), n, "label")
    wrong = result[result.abs() != 1]
    if len(wrong):
        raise ValueError(f"{name} must be -1 or +1, got {digits(wrong[0].item())}")
    return result


def classes(name: str, values: object, n: int, count: int) -> Tensor:
    """`values` as a float64 tensor (n,) of whole numbers from 0 to count - 1."""
    result = _column(name, array(name, values), n, "class")
    wrong = result[(result != result.floor()) | (result < 0) | (result >= count)]
    if len(wrong):
        told = digits(wrong[0].item())
        raise ValueError(f"{name} must be whole numbers from 0 to {count - 1}, got {told}")
    return result


def radii(name: str, values: object, n: int) -> Tensor:
    """`values` as a float64 tensor (n,) of numbers >= 0, inf allowed."""
    result = _column(name, _real(name, values), n, "radius")
    wrong = result[~(result >= 0)]
    if len(wrong):
        raise ValueError(f"{name} must be >= 0, got {digits(wrong[0].item())}")
    return result


def _column(name: str, values: Tensor, n: int, kind: str) -> Tensor:
    if tuple(values.shape) != (n,):
        given = tuple(values.shape)
        raise ValueError(f"{name} must have shape ({n},), one {kind} a point, got {given}")
    return values


def chunks(n: int, row: int) -> Iterator[slice]:
    """Slices that cut n rows of `row` numbers each into pieces of at most ELEMENTS numbers."""
    step = max(1, ELEMENTS // max(1, row))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))
