"""Distances between points, ranks within groups, and folded duplicates."""

import torch
from torch import Tensor

from lbrs._checks import chunks

CACHED = 64
"""Pairs of rows are taken in parts this many times smaller than memory allows: 1 MiB, which stays
in a processor's cache."""


def distances(a: Tensor, b: Tensor) -> Tensor:
    """||a_i - b_j||_2 for rows of `a` (n, d) and `b` (m, d), as (n, m); 0 for equal rows."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def ranked(group: Tensor, keys: tuple[Tensor, ...], count: int) -> tuple[Tensor, Tensor]:
    """The entries sorted by `group` and then by `keys`, the first key first, as indices; and for
    each of the groups 0..count-1 where it begins. Equal entries keep their order."""
    order = torch.arange(len(group), device=group.device)
    for key in (*reversed(keys), group):
        order = order[key[order].argsort(stable=True)]
    return order, torch.searchsorted(group[order], torch.arange(count, device=group.device))


def nth_least(n: int, values: Tensor, group: Tensor, count: int) -> Tensor:
    """The n-th least of the `values` of each of the groups 0..count-1, which have at least n."""
    order, start = ranked(group, (values,), count)
    return values[order[start + n - 1]]


def nth_largest(n: int, values: Tensor, group: Tensor, count: int) -> Tensor:
    """The n-th largest of the `values` of each of the groups 0..count-1, as `nth_least`."""
    return -nth_least(n, -values, group, count)


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
