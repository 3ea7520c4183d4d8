"""Norms: lp, weighted, masked, of groups, Mahalanobis, and your own; with their duals, and the
direction in which the dual pairing is largest."""

import math

import torch

from lbrs._checks import shown
from lbrs.norms.base import Norm
from lbrs.norms.groups import GroupNorm
from lbrs.norms.lp import L1, L2, LINF, Lp
from lbrs.norms.mahalanobis import Mahalanobis
from lbrs.norms.own import OwnNorm, admitted
from lbrs.norms.weighted import Weighted

__all__ = [
    "L1",
    "L2",
    "LINF",
    "GroupNorm",
    "Mahalanobis",
    "Norm",
    "OwnNorm",
    "as_norm",
    "norm_from",
]

FAMILY = (Lp, Weighted, GroupNorm, Mahalanobis)
"""The classes of norms that certificates are proved for, exactly these; and a user's own."""


def as_norm(name: str, value: Norm, shape: tuple[int, ...] | None = None) -> Norm:
    """`value` itself, or a TypeError unless its class is one of `FAMILY`, subclasses not, or a
    proper `OwnNorm`; a ValueError unless it takes points of `shape` and holds every feature."""
    if type(value) not in FAMILY and not admitted(value):
        told = shown(value)
        raise TypeError(f"{name} must be a Norm such as L1, L2, LINF or Norm(3), got {told}")
    if isinstance(value, Weighted) and (value.weights == 0).any():
        free = int((value.weights == 0).nonzero()[0])
        raise ValueError(
            f"{name} must have weights > 0: feature {free} with weight 0 could move without end"
        )
    known = value.features()
    if shape is not None and known not in (None, math.prod(shape)):
        raise ValueError(f"{name} must be of points of shape {shape}, got {value}")
    return value


def norm_from(content: dict[str, object]) -> Norm:
    """The norm that `Norm.stated` tells of."""
    if "p" in content:
        return Lp(float.fromhex(str(content["p"])))
    if "weighted" in content:
        base, weights = content["weighted"], content["weights"]
        assert isinstance(base, dict) and isinstance(weights, list)
        numbers = torch.tensor([float.fromhex(weight) for weight in weights], dtype=torch.float64)
        return norm_from(base).weighted(numbers)
    if "matrix" in content:
        rows = content["matrix"]
        assert isinstance(rows, list)
        matrix = [[float.fromhex(entry) for entry in row] for row in rows]
        return Mahalanobis(torch.tensor(matrix, dtype=torch.float64))
    parts, groups = content["group"], content["groups"]
    assert isinstance(parts, list) and isinstance(groups, list)
    outer, inner = (float.fromhex(part["p"]) for part in parts)
    return GroupNorm(outer, inner, groups)
