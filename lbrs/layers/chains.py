"""Chains of known layers: proved bounds of their rounding errors in any floating-point type, and of
their Lipschitz constants."""

import copy
import math

import torch
from torch import Tensor, nn

from lbrs._checks import number
from lbrs.layers.arithmetic import Arithmetic
from lbrs.layers.modules import steps
from lbrs.layers.steps import Bounds, Map, Pool, Step
from lbrs.norms import L1, L2, LINF, Norm
from lbrs.rounding import EPS
from lbrs.scores.lipschitz import LipschitzScore
from lbrs.scores.watching import product_unit

TYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
DOMAIN = 10.0
"""Largest |x_i| of a score's points unless another is asked for."""
UP = 1 + 1e-6
"""Bounds of rounding errors are sums of products of numbers >= 0, themselves rounded: up to 10^9
roundings in a row are covered."""


def owned(network: nn.Sequential, dtype: torch.dtype | None = None) -> nn.Sequential:
    """A copy of `network` with its weights fixed, rounded to `dtype` if one is given, that no later
    change of `network` reaches."""
    copied = copy.deepcopy(network).eval().requires_grad_(False)
    return copied if dtype is None else copied.to(dtype)


def exact(network: nn.Sequential, shape: tuple[int, ...], *, smooth: bool = False) -> list[Step]:
    """The steps of a copy of `network` in float64 on the CPU, after `steps` has admitted it."""
    steps(network, shape, smooth=smooth)
    return steps(owned(network, torch.float64).cpu(), shape, smooth=smooth)


def rounding_errors(
    network: nn.Sequential,
    shape: tuple[int, ...],
    norm: Norm,
    domain: float = DOMAIN,
    dtype: torch.dtype | None = None,
) -> tuple[float, float]:
    """Upper bounds of how far the computed g(x), and its computed gradient in the dual norm, are
    off, for all x with abs(x_i) <= `domain`; inf for the gradient where g has kinks.

    g is the output of `network` in real arithmetic with its weights as `dtype` stores them, at the
    exact x; computed is what torch gives in `dtype` from x rounded to it. The sizes of numbers and
    of their errors are carried forward through the layers, and back for the gradient. With u half
    an eps of the type, a sum of n rounded products, in any order and with sums kept in no better a
    type, is off by at most ((1 + u)^n - 1) times the sum of their sizes, u more with a bias (Higham
    2002, Section 3.1), an activation by its slope times the error of its argument and its own
    (``lbrs.layers.arithmetic``), and every operation by what underflow or a flush to zero costs.

    On a GPU only float64 is taken: in other types TF32 and transforms in place of sums are possible
    there, which this does not bound.

    Parameters:
        network, shape: as for ``lbrs.layers.modules.steps``.
        norm: whose dual measures the gradient.
        domain: > 0.
        dtype: float64, float32, bfloat16 or float16, that of the network by default.

    Raises:
        ValueError, TypeError: for other networks, and where a number may leave the range of
            `dtype`.

    >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).double()
    >>> value, gradient = rounding_errors(network, (2,), L2)
    >>> value < 1e-13, gradient
    (True, inf)
    """
    domain = number("domain", domain, low=0, open_low=True)
    steps(network, shape)
    kind = Arithmetic(_type(network, dtype))
    with torch.no_grad():
        chain = exact(owned(network, kind.dtype), shape)
        bounds, kept = _entered(torch.full((1, *shape), domain, dtype=torch.float64), kind), []
        for step in chain:
            _within(bounds, kind, domain)
            kept.append(bounds[1])
            bounds = step.forward(bounds, kind)
        _within(bounds, kind, domain)
        value = bounds[1].max().item() * UP
        smooth = [step for step in chain if not isinstance(step, Pool) and step.smooth]
        if len(smooth) < len(chain):
            return value, math.inf
        slopes = (torch.ones_like(bounds[0]), torch.zeros_like(bounds[0]))
        for step, error in zip(reversed(smooth), reversed(kept), strict=True):
            _within(slopes, kind, domain, step.peak)
            q, off = step.backward(slopes, error, kind)
            slopes = (q.reshape_as(error), off.reshape_as(error))
        _within(slopes, kind, domain)
        return value, norm.dual(slopes[1].flatten(1)).item() * UP


def _entered(size: Tensor, kind: Arithmetic) -> Bounds:
    """The bounds of x as the network sees it: float64 numbers rounded to its type."""
    if kind.dtype == torch.float64:
        return size, torch.zeros_like(size)
    return size, kind.grows(1) * size + kind.floor


def _type(network: nn.Sequential, dtype: torch.dtype | None) -> torch.dtype:
    weight = next(network.parameters())
    dtype = weight.dtype if dtype is None else dtype
    if dtype not in TYPES:
        raise ValueError(f"dtype must be one of {', '.join(map(_name, TYPES))}, got {dtype}")
    if dtype != torch.float64 and weight.device.type != "cpu":
        raise ValueError(
            f"dtype must be float64 on {weight.device.type}, got {dtype}: other types may be "
            "computed there in TF32 or by transforms, whose errors are not bounded here"
        )
    if dtype == torch.float32 and product_unit(weight.device) > torch.finfo(dtype).eps:
        raise ValueError(
            "dtype must be float64 while torch's switches of precision allow products of float32 "
            f"to be computed in a lower type, got {dtype}"
        )
    return dtype


def _within(bounds: Bounds, kind: Arithmetic, domain: float, peak: float = 1.0) -> None:
    largest = torch.finfo(torch.float32).max if peak > 1 and kind.largest < 1e30 else kind.largest
    most = (bounds[0] + bounds[1]).max().item() * UP
    if not (most <= kind.largest and most * peak <= largest):
        raise ValueError(
            f"network must keep all numbers within the range of {_name(kind.dtype)} for "
            f"|x_i| <= {domain:g}, got a possible "
            f"{most * peak:.3g}: take a wider type, smaller weights or a smaller domain"
        )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def share(errors: float, dtype: torch.dtype, domain: float) -> float:
    """`errors` as the `rounding` of a score, which must be below 1: an absolute error is one in
    units of 1 + size, too."""
    if not errors < 1:
        raise ValueError(
            f"network must be computable in {_name(dtype)} with an error below 1 for |x_i| "
            f"<= {domain:g}, got a bound of "
            f"{errors:.3g}: take a wider type, smaller weights or a smaller domain"
        )
    return errors


def lipschitz_constant(network: nn.Sequential, shape: tuple[int, ...], norm: Norm) -> float:
    r"""A Lipschitz constant K of a chain, rounded up, for all x, z in R^d; kinks are allowed.

    .. math:: |h(x) - h(z)| \le K\,\|x - z\|

    The smaller of the product of the layers' constants in `norm`, and of the dual norm of the
    weights' sizes multiplied from the last layer to the first; the second is never larger in l1 and
    linf. Spectral norms are proved by ``lbrs.layers.spectra``.

    Source: :prf:ref:`Theorem H <theorem-h>`.

    Parameters:
        network, shape: as for ``lbrs.layers.modules.steps``.
        norm: one of L1, L2, LINF.

    >>> network = nn.Sequential(nn.Linear(2, 1, bias=False)).double()
    >>> network[0].weight.data = torch.tensor([[3.0, 4.0]]).double()
    >>> round(lipschitz_constant(network, (2,), L2), 9)
    5.0
    """
    if norm not in (L1, L2, LINF):
        raise ValueError(f"norm must be L1, L2 or LINF for the constant of a network, got {norm}")
    with torch.no_grad():
        chain = exact(network, shape)
        product, q = 1.0, torch.ones(1, 1, dtype=torch.float64)
        for step in reversed(chain):
            product *= step.constant(norm)
            q = step.back(q)
        K = min(product, norm.dual(q.flatten(1)).item())
        terms = sum(sum(step.terms) for step in chain if isinstance(step, Map))
    K = K * (1 + 8 * (terms + math.prod(shape) + 64) * EPS) + lost(chain)
    if not math.isfinite(K):
        raise ValueError(f"network must have a Lipschitz constant within float64, got {K}")
    return K


def lost(chain: list[Step], power: int = 1) -> float:
    """What underflow may take from a bound, a sum of products of weights: 2^-1000 times the largest
    of them.

    The weights of the last step occur once in it, the others up to `power` times.
    """
    most = 2.0**-1000
    for place, step in enumerate(reversed(chain)):
        most *= math.prod([max(1.0, step.size)] * (power if place else 1))
    return most


def lipschitz_score(
    network: nn.Sequential,
    shape: tuple[int, ...],
    norm: Norm,
    *,
    domain: float = DOMAIN,
    dtype: torch.dtype | None = None,
) -> LipschitzScore:
    """The score of a chain of known layers with its K in `norm` and its rounding errors proved: all
    that a certificate by Theorem H needs.

    ReLU and max pooling are allowed. Points beyond abs(x_i) <= `domain` are an error, and radii end
    there. The network is copied; its weights are rounded to `dtype`, in which it is computed.

    Source: :prf:ref:`Theorem H <theorem-h>`.

    Parameters:
        network, shape, domain, dtype: as for ``rounding_errors``.
        norm: one of L1, L2, LINF.

    Raises:
        ValueError, TypeError: as ``rounding_errors``, and if the errors are not below 1.

    >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    >>> lipschitz_score(network, (3,), LINF).rounding < 1e-4
    True
    """
    steps(network, shape)
    kind = _type(network, dtype)
    kept = owned(network, kind)
    value, _ = rounding_errors(kept, shape, norm, domain)
    return LipschitzScore(
        kept,
        lipschitz_constant(kept, shape, norm),
        rounding=share(value, kind, domain),
        domain=domain,
    )
