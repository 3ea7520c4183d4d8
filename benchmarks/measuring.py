"""What the benchmarks share: how much is measured, and a clock under which contenders take
turns."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

Prepared = Callable[[int], Callable[[], object]]
"""What a contender does in a round: it prepares without being timed, and returns the call that
is."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured; the defaults are those of the published page."""

    name: str = "full"
    rounds: int = 5
    samples: int = 1000
    sampling_points: int = 8
    sequential_points: dict[str, int] = field(default_factory=lambda: {"mnist": 40, "cifar10": 24})
    network: dict[str, object] = field(default_factory=dict)
    certified_points: int = 10_000
    cohen_points: int = 3
    cohen_samples: int = 100_000
    scaling_rounds: int = 3
    reference_points: tuple[int, ...] = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 60_000)
    few: int = 20
    test_points: tuple[int, ...] = (10, 30, 100, 300, 1000, 3000)
    many: int = 1000
    radii_rounds: int = 3
    radii_points: int = 10_000
    radii_references: tuple[int, ...] = (625, 1250, 2500, 5000, 10_000)
    exact_references: tuple[int, ...] = (4, 10, 30, 100)
    exact_points: int = 400
    runs: tuple[str, ...] = ("spiral", "digits", "mnist", "cifar10")
    profiles: tuple[str, ...] = ("quick", "paper")

    @property
    def whole(self) -> set[tuple[str, str]]:
        """The runs, with their profiles, that are timed from beginning to end."""
        return set(product(self.runs, self.profiles))


FULL = Sizes()
TINY = Sizes(
    "tiny",
    rounds=2,
    samples=100,
    sampling_points=2,
    sequential_points={"mnist": 4, "cifar10": 4},
    network={"epochs": 1, "channels": (4, 8, 16)},
    certified_points=40,
    cohen_points=2,
    cohen_samples=2000,
    scaling_rounds=1,
    reference_points=(10, 30, 100, 300),
    few=4,
    test_points=(2, 4, 8, 16),
    many=100,
    radii_rounds=1,
    radii_points=20,
    radii_references=(10, 20, 40, 80),
    exact_references=(4, 10),
    exact_points=20,
    runs=("digits",),
    profiles=("quick",),
)


def interleaved(
    benchmark, contenders: dict[str, Prepared], rounds: int, *, warm: bool = True
) -> dict[str, list[float]]:
    """Seconds of each of the `contenders` in each of the rounds, in which they follow one another:
    A, B, A, B, ...

    The last contender is the one that pytest-benchmark times and shows. With `warm`, each runs once
    before the clock starts.
    """
    *others, (last, prepare_last) = contenders.items()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for prepare in contenders.values() if warm else ():
        prepare(0)()

    def setup() -> tuple[tuple[Callable[[], object]], dict]:
        turn = max(len(times) for times in seconds.values()) if others else 0
        for name, prepare in others:
            call = prepare(turn)
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
        return (prepare_last(turn),), {}

    benchmark.pedantic(lambda call: call(), setup=setup, rounds=rounds)
    seconds[last] = list(benchmark.stats.stats.data)
    return seconds
