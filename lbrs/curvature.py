"""How fast the gradient of a smooth network can turn: rigorous constants L for Assumption 7, and a
loss that keeps them small."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lbrs._checks import number
from lbrs.layers.chains import DOMAIN, lost, owned, rounding_errors, share
from lbrs.layers.modules import steps
from lbrs.layers.spectra import Array, Matrix, largest_eigenvalue, largest_form, written_out
from lbrs.layers.steps import Map, Unit, Weighted
from lbrs.norms import L1, L2, LINF, Norm
from lbrs.rounding import EPS
from lbrs.scores.base import Score


@dataclass(frozen=True)
class Layer:
    """A linear map without its bias, and the activation after it; none after the last layer."""

    map: Map
    activation: Unit | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the map's inputs."""
        return self.map.shape

    @property
    def module(self) -> Weighted:
        """The layer of the network that the map is."""
        module = self.map.module
        assert not isinstance(module, nn.AvgPool2d)  # `layers` has refused pools
        return module

    @property
    def unit(self) -> Unit:
        """The activation, of any layer but the last."""
        assert self.activation is not None
        return self.activation

    @property
    def slope(self) -> float:
        """The largest |s'|."""
        return 1.0 if self.activation is None else self.activation.slope

    def __call__(self, u: Tensor, absolute: bool = False) -> Tensor:
        """W u for inputs (n, ...), or |W| u with the entries' sizes."""
        return self.map(u, absolute)

    def back(self, q: Tensor) -> Tensor:
        """|W|^T q for `q` (1, ...), differentiable in the weights."""
        return self.map.back(q)

    def matrix(self) -> Matrix:
        """W as a matrix (out, in), sparse for a convolution."""
        return written_out(self.module, self.shape)


def layers(network: nn.Sequential, shape: tuple[int, ...]) -> list[Layer]:
    """The layers of `network`, an nn.Sequential that maps points of `shape` to (n, 1), as
    `lbrs.layers.modules.steps` admits it.

    Allowed are Linear, Conv2d with zero padding, Flatten, and after each linear map but the last
    Softplus, Tanh or Sigmoid; else a ValueError. Softplus needs threshold >= 37: below, torch's
    gradient jumps there.
    """
    found: list[Layer] = []
    chain = [step for step in steps(network, shape, smooth=True) if isinstance(step, Map | Unit)]
    if isinstance(chain[0], Unit):
        raise ValueError(f"network must begin with Linear, Conv2d or Flatten, got {chain[0].name}")
    if isinstance(chain[-1], Unit):
        raise ValueError(f"network must end with a linear map to one number, got {chain[-1].name}")
    for step, after in itertools.pairwise([*chain, None]):
        if isinstance(step, Map) and isinstance(after, Map):
            raise ValueError("network must have an activation between two linear maps, got none")
        if isinstance(step, Unit) and isinstance(after, Unit):
            raise ValueError(
                f"network must have a linear map between two activations, got {step.name} "
                f"and {after.name}"
            )
        if isinstance(step, Map):
            found.append(Layer(step, after if isinstance(after, Unit) else None))
    return found


def curvatures(chain: list[Layer], sign: float) -> list[Tensor]:
    """Upper bounds D_l (1, *out) of `sign` q_l s''(z_l), q_l the derivative of g by the unit's
    output, for each hidden layer."""
    top, hidden = chain[-1], chain[:-1]
    if not hidden:
        return []
    weight = top.module.weight
    at = torch.zeros(1, *top.shape, dtype=weight.dtype, device=weight.device, requires_grad=True)
    with torch.enable_grad():
        g = top(at).reshape(1, 1)
        one, kept = torch.ones_like(g), weight.requires_grad
        q = sign * torch.autograd.grad(g, at, one, create_graph=kept)[0]
    last = hidden[-1].unit
    size, found = q.abs(), [torch.maximum(q * last.high, q * last.low)]
    for layer, outer in zip(hidden[-2::-1], hidden[:0:-1], strict=True):
        size = outer.back(outer.slope * size)
        found.append(size * layer.unit.bend)
    return found[::-1]


def gradient_lipschitz(network: nn.Sequential, shape: tuple[int, ...], norm: Norm) -> float:
    r"""A constant L of Assumption 7, rounded up, for all x, z in R^d.

    .. math:: \|\nabla g(x) - \nabla g(z)\|_* \le L\,\|x - z\|

    g is the output of `network` in real arithmetic, with its weights as they are stored. With
    z_l = W_l s(z_{l-1}) + b_l, J_l the Jacobian of z_l, and q_l the derivative of g by the output
    of a unit, the Hessian is H = sum_l J_l^T diag(q_l s''(z_l)) J_l, with q_l at most
    W_{l+1}^T (s' q_{l+1}) in sizes. In l2 its largest and its smallest eigenvalue are bounded
    apart, as q of the last hidden layer has known signs: sum_l ||D_l^{1/2} W_l||^2 times
    prod_{i<l} (s' ||W_i||)^2. In l1 and linf the form D_l is taken over J_l <= W_l s' J_{l-1} in
    sizes. Each spectral norm is bounded from above, and convolutions are written out as matrices.

    Source: :prf:ref:`Assumption 7 <assumption-7>`.

    Parameters:
        network: an nn.Sequential as ``layers`` takes it. One hidden layer of softplus units gives
            the sharpest L.
        shape: of its points.
        norm: one of L1, L2, LINF.

    Raises:
        ValueError, TypeError: for other networks and norms, naming the layer.
    """
    if norm not in (L1, L2, LINF):
        raise ValueError(f"norm must be L1, L2 or LINF for the curvature of a network, got {norm}")
    layers(network, shape)
    with torch.no_grad(), np.errstate(over="ignore", invalid="ignore"):
        chain = layers(owned(network, torch.float64).cpu(), shape)
        upward, downward = (_arrays(curvatures(chain, sign)) for sign in (1.0, -1.0))
        sizes = [*(math.prod(layer.shape) for layer in chain), 1]
        units = sum(math.sqrt(inner * outer) for inner, outer in itertools.pairwise(sizes))
        if len(chain) == 1:
            return 0.0
        if norm == L2:
            L = max(_spectral(chain, D) for D in (upward, downward))
        else:
            L = _elementwise(chain, list(map(np.maximum, upward, downward)), norm)
    L = L * (1 + 64 * (units + 64) * EPS) + lost([layer.map for layer in chain], 2)
    if not math.isfinite(L):
        raise ValueError(f"network must have a constant L within float64, got {L}")
    return L


def _arrays(D: list[Tensor]) -> list[Array]:
    return [one.flatten().numpy() for one in D]


def _spectral(chain: list[Layer], D: list[Array]) -> float:
    """sum_l ||D_l^{1/2} W_l||^2 prod_{i<l} (|s'| ||W_i||)^2."""
    total, lipschitz = 0.0, 1.0
    for layer, weights in zip(chain[:-1], D, strict=True):
        W = layer.matrix()
        total += largest_eigenvalue(W, weights) * lipschitz
        square = largest_eigenvalue(W, np.ones_like(weights)) if layer is not chain[-2] else 1.0
        lipschitz *= layer.slope**2 * square
    return total


def _elementwise(chain: list[Layer], D: list[Array], norm: Norm) -> float:
    """The form D_l over the largest sizes of the Jacobians J_l, in l1 or linf."""
    total, J, slope = 0.0, None, 1.0
    for layer, weights in zip(chain[:-1], D, strict=True):
        W = layer.matrix()
        J, slope = W if J is None else abs(W) @ (slope * abs(J)), layer.slope
        if norm == L1:
            total += (weights @ J**2).max().item()
        else:
            total += largest_form(J, weights)
    return total


def rounding(
    network: nn.Sequential, shape: tuple[int, ...], norm: Norm, domain: float = DOMAIN
) -> float:
    """How far at most g and its gradient, computed in float64, are from those in real arithmetic,
    for |x_i| <= `domain`.

    The larger of |fl(g) - g| and ||fl(grad g) - grad g||_*, as bounded by
    `lbrs.layers.chains.rounding_errors`.
    """
    layers(network, shape)
    return max(rounding_errors(network, shape, norm, domain, torch.float64))


def smooth_score(
    network: nn.Sequential, shape: tuple[int, ...], norm: Norm, *, domain: float = DOMAIN
) -> Score:
    """The score of a smooth network in float64, with its L in `norm` and its rounding errors
    bounded: all that Theorem E' needs.

    Points beyond abs(x_i) <= `domain` are an error, and radii end there. The network is copied.

    Source: :prf:ref:`Theorem E' <theorem-e-prime>`.

    Parameters:
        network, shape, norm: as ``gradient_lipschitz``.
        domain: > 0.

    Raises:
        ValueError, TypeError: for other networks, and if rounding errors may reach 1 within the
            domain.

    >>> network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    >>> smooth_score(network, (3,), L2).gradient_lipschitz < 9
    True
    """
    L = gradient_lipschitz(network, shape, norm)
    allowed = share(rounding(network, shape, norm, domain), torch.float64, domain)
    return Score(owned(network, torch.float64), L, rounding=allowed, domain=domain)


class CertifiedLoss:
    r"""A training loss that asks for a margin after the largest loss within `radius`.

    .. math::

       t\,\operatorname{softplus}\Big(
       -\frac{y\,g(x) - \|\nabla g(x)\|_*\,r - L r^2/2}{t}\Big)

    The numerator is Psi_-(r) at alpha = 0, so a point with a positive one has a certified radius of
    r, and both the gradient and L are penalised. Here L is estimated by a power iteration, from
    below; only ``gradient_lipschitz`` is a bound.

    Source: :prf:ref:`Theorem E <theorem-e>`.

    Parameters:
        shape: of the network's points.
        norm: the threat norm.
        radius: r > 0.
        temperature: t > 0.
        generator: for the start of the iteration.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        norm: Norm,
        radius: float,
        temperature: float,
        generator: torch.Generator | None = None,
    ) -> None:
        self.shape, self.norm = tuple(shape), norm
        self.radius = number("radius", radius, low=0)
        self.temperature = number("temperature", temperature, low=0, open_low=True)
        start = torch.randn(2, 1, math.prod(self.shape), generator=generator)
        self._vectors = norm.maximizer(start)

    def __call__(self, network: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
        """The mean loss at `x` (n, *shape) with labels `y` (n,) in {-1, +1}."""
        x = x.detach().requires_grad_()
        g = network(x).flatten()
        (gradient,) = torch.autograd.grad(g.sum(), x, create_graph=True)
        L = self.curvature(network)
        margin = y * g - self.radius * self.norm.dual(gradient.flatten(1)) - self.radius**2 / 2 * L
        return F.softplus(-margin / self.temperature).mean() * self.temperature

    def curvature(self, network: nn.Sequential) -> Tensor:
        """An estimate of L, differentiable in the weights; one step of the power iteration a
        call."""
        chain = layers(network, self.shape)
        values = []
        for place, sign in enumerate((1.0, -1.0)):
            D = curvatures(chain, sign)
            u = self._vectors[place].to(D[0]).requires_grad_()
            (step,) = torch.autograd.grad(_form(chain, D, u.reshape(1, *self.shape)), u)
            u = self.norm.maximizer(step).detach()
            self._vectors[place] = u.to(self._vectors)
            values.append(_form(chain, D, u.reshape(1, *self.shape)))
        return torch.maximum(*values)


def _form(chain: list[Layer], D: list[Tensor], u: Tensor) -> Tensor:
    """sum_l z_l^T diag(D_l) z_l for the input `u` sent through the linear maps alone, scaled by the
    largest slopes."""
    total = u.new_zeros(())
    for layer, weights in zip(chain[:-1], D, strict=True):
        u = layer(u)
        total = total + (weights * u**2).sum()
        u = layer.slope * u
    return total
