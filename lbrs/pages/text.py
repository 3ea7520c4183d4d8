"""Markdown and the words that pages share: tables, numbers with their intervals or ranges, and the
choices of a run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from statistics import median
from typing import Any

import numpy as np

from lbrs.experiments.configs import Config
from lbrs.experiments.records import Record
from lbrs.experiments.table import config_of
from lbrs.montecarlo import clopper_pearson

NORMS = {"l1": r"$\ell_1$", "l2": r"$\ell_2$", "linf": r"$\ell_\infty$"}
SIGNED = "+z.3f"
"""The format of a difference: three digits with a sign, and no minus before a zero."""


class Markdown(str):
    """Text that a notebook shows as Markdown."""

    def _repr_markdown_(self) -> str:
        return str(self)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Markdown:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return Markdown("\n".join("| " + " | ".join(line) + " |" for line in lines))


def bullets(lines: Iterable[str]) -> Markdown:
    """A Markdown list."""
    return Markdown("\n".join(f"- {line}" for line in lines))


def share(value: float, points: int) -> str:
    """An accuracy with its exact 95 % interval over the test points."""
    lower, upper = clopper_pearson(round(value * points), points)
    return f"{value:.3f} ({lower:.3f} to {upper:.3f})"


def short(value: float) -> str:
    """Three digits, without an exponent from a thousandth on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


@dataclass(frozen=True)
class Spread:
    """The median of several numbers, and their range: ``f"{spread:.3f}"`` tells all three."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.low)} to {short(self.high)})"

    def __format__(self, form: str) -> str:
        return f"{self.median:{form}} ({self.range(form)})" if form else str(self)

    def range(self, form: str) -> str:
        """The range alone."""
        return f"{self.low:{form}} to {self.high:{form}}"

    def told(self, form: str) -> str:
        """All three, within a sentence."""
        return f"{self.median:{form}} in the median ({self.range(form)})"


def spread(values: Iterable[float]) -> Spread:
    """Median and range of `values`."""
    found = [float(value) for value in values]
    return Spread(median(found), min(found), max(found))


def over(records: Iterable[Record], value: Callable[[Record], float]) -> Spread:
    """Median and range of `value` over the records."""
    return spread(value(record) for record in records)


def origins(records: Iterable[Record]) -> Markdown:
    """The commit of each of the records, and how long all of them took."""
    every = sorted(records, key=lambda record: (record.run, record.seed))
    found: dict[tuple[str, str], list[int]] = {}
    for record in every:
        found.setdefault((record.run, record.commit[:12]), []).append(record.seed)
    rows = [
        [run, ", ".join(map(str, seeds)), f"`{commit}`" if commit else "not known"]
        for (run, commit), seeds in found.items()
    ]
    hours = sum(record.wall_time for record in every) / 3600
    listed = table(["run", "seeds", "commit"], rows)
    return Markdown(f"{listed}\n\nTogether they took {hours:.1f} hours of one core.")


def choices(record: Record) -> Markdown:
    """Every choice of the run: its name in the code, its value, what it is; changed defaults are
    marked."""
    return choices_of(config_of(record)(), record.config)


def choices_of(config: Config, given: Mapping[str, Any] | None = None) -> Markdown:
    """The table of all choices of `config`, or of `given` values with those that differ from
    `config` in bold."""
    if not is_dataclass(config):
        raise TypeError(f"config must be a configuration, got {type(config).__name__}")
    rows = []
    for item in fields(config):
        default = _shown(getattr(config, item.name))
        value = _shown(given[item.name]) if given and item.name in given else default
        marked = value if value == default else f"**{value}**"
        rows.append([f"`{item.name}`", marked, item.metadata["says"]])
    return table(["choice", "value", "what it is"], rows)


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)


def best_alpha(path: dict[str, list[Any]], points: int) -> tuple[float, str]:
    """The largest accuracy of a path, and the alphas at which it is reached first, in words."""
    place, jumps = int(np.argmax(path["right"])), path["jumps"]
    around = _distinct(jumps[max(place - 1, 0) : place + 1])
    if not jumps:
        where = r"every $\alpha$"
    elif place == len(jumps):
        where = rf"$\alpha > {around[0]}$"
    elif place == 0:
        where = rf"$\alpha \leq {around[0]}$"
    else:
        where = rf"${around[0]} < \alpha \leq {around[1]}$"
    return path["right"][place] / points, where


def _distinct(values: Sequence[float]) -> list[str]:
    """`values` with as many digits, three or more, as it takes to tell them apart."""
    for digits in range(3, 18):
        told = [f"{value:.{digits}g}" for value in values]
        if len(set(told)) == len(told):
            break
    return told


def attack_of(entry: Mapping[str, Any]) -> str:
    """What was done to the images of a record's set."""
    radius = entry["radius"]
    return rf"{NORMS['l2']} attack, $\epsilon = {radius:g}$" if radius else "clean"
