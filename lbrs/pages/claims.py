"""The paper's claims on images, and what the published runs say of each, over all seeds."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from lbrs.experiments.records import Record
from lbrs.pages.text import NORMS, SIGNED, Markdown, attack_of, over, table

Value = Callable[[Record], float]
"""A number of a record."""

NONE = Markdown("There are no published runs.")


def best_lbrs(place: int) -> Value:
    """The accuracy of LBRS at its best alpha on the set at `place`: 0 the clean one, then those
    under the l2 attacks."""
    return lambda record: max(record.results["sets"][place]["lbrs"]["right"]) / record.test_points


def best_normal(place: int) -> Value:
    """That of normal smoothing at its best sigma."""
    return lambda record: max(record.results["sets"][place]["normal"])


def nearest(place: int) -> Value:
    """That of the 1-NN."""
    return lambda record: record.results["sets"][place]["nearest"]


def clean_normal(place: int) -> Value:
    """The clean accuracy of normal smoothing at the sigma at `place`."""
    return lambda record: record.results["sets"][0]["normal"][place]


def best_gap(place: int) -> Value:
    """How far LBRS is ahead of normal smoothing, each at its best parameter."""
    lbrs, normal = best_lbrs(place), best_normal(place)
    return lambda record: lbrs(record) - normal(record)


def best_gain(place: int) -> Value:
    """How far LBRS at its best is ahead of the better one of its two parts."""
    lbrs = best_lbrs(place)

    def gain(record: Record) -> float:
        entry = record.results["sets"][place]
        better: float = max(entry["cnn"], entry["nearest"])
        return lbrs(record) - better

    return gain


def at_radius(norm: str, method: str, place: int) -> Value:
    """The accuracy of a method at the paper's corner under the attack in `norm` at `place`."""
    return lambda record: record.results["attacks"][norm][method][place]


def corner_gap(norm: str, place: int) -> Value:
    """How far LBRS is ahead of normal smoothing there."""
    lbrs, normal = at_radius(norm, "lbrs", place), at_radius(norm, "normal", place)
    return lambda record: lbrs(record) - normal(record)


def place_of(grid: Sequence[float], value: float) -> int:
    """Where in `grid` the number nearest to `value` is."""
    return int(np.abs(np.array(grid) - value).argmin())


def claims(published: Sequence[Record]) -> Markdown:
    """The paper's claims on images as numbers of the published runs: median and range over the
    seeds."""
    if not published:
        return NONE
    rows = [
        [told, f"{found.median:{form}}", found.range(form)]
        for told, value, form in _quantities(published[0])
        for found in [over(published, value)]
    ]
    points = published[0].test_points
    quantity = f"quantity, {len(published)} seeds, {points:,} test points each"
    return table([quantity, "median", "range"], rows)


def _quantities(first: Record) -> Iterator[tuple[str, Value, str]]:
    """What is measured, in words and as a number of a record, and the format of that number."""
    config, results = first.config, first.results
    for place, entry in enumerate(results["sets"][1:], 1):
        told = rf"best LBRS less best $\sigma$-NS, {attack_of(entry)}"
        yield told, best_gap(place), SIGNED
    methods = (
        rf"LBRS ($\alpha = {config['alpha']:g}$) less $\sigma$-NS ($\sigma = {config['sigma']:g}$)"
    )
    for norm, values in results["attacks"].items():
        for place in _shown(values["radius"]):
            attack = rf"{NORMS[norm]} attack, $\epsilon = {values['radius'][place]:.3g}$"
            yield f"{methods}, {attack}", corner_gap(norm, place), SIGNED
    sigma = results["sigma"]
    for place in (len(sigma) // 2, len(sigma) - 1):
        at = rf"$\sigma = {sigma[place]:g}$"
        yield rf"clean accuracy of $\sigma$-NS at {at}", clean_normal(place), ".3f"
    yield "clean accuracy of the CNN", lambda record: record.results["sets"][0]["cnn"], ".3f"
    yield "clean accuracy of the 1-NN", nearest(0), ".3f"


def _shown(radius: Sequence[float]) -> range:
    """The places of three attack radii, the last one among them."""
    third = max(1, (len(radius) - 1) // 3)
    return range(third, len(radius), third)


def seeds(published: Sequence[Record]) -> Markdown:
    """Seed by seed, each method at its best parameter under every l2 attack of the first figure:
    where the lead comes from."""
    radii = published[0].config["radii"] if published else ()
    rows = [
        [f"{radius:g}", f"{record.seed}", *_at_their_best(record, place)]
        for place, radius in enumerate(radii, 1)
        for record in published
    ]
    methods = ["CNN", "1-NN", r"best $\sigma$-NS", "best LBRS"]
    leads = [r"LBRS less $\sigma$-NS", "LBRS less its better part"]
    return table([r"$\epsilon$", "seed", *methods, *leads], rows)


def _at_their_best(record: Record, place: int) -> list[str]:
    entry = record.results["sets"][place]
    both = best_normal(place)(record), best_lbrs(place)(record)
    leads = best_gap(place)(record), best_gain(place)(record)
    return [
        *(f"{value:.3f}" for value in (entry["cnn"], entry["nearest"], *both)),
        *(f"{value:{SIGNED}}" for value in leads),
    ]
