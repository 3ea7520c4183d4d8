"""The plane of two margins (Theorem U): biases that follow how certain the oracle is."""

from lbrs import _modules_of

__getattr__ = _modules_of(__name__)
