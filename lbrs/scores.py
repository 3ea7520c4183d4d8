"""What is smoothed: a real score g whose sign is the base classifier f."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lbrs._checks import ELEMENTS, array, batch, integer, number
from lbrs.norms import Norm

KINKS = ("Relu", "LeakyRelu", "Prelu", "Rrelu", "Threshold", "Hard", "Softshrink", "Abs", "Clamp", "Where", "Max", "Min", "Amax", "Amin",
         "Fmax", "Fmin", "Cummax", "Cummin", "AdaptiveMax", "FractionalMax", "Sort", "Topk", "Kthvalue", "Median", "Nanmedian", "Round", "Floor", "Ceil",
         "Trunc", "Frac", "Fmod", "Remainder", "Sign", "Sgn", "MaskedFill", "LinalgVectorNorm", "Norm", "Dist", "Cdist", "Pdist")
"""How the names of autograd nodes begin whose value or gradient jumps, so that no gradient-Lipschitz constant exists."""


Constant = float | Callable[[Tensor, Tensor], Tensor]
"""A gradient-Lipschitz constant for all points, or a map from points and radii to local ones."""


@dataclass(frozen=True)
class Linearization:
    """The score at each of n points, to first order.

    `base` (n,): f(x) = sign g(x) in {-1, +1}, with sign 0 = +1. `value` (n,): g(x). `slope` (n,): G = ||grad g(x)||_*.
    `crossing` (n,): |g(x)|/G, the alpha above which the oracle decides instead of f; inf where G = 0.
    """

    base: Tensor
    value: Tensor
    slope: Tensor
    crossing: Tensor


def sign(values: Tensor) -> Tensor:
    """The sign in {-1, +1}, with sign 0 = +1."""
    return torch.where(values >= 0, 1.0, -1.0).to(torch.float64)


class Score:
    """A differentiable score g: R^d -> R, evaluated and differentiated in batches.

    Parameters
    ----------
    function: torch callable or module that maps (n, *shape) to (n,) or (n, 1), each row on its own.
    gradient_lipschitz: an L with ||grad g(x) - grad g(z)||_* <= L ||x - z|| for all x, z (Assumption 7), in the norm used for
        certification. The certificate is only as true as this number. None: no certificate can be asked for. Or a callable that maps points
        (n, *shape) and radii (n,) to constants (n,) that hold for x, z in the closed balls of these radii around the points, so
        that they grow with the radius; inf where there is none.
    dtype, device: what `function` computes in and on; a module's own by default, else float64 on the CPU.
    batch_size: most points handed to `function` at once; 256 keeps a small network within a processor's cache, a GPU does well with thousands.
    rounding: how far at most the computed g is from g, as a share of 1 + |g|, and its gradient, as a share of 1 + ||grad g||_*; sharp
        certificates allow for it. By default 1e-10 in float64 and 1e-4 in other types.

    `only_norm`: the one threat norm in which this kind of score is certified, or None. `random`: whether it is known through random draws only.

    Raises ValueError for L < 0, for an L given to a module with a kinked activation such as ReLU (its gradient jumps, so
    no L exists), and for a module in training mode, whose output for a point depends on the batch or on chance. When a
    certificate is asked for, every torch operation between input and output is looked at as well; a kink that torch does not
    see, as in x * (x > 0), remains the caller's to avoid.

    >>> g = Score(lambda x: x.sin().sum(-1), gradient_lipschitz=1.0)
    >>> g.value(torch.zeros(1, 3))
    tensor([0.], dtype=torch.float64)
    """

    only_norm: Norm | None = None
    random = False
    certify_biased: Callable | None = None  # a kind of score with a theorem of its own certifies its locally biased classifier itself

    def __init__(self, function: Callable[[Tensor], Tensor], gradient_lipschitz: Constant | None = None, *, dtype: torch.dtype | None = None,
                 device: torch.device | str | None = None, batch_size: int = 256, rounding: float | None = None) -> None:
        if not callable(function):
            raise TypeError(f"function must map a tensor (n, *shape) to (n,), got {type(function).__name__}")
        self.function = function
        given = gradient_lipschitz is None or callable(gradient_lipschitz)
        self.gradient_lipschitz = gradient_lipschitz if given else number("gradient_lipschitz", gradient_lipschitz, low=0)
        weight = next(function.parameters(), None) if isinstance(function, nn.Module) else None
        self.dtype = dtype or (torch.float64 if weight is None else weight.dtype)
        self.device = torch.device(device or ("cpu" if weight is None else weight.device))
        self.batch_size = integer("batch_size", batch_size, low=1)
        default = 1e-10 if self.dtype == torch.float64 else 1e-4
        self.rounding = default if rounding is None else number("rounding", rounding, low=0, high=1)
        if isinstance(function, nn.Module):
            self._check_module(function)

    def _check_module(self, module: nn.Module) -> None:
        _refuse_training(module)
        kinked = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Threshold, nn.MaxPool1d,
                  nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d, nn.Hardshrink, nn.Softshrink)
        if self.gradient_lipschitz is not None:
            for part in module.modules():
                if isinstance(part, kinked):
                    raise _kink_error(type(part).__name__)

    def smoothness(self, x: Tensor) -> Constant:
        """The constant L of Assumption 7, or the callable that gives local ones; a ValueError if there is none, or if `function` has a kinked
        operation at `x` (n, *shape)."""
        if self.gradient_lipschitz is None:
            raise ValueError("gradient_lipschitz is needed to certify (Assumption 7), got None: give Score an L for which the gradient is "
                             "L-Lipschitz from the norm to its dual; a ReLU network has none")
        if len(x):
            seen, output = self._output(x[:1])
            for node in _nodes(output, seen):
                if _kinked(node):
                    raise _kink_error(type(node).__name__.split("Backward")[0])
        return self.gradient_lipschitz

    def local_smoothness(self, x: Tensor, radius: Tensor) -> Tensor:
        """The constants (n,) for the closed balls of the radii (n,) around the points `x` (n, *shape), from the callable, checked."""
        L = self.gradient_lipschitz(x, radius)
        if not isinstance(L, Tensor) or tuple(L.shape) != (len(x),):
            given = tuple(L.shape) if isinstance(L, Tensor) else type(L).__name__
            raise ValueError(f"gradient_lipschitz must return a tensor of shape ({len(x)},) for {len(x)} points, got {given}")
        L = L.detach().to(radius)
        if not (L >= 0).all():
            raise ValueError(f"gradient_lipschitz must return numbers >= 0, got {L[~(L >= 0)][0].item():g}")
        return L

    def value(self, x: object) -> Tensor:
        """g at the points `x` (n, *shape), as float64 (n,)."""
        return self.raw(batch("x", x))

    def raw(self, x: Tensor) -> Tensor:
        """As `value`, for a tensor of any floating type that needs no check: many noisy copies of a point cost no copy in float64."""
        return self._map(x, lambda part: self._output(part, grad=False)[1].to(torch.float64))

    def value_and_gradient(self, x: object) -> tuple[Tensor, Tensor]:
        """g (n,) and its gradient (n, *shape) at the points `x` (n, *shape), as float64."""
        x = batch("x", x)
        parts = [self._value_and_gradient(part) for part in x.split(self._step(x))] if len(x) else []
        if not parts:
            return x.new_zeros(0), torch.zeros_like(x)
        return torch.cat([value for value, _ in parts]), torch.cat([gradient for _, gradient in parts])

    def linearize(self, x: object, norm: Norm) -> Linearization:
        """Value, dual gradient norm and crossing of g at the points `x` (n, *shape) for the threat `norm`."""
        value, gradient = self.value_and_gradient(x)
        slope = norm.dual(gradient.flatten(1))
        return Linearization(sign(value), value, slope, torch.where(slope > 0, value.abs() / slope, torch.inf))

    def _step(self, x: Tensor) -> int:
        return max(1, min(self.batch_size, ELEMENTS // max(1, x[0].numel() if len(x) else 1)))

    def _map(self, x: Tensor, evaluate: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.cat([evaluate(part) for part in x.split(self._step(x))]) if len(x) else torch.zeros(0, dtype=torch.float64, device=x.device)

    def _output(self, x: Tensor, grad: bool = True) -> tuple[Tensor, Tensor]:
        """The input as `function` sees it, and its checked output (n,)."""
        if isinstance(self.function, nn.Module):
            _refuse_training(self.function)
        x = x.detach().to(self.device, self.dtype)
        with torch.set_grad_enabled(grad):
            x = x.requires_grad_(grad)
            try:
                output = self.function(x)
            except RuntimeError as error:
                raise ValueError(f"function must take points x of shape {tuple(x.shape)} on {x.device}, got an error from it: {error}") from error
            output = self._squeeze(output, len(x))
        if not torch.isfinite(output).all():
            raise ValueError("function must return finite numbers, got NaN or infinity")
        return x, output

    def _squeeze(self, output: object, n: int) -> Tensor:
        if not isinstance(output, Tensor) or tuple(output.shape) not in {(n,), (n, 1)}:
            given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(f"function must return a tensor of shape ({n},) for {n} points, got {given}")
        return output.reshape(n)

    def _value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        seen, output = self._output(x)
        if not output.requires_grad:
            raise ValueError("function must be differentiable by torch, got an output without a gradient")
        (gradient,) = torch.autograd.grad(output, seen, torch.ones_like(output))
        if not torch.isfinite(gradient).all():
            raise ValueError("function must have a finite gradient, got NaN or infinity")
        return output.detach().to(torch.float64), gradient.to(torch.float64)


class LinearScore(Score):
    """The affine score g(x) = a^T x + b (Section 3), whose gradient a is 0-Lipschitz: Theorem 6 applies exactly.

    Parameters: `weight` a of shape (*shape) of one point; `bias` b, a number.

    >>> LinearScore([1.0, -1.0], 0.5).value(torch.tensor([[2.0, 1.0]]))
    tensor([1.5000], dtype=torch.float64)
    """

    def __init__(self, weight: object, bias: float = 0.0) -> None:
        self.weight = array("weight", weight)
        if self.weight.ndim == 0 or self.weight.numel() == 0:
            raise ValueError(f"weight must have the shape of one point, got {tuple(self.weight.shape)}")
        self.bias = number("bias", bias, low=-torch.inf)
        super().__init__(self._affine, gradient_lipschitz=0.0, device=self.weight.device)

    @property
    def share(self) -> float:
        """(d + 8) eps, twice what a computed ||a||_* is off by at most, as a share: (d + 2) u in l1, l2, linf, else a few u more, u = eps/2."""
        return (self.weight.numel() + 8) * torch.finfo(torch.float64).eps

    def rounding_error(self, x: Tensor) -> Tensor:
        """A bound (n,) of the rounding errors of g at the points `x` and at any point of their certified balls, together.

        In any order of summation and with or without fused operations each of the d products takes part in at most d + 1 roundings
        (product 1, sum d - 1, bias 1), so |fl(a^T z + b) - (a^T z + b)| <= (1 + O(d u)) (d + 1) u (sum |a_i z_i| + |b|): at z = x, and at
        z = x + t, where sum |a_i t_i| <= ||a||_* ||t||, which `share` covers. That is (d + 1) eps (sum |a_i x_i| + |b|), of which the sizes are
        computed too; half an eps is for that. Underflow may cost 2^-1020 d besides.
        """
        sizes, d = x.flatten(1).abs() @ self.weight.flatten().abs() + abs(self.bias), self.weight.numel()
        return (d + 1.5) * torch.finfo(torch.float64).eps * sizes + d * 2.0**-1020

    def reaches(self, x: Tensor, prediction: Tensor, local: Linearization, alpha: float) -> tuple[Tensor, Tensor]:
        """Lower bounds (n,), (n,) of R + alpha and R - alpha, R = f^mu(x) g(x)/||a||_*, for Theorems 6 and B.

        f^mu as computed in floating point is `prediction` (n,) at all z with the oracle's label f^mu(x) within the first of x, and at those with the
        other label within the second. It compares alpha with fl(|fl(g(z))| / fl(||a||_*)), so with G = fl(||a||_*) it turns where
        f^mu(x) fl(g(z)) -+ alpha G changes its sign, up to two roundings of alpha G; the distance to that is the margin at x over ||a||_*, and G (1 + share)
        is not below ||a||_*. `local`: of this score at `x` (n, *shape). Where a = 0, inf, or -inf if g(x) = 0 too.
        """
        bias, above = alpha * local.slope, local.slope * (1 + self.share)
        value = prediction * local.value - self.rounding_error(x)
        rounded = 1.5 * torch.finfo(torch.float64).eps * bias
        flat = torch.where(value > 0, torch.inf, -torch.inf)
        sides = []
        for sense in (1.0, -1.0):
            margin = torch.where(torch.isfinite(bias), value + sense * bias - rounded, sense * torch.inf)
            sides.append(torch.where(above > 0, margin / above, flat))
        return sides[0], sides[1]

    def _affine(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.flatten() + self.bias

    def value_and_gradient(self, x: object) -> tuple[Tensor, Tensor]:
        """g (n,) and the constant gradient a repeated to (n, *shape), without a copy."""
        x = batch("x", x, tuple(self.weight.shape))
        return self.value(x), self.weight.expand(len(x), *self.weight.shape)

    def value(self, x: object) -> Tensor:
        """a^T x + b at the points `x` (n, *shape), as float64 (n,)."""
        return self.raw(batch("x", x, tuple(self.weight.shape)))

    def raw(self, x: Tensor) -> Tensor:
        """a^T x + b, as `Score.raw`."""
        return self._affine(x.to(self.device, torch.float64))

    def linearize(self, x: object, norm: Norm) -> Linearization:
        """As `Score.linearize`; ||a||_* is computed once."""
        value = self.value(x)
        slope = norm.dual(self.weight.flatten()).expand(len(value))
        return Linearization(sign(value), value, slope, torch.where(slope > 0, value.abs() / slope, torch.inf))


class ProbabilityMargin(Score):
    """The probability margin g = p(+1) - p(-1) = tanh(z/2) of a network's logit z, with values in [-1, 1].

    The sign is that of z, and the crossing is sinh(|z|)/||grad z||_*, both computed from the logit, so that a saturated tanh
    neither loses its gradient nor its sign. This is the paper's g in [0, 1]^2 (Theorem 1), written as g_1 - g_2.

    Parameters: `network`, a module that maps (n, *shape) to logits (n,) or (n, 1), or to two-class logits (n, 2) in the order
    (-1, +1); the rest as for `Score`.
    """

    def __init__(self, network: Callable[[Tensor], Tensor], gradient_lipschitz: Constant | None = None, *, dtype: torch.dtype | None = None,
                 device: torch.device | str | None = None, batch_size: int = 256, rounding: float | None = None) -> None:
        super().__init__(network, gradient_lipschitz, dtype=dtype, device=device, batch_size=batch_size, rounding=rounding)

    def _squeeze(self, output: object, n: int) -> Tensor:
        if isinstance(output, Tensor) and tuple(output.shape) == (n, 2):
            return output[:, 1] - output[:, 0]
        return super()._squeeze(output, n)

    def logit(self, x: object) -> Tensor:
        """The logit z at the points `x` (n, *shape), as float64 (n,)."""
        return super().raw(batch("x", x))

    def logit_and_gradient(self, x: object) -> tuple[Tensor, Tensor]:
        """z (n,) and grad z (n, *shape) at the points `x` (n, *shape), as float64."""
        return super().value_and_gradient(x)

    def raw(self, x: Tensor) -> Tensor:
        """tanh(z/2), as `Score.raw`."""
        return (super().raw(x) / 2).tanh()

    def value_and_gradient(self, x: object) -> tuple[Tensor, Tensor]:
        """tanh(z/2) (n,) and its gradient grad z / (2 cosh(z/2)^2) (n, *shape), as float64."""
        logit, gradient = self.logit_and_gradient(x)
        rate = 0.5 / (logit / 2).cosh() ** 2
        return (logit / 2).tanh(), gradient * rate.reshape(-1, *[1] * (gradient.ndim - 1))

    def linearize(self, x: object, norm: Norm) -> Linearization:
        """As `Score.linearize`, with base and crossing from the logit."""
        logit, gradient = self.logit_and_gradient(x)
        length = norm.dual(gradient.flatten(1))
        slope = length * 0.5 / (logit / 2).cosh() ** 2
        crossing = torch.where(length > 0, logit.abs().sinh() / length, torch.inf)
        return Linearization(sign(logit), (logit / 2).tanh(), slope, crossing)


def _kink_error(name: str) -> ValueError:
    return ValueError(f"gradient_lipschitz must be None for a function with {name}: its gradient jumps, so no constant L exists and a "
                      "certificate from Theorem 8 would be false; use a smooth activation (softplus, tanh)")


def _kinked(node: torch.autograd.graph.Node) -> bool:
    name = type(node).__name__
    if name.startswith("Elu"):
        return abs(node._saved_alpha * node._saved_input_scale - 1) > 1e-9
    return name.startswith(KINKS)


def _refuse_training(module: nn.Module) -> None:
    for part in module.modules():
        if part.training and isinstance(part, (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)):
            raise ValueError(f"function must be in evaluation mode (call .eval()), got {type(part).__name__} in training mode")


def _nodes(output: Tensor, x: Tensor):
    """The autograd nodes on the ways from the leaf `x` to `output`; those of the parameters alone do not count."""
    users, stack, source = {}, [output.grad_fn], None
    while stack:
        node = stack.pop()
        if node is None:
            continue
        if getattr(node, "variable", None) is x:
            source = node
        for parent, _ in node.next_functions:
            if parent is not None and parent not in users:
                stack.append(parent)
            users.setdefault(parent, []).append(node)
    stack, seen = [source], set()
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            stack.extend(users.get(node, ()))
    return seen - {source}
