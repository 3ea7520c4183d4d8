"""Neighbour radii in exact arithmetic, and the norms in which they are compared."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np

from lbrs import L1, L2, LINF, Norm

NORMS = [L1, L2, LINF, Norm(3), Norm(1.5)]


def length(v, norm):
    """The dual norm of a list of fractions, to many digits."""
    v = [Decimal(abs(t).numerator) / Decimal(abs(t).denominator) for t in v]
    if norm.p in (1, math.inf):
        return max(v) if norm.p == 1 else sum(v)
    p = Decimal(norm.p)
    q = p / (p - 1)
    return sum(t**q for t in v if t) ** (1 / q) if any(v) else Decimal(0)


def exact_radius(x, points, labels, norm, k, paper=False):
    """The label and the radius of Theorem A, K or (`paper`) 8 at one point, to many digits."""
    x, points = [Fraction(v) for v in x], [[Fraction(v) for v in p] for p in points]
    rho = [sum((s - t) ** 2 for s, t in zip(x, p, strict=True)) for p in points]
    near = sorted(range(len(points)), key=lambda i: (rho[i], i))[:k]
    label, quorum = np.sign(sum(labels[i] for i in near)), (k + 1) // 2
    betas = []
    for j in (j for j in range(len(points)) if labels[j] == -label):
        b = []
        for i in near if paper else (i for i in range(len(points)) if labels[i] == label):
            gap = length([s - t for s, t in zip(points[i], points[j], strict=True)], norm)
            top = max(rho[j] - rho[i], Fraction(0))
            over = Decimal(top.numerator) / Decimal(top.denominator)
            b.append(over / (2 * gap) if gap else Decimal(0))
        betas.append(sorted(b)[-quorum])
    return label, sorted(betas)[quorum - 1] if len(betas) >= quorum else Decimal("inf")
