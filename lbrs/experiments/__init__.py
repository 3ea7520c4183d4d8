"""The experiments, from data to records."""

from lbrs import _modules_of

__getattr__ = _modules_of(__name__)
