"""The table of the first page: what the published records say of the paper's main claims, over all seeds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lbrs.experiments.records import (
    Record,
    accuracy_at,
    find_curve,
    published_seeds,
    record_name,
    reference_counts,
)
from lbrs.pages.text import Markdown, ends, table


def over(records: list[Record], value: Callable[[Record], Any], form: str = ".3f") -> str:
    """The median of `value` over the records, and its range."""
    found = [value(record) for record in records]
    return f"{np.median(found):{form}} ({min(found):{form}} to {max(found):{form}})"


def summary(folder: Path) -> Markdown:
    """What the published records in `folder` say of the paper's main claims."""
    rows = [
        *_spiral(published_seeds("spiral", folder)),
        *_images("MNIST", published_seeds("mnist", folder), 2.0, 0.1),
        *_images("CIFAR-10", published_seeds("cifar10", folder), 0.5, 0.02),
        [
            "MNIST: certified radii",
            "of the paper's ReLU network none: it has no gradient-Lipschitz constant, so Theorem 8 does not apply",
            "",
        ],
        ["MNIST: certified radii of a smooth network and of LBRS on it", *_certified(folder)],
    ]
    return table(
        [
            "the paper's picture",
            "what came out here: median (range) over the seeds",
            "seeds, test points",
        ],
        rows,
    )


def _told(records: list[Record]) -> str:
    return f"{len(records)}, {records[0].test_points:,} each"


def _spiral(records: list[Record]) -> list[list[str]]:
    first, last = (
        over(
            records,
            lambda r, alpha=alpha: accuracy_at(r.results["accuracy"], alpha, r.test_points)[0],
        )
        for alpha in ([0.0], [records[0].config["alpha_max"]])
    )
    (start, rise), (sharp, end) = (
        [
            over(
                records,
                lambda r, key=key, place=place: ends(r.results["norms"]["l2"][key])[place],
                ".2f",
            )
            for place in (0, 1)
        ]
        for key in ("radius", "sharp_radius")
    )
    return [
        ["Spiral: accuracy rises", f"{first} to {last}", _told(records)],
        [
            r"Spiral: the average $\ell_2$ radius rises",
            f"the paper's Theorem 6: {start} to {rise}; a sharper bound: {sharp} to {end}",
            _told(records),
        ],
    ]


def _images(name: str, records: list[Record], l2: float, linf: float) -> list[list[str]]:
    corner, results = (
        rf"$\alpha = {records[0].config['alpha']:g}$, $\sigma = {records[0].config['sigma']:g}$",
        records[0].results,
    )
    corners = []
    for norm, shown, radius in (("l2", r"\ell_2", l2), ("linf", r"\ell_\infty", linf)):
        place = int(np.abs(np.array(results["attacks"][norm]["radius"]) - radius).argmin())
        lbrs, normal = (
            over(
                records,
                lambda r, key=key, norm=norm, place=place: r.results["attacks"][norm][key][place],
            )
            for key in ("lbrs", "normal")
        )
        corners.append(
            rf"${shown}$, $\epsilon = {radius:g}$: LBRS {lbrs}, normal smoothing {normal}"
        )
    best = [
        over(records, value)
        for value in (
            lambda r: max(r.results["sets"][1]["lbrs"]["right"]) / r.test_points,
            lambda r: max(r.results["sets"][1]["normal"]),
            lambda r: r.results["sets"][1]["nearest"],
        )
    ]
    clean = over(records, lambda r: r.results["sets"][0]["normal"][-1])
    return [
        [
            f"{name}: LBRS withstands attacks on the CNN better, at the paper's corners ({corner})",
            "; ".join(corners),
            _told(records),
        ],
        [
            f"{name}: the same with each at its best parameter",
            rf"$\ell_2$, $\epsilon = {results['sets'][1]['radius']:g}$: LBRS {best[0]}, normal smoothing {best[1]}, 1-NN {best[2]}",
            _told(records),
        ],
        [
            rf"{name}: normal smoothing falls to one half as $\sigma$ grows",
            rf"clean accuracy at $\sigma = {results['sigma'][-1]:g}$: {clean}",
            _told(records),
        ],
    ]


def _certified(folder: Path) -> tuple[str, str]:
    """Accuracies at three radii of the network and of LBRS by Theorem E', at the alpha of the grid with the largest sum."""
    record = Record.load(folder / record_name("certified-mnist", "paper", 0))
    values = record.results["norms"]["l2"]
    N = reference_counts(values["curves"])[-1]
    places = [values["radii"].index(radius) for radius in (0.0, 0.25, 0.5)]
    curves = {
        alpha: find_curve(values["curves"], method="sharp", N=N, alpha=alpha)
        for alpha in values["alpha"]
    }
    found = {
        alpha: [curve["certified"][place] for place in places] for alpha, curve in curves.items()
    }
    best = max(found, key=lambda alpha: sum(found[alpha]))
    told = ", ".join(
        f"{before:.3f} to {after:.3f}"
        for before, after in zip(found[0.0], found[best], strict=True)
    )
    return (
        rf"$N = {N:,}$, Theorem E': clean, at $\ell_2$ radius 0.25 and at 0.5: {told} ($\alpha = {best:g}$, the best of the grid)",
        f"1, {record.test_points:,}",
    )
