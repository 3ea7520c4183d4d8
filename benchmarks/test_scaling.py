"""How time and memory of predictions and certificates grow with the numbers of reference points and
of test points."""

import json
import subprocess
import sys
from pathlib import Path

import memory
import pytest
from measuring import Prepared, interleaved


@pytest.fixture(scope="module")
def mnist():
    return memory.images()


def grid(
    seconds: dict[str, list[float]], methods: list[str], values: tuple[int, ...]
) -> dict[str, list[list[float]]]:
    """The seconds of each method at each value, a list of rounds each."""
    return {method: [seconds[f"{method} {value}"] for value in values] for method in methods}


@pytest.mark.benchmark(group="over reference points")
def test_time_over_reference_points(benchmark, sizes, mnist):
    points, labels, test = mnist
    x, contenders = test[: sizes.few].double() / 255, {}
    for N in sizes.reference_points:
        known = memory.model(points[:N], labels[:N])
        contenders |= {
            f"{name} {N}": lambda turn, call=call, known=known: lambda: call(known, x)
            for name, call in memory.METHODS.items()
        }
    seconds = interleaved(benchmark, contenders, sizes.scaling_rounds)
    benchmark.extra_info.update(
        kind="later calls",
        N=sizes.reference_points,
        points=sizes.few,
        seconds=grid(seconds, list(memory.METHODS), sizes.reference_points),
    )


@pytest.mark.benchmark(group="over reference points")
def test_time_of_the_first_call_over_reference_points(benchmark, sizes, mnist):
    points, labels, test = mnist
    x, contenders, methods = test[: sizes.few].double() / 255, {}, ["paper", "sharp"]

    def first(method: str, N: int) -> Prepared:
        def prepare(turn: int):
            new = memory.model(points[:N], labels[:N])
            return lambda: memory.METHODS[method](new, x)

        return prepare

    for N in sizes.reference_points:
        contenders |= {f"{method} {N}": first(method, N) for method in methods}
    memory.METHODS["sharp"](memory.model(points[:100], labels[:100]), x)
    seconds = interleaved(benchmark, contenders, max(1, sizes.scaling_rounds - 1), warm=False)
    benchmark.extra_info.update(
        kind="first call",
        N=sizes.reference_points,
        points=sizes.few,
        seconds=grid(seconds, methods, sizes.reference_points),
    )


@pytest.mark.benchmark(group="over test points")
def test_time_over_test_points(benchmark, sizes, mnist):
    points, labels, test = mnist
    known, x, contenders = (
        memory.model(points[: sizes.many], labels[: sizes.many]),
        test[: sizes.test_points[-1]].double() / 255,
        {},
    )
    for n in sizes.test_points:
        contenders |= {
            f"{name} {n}": lambda turn, call=call, n=n: lambda: call(known, x[:n])
            for name, call in memory.METHODS.items()
        }
    seconds = interleaved(benchmark, contenders, sizes.scaling_rounds)
    benchmark.extra_info.update(
        N=sizes.many,
        points=sizes.test_points,
        seconds=grid(seconds, list(memory.METHODS), sizes.test_points),
    )


@pytest.mark.benchmark(group="memory")
@pytest.mark.parametrize("method", list(memory.METHODS))
def test_peak_memory(benchmark, sizes, method):
    half = len(sizes.reference_points) // 2
    pairs = {
        "over reference points": [(N, sizes.few) for N in sizes.reference_points[half:]],
        "over test points": [(sizes.many, n) for n in sizes.test_points],
    }

    def measure() -> dict[str, list[float]]:
        command = [sys.executable, str(Path(memory.__file__)), method]
        return {
            name: json.loads(
                subprocess.run(
                    [*command, json.dumps(given)], check=True, capture_output=True, text=True
                ).stdout
            )
            for name, given in pairs.items()
        }

    found = benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update(method=method, pairs=pairs, mebibytes=found)
