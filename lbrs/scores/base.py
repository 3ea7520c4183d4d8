"""What is smoothed: a real score g whose sign is the base classifier f."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lbrs._checks import ELEMENTS, batch, integer, number
from lbrs.certificates import round_down
from lbrs.norms import Norm
from lbrs.scores.admission import SHARES, Observed, Watch, admit, observed, signature
from lbrs.scores.kinks import Judge

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


def select(local: Linearization, label: Tensor, alpha: float) -> Tensor:
    """f^mu(x) in {-1, +1} at n points: the oracle's `label` (n,) where alpha > |g|/||grad g||_*, else sign g (the sign of equation (5); book: paper-eq-5).

    Given the `local` linearization, any number of alphas cost no further evaluation of g.
    """
    return torch.where(alpha > local.crossing, label.to(local.base), local.base)


class Score:
    """A differentiable score g: R^d -> R, evaluated and differentiated in batches.

    Parameters
    ----------
    function: torch callable or module that maps (n, *shape) to (n,) or (n, 1), each row on its own.
    gradient_lipschitz: an L with ||grad g(x) - grad g(z)||_* <= L ||x - z|| for all x, z (Assumption 7), in the norm used
        for certification. The certificate is only as true as this number. None: no certificate can be asked for. Or a
        callable that maps points (n, *shape) and radii (n,) to constants (n,) that hold for x, z in the closed balls of
        these radii around the points, so that they grow with the radius; inf where there is none.
    dtype, device: what `function` gets its points in and on; a module's own by default, else float64 on the CPU.
    batch_size: most points handed to `function` at once; 256 keeps a small network within a processor's cache, a GPU does
        well with thousands.
    rounding: how far at most the computed g is from g, as a share of 1 + |g|, and its gradient, as a share of
        1 + ||grad g||_*; sharp certificates allow for it. By default 1e-10 where every operation is seen to compute in
        float64, 1e-4 in float32; a function that computes in less needs a number of yours.
    assume_smooth: True says that g is smooth although its operations do not show it; certificates then state so.
    domain: None, or the largest |x_i| for which `rounding` and L hold: points beyond it are an error, and radii end there.

    The function is admitted at the first evaluation (see `lbrs.scores.admission`): a ValueError refuses chance, a state that it
    changes, rows that see each other, and what torch cannot watch. When a certificate is asked for, every operation must
    be known to be smooth, too (see `lbrs.scores.kinks`): the gradient of ReLU jumps, so that no L exists.

    `observed`: what was seen, None before the first evaluation. `only_norm`: the one threat norm in which this kind of
    score is certified, or None. `random`: whether it is known through random draws only.

    >>> g = Score(lambda x: x.sin().sum(-1), gradient_lipschitz=1.0)
    >>> g.value(torch.zeros(1, 3))
    tensor([0.], dtype=torch.float64)
    """

    only_norm: Norm | None = None
    random = False
    certify_biased: Callable | None = (
        None  # a kind of score with a theorem of its own certifies its locally biased classifier itself
    )

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        gradient_lipschitz: Constant | None = None,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        batch_size: int = 256,
        rounding: float | None = None,
        assume_smooth: bool = False,
        domain: float | None = None,
    ) -> None:
        if not callable(function):
            raise TypeError(
                f"function must map a tensor (n, *shape) to (n,), got {type(function).__name__}"
            )
        self.function = function
        given = gradient_lipschitz is None or callable(gradient_lipschitz)
        self.gradient_lipschitz = (
            gradient_lipschitz if given else number("gradient_lipschitz", gradient_lipschitz, low=0)
        )
        weight = next(function.parameters(), None) if isinstance(function, nn.Module) else None
        self.dtype = dtype or (torch.float64 if weight is None else weight.dtype)
        self.device = torch.device(device or ("cpu" if weight is None else weight.device))
        self.batch_size = integer("batch_size", batch_size, low=1)
        self._rounding = (
            None
            if rounding is None
            else number("rounding", rounding, low=0, high=1, open_high=True)
        )
        if not isinstance(assume_smooth, bool):
            raise TypeError(f"assume_smooth must be True or False, got {assume_smooth!r}")
        self.assume_smooth = assume_smooth
        self.domain = None if domain is None else number("domain", domain, low=0, open_low=True)
        self.observed: Observed | None = None
        self._admitted: tuple | None = None
        self._smooth: tuple | None = None

    @property
    def rounding(self) -> float:
        """How far the computed score is taken to be off, as a share of 1 + its size: as given, else by the lowest type observed.

        Raises ValueError for a function that computes in less than float32, where nothing was given.
        """
        if self._rounding is not None:
            return self._rounding
        seen = self.observed or observed(self.dtype)
        if seen.dtype not in SHARES:
            raise ValueError(
                f"rounding must be given for a function that computes in {seen.name} (eps {seen.unit:.2g}), got None: "
                "say how far at most its value is off, as a share of 1 + its size, or compute in float32"
            )
        return SHARES[seen.dtype]

    def smoothness(self, x: Tensor) -> Constant:
        """The constant L of Assumption 7, or the callable that gives local ones; a ValueError if there is none, or if an operation of
        `function` at `x` (n, *shape) is not known to be smooth, or its gradient is not that of its values."""
        if self.gradient_lipschitz is None:
            raise ValueError(
                "gradient_lipschitz is needed to certify (Assumption 7), got None: give Score an L for which the gradient is "
                "L-Lipschitz from the norm to its dual; a ReLU network has none"
            )
        state = signature(self.function)
        if len(x) and self._smooth != state:
            self._enter(x)
            self._refuse_kinks(x[:1])
            self._refuse_gradient(x[:2])
            self._smooth = state
        return self.gradient_lipschitz

    @property
    def smooth_assumption(self) -> str:
        """What certificates say of smoothness that was not observed."""
        return (
            ", smooth and without chance as the user says, not as observed"
            if self.assume_smooth
            else ""
        )

    def _refuse_kinks(self, x: Tensor) -> None:
        if self.assume_smooth:
            return
        x, judge = x.detach().to(self.device, self.dtype).requires_grad_(), Judge()
        with Watch(x, judge):
            output = self._evaluate(x)
        kink = judge.verdict(output)
        if kink is not None:
            raise ValueError(
                f"gradient_lipschitz must be None for a function with {kink}: its gradient jumps, or is not known not to, so that "
                "a certificate from Theorem 8 may be false; use smooth operations (softplus with threshold=40, tanh), "
                "or say assume_smooth=True if you have proved that L exists"
            )

    def _refuse_gradient(self, x: Tensor) -> None:
        """A ValueError where no difference quotient comes near the gradient: a backward of its own, or a detached part."""
        if self.assume_smooth:
            return
        value, gradient = self.value_and_gradient(x)
        unit, size = (self.observed or observed(self.dtype)).unit, 1 + x.abs().max().item()
        noise = torch.randn(
            x.flatten(1).shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        ).to(value)
        noise = (noise / noise.norm(dim=1, keepdim=True)).reshape(x.shape)
        told, close = torch.zeros((2, len(x)), dtype=torch.bool, device=value.device)
        for shrink in (1.0, 0.1, 1e-2, 1e-4):
            ahead, behind = (
                self._clipped(x.to(noise) + side * shrink * size * unit ** (1 / 3) * noise)
                for side in (1, -1)
            )
            gap = (
                self.value(ahead)
                - self.value(behind)
                - (gradient * (ahead - behind)).flatten(1).sum(1)
            ).abs()
            most = gradient.flatten(1).norm(dim=1) * (ahead - behind).flatten(1).norm(dim=1)
            rounded = 64 * unit * (1 + value.abs())
            told |= rounded < 1e-3 * most
            close |= (gap <= max(1e-6, unit**0.5) * most + rounded) & (rounded < 1e-3 * most)
        if (told & ~close).any():
            raise ValueError(
                "gradient_lipschitz must be None for a function whose gradient, as torch gives it, is not that of its values: "
                "a custom backward or a detached part changes it; say assume_smooth=True if that is meant"
            )

    def _clipped(self, x: Tensor) -> Tensor:
        return x if self.domain is None else x.clamp(-self.domain, self.domain)

    def within_domain(self, x: Tensor, radius: Tensor) -> Tensor:
        """The radii (n,) of balls around `x` (n, *shape), ended at the border of the domain."""
        if self.domain is None or not len(x):
            return radius
        return torch.minimum(
            radius, round_down(self.domain - x.flatten(1).abs().amax(1)).to(radius)
        )

    def local_smoothness(self, x: Tensor, radius: Tensor) -> Tensor:
        """The constants (n,) for the closed balls of the radii (n,) around the points `x` (n, *shape), from the callable, checked."""
        L = self.gradient_lipschitz(x, radius)
        if not isinstance(L, Tensor) or tuple(L.shape) != (len(x),):
            given = tuple(L.shape) if isinstance(L, Tensor) else type(L).__name__
            raise ValueError(
                f"gradient_lipschitz must return a tensor of shape ({len(x)},) for {len(x)} points, got {given}"
            )
        L = L.detach().to(radius)
        if not (L >= 0).all():
            raise ValueError(
                f"gradient_lipschitz must return numbers >= 0, got {L[~(L >= 0)][0].item():g}"
            )
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
        parts = (
            [self._value_and_gradient(part) for part in x.split(self._step(x))] if len(x) else []
        )
        if not parts:
            return x.new_zeros(0), torch.zeros_like(x)
        return torch.cat([value for value, _ in parts]), torch.cat(
            [gradient for _, gradient in parts]
        )

    def linearize(self, x: object, norm: Norm) -> Linearization:
        """Value, dual gradient norm and crossing of g at the points `x` (n, *shape) for the threat `norm`."""
        value, gradient = self.value_and_gradient(x)
        slope = norm.dual(gradient.flatten(1))
        return Linearization(
            sign(value), value, slope, torch.where(slope > 0, value.abs() / slope, torch.inf)
        )

    def _step(self, x: Tensor) -> int:
        return max(1, min(self.batch_size, ELEMENTS // max(1, x[0].numel() if len(x) else 1)))

    def _map(self, x: Tensor, evaluate: Callable[[Tensor], Tensor]) -> Tensor:
        return (
            torch.cat([evaluate(part) for part in x.split(self._step(x))])
            if len(x)
            else torch.zeros(0, dtype=torch.float64, device=x.device)
        )

    def _output(self, x: Tensor, grad: bool = True) -> tuple[Tensor, Tensor]:
        """The input as `function` sees it, and its checked output (n,), after the function was admitted."""
        if self.domain is not None and len(x) and not x.abs().max() <= self.domain:
            raise ValueError(
                f"x must lie in the domain |x_i| <= {self.domain:g} of the score, got {x.abs().max().item():g}"
            )
        self._enter(x)
        x = x.detach().to(self.device, self.dtype)
        with torch.set_grad_enabled(grad):
            x = x.requires_grad_(grad)
            output = self._evaluate(x)
        if not torch.isfinite(output).all():
            raise ValueError("function must return finite numbers, got NaN or infinity")
        return x, output

    def _enter(self, x: Tensor) -> None:
        """Pass the door: once, and again only where the function has changed."""
        state = signature(self.function)
        if self._admitted != state and len(x):
            with torch.no_grad():
                self.observed = admit(
                    self._evaluate,
                    x.detach(),
                    self._rounding,
                    most=self._step(x),
                    unseen=self.assume_smooth,
                )
            self._admitted = state

    def _evaluate(self, x: Tensor) -> Tensor:
        """The output (n,) at points `x` of any type, whatever autocast is on outside."""
        x = x.to(self.device, self.dtype)
        try:
            with torch.autocast(self.device.type, enabled=False):
                output = self.function(x)
        except RuntimeError as error:
            raise ValueError(
                f"function must take points x of shape {tuple(x.shape)} on {x.device}, got an error from it: {error}"
            ) from error
        return self._squeeze(output, len(x))

    def _squeeze(self, output: object, n: int) -> Tensor:
        if not isinstance(output, Tensor) or tuple(output.shape) not in {(n,), (n, 1)}:
            given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(
                f"function must return a tensor of shape ({n},) for {n} points, got {given}"
            )
        return output.reshape(n)

    def _value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        seen, output = self._output(x)
        if not output.requires_grad:
            raise ValueError(
                "function must be differentiable by torch, got an output without a gradient"
            )
        (gradient,) = torch.autograd.grad(output, seen, torch.ones_like(output))
        if not torch.isfinite(gradient).all():
            raise ValueError("function must have a finite gradient, got NaN or infinity")
        return output.detach().to(torch.float64), gradient.to(torch.float64)
