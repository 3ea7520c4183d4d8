"""Checks at the door: each names the argument, what was given and what is allowed."""

import math
from numbers import Real

import numpy as np
import torch
from torch import Tensor

ELEMENTS = 2**23
"""Most float64 numbers (64 MiB) that one chunk of a batched computation may hold."""


def number(name: str, value: object, *, low: float, high: float = math.inf, open_low: bool = False, open_high: bool = False) -> float:
    """`value` as a float, or an error unless it is a finite number in the interval from `low` to `high`."""
    allowed = f"a finite number {'>' if open_low else '>='} {low:g}"
    if high != math.inf:
        allowed += f" and {'<' if open_high else '<='} {high:g}"
    if isinstance(value, (Tensor, np.ndarray)) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {allowed}, got {value!r}")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    inside = (result > low if open_low else result >= low) and (result < high if open_high else result <= high)
    if not math.isfinite(result) or not inside:
        raise ValueError(f"{name} must be {allowed}, got {value!r}")
    return result


def integer(name: str, value: object, *, low: int) -> int:
    """`value` as an int, or an error unless it is a whole number of at least `low`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number >= {low}, got {value!r}")
    if value < low:
        raise ValueError(f"{name} must be a whole number >= {low}, got {value!r}")
    return int(value)


def array(name: str, values: object) -> Tensor:
    """`values` as a detached float64 tensor on the device it is on, or an error unless all are finite real numbers."""
    if isinstance(values, Tensor):
        result = values.detach()
    else:
        try:
            given = np.asarray(values)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"{name} must be a torch tensor or an array of real numbers, got {type(values).__name__}") from error
        if given.dtype.kind not in "iuf":
            raise TypeError(f"{name} must hold real numbers, got dtype {given.dtype}")
        result = torch.from_numpy(np.require(given, np.float64, ["C", "W"]))
    if result.dtype == torch.bool or result.is_complex():
        raise TypeError(f"{name} must hold real numbers, got dtype {result.dtype}")
    result = result.to(torch.float64)
    if result.numel() and not max(-result.min().item(), result.max().item()) <= 1e150:
        _refuse(name, result)
    return result


def _refuse(name: str, values: Tensor) -> None:
    finite = torch.isfinite(values)
    if (values[finite].abs() > 1e150).any():
        raise ValueError(f"{name} must hold numbers of at most 1e150 in size, so that their squares can be computed, got {values.abs().max().item():g}")
    raise ValueError(f"{name} must hold finite numbers only, got {(~finite).sum().item()} NaN or infinite of {values.numel()}")


def batch(name: str, values: object, shape: tuple[int, ...] | None = None) -> Tensor:
    """`values` as a float64 tensor (n, *shape); any shape with at least one axis after the first if `shape` is None."""
    result = array(name, values)
    allowed = "(n, *shape)" if shape is None else f"(n, {', '.join(map(str, shape))})"
    if result.ndim < 2 or (shape is not None and tuple(result.shape[1:]) != tuple(shape)):
        raise ValueError(f"{name} must have shape {allowed}, got {tuple(result.shape)}; a single point x is passed as x[None]")
    if shape is None and 0 in result.shape[1:]:
        raise ValueError(f"{name} must have shape {allowed} without an empty feature axis, got {tuple(result.shape)}")
    return result


def labels(name: str, values: object, n: int) -> Tensor:
    """`values` as a float64 tensor (n,) of -1 and +1."""
    result = array(name, values)
    if tuple(result.shape) != (n,):
        raise ValueError(f"{name} must have shape ({n},), one label a point, got {tuple(result.shape)}")
    wrong = result[result.abs() != 1]
    if len(wrong):
        raise ValueError(f"{name} must be -1 or +1, got {wrong[0].item():g}")
    return result


def classes(name: str, values: object, n: int, count: int) -> Tensor:
    """`values` as a float64 tensor (n,) of whole numbers from 0 to count - 1."""
    result = array(name, values)
    if tuple(result.shape) != (n,):
        raise ValueError(f"{name} must have shape ({n},), one class a point, got {tuple(result.shape)}")
    wrong = result[(result != result.floor()) | (result < 0) | (result >= count)]
    if len(wrong):
        raise ValueError(f"{name} must be whole numbers from 0 to {count - 1}, got {wrong[0].item():g}")
    return result


def radii(name: str, values: object, n: int) -> Tensor:
    """`values` as a float64 tensor (n,) of numbers >= 0, inf allowed."""
    result = values.detach().to(torch.float64) if isinstance(values, Tensor) else torch.as_tensor(values, dtype=torch.float64)
    if tuple(result.shape) != (n,):
        raise ValueError(f"{name} must have shape ({n},), one radius a point, got {tuple(result.shape)}")
    wrong = result[~(result >= 0)]
    if len(wrong):
        raise ValueError(f"{name} must be >= 0, got {wrong[0].item():g}")
    return result


def chunks(n: int, row: int):
    """Slices that cut n rows of `row` numbers each into pieces of at most ELEMENTS numbers."""
    step = max(1, ELEMENTS // max(1, row))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))
