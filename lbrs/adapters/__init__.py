"""What other libraries' users expect of a classifier: a scikit-learn estimator."""

from lbrs import _modules_of
from lbrs.adapters.estimator import LBRSClassifier

__all__ = ["LBRSClassifier"]

__getattr__ = _modules_of(__name__)
