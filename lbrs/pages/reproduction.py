"""The median of the published runs, which leads a page, and whether another run agrees: each curve
is compared with those of the published runs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from lbrs.experiments.records import Record, accuracy_at
from lbrs.pages.text import NORMS, Markdown, attack_of, short, table

Array = npt.NDArray[np.float64]

ALPHAS: Array = np.array([0.0, *np.logspace(-4, 3, 71)])
"""The alphas at which paths of images are compared."""

METHODS = {"cnn": "CNN", "normal": r"$\sigma$-NS", "lbrs": "LBRS", "nearest": "1-NN"}
RADII = {
    "radius": "average radius of Theorem 6",
    "true_radius": "average true radius of Theorem 6",
    "sharp_radius": "average radius of Theorem B",
}


@dataclass(frozen=True)
class Median(Record):
    """What is in the middle of several runs, `count` of them: the median of each of their numbers,
    of paths and curves at each alpha. What has no median is that of the first run."""

    count: int = 0

    @property
    def origin(self) -> str:
        return f"profile {self.profile} · median of {self.count} seeds"


def lead(record: Record, published: Sequence[Record]) -> Record:
    """What a page shows first: the median of the published runs, or `record` if there are none."""
    if len(published) < 2:
        return published[0] if published else record
    same = {item.name: getattr(published[0], item.name) for item in fields(Record)}
    same["results"] = _middle([one.results for one in published])
    return Median(**same, count=len(published))


def _middle(values: Sequence[Any]) -> Any:
    """The median of numbers, of lists of numbers one by one, and of all that a dict holds."""
    first = values[0]
    if isinstance(first, dict):
        if first.keys() == {"jumps", "right"}:
            return _middle_path(values)
        if first.keys() == {"alpha", "value"}:
            return _middle_curve(values)
        return {key: _middle([value[key] for value in values]) for key in first}
    if isinstance(first, list) and len({len(value) for value in values}) == 1:
        return [_middle(parts) for parts in zip(*values, strict=True)]
    number = isinstance(first, int | float) and not isinstance(first, bool)
    return float(np.median(values)) if number else first


def _middle_path(paths: Sequence[Any]) -> dict[str, list[float]]:
    """The median of step functions, at each of their jumps and between them."""
    jumps = np.unique(np.concatenate([path["jumps"] for path in paths]))
    between = np.concatenate([jumps, [np.inf]])
    right = [np.array(path["right"])[np.searchsorted(path["jumps"], between)] for path in paths]
    return {"jumps": jumps.tolist(), "right": np.median(right, axis=0).tolist()}


def _middle_curve(curves: Sequence[Any]) -> dict[str, list[float]]:
    """The median of piecewise linear functions, at each of their knots."""
    knots = np.unique(np.concatenate([curve["alpha"] for curve in curves]))
    values = [np.interp(knots, curve["alpha"], curve["value"]) for curve in curves]
    return {"alpha": knots.tolist(), "value": np.median(values, axis=0).tolist()}


@dataclass(frozen=True)
class Curve:
    """One curve of a page: its name, where it is compared, and its `values` there, of any run. A
    `share` of the test points has a sampling error, the mean of their radii none that is known."""

    name: str
    x: Array
    values: Callable[[Record], Array]
    share: bool = True


@dataclass(frozen=True)
class Comparison:
    """A curve of one run against those of others: at each x how far it is outside their range, at
    most 0 within, and how much of that may be sampling error."""

    curve: Curve
    outside: Array
    slack: Array

    @property
    def misses(self) -> int:
        """At how many values the run is outside by more than the sampling error."""
        return int((self.outside > self.slack + 1e-9).sum())

    @property
    def row(self) -> list[str]:
        """Where it is outside, sampling error or not; nothing if it is not."""
        x, worst = self.curve.x, int(np.argmax(self.outside))
        if self.outside[worst] <= 1e-9:
            return []
        inside = f"{(self.outside <= 1e-9).sum()} of {len(x)} values"
        return [self.curve.name, inside, f"{self.outside[worst]:.3f}", short(x[worst])]


def inside(record: Record, published: Sequence[Record]) -> Markdown:
    """For each curve of a page, whether this run lies within the range of the published ones, as
    sentences computed from both.

    A curve of shares is given the 95 % sampling error of the test points on top of the range.
    """
    own = record.seed, record.profile
    others = [other for other in published if (other.seed, other.profile) != own]
    if len(others) < 2:
        return Markdown("Too few published runs to compare with.")
    curves = CURVES[record.kind]
    return _words(
        record,
        published,
        len(others),
        [compared(curve, record, others) for curve in curves(record, published[0])],
    )


def compared(curve: Curve, record: Record, others: Sequence[Record]) -> Comparison:
    """One curve of `record` against those of the others."""
    own = curve.values(record)
    ranges = np.stack([curve.values(other) for other in others])
    outside = np.maximum(ranges.min(0) - own, own - ranges.max(0))
    n = record.test_points
    error = 1.96 * np.sqrt(np.maximum(own * (1 - own), 0.25 / n) / n) if curve.share else 0 * own
    return Comparison(curve, outside, error)


def _words(
    record: Record, published: Sequence[Record], count: int, found: Sequence[Comparison]
) -> Markdown:
    """The verdict on all curves together, then those that are outside somewhere."""
    total, misses = sum(len(one.curve.x) for one in found), sum(one.misses for one in found)
    verdict = "This run lies inside the range of the published ones"
    if misses:
        verdict += f" at {100 * (1 - misses / total):.0f} % of the compared values"
    brief = record.kind == "images" and record.profile != published[0].profile
    trained = " Its network was trained for less time than theirs, so it need not."
    rows = [one.row for one in found if one.row]
    listed = table(["outside their range", "inside at", "furthest outside by", "at"], rows)
    return Markdown(
        f"**{verdict}**, up to the sampling error of its {record.test_points:,} test points: "
        f"{total} values compared with {count} runs of other seeds or another profile."
        f"{trained if brief else ''}"
        + (f" Without allowing for that error:\n\n{listed}" if rows else "")
    )


def _images(record: Record, other: Record) -> Iterator[Curve]:
    """Accuracy over sigma and over alpha on each set, and over the radius of the attack."""
    sigma = _common(record.results["sigma"], other.results["sigma"])
    for place, entry in enumerate(record.results["sets"]):
        yield _over_sigma(attack_of(entry), sigma, place)
        yield _over_alpha(attack_of(entry), place)
    for norm, values in record.results["attacks"].items():
        radius = _common(values["radius"], other.results["attacks"][norm]["radius"])
        for key, told in METHODS.items():
            yield _over_radius(f"{told} under {NORMS[norm]} attacks", radius, norm, key)


def _over_sigma(attack: str, sigma: Array, place: int) -> Curve:
    def values(record: Record) -> Array:
        results = record.results
        return _at(sigma, results["sigma"], results["sets"][place]["normal"])

    return Curve(rf"{attack}, $\sigma$-NS over $\sigma$", sigma, values)


def _over_alpha(attack: str, place: int) -> Curve:
    def values(record: Record) -> Array:
        return accuracy_at(record.results["sets"][place]["lbrs"], ALPHAS, record.test_points)

    return Curve(rf"{attack}, LBRS over $\alpha$", ALPHAS, values)


def _over_radius(name: str, radius: Array, norm: str, key: str) -> Curve:
    def values(record: Record) -> Array:
        found = record.results["attacks"][norm]
        return _at(radius, found["radius"], found[key])

    return Curve(name, radius, values)


def _spiral(record: Record, other: Record) -> Iterator[Curve]:
    """Accuracy and average radii over alpha."""
    alpha = np.linspace(0, min(record.config["alpha_max"], other.config["alpha_max"]), 51)

    def accuracy(record: Record) -> Array:
        return accuracy_at(record.results["accuracy"], alpha, record.test_points)

    yield Curve("clean accuracy", alpha, accuracy)
    for norm in record.results["norms"]:
        for key, told in RADII.items():
            yield _average_radius(f"{NORMS[norm]} {told}", alpha, norm, key)


def _average_radius(name: str, alpha: Array, norm: str, key: str) -> Curve:
    def values(record: Record) -> Array:
        found = record.results["norms"][norm][key]
        mean: Array = np.interp(alpha, found["alpha"], found["value"])
        return mean

    return Curve(name, alpha, values, share=False)


CURVES = {"spiral": _spiral, "images": _images}
"""The curves of a page that two records share, by the kind of experiment."""


def _common(own: Sequence[float], other: Sequence[float]) -> Array:
    """The numbers of two grids that are the same."""
    close = [np.isclose(value, other, rtol=1e-6, atol=1e-12).any() for value in own]
    return np.array(own, dtype=float)[close]


def _at(x: Array, grid: Sequence[float], values: Sequence[float]) -> Array:
    """The values of a curve on `grid` at each `x`, which is one of the grid."""
    nearest = np.abs(np.array(grid) - x[:, None]).argmin(1)
    found: Array = np.array(values, dtype=float)[nearest]
    return found
