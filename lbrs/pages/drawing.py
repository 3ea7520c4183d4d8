"""What all figures share: their looks, areas behind curves, and a foot that says what was drawn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lbrs.experiments.records import Record, accuracy_at

Look = dict[str, Any]
"""Keywords of a curve, a mark or a text."""

COLORS = sns.color_palette("colorblind")
STYLES: dict[str, Look] = {
    "cnn": {"label": "CNN (base)", "color": "black", "linestyle": (0, (1, 1)), "marker": "s"},
    "normal": {"label": r"$\sigma$-NS", "color": COLORS[0], "linestyle": "--", "marker": "o"},
    "lbrs": {"label": r"$\alpha$-LBRS", "color": COLORS[3], "linestyle": "-", "marker": "D"},
    "nearest": {"label": "1-NN", "color": COLORS[2], "linestyle": "-.", "marker": "^"},
}
SHARE = (-0.02, 1.02)
"""The axis of a share."""


def style() -> None:
    """Seaborn's style for all figures."""
    sns.set_theme(
        context="notebook",
        style="whitegrid",
        palette="colorblind",
        rc={"figure.dpi": 110, "axes.titlesize": "medium", "legend.frameon": True},
    )


def line(name: str) -> Look:
    """The look of a method's curve without a marker."""
    return {key: value for key, value in STYLES[name].items() if key != "marker"}


def band(ax: Axes, x: Any, curves: Sequence[Any], color: Any) -> None:
    """The range of several `curves` over `x` as an area, and their median as a thin line; nothing
    for fewer than two."""
    if len(curves) > 1:
        low, high = np.min(curves, axis=0), np.max(curves, axis=0)
        ax.fill_between(x, low, high, color=color, alpha=0.16, linewidth=0, zorder=0.5)
        middle = np.median(curves, axis=0)
        ax.plot(x, middle, color=color, linewidth=0.8, alpha=0.9, zorder=0.6)


def scatter(ax: Axes, points: np.ndarray, look: Look) -> None:
    """Marks at `points` (n, 2)."""
    ax.scatter(points[:, 0], points[:, 1], **look)


def steps(
    path: dict[str, list[Any]], record: Record, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """The corners of a path of counts between two alphas, for steps that turn after each."""
    jumps = np.array([jump for jump in path["jumps"] if low < jump < high])
    alpha = np.concatenate([[low], jumps, [high]])
    return alpha, accuracy_at(path, np.concatenate([alpha[1:], [high]]), record.test_points)


def raster_of(bits: str, side: int) -> np.ndarray:
    """Decision regions (side, side) as a record keeps them: 1 for the label +1, rows from the
    bottom."""
    binary = f"{int(bits, 16):0{side * side}b}"
    return np.array(list(binary), dtype=float).reshape(side, side)


def shade(ax: Axes, regions: dict[str, Any], index: int) -> np.ndarray:
    """The decision regions of one alpha, light for +1 and dark for -1; returns the raster."""
    side = regions["side"]
    raster = raster_of(regions["bits"][index], regions["raster"])
    ax.imshow(
        raster,
        extent=(-side, side, -side, side),
        origin="lower",
        cmap="Greys_r",
        vmin=-1.4,
        vmax=1,
        aspect="equal",
        interpolation="nearest",
    )
    ax.grid(False)
    return raster


def shades() -> list[Rectangle]:
    """A light and a dark patch for the legend."""
    light = Rectangle((0, 0), 1, 1, facecolor="white", edgecolor="grey")
    return [light, Rectangle((0, 0), 1, 1, facecolor="0.58")]


def hyperplane(ax: Axes, weight: Sequence[float], bias: float, side: float) -> None:
    """The line w_1 x_1 + w_2 x_2 + b = 0, bold."""
    w = np.array(weight)
    point = -bias * w / np.dot(w, w)
    direction = np.array([-w[1], w[0]]) / np.linalg.norm(w)
    ends = np.stack([point - 3 * side * direction, point + 3 * side * direction])
    ax.plot(*ends.T, color="black", linewidth=3, label="SVM boundary")


def legend_below(figure: Figure, ax: Axes, columns: int, height: float, size: str) -> None:
    """The legend of `ax` for the whole figure, `height` above its foot."""
    figure.legend(
        *ax.get_legend_handles_labels(),
        ncols=columns,
        loc="lower center",
        bbox_to_anchor=(0.5, height),
        fontsize=size,
    )


def finish(
    figure: Figure,
    record: Record,
    bottom: float = 0.03,
    points: int | None = None,
    published: Sequence[Record] = (),
    more: str = "",
) -> None:
    """Lay the figure out, and say at its foot what it shows: the run, the published runs under it,
    and `more`."""
    notes = [of_run(record, points)]
    if len(published) > 1:
        notes.append(f"areas: range of {of_seeds(published)}")
    if more:
        notes.append(more)
    foot(figure, notes, bottom)


def of_run(record: Record, points: int | None = None) -> str:
    """Which run this is, for the foot of a figure of all its test points, or of some `points`."""
    shown = points or record.test_points
    return f"{record.origin} · {shown:,} test points"


def of_seeds(published: Sequence[Record]) -> str:
    """Which runs these are, for the foot of a figure."""
    first, last = published[0], published[-1]
    return (
        f"{len(published)} published runs · profile {first.profile} · "
        f"seeds {first.seed} to {last.seed} · {first.test_points:,} test points"
    )


def foot(figure: Figure, notes: Sequence[str], bottom: float = 0.03) -> None:
    """Lay the figure out above `notes`, one below the other at its foot."""
    height = 0.17 / figure.get_figheight()
    figure.tight_layout(rect=(0, bottom + height * (len(notes) - 1), 1, 1))
    look: Look = {"ha": "right", "va": "bottom", "fontsize": "x-small", "color": "0.35"}
    for place, note in enumerate(reversed(notes)):
        figure.text(0.995, 0.005 + height * place, note, **look)
