"""What the tables of functions for the door share: how a case is written, and networks to build
them from."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Case:
    """A function to put before the door: `make()` builds it, for points of `shape`.

    `names` is a regular expression for what the error must name, "" for a function to admit.
    """

    make: Callable[[], Callable[[Tensor], Tensor]]
    names: str = ""
    shape: tuple[int, ...] = (4,)

    def points(self, n: int = 5) -> Tensor:
        """Normal points (n, *shape), the same ones at each call."""
        torch.manual_seed(0)
        return torch.randn(n, *self.shape, dtype=torch.float64)


def rows(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """x -> the sum of function(x) over all but the first axis."""
    return lambda x: function(x).flatten(1).sum(1)


def seeded(make: Callable[..., nn.Module], *args, **kwargs) -> nn.Module:
    """A module with the weights of seed 0, in float64 and evaluation mode."""
    torch.manual_seed(0)
    return make(*args, **kwargs).double().eval()


def chain(*layers: nn.Module, d: int = 4, width: int = 6) -> nn.Module:
    """Linear, the layers, linear: a network R^d -> R."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(d, width), *layers, nn.Linear(width, 1)).double().eval()


def warm(function: Callable[[Tensor], Tensor], shape: tuple[int, ...] = (4,)) -> Callable:
    """The function after calls enough for torch to have compiled it for itself."""
    for _ in range(4):
        x = torch.randn(11, *shape, dtype=torch.float64, requires_grad=True)
        torch.autograd.grad(function(x).sum(), x)
    return function


def scripted(function: Callable) -> Callable:
    """The function as a script of torch, whose successors are not part of the tables alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(function)


def traced(function: Callable, shape: tuple[int, ...] = (4,)) -> Callable:
    """The function as a trace of torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(function, torch.ones(3, *shape, dtype=torch.float64))
