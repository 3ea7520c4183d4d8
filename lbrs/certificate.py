"""The certificate: for each point a radius, and what it rests on."""

import json
from dataclasses import dataclass, replace
from html import escape
from importlib import import_module
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lbrs._checks import ArrayLike, array, classes, labels, number
from lbrs._files import write_text
from lbrs.montecarlo import clopper_pearson
from lbrs.norms import Norm, as_norm, norm_from

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame


@dataclass(frozen=True)
class Curve:
    """Certified accuracy at each of m radii, with intervals.

    Attributes:
        radius: (m,), in the units of x.
        accuracy: (m,), the share of points predicted right with a certified radius beyond it.
        lower, upper: (m,), Clopper and Pearson's interval, at each radius, for the share among all
            points of the kind that the n are drawn from.
        norm: the threat norm.
        confidence: of the interval.
    """

    radius: Tensor
    accuracy: Tensor
    lower: Tensor
    upper: Tensor
    norm: Norm
    confidence: float

    def to_frame(self) -> "DataFrame":
        """A pandas table, a row a radius."""
        names = "radius", "accuracy", "lower", "upper"
        return needed("pandas").DataFrame({name: getattr(self, name).numpy() for name in names})

    def plot(self, axes: "Axes | None" = None, **options: Any) -> "Axes":
        """Draw the curve with its band into `axes`, by default new ones, and return them.

        Parameters:
            axes: of matplotlib.
            options: of matplotlib's ``plot``, such as ``label``.
        """
        if axes is None:
            axes = needed("matplotlib.pyplot").subplots()[1]
        radius, *rows = (t.numpy() for t in (self.radius, self.accuracy, self.lower, self.upper))
        (line,) = axes.plot(radius, rows[0], **options)
        axes.fill_between(radius, rows[1], rows[2], color=line.get_color(), alpha=0.2, lw=0)
        axes.set(xlabel=f"{self.norm} radius", ylabel="certified accuracy", ylim=(0, 1.02))
        return axes


@dataclass(frozen=True)
class Certificate:
    """For each of n points: the prediction does not change on the open ball of the radius.

    One that `certify` returns has tensors of its own. One that you make is as true as what you
    give: its tensors are kept as they are, neither checked nor copied, so do not change them later.

    Attributes:
        prediction: (n,) int64 in {-1, 0, +1}; 0 means that the classifier abstains, with radius 0.
            With `classes`: the class, in 0..classes-1, or -1. So it indexes a list:
            ``["abstains", "positive", "negative"][prediction]``, or ``[*names, "abstains"]``.
        radius: (n,) >= 0 in the units of x, rounded down.
        norm: the threat norm of the ball.
        kind: "deterministic", or "probabilistic": each point's statement holds with probability at
            least `confidence`.
        source: the theorem.
        assumption: what it takes for granted, in words.
        confidence: None if deterministic.
        classes: None for the two labels -1 and +1, else the number of classes.

    Raises:
        TypeError: for a norm that is none.

    >>> one = torch.ones(1)
    >>> Certificate(one, one, L2, "deterministic", "Theorem 6", "g is affine").accuracy([1], 0.5)
    1.0
    """

    prediction: Tensor
    radius: Tensor
    norm: Norm
    kind: str
    source: str
    assumption: str
    confidence: float | None = None
    classes: int | None = None

    def __post_init__(self) -> None:
        as_norm("norm", self.norm)

    def __len__(self) -> int:
        return len(self.radius)

    def __str__(self) -> str:
        told = "; ".join(f"{name} {value}" for name, value in self._summary().items())
        return f"Certificate: {told}"

    def _repr_html_(self) -> str:
        rows = (
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
            for name, value in self._summary().items()
        )
        return f"<table><caption>Certificate</caption>{''.join(rows)}</table>"

    def _summary(self) -> dict[str, str]:
        """What it says, in words."""
        surely = "" if self.confidence is None else f", confidence {self.confidence:g}"
        told = {
            "points": f"{len(self)}, {int(self.abstains.sum())} abstaining",
            "norm": str(self.norm),
            "kind": f"{self.kind}{surely}",
            "source": self.source,
            "assumption": self.assumption,
        }
        if len(self):
            middle, most = self.radius.median().item(), self.radius.max().item()
            told["radius"] = f"median {middle:.4g}, largest {most:.4g}"
        return told

    @property
    def abstains(self) -> Tensor:
        """Where there is no prediction, as bool (n,)."""
        return self.prediction == (0 if self.classes is None else -1)

    def accuracy(self, y: ArrayLike, radius: float = 0.0) -> float:
        """Certified accuracy: the share of points predicted as `y` with a certified radius of more
        than `radius`; clean accuracy at 0, where a point counts as soon as its prediction is right.

        Parameters:
            y: (n,) in {-1, +1}, or classes from 0 to classes - 1, on any device.
            radius: >= 0, in the units of x.
        """
        if len(self) == 0:
            raise ValueError("y must hold at least one label, got none")
        n = len(self)
        y = labels("y", y, n) if self.classes is None else classes("y", y, n, self.classes)
        right = self.prediction == y.to(self.prediction.device)
        radius = number("radius", radius, low=0)
        return (right & ((self.radius > radius) | (radius == 0))).double().mean().item()

    def __getitem__(self, rows: Any) -> "Certificate":
        """The certificate of some of the points, by a slice, a mask or indices.

        >>> one = Certificate(torch.ones(3), torch.arange(3.0), L2, "deterministic", "a", "b")
        >>> one[1:].radius.tolist()
        [1.0, 2.0]
        """
        given = rows if isinstance(rows, slice | Tensor) else torch.as_tensor(rows)
        if isinstance(given, Tensor) and given.ndim != 1:
            raise IndexError(f"rows must be a slice, a mask or indices (m,), got {rows!r}")
        return replace(self, prediction=self.prediction[given], radius=self.radius[given])

    def per_class(self, y: ArrayLike, radius: float = 0.0) -> dict[int, float]:
        """Certified accuracy beyond `radius` among the points of each class that `y` holds.

        Their mean is the balanced certified accuracy.
        """
        truth = array("y", y).to(self.prediction.device)
        self.accuracy(truth, radius)  # checks
        kinds = [int(kind) for kind in truth.unique().tolist()]
        return {kind: self[truth == kind].accuracy(truth[truth == kind], radius) for kind in kinds}

    def curve(
        self, y: ArrayLike, radii: ArrayLike | None = None, confidence: float = 0.95
    ) -> Curve:
        """Certified accuracy over radii, with intervals for what more points would show.

        Parameters:
            y: as for ``accuracy``.
            radii: (m,) >= 0; 101 from 0 to the largest finite radius by default.
            confidence: in (0, 1), of each interval alone.
        """
        if radii is None:
            finite = self.radius[torch.isfinite(self.radius)]
            top = finite.max().item() if len(finite) else 1.0
            radii = torch.linspace(0, top, 101, dtype=torch.float64)
        radii = array("radii", radii).cpu().flatten()
        shares = [self.accuracy(y, radius) for radius in radii.tolist()]
        n = len(self)
        counts = [round(share * n) for share in shares]
        ends = [clopper_pearson(count, n, confidence) for count in counts]
        lower, upper = torch.tensor(ends, dtype=torch.float64).reshape(-1, 2).unbind(1)
        accuracy = torch.tensor(shares, dtype=torch.float64)
        return Curve(radii, accuracy, lower, upper, self.norm, confidence)

    def plot(self, y: ArrayLike, axes: "Axes | None" = None, **options: Any) -> "Axes":
        """Draw certified accuracy over radii, see `curve` and `Curve.plot`."""
        return self.curve(y).plot(axes, **options)

    def to_frame(self) -> "DataFrame":
        """A pandas table, a row a point: prediction, radius and abstains; what else the certificate
        says is in its ``attrs``."""
        columns = {
            "prediction": self.prediction.cpu().numpy(),
            "radius": self.radius.cpu().numpy(),
            "abstains": self.abstains.cpu().numpy(),
        }
        frame = needed("pandas").DataFrame(columns)
        frame.attrs = self._summary()
        return frame

    def save(self, path: str | PathLike[str]) -> None:
        """Write the certificate to a JSON file, whole or not at all; radii keep every bit."""
        content = {
            "prediction": self.prediction.int().tolist(),
            "radius": [value.hex() for value in self.radius.tolist()],
            **_stated(self.norm),
            "kind": self.kind,
            "source": self.source,
            "assumption": self.assumption,
            "confidence": self.confidence,
        }
        if self.classes is not None:
            content["classes"] = self.classes
        write_text(Path(path), json.dumps(content) + "\n")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Certificate":
        """Read a certificate written by `save`; a ValueError that names the file if it is none."""
        try:
            content = json.loads(Path(path).read_text())
            radius = [float.fromhex(value) for value in content.pop("radius")]
            prediction = torch.tensor(content.pop("prediction"), dtype=torch.int64)
            norm = norm_from(content.pop("norm", None) or {"p": content.pop("p")})
            return cls(prediction, torch.tensor(radius, dtype=torch.float64), norm, **content)
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            told = f"path must name a file written by Certificate.save, got {path}: {error}"
            raise ValueError(told) from error


def _stated(norm: Norm) -> dict[str, object]:
    """The norm as a file has it: an lp norm by its p."""
    told = norm.stated()
    return told if "p" in told else {"norm": told}


def needed(package: str) -> ModuleType:
    """A package that only some functions need."""
    try:
        return import_module(package)
    except ImportError as error:
        name = package.partition(".")[0]
        raise ImportError(f"{name} is needed for this: pip install {name}") from error
