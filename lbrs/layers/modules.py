"""The layers of which bounds are proved, taken by what they are exactly: no subclass, hook or
parametrization."""

import math

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
    if kind is nn.Flatten:
        if (module.start_dim, module.end_dim) != (1, -1):
            raise ValueError(
                f"network must have Flatten() from axis 1 to the last, got {module} as {label}"
            )
        return None
    if kind is nn.Linear or (kind is nn.Conv2d and module.padding_mode == "zeros"):
        if kind is nn.Linear and len(shape) != 1:
            raise ValueError(
                "network must have Flatten() before a Linear layer, got inputs of shape "
                f"{shape} for {label}"
            )
        return Map(module, shape)
    if (
        kind is nn.AvgPool2d
        and not smooth
        and not module.ceil_mode
        and module.divisor_override is None
    ):
        return Map(module, shape)
    if (
        kind is nn.MaxPool2d
        and not smooth
        and pair(module.dilation) == (1, 1)
        and module.return_indices is False
    ):
        return Pool(module, shape)
    if kind in UNITS:
        unit = UNITS[kind](module, label)
        if unit.smooth or not smooth:
            return unit
    told = f"{kind.__module__}.{kind.__qualname__}" if kind.__name__ in allowed else str(module)
    raise ValueError(
        f"network must be made of {allowed}, got {label}: {told}, of which no bound is known here"
    )


def _after(module: nn.Module, shape: tuple[int, ...], label: str) -> tuple[int, ...]:
    """The shape after `module`."""
    weight = next(module.parameters(), torch.zeros(()))
    try:
        with torch.no_grad():
            return tuple(
                module(torch.zeros(1, *shape, dtype=weight.dtype, device=weight.device)).shape[1:]
            )
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"network must take points of its shape, got {shape} for {label}: {error}"
        ) from error


def _refuse_changed(label: str, module: nn.Module) -> None:
    """A ValueError for whatever would let `module` compute something else than its type says."""
    own = vars(module)
    hooks = [
        key for key, value in own.items() if "_hooks" in key and "state_dict" not in key and value
    ]
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
    if type(module) is nn.Sequential:
        return
    odd = [key for key in own["_parameters"] if key not in ("weight", "bias")] + list(
        own["_modules"]
    )
    odd += [
        key
        for key, value in own["_parameters"].items()
        if value is not None and type(value) not in (nn.Parameter, Tensor)
    ]
    if odd:
        raise ValueError(f"network must have plain weights, got {', '.join(odd)} in {label}")
    for key, value in own["_parameters"].items():
        if value is not None and not (value.is_floating_point() and torch.isfinite(value).all()):
            raise ValueError(
                "network must have finite real weights, got NaN, infinity or "
                f"{value.dtype} in {key} of {label}"
            )


def _refuse_global_hooks() -> None:
    given = [
        name
        for name, value in vars(torch_module).items()
        if name.startswith("_global_") and name.endswith("_hooks") and value
    ]
    given = [name for name in given if "registration" not in name]
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
            "network must have Softplus(threshold=t) with 37 <= t <= 80, so that its "
            "gradient neither jumps there "
            f"nor overflows, got threshold {module.threshold:g} in {label}"
        )
    value, rate = SAFETY * VALUES["Softplus"], SAFETY * RATES["Softplus"]
    return Unit(
        "Softplus",
        1.0,
        0.0,
        beta / 4,
        math.log(2) / beta * (1 + 1e-15),
        math.inf,
        value,
        rate,
        1 / beta,
        math.exp(module.threshold + 1),
    )


def _tanh(module: nn.Tanh, label: str) -> Unit:
    return Unit(
        "Tanh",
        1.0,
        -4 / 27**0.5,
        4 / 27**0.5,
        0.0,
        1.0,
        SAFETY * VALUES["Tanh"],
        SAFETY * RATES["Tanh"],
    )


def _sigmoid(module: nn.Sigmoid, label: str) -> Unit:
    return Unit(
        "Sigmoid",
        0.25,
        -1 / 108**0.5,
        1 / 108**0.5,
        0.5,
        1.0,
        SAFETY * VALUES["Sigmoid"],
        SAFETY * RATES["Sigmoid"],
    )


def _relu(module: nn.ReLU, label: str) -> Unit:
    return Unit("ReLU", 1.0)


def _leaky(module: nn.LeakyReLU, label: str) -> Unit:
    slope = abs(
        number(f"network's negative_slope in {label}", module.negative_slope, low=-1e30, high=1e30)
    )
    return Unit("LeakyReLU", max(1.0, slope), value=2.0)


UNITS = {
    nn.Softplus: _softplus,
    nn.Tanh: _tanh,
    nn.Sigmoid: _sigmoid,
    nn.ReLU: _relu,
    nn.LeakyReLU: _leaky,
}
