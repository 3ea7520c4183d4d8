"""Locally biased smoothing of several classes (Theorem M)."""

from collections.abc import Callable

import torch
from torch import Tensor

from lbrs._checks import array, batch, classes, number
from lbrs.certificates import Certificate, round_down, theorem_m
from lbrs.norms import L2, Norm, as_norm
from lbrs.oracles.nearest import NearestNeighborOracle
from lbrs.rounding import EPS, affine_scores, affine_slope, least, lipschitz_allowance
from lbrs.scores.admission import observed
from lbrs.scores.base import Score


class ClassScores(Score):
    """Scores h_c(x), one column a class: `function` maps (n, *shape) to (n, C), C >= 2. The rest as for `Score`."""

    def _squeeze(self, output: object, n: int) -> Tensor:
        if (
            not isinstance(output, Tensor)
            or output.ndim != 2
            or len(output) != n
            or output.shape[1] < 2
        ):
            given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(
                f"function must return a tensor of shape ({n}, C) with C >= 2 classes for {n} points, got {given}"
            )
        return output

    def margins(self, x: Tensor, h: Tensor, predicted: Tensor, alpha: float, K: float) -> Tensor:
        """The scores `h` (n, C) at `x`, moved against the class `predicted` (n,) by what rounding can do at x and within the ball."""
        gap = h.gather(1, predicted[:, None]) - h
        lowered = least(gap, self.rounding) - lipschitz_allowance(alpha, K, self.rounding)
        return (-lowered).scatter(1, predicted[:, None], 0.0)

    def constants(self, pairs: Tensor, norm: Norm) -> Tensor:
        """The constants of the differences (C, C), with what rounding adds to them."""
        return pairs * (1 + 16 * EPS)

    def assumption(self, pairs: Tensor, norm: Norm) -> str:
        """What certificates take for granted."""
        K = pairs.max().item()
        exact = (
            ""
            if (pairs + torch.eye(len(pairs)).to(pairs) * K == K).all()
            else ", or less for single pairs"
        )
        return f"differences of scores are {K:g}-Lipschitz in {norm}{exact}, computed with relative errors of at most {self.rounding:g}"


class AffineScores(ClassScores):
    """The scores h_c(x) = w_c^T x + b_c, whose rounding errors are known. Parameters: `weight` (C, d), `bias` (C,)."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight.clone(), bias.clone()
        super().__init__(self._affine, device=weight.device)
        self.observed = observed(torch.float64)

    def _affine(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T + self.bias

    def _enter(self, x: Tensor) -> None:
        """Nothing: what is computed is known, and its rounding may be more than a share of its values."""

    def margins(self, x: Tensor, h: Tensor, predicted: Tensor, alpha: float, K: float) -> Tensor:
        """As of `ClassScores`: each score by its own error, and by a few eps of the sizes that are compared (`rounding.affine_scores`)."""
        sizes = x.flatten(1).abs().to(h) @ self.weight.abs().T + self.bias.abs()
        error = affine_scores(sizes, self.weight.shape[1])
        error = error + 8 * EPS * ((h.amax(1) - h.amin(1)).abs() + alpha * K)[:, None]
        return (h + error).scatter_add(
            1, predicted[:, None], -2 * error.gather(1, predicted[:, None])
        )

    def constants(self, pairs: Tensor, norm: Norm) -> Tensor:
        """As of `ClassScores`: the error of a score grows with the distance, by a share of ||w_c||_*."""
        sizes = norm.dual(self.weight) * affine_slope(self.weight.shape[1])
        return super().constants(pairs + (sizes[:, None] + sizes), norm)

    def assumption(self, pairs: Tensor, norm: Norm) -> str:
        """None but that the scores are what they are."""
        return "the scores are affine"


class ClassOracle:
    """The class k(x) of the reference point nearest to x in l2, and the radii within which it cannot become another one.

    Parameters: `points` (N, *shape), `labels` (N,) whole numbers >= 0.
    """

    def __init__(self, points: object, labels: object) -> None:
        points = batch("points", points)
        self._labels = classes("labels", labels, len(points), 2**31).to(points.device).clone()
        self._all = NearestNeighborOracle(points, torch.ones(len(points)))
        self._points, self.shape = self._all.points, self._all.shape

    @property
    def points(self) -> Tensor:
        """The reference points (N, d), as a copy."""
        return self._points.clone()

    @property
    def labels(self) -> Tensor:
        """Their classes (N,), as a copy."""
        return self._labels.clone()

    def label(self, x: object) -> Tensor:
        """k(x) for `x` (n, *shape), as float64 (n,)."""
        return self._labels[self._all.nearest(x)]

    def radii(self, x: object, norm: Norm, count: int) -> Tensor:
        """nb (n, C): within the open ball of radius nb[:, c] the nearest class does not become c: 0 for c = k(x), inf for a class without points."""
        x = batch("x", x, self.shape).to(self._points.device)
        label, result = (
            self.label(x),
            torch.full((len(x), count), torch.inf, dtype=torch.float64, device=self._points.device),
        )
        for c in range(count):
            result[label == c, c] = 0.0
            rows = label != c
            if (self._labels == c).any() and rows.any():
                rest = NearestNeighborOracle(
                    self._points.reshape(-1, *self.shape), torch.where(self._labels == c, -1.0, 1.0)
                )
                result[rows, c] = rest.radius(x[rows], norm)
        return result


class MulticlassLocallyBiased:
    """f^mu(x) = argmax_c S_c(x), S_c = h_c(x) + alpha K 1[c = k(x)], k(x) the class of the nearest reference point; certified by Theorem M (book: theorem-m).

    With two classes this is Theorem H for h_1 - h_0. Of equal S_c the first class is predicted, with radius 0.

    Parameters
    ----------
    function: torch callable or module that maps (n, *shape) to the scores h (n, C), C >= 2. No gradient is needed.
    lipschitz: K >= 0 with |(h_s - h_c)(x) - (h_s - h_c)(z)| <= K ||x - z|| for all x, z and all classes; or single constants, symmetric (C, C), of which
        K is the largest. Certificates are only as true as these numbers.
    points, labels: the reference points (N, *shape), N >= 1, and their classes (N,), whole numbers in 0..C-1.
    alpha: >= 0, the length of the bias, in the units of x. norm: the threat norm.
    rounding: how far at most a computed difference D = h_s - h_c is off, as a share of 1 + |D|. By default 1e-10 in float64, else 1e-4.
    dtype, device, batch_size: as for `Score`.

    Raises ValueError or TypeError that names the argument.

    >>> model = MulticlassLocallyBiased.linear([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [0.0, 0.0, 0.0], [[2.0, 0.0], [0.0, 2.0]], [0, 1], alpha=0.5)
    >>> model.certify([[2.0, 0.5]]).prediction
    tensor([0.], dtype=torch.float64)
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        lipschitz: object,
        points: object,
        labels: object,
        alpha: float,
        norm: Norm = L2,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        batch_size: int = 256,
        rounding: float | None = None,
    ) -> None:
        self.alpha, self.norm = number("alpha", alpha, low=0), as_norm("norm", norm)
        own = isinstance(function, ClassScores)
        self.base = (
            function
            if own
            else ClassScores(
                function, dtype=dtype, device=device, batch_size=batch_size, rounding=rounding
            )
        )
        self.oracle = ClassOracle(points, labels)
        self.classes = self.base.value(
            self.oracle.points[:1].reshape(1, *self.oracle.shape)
        ).shape[1]
        classes("labels", self.oracle.labels, len(self.oracle.labels), self.classes)
        self.pairs = self._constants(lipschitz).to(self.base.device)
        self.lipschitz = self.pairs.max().item()

    @classmethod
    def linear(
        cls,
        weight: object,
        bias: object,
        points: object,
        labels: object,
        alpha: float,
        norm: Norm = L2,
    ) -> "MulticlassLocallyBiased":
        """Affine scores h_c(x) = w_c^T x + b_c, with the constants ||w_s - w_c||_*. Parameters: `weight` (C, *shape), `bias` (C,)."""
        weight, bias = batch("weight", weight).flatten(1), array("bias", bias)
        if tuple(bias.shape) != (len(weight),):
            raise ValueError(
                f"bias must have shape ({len(weight)},), one number a class, got {tuple(bias.shape)}"
            )
        dual = as_norm("norm", norm).dual
        pairs = dual.above(weight[:, None] - weight)
        return cls(AffineScores(weight, bias), pairs, points, labels, alpha, norm)

    def _constants(self, lipschitz: object) -> Tensor:
        count = self.classes
        if (
            not isinstance(lipschitz, Tensor)
            and not hasattr(lipschitz, "__len__")
            or getattr(lipschitz, "ndim", 1) == 0
        ):
            return torch.full(
                (count, count), number("lipschitz", lipschitz, low=0), dtype=torch.float64
            ).fill_diagonal_(0)
        pairs = array("lipschitz", lipschitz).clone()
        if (
            tuple(pairs.shape) != (count, count)
            or not torch.equal(pairs, pairs.T)
            or (pairs < 0).any()
        ):
            raise ValueError(
                f"lipschitz must be a number >= 0 or symmetric numbers >= 0 of shape ({count}, {count}), got shape {tuple(pairs.shape)}"
            )
        return pairs.fill_diagonal_(0)

    def score(self, x: object) -> Tensor:
        """S_c(x) for `x` (n, *shape), as float64 (n, C)."""
        x = batch("x", x, self.oracle.shape)
        return self._biased(x, self._scores(x))[0]

    def predict(self, x: object) -> Tensor:
        """f^mu(x) in 0..C-1 for `x` (n, *shape), as float64 (n,)."""
        x = batch("x", x, self.oracle.shape)
        return self._biased(x, self._scores(x))[2].to(torch.float64)

    def certify(self, x: object) -> Certificate:
        """Theorem M (book: theorem-m): f^mu is constant on the open `norm` ball of the radius around each point of `x` (n, *shape).

        Rounding is allowed for: the predicted class's score is lowered by what it can do at x and within the ball.
        """
        x = batch("x", x, self.oracle.shape)
        h = self._scores(x)
        h = h - h.amax(1, keepdim=True)
        label, predicted = self._biased(x, h)[1:]
        score, K = self.base, self.lipschitz
        lowered = score.margins(x, h, predicted, self.alpha, K)
        neighbors = self.oracle.radii(x, self.norm, self.classes).to(h)
        radius = theorem_m(
            lowered,
            label,
            neighbors,
            self.alpha,
            K,
            score.constants(self.pairs, self.norm),
            predicted,
        )
        radius = score.within_domain(x, round_down(radius * (1 - 16 * EPS)))
        assumption = score.assumption(self.pairs, self.norm)
        return Certificate(
            predicted.to(torch.float64),
            radius,
            self.norm,
            "deterministic",
            "Theorem M",
            assumption,
            classes=self.classes,
        )

    def push(self, x: Tensor) -> Tensor:
        """The gradient (n, *shape) of the largest minus the second largest score, for attacks; a ValueError where torch has none."""
        parts = []
        for part in x.split(self.base._step(x)):
            seen, output = self.base._output(part)
            if not output.requires_grad:
                raise ValueError(
                    "function must be differentiable by torch, got an output without a gradient"
                )
            top = output.topk(2, dim=1).values
            parts.append(
                torch.autograd.grad((top[:, 0] - top[:, 1]).sum(), seen)[0]
                .to(torch.float64)
                .nan_to_num()
            )
        return torch.cat(parts) if parts else torch.zeros_like(x)

    def _scores(self, x: Tensor) -> Tensor:
        return self.base.value(x).reshape(len(x), self.classes)

    def _biased(self, x: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """S (n, C), k(x) and the prediction, as indices (n,)."""
        label = self.oracle.label(x).to(scores.device).long()
        bias = torch.zeros_like(scores).scatter_(
            1, label[:, None], min(self.alpha * self.lipschitz, 1e300)
        )
        return scores + bias, label, (scores - scores.amax(1, keepdim=True) + bias).argmax(1)
