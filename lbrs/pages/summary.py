"""The first page: the method in one picture, and what the published records say of the paper's main
claims, over all seeds."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from lbrs.experiments.records import (
    Record,
    accuracy_at,
    find_curve,
    published_seeds,
    record_name,
    reference_counts,
)
from lbrs.pages.claims import at_radius, best_lbrs, best_normal, clean_normal, nearest, place_of
from lbrs.pages.drawing import COLORS, Look, hyperplane, scatter, shade, style
from lbrs.pages.spiral import ends
from lbrs.pages.text import Markdown, Spread, over, spread, table

Row = list[str]


def idea(results: dict[str, Any]) -> dict[str, Any]:
    """The method in one picture: a line, the reference points around it, and one point with its
    ball, before and after."""
    style()
    regions, columns = results["regions"], len(results["radius"])
    alphas, side = regions["alpha"], regions["side"]
    figure, axes = plt.subplots(1, columns, figsize=(4.4 * columns, 4.4), sharey=True)
    for index, (ax, alpha) in enumerate(zip(axes, alphas, strict=True)):
        shade(ax, regions, index)
        hyperplane(ax, results["weight"], results["bias"], side)
        _reference_points(ax, results)
        radius = results["radius"][index]
        _one_point(ax, results, radius, alpha)
        title = rf"LBRS, $\alpha={alpha:g}$" if alpha else "the base classifier"
        ax.set(title=f"{title}: certified radius {radius:.2f}", xlabel="$x_1$")
        ax.set(xlim=(-side, side), ylim=(-side, side))
    axes[0].set_ylabel("$x_2$")
    figure.tight_layout()
    return {"radius": results["radius"]}


def _reference_points(ax: Axes, results: dict[str, Any]) -> None:
    points, labels = np.array(results["points"]), np.array(results["labels"])
    edge: Look = {"s": 70, "edgecolors": "black", "linewidths": 0.6, "zorder": 3}
    for label, marker, color in ((1, "o", COLORS[1]), (-1, "^", COLORS[0])):
        scatter(ax, points[labels == label], edge | {"marker": marker, "color": color})


def _one_point(ax: Axes, results: dict[str, Any], radius: float, alpha: float) -> None:
    """The point, its ball, and the bias as an arrow."""
    x = np.array(results["x"])
    circle: Look = {
        "fill": False,
        "linewidth": 2.2,
        "linestyle": "--",
        "color": "black",
        "zorder": 4,
    }
    ax.add_patch(Circle((x[0], x[1]), radius, **circle))
    ax.plot(*x, marker="*", markersize=15, color="black", zorder=5)
    if alpha > 0:
        end = x + alpha * np.array(results["bias_direction"])
        arrow = {"arrowstyle": "-|>", "linewidth": 2, "color": "black"}
        ax.annotate("", xy=tuple(end), xytext=tuple(x), arrowprops=arrow, zorder=6)


def summary(folder: Path) -> Markdown:
    """What the published records in `folder` say of the paper's main claims."""
    rows = [
        *_spiral(published_seeds("spiral", folder)),
        *_images("MNIST", published_seeds("mnist", folder), 2.0, 0.1),
        *_images("CIFAR-10", published_seeds("cifar10", folder), 0.5, 0.02),
        [
            "MNIST: certified radii",
            "of the paper's ReLU network none: it has no gradient-Lipschitz constant, "
            "so Theorem 8 does not apply",
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


def _spiral(records: list[Record]) -> list[Row]:
    """Accuracy and average radius at the ends of the range of alpha."""

    def accuracy(alpha: float) -> Spread:
        return spread(
            accuracy_at(r.results["accuracy"], alpha, r.test_points).item() for r in records
        )

    def radius(key: str) -> str:
        pairs = [ends(record.results["norms"]["l2"][key]) for record in records]
        first, last = map(spread, zip(*pairs, strict=True))
        return f"{first:.2f} to {last:.2f}"

    rises = f"{accuracy(0.0):.3f} to {accuracy(records[0].config['alpha_max']):.3f}"
    radii = f"the paper's Theorem 6: {radius('radius')}; a sharper bound: {radius('sharp_radius')}"
    return [
        ["Spiral: accuracy rises", rises, _told(records)],
        [r"Spiral: the average $\ell_2$ radius rises", radii, _told(records)],
    ]


def _images(name: str, records: list[Record], l2: float, linf: float) -> list[Row]:
    """Both methods at the paper's corners under attacks of these radii, at their best parameters,
    and normal smoothing at the largest sigma."""
    config, results = records[0].config, records[0].results
    corner = rf"$\alpha = {config['alpha']:g}$, $\sigma = {config['sigma']:g}$"
    corners = []
    for norm, shown, radius in (("l2", r"\ell_2", l2), ("linf", r"\ell_\infty", linf)):
        place = place_of(results["attacks"][norm]["radius"], radius)
        lbrs, normal = (over(records, at_radius(norm, key, place)) for key in ("lbrs", "normal"))
        attack = rf"${shown}$, $\epsilon = {radius:g}$"
        corners.append(f"{attack}: LBRS {lbrs:.3f}, normal smoothing {normal:.3f}")
    best = (
        rf"$\ell_2$, $\epsilon = {results['sets'][1]['radius']:g}$: "
        f"LBRS {over(records, best_lbrs(1)):.3f}, "
        f"normal smoothing {over(records, best_normal(1)):.3f}, "
        f"1-NN {over(records, nearest(1)):.3f}"
    )
    last = over(records, clean_normal(-1))
    clean = rf"clean accuracy at $\sigma = {results['sigma'][-1]:g}$: {last:.3f}"
    better = f"{name}: LBRS withstands attacks on the CNN better, at the paper's corners ({corner})"
    falls = rf"{name}: normal smoothing falls to one half as $\sigma$ grows"
    return [
        [better, "; ".join(corners), _told(records)],
        [f"{name}: the same with each at its best parameter", best, _told(records)],
        [falls, clean, _told(records)],
    ]


def _certified(folder: Path) -> tuple[str, str]:
    """Accuracies at three radii of the network and of LBRS by Theorem E', at the alpha of the grid
    with the largest sum."""
    record = Record.load(folder / record_name("certified-mnist", "paper", 0))
    values = record.results["norms"]["l2"]
    N = reference_counts(values["curves"])[-1]
    places = [values["radii"].index(radius) for radius in (0.0, 0.25, 0.5)]
    found = {}
    for alpha in values["alpha"]:
        curve = find_curve(values["curves"], method="sharp", N=N, alpha=alpha)
        found[alpha] = [curve["certified"][place] for place in places]
    best = max(found, key=lambda alpha: sum(found[alpha]))
    pairs = zip(found[0.0], found[best], strict=True)
    told = ", ".join(f"{before:.3f} to {after:.3f}" for before, after in pairs)
    return (
        rf"$N = {N:,}$, Theorem E': clean, at $\ell_2$ radius 0.25 and at 0.5: {told} "
        rf"($\alpha = {best:g}$, the best of the grid)",
        f"1, {record.test_points:,}",
    )
