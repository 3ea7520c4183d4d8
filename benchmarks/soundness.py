"""Every kind of certificate against an adversary who does all that its assumption allows.

    python benchmarks/soundness.py --points 1000000 --kind all

prints, for each kind, bound and norm, how many points inside certified balls were attacked, how
many points had such a ball, and how many of the attacked ones have another prediction: none may.
Adversaries are in `adversaries*.py` (what floating point does) and `worst.py` (what the assumption
of a certificate allows besides).
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from zlib import crc32

import adversaries
import adversaries_networks
import adversaries_plane
import adversaries_sampled
import mpmath
import numpy as np
import torch
import worst
from adversaries import Trial
from shapes import SHAPES, SOLVED, Shape, exact_length
from torch import Tensor

from lbrs import L1, L2, LINF, Norm
from lbrs.norms.lp import Lp

FINE = (L1, L2, LINF)
ALL = (*FINE, Norm(3), Norm(1.5))
NEAR = 1e-9  # a distance within this share of the radius is compared with it exactly


@dataclass(frozen=True)
class Kind:
    """A row of the table: what is certified, how, in which norms, and how a trial of it is made."""

    name: str
    bound: str
    norms: tuple[Norm | Shape, ...]
    make: Callable[[np.random.Generator, Norm | Shape], Trial]

    @property
    def title(self) -> str:
        return f"{self.name}, {self.bound}"


KINDS = (
    Kind("LinearScore", "paper", ALL, adversaries.linear("paper")),
    Kind("LinearScore", "sharp", ALL, adversaries.linear("sharp")),
    Kind("LinearScore", "exact", FINE, adversaries.linear("exact")),
    Kind("1-NN oracle", "paper", ALL, adversaries.oracle(1, "paper")),
    Kind("1-NN oracle", "sharp", ALL, adversaries.oracle(1, "sharp")),
    Kind("3-NN oracle", "sharp", ALL, adversaries.oracle(3, "sharp")),
    Kind("AffineScores", "sharp", ALL, adversaries.classes),
    Kind("smooth network", "paper", FINE, adversaries_networks.network("paper")),
    Kind("smooth network", "sharp", FINE, adversaries_networks.network("sharp")),
    Kind("network in bfloat16", "sharp", FINE, adversaries_networks.half(torch.bfloat16)),
    Kind("network in float16", "sharp", FINE, adversaries_networks.half(torch.float16)),
    Kind(
        "ReLU network in bfloat16",
        "sharp",
        FINE,
        adversaries_networks.half(torch.bfloat16, relu=True),
    ),
    Kind(
        "ReLU network in float16",
        "sharp",
        FINE,
        adversaries_networks.half(torch.float16, relu=True),
    ),
    Kind(
        "ReLU network, errors proved, float64",
        "sharp",
        FINE,
        adversaries_networks.chain(torch.float64),
    ),
    Kind(
        "ReLU network, errors proved, bfloat16",
        "sharp",
        FINE,
        adversaries_networks.chain(torch.bfloat16),
    ),
    Kind(
        "ReLU network, errors proved, float16",
        "sharp",
        FINE,
        adversaries_networks.chain(torch.float16),
    ),
    Kind("Score, constant L", "paper", ALL, worst.smooth("paper")),
    Kind("Score, constant L", "sharp", ALL, worst.smooth("sharp")),
    Kind("Score, local L", "paper", ALL, worst.smooth("paper", local=True)),
    Kind("Score, local L", "sharp", ALL, worst.smooth("sharp", local=True)),
    Kind("LipschitzScore", "sharp", ALL, worst.lipschitz),
    Kind("ClassScores", "sharp", ALL, worst.classes),
    Kind("CohenScore", "sharp", (L2,), adversaries_sampled.sampled("cohen")),
    Kind("GaussianScore", "sharp", (L2,), adversaries_sampled.sampled("gaussian")),
    Kind("NormalSmoothing", "Theorem 1", (L2,), adversaries_sampled.sampled("normal")),
    Kind("LinearScore in other norms", "paper", SHAPES, adversaries.linear("paper")),
    Kind("LinearScore in other norms", "sharp", SHAPES, adversaries.linear("sharp")),
    Kind("LinearScore in other norms", "exact", SOLVED, adversaries.linear("exact")),
    Kind("1-NN oracle in other norms", "paper", SHAPES, adversaries.oracle(1, "paper")),
    Kind("1-NN oracle in other norms", "sharp", SHAPES, adversaries.oracle(1, "sharp")),
    Kind("3-NN oracle in other norms", "sharp", SHAPES, adversaries.oracle(3, "sharp")),
    Kind("AffineScores in other norms", "sharp", SHAPES, adversaries.classes),
    Kind("1-NN with a metric", "sharp", (*ALL, *SHAPES), adversaries.oracle(1, "sharp", True)),
    Kind("3-NN with a metric", "sharp", (*ALL, *SHAPES), adversaries.oracle(3, "sharp", True)),
    Kind("LinearScore with stairs", "sharp", ALL, adversaries_plane.linear),
    Kind("LipschitzScore with stairs", "sharp", ALL, adversaries_plane.lipschitz),
    Kind("AffineScores with stairs", "sharp", ALL, adversaries_plane.classes),
)


@dataclass
class Count:
    """What was found in one norm; `example` is one false certificate, in words."""

    attacked: int = 0
    certified: int = 0
    false: int = 0
    example: str = ""

    def add(self, trial: Trial) -> None:
        """Attack the points of a trial."""
        self.certified += int((trial.radius > 0).sum())
        for rows, z, seen in trial.attack():
            x, radius = trial.x[rows], trial.radius[rows]
            inside = trial.norm(z - x) < radius
            self.attacked += int(inside.sum())
            for i in (seen != trial.prediction[rows]).nonzero().flatten().tolist():
                if within(z[i], x[i], radius[i].item(), trial.norm):
                    self.false += 1
                    self.example = self.example or trial.describe(int(rows[i]), z[i])


def within(z: Tensor, x: Tensor, radius: float, norm: Norm) -> bool:
    """Whether ||z - x|| < radius, where it is close in exact arithmetic."""
    size = norm(z - x).item()
    if radius == 0 or size >= radius * (1 + NEAR):
        return False
    if size < radius * (1 - NEAR) or radius == float("inf"):
        return True
    parts = [Fraction(a) - Fraction(b) for a, b in zip(z.tolist(), x.tolist(), strict=True)]
    if norm == LINF:
        return max(map(abs, parts)) < Fraction(radius)
    if isinstance(norm, Lp) and norm.p == int(norm.p):
        return sum(abs(part) ** int(norm.p) for part in parts) < Fraction(radius) ** int(norm.p)
    with mpmath.workdps(80):
        sizes = [mpmath.mpf(part.numerator) / part.denominator for part in parts]
        return bool(exact_length(norm, sizes) < mpmath.mpf(radius))


def run(kind: Kind, points: int, seed: int = 0, limit: float = float("inf")) -> dict[Norm, Count]:
    """At least `points` attacked points of this kind over all its norms, or as many as fit into
    `limit` seconds."""
    found, start = {}, time.monotonic()
    for place, norm in enumerate(kind.norms):
        rng = np.random.default_rng([seed, place, crc32(kind.title.encode())])
        torch.manual_seed(int(rng.integers(2**31)))
        count = found[norm] = Count()
        while count.attacked < points / len(kind.norms):
            count.add(kind.make(rng, norm))
            if time.monotonic() - start > limit * (place + 1) / len(kind.norms):
                break
    return found


def lines(kind: Kind, found: dict[Norm, Count]) -> Iterator[str]:
    """The rows of the table for one kind."""
    for norm, count in found.items():
        row = (kind.name, kind.bound, str(norm), *map("{:,}".format, _numbers(count)))
        yield "| " + " | ".join(row) + " |" + (f" {count.example}" if count.false else "")


def _numbers(count: Count) -> tuple[int, int, int]:
    return count.attacked, count.certified, count.false


def main(arguments: Iterable[str] | None = None) -> int:
    """Print the table; the exit code is 1 if a certificate was false."""
    parser = argparse.ArgumentParser(description="Attack every kind of certificate.")
    parser.add_argument("--points", type=int, default=1_000_000, help="attacked points a kind")
    parser.add_argument("--kind", default="all", help="part of a title such as 'Score, local'")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(None if arguments is None else list(arguments))
    chosen = [kind for kind in KINDS if options.kind in ("all", kind.title)]
    chosen = chosen or [kind for kind in KINDS if options.kind in kind.title]
    if not chosen:
        parser.error(f"--kind must be all or part of one of {[kind.title for kind in KINDS]}")
    torch.set_num_threads(1)
    print("| kind | bound | norm | attacked points | certified points | false |", flush=True)
    print("|---|---|---|---|---|---|", flush=True)
    false = 0
    for kind in chosen:
        found = run(kind, options.points, options.seed)
        print("\n".join(lines(kind, found)), flush=True)
        false += sum(count.false for count in found.values())
    return int(false > 0)


if __name__ == "__main__":
    sys.exit(main())
