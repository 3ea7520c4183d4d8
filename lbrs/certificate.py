"""The certificate: for each point a radius, and what it rests on."""

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from lbrs._checks import ArrayLike, classes, labels, number
from lbrs._files import write_text
from lbrs.norms import Norm, as_norm


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

    def save(self, path: str | PathLike[str]) -> None:
        """Write the certificate to a JSON file, whole or not at all; radii keep every bit."""
        content = {
            "prediction": self.prediction.int().tolist(),
            "radius": [value.hex() for value in self.radius.tolist()],
            "p": self.norm.p.hex(),
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
            norm = Norm(float.fromhex(content.pop("p")))
            return cls(prediction, torch.tensor(radius, dtype=torch.float64), norm, **content)
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            told = f"path must name a file written by Certificate.save, got {path}: {error}"
            raise ValueError(told) from error
