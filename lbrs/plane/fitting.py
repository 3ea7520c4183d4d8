"""The best stairs for given margins, exactly, by a dynamic program over sorted points."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lbrs import _checks
from lbrs._checks import ArrayLike, array, integer, number
from lbrs.plane.bias import Bias
from lbrs.plane.radii import theorem_u

Array = npt.NDArray[np.float64]

Places = npt.NDArray[np.int_]

EDGES = 512
"""Most thresholds and most values between points that are tried: all of them where there are fewer,
else evenly spread over them."""

HALVINGS = 24
"""Of the weight of clean accuracy, on a logarithmic scale, in the search for what keeps it."""


@dataclass(frozen=True)
class Fitted:
    """Stairs, and what they certify.

    Attributes:
        bias: the stairs, fitted to all points.
        radii: (R,), where certified accuracy counts.
        seen: (R,), certified accuracy at the radii on the points that chose the stairs: too good.
        unseen: (R,), the mean over folds of that of stairs fitted without the fold, on the fold:
            an estimate for new points that is not.
        clean: the clean accuracy on points not seen, as for `unseen`.
    """

    bias: Bias
    radii: Tensor
    seen: Tensor
    unseen: Tensor
    clean: float

    def __str__(self) -> str:
        pairs = zip(self.radii.tolist(), self.unseen.tolist(), strict=True)
        told = ", ".join(f"{share:.3f} at {radius:g}" for radius, share in pairs)
        return f"{self.bias}: on points not seen, {self.clean:.3f} right, certified {told}"


def fit_bias(
    m: ArrayLike,
    o: ArrayLike,
    y: ArrayLike,
    radii: ArrayLike,
    steps: int = 2,
    *,
    keep: float = 0.0,
    odd: bool = True,
    folds: int = 2,
) -> Fitted:
    r"""The stairs with the largest mean of certified accuracy over `radii`, exactly, among those
    with at most `steps` changes; and an estimate on points that they have not seen.

    For a radius r a point counts iff its margins, moved by r against its label, lie on the right
    side: so each point and radius is one labelled point in the plane, and the best monotone stairs
    are found by a dynamic program over the thresholds and the values, both between neighbouring
    points; of more than 512 of either, that many are tried.

    Source: :prf:ref:`Theorem U <theorem-u>`.

    Parameters:
        m: the base's signed margins (n,), in the units of x: ``base * crossing`` of
            ``Score.linearize``, or the lower ends toward the label.
        o: the oracle's (n,): label times radius.
        y: (n,) in {-1, +1}. For several classes give the margins toward the true class and y = +1.
        radii: (R,) >= 0; clean accuracy is r = 0.
        steps: >= 0, how often A may change, on each side of 0 if it is odd.
        keep: in [0, 1], the clean accuracy on the given points that must remain. Of the stairs that
            are best for some weight of clean accuracy, the best that keep it; a ValueError if none
            of them does.
        odd: whether A(-o) = -A(o), which several classes need; stairs have fewer choices then.
        folds: >= 2, of the estimate: point i belongs to fold i mod `folds`.

    Raises:
        ValueError, TypeError: naming the argument.

    >>> m, o = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([0.1, 3.0, -2.0])
    >>> fit_bias(m, o, [1, 1, -1], [0.0], steps=1).seen
    tensor([1.], dtype=torch.float64)
    """
    margins = array("m", m).flatten(), array("o", o).flatten()
    n = len(margins[0])
    sign = _checks.labels("y", y, n)
    if len(margins[1]) != n:
        raise ValueError(f"o must have {n} margins as m has, got {len(margins[1])}")
    levels = _checks.radii("radii", array("radii", radii).flatten(), array("radii", radii).numel())
    steps, folds = integer("steps", steps, low=0), integer("folds", folds, low=2)
    keep = number("keep", keep, low=0, high=1)
    if len(levels) == 0 or n < folds:
        raise ValueError(f"radii and points must not be fewer than 1 and folds = {folds}")
    toward = torch.stack([sign * margin for margin in margins] + [sign]).cpu()
    levels = levels.cpu()
    bias = _keeping(toward, levels, steps, keep, odd)
    clean = certified(bias, toward, levels.new_zeros(1)).item()
    if clean < keep:
        raise ValueError(f"keep must be at most the {clean:g} that such stairs reach, got {keep}")
    fold, asked = torch.arange(n) % folds, torch.cat([levels.new_zeros(1), levels])
    shares = []
    for k in range(folds):
        without = _keeping(toward[:, fold != k], levels, steps, keep, odd)
        shares.append(certified(without, toward[:, fold == k], asked))
    unseen = torch.stack(shares).mean(0)
    return Fitted(bias, levels, certified(bias, toward, levels), unseen[1:], unseen[0].item())


def certified(bias: Bias, toward: Tensor, radii: Tensor) -> Tensor:
    """Certified accuracy (R,) at `radii`, for margins toward the true label, and that: (3, n)."""
    m, o, y = toward
    radius = torch.where(y > 0, theorem_u(m, o, bias), theorem_u(m, o, bias.turned()))
    return (radius > radii[:, None]).double().mean(1)


def _keeping(toward: Tensor, radii: Tensor, steps: int, keep: float, odd: bool) -> Bias:
    """The best stairs for the least weight of clean accuracy with which they keep it, or for the
    largest weight tried."""

    def best(weight: float) -> tuple[Bias, bool]:
        shifts = torch.cat([radii, radii.new_zeros(1)]).tolist()
        weights = [1 / len(radii)] * len(radii) + [weight]
        bias = _best(samples(toward, shifts, weights, odd), steps, odd)
        return bias, certified(bias, toward, radii.new_zeros(1)).item() >= keep

    found, kept = best(0.0)
    if kept:
        return found
    low, high = math.log(1e-4), math.log(1e6)
    found, kept = best(math.exp(high))
    for _ in range(HALVINGS if kept else 0):
        middle = (low + high) / 2
        tried, enough = best(math.exp(middle))
        low, high = (low, middle) if enough else (middle, high)
        found = tried if enough else found
    return found


@dataclass(frozen=True)
class Samples:
    """Points that are right on one side of stairs: each (s,).

    `place`: where on the axis of the steps. `turn`: the value of A at which it changes. `more`:
    whether it is right above that, else below. `weight`: what it counts.
    """

    place: Array
    turn: Array
    more: npt.NDArray[np.bool_]
    weight: Array


def samples(toward: Tensor, shifts: list[float], weights: list[float], odd: bool) -> Samples:
    """Each point moved by each of `shifts` against its label; with an odd bias as its true class
    sees it, with the size of o as place."""
    m, o, y = (np.asarray(part.numpy(), np.float64) for part in toward)
    base = np.concatenate([m - shift for shift in shifts])
    oracle = np.concatenate([o - shift for shift in shifts])
    label = np.tile(y, len(shifts))
    more = oracle > 0 if odd else label > 0
    place: Array = abs(oracle) if odd else label * oracle
    turn: Array = np.where(more, -base, base)
    counts: Array = np.repeat(np.array(weights), len(m))
    return Samples(place, turn, more, counts)


def _best(given: Samples, steps: int, odd: bool) -> Bias:
    """The stairs that pay least for `given`."""
    edges = between(given.place, EDGES)
    edges = edges[edges > 0] if odd else edges
    turns = between(given.turn, EDGES)
    values = np.r_[0.0, turns[turns > 0], np.inf] if odd else np.r_[-np.inf, turns, np.inf]
    changes, levels = path(prices(given, edges, values), steps)
    thresholds, lengths = edges[changes - 1].tolist(), values[levels].tolist()
    return Bias.stairs(lengths, thresholds) if odd else Bias(tuple(thresholds), tuple(lengths))


def between(numbers: Array, most: int) -> Array:
    """Numbers in the middle of neighbours of finite `numbers`, at most about `most`, evenly."""
    known = np.unique(numbers[np.isfinite(numbers)])
    middles: Array = (known[1:] + known[:-1]) / 2
    return middles[:: -(-max(1, len(middles)) // most)]


def prices(given: Samples, edges: Array, values: Array) -> Array:
    """What the samples between two of `edges` pay at each of the rising `values`, (P, C)."""
    rows = np.searchsorted(edges, given.place)
    below = np.searchsorted(values, given.turn, side="right")
    first = np.searchsorted(values, given.turn, side="left")
    rise = np.zeros((len(edges) + 1, len(values) + 1))
    more, less = given.more, ~given.more
    np.add.at(rise[:, 0], rows[more], given.weight[more])
    np.add.at(rise, (rows[more], below[more]), -given.weight[more])
    np.add.at(rise, (rows[less], first[less]), given.weight[less])
    paid: Array = rise.cumsum(1)[:, :-1]
    return paid


def path(paid: Array, steps: int) -> tuple[Places, Places]:
    """The cheapest non-decreasing path through the columns of `paid` (P, C), a row at a time, with
    at most `steps` changes: the rows where it changes (k,), and its columns (k + 1,).

    After each row, least[k, c] is what the best path with k changes that ends in column c pays.
    """
    rows, columns = paid.shape
    least = np.full((steps + 1, columns), np.inf)
    least[0] = 0.0
    came = np.full((rows, steps + 1, columns), -1, dtype=np.int32)
    for row in range(rows):
        if row:
            for k in range(steps, 0, -1):
                lowest = np.minimum.accumulate(least[k - 1])
                place = np.maximum.accumulate(
                    np.where(least[k - 1] == lowest, np.arange(columns), 0)
                )
                better = lowest < least[k]
                least[k] = np.where(better, lowest, least[k])
                came[row, k] = np.where(better, place, -1)
        least = least + paid[row]
    k, column = divmod(int(least.argmin()), columns)
    changes, levels = [], [column]
    for row in range(rows - 1, 0, -1):
        if came[row, k, column] >= 0:
            column, k = int(came[row, k, column]), k - 1
            changes.append(row)
            levels.append(column)
    return np.array(changes[::-1], dtype=int), np.array(levels[::-1], dtype=int)
