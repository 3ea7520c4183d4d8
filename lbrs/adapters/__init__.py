"""What other libraries' users expect of a classifier: a scikit-learn estimator."""

from lbrs import _modules_of

try:
    from lbrs.adapters.estimator import LBRSClassifier
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{error.name} is needed for this: pip install 'lbrs[sklearn]'", name=error.name
    ) from error

__all__ = ["LBRSClassifier"]

__getattr__ = _modules_of(__name__)
