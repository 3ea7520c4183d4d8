"""Locally biased randomized smoothing: robustify a classifier with training data, and certify it in closed form."""

from lbrs.certificates import Certificate
from lbrs.norms import L1, L2, LINF, Norm
from lbrs.oracles import NearestNeighborOracle
from lbrs.scores import LinearScore, ProbabilityMargin, Score
from lbrs.smoothing import LocallyBiased, NormalSmoothing

__all__ = ["L1", "L2", "LINF", "Certificate", "LinearScore", "LocallyBiased", "NearestNeighborOracle", "NormalSmoothing", "Norm", "ProbabilityMargin", "Score"]
__version__ = "0.1.0"
