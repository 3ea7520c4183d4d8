"""Locally biased randomized smoothing: classifiers made robust by training data, and certified."""

from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbrs.certificates import Certificate
    from lbrs.cohen import CohenScore, cohen_certificate
    from lbrs.lipschitz import LipschitzScore
    from lbrs.multiclass import ClassOracle, MulticlassLocallyBiased
    from lbrs.normal import NormalSmoothing
    from lbrs.norms import L1, L2, LINF, Norm
    from lbrs.oracles import NearestNeighborOracle
    from lbrs.presmoothing import GaussianScore
    from lbrs.scores import LinearScore, ProbabilityMargin, Score
    from lbrs.smoothing import LocallyBiased
    from lbrs.verification import verify

__all__ = [
    "L1",
    "L2",
    "LINF",
    "Certificate",
    "ClassOracle",
    "CohenScore",
    "GaussianScore",
    "LinearScore",
    "LipschitzScore",
    "LocallyBiased",
    "MulticlassLocallyBiased",
    "NearestNeighborOracle",
    "Norm",
    "NormalSmoothing",
    "ProbabilityMargin",
    "Score",
    "cohen_certificate",
    "verify",
]
__version__ = "0.1.0"

_HOMES = {
    "L1": "norms",
    "L2": "norms",
    "LINF": "norms",
    "Certificate": "certificates",
    "ClassOracle": "multiclass",
    "CohenScore": "cohen",
    "GaussianScore": "presmoothing",
    "LinearScore": "scores",
    "LipschitzScore": "lipschitz",
    "LocallyBiased": "smoothing",
    "MulticlassLocallyBiased": "multiclass",
    "NearestNeighborOracle": "oracles",
    "Norm": "norms",
    "NormalSmoothing": "normal",
    "ProbabilityMargin": "scores",
    "Score": "scores",
    "cohen_certificate": "cohen",
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
