"""Distances to the boundary in the plane of margins (Theorem U), in real arithmetic and as
computed."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lbrs.plane.bias import MOST, Bias

if TYPE_CHECKING:
    from lbrs.scores.local import Local

Reach = Callable[[Tensor], Tensor]
"""Biases (n,) in the frame of the prediction, to lower bounds (n,) of m + bias, each for the
classifier as computed with a bias of this size."""


def theorem_u(base: Tensor, oracle: Tensor, bias: Bias) -> Tensor:
    r""":prf:ref:`Theorem U <theorem-u>`: the classifier +1 where m + A(o) > 0, whose margins m and
    o are 1-Lipschitz, is constant on the open ball of this radius around a point of class +1.

    .. math::

       r_U = \sup\{t : m - t + A(o - t) > 0\}
       = \max_i \min\Big\{o - \tau_i,\ \frac{m + a_i + w\,o}{1 + w}\Big\}, \qquad
       \tau_0 = -\infty

    Around a point of class -1 it is that of -m, -o and ``bias.turned()``. No larger radius follows
    from the two margins. With one step it is Theorem H.

    Parameters:
        base: m (n,), in the units of x.
        oracle: o (n,), the oracle's radius with its label as sign.
        bias: A.

    Returns:
        Radii (n,), 0 where the class is not +1.

    >>> theorem_u(torch.tensor([0.5]), torch.tensor([2.0]), Bias.stairs([0.2, torch.inf], [0.6]))
    tensor([1.4000])
    """
    best = torch.zeros_like(base)
    for threshold, value in steps(bias):
        along = (base + value + (bias.weight * oracle if bias.weight else 0)) / (1 + bias.weight)
        best = torch.maximum(best, torch.minimum(_room(oracle, threshold), along))
    return best


def in_frame(local: "Local", prediction: Tensor, bias: Bias, reach: Reach) -> Tensor:
    """`safe_radius` (n,) at the points of `local`, each in the frame of its prediction (n,) in
    {-1, +1}."""
    label, radius = prediction * local.label, local.neighbor
    found = safe_radius(reach, label, radius, local.slack, bias)
    if bias.odd:
        return found
    turned = safe_radius(reach, label, radius, local.slack, bias.turned())
    return torch.where(prediction > 0, found, turned)


def steps(bias: Bias) -> list[tuple[float, float]]:
    """Each step's tau_i and a_i; the first has no threshold, which is -inf."""
    values = [min(max(value, -MOST), MOST) for value in bias.values]
    return list(zip((-torch.inf, *bias.thresholds), values, strict=True))


def safe_radius(
    reach: Reach, label: Tensor, radius: Tensor, slack: Callable[[Tensor], Tensor], bias: Bias
) -> Tensor:
    """Theorem U for the classifier as computed (n,): as if without slack, and then with the slack
    of the ball that this gives.

    Lemma. Within t of x the oracle's computed o is at least o(x) - t - slack(t), and its label is
    kept within R_o. The computed decision does not fall with the bias. So where
    reach(A(o(x) - t - slack)) > t, it is the same at all z within t.

    Parameters:
        reach: in the frame of the prediction.
        label: +1 where the oracle agrees with the prediction, else -1, (n,).
        radius: R_o (n,).
        slack: reaches (n,) to bounds (n,) of what o loses by rounding, `slack.oracle_slack`.
        bias: in the frame of the prediction.
    """
    plain = _within(reach, label * radius, torch.zeros_like(radius), bias)
    lost = torch.where(torch.isinf(radius), 0.0, slack(plain))
    return torch.minimum(plain, _within(reach, label * radius, lost, bias))


def _within(reach: Reach, oracle: Tensor, lost: Tensor, bias: Bias) -> Tensor:
    """The largest t that a step proves."""
    best, w, low = torch.zeros_like(oracle), bias.weight, oracle - lost
    for threshold, value in steps(bias):
        start = torch.full_like(oracle, value)
        if w == 0:
            t = reach(start)
        else:
            t = (reach(start + w * low) / (1 + w)).clamp(min=0) * (1 - 1e-12)
            t = torch.minimum(t, reach(start + w * (low - t)))
        room = _room(oracle if threshold == 0 else low, threshold)
        best = torch.maximum(best, torch.minimum(t, room).nan_to_num(nan=0.0, posinf=torch.inf))
    return best


def _room(oracle: Tensor, threshold: float) -> Tensor:
    """How far o (n,) may fall; without end where there is no threshold."""
    return torch.full_like(oracle, torch.inf) if threshold == -torch.inf else oracle - threshold
