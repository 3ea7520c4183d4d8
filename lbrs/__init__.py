"""Locally biased randomized smoothing: robustify a classifier with training data, and certify it in closed form."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbrs.certificates import Certificate
    from lbrs.cohen import CohenScore
    from lbrs.lipschitz import LipschitzScore
    from lbrs.multiclass import MulticlassLocallyBiased
    from lbrs.normal import NormalSmoothing
    from lbrs.norms import L1, L2, LINF, Norm
    from lbrs.oracles import NearestNeighborOracle
    from lbrs.presmoothing import GaussianScore
    from lbrs.scores import LinearScore, ProbabilityMargin, Score
    from lbrs.smoothing import LocallyBiased
    from lbrs.verification import verify

__all__ = ["L1", "L2", "LINF", "Certificate", "CohenScore", "GaussianScore", "LinearScore", "LipschitzScore", "LocallyBiased", "MulticlassLocallyBiased",
           "NearestNeighborOracle", "NormalSmoothing", "Norm", "ProbabilityMargin", "Score", "verify"]
__version__ = "0.1.0"

_HOMES = {"certificates": ("Certificate",), "cohen": ("CohenScore",), "lipschitz": ("LipschitzScore",), "multiclass": ("MulticlassLocallyBiased",),
          "norms": ("L1", "L2", "LINF", "Norm"), "oracles": ("NearestNeighborOracle",), "presmoothing": ("GaussianScore",),
          "scores": ("LinearScore", "ProbabilityMargin", "Score"), "normal": ("NormalSmoothing",), "smoothing": ("LocallyBiased",),
          "verification": ("verify",)}


def __getattr__(name: str) -> object:
    """The public names, imported when first used, so that the `lbrs` command does not wait for torch."""
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"lbrs.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'lbrs' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
