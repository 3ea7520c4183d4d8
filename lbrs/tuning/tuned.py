"""What tuning found: the best alpha, what it is worth, and the whole curve."""

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lbrs.certificate import needed
from lbrs.multiclass import MulticlassLocallyBiased
from lbrs.norms import Norm
from lbrs.smoothing import LocallyBiased
from lbrs.tuning.thresholds import Thresholds

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Tuned:
    """The best alpha for a radius on n points, and what it is worth.

    Attributes:
        alpha: the best; 0 where no bias does better than the base alone.
        accuracy: the certified accuracy at the radius there; clean accuracy at radius 0.
        interval: in which, with the confidence, the accuracy at this alpha lies among all points of
            the kind that the n are drawn from, the choice of alpha and oracle included.
        base, oracle: the accuracies of the two parts alone, of the oracle that won.
        backed: of the tenth of the points whose base margin is closest to the radius, the share
            whose label the oracle certifies there: above one half the bias helps, to first order.
        alphas, curve: (m,), (m + 1,), the exact curve: ``curve[i]`` holds for
            ``alphas[i - 1] < alpha <= alphas[i]``.
        radius, norm, confidence: as asked for.
        winner: the place of the oracle that won among those given.
        model: the classifier with this oracle and alpha.
        thresholds: of each point, for the oracle that won.
    """

    alpha: float
    accuracy: float
    interval: tuple[float, float]
    base: float
    oracle: float
    backed: float
    alphas: Tensor
    curve: Tensor
    radius: float
    norm: Norm
    confidence: float
    winner: int
    model: LocallyBiased | MulticlassLocallyBiased = field(repr=False)
    thresholds: Thresholds = field(repr=False)

    @property
    def advice(self) -> str:
        """What to use, in words."""
        at = f"certified beyond {self.radius:.4g} in {self.norm}" if self.radius else "clean"
        told = f"{self.accuracy:.4g} {at}, base {self.base:.4g}, oracle {self.oracle:.4g}"
        if self.alpha == 0:
            return f"use the base alone: {told}"
        if self.oracle >= self.accuracy:
            return f"use the oracle alone, or alpha = {self.alpha:.4g}: {told}"
        return f"use alpha = {self.alpha:.4g}: {told}"

    def __str__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self._summary().items())

    def _summary(self) -> dict[str, str]:
        low, high = self.interval
        return {
            "advice": self.advice,
            "among fresh points": f"{low:.4g} to {high:.4g}, confidence {self.confidence:g}",
            "backed near the radius": f"{self.backed:.0%}",
            "oracle": f"number {self.winner}, {self.model.oracle}",
        }

    def _repr_html_(self) -> str:
        rows = (
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
            for name, value in self._summary().items()
        )
        return f"<table><caption>Tuned</caption>{''.join(rows)}</table>"

    def plot(self, axes: "Axes | None" = None, **options: Any) -> "Axes":
        """Draw certified accuracy over alpha, the parts alone as lines across.

        Parameters:
            axes: of matplotlib; new ones by default.
            options: of matplotlib's ``plot``.
        """
        if axes is None:
            axes = needed("matplotlib.pyplot").subplots()[1]
        end = 1.2 * max(self.alphas[-1].item() if len(self.alphas) else 0.0, self.alpha, 1e-9)
        edges = torch.cat([torch.zeros(1), self.alphas, torch.tensor([end])])
        axes.stairs(self.curve.numpy(), edges.numpy(), baseline=None, **options)
        axes.axhline(self.base, color="0.6", ls=":", label="base alone")
        axes.axhline(self.oracle, color="0.6", ls="--", label="oracle alone")
        axes.plot([self.alpha], [self.accuracy], "o", color="C3", label="best")
        axes.set(xlabel=r"$\alpha$", ylabel="certified accuracy", xlim=(0, end))
        return axes
