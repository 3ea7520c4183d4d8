"""What is known of a score at points, to first order, for every alpha at once."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lbrs.norms import Norm
from lbrs.plane.bias import Length, pull

Constant = float | Callable[[Tensor, Tensor], Tensor]
"""A gradient-Lipschitz constant for all points, or a map from points and radii to local ones."""


class Link:
    """How a score g follows from the output u of its function: g = psi(u), psi odd and increasing.
    Here g = u."""

    def value(self, u: Tensor) -> Tensor:
        """psi(u), any shape."""
        return u

    def rate(self, u: Tensor) -> Tensor:
        """psi'(u), any shape."""
        return torch.ones_like(u)

    def turn(self, length: Tensor) -> Tensor:
        """The u >= 0 at which psi(u)/psi'(u) is `length` (n,): the bias in units of u."""
        return length

    def average(self, u: Tensor) -> Tensor:
        """What has the sign of the average of g, for `u` (n, m), as (n,)."""
        return u.mean(1)


class Logistic(Link):
    """g = tanh(u/2), the probability margin of a logit u; nothing but g itself saturates."""

    def value(self, u: Tensor) -> Tensor:
        """tanh(u/2)."""
        return (u / 2).tanh()

    def rate(self, u: Tensor) -> Tensor:
        """1/(2 cosh(u/2)^2)."""
        return 0.5 / (u / 2).cosh() ** 2

    def turn(self, length: Tensor) -> Tensor:
        """asinh(length), as psi/psi' = sinh."""
        return length.asinh()

    def average(self, u: Tensor) -> Tensor:
        """The logit of the average probability."""
        sigmoid = torch.nn.functional.logsigmoid
        return sigmoid(u).logsumexp(1) - sigmoid(-u).logsumexp(1)


@dataclass(frozen=True)
class Linearization:
    """The score at each of n points, to first order.

    Attributes:
        base: (n,), f(x) = sign g(x) in {-1, +1}, with sign 0 = +1, as float64.
        value: (n,), g(x).
        slope: (n,), G = ||grad g(x)||_*.
        crossing: (n,), |g(x)|/G, the alpha above which the oracle decides; inf where G = 0.
    """

    base: Tensor
    value: Tensor
    slope: Tensor
    crossing: Tensor


@dataclass(frozen=True)
class Local:
    """What the certificates of a locally biased score rest on at n points, for every alpha.

    Attributes:
        x: the points (n, *shape).
        norm: the threat norm.
        label: (n,), the oracle's yhat(x) in {-1, +1}.
        neighbor: (n,), the oracle's radius for the bound that is asked for.
        first: the score to first order; None where only draws tell.
        L: the constant of Assumption 7; None where the certificate needs none.
        slack: reaches (n,) to what the oracle's radius may lose by rounding within them (n,).
    """

    x: Tensor
    norm: Norm
    label: Tensor
    neighbor: Tensor
    first: Linearization | None
    L: Constant | None
    slack: Callable[[Tensor], Tensor] = field(default_factory=lambda: torch.zeros_like)

    def pull(self, alpha: Length) -> tuple[Tensor, float | Tensor]:
        """Which way the decision is moved, (n,) in {-1, +1}, and how far, in the units of x."""
        return pull(self.label, self.neighbor, alpha)

    def linearization(self) -> Linearization:
        """`first`, where there is one."""
        if self.first is None:
            raise ValueError("first must be a Linearization for this certificate, got None")
        return self.first


def one_logit(output: Tensor) -> Tensor:
    """The logit (n,) of a network of two classes that returns one, (n,) or (n, 1), or two, (n, 2),
    in the order -1, +1.

    >>> one_logit(torch.tensor([[1.0, 3.0]]))
    tensor([2.])
    """
    if output.ndim == 2 and output.shape[1] == 2:
        return output[:, 1] - output[:, 0]
    return output.flatten()


def sign(values: Tensor) -> Tensor:
    """The sign in {-1, +1}, with sign 0 = +1, as float64."""
    return torch.where(values >= 0, 1.0, -1.0).to(torch.float64)


def select(local: Linearization, label: Tensor, alpha: float | Tensor) -> Tensor:
    r"""f^mu(x) at n points, the sign of equation (5): one pass serves every alpha.

    .. math::

       f^\mu(x) = \begin{cases} \hat y(x) & \alpha > |g(x)| / \|\nabla g(x)\|_* \\
       \operatorname{sign} g(x) & \text{else} \end{cases}

    Source: equation (5), :doc:`nonlinear`.

    Parameters:
        local: the score at the points.
        label: (n,), the oracle's yhat(x) in {-1, +1}.
        alpha: the length of the bias, a number or (n,).

    Returns:
        (n,) int64 in {-1, +1}.
    """
    return torch.where(alpha > local.crossing, label.to(local.base), local.base).long()
