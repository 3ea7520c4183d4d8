"""The affine score, every rounding error of which is bounded (Section 3)."""

import math
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from lbrs._checks import ArrayLike, array, batch, number
from lbrs.certificate import Certificate
from lbrs.certificates import sign_aware
from lbrs.norms import Norm
from lbrs.plane.bias import Bias, Length
from lbrs.plane.radii import in_frame
from lbrs.rounding import CHOICE, affine_scores, affine_slope, round_down
from lbrs.scores.admission import observed
from lbrs.scores.base import Constant, Linearization, Local, Score, select, sign
from lbrs.scores.linear.folding import folded


class LinearScore(Score):
    r"""An affine score, whose gradient is 0-Lipschitz: Theorem 6 applies exactly.

    .. math:: g(x) = a^\top x + b

    Source: Section 3, :doc:`linear`.

    Parameters:
        weight: a, of the shape (*shape) of one point.
        bias: b, a number.

    Raises:
        ValueError, TypeError: naming the argument.

    >>> LinearScore([1.0, -1.0], 0.5).value(torch.tensor([[2.0, 1.0]]))
    tensor([1.5000], dtype=torch.float64)
    """

    steep: ClassVar[bool] = False

    def __init__(self, weight: ArrayLike, bias: float = 0.0) -> None:
        self.weight = array("weight", weight).clone()
        if self.weight.ndim == 0 or self.weight.numel() == 0:
            given = tuple(self.weight.shape)
            raise ValueError(f"weight must have the shape of one point, got {given}")
        self.bias = number("bias", bias, low=-math.inf)
        super().__init__(self._affine, gradient_lipschitz=0.0, device=self.weight.device)
        self.observed = observed(torch.float64)
        top = self.weight.abs().max().item()
        self._unit = 2.0 ** min(900, -math.frexp(top)[1]) if 0 < top < 2.0**-500 else 1.0

    @classmethod
    def from_sklearn(cls, pipeline: Any) -> Self:
        """The score of a fitted linear classifier of scikit-learn, or of a pipeline of scalers and
        projections (PCA) before one, as a function of the pipeline's input: radii are in its units.

        +1 is the pipeline's ``classes_[1]``. That the score is the pipeline's decision function is
        observed at points of the sizes that its first scaler has seen.

        Parameters:
            pipeline: fitted, for two classes.

        Raises:
            TypeError: for other steps, for more classes, and if it decides by another function.

        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> from sklearn.preprocessing import StandardScaler
        >>> X, y = [[1000.0], [1010.0], [1040.0], [1050.0]], ["no", "no", "yes", "yes"]
        >>> pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
        >>> LinearScore.from_sklearn(pipeline).value([[1010.0], [1040.0]]).sign().tolist()
        [-1.0, 1.0]
        """
        weight, bias = folded(pipeline)
        return cls(weight, bias)

    def __repr__(self) -> str:
        return f"LinearScore(weight of shape {tuple(self.weight.shape)}, bias={self.bias:g})"

    def to(self, device: torch.device | str) -> Self:
        """The same score on `device`."""
        return type(self)(self.weight.to(device), self.bias)

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """A ValueError unless the weight has this shape."""
        given = tuple(self.weight.shape)
        if given != shape:
            raise ValueError(
                f"score must take points of the oracle's shape {shape}, "
                f"got a weight of shape {given}"
            )

    def smoothness(self, x: Tensor) -> Constant:
        """0: the gradient is the same everywhere."""
        return 0.0

    def certify_biased(
        self, local: Local, alpha: Length, bound: str = "sharp", confidence: float | None = None
    ) -> Certificate:
        """:prf:ref:`Theorem B <theorem-b>`, or :prf:ref:`Theorem 6 <theorem-6>` for bound="paper",
        at the points of `local`; :prf:ref:`U <theorem-u>` for a `Bias`."""
        first, norm = local.linearization(), local.norm
        prediction = select(first, *local.pull(alpha))
        if isinstance(alpha, Bias):
            radius = round_down(self._in_plane(local, prediction, alpha))
            told = "Theorem U", "g is affine"
            return Certificate(prediction, radius, norm, "deterministic", *told)
        agrees = prediction == local.label
        along, against = self.reaches(local.x, prediction, first, alpha, norm)
        if bound == "paper":
            boundary = torch.where(agrees, along, against).clamp(min=0)
            radius, source = torch.minimum(boundary, local.neighbor), "Theorem 6"
        else:
            radius, source = sign_aware(along, against, agrees, local.neighbor), "Theorem B"
        radius = round_down(radius)
        return Certificate(prediction, radius, norm, "deterministic", source, "g is affine")

    def _in_plane(self, local: Local, prediction: Tensor, bias: Bias) -> Tensor:
        """Theorem U at the points of `local` (n,)."""
        first, norm = local.linearization(), local.norm

        def reach(moved: Tensor) -> Tensor:
            along, against = self.reaches(local.x, prediction, first, moved.abs(), norm)
            return torch.where(moved >= 0, along, against)

        return in_frame(local, prediction, bias, reach)

    def slope(self, norm: Norm) -> Tensor:
        """||a||_* in units in which no entry of a is near the smallest numbers: times `_unit`, a
        power of two."""
        return norm.dual(self.weight.flatten() * self._unit)

    def share(self, norm: Norm) -> float:
        """Twice what the computed ||a||_* is off by at most, as a share."""
        return 2 * norm.dual.rounding(self.weight.numel())

    def rounding_error(self, x: Tensor) -> Tensor:
        """A bound (n,) of the rounding errors of g at the points `x` and in their certified balls,
        together (`rounding.affine_scores`)."""
        sizes = x.to(self.weight).flatten(1).abs() @ self.weight.flatten().abs() + abs(self.bias)
        return affine_scores(sizes, self.weight.numel())

    def reaches(
        self,
        x: Tensor,
        prediction: Tensor,
        first: Linearization,
        alpha: float | Tensor,
        norm: Norm,
    ) -> tuple[Tensor, Tensor]:
        """Lower bounds (n,), (n,) of R + alpha and R - alpha, R = f^mu(x) g(x)/||a||_*.

        f^mu as computed is `prediction` (n,) at all z with the oracle's label f^mu(x) within the
        first of x, and at those with the other label within the second. Where a = 0, inf, or -inf
        if g(x) = 0 too.

        Lemma. What is computed compares alpha with fl(fl(g(z))/G), G = fl(||a||_*), so it turns
        where f^mu(x) fl(g(z)) -+ alpha G changes its sign, up to two roundings of alpha G. The
        distance to that is the margin at x over ||a||_*, and G (1 + share + spread) is not below
        ||a||_* and the errors that grow with the distance.
        """
        slope, grown = self.slope(norm), affine_slope(self.weight.numel())
        bias, above = alpha * slope, slope * (1 + self.share(norm) + grown)
        weight = norm.movable(self.weight.flatten() * self._unit)
        above = torch.maximum(above, norm.dual.above(weight))
        if not norm.absolute:
            above = above + grown * norm.spread(weight)
        value = (prediction * first.value - self.rounding_error(x)) * self._unit
        flat = torch.where(value > 0, torch.inf, -torch.inf)

        def reach(sense: float) -> Tensor:
            margin = value + sense * bias - CHOICE * bias
            margin = torch.where(torch.isfinite(bias), margin, sense * torch.inf)
            margin = margin.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
            return torch.where(above > 0, margin / above, flat)

        return reach(1.0), reach(-1.0)

    def _affine(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.flatten() + self.bias

    def value_and_gradient(self, x: ArrayLike) -> tuple[Tensor, Tensor]:
        """g (n,) and the constant gradient a repeated to (n, *shape), without a copy."""
        x = batch("x", x, tuple(self.weight.shape))
        return self.value(x), self.weight.expand(len(x), *self.weight.shape)

    def value(self, x: ArrayLike) -> Tensor:
        """a^T x + b at the points `x` (n, *shape), as float64 (n,)."""
        return self.raw(batch("x", x, tuple(self.weight.shape)))

    def raw(self, x: Tensor) -> Tensor:
        """a^T x + b, as `Score.raw`."""
        return self._affine(x.to(self.device, torch.float64))

    def linearize(self, x: ArrayLike, norm: Norm) -> Linearization:
        """As `Score.linearize`; ||a||_* is computed once."""
        value = self.value(x)
        slope = self.slope(norm).expand(len(value))
        crossing = torch.where(slope > 0, value.abs() * self._unit / slope, torch.inf)
        return Linearization(sign(value), value, slope / self._unit, crossing)
