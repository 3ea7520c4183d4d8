"""How far the oracle may move the decision, as a function of how certain it is (Theorem U)."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from lbrs._checks import number
from lbrs.norms import Norm
from lbrs.norms.lp import Lp

MOST = 1e200
"""Taken for an infinite value, so that no difference of two of them is NaN."""


@dataclass(frozen=True)
class Bias:
    r"""A non-decreasing function A of the oracle's signed radius o = yhat R_o, with steps; taken
    where ``LocallyBiased`` takes ``alpha``, with A = alpha yhat as the simplest case.

    .. math::

       A(o) = a_i + w\,o \quad\text{for } \tau_i \le o < \tau_{i+1}, \qquad
       \tau_0 = -\infty, \quad \tau_{k+1} = \infty

    The classifier is +1 where m + A(o) > 0, for the margin m = h/K of the base score. At a
    threshold the oracle's label decides, so that -0 and +0 differ: label +1 counts as above it.

    Source: :prf:ref:`Theorem U <theorem-u>`.

    Parameters:
        thresholds: tau_1 < ... < tau_k, in the units of x.
        values: a_0 <= ... <= a_k, one more; in the units of x, -inf and inf for an oracle that
            overrules the base whatever this says.
        weight: w >= 0, the slope of A between steps.

    Raises:
        ValueError, TypeError: naming the argument.

    >>> Bias.stairs([0.0, math.inf], [0.2])
    Bias(thresholds=(-0.2, 0.0, 0.2), values=(-inf, 0.0, 0.0, inf), weight=0.0)
    """

    thresholds: tuple[float, ...]
    values: tuple[float, ...]
    weight: float = 0.0

    def __post_init__(self) -> None:
        thresholds = _rising("thresholds", self.thresholds, strictly=True)
        values = _rising("values", self.values, strictly=False)
        if len(values) != len(thresholds) + 1:
            raise ValueError(
                f"values must be one more than the {len(thresholds)} thresholds, got {len(values)}"
            )
        if not all(map(math.isfinite, thresholds)):
            raise ValueError(f"thresholds must be finite numbers, got {thresholds}")
        object.__setattr__(self, "thresholds", thresholds)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "weight", number("weight", self.weight, low=0))

    @classmethod
    def constant(cls, alpha: float) -> Self:
        """The paper's: A = alpha yhat, whatever the oracle's radius is."""
        return cls.stairs([number("alpha", alpha, low=0)], [])

    @classmethod
    def stairs(cls, lengths: Iterable[float], radii: Iterable[float]) -> Self:
        """A = yhat times the length of the stair on which R_o lies; A is odd.

        Parameters:
            lengths: 0 <= alpha_0 <= alpha_1 <= ..., inf allowed.
            radii: 0 < tau_1 < tau_2 < ..., one fewer: where the lengths change.
        """
        lengths = _rising("lengths", lengths, strictly=False)
        radii = _rising("radii", radii, strictly=True)
        if not lengths or lengths[0] < 0 or len(lengths) != len(radii) + 1:
            raise ValueError(
                f"lengths must be numbers >= 0, one more than the {len(radii)} radii, got {lengths}"
            )
        if radii and not radii[0] > 0:
            raise ValueError(f"radii must be > 0, got {radii}")
        low = tuple(0.0 - length for length in reversed(lengths))
        return cls((*(-radius for radius in reversed(radii)), 0.0, *radii), (*low, *lengths))

    @classmethod
    def average(cls, weight: float) -> Self:
        """A = w o: the classifier is the sign of m + w o, an averaged margin."""
        return cls((), (0.0,), weight)

    @classmethod
    def sampled(cls, function: Callable[[float], float], knots: Iterable[float]) -> Self:
        """Stairs through any non-decreasing function, at rising `knots`: the classifier is that of
        the stairs, so that its certificates hold however coarse they are."""
        knots = _rising("knots", knots, strictly=True)
        middles = [(low + high) / 2 for low, high in zip(knots, knots[1:], strict=False)]
        return cls(tuple(middles), tuple(float(function(knot)) for knot in knots))

    @property
    def odd(self) -> bool:
        """Whether A(-o) = -A(o), which several classes need."""
        return self.turned() == self

    def turned(self) -> "Bias":
        """-A(-o), the bias as class -1 sees it."""
        thresholds = tuple(0.0 - threshold for threshold in reversed(self.thresholds))
        return Bias(thresholds, tuple(0.0 - value for value in reversed(self.values)), self.weight)

    def __call__(self, label: Tensor, radius: Tensor) -> Tensor:
        """A(o) (n,) for the oracle's labels (n,) in {-1, +1} and radii (n,) >= 0, as float64, at
        most 1e200 in size."""
        label, o = label.double(), (label * radius).double()
        edges, values = (o.new_tensor(numbers) for numbers in (self.thresholds, self.values))
        above = torch.searchsorted(edges, o, right=True)
        place = torch.where(label > 0, above, torch.searchsorted(edges, o))
        step = values.clamp(-MOST, MOST)[place]
        return step if self.weight == 0 else (step + self.weight * o).clamp(-MOST, MOST)


Length = float | Bias
"""What may be given as alpha."""


def pull(label: Tensor, radius: Tensor, alpha: Length) -> tuple[Tensor, float | Tensor]:
    """The label (n,) to which the decision is moved, and by how much: alpha towards that of the
    oracle, or what a `Bias` says of its label and its radius (n,)."""
    if not isinstance(alpha, Bias):
        return label, alpha
    moved = alpha(label, radius)
    return torch.where(moved >= 0, 1.0, -1.0).to(moved), moved.abs()


def as_length(name: str, value: object) -> Length:
    """`value` as it is if it is a Bias, else as a number >= 0."""
    return value if isinstance(value, Bias) else number(name, value, low=0)


def refuse_bias(alpha: Length, norm: Norm, metric: Tensor | None) -> None:
    """A ValueError for a Bias unless the norm is an lp norm and the oracle's metric is plain: what
    rounding takes from the oracle's radius between points is bounded for these."""
    if isinstance(alpha, Bias) and not isinstance(norm, Lp):
        raise ValueError(f"norm must be an lp norm for a Bias, got {norm}")
    if isinstance(alpha, Bias) and metric is not None:
        raise ValueError("oracle must have no metric of its own for a Bias, got one with a metric")


def _rising(name: str, values: Iterable[float], *, strictly: bool) -> tuple[float, ...]:
    """`values` as numbers, or an error unless they rise."""
    found = tuple(
        float(value) if isinstance(value, float) else number(name, value, low=-math.inf)
        for value in values
    )
    pairs = list(zip(found, found[1:], strict=False))
    if not all(low < high or (low == high and not strictly) for low, high in pairs) or any(
        value != value for value in found
    ):
        told = "rise" if strictly else "not decrease"
        raise ValueError(f"{name} must be numbers that {told}, got {found}")
    return found
