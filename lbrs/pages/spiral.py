"""The page of the spiral: Figures 1 and 2, how sharp the radii are, and what they say."""

from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from lbrs.experiments.records import Record, accuracy_at
from lbrs.pages.drawing import (
    COLORS,
    SHARE,
    STYLES,
    band,
    finish,
    hyperplane,
    scatter,
    shade,
    shades,
    steps,
    style,
)
from lbrs.pages.text import NORMS, Markdown, best_alpha, share, spread, table

RADII = {
    "radius": ("Theorem 6", "-", 2.0),
    "true_radius": ("Theorem 6, true", "--", 2.0),
    "sharp_radius": ("Theorem B", ":", 2.4),
}
"""The average radii of Figure 2: name, dashes and width of the line."""

BOUNDS = {
    "theorem6": ("Theorem 6", "--", "s", COLORS[0]),
    "theorem_b": ("Theorem B", "-", "o", COLORS[3]),
    "exact": ("exact (Theorem C)", ":", "^", COLORS[2]),
}
"""The radii that are compared: name, dashes, marker and colour of the line."""


def regions(record: Record) -> dict[str, Any]:
    """Figure 1: test data, the SVM's boundary (bold), and the decision regions of f^mu for several
    alphas."""
    style()
    drawn = record.results["regions"]
    alphas, side = drawn["alpha"], drawn["side"]
    rows = -(-len(alphas) // 2)
    figure, axes = plt.subplots(
        rows, 2, figsize=(8.6, 4.1 * rows + 0.7), sharex=True, sharey=True, squeeze=False
    )
    shares = {}
    for index, (ax, alpha) in enumerate(zip(axes.flat, alphas, strict=False)):
        shares[alpha] = shade(ax, drawn, index).mean().item()
        _test_points(ax, record.results["test"])
        hyperplane(ax, **record.results["svm"], side=side)
        square = {"xlim": (-side, side), "ylim": (-side, side)}
        ax.set(title=rf"$\alpha={alpha:g}$", xlabel="$x_1$", ylabel="$x_2$", **square)
    for ax in axes.flat[len(alphas) :]:
        ax.set_visible(False)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        [*handles, *shades()],
        [*names, r"$f^\mu=+1$", r"$f^\mu=-1$"],
        ncols=5,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.025),
        markerscale=2,
        fontsize="x-small",
    )
    finish(figure, record, bottom=0.065)
    return {"positive_share": shares}


def _test_points(ax: Axes, test: dict[str, Any]) -> None:
    x, y = np.array(test["x"]), np.array(test["y"])
    for chosen, size, marker, color, sign in (
        (y > 0, 7, "o", COLORS[1], "+1"),
        (y < 0, 9, "^", COLORS[0], "-1"),
    ):
        look = {"s": size, "marker": marker, "color": color, "linewidths": 0}
        scatter(ax, x[chosen], look | {"label": f"test point, $y={sign}$"})


def radii(record: Record, published: Sequence[Record] = ()) -> dict[str, Any]:
    """Figure 2: average certified radius, average true certified radius and clean accuracy against
    alpha, over the `published` runs."""
    style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.6))
    _average_radii(left, record, published)
    _accuracy(right, record, published)
    finish(figure, record, published=published)
    return {"accuracy": record.results["accuracy"], **record.results["norms"]}


def _grid(record: Record) -> np.ndarray:
    return np.linspace(0, record.config["alpha_max"], 401)


def _average_radii(ax: Axes, record: Record, published: Sequence[Record]) -> None:
    """The left panel: three radii in each norm, and the radius of the SVM itself at 0."""
    grid = _grid(record)
    looks = (("l2", COLORS[0], "o", "*"), ("linf", COLORS[1], "s", "X"))
    for norm, color, marker, base in looks:
        values = record.results["norms"][norm]
        others = [other.results["norms"][norm] for other in published]
        for key, (told, dashes, width) in RADII.items():
            band(ax, grid, [np.interp(grid, *_points(other[key])) for other in others], color)
            ax.plot(
                *_points(values[key]),
                color=color,
                linestyle=dashes,
                linewidth=width,
                marker=marker,
                markersize=5,
                markevery=0.13,
                label=f"{NORMS[norm]}, {told}",
            )
        ax.plot(
            [0],
            [values["base_radius"]],
            linestyle="none",
            marker=base,
            markersize=12,
            color=color,
            clip_on=False,
            zorder=5,
            label=rf"{NORMS[norm]}, SVM: $|g|/\|a\|_*$",
        )
    ax.set(xlabel=r"$\alpha$ (units of $x$)", ylabel="average radius (units of $x$)")
    ax.set_ylim(0, None)
    ax.legend(fontsize="x-small", loc="upper right")


def _accuracy(ax: Axes, record: Record, published: Sequence[Record]) -> None:
    """The right panel."""
    grid, results = _grid(record), record.results
    others = [accuracy_at(one.results["accuracy"], grid, one.test_points) for one in published]
    band(ax, grid, others, COLORS[3])
    corners = steps(results["accuracy"], record, 0.0, grid[-1])
    ax.step(*corners, where="post", color=COLORS[3], label=r"$\alpha$-LBRS")
    nearest, base = results["nearest"], results["accuracy"]["right"][0] / record.test_points
    ax.axhline(nearest, color=STYLES["nearest"]["color"], linestyle="-.", label="1-NN")
    ax.axhline(base, color="black", linestyle=":", label="SVM (base)")
    ax.set(xlabel=r"$\alpha$ (units of $x$)", ylabel="clean accuracy (share of test points)")
    ax.set(xlim=(0, grid[-1]), ylim=(0.5, 1.02))
    ax.legend(fontsize="small", loc="center right")


def _points(curve: dict[str, list[float]]) -> tuple[list[float], list[float]]:
    return curve["alpha"], curve["value"]


def sharpness(record: Record) -> dict[str, Any]:
    """Theorem 6, Theorem B and the exact radius side by side over alpha: average radius, and
    certified accuracy at several radii."""
    style()
    norms: dict[str, Any] = record.results["sharpness"]
    rows, columns = len(norms), 1 + len(next(iter(norms.values()))["radii"])
    figure, axes = plt.subplots(rows, columns, figsize=(11.4, 3.2 * rows + 0.5), squeeze=False)
    for row, (norm, values) in zip(axes, norms.items(), strict=True):
        for key, (label, dashes, marker, color) in BOUNDS.items():
            curves = [values[key]["average"], *np.array(values[key]["certified"]).T]
            for ax, curve in zip(row, curves, strict=True):
                look = {"linestyle": dashes, "marker": marker, "color": color, "label": label}
                ax.plot(values["alpha"], curve, markersize=4, linewidth=2, **look)
        name = NORMS[norm]
        row[0].set(title=f"{name}: average radius", ylabel="units of $x$", ylim=(0, None))
        for ax, radius in zip(row[1:], values["radii"], strict=True):
            ax.set(title=f"{name}: certified accuracy at {radius:g}", ylim=SHARE)
        for ax in row:
            ax.set_xlabel(r"$\alpha$ (units of $x$)")
    axes[0, 0].legend(fontsize="small")
    finish(figure, record, points=min(record.test_points, record.config["exact_points"]))
    return norms


def ends(curve: dict[str, list[float]]) -> tuple[float, float]:
    """The first and the last value of a recorded piecewise linear curve."""
    return curve["value"][0], curve["value"][-1]


def numbers(record: Record) -> Markdown:
    """The key numbers of the run."""
    results, n, top = record.results, record.test_points, f"{record.config['alpha_max']:g}"
    peak, where = best_alpha(results["accuracy"], n)
    always = r"$\alpha$ above which LBRS is the 1-NN on all test points"
    rows = [
        [r"clean accuracy, SVM ($\alpha = 0$)", share(results["accuracy"]["right"][0] / n, n)],
        [f"clean accuracy, LBRS at its best, {where}", share(peak, n)],
        ["clean accuracy, 1-NN", share(results["nearest"], n)],
        [always, f"{results['nearest_alpha']:.2f}"],
    ]
    for norm, values in results["norms"].items():
        base = f"{NORMS[norm]}: average radius of the SVM itself"
        rows.append([base, f"{values['base_radius']:.3f}"])
        for key, told in (
            ("radius", "radius of Theorem 6"),
            ("sharp_radius", "radius of Theorem B"),
            ("true_radius", "true radius of Theorem 6"),
            ("sharp_true_radius", "true radius of Theorem B"),
        ):
            first, last = ends(values[key])
            quantity = rf"{NORMS[norm]}: average {told} at $\alpha = 0$ and ${top}$"
            rows.append([quantity, f"{first:.3f} and {last:.3f}"])
    return table(["quantity", "value (95 % interval over the test points)"], rows)


def certified(records: Sequence[Record]) -> Markdown:
    """Certified accuracies of the classifier, exactly, over the runs: at the ends of the range of
    alpha and at its best."""
    rows = [
        [rf"{NORMS[norm]}, radius {radius:g}", *_exact_ends(records, norm, place)]
        for norm, values in records[0].results["sharpness"].items()
        for place, radius in enumerate(values["radii"])
    ]
    last = records[0].results["sharpness"]["l2"]["alpha"][-1]
    return table(
        ["exactly certified accuracy", r"$\alpha = 0$", "best", rf"$\alpha = {last:g}$"], rows
    )


def _exact_ends(records: Sequence[Record], norm: str, place: int) -> Iterator[str]:
    """First, largest and last value over alpha."""
    curves = [
        np.array(record.results["sharpness"][norm]["exact"]["certified"])[:, place]
        for record in records
    ]
    for values in ([c[0] for c in curves], [c.max() for c in curves], [c[-1] for c in curves]):
        yield f"{spread(values):.2f}"
