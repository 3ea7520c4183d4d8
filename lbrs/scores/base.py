"""What is smoothed: a real score g whose sign is the base classifier f."""

import copy
from collections.abc import Callable, Hashable
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from lbrs._checks import ELEMENTS, ArrayLike, batch, integer, number
from lbrs.certificate import Certificate
from lbrs.norms import Norm
from lbrs.plane.bias import Length
from lbrs.rounding import round_down
from lbrs.scores.admission import Observed, admit, first_type, observed, share_of, signature
from lbrs.scores.local import Constant, Linearization, Link, Local, one_logit, select, sign
from lbrs.scores.smooth import certify_smooth, gradient_of, refuse_gradient, refuse_kinks

__all__ = ["Constant", "Linearization", "Local", "Score", "select", "sign"]


class Score:
    """A differentiable score g: R^d -> R, evaluated and differentiated in batches.

    The function is admitted at the first evaluation (see ``lbrs.scores.admission``): a ValueError
    refuses chance, a state that it changes, rows that see each other, and what torch cannot watch.
    When a certificate is asked for, every operation must be known to be smooth, too (see
    ``lbrs.scores.kinks``): the gradient of ReLU jumps, so that no L exists.

    Source: :prf:ref:`Assumption 7 <assumption-7>`.

    Parameters:
        function: torch callable or module that maps (n, *shape) to (n,) or (n, 1), or to two
            logits (n, 2) in the order (-1, +1), whose difference it is; each row on its own.
        gradient_lipschitz: an L with ||grad g(x) - grad g(z)||_* <= L ||x - z|| for all x, z, in
            the norm used for certification. The certificate is only as true as this number. None:
            no certificate can be asked for. Or a callable that maps points (n, *shape) and radii
            (n,) to constants (n,) that hold for x, z in the closed balls of these radii around the
            points and do not decrease with the radius; inf where there is none.
        dtype, device: what `function` gets its points in and on; by default a module's own, else
            the CPU and the first of float64, float32, bfloat16 and float16 that it computes in.
        batch_size: most points handed to `function` at once; 256 keeps a small network within a
            processor's cache, a GPU does well with thousands.
        rounding: how far at most the computed g is from g, as a share of 1 + abs(g), and its
            gradient, as a share of 1 + ||grad g||_*; sharp certificates allow for it. By default
            1e-10 where every operation is seen to compute in float64, 1e-4 in float32; a function
            that computes in less needs a number of yours.
        assume_smooth: True says that g is smooth although its operations do not show it;
            certificates then state so.
        domain: None, or the largest abs(x_i) for which `rounding` and L hold: points beyond it are
            an error, and radii end there.

    Attributes:
        observed: what was seen of the function, None before the first evaluation.
        only_norm: the one threat norm in which this kind of score is certified, or None.
        bounds: what `certify` can be asked for.
        random: whether it is known through random draws only.
        steep: whether its margin may grow faster than the distance: no `Bias` then.
        link: how g follows from the function's output.

    Raises:
        ValueError, TypeError: naming the argument.

    >>> g = Score(lambda x: x.sin().sum(-1), gradient_lipschitz=1.0)
    >>> g.value(torch.zeros(1, 3))
    tensor([0.], dtype=torch.float64)
    """

    only_norm: ClassVar[Norm | None] = None
    bounds: ClassVar[tuple[str, ...]] = ("sharp", "paper")
    random: ClassVar[bool] = False
    steep: ClassVar[bool] = True
    link: ClassVar[Link] = Link()

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
            given = type(function).__name__
            raise TypeError(f"function must map a tensor (n, *shape) to (n,), got {given}")
        self.function = function
        if gradient_lipschitz is not None and not callable(gradient_lipschitz):
            gradient_lipschitz = number("gradient_lipschitz", gradient_lipschitz, low=0)
        self.gradient_lipschitz = gradient_lipschitz
        weight = next(function.parameters(), None) if isinstance(function, nn.Module) else None
        self.dtype = dtype or (torch.float64 if weight is None else weight.dtype)
        self.device = torch.device(device or ("cpu" if weight is None else weight.device))
        self.batch_size = integer("batch_size", batch_size, low=1)
        if rounding is not None:
            rounding = number("rounding", rounding, low=0, high=1, open_high=True)
        self._rounding = rounding
        if not isinstance(assume_smooth, bool):
            raise TypeError(f"assume_smooth must be True or False, got {assume_smooth!r}")
        self.assume_smooth = assume_smooth
        self.domain = None if domain is None else number("domain", domain, low=0, open_low=True)
        self.observed: Observed | None = None
        self._fitted = dtype is not None or weight is not None
        self._admitted: Hashable = None
        self._smooth: Hashable = None

    def __repr__(self) -> str:
        function = getattr(self.function, "__name__", type(self.function).__name__)
        return f"{type(self).__name__}({function}, dtype={self.dtype}, device={self.device})"

    def to(self, device: torch.device | str) -> Self:
        """The same score on `device`; a module is copied there, and this score stays as it is."""
        place = torch.device(device)
        if place == self.device:
            return self
        moved = copy.copy(self)
        moved.device, moved._admitted, moved._smooth = place, None, None
        if isinstance(self.function, nn.Module):
            moved.function = copy.deepcopy(self.function).to(place)
        return moved

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """A ValueError unless points of `shape` can be handed to the score, as far as known."""

    @property
    def rounding(self) -> float:
        """How far the computed score is taken to be off, as a share of 1 + its size, given or by
        the lowest type observed; a ValueError where that is below float32 and nothing was given.
        """
        given, seen = self._rounding, self.observed or observed(self.dtype)
        return share_of(seen) if given is None else given

    def smoothness(self, x: Tensor) -> Constant:
        """The constant L of Assumption 7, or the callable that gives local ones, after every
        operation of `function` at `x` (n, *shape) was seen to be smooth.

        Raises:
            ValueError: if there is no constant, if an operation is not known to be smooth, or if
                the gradient is not that of the values.
        """
        if self.gradient_lipschitz is None:
            raise ValueError(
                "gradient_lipschitz is needed to certify (Assumption 7), got None: give Score an L "
                "for which the gradient is L-Lipschitz from the norm to its dual; "
                "a ReLU network has none"
            )
        state = signature(self.function)
        if len(x) and self._smooth != state:
            self._enter(x)
            if not self.assume_smooth:
                refuse_kinks(self, x[:1])
                refuse_gradient(self, x[:2])
            self._smooth = state
        return self.gradient_lipschitz

    @property
    def assumed(self) -> str:
        """What certificates say of the score that was not observed, and of its domain."""
        told = ", smooth and without chance as the user says, not as observed"
        limits = "" if self.domain is None else f", for |x_i| <= {self.domain:g}"
        return (told if self.assume_smooth else "") + limits

    def inside(self, x: Tensor) -> Tensor:
        """`x` moved into the domain, which brings it no farther from a point of it in an `absolute`
        norm."""
        return x if self.domain is None else x.clamp(-self.domain, self.domain)

    def within_domain(self, x: Tensor, radius: Tensor, norm: Norm) -> Tensor:
        """The radii (n,) of balls in `norm` around `x` (n, *shape), ended at the border of the
        domain."""
        if self.domain is None or not len(x):
            return radius
        room, reach = self.domain - x.flatten(1).abs(), norm.reach(x[0].numel()).to(x)
        border = round_down(torch.where(reach > 0, room / reach, torch.inf).amin(1))
        return torch.minimum(radius, border.to(radius))

    def first_order(self, x: Tensor, norm: Norm) -> tuple[Linearization | None, Constant | None]:
        """What `Local` holds of the score at `x` (n, *shape)."""
        L = self.smoothness(x)
        return self.linearize(x, norm), L

    def certify_biased(
        self, local: Local, alpha: Length, bound: str = "sharp", confidence: float | None = None
    ) -> Certificate:
        """:prf:ref:`Theorem E' <theorem-e-prime>` at the points of `local`, or for bound="paper"
        :prf:ref:`Theorem 8 <theorem-8>`."""
        return certify_smooth(self, local, number("alpha", alpha, low=0), bound)

    def value(self, x: ArrayLike) -> Tensor:
        """g at the points `x` (n, *shape), as float64 (n,)."""
        return self.raw(batch("x", x))

    def raw(self, x: Tensor) -> Tensor:
        """As `value`, of any floating type and unchecked: noisy copies cost no copy in float64."""
        if not len(x):
            return torch.zeros(0, dtype=torch.float64, device=x.device)
        parts = [self._output(part, grad=False)[1] for part in self.batches(x)]
        return torch.cat([part.to(torch.float64) for part in parts])

    def value_and_gradient(self, x: ArrayLike) -> tuple[Tensor, Tensor]:
        """g (n,) and its gradient (n, *shape) at the points `x` (n, *shape), as float64."""
        x = batch("x", x)
        if not len(x):
            return x.new_zeros(0), torch.zeros_like(x)
        values, gradients = zip(*map(self._value_and_gradient, self.batches(x)), strict=True)
        return torch.cat(values), torch.cat(gradients)

    def seen(self, x: ArrayLike, norm: Norm) -> tuple[Tensor, Tensor, Tensor]:
        """The function's output u (n,), grad u (n, *shape) and ||grad u||_* (n,): g = psi(u)."""
        u, gradient = self.value_and_gradient(x)
        return u, gradient, norm.dual(gradient.flatten(1))

    def push(self, x: Tensor) -> Tensor:
        """The gradient (n, *shape) along which attacks on the prediction start."""
        return self.value_and_gradient(x)[1]

    def linearize(self, x: ArrayLike, norm: Norm) -> Linearization:
        """Value, dual gradient norm and crossing at `x` (n, *shape) for the threat `norm`."""
        value, _, slope = Score.seen(self, x, norm)
        crossing = torch.where(slope > 0, value.abs() / slope, torch.inf)
        return Linearization(sign(value), value, slope, crossing)

    def batches(self, x: Tensor) -> tuple[Tensor, ...]:
        """`x` (n, *shape) in parts that are handed to the function at once."""
        return tuple(x.split(self._step(x)))

    def _step(self, x: Tensor) -> int:
        return max(1, min(self.batch_size, ELEMENTS // max(1, x[:1].numel())))

    def _output(self, x: Tensor, grad: bool = True) -> tuple[Tensor, Tensor]:
        """The input as `function` sees it, and its checked output (n,), once admitted."""
        if self.domain is not None and len(x) and not x.abs().max() <= self.domain:
            raise ValueError(
                f"x must lie in the domain |x_i| <= {self.domain:g} of the score, "
                f"got {x.abs().max().item():g}"
            )
        self._enter(x)
        x = x.detach().to(self.device, self.dtype).requires_grad_(grad)
        with torch.set_grad_enabled(grad):
            output = self.evaluate(x)
        if not torch.isfinite(output).all():
            raise ValueError("function must return finite numbers, got NaN or infinity")
        return x, output

    def _enter(self, x: Tensor) -> None:
        """Pass the door: once, and again only where the function has changed."""
        state = signature(self.function)
        if self._admitted == state or not len(x):
            return
        self.fit_dtype(x)
        most, unseen = self._step(x), self.assume_smooth
        with torch.no_grad():
            found = admit(self.evaluate, x.detach(), self._rounding, most=most, unseen=unseen)
        self.observed, self._admitted = found, state

    def fit_dtype(self, x: Tensor) -> None:
        """Take the first type that the function computes in at `x` (n, *shape), where none was
        given and no weight shows it."""
        if not self._fitted and len(x):
            found = first_type(self.evaluate, x[[0, -1]][: self._step(x)].detach())
            self.dtype, self._fitted = found or self.dtype, found is not None

    def traced(self, x: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
        """The function's output u and ||grad u||_*, (n,) and (n,), as autograd follows them from
        `x` (n, *shape), which needs a gradient."""
        u = self.evaluate(x)
        (gradient,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        return u.double(), norm.dual(gradient.flatten(1).double())

    def evaluate(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """The output (n,) at points `x` of any type, computed in the score's own or in `dtype`, not
        admitted yet, whatever autocast is on outside."""
        x = x.to(self.device, dtype or self.dtype)
        try:
            with torch.autocast(self.device.type, enabled=False):
                output = self.function(x)
        except RuntimeError as error:
            raise ValueError(
                f"function must take points x of shape {tuple(x.shape)} on {x.device}, "
                f"got an error from it: {error}"
            ) from error
        return self._squeeze(output, len(x))

    def _squeeze(self, output: object, n: int) -> Tensor:
        if not isinstance(output, Tensor) or tuple(output.shape) not in {(n,), (n, 1), (n, 2)}:
            given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(
                f"function must return a tensor of shape ({n},) for {n} points, got {given}"
            )
        return one_logit(output)

    def _value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        seen, output = self._output(x)
        gradient = gradient_of(output, seen)
        if not torch.isfinite(gradient).all():
            raise ValueError("function must have a finite gradient, got NaN or infinity")
        return output.detach().to(torch.float64), gradient.to(torch.float64)
