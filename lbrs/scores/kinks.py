"""Which functions are smooth: a judge follows kinks to the output or to where they are smoothed."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils.checkpoint import CheckpointFunction

from lbrs.scores.operations import (
    ANALYTIC,
    AVERAGES,
    CHOOSERS,
    EPS,
    MOVES,
    POLES,
    POLYNOMIALS,
    POSITIVE,
    SHAPES,
    arguments,
    by_name,
    is_written,
    place,
)
from lbrs.scores.rules import Given, Rules, State, join, tensors_in

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class Judge(Rules):
    """Follows the operations on what comes from x, and says which kink reaches the output.

    Each operation `name` is judged by the method `on_name`, if there is one, else by its table.
    """

    def __init__(self) -> None:
        super().__init__()
        self.branch: str | None = None

    def begin(self, x: Tensor) -> None:
        """Take `x` for what the function computes from."""
        self._note(x, State())

    def step(
        self, func: OpOverload, args: Args, kwargs: Kwargs, found: list[Tensor], moving: set[int]
    ) -> None:
        """Take note of one operation; `moving` are the ids of its arguments that come from x."""
        name = func.overloadpacket.__name__
        plain = name[:-1] if name.endswith("_") and not name.endswith("__") else name
        self.moving = moving
        if plain in ("_local_scalar_dense", "item", "is_nonzero"):
            self.branch = "a number that Python reads (a branch on x)"
            return
        state = self._judge(plain, func, args, kwargs)
        for tensor in found:
            self._note(tensor, self._typed(plain, tensor, state))
        given = arguments(func, args, kwargs)
        written = [value for argument, value in given.items() if is_written(argument)]
        for tensor in tensors_in(written):
            self._overwrite(tensor, state)

    def verdict(self, output: Tensor) -> str | None:
        """The kink that reaches `output`, or None."""
        self.moving = {id(output)} if place(output) in self.places else set()
        return self.branch or _custom(output) or self._of(output).kink

    def _judge(self, name: str, func: OpOverload, args: Args, kwargs: Kwargs) -> State:
        if func.namespace != "aten":
            return State(f"{func.namespace}::{name}, not known to be smooth")
        given, rule = by_name(func, args, kwargs), self.rule(name)
        at = CHOOSERS.get(name, len(args))
        if at < len(args) and self._moves(args[at]):
            return State(self._kink(args[at]) or f"{name}, chosen by x")
        if name in EPS:
            return self._normalised(name, given)
        if rule is not None:
            return rule(given)
        if name in MOVES:
            added = kwargs.get("reduce") is not None or given.get("accumulate", False)
            found = self._chosen(name, args, kwargs)
            return State(found.kink) if added else replace(found, modulus=None, shifted=False)
        return self._tabled(name, args, self._kink((args, tuple(kwargs.values()))))

    def _tabled(self, name: str, args: Args, kink: str | None) -> State:
        """The state by the table that `name` stands in."""
        if name in AVERAGES:
            return State(kink, self._of(args[0]).sign)
        if name in POLYNOMIALS or name in ANALYTIC or name in SHAPES:
            return State(kink, 1 if name in POSITIVE else 0 if name == "var" else -1)
        if name in POLES:
            sign = 1 if name in POSITIVE and self._of(args[0]).sign > 0 else -1
            return State(kink or self._pole(name, args[0]), sign)
        return State(kink or f"{name}, not known to be smooth")

    def _chosen(self, name: str, args: Args, kwargs: Kwargs) -> State:
        """One of the values, but for what says which one, and for numbers that are no values."""
        values = [v for i, v in enumerate(args) if i != CHOOSERS.get(name) and tensors_in(v)]
        if name in ("masked_fill", "index_fill", "scatter"):
            values.append(kwargs.get("value", args[-1]))
        if name == "where":
            values = list(args[1:])
        return join([self._of(value) for value in values])

    def _normalised(self, name: str, given: Given) -> State:
        """A division by a deviation and an eps, which must not be 0."""
        eps, kink = given[EPS[name]], self._kink(tuple(given.values()))
        if self._moves(given.get("running_var")):
            return State(kink or f"{name} with a variance of x")
        return State(kink or (None if eps is None or eps > 0 else f"{name} with eps = 0"))


def _custom(output: Tensor) -> str | None:
    """The name of a custom autograd Function on the way to `output`, or None."""
    stack, seen = [output.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        own = isinstance(node, torch.autograd.function.BackwardCFunction)
        if own and getattr(type(node), "_forward_cls", None) is not CheckpointFunction:
            name = type(node).__name__.removesuffix("Backward")
            return f"the custom function {name}, whose gradient cannot be watched"
        stack += [parent for parent, _ in node.next_functions]
    return None
