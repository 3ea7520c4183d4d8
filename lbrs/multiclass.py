"""Locally biased smoothing of several classes (Theorem M)."""

from functools import cached_property

import torch
from torch import Tensor

from lbrs._checks import ArrayLike, batch, classes
from lbrs.attacks.logits import ClassLogits
from lbrs.certificate import Certificate
from lbrs.norms import L2, Norm, as_norm
from lbrs.oracles.classes import ClassOracle
from lbrs.plane.bias import Bias, Length, as_length, refuse_bias
from lbrs.plane.slack import least_gap, oracle_slack
from lbrs.scores.base import Local
from lbrs.scores.classes import ClassScores, biased, least_other


class MulticlassLocallyBiased:
    r"""Locally biased smoothing of several classes, certified by Theorem M.

    .. math:: f^\mu(x) = \arg\max_c S_c(x), \qquad S_c(x) = h_c(x) + \alpha K\,1[c = k(x)]

    k(x) is the class of the nearest reference point. With two classes this is Theorem H for
    h_1 - h_0. Of equal biased scores the first class is predicted, with radius 0.

    Source: :prf:ref:`Theorem M <theorem-m>`.

    Parameters:
        score: the scores h, ``ClassScores`` or ``AffineScores``.
        oracle: a ``ClassOracle`` whose labels are classes of the scores.
        alpha: >= 0, the length of the bias, in the units of x; or a ``Bias`` that is odd, for
            :prf:ref:`Theorem U <theorem-u-classes>`.
        norm: the threat norm.

    Attributes:
        base: the scores h; the method ``score`` gives the biased ones.
        classes: C, their number.

    Raises:
        ValueError, TypeError: naming the argument.

    >>> scores = AffineScores([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [0.0, 0.0, 0.0])
    >>> oracle = ClassOracle([[2.0, 0.0], [0.0, 2.0]], [0, 1])
    >>> MulticlassLocallyBiased(scores, oracle, alpha=0.5).certify([[2.0, 0.5]]).prediction
    tensor([0])
    """

    def __init__(
        self, score: ClassScores, oracle: ClassOracle, alpha: Length, norm: Norm = L2
    ) -> None:
        if not isinstance(score, ClassScores):
            raise TypeError(
                f"score must be ClassScores, got {type(score).__name__}; "
                "wrap a torch callable as ClassScores(function, lipschitz)"
            )
        if not isinstance(oracle, ClassOracle):
            raise TypeError(f"oracle must be a ClassOracle, got {type(oracle).__name__}")
        self.base, self.oracle = score, oracle
        self.norm = as_norm("norm", norm, oracle.shape)
        self.alpha = as_length("alpha", alpha)
        refuse_bias(self.alpha, self.norm, oracle.metric)
        if isinstance(alpha, Bias) and not alpha.odd:
            raise ValueError(f"alpha must be odd, A(-o) = -A(o), for several classes, got {alpha}")
        self.classes = score.value(oracle.points[:1].reshape(1, *oracle.shape)).shape[1]
        classes("labels", oracle.labels, len(oracle.labels), self.classes)
        self.lipschitz = score.pairs(self.classes, norm).max().item()

    def __repr__(self) -> str:
        alpha = self.alpha if isinstance(self.alpha, Bias) else f"{self.alpha:g}"
        told = f"{self.base}, {self.oracle}, alpha={alpha}, norm={self.norm}"
        return f"MulticlassLocallyBiased({told})"

    def to(self, device: torch.device | str) -> "MulticlassLocallyBiased":
        """The same classifier on `device`; this one stays as it is."""
        moved = self.base.to(device), self.oracle.to(device)
        return MulticlassLocallyBiased(*moved, self.alpha, self.norm)

    def score(self, x: ArrayLike) -> Tensor:
        """The biased scores S_c(x) for `x` (n, *shape), as float64 (n, C)."""
        return self._biased(x)[0]

    def predict(self, x: ArrayLike) -> Tensor:
        """f^mu(x) for `x` (n, *shape), as int64 (n,) in 0..C-1, which indexes a list of names."""
        return self._biased(x)[1]

    def as_module(self, kind: str = "link") -> ClassLogits:
        """f^mu as a torch module: points (n, *shape) to logits (n, C), in the points' type and on
        their device, whose argmax is ``predict`` at every point.

        Parameters:
            kind: "link" or "score", the biased scores S_c, differentiable through h; or "decision",
                the prediction alone, without a gradient; only this for a ``Bias``.
        """
        if isinstance(self.alpha, Bias) and kind in ("link", "score"):
            raise ValueError(f"kind must be 'decision' for a Bias, got {kind!r}")
        return ClassLogits(self, kind)

    def certify(self, x: ArrayLike) -> Certificate:
        """:prf:ref:`Theorem M <theorem-m>`: f^mu is constant on the open ``norm`` ball of the
        radius around each point of `x` (n, *shape), as computed in floating point."""
        x = batch("x", x, self.oracle.shape)
        label = self.oracle.label(x).to(self.base.device)
        neighbors = self.oracle.radii(x, self.norm, self.classes).to(self.base.device)
        certain = least_other(neighbors, label)

        def slack(reach: Tensor) -> Tensor:
            return oracle_slack(self.oracle.points, self._gap, x, self.norm, certain, reach)

        local = Local(x, self.norm, label, neighbors, None, None, slack)
        return self.base.certify_biased(local, self.alpha)

    def _biased(self, x: ArrayLike) -> tuple[Tensor, Tensor]:
        x = batch("x", x, self.oracle.shape)
        h = self.base.value(x).reshape(len(x), self.classes)
        label = self.oracle.label(x)
        if not isinstance(self.alpha, Bias):
            return biased(h, label, self.alpha * self.lipschitz)
        certain = least_other(self.oracle.radii(x, self.norm, self.classes), label).to(h)
        return biased(h, label, self.lipschitz * self.alpha(torch.ones_like(certain), certain))

    @cached_property
    def _gap(self) -> float:
        return least_gap(self.oracle.points, self.oracle.labels, self.norm)
