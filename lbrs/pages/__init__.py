"""What the pages show: figures, tables and sentences made from records."""

from lbrs import _modules_of

__getattr__ = _modules_of(__name__)
