"""Base scores: what a smoothed classifier is made from."""

from lbrs import _modules_of
from lbrs.scores.base import Linearization, Score, sign
from lbrs.scores.linear import LinearScore
from lbrs.scores.margin import ProbabilityMargin

__all__ = ["Linearization", "LinearScore", "ProbabilityMargin", "Score", "sign"]

__getattr__ = _modules_of(__name__)
