"""Locally biased randomized smoothing: classifiers made robust by training data, and certified."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbrs.certificate import Certificate
    from lbrs.multiclass import MulticlassLocallyBiased
    from lbrs.normal import NormalSmoothing
    from lbrs.norms import L1, L2, LINF, GroupNorm, Mahalanobis, Norm, OwnNorm
    from lbrs.oracles.classes import ClassOracle
    from lbrs.oracles.nearest import NearestNeighborOracle
    from lbrs.plane.bias import Bias
    from lbrs.scores.base import Score
    from lbrs.scores.classes import AffineScores, ClassScores
    from lbrs.scores.cohen import CohenScore, cohen_certificate
    from lbrs.scores.gaussian import GaussianScore
    from lbrs.scores.linear import LinearScore
    from lbrs.scores.lipschitz import LipschitzScore
    from lbrs.scores.margin import ProbabilityMargin
    from lbrs.smoothing import LocallyBiased
    from lbrs.tuning.choice import tune
    from lbrs.tuning.diagnosis import diagnose
    from lbrs.verification import verify

__all__ = [
    "L1",
    "L2",
    "LINF",
    "AffineScores",
    "Bias",
    "Certificate",
    "ClassOracle",
    "ClassScores",
    "CohenScore",
    "GaussianScore",
    "GroupNorm",
    "LinearScore",
    "LipschitzScore",
    "LocallyBiased",
    "Mahalanobis",
    "MulticlassLocallyBiased",
    "NearestNeighborOracle",
    "Norm",
    "NormalSmoothing",
    "OwnNorm",
    "ProbabilityMargin",
    "Score",
    "cohen_certificate",
    "diagnose",
    "tune",
    "verify",
]
__version__ = "0.1.0"

_HOMES = {
    "L1": "norms.lp",
    "L2": "norms.lp",
    "LINF": "norms.lp",
    "Certificate": "certificate",
    "AffineScores": "scores.classes",
    "Bias": "plane.bias",
    "ClassOracle": "oracles.classes",
    "ClassScores": "scores.classes",
    "CohenScore": "scores.cohen",
    "GaussianScore": "scores.gaussian",
    "GroupNorm": "norms.groups",
    "LinearScore": "scores.linear",
    "LipschitzScore": "scores.lipschitz",
    "LocallyBiased": "smoothing",
    "Mahalanobis": "norms.mahalanobis",
    "MulticlassLocallyBiased": "multiclass",
    "NearestNeighborOracle": "oracles.nearest",
    "Norm": "norms.base",
    "NormalSmoothing": "normal",
    "OwnNorm": "norms.own",
    "ProbabilityMargin": "scores.margin",
    "Score": "scores.base",
    "cohen_certificate": "scores.cohen",
    "diagnose": "tuning.diagnosis",
    "tune": "tuning.choice",
    "verify": "verification",
}
"""Where each public name is defined."""


def __getattr__(name: str) -> object:
    """The public names and the modules, imported when first used, so that the `lbrs` command does
    not wait for torch."""
    if name in _HOMES:
        value = getattr(import_module(f"lbrs.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    if not name.startswith("_") and find_spec(f"lbrs.{name}"):
        return import_module(f"lbrs.{name}")
    raise AttributeError(f"module 'lbrs' has no attribute {name!r}")


def __dir__() -> list[str]:
    modules = (module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
    return sorted({*globals(), *_HOMES, *modules})


def _modules_of(room: str) -> Callable[[str], ModuleType]:
    """The `__getattr__` of a room: its modules, imported when first used."""

    def module(name: str) -> ModuleType:
        if name.startswith("_") or find_spec(f"{room}.{name}") is None:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        return import_module(f"{room}.{name}")

    return module
