"""Whole numbers with the law of a rounded normal, from random bits and a table.

The law. E = round(r Z), r = 2^16, Z ~ N(0, 1), that is
p(c) = P(E = c) = Phi((c + 1/2)/r) - Phi((c - 1/2)/r).

How E is drawn. Cut the whole numbers from -10 r to 10 r into cells of M = 2^10, let m be the least
p in a cell and b = floor(2^16 M m). Then p(c) = b/(2^16 M) + rest(c), rest >= 0. Of a random word,
16 bits choose one of 2^16 slots, of which b stand for the cell, and 10 bits the place in it. The
slots left, one in a hundred, stand for the rest: a cell by inversion of the rests' sums with 62
bits, then a place by rejection, taken with probability rest(c)/max rest. In units of m,
rest(c) = exp(t) - b/(2^16 M m), t = (c0^2 - c^2)(1 - 1/(12 r^2))/(2 r^2), m = p(c0), up to 2^-58:
expand the integral of the normal density around c/r.

Distance to the law, in total variation, at most `DISTANCE` = 2^-48: |E| > 10 r has probability
< 2^-75; the sums are whole multiples of 2^-62, 1280 of them; in rejection, rest(c)/m <= 1.2 is
computed and compared up to 2^-50, which costs at most 2 2^-50 sum M m <= 2^-49 in all cells.
"""

from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

STEPS = 2**16
"""How many whole numbers make one standard deviation: r."""
DISTANCE = 2.0**-48
"""The total variation distance between a draw and its ideal law, at most."""
CELL = 2**10
CELLS = 10 * STEPS // CELL
LEFT = 2**30  # the entry of slots that stand for the rest
BLOCK = 2**17  # draws at a time on a CPU, so that they stay in its cache


class Table(NamedTuple):
    """How E is drawn: `slots` (2^16,), the first number of a cell or LEFT; and for each cell `sums`
    (of the rests, in units of 2^-62), `first` number, `far`, where p is least, `least` and `most`
    of rest/m over the cell."""

    slots: Tensor
    sums: Tensor
    first: Tensor
    far: Tensor
    least: Tensor
    most: Tensor


@lru_cache
def table(device: torch.device) -> Table:
    """The table of the module's docstring, from 40 decimal digits."""
    import mpmath

    with mpmath.workdps(40):
        edges = [mpmath.mpf(2 * i * CELL - 1) / (2 * STEPS) for i in range(-CELLS, CELLS + 1)]
        ends = [mpmath.ncdf(edge) for edge in edges]
        least = [_probability(_far(i)) for i in range(-CELLS, CELLS)]
        counts = [int(mpmath.floor(STEPS * CELL * m)) for m in least]
        masses = [b - a for a, b in pairwise(ends)]
        rests = [mass - mpmath.mpf(k) / STEPS for mass, k in zip(masses, counts, strict=True)]
        bases = [float(1 - k / (STEPS * CELL * m)) for k, m in zip(counts, least, strict=True)]
        total = mpmath.fsum(rests)
        shares = list(accumulate(rest / total for rest in rests))
        sums = [int(mpmath.floor(share * 2**62)) for share in shares[:-1]] + [2**62]
    first = torch.arange(-CELLS, CELLS) * CELL
    far = torch.tensor([_far(i) for i in range(-CELLS, CELLS)])
    near = 2 * first + CELL - 1 - far
    base = torch.tensor(bases, dtype=torch.float64)
    slots = torch.full((STEPS,), LEFT, dtype=torch.int32)
    slots[: sum(counts)] = first.to(torch.int32).repeat_interleave(torch.tensor(counts))
    found = Table(slots, torch.tensor(sums), first, far, base, _excess(near, far) + base)
    return Table(*(part.to(device) for part in found))


def _far(i: int) -> int:
    """The number of cell i that is furthest from 0."""
    return i * CELL if i < 0 else (i + 1) * CELL - 1


def _probability(c: int) -> Any:
    """p(c), in mpmath's precision and to a share of 2^-80 for |c| <= 10 r, by Taylor's series."""
    import mpmath

    x, u = mpmath.mpf(c) / STEPS, mpmath.mpf(1) / STEPS
    series = 1 + (x**2 - 1) * u**2 / 24 + (x**4 - 6 * x**2 + 3) * u**4 / 1920
    return mpmath.npdf(x) * u * series


def _excess(c: Tensor, far: Tensor) -> Tensor:
    """p(c)/p(far) - 1 for numbers of one cell."""
    scale = (1 - 1 / (12 * STEPS**2)) / (2 * STEPS**2)
    return torch.expm1(((far - c) * (far + c)).to(torch.float64) * scale)


def rounded_normal(n: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
    """n independent draws of E = round(2^16 Z), Z ~ N(0, 1), as int32 (n,), see the module."""
    rules = table(torch.device(device))
    found, places = torch.empty(n, dtype=torch.int32, device=device), []
    block = min(BLOCK, n) if found.device.type == "cpu" else n
    bits = torch.empty(-(-block // 2), dtype=torch.int64, device=device)
    words, slots = bits.view(torch.int32), torch.empty_like(bits).view(torch.int32)
    for start in range(0, n, max(1, block)):
        part = found[start : start + block]
        bits.random_(-(2**63), None, generator=generator)
        torch.bitwise_right_shift(words, 16, out=slots).bitwise_and_(STEPS - 1)
        torch.index_select(rules.slots, 0, slots[: len(part)], out=part)
        places.append((part == LEFT).nonzero().flatten().add_(start))
        part += words.bitwise_and_(CELL - 1)[: len(part)]
    left = torch.cat(places) if n else found.long()
    found[left] = _rest(rules, len(left), generator)
    return found


def _rest(rules: Table, n: int, generator: torch.Generator | None) -> Tensor:
    """n draws of the rest: a cell by inversion, a place by rejection, some tries at a time."""
    words = torch.empty(n, dtype=torch.int64, device=rules.sums.device)
    cell = torch.searchsorted(rules.sums, words.random_(0, 2**62, generator=generator), right=True)
    found = torch.empty(n, dtype=torch.int32, device=cell.device)
    todo = torch.arange(n, device=cell.device)
    while len(todo):
        tries = max(1, min(16, 4096 // len(todo)))
        words = torch.empty(len(todo), tries, dtype=torch.int64, device=cell.device)
        words.random_(-(2**63), None, generator=generator)
        first, far, least, most = (part.index_select(0, cell)[:, None] for part in rules[2:])
        c = first + (words & (CELL - 1))
        share = ((words >> 11) & (2**53 - 1)).to(torch.float64) * 2.0**-53
        taken = share * most < _excess(c, far) + least
        some, which = taken.to(torch.int8).max(1)
        done, going = some.nonzero().flatten(), (some == 0).nonzero().flatten()
        chosen = c.gather(1, which[:, None])[:, 0].index_select(0, done)
        found[todo.index_select(0, done)] = chosen.to(torch.int32)
        todo, cell = todo.index_select(0, going), cell.index_select(0, going)
    return found
