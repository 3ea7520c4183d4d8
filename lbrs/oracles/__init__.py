"""Direction oracles: which class lies near."""

from lbrs import _modules_of
from lbrs.oracles.nearest import NearestNeighborOracle

__all__ = ["NearestNeighborOracle"]

__getattr__ = _modules_of(__name__)
