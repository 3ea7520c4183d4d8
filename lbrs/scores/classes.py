"""Scores of several classes, certified by the constants of their differences (Theorem M)."""

from collections.abc import Callable
from typing import ClassVar, Self

import torch
from torch import Tensor

from lbrs._checks import ArrayLike, array, batch, number
from lbrs.certificate import Certificate
from lbrs.certificates import theorem_m
from lbrs.norms import Norm
from lbrs.plane.bias import Bias, Length
from lbrs.plane.radii import safe_radius
from lbrs.rounding import EPS, affine_scores, affine_slope, least, lipschitz_allowance, round_down
from lbrs.scores.admission import observed
from lbrs.scores.base import Local, Score
from lbrs.scores.smooth import gradient_of


class ClassScores(Score):
    """Scores h_c(x), one column a class, whose differences are K-Lipschitz; no gradient is needed.

    Source: :prf:ref:`Theorem M <theorem-m>`.

    Parameters:
        function: torch callable or module that maps (n, *shape) to (n, C), C >= 2.
        lipschitz: K >= 0 with abs((h_s - h_c)(x) - (h_s - h_c)(z)) <= K ||x - z|| for all x, z and
            all classes; or single constants, symmetric (C, C), of which K is the largest.
            Certificates are only as true as these numbers.
        rounding: how far at most a computed difference D = h_s - h_c is off, as a share of
            1 + abs(D). By default 1e-10 in float64, else 1e-4.
        dtype, device, batch_size: as for ``Score``.

    Raises:
        ValueError, TypeError: naming the argument.

    >>> ClassScores(lambda x: x[:, :3], 2.0).value([[1.0, 2.0, 3.0, 4.0]])
    tensor([[1., 2., 3.]], dtype=torch.float64)
    """

    bounds: ClassVar[tuple[str, ...]] = ("sharp",)

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        lipschitz: ArrayLike,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        batch_size: int = 256,
        rounding: float | None = None,
    ) -> None:
        super().__init__(
            function, dtype=dtype, device=device, batch_size=batch_size, rounding=rounding
        )
        single = not isinstance(lipschitz, Tensor) and not hasattr(lipschitz, "__len__")
        if single or getattr(lipschitz, "ndim", 1) == 0:
            K = number("lipschitz", lipschitz, low=0)
            self._lipschitz = torch.tensor(K, dtype=torch.float64)
        else:
            pairs = array("lipschitz", lipschitz).clone()
            square = pairs.ndim == 2 and pairs.shape[0] == pairs.shape[1]
            if not square or not torch.equal(pairs, pairs.T) or (pairs < 0).any():
                self._refuse_pairs(pairs, "(C, C)")
            self._lipschitz = pairs

    def _refuse_pairs(self, pairs: Tensor, allowed: str) -> None:
        raise ValueError(
            "lipschitz must be a number >= 0 or symmetric numbers >= 0 of shape "
            f"{allowed}, got shape {tuple(pairs.shape)}"
        )

    def pairs(self, count: int, norm: Norm) -> Tensor:
        """The constants (C, C) of the differences of C = `count` scores, in `norm`."""
        if self._lipschitz.ndim == 2 and len(self._lipschitz) != count:
            self._refuse_pairs(self._lipschitz, f"({count}, {count})")
        pairs = self._lipschitz.expand(count, count).clone().fill_diagonal_(0)
        return pairs.to(self.device)

    def _squeeze(self, output: object, n: int) -> Tensor:
        fits = isinstance(output, Tensor) and output.ndim == 2 and len(output) == n
        if not isinstance(output, Tensor) or not fits or output.shape[1] < 2:
            given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(
                f"function must return a tensor of shape ({n}, C) with C >= 2 classes "
                f"for {n} points, got {given}"
            )
        return output

    def certify_biased(
        self, local: Local, alpha: Length, bound: str = "sharp", confidence: float | None = None
    ) -> Certificate:
        """:prf:ref:`Theorem M <theorem-m>` at the points of `local`, whose `neighbor` is nb
        (n, C), or :prf:ref:`U <theorem-u-classes>` for a `Bias`.

        Rounding is allowed for: the predicted class's score is lowered by what it can do at x and
        within the ball.
        """
        count, norm = local.neighbor.shape[1], local.norm
        h = self.value(local.x).reshape(len(local.x), count)
        h = h - h.amax(1, keepdim=True)
        pairs = self.pairs(count, norm)
        K = pairs.max().item()
        nb, divisor = local.neighbor.to(h), self.constants(pairs, norm)
        if isinstance(alpha, Bias):
            predicted, radius = self._in_plane(local, h, divisor, alpha, K)
            source = "Theorem U"
        else:
            predicted, source = biased(h, local.label, alpha * K)[1], "Theorem M"
            lowered = self.margins(local.x, h, predicted, alpha, K)
            radius = theorem_m(lowered, local.label, nb, alpha, K, divisor, predicted)
        radius = self.within_domain(local.x, round_down(radius * (1 - 16 * EPS)), norm)
        told = self.assumption(pairs, norm)
        return Certificate(predicted, radius, norm, "deterministic", source, told, classes=count)

    def _in_plane(
        self, local: Local, h: Tensor, divisor: Tensor, bias: Bias, K: float
    ) -> tuple[Tensor, Tensor]:
        """Prediction and radius (n,) of Theorem U, for each other class by its own constant."""
        certain = least_other(local.neighbor.to(h), local.label)
        predicted = biased(h, local.label, K * bias(torch.ones_like(certain), certain))[1]
        apart = divisor[predicted]  # n, c
        own = torch.eye(h.shape[1], dtype=torch.bool, device=h.device)[predicted]

        def reach(moved: Tensor) -> Tensor:
            lowered = self.margins(local.x, h, predicted, moved.abs()[:, None], K)
            gap = lowered.gather(1, predicted[:, None]) - lowered + K * moved[:, None]
            flat = torch.where(gap > 0, torch.inf, -torch.inf)
            far = torch.where(apart > 0, gap / torch.where(apart > 0, apart, 1.0), flat)
            nearest = torch.where(own, torch.inf, far).amin(1)
            return nearest - 16 * EPS * (nearest.abs() + moved.abs())

        agrees = torch.where(predicted == local.label.to(predicted), 1.0, -1.0).to(h)
        return predicted, safe_radius(reach, agrees, certain, local.slack, bias)

    def margins(
        self, x: Tensor, h: Tensor, predicted: Tensor, alpha: float | Tensor, K: float
    ) -> Tensor:
        """The scores `h` (n, C) at `x`, moved against the class `predicted` (n,) by what rounding
        can do at x and within the ball, for a bias of `alpha`, a number or (n, 1)."""
        gap = h.gather(1, predicted[:, None]) - h
        lowered = least(gap, self.rounding) - lipschitz_allowance(alpha, K, self.rounding)
        return (-lowered).scatter(1, predicted[:, None], 0.0)

    def constants(self, pairs: Tensor, norm: Norm) -> Tensor:
        """The constants of the differences (C, C), with what rounding adds to them."""
        return pairs * (1 + 16 * EPS)

    def assumption(self, pairs: Tensor, norm: Norm) -> str:
        """What certificates take for granted."""
        K = pairs.max().item()
        equal = (pairs + torch.eye(len(pairs)).to(pairs) * K == K).all()
        told = f"{K:g}-Lipschitz in {norm}{'' if equal else ', or less for single pairs'}"
        share = f"computed with relative errors of at most {self.rounding:g}"
        return f"differences of scores are {told}, {share}"

    def push(self, x: Tensor) -> Tensor:
        """The gradient (n, *shape) of the largest minus the second largest score; a ValueError
        where torch has none."""
        if not len(x):
            return torch.zeros_like(x)
        return torch.cat([self._push(part) for part in self.batches(x)])

    def _push(self, x: Tensor) -> Tensor:
        seen, output = self._output(x)
        first, second = output.topk(2, dim=1).values.unbind(1)
        return gradient_of(first - second, seen).to(torch.float64).nan_to_num()


class AffineScores(ClassScores):
    r"""Affine scores of several classes, whose rounding errors are known.

    .. math:: h_c(x) = w_c^\top x + b_c

    The constants of their differences are ||w_s - w_c||_*, in any norm.

    Source: :prf:ref:`Theorem M <theorem-m>`.

    Parameters:
        weight: (C, *shape).
        bias: (C,).

    Raises:
        ValueError, TypeError: naming the argument.

    >>> AffineScores([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.5]).value([[2.0, 1.0]])
    tensor([[2.0000, 1.5000]], dtype=torch.float64)
    """

    def __init__(self, weight: ArrayLike, bias: ArrayLike) -> None:
        self.weight = batch("weight", weight).flatten(1).clone()
        self.bias = array("bias", bias).to(self.weight.device).clone()
        if tuple(self.bias.shape) != (len(self.weight),):
            raise ValueError(
                f"bias must have shape ({len(self.weight)},), one number a class, "
                f"got {tuple(self.bias.shape)}"
            )
        super().__init__(self._affine, 0.0, device=self.weight.device)
        self.observed = observed(torch.float64)
        self._known: dict[Norm, Tensor] = {}

    def to(self, device: torch.device | str) -> Self:
        """The same scores on `device`."""
        return type(self)(self.weight.to(device), self.bias)

    def pairs(self, count: int, norm: Norm) -> Tensor:
        """||w_s - w_c||_* (C, C), rounded up."""
        if norm not in self._known:
            pairs = norm.dual.above(self.weight[:, None] - self.weight)
            self._known[norm] = pairs.fill_diagonal_(0)
        return self._known[norm]

    def _affine(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T + self.bias

    def _enter(self, x: Tensor) -> None:
        """Nothing: what is computed is known, and its rounding may be more than a share."""

    def margins(
        self, x: Tensor, h: Tensor, predicted: Tensor, alpha: float | Tensor, K: float
    ) -> Tensor:
        """As of `ClassScores`: each score by its own error, and by a few eps of the sizes that are
        compared (`rounding.affine_scores`)."""
        sizes = x.flatten(1).abs().to(h) @ self.weight.abs().T + self.bias.abs()
        error = affine_scores(sizes, self.weight.shape[1])
        error = error + 8 * EPS * ((h.amax(1) - h.amin(1)).abs()[:, None] + alpha * K)
        return (h + error).scatter_add(
            1, predicted[:, None], -2 * error.gather(1, predicted[:, None])
        )

    def constants(self, pairs: Tensor, norm: Norm) -> Tensor:
        """As of `ClassScores`: the error of a score grows with the distance, by a share of
        ||w_c||_*."""
        sizes = norm.spread(self.weight) * affine_slope(self.weight.shape[1])
        return super().constants(pairs + (sizes[:, None] + sizes), norm)

    def assumption(self, pairs: Tensor, norm: Norm) -> str:
        """None but that the scores are what they are."""
        return "the scores are affine"


def least_other(neighbors: Tensor, label: Tensor) -> Tensor:
    """R_o (n,): within it the oracle's class, `label` (n,), stays, for `neighbors` nb (n, C)."""
    return neighbors.scatter(1, label.to(neighbors.device)[:, None], torch.inf).amin(1)


def biased(h: Tensor, label: Tensor, bias: float | Tensor) -> tuple[Tensor, Tensor]:
    """S_c = h_c + bias 1[c = k(x)], as (n, C), and the first class with the largest, as int64 (n,);
    a bias, a number or (n,), beyond 1e300 is taken for 1e300."""
    moved = torch.as_tensor(bias, dtype=h.dtype, device=h.device).clamp(max=1e300).expand(len(h))
    added = torch.zeros_like(h).scatter_(1, label.to(h.device)[:, None], moved[:, None])
    return h + added, (h - h.amax(1, keepdim=True) + added).argmax(1)
