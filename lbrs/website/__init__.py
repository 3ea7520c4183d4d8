"""From text notebooks to the website."""

from lbrs import _modules_of

__getattr__ = _modules_of(__name__)
