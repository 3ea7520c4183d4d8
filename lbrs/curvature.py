"""How fast the gradient of a smooth network can turn: rigorous constants L for Assumption 7, and a loss that keeps them small."""

import copy
import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lbrs._checks import number
from lbrs.norms import L1, L2, LINF, Norm
from lbrs.scores import Score

EPS = torch.finfo(torch.float64).eps
REACH = 10.0
"""Largest size of an input's feature, in a certified ball too, for which the rounding errors of a network are bounded."""


@dataclass(frozen=True)
class Layer:
    """A linear map without its bias, made of `parts`, and the activation s after it: |s'| <= `slope`, `low` <= s'' <= `high`.

    `activation` is None after the last layer.
    """

    parts: tuple[nn.Module, ...]
    shape: tuple[int, ...]
    activation: nn.Module | None = None
    slope: float = 1.0
    low: float = 0.0
    high: float = 0.0

    def __call__(self, u: Tensor, absolute: bool = False) -> Tensor:
        """W u for inputs (n, *shape), or |W| u with the entries' sizes."""
        for part in self.parts:
            weight = getattr(part, "weight", None)
            weight = weight.abs() if absolute and weight is not None else weight
            if isinstance(part, nn.Linear):
                u = F.linear(u, weight)
            elif isinstance(part, nn.Conv2d):
                u = F.conv2d(u, weight, None, part.stride, part.padding, part.dilation, part.groups)
            else:
                u = part(u)
        return u

    def back(self, q: Tensor) -> Tensor:
        """|W|^T q for `q` (1, *out), differentiable in the weights."""
        at = torch.zeros(1, *self.shape, dtype=q.dtype, device=q.device, requires_grad=True)
        with torch.enable_grad():
            return torch.autograd.grad(self(at, absolute=True), at, q, create_graph=q.requires_grad or torch.is_grad_enabled())[0]

    def matrix(self) -> Tensor:
        """W as a matrix (out, in)."""
        eye = torch.eye(math.prod(self.shape), dtype=torch.float64, device=next(self.parts[-1].parameters()).device)
        return self(eye.reshape(-1, *self.shape)).flatten(1).T

    def bias(self) -> Tensor:
        """The bias (out,): the value at 0."""
        at = torch.zeros(1, *self.shape, dtype=torch.float64, device=next(self.parts[-1].parameters()).device)
        for part in self.parts:
            at = part(at)
        return at.flatten()


def layers(network: nn.Module, shape: tuple[int, ...]) -> list[Layer]:
    """The layers of `network`, an nn.Sequential that maps points of `shape` to (n, 1).

    Allowed are Linear, Conv2d with zero padding, Flatten, and after each linear map but the last Softplus, Tanh or Sigmoid; else a
    ValueError. Softplus needs threshold >= 37: below, torch's gradient jumps there.
    """
    if not isinstance(network, nn.Sequential):
        raise TypeError(f"network must be an nn.Sequential, got {type(network).__name__}")
    found, parts, here, inner = [], [], tuple(shape), tuple(shape)
    weight = next(network.parameters())
    for module in network:
        if isinstance(module, (nn.Linear, nn.Flatten)) or (isinstance(module, nn.Conv2d) and module.padding_mode == "zeros"):
            if parts and not isinstance(parts[-1], nn.Flatten) and not isinstance(module, nn.Flatten):
                raise ValueError("network must have an activation between two linear maps, got none")
            parts.append(module)
            with torch.no_grad():
                inner = tuple(module(torch.zeros(1, *inner, dtype=weight.dtype, device=weight.device)).shape[1:])
        elif parts:
            found.append(Layer(tuple(parts), here, module, *_activation(module)))
            parts, here = [], inner
        else:
            raise ValueError(f"network must begin with Linear, Conv2d or Flatten, got {type(module).__name__}")
    if not parts or math.prod(inner) != 1:
        raise ValueError(f"network must end with a linear map to one number, got {inner}")
    return [*found, Layer(tuple(parts), here)]


def _activation(module: nn.Module) -> tuple[float, float, float]:
    if isinstance(module, nn.Softplus):
        if module.threshold < 37:
            raise ValueError(f"network must have Softplus(threshold=t) with t >= 37, so that its gradient does not jump there, got {module.threshold:g}")
        return 1.0, 0.0, module.beta / 4
    if isinstance(module, nn.Tanh):
        return 1.0, -4 / 27**0.5, 4 / 27**0.5
    if isinstance(module, nn.Sigmoid):
        return 0.25, -1 / 108**0.5, 1 / 108**0.5
    raise ValueError(f"network must have smooth activations (Softplus, Tanh, Sigmoid), got {type(module).__name__}: for others no constant L is known here")


def curvatures(chain: list[Layer], sign: float) -> list[Tensor]:
    """Upper bounds D_l (1, *out) of `sign` q_l s''(z_l), q_l the derivative of g by the unit's output, for each hidden layer."""
    device, dtype = next(chain[-1].parts[-1].parameters()).device, next(chain[-1].parts[-1].parameters()).dtype
    one = torch.ones(1, 1, dtype=dtype, device=device)
    top, found = chain[-1], []
    at = torch.zeros(1, *top.shape, dtype=dtype, device=device, requires_grad=True)
    with torch.enable_grad():
        q = sign * torch.autograd.grad(top(at), at, one, create_graph=torch.is_grad_enabled())[0]
    size, outer = q.abs(), None
    for layer in reversed(chain[:-1]):
        if outer is None:
            found.append(torch.maximum(q * layer.high, q * layer.low))
        else:
            size = outer.back(outer.slope * size)
            found.append(size * max(layer.high, -layer.low))
        outer = layer
    return found[::-1]


def gradient_lipschitz(network: nn.Module, shape: tuple[int, ...], norm: Norm) -> float:
    """A constant L, rounded up, with ||grad g(x) - grad g(z)||_* <= L ||x - z|| for all x, z in R^d (Assumption 7).

    g is the output of `network` in real arithmetic, with its weights as they are stored. With z_l = W_l s(z_{l-1}) + b_l, J_l the Jacobian of z_l,
    and q_l the derivative of g by the output of a unit, the Hessian is H = sum_l J_l^T diag(q_l s''(z_l)) J_l, with
    |q_l| <= |W_{l+1}|^T (|s'| |q_{l+1}|). In l2 its largest and its smallest eigenvalue are bounded apart, as q of the last hidden layer has known
    signs: sum_l ||D_l^{1/2} W_l||^2 prod_{i<l} (|s'| ||W_i||)^2. In l1 and linf the form D_l is taken over |J_l| <= |W_l| |s'| |J_{l-1}|. Each
    spectral norm is bounded from above (`largest_eigenvalue`), and convolutions are written out as matrices.

    Parameters: `network` and `shape` as `layers` takes them; `norm` one of L1, L2, LINF. One hidden layer of softplus units gives the sharpest L.
    """
    if norm not in (L1, L2, LINF):
        raise ValueError(f"norm must be L1, L2 or LINF for the curvature of a network, got {norm}")
    with torch.no_grad():
        chain = layers(copy.deepcopy(network).double(), shape)
        bounds = {sign: [D.flatten() for D in curvatures(chain, sign)] for sign in (1.0, -1.0)}
        sizes = [*(math.prod(layer.shape) for layer in chain), 1]
        units = sum((inner * outer) ** 0.5 for inner, outer in itertools.pairwise(sizes))
        if norm == L2:
            L = max((_spectral(chain, D) for D in bounds.values()))
        else:
            L = _elementwise(chain, [torch.maximum(*D) for D in zip(*bounds.values(), strict=True)], norm)
    return L * (1 + 64 * (units + 64) * EPS)


def _spectral(chain: list[Layer], D: list[Tensor]) -> float:
    total, lipschitz = 0.0, 1.0
    for layer, weights in zip(chain[:-1], D, strict=True):
        W = layer.matrix()
        total += largest_eigenvalue(W, weights) * lipschitz
        lipschitz *= layer.slope**2 * (largest_eigenvalue(W, torch.ones_like(weights)) if layer is not chain[-2] else 1.0)
    return total


def _elementwise(chain: list[Layer], D: list[Tensor], norm: Norm) -> float:
    total, J, slope = 0.0, None, 1.0
    for layer, weights in zip(chain[:-1], D, strict=True):
        W = layer.matrix()
        J, slope = W if J is None else W.abs() @ (slope * J.abs()), layer.slope
        if norm == L1:
            total += (weights @ J**2).max().item()
        else:
            P = J.T @ (weights[:, None] * J)
            share = (weights @ J**2).sqrt()
            on = share > 0
            scaled = J[:, on] / share[on].sqrt()
            total += min(P.abs().sum().item(), (share.sum() * largest_eigenvalue(scaled, weights)).item()) if on.any() else 0.0
    return total


def largest_eigenvalue(W: Tensor, D: Tensor) -> float:
    """An upper bound of the largest eigenvalue of W^T diag(D) W, for `W` (m, d) and `D` (m,) >= 0, proved in floating point.

    An eigenvalue solver proposes lambda; then a Cholesky factorisation of lambda I - M runs to its end, for the smaller of the two Gram matrices M, n x n.
    That shows lambda I - M >= -gamma_{n+1} / (1 - gamma_{n+1}) n lambda (Higham 2002, Theorem 10.3), and M itself is computed up to
    gamma_{m+2} trace M; both are added.
    """
    A = D.sqrt()[:, None] * W
    A = A.T if A.shape[0] > A.shape[1] else A
    M = A @ A.T
    n, m, trace = *A.shape, M.diagonal().sum().item()
    if trace == 0:
        return 0.0
    proposed = torch.linalg.eigvalsh(M)[-1].item()
    for slack in (1e-12, 1e-10, 1e-8, 1e-6, 1e-3):
        value = proposed + slack * trace
        if torch.linalg.cholesky_ex(value * torch.eye(n, dtype=M.dtype, device=M.device) - M)[1].item() == 0:
            break
    else:
        value = trace
    return value + 2 * EPS * ((n + 4) * n * value + (m + 4) * trace)


def rounding(network: nn.Module, shape: tuple[int, ...], norm: Norm) -> float:
    """How far at most g and its gradient, computed in float64, are from those in real arithmetic: the larger of |fl(g) - g| and ||fl(grad g) - grad g||_*.

    For inputs with |x_i| <= 10. A sum of n rounded products, in any order, is off by at most (n + 2) eps times the sum of the sizes of its terms, and a
    computed s or s' by 8 eps of its size; these errors are carried forward through the network, then back.
    """
    with torch.no_grad():
        chain = layers(copy.deepcopy(network).double(), shape)
        size = torch.full((math.prod(shape),), REACH, dtype=torch.float64, device=next(network.parameters()).device)
        error, kept = torch.zeros_like(size), []
        for layer in chain:
            W, b = layer.matrix().abs(), layer.bias().abs()
            z = W @ (size + error) + b
            error = W @ error + (W.shape[1] + 2) * EPS * z
            kept.append((layer, W, error))
            if layer.activation is not None:
                origin = layer.activation(torch.zeros(1, dtype=torch.float64)).item()
                size = layer.slope * z + abs(origin)
                error = layer.slope * error + 8 * EPS * size
        q, off = torch.ones_like(error), torch.zeros_like(error)
        for layer, W, z in reversed(kept):
            if layer.activation is not None:
                off = layer.slope * off + (q + off) * (max(layer.high, -layer.low) * z + 8 * EPS * layer.slope)
                q = layer.slope * q
            q, off = W.T @ q, W.T @ off + (W.shape[0] + 2) * EPS * (W.T @ (q + off))
    share = max(error.item(), norm.dual(off[None]).item(), (len(off) + 8) * EPS)
    return share * (1 + 1e-6)


def smooth_score(network: nn.Module, shape: tuple[int, ...], norm: Norm) -> Score:
    """The score of a smooth network in float64, with its L in `norm` and its rounding errors bounded: all that a certificate by Theorem E' needs.

    Certificates hold for points with |x_i| <= 10 and radii that do not leave this box. Parameters: as `gradient_lipschitz`.

    >>> from lbrs.networks import smooth_mlp
    >>> smooth_score(smooth_mlp((3,), (4,), generator=torch.Generator().manual_seed(0)), (3,), L2).gradient_lipschitz < 1
    True
    """
    copied = copy.deepcopy(network).double().eval().requires_grad_(False)
    return Score(copied, gradient_lipschitz(network, shape, norm), rounding=min(1.0, rounding(network, shape, norm)))


class CertifiedLoss:
    """A training loss that asks for a margin after the largest loss within `radius`: t softplus(-(y g - ||grad g||_* r - L r^2 / 2) / t).

    The bracket is Psi_-(r) at alpha = 0 (Theorem E), so a point with a positive one has a certified radius of r, and both the gradient and L are penalised.
    Here L is estimated by a power iteration, from below; only `gradient_lipschitz` is a bound.

    Parameters: the network's `shape` of points, `norm`, `radius` r > 0, `temperature` t > 0, `generator` for the start of the iteration.
    """

    def __init__(self, shape: tuple[int, ...], norm: Norm, radius: float, temperature: float, generator: torch.Generator | None = None) -> None:
        self.shape, self.norm = tuple(shape), norm
        self.radius = number("radius", radius, low=0)
        self.temperature = number("temperature", temperature, low=0, open_low=True)
        start = torch.randn(2, 1, math.prod(self.shape), generator=generator)
        self._vectors = norm.maximizer(start)

    def __call__(self, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The mean loss at `x` (n, *shape) with labels `y` (n,) in {-1, +1}."""
        x = x.detach().requires_grad_()
        g = network(x).flatten()
        (gradient,) = torch.autograd.grad(g.sum(), x, create_graph=True)
        L = self.curvature(network)
        margin = y * g - self.radius * self.norm.dual(gradient.flatten(1)) - self.radius**2 / 2 * L
        return F.softplus(-margin / self.temperature).mean() * self.temperature

    def curvature(self, network: nn.Module) -> Tensor:
        """An estimate of L, differentiable in the weights; one step of the power iteration a call."""
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
    """sum_l z_l^T diag(D_l) z_l for the input `u` sent through the linear maps alone, scaled by the largest slopes."""
    total = u.new_zeros(())
    for layer, weights in zip(chain[:-1], D, strict=True):
        u = layer(u)
        total = total + (weights * u**2).sum()
        u = layer.slope * u
    return total
