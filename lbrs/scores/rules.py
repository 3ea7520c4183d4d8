"""What each torch operation does to smoothness: the states of tensors, and a rule an operation."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from lbrs.scores.operations import place

THRESHOLD = 37.0
"""From here on softplus and the identity agree in float64; below, torch's gradient jumps."""

Origin = tuple[int, int]
Given = dict[str, Any]
"""The arguments of an operation, by name."""


@dataclass(frozen=True)
class State:
    """What is known of a tensor that comes from x.

    `kink`: the name of an operation whose gradient may jump, or None where it is smooth. `zero`:
    all kinks are where the tensor itself is 0, so that its square is smooth. `sign`: 1 for
    numbers > 0, 0 for >= 0, -1 for any. `modulus`: of what it is the modulus, or the modulus plus a
    constant > 0 (`shifted`).
    """

    kink: str | None = None
    sign: int = -1
    zero: bool = False
    modulus: Origin | None = None
    shifted: bool = False


def join(states: list[State]) -> State:
    """What is known of numbers that are each taken from one of the states."""
    kinked = [state for state in states if state.kink is not None]
    sign = min((state.sign for state in states), default=-1)
    zero = bool(kinked) and all(state.zero for state in kinked)
    return State(kinked[0].kink if kinked else None, sign, zero)


class Known:
    """The states of the tensors that come from x.

    `moving`: the ids of the arguments of the present operation that come from x.
    """

    def __init__(self) -> None:
        self.states: dict[int, State] = {}
        self.places: dict[int, set[int]] = {}
        self.moving: set[int] = set()

    def _note(self, tensor: Tensor, state: State) -> None:
        self.states[id(tensor)] = state
        self.places.setdefault(place(tensor), set()).add(id(tensor))

    def _overwrite(self, tensor: Tensor, state: State) -> None:
        """A write through one view: the others may hold its numbers, too."""
        for other in self.places.get(place(tensor), set()) - {id(tensor)}:
            known = self.states[other]
            self.states[other] = State(known.kink or state.kink)
        self._note(tensor, replace(state, modulus=None))

    def _typed(self, name: str, tensor: Tensor, state: State) -> State:
        if tensor.is_complex():
            return replace(state, sign=-1, modulus=None)
        if tensor.is_floating_point():
            return state
        cast = " (a cast to whole numbers)" if name == "_to_copy" else ""
        return State(state.kink or name + cast)

    def _moves(self, value: object) -> bool:
        return any(id(tensor) in self.moving for tensor in tensors_in(value))

    def _of(self, value: object) -> State:
        """The state of an argument, of a constant, or the worst of a list."""
        if isinstance(value, (list, tuple)):
            parts = [part for part in value if isinstance(part, (Tensor, int, float))]
            return join([self._of(part) for part in parts])
        if isinstance(value, Tensor) and id(value) in self.moving:
            return self._known(value)
        if isinstance(value, Tensor):
            value = _least(value)
        if isinstance(value, (int, float)):
            return State(sign=1 if value > 0 else 0 if value == 0 else -1)
        return State()

    def _known(self, tensor: Tensor) -> State:
        if id(tensor) in self.states:
            return self.states[id(tensor)]
        others = [self.states[i] for i in self.places.get(place(tensor), ())]
        worst = join(others or [State("numbers that no operation made")])
        return State(worst.kink)

    def _kink(self, values: object) -> str | None:
        """The first kink among those of `values` that come from x."""
        kinks = [self._known(t).kink for t in tensors_in(values) if id(t) in self.moving]
        return next((kink for kink in kinks if kink is not None), None)


class Rules(Known):
    """Judges an operation `name` by the method `on_name`."""

    def rule(self, name: str) -> Callable[[Given], State] | None:
        """The method for the operation `name`, if there is one."""
        return getattr(self, f"on_{name.strip('_')}", None)

    def _pole(self, name: str, value: object) -> str | None:
        smooth = not self._moves(value) or self._of(value).sign > 0
        return None if smooth else f"{name} of what may be 0"

    def on_add(self, given: Given) -> State:
        a, b, alpha = self._of(given["self"]), self._of(given["other"]), given.get("alpha", 1)
        kink = a.kink or b.kink
        if alpha != 1:
            return State(kink)
        sign = -1 if min(a.sign, b.sign) < 0 else max(a.sign, b.sign)
        one, other = (a, given["other"]) if a.modulus else (b, given["self"])
        if one.modulus and not self._moves(other) and self._of(other).sign > 0:
            return State(kink, 1, modulus=one.modulus, shifted=True)
        return State(kink, sign)

    def on_mul(self, given: Given) -> State:
        a, b = self._of(given["self"]), self._of(given["other"])
        if given["self"] is given["other"]:
            return State(None if a.zero else a.kink, max(a.sign, 0))
        return join([a, b])

    def on_div(self, given: Given) -> State:
        a, b = self._of(given["self"]), self._of(given["other"])
        if given.get("rounding_mode") is not None:
            return State("div with a rounding mode")
        if b.shifted and b.modulus == _origin(given["self"]) and a.kink is None:
            return State()  # x / (c + |x|) = sign(x) (1 - c / (c + |x|)), which is smooth at 0
        kink = a.kink or b.kink or self._pole("div", given["other"])
        moves = self._moves(given["other"])
        return State(kink, min(a.sign, b.sign) if b.sign > 0 else -1, a.zero and not moves)

    def on_addcdiv(self, given: Given) -> State:
        kink = self._kink((given["self"], given["tensor1"], given["tensor2"]))
        return State(kink or self._pole("addcdiv", given["tensor2"]))

    def on_copy(self, given: Given) -> State:
        return replace(self._of(given["src"]), modulus=None, shifted=False)

    def on_neg(self, given: Given) -> State:
        return replace(self._of(given["self"]), sign=-1, modulus=None, shifted=False)

    def on_abs(self, given: Given) -> State:
        a = self._of(given["self"])
        if a.kink is not None or a.sign >= 0:
            return replace(a, sign=max(a.sign, 0))
        return State("abs", 0, True, _origin(given["self"]))

    def on_relu(self, given: Given) -> State:
        a = self._of(given["self"])
        if a.kink is not None or a.sign >= 0:
            return replace(a, sign=max(a.sign, 0))
        return State("relu", 0, True)

    def on_clamp_min(self, given: Given) -> State:
        a, low = self._of(given["self"]), given["min"]
        if not isinstance(low, (int, float)) or low > 0 or low < 0 > a.sign:
            return State(a.kink or "clamp_min")
        return self.on_relu(given) if low == 0 else a

    def on_clamp(self, given: Given) -> State:
        if given.get("max") is None and given.get("min") is not None:
            return self.on_clamp_min(given)
        return State(self._of(given["self"]).kink or "clamp")

    def on_linalg_vector_norm(self, given: Given) -> State:
        a, order = self._of(given["self"]), given["ord"]
        zero = order == 2 and (a.zero or a.kink is None)
        return State(a.kink or f"linalg_vector_norm of order {order:g}", 0, zero)

    def on_cdist_forward(self, given: Given) -> State:
        kink = self._kink((given["x1"], given["x2"]))
        return State(kink or f"cdist of order {given['p']:g}", 0, kink is None and given["p"] == 2)

    def on_euclidean_dist(self, given: Given) -> State:
        kink = self._kink((given["x1"], given["x2"]))
        return State(kink or "cdist of order 2", 0, kink is None)

    def on_pow(self, given: Given) -> State:
        base, power = self._of(given["self"]), given["exponent"]
        if self._moves(power):
            positive = not self._moves(given["self"]) and base.sign > 0
            pole = None if positive else "pow with an exponent of x"
            return State(self._kink(power) or pole, 1 if positive else -1)
        powers = power.flatten().tolist() if isinstance(power, Tensor) else [power]
        if any(isinstance(p, complex) for p in powers):
            return State(base.kink or "pow with a complex exponent")
        whole, even = (all(float(p) % step == 0 and p >= 0 for p in powers) for step in (1, 2))
        sign = 1 if base.sign > 0 else 0 if even or base.sign >= 0 else -1
        square = all(p >= 2 for p in powers) and (whole or base.sign >= 0)
        if base.kink is not None:
            return State(None if base.zero and square else base.kink, sign)
        smooth = whole or square or base.sign > 0
        return State(None if smooth else f"pow of what may be 0, to the power {powers[0]:g}", sign)

    def on_elu(self, given: Given) -> State:
        equal = abs(given["alpha"] * given["input_scale"] - 1) <= 1e-12
        other = None if equal else "elu with another slope on the left"
        return State(self._kink(given["self"]) or other)

    def on_softplus(self, given: Given) -> State:
        threshold = given["threshold"]
        short = f"softplus(threshold={threshold:g}), whose gradient jumps there: use threshold=40"
        long = threshold >= THRESHOLD and given["beta"] > 0
        return State(self._kink(given["self"]) or (None if long else short), 1)

    def on_smooth_l1_loss(self, given: Given) -> State:
        kink = self._kink((given["self"], given["target"]))
        return State(kink or (None if given["beta"] > 0 else "smooth_l1_loss with beta = 0"))

    def on_log1p(self, given: Given) -> State:
        a = self._of(given["self"])
        return State(a.kink or (None if a.sign >= 0 else "log1p of what may be -1"), a.sign)

    def on_grid_sampler_2d(self, given: Given) -> State:
        places = "grid_sampler, at places of x" if self._moves(given["grid"]) else None
        return State(self._kink(given["input"]) or places)

    on_grid_sampler_3d = on_grid_sampler_2d

    def on_segment_reduce(self, given: Given) -> State:
        by = None if given["reduce"] in ("sum", "mean") else f"segment_reduce by {given['reduce']}"
        return State(self._kink(given["data"]) or by)

    def on_embedding_bag(self, given: Given) -> State:
        largest = "embedding_bag of the largest" if given["mode"] == 2 else None
        return State(self._kink(tuple(given.values())) or largest)

    def on_cudnn_rnn(self, given: Given) -> State:
        kinked = "relu in a recurrent layer" if given["mode"] == 0 else None
        return State(self._kink(tuple(given.values())) or kinked)


def tensors_in(value: object) -> list[Tensor]:
    """The tensors in nested lists."""
    if isinstance(value, Tensor):
        return [value]
    parts = value if isinstance(value, (list, tuple)) else ()
    return [tensor for part in parts for tensor in tensors_in(part)]


def _least(tensor: Tensor) -> float:
    """The smallest of its numbers, or -1 where it has none or they cannot be ordered."""
    try:
        return tensor.float().min().item() if tensor.dtype.itemsize == 1 else tensor.min().item()
    except (NotImplementedError, RuntimeError):
        return -1.0


def _origin(value: object) -> Origin | None:
    """What a tensor is, as long as nothing is written into it."""
    if not isinstance(value, Tensor):
        return None
    return id(value), 0 if value.is_inference() else value._version
