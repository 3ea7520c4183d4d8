"""From the times that `make benchmark` measured to the small file kept with the book, and what is
computed from it."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from lbrs._files import write_text
from lbrs.experiments.records import find_project
from lbrs.pages.text import Spread, spread

Group = Mapping[str, Any]
"""What one benchmark noted; the whole summary is a mapping too."""


@dataclass(frozen=True)
class Growth:
    """How the median seconds of a `method` grow `over` reference points ("N") or test points ("n"),
    and `when`: at "later calls" or at the "first call"."""

    over: str
    when: str
    method: str
    values: Sequence[int]
    seconds: Sequence[float]

    @property
    def fit(self) -> tuple[float, float]:
        """Exponent and factor of the fitted power."""
        return growth(self.values, self.seconds)


def ratio(slow: Sequence[float], fast: Sequence[float]) -> Spread:
    """How many times as long `slow` took as `fast`: median and range of the ratios round by
    round."""
    return spread(a / b for a, b in zip(slow, fast, strict=True))


def growth(values: Sequence[float], times: Sequence[float]) -> tuple[float, float]:
    """The exponent b and the factor c of times = c * values^b, by least squares between the
    logarithms, on the larger half of `values`.

    >>> growth([1, 10, 100, 1000], [9.0, 9.0, 30.0, 300.0])
    (1.0, 0.3)
    """
    half = len(values) // 2
    slope, start = np.polyfit(np.log(values[half:]), np.log(times[half:]), 1)
    return round(float(slope), 6), round(float(np.exp(start)), 12)


def summarize(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of the file of pytest-benchmark: the kind of machine without its name, the
    versions, and what each benchmark noted, by group."""
    machine, ours = raw["machine_info"], raw["lbrs"]
    kind = {
        "processor": (machine.get("cpu") or {}).get("brand_raw") or machine["machine"],
        "system": machine["system"],
        "cpus": ours["cpus"],
        "threads": ours["threads"],
    }
    measured: dict[str, list[Any]] = {}
    for benchmark in raw["benchmarks"]:
        measured.setdefault(benchmark["group"], []).append(_rounded(benchmark["extra_info"]))
    return {
        "size": ours["size"],
        "machine": kind,
        "versions": ours["versions"],
        "measured": measured,
    }


def _rounded(value: Any) -> Any:
    """`value` with its numbers to four digits."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def load(path: Path | None = None) -> dict[str, Any]:
    """The summary at `path` (the book's)."""
    text = (path or find_project() / "book/benchmarks.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def save(summary: Group, path: Path) -> None:
    """Write a summary, whole or not at all."""
    write_text(path, json.dumps(summary, separators=(",", ":"), allow_nan=False) + "\n")


def groups(summary: Group, name: str) -> list[Group]:
    """What the benchmarks of a group noted."""
    found: list[Group] = summary["measured"][name]
    return found


def only(summary: Group, name: str) -> Group:
    """What the one benchmark of a group noted."""
    (found,) = groups(summary, name)
    return found


def per_point(found: Group) -> dict[str, list[float]]:
    """Seconds a point of each way to certify."""
    points = found["points"]
    return {
        name: [time / points[name] for time in times] for name, times in found["seconds"].items()
    }


def decisions(found: Group, key: str) -> float:
    """A share of the decisions of sequential sampling."""
    return float(found[key] / found["decisions"])


def growths(summary: Group) -> Iterator[Growth]:
    """Every measured growth."""
    for found in groups(summary, "over reference points"):
        for method, rows in found["seconds"].items():
            yield Growth("N", found["kind"], method, found["N"], list(map(median, rows)))
    found = only(summary, "over test points")
    for method, rows in found["seconds"].items():
        yield Growth("n", "later calls", method, found["points"], list(map(median, rows)))


def products(found: Group, name: str) -> list[Spread]:
    """How many products of the two matrices a call took, for each number of reference points."""
    seconds = found["seconds"]
    pairs = zip(seconds[name], seconds["product"], strict=True)
    return [ratio(times, product) for times, product in pairs]


def whole(summary: Group, profile: str) -> tuple[float, float]:
    """Minutes of all runs together at a profile, and the highest peak memory in GiB; 0 if none was
    measured."""
    known = [found for found in groups(summary, "runs") if found["profile"] == profile]
    minutes = sum(found["seconds"] for found in known) / 60
    return minutes, max((found["mebibytes"] for found in known), default=0.0) / 1024


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    save(summarize(json.loads(source.read_text(encoding="utf-8"))), target)
