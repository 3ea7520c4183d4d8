"""Base scores: what a smoothed classifier is made from."""

from lbrs import _modules_of
from lbrs.scores.base import Linearization, LinearScore, ProbabilityMargin, Score, sign

__all__ = ["Linearization", "LinearScore", "ProbabilityMargin", "Score", "sign"]

__getattr__ = _modules_of(__name__)
