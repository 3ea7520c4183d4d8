"""Layers of which bounds are proved: rounding errors, Lipschitz constants, spectral norms."""

from lbrs import _modules_of

__getattr__ = _modules_of(__name__)
