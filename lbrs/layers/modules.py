"""The layers of which bounds are proved, taken by what they are exactly: no subclass, hook or
parametrization."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from lbrs._checks import integer, number
from lbrs.layers.arithmetic import RATES, SAFETY, VALUES
from lbrs.layers.steps import Map, Pool, Step, Unit, pair

ALLOWED = "Linear, Conv2d with zero padding, Flatten"
SMOOTH = f"{ALLOWED} and smooth activations (Softplus with threshold=40, Tanh, Sigmoid)"
ANY = f"{ALLOWED}, AvgPool2d, MaxPool2d, ReLU, LeakyReLU, Softplus with threshold=40, Tanh, Sigmoid"


def steps(network: nn.Sequential, shape: tuple[int, ...], *, smooth: bool = False) -> list[Step]:
    """What `network`, an nn.Sequential that maps points of `shape` to (n, 1), computes, one step a
    layer but Flatten.

    Taken is what torch's own layers are known to compute: a layer whose type is exactly one of
    Linear, Conv2d with zero padding, Flatten(), Softplus with beta > 0 and a threshold from 37 on,
    Tanh, Sigmoid, and unless `smooth` ReLU, LeakyReLU, AvgPool2d and MaxPool2d; with finite
    weights, without hooks, parametrizations, buffers or methods of its own. For anything else, or
    where the last step has more than one output, a ValueError or TypeError names the layer.
    """
    if type(network) is not nn.Sequential:
        raise TypeError(f"network must be an nn.Sequential, got {type(network).__name__}")
    here, found = _points(shape), []
    _refuse_changed("network", network)
    _refuse_global_hooks()
    for name, module in network.named_children():
        label = f"layer {name}, {type(module).__name__}"
        step = _step(module, label, here, SMOOTH if smooth else ANY, smooth)
        _refuse_changed(label, module)
        here = _after(module, here, label)
        found += [] if step is None else [step]
    if not any(step.linear for step in found):
        raise ValueError("network must end with a linear map to one number, got no linear map")
    _refuse_mixture(network)
    if math.prod(here) != 1:
        raise ValueError(
            f"network must end with a linear map to one number, got outputs of shape {here}"
        )
    return found


def _points(shape: tuple[int, ...]) -> tuple[int, ...]:
    if not isinstance(shape, (tuple, list, torch.Size)) or len(shape) == 0:
        raise ValueError(f"shape must be the shape of one point, such as (3,), got {shape!r}")
    return tuple(integer("shape", size, low=1) for size in shape)


def _step(
    module: nn.Module, label: str, shape: tuple[int, ...], allowed: str, smooth: bool
) -> Step | None:
    """The step that `module` is, None for Flatten, or a ValueError."""
    kind = type(module)
    if isinstance(module, nn.Flatten) and kind is nn.Flatten:
        if (module.start_dim, module.end_dim) != (1, -1):
            raise ValueError(
                f"network must have Flatten() from axis 1 to the last, got {module} as {label}"
            )
        return None
    if kind is nn.Linear and len(shape) != 1:
        raise ValueError(
            "network must have Flatten() before a Linear layer, got inputs of shape "
            f"{shape} for {label}"
        )
    step: Step | None = _map_or_pool(module, shape) if kind in LINEAR or not smooth else None
    if step is None and kind in UNITS:
        step = UNITS[kind](module, label)
    if step is not None and (step.smooth or not smooth):
        return step
    told = f"{kind.__module__}.{kind.__qualname__}" if kind.__name__ in allowed else str(module)
    raise ValueError(
        f"network must be made of {allowed}, got {label}: {told}, of which no bound is known here"
    )


def _map_or_pool(module: nn.Module, shape: tuple[int, ...]) -> Map | Pool | None:
    """The step of a layer that has weights or windows, None for another one."""
    kind = type(module)
    if isinstance(module, nn.Linear) and kind is nn.Linear:
        return Map(module, shape)
    if isinstance(module, nn.Conv2d) and kind is nn.Conv2d and module.padding_mode == "zeros":
        return Map(module, shape)
    if isinstance(module, nn.AvgPool2d) and kind is nn.AvgPool2d:
        plain = not module.ceil_mode and module.divisor_override is None
        return Map(module, shape) if plain else None
    if isinstance(module, nn.MaxPool2d) and kind is nn.MaxPool2d:
        plain = pair(module.dilation) == (1, 1) and module.return_indices is False
        return Pool(module, shape) if plain else None
    return None


def _after(module: nn.Module, shape: tuple[int, ...], label: str) -> tuple[int, ...]:
    """The shape after `module`."""
    weight = next(module.parameters(), torch.zeros(()))
    point = torch.zeros(1, *shape, dtype=weight.dtype, device=weight.device)
    try:
        with torch.no_grad():
            return tuple(module(point).shape[1:])
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"network must take points of its shape, got {shape} for {label}: {error}"
        ) from error


def _refuse_changed(label: str, module: nn.Module) -> None:
    """A ValueError for whatever would let `module` compute something else than its type says."""
    own = vars(module)
    hooked = [key for key, value in own.items() if "_hooks" in key and value]
    hooks = [key for key in hooked if "state_dict" not in key]
    if hooks:
        raise ValueError(
            f"network must have no hooks, got {', '.join(hooks)} in {label}: bounds would "
            "not see what they do"
        )
    shadowing = sorted(key for key in own if hasattr(type(module), key))
    if shadowing:
        raise ValueError(
            f"network must have layers as torch made them, got {', '.join(shadowing)} "
            f"changed in {label}"
        )
    if own["_buffers"]:
        raise ValueError(
            f"network must have no buffers, got {', '.join(own['_buffers'])} in {label}"
        )
    if type(module) is not nn.Sequential:
        _refuse_weights(label, own["_parameters"], own["_modules"])


def _refuse_weights(
    label: str, parameters: dict[str, Tensor | None], modules: dict[str, nn.Module]
) -> None:
    """A ValueError unless a layer has nothing but weights that are finite real numbers."""
    odd = [*(key for key in parameters if key not in ("weight", "bias")), *modules]
    given = {key: value for key, value in parameters.items() if value is not None}
    odd += [key for key, value in given.items() if type(value) not in (nn.Parameter, Tensor)]
    if odd:
        raise ValueError(f"network must have plain weights, got {', '.join(odd)} in {label}")
    for key, value in given.items():
        if not (value.is_floating_point() and torch.isfinite(value).all()):
            raise ValueError(
                "network must have finite real weights, got NaN, infinity or "
                f"{value.dtype} in {key} of {label}"
            )


def _refuse_global_hooks() -> None:
    """A ValueError for hooks on all modules."""
    names = [name for name, value in vars(torch_module).items() if value]
    names = [name for name in names if name.startswith("_global_") and name.endswith("_hooks")]
    given = [name for name in names if "registration" not in name]
    if given:
        raise ValueError(f"network must have no hooks, got {', '.join(given)} for all modules")


def _refuse_mixture(network: nn.Sequential) -> None:
    kinds = {f"{weight.dtype} on {weight.device}" for weight in network.parameters()}
    if len(kinds) > 1:
        raise ValueError(
            f"network must have weights of one type on one device, got {', '.join(sorted(kinds))}"
        )


def _softplus(module: nn.Softplus, label: str) -> Unit:
    beta = number(f"network's beta in {label}", module.beta, low=1e-30, high=1e30)
    if not 37 <= number(f"network's threshold in {label}", module.threshold, low=0) <= 80:
        raise ValueError(
            "network must have Softplus(threshold=t) with 37 <= t <= 80, so that its gradient "
            f"neither jumps there nor overflows, got threshold {module.threshold:g} in {label}"
        )
    return Unit(
        "Softplus",
        slope=1.0,
        low=0.0,
        high=beta / 4,
        origin=math.log(2) / beta * (1 + 1e-15),
        value=SAFETY * VALUES["Softplus"],
        rate=SAFETY * RATES["Softplus"],
        offset=1 / beta,
        peak=math.exp(module.threshold + 1),
    )


def _tanh(module: nn.Tanh, label: str) -> Unit:
    bend, top = 4 / 27**0.5, 1.0
    value, rate = SAFETY * VALUES["Tanh"], SAFETY * RATES["Tanh"]
    return Unit("Tanh", 1.0, -bend, bend, origin=0.0, top=top, value=value, rate=rate)


def _sigmoid(module: nn.Sigmoid, label: str) -> Unit:
    bend, top = 1 / 108**0.5, 1.0
    value, rate = SAFETY * VALUES["Sigmoid"], SAFETY * RATES["Sigmoid"]
    return Unit("Sigmoid", 0.25, -bend, bend, origin=0.5, top=top, value=value, rate=rate)


def _relu(module: nn.ReLU, label: str) -> Unit:
    return Unit("ReLU", 1.0)


def _leaky(module: nn.LeakyReLU, label: str) -> Unit:
    name = f"network's negative_slope in {label}"
    slope = abs(number(name, module.negative_slope, low=-1e30, high=1e30))
    return Unit("LeakyReLU", max(1.0, slope), value=2.0)


LINEAR = (nn.Linear, nn.Conv2d)
UNITS: dict[type[nn.Module], Callable[[Any, str], Unit]] = {
    nn.Softplus: _softplus,
    nn.Tanh: _tanh,
    nn.Sigmoid: _sigmoid,
    nn.ReLU: _relu,
    nn.LeakyReLU: _leaky,
}
