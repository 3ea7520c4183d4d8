"""The first page: the method in one picture, and what the published records say of the paper's main
claims, over all seeds."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from lbrs.experiments.records import Record, published_seeds, record_name
from lbrs.pages import findings
from lbrs.pages.claims import Value, best_gap, clean_normal, corner_gap
from lbrs.pages.drawing import COLORS, Look, hyperplane, scatter, shade, style
from lbrs.pages.text import SIGNED, Markdown, over, table


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
    """What the published records in `folder` say of the paper's main claims, in six rows."""
    runs = {run: published_seeds(run, folder) for run in ("spiral", *PICTURES)}
    every = [(PICTURES[run], runs[run]) for run in PICTURES]
    spiral = runs["spiral"]
    rows = [
        ["spiral: accuracy rises", *_row([("", spiral)], findings.gained, SIGNED)],
        [
            r"spiral: the exact average $\ell_2$ radius rises",
            *_row([("", spiral)], findings.exactly, "+.2f"),
        ],
        [
            r"LBRS withstands attacks better than normal smoothing, at the paper's parameters "
            r"($\ell_\infty$)",
            *_row(every, _at_corner, SIGNED),
        ],
        [
            r"the same, each at its best parameter ($\ell_2$, the weaker attack)",
            *_row(every, best_gap(1), SIGNED),
        ],
        [
            "normal smoothing falls to one half on clean images",
            *_row(every, clean_normal(-1), ".3f", lambda value: 0.55 - value),
        ],
        ["LBRS certifies more images than its network", *_certified(folder)],
    ]
    return table(["the paper's picture", "here: median (range) over the seeds", "holds?"], rows)


PICTURES = {"mnist": "MNIST", "cifar10": "CIFAR-10"}


def _at_corner(record: Record) -> float:
    norm, place, _ = list(findings.strong(record))[-1]
    return corner_gap(norm, place)(record)


def _row(
    every: Iterable[tuple[str, list[Record]]],
    value: Value,
    form: str,
    above: Callable[[float], float] = float,
) -> Iterator[str]:
    """What came out for each set of images, and whether the claim holds there."""
    named = [(f"{name} " if name else "", records) for name, records in every]
    yield "; ".join(f"{name}{over(records, value):{form}}" for name, records in named)
    yield "; ".join(
        f"{name}{findings.holds(above(value(record)) for record in records)}"
        for name, records in named
    )


def _certified(folder: Path) -> Iterator[str]:
    """Certified accuracy of the network and of LBRS by Theorem E', on both sets of images."""
    told = []
    for run, name in PICTURES.items():
        record = Record.load(folder / record_name(f"certified-{run}", "paper", 0))
        before, after, radius = findings.at_a_quarter(record)
        told.append(
            (f"{name} {before:.3f} to {after:.3f}", f"{name} {_yes(after - before)}", radius)
        )
    yield rf"at $\ell_2$ radius {told[0][2]:g}: " + "; ".join(one[0] for one in told)
    yield "; ".join(one[1] for one in told)


def _yes(gap: float) -> str:
    return "yes" if gap > 0 else "no"


def chart(folder: Path) -> dict[str, list[float]]:
    """How far LBRS is ahead of normal smoothing under attack: each seed a dot, the median a bar."""
    style()
    drawn: dict[str, list[float]] = {}
    for run, name in PICTURES.items():
        records = published_seeds(run, folder)
        drawn[f"{name}, the paper's parameters"] = [_at_corner(record) for record in records]
        drawn[f"{name}, each at its best"] = [best_gap(1)(record) for record in records]
    figure, ax = plt.subplots(figsize=(6.4, 2.9))
    for place, (name, gaps) in enumerate(reversed(drawn.items())):
        color = COLORS[3] if "best" in name else COLORS[0]
        ax.plot(gaps, [place] * len(gaps), "o", color=color, alpha=0.55)
        ax.plot([np.median(gaps)], [place], "|", color=color, markersize=26, markeredgewidth=3)
    ax.axvline(0, color="0.3", linewidth=1)
    ax.set_yticks(range(len(drawn)), list(reversed(drawn)))
    ax.set(
        xlabel="accuracy under attack: LBRS less normal smoothing", ylim=(-0.6, len(drawn) - 0.4)
    )
    figure.tight_layout()
    return drawn
