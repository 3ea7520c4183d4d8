"""The largest radius that is true, by optimisation."""

from lbrs import _modules_of
from lbrs.exact.cells import exact_radii

__all__ = ["exact_radii"]

__getattr__ = _modules_of(__name__)
