"""Squared distances in twice the working precision, ranks within groups, and folded duplicates."""

import torch
from torch import Tensor

from lbrs._checks import chunks

EPS = torch.finfo(torch.float64).eps

SHARE, TINY = 2.0**-90, 2.0**-1020
"""|high + low - ||a - b||^2| <= SHARE ||a - b||^2 + TINY d, for `squares` in d dimensions."""

CACHED = 64
"""Pairs of rows are taken in parts this many times smaller than memory allows: 1 MiB, which stays
in a processor's cache."""


def squares(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """||a - b||^2 along the last axis (broadcast) as high + low, two float64 numbers with
    high = fl(high + low). Every step acts on single entries, so a result depends on its rows alone.

    Differences, squares and sums are split into a rounded number and its error (Knuth; Dekker),
    and the errors are summed in plain arithmetic: in ceil(log2 d) = l <= 20 steps they are at most
    (l + 4) u S in size, u = eps/2, S the result, and their sum is off by at most
    (l + 6)(l + 5) u^2 S < 2^-96 S. Underflow may cost TINY d besides.
    """
    difference, low = _two_sum(a, -b)
    top = 134217729.0 * difference
    top = top - (top - difference)
    rest, high = difference - top, difference * difference
    low = ((top * top - high) + 2 * top * rest) + rest * rest + 2 * difference * low
    while (width := high.shape[-1]) > 1:
        if width % 2:
            high, low = (torch.nn.functional.pad(v, (0, 1)) for v in (high, low))
        high, low = (v.unflatten(-1, (2, -1)) for v in (high, low))
        high, error = _two_sum(high[..., 0, :], high[..., 1, :])
        low = (low[..., 0, :] + low[..., 1, :]) + error
    high, low = high[..., 0], low[..., 0]
    total = high + low
    return total, low - (total - high)


def _two_sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """fl(a + b) and its rounding error, exactly."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def of_product(d: int) -> float:
    """The share of ||a||^2 + ||b||^2 by which ||b||^2 - 2 a^T b may be off, four times over.

    Lemma. In any order of summation the computed value is off by at most (2 d + 10) u S, u = eps/2
    and S = ||a||^2 + ||b||^2; as a measure of ||x - z||^2 - ||a||^2 for a = fl(x - c) and
    b = fl(z - c) too: the two products cost (d + 1) u S each, since 2 |a|^T |b| <= S, the
    differences 4 u S, the last sum 2 u S. That is (d + 5) eps S. Underflow may cost TINY d besides.
    """
    return 4 * EPS * (8 + d)


def of_sum(d: int) -> float:
    """The share by which a directly summed squared distance may be off, four times over.

    Lemma. In any order of summation, with or without fused operations, the share is at most
    (1 + u)^(d + 2) - 1 (difference 2, square 1, sum d - 1), and 3 u more if its root is rounded
    and squared: less than (d + 6) u = (d + 6) eps / 2.
    """
    return 2 * EPS * (8 + d)


def ranked(group: Tensor, keys: tuple[Tensor, ...], count: int) -> tuple[Tensor, Tensor]:
    """The entries sorted by `group` and then by `keys`, the first key first, as indices; and for
    each of the groups 0..count-1 where it begins. Equal entries keep their order."""
    order = torch.arange(len(group), device=group.device)
    for key in (*reversed(keys), group):
        order = order[key[order].argsort(stable=True)]
    return order, torch.searchsorted(group[order], torch.arange(count, device=group.device))


def folded(points: Tensor, labels: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Which points matter: of equal points with one label the first k, as indices (m,) sorted by
    label and then by place; and for each point an equal one among them, as its position (N,).

    No label needs more than k of them, and Theorems A and K give the same radius: each point adds
    at most one b_kj, equal for equal points, and (k + 1)/2 of these decide. Rows are told apart by
    a sum of their bits, and then by themselves: rows that only share the sum stay apart.
    """
    generator = torch.Generator().manual_seed(0)
    factor = torch.randint(2**62, (points.shape[1],), generator=generator).to(points.device) | 1
    bits = (points + 0.0).view(torch.int64)  # the sum makes 0 of -0
    code = torch.cat([(bits[part] * factor).sum(1) for part in chunks(len(bits), bits.shape[1])])
    group = (code * 2 + (labels > 0)).unique(return_inverse=True)[1]
    order, start = ranked(group, (), int(group.max()) + 1)
    first = torch.empty_like(order)
    first[order] = order[start[group[order]]]
    later = (first != torch.arange(len(first), device=first.device)).nonzero().flatten()
    for part in chunks(len(later), points.shape[1]):
        mine = later[part]
        same = (points[mine] == points[first[mine]]).all(1) & (labels[mine] == labels[first[mine]])
        first[mine] = torch.where(same, first[mine], mine)
    order, start = ranked(first, (), len(first))
    number = torch.arange(len(order), device=order.device) - start[first[order]]
    kept = order[number < k].sort().values
    kept = kept[labels[kept].argsort(stable=True)]
    place = torch.empty_like(order)
    place[kept] = torch.arange(len(kept), device=order.device)
    return kept, place[first]
