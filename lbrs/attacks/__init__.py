"""Attacks: what the certificates are put to the test with."""

from lbrs import _modules_of

__getattr__ = _modules_of(__name__)
