"""When smoothing helps: the best alpha, exactly and in one pass (Proposition T)."""

from lbrs import _modules_of
from lbrs.tuning.choice import tune
from lbrs.tuning.diagnosis import Diagnosis, diagnose
from lbrs.tuning.thresholds import Thresholds, proposition_t, thresholds
from lbrs.tuning.tuned import Tuned

__all__ = [
    "Diagnosis",
    "Thresholds",
    "Tuned",
    "diagnose",
    "proposition_t",
    "thresholds",
    "tune",
]

__getattr__ = _modules_of(__name__)
