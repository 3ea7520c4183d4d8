"""Does a run reproduce? It is compared with the published runs of other seeds, and those with what the paper tells."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from lbrs.experiments.records import Record, accuracy_at
from lbrs.pages.text import NORMS, Markdown, table

ALPHAS = np.array([0.0, *np.logspace(-4, 3, 71)])
"""The alphas at which paths of images are compared."""

Curves = Iterator[tuple[str, np.ndarray, Callable[[Record], np.ndarray]]]


def inside(record: Record, published: Sequence[Record]) -> Markdown:
    """For each curve of a page, whether this run lies within the range of the published ones, as sentences computed from both.

    A curve of shares is given the 95 % sampling error of the test points on top of the range.
    """
    others = [
        other for other in published if other.seed != record.seed or other.profile != record.profile
    ]
    if len(others) < 2:
        return Markdown("Too few published runs to compare with.")
    lines, misses, total = [], 0, 0
    for name, x, curve in (_spiral if "accuracy" in record.results else _images)(
        record, published[0]
    ):
        own, ranges = curve(record), np.stack([curve(other) for other in others])
        slack = (
            0
            if "radius" in name
            else 1.96
            * np.sqrt(np.maximum(own * (1 - own), 0.25 / record.test_points) / record.test_points)
        )
        out = np.maximum(ranges.min(0) - own, own - ranges.max(0))
        misses, total = misses + int((out > slack + 1e-9).sum()), total + len(x)
        worst = int(np.argmax(out))
        if out[worst] > 1e-9:
            lines.append(
                f"- {name}: inside at {(out <= 1e-9).sum()} of {len(x)} values; furthest outside by {out[worst]:.3f} at {x[worst]:.3g}."
            )
    share_out = 1 - misses / total
    verdict = (
        "**This run lies inside the range of the published ones**"
        if misses == 0
        else f"**This run lies inside the range of the published ones at {100 * share_out:.0f} % of the compared values**"
    )
    told = f"{verdict}, up to the sampling error of its {record.test_points:,} test points: {total} values compared with {len(others)} runs of other seeds or another profile."
    small = (
        " It was trained for less time than the published ones, so it need not."
        if record.profile != published[0].profile
        else ""
    )
    rest = (
        " Without allowing for the sampling error:\n\n" + "\n".join(lines)
        if lines
        else " Without allowing for the sampling error it lies inside everywhere."
    )
    return Markdown(told + small + rest)


def _images(record: Record, other: Record) -> Curves:
    sigma = _common(record.results["sigma"], other.results["sigma"])
    for place, entry in enumerate(record.results["sets"]):
        where = (
            "clean"
            if entry["radius"] == 0
            else rf"$\ell_2$ attack, $\epsilon = {entry['radius']:g}$"
        )
        yield (
            rf"{where}, $\sigma$-NS over $\sigma$",
            sigma,
            lambda r, place=place: _at(
                sigma, r.results["sigma"], r.results["sets"][place]["normal"]
            ),
        )
        yield (
            rf"{where}, LBRS over $\alpha$",
            ALPHAS,
            lambda r, place=place: accuracy_at(
                r.results["sets"][place]["lbrs"], ALPHAS, r.test_points
            ),
        )
    for norm, values in record.results["attacks"].items():
        radius = _common(values["radius"], other.results["attacks"][norm]["radius"])
        for key, told in (
            ("cnn", "CNN"),
            ("normal", r"$\sigma$-NS"),
            ("lbrs", "LBRS"),
            ("nearest", "1-NN"),
        ):
            yield (
                f"{told} under {NORMS[norm]} attacks",
                radius,
                lambda r, norm=norm, key=key, radius=radius: _at(
                    radius, r.results["attacks"][norm]["radius"], r.results["attacks"][norm][key]
                ),
            )


def _spiral(record: Record, other: Record) -> Curves:
    alpha = np.linspace(0, min(record.config["alpha_max"], other.config["alpha_max"]), 51)
    yield (
        "clean accuracy",
        alpha,
        lambda r: accuracy_at(r.results["accuracy"], alpha, r.test_points),
    )
    for norm in record.results["norms"]:
        for key, told in (
            ("radius", "average radius of Theorem 6"),
            ("true_radius", "average true radius of Theorem 6"),
            ("sharp_radius", "average radius of Theorem B"),
        ):
            yield (
                f"{NORMS[norm]} {told}",
                alpha,
                lambda r, norm=norm, key=key: np.interp(
                    alpha,
                    r.results["norms"][norm][key]["alpha"],
                    r.results["norms"][norm][key]["value"],
                ),
            )


def _common(own: Sequence[float], other: Sequence[float]) -> np.ndarray:
    return np.array(
        [value for value in own if np.isclose(value, other, rtol=1e-6, atol=1e-12).any()]
    )


def _at(x: np.ndarray, grid: Sequence[float], values: Sequence[float]) -> np.ndarray:
    return np.array([values[int(np.abs(np.array(grid) - value).argmin())] for value in x])


def claims(published: Sequence[Record]) -> Markdown:
    """The paper's claims on images as numbers of the published runs: median and range over the seeds."""
    if not published:
        return Markdown("There are no published runs.")
    config = published[0].config
    rows = [
        _gap(
            published,
            rf"best LBRS less best $\sigma$-NS, $\ell_2$ attack, $\epsilon = {radius:g}$",
            lambda r, place=place: _best_gap(r, place),
        )
        for place, radius in enumerate(config["radii"], 1)
    ]
    for norm, values in published[0].results["attacks"].items():
        for place in _shown(values["radius"]):
            told = rf"LBRS ($\alpha = {config['alpha']:g}$) less $\sigma$-NS ($\sigma = {config['sigma']:g}$), {NORMS[norm]} attack, $\epsilon = {values['radius'][place]:.3g}$"
            rows.append(
                _gap(
                    published,
                    told,
                    lambda r, norm=norm, place=place: (
                        r.results["attacks"][norm]["lbrs"][place]
                        - r.results["attacks"][norm]["normal"][place]
                    ),
                )
            )
    sigma = published[0].results["sigma"]
    for place in (len(sigma) // 2, len(sigma) - 1):
        rows.append(
            _gap(
                published,
                rf"clean accuracy of $\sigma$-NS at $\sigma = {sigma[place]:g}$",
                lambda r, place=place: r.results["sets"][0]["normal"][place],
                sign=False,
            )
        )
    for key, told in (("cnn", "CNN"), ("nearest", "1-NN")):
        rows.append(
            _gap(
                published,
                f"clean accuracy of the {told}",
                lambda r, key=key: r.results["sets"][0][key],
                sign=False,
            )
        )
    return table(
        [
            f"quantity, {len(published)} seeds, {published[0].test_points:,} test points each",
            "median",
            "range",
        ],
        rows,
    )


def _shown(radius: Sequence[float]) -> range:
    third = max(1, (len(radius) - 1) // 3)
    return range(third, len(radius), third)


def verdicts(published: Sequence[Record]) -> Markdown:
    """Which of the paper's sentences on images the published runs bear out, seed by seed."""
    if not published:
        return Markdown("There are no published runs.")
    config, first = published[0].config, published[0].results
    lines = []
    for place, radius in enumerate(config["radii"], 1):
        nearest = np.median([record.results["sets"][place]["nearest"] for record in published])
        lines.append(
            _told(
                rf"*LBRS withstands attacks better.* $\ell_2$, $\epsilon = {radius:g}$, each method at its best parameter",
                [_best_gap(record, place) for record in published],
            )
            + rf" The 1-NN, which LBRS asks where the network is unsure, has {nearest:.3f} there in the median."
        )
    for norm, values in first["attacks"].items():
        place = _shown(values["radius"])[0]
        gaps = [
            record.results["attacks"][norm]["lbrs"][place]
            - record.results["attacks"][norm]["normal"][place]
            for record in published
        ]
        lines.append(
            _told(
                rf"*The same at the paper's corners,* $\alpha = {config['alpha']:g}$ and $\sigma = {config['sigma']:g}$, {NORMS[norm]}, $\epsilon = {values['radius'][place]:.3g}$",
                gaps,
            )
        )
    ends = [record.results["sets"][0]["normal"][-1] for record in published]
    falls = sum(end <= 0.55 for end in ends)
    lines.append(
        rf"- *Normal smoothing falls to one half.* At $\sigma = {first['sigma'][-1]:g}$ its clean accuracy is {np.median(ends):.3f} in the median ({min(ends):.3f} to {max(ends):.3f}); "
        f"it is at most .55 for {falls} of {len(ends)} seeds."
    )
    return Markdown("\n".join(lines))


def seeds(published: Sequence[Record]) -> Markdown:
    """Seed by seed, each method at its best parameter under every l2 attack of the first figure: where the lead comes from."""
    rows = []
    for place, radius in enumerate(published[0].config["radii"] if published else (), 1):
        for record in published:
            entry = record.results["sets"][place]
            best = max(entry["lbrs"]["right"]) / record.test_points
            parts = max(entry["cnn"], entry["nearest"])
            rows.append(
                [
                    f"{radius:g}",
                    str(record.seed),
                    *(
                        f"{value:.3f}"
                        for value in (entry["cnn"], entry["nearest"], max(entry["normal"]), best)
                    ),
                    *map(_signed, (best - max(entry["normal"]), best - parts)),
                ]
            )
    return table(
        [
            r"$\epsilon$",
            "seed",
            "CNN",
            "1-NN",
            r"best $\sigma$-NS",
            "best LBRS",
            r"LBRS less $\sigma$-NS",
            "LBRS less its better part",
        ],
        rows,
    )


def reason(published: Sequence[Record]) -> Markdown:
    """What the lead of LBRS over normal smoothing goes with, in sentences computed from `seeds`."""
    lines = []
    for place, radius in enumerate(published[0].config["radii"] if published else (), 1):
        entries = [
            (record.results["sets"][place]["nearest"], _best_gap(record, place), record)
            for record in published
        ]
        gain = [
            max(entry["lbrs"]["right"]) / record.test_points - max(entry["cnn"], entry["nearest"])
            for _, _, record in entries
            for entry in [record.results["sets"][place]]
        ]
        (low, behind, _), (high, ahead, _) = (
            min(entries, key=lambda found: found[0]),
            max(entries, key=lambda found: found[0]),
        )
        lines.append(
            rf"- $\epsilon = {radius:g}$: at its best $\alpha$, LBRS is above the better one of its two parts, the CNN and the 1-NN, by {_signed(np.median(gain))} in the median "
            f"({_signed(min(gain))} to {_signed(max(gain))}). With the weakest 1-NN ({low:.3f}) its lead over normal smoothing is {_signed(behind)}, with the strongest ({high:.3f}) {_signed(ahead)}."
        )
    return Markdown("\n".join(lines) or "There are no published runs.")


def _told(claim: str, gaps: list[float]) -> str:
    ahead = sum(gap > 0 for gap in gaps)
    verdict = (
        "Reproduced" if ahead == len(gaps) else "Not reproduced" if ahead == 0 else "Undecided"
    )
    return f"- {claim}: LBRS is ahead for {ahead} of {len(gaps)} seeds, by {_signed(np.median(gaps))} in the median ({_signed(min(gaps))} to {_signed(max(gaps))}). **{verdict}.**"


def _best_gap(record: Record, place: int) -> float:
    entry = record.results["sets"][place]
    return max(entry["lbrs"]["right"]) / record.test_points - max(entry["normal"])


def _gap(
    published: Sequence[Record], told: str, value: Callable[[Record], Any], sign: bool = True
) -> list[str]:
    found = [value(record) for record in published]
    form = _signed if sign else "{:.3f}".format
    return [told, form(np.median(found)), f"{form(min(found))} to {form(max(found))}"]


def _signed(value: float) -> str:
    """Three digits with a sign, and no minus before a zero."""
    return f"{round(float(value), 3) + 0.0:+.3f}"
