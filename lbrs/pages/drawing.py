"""The paper's figures, one function each, drawn from records alone; each returns the numbers it drew."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lbrs.experiments.records import Record, accuracy_at

COLORS = sns.color_palette("colorblind")
STYLES: dict[str, dict[str, Any]] = {
    "cnn": {"label": "CNN (base)", "color": "black", "linestyle": (0, (1, 1)), "marker": "s"},
    "normal": {"label": r"$\sigma$-NS", "color": COLORS[0], "linestyle": "--", "marker": "o"},
    "lbrs": {"label": r"$\alpha$-LBRS", "color": COLORS[3], "linestyle": "-", "marker": "D"},
    "nearest": {"label": "1-NN", "color": COLORS[2], "linestyle": "-.", "marker": "^"},
}
NORM_NAMES = {"l2": r"$\ell_2$", "linf": r"$\ell_\infty$"}


def style() -> None:
    """Seaborn's style for all figures."""
    sns.set_theme(
        context="notebook",
        style="whitegrid",
        palette="colorblind",
        rc={"figure.dpi": 110, "axes.titlesize": "medium", "legend.frameon": True},
    )


def spiral_regions(record: Record) -> dict[str, Any]:
    """Figure 1: test data, the SVM's boundary (bold), and the decision regions of f^mu for several alphas."""
    style()
    regions, test, svm = (record.results[key] for key in ("regions", "test", "svm"))
    side = regions["side"]
    x, y = np.array(test["x"]), np.array(test["y"])
    rows = -(-len(regions["alpha"]) // 2)
    figure, axes = plt.subplots(
        rows, 2, figsize=(8.6, 4.1 * rows + 0.7), sharex=True, sharey=True, squeeze=False
    )
    shares = {}
    for index, (ax, alpha) in enumerate(zip(axes.flat, regions["alpha"], strict=False)):
        raster = _shade(ax, regions, index)
        ax.scatter(
            *x[y > 0].T, s=7, marker="o", color=COLORS[1], linewidths=0, label="test point, $y=+1$"
        )
        ax.scatter(
            *x[y < 0].T, s=9, marker="^", color=COLORS[0], linewidths=0, label="test point, $y=-1$"
        )
        _hyperplane(ax, svm["weight"], svm["bias"], side)
        ax.set(
            title=rf"$\alpha={alpha:g}$",
            xlabel="$x_1$",
            ylabel="$x_2$",
            xlim=(-side, side),
            ylim=(-side, side),
        )
        shares[alpha] = raster.mean().item()
    for ax in axes.flat[len(regions["alpha"]) :]:
        ax.set_visible(False)
    handles, names = axes[0, 0].get_legend_handles_labels()
    handles.append(plt.Rectangle((0, 0), 1, 1, facecolor="white", edgecolor="grey"))
    handles.append(plt.Rectangle((0, 0), 1, 1, facecolor="0.58"))
    figure.legend(
        handles,
        [*names, r"$f^\mu=+1$", r"$f^\mu=-1$"],
        ncols=5,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.025),
        markerscale=2,
        fontsize="x-small",
    )
    finish(figure, record, bottom=0.065)
    return {"positive_share": shares}


def spiral_radii(record: Record, published: Sequence[Record] = ()) -> dict[str, Any]:
    """Figure 2: average certified radius, average true certified radius and clean accuracy against alpha, over the `published` runs."""
    style()
    results, norms = record.results, record.results["norms"]
    grid = np.linspace(0, record.config["alpha_max"], 401)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.6))
    lines = (
        ("radius", "-", 2.0, "Theorem 6"),
        ("true_radius", "--", 2.0, "Theorem 6, true"),
        ("sharp_radius", ":", 2.4, "Theorem B"),
    )
    for color, (name, values) in zip((COLORS[0], COLORS[1]), norms.items(), strict=True):
        for key, dashes, width, told in lines:
            band(
                left,
                grid,
                [
                    np.interp(grid, *_points(other.results["norms"][name][key]))
                    for other in published
                ],
                color,
            )
            left.plot(
                *_points(values[key]),
                color=color,
                linestyle=dashes,
                linewidth=width,
                marker="os"[name == "linf"],
                markersize=5,
                markevery=0.13,
                label=f"{NORM_NAMES[name]}, {told}",
            )
        left.plot(
            [0],
            [values["base_radius"]],
            linestyle="none",
            marker="*" if name == "l2" else "X",
            markersize=12,
            color=color,
            clip_on=False,
            zorder=5,
            label=rf"{NORM_NAMES[name]}, SVM: $|g|/\|a\|_*$",
        )
    left.set(
        xlabel=r"$\alpha$ (units of $x$)", ylabel="average radius (units of $x$)", ylim=(0, None)
    )
    left.legend(fontsize="x-small", loc="upper right")
    band(
        right,
        grid,
        [accuracy_at(other.results["accuracy"], grid, other.test_points) for other in published],
        COLORS[3],
    )
    right.step(
        *_steps(results["accuracy"], record, 0.0, grid[-1]),
        where="post",
        color=COLORS[3],
        label=r"$\alpha$-LBRS",
    )
    right.axhline(
        results["nearest"], color=STYLES["nearest"]["color"], linestyle="-.", label="1-NN"
    )
    right.axhline(
        results["accuracy"]["right"][0] / record.test_points,
        color="black",
        linestyle=":",
        label="SVM (base)",
    )
    right.set(
        xlabel=r"$\alpha$ (units of $x$)",
        ylabel="clean accuracy (share of test points)",
        xlim=(0, grid[-1]),
        ylim=(0.5, 1.02),
    )
    right.legend(fontsize="small", loc="center right")
    finish(figure, record, published=published)
    return {"accuracy": results["accuracy"], **norms}


def idea(results: dict[str, Any]) -> dict[str, Any]:
    """The method in one picture: a line, the reference points around it, and one point with its ball, before and after."""
    style()
    regions, points, labels = (
        results["regions"],
        np.array(results["points"]),
        np.array(results["labels"]),
    )
    side, (x1, x2) = regions["side"], results["x"]
    figure, axes = plt.subplots(
        1, len(regions["alpha"]), figsize=(4.4 * len(regions["alpha"]), 4.4), sharey=True
    )
    for index, (ax, alpha, radius) in enumerate(
        zip(axes, regions["alpha"], results["radius"], strict=True)
    ):
        _shade(ax, regions, index)
        _hyperplane(ax, results["weight"], results["bias"], side)
        for label, marker, color in ((1, "o", COLORS[1]), (-1, "^", COLORS[0])):
            ax.scatter(
                *points[labels == label].T,
                s=70,
                marker=marker,
                color=color,
                edgecolors="black",
                linewidths=0.6,
                zorder=3,
            )
        ax.add_patch(
            plt.Circle(
                (x1, x2), radius, fill=False, linewidth=2.2, linestyle="--", color="black", zorder=4
            )
        )
        ax.plot(x1, x2, marker="*", markersize=15, color="black", zorder=5)
        if alpha > 0:
            end = np.array(results["x"]) + alpha * np.array(results["bias_direction"])
            ax.annotate(
                "",
                xy=end,
                xytext=(x1, x2),
                arrowprops={"arrowstyle": "-|>", "linewidth": 2, "color": "black"},
                zorder=6,
            )
        title = "the base classifier" if alpha == 0 else rf"LBRS, $\alpha={alpha:g}$"
        ax.set(
            title=f"{title}: certified radius {radius:.2f}",
            xlim=(-side, side),
            ylim=(-side, side),
            xlabel="$x_1$",
        )
    axes[0].set_ylabel("$x_2$")
    figure.tight_layout()
    return {"radius": results["radius"]}


def accuracy_over_smoothing(record: Record, published: Sequence[Record] = ()) -> dict[str, Any]:
    """Figures 3 and 5: clean and robust accuracy against the normalised smoothing parameter, and of LBRS against alpha itself, over the `published` runs."""
    style()
    results, top_alpha = record.results, record.config["alpha_max"]
    sets, sigma = results["sets"], np.array(results["sigma"])
    straight, logarithmic = np.linspace(0, top_alpha, 500), np.logspace(-6, 0, 500) * top_alpha
    figure, axes = plt.subplots(
        2, len(sets), figsize=(3.3 * len(sets), 6.6), sharey=True, squeeze=False
    )
    for place, ((top, bottom), entry) in enumerate(zip(axes.T, sets, strict=True)):
        others = [(other, other.results["sets"][place]) for other in published]
        for ax, grid, scale in ((top, straight, top_alpha), (bottom, logarithmic, 1.0)):
            for name in ("cnn", "nearest"):
                band(
                    ax,
                    [grid[0] / scale, grid[-1] / scale],
                    [np.full(2, found[name]) for _, found in others],
                    STYLES[name]["color"],
                )
                ax.axhline(entry[name], **line(name), linewidth=1.6)
            band(
                ax,
                grid / scale,
                [accuracy_at(found["lbrs"], grid, other.test_points) for other, found in others],
                STYLES["lbrs"]["color"],
            )
            alpha, accuracy = _steps(entry["lbrs"], record, grid[0], grid[-1])
            ax.step(alpha / scale, accuracy, where="post", **line("lbrs"), linewidth=2)
        for other, found in others[:1]:
            band(
                top,
                np.array(other.results["sigma"]) / sigma[-1],
                [found["normal"] for _, found in others],
                STYLES["normal"]["color"],
            )
        top.plot(sigma / sigma[-1], entry["normal"], **line("normal"), linewidth=2)
        bottom.set(xscale="log", xlabel=r"$\alpha$ (units of $x$), logarithmic")
        top.set(
            title="clean"
            if entry["radius"] == 0
            else rf"$\ell_2$-PGD, $\epsilon={entry['radius']:g}$",
            ylim=(-0.02, 1.02),
            xlabel=rf"$\sigma/{sigma[-1]:g}$ or $\alpha/{top_alpha:g}$",
        )
    for ax in axes[:, 0]:
        ax.set_ylabel("accuracy (share of test points)")
    axes[0, 0].legend(*_unique(axes[0, 0]), fontsize="small", loc="lower center")
    finish(
        figure,
        record,
        published=published,
        more=_sampling(record, [entry["undecided"] for entry in sets]),
    )
    return {"sigma": results["sigma"], "sets": sets}


def accuracy_over_radius(record: Record, published: Sequence[Record] = ()) -> dict[str, Any]:
    """Figures 4 and 6: accuracy against the radius of the attack on the base network, in l2 and in linf, over the `published` runs."""
    style()
    attacks, config = record.results["attacks"], record.config
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.6), sharey=True)
    for ax, (norm, values) in zip(axes, attacks.items(), strict=True):
        for name in ("cnn", "normal", "lbrs", "nearest"):
            look = dict(STYLES[name])
            look["label"] += {
                "normal": rf", $\sigma={config['sigma']:g}$",
                "lbrs": rf", $\alpha={config['alpha']:g}$",
            }.get(name, "")
            for other in published[:1]:
                band(
                    ax,
                    other.results["attacks"][norm]["radius"],
                    [found.results["attacks"][norm][name] for found in published],
                    look["color"],
                )
            ax.plot(values["radius"], values[name], **look, markersize=5, linewidth=2)
        ax.set(
            title=f"{NORM_NAMES[norm]}-PGD on the base network",
            xlabel=rf"attack radius $\epsilon$ ({NORM_NAMES[norm]}, pixel units)",
            ylim=(-0.02, 1.02),
        )
    axes[0].set_ylabel("accuracy (share of test points)")
    axes[0].legend(fontsize="small")
    finish(
        figure,
        record,
        published=published,
        more=_sampling(record, [values["undecided"] for values in attacks.values()]),
    )
    return attacks


def spiral_sharpness(record: Record) -> dict[str, Any]:
    """Theorem 6, Theorem B and the exact radius side by side over alpha: average radius, and certified accuracy at several radii."""
    style()
    norms = record.results["sharpness"]
    figure, axes = plt.subplots(
        len(norms),
        1 + len(next(iter(norms.values()))["radii"]),
        figsize=(11.4, 3.2 * len(norms) + 0.5),
        squeeze=False,
    )
    looks = {
        "theorem6": ("Theorem 6", "--", "s"),
        "theorem_b": ("Theorem B", "-", "o"),
        "exact": ("exact (Theorem C)", ":", "^"),
    }
    for row, (norm, values) in zip(axes, norms.items(), strict=True):
        for place, (key, (label, line, marker)) in enumerate(looks.items()):
            look = {
                "label": label,
                "linestyle": line,
                "marker": marker,
                "color": COLORS[(0, 3, 2)[place]],
                "markersize": 4,
                "linewidth": 2,
            }
            row[0].plot(values["alpha"], values[key]["average"], **look)
            for ax, accuracy in zip(row[1:], np.array(values[key]["certified"]).T, strict=True):
                ax.plot(values["alpha"], accuracy, **look)
        row[0].set(
            title=f"{NORM_NAMES[norm]}: average radius", ylabel="units of $x$", ylim=(0, None)
        )
        for ax, radius in zip(row[1:], values["radii"], strict=True):
            ax.set(
                title=f"{NORM_NAMES[norm]}: certified accuracy at {radius:g}", ylim=(-0.02, 1.02)
            )
        for ax in row:
            ax.set_xlabel(r"$\alpha$ (units of $x$)")
    axes[0, 0].legend(fontsize="small")
    finish(figure, record, points=min(record.test_points, record.config["exact_points"]))
    return norms


def _shade(ax: Axes, regions: dict[str, Any], index: int) -> np.ndarray:
    """The decision regions of one alpha, light for +1 and dark for -1; returns the raster of 0 and 1."""
    side, n = regions["side"], regions["raster"]
    raster = np.array(list(f"{int(regions['bits'][index], 16):0{n * n}b}"), dtype=float).reshape(
        n, n
    )
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


def line(name: str) -> dict[str, Any]:
    """The look of a method's curve without a marker."""
    return {key: value for key, value in STYLES[name].items() if key != "marker"}


def _unique(ax: Axes) -> tuple[list, list]:
    handles, names = ax.get_legend_handles_labels()
    first = {name: handle for handle, name in reversed(list(zip(handles, names, strict=True)))}
    order = [look["label"] for look in STYLES.values()]
    return [first[name] for name in order], order


def _hyperplane(ax: Axes, weight: list[float], bias: float, side: float) -> None:
    """The line w_1 x_1 + w_2 x_2 + b = 0, bold."""
    point, direction = (
        -bias * np.array(weight) / np.dot(weight, weight),
        np.array([-weight[1], weight[0]]) / np.linalg.norm(weight),
    )
    ends = np.stack([point - 3 * side * direction, point + 3 * side * direction])
    ax.plot(*ends.T, color="black", linewidth=3, label="SVM boundary")


def band(ax: Axes, x: Any, curves: list[Any], color: Any) -> None:
    """The range of several `curves` over `x` as an area, and their median as a thin line; nothing for fewer than two."""
    if len(curves) > 1:
        ax.fill_between(
            x,
            np.min(curves, axis=0),
            np.max(curves, axis=0),
            color=color,
            alpha=0.16,
            linewidth=0,
            zorder=0.5,
        )
        ax.plot(x, np.median(curves, axis=0), color=color, linewidth=0.8, alpha=0.9, zorder=0.6)


def _points(curve: dict[str, list]) -> tuple[list, list]:
    return curve["alpha"], curve["value"]


def _steps(
    path: dict[str, list], record: Record, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """The corners of a path of counts between two alphas, for steps that turn after each."""
    jumps = np.array([jump for jump in path["jumps"] if low < jump < high])
    alpha = np.concatenate([[low], jumps, [high]])
    return alpha, accuracy_at(path, np.concatenate([alpha[1:], [high]]), record.test_points)


def _sampling(record: Record, undecided: list[list[float]]) -> str:
    share = max(max(values) for values in undecided)
    return rf"normal smoothing: $n \leq$ {record.config['samples']:,}, error {record.config['error']:g} a point, undecided at most {100 * share:.1f} %"


def finish(
    figure: Figure,
    record: Record,
    bottom: float = 0.03,
    points: int | None = None,
    published: Sequence[Record] = (),
    more: str = "",
) -> None:
    """Lay the figure out, and say at its foot what it shows: profile, seed and number of test points, the published runs under it, and `more`."""
    notes = [
        f"profile {record.profile} · seed {record.seed} · {points or record.test_points:,} test points"
    ]
    notes += (
        [f"areas and thin lines: range and median of {of_seeds(published)}"]
        if len(published) > 1
        else []
    )
    foot(figure, [*notes, *([more] if more else [])], bottom)


def of_seeds(published: Sequence[Record]) -> str:
    """Which runs these are, for the foot of a figure."""
    seeds = f"{published[0].seed} to {published[-1].seed}"
    return f"{len(published)} published runs · profile {published[0].profile} · seeds {seeds} · {published[0].test_points:,} test points"


def foot(figure: Figure, notes: list[str], bottom: float = 0.03) -> None:
    """Lay the figure out above `notes`, one below the other at its foot."""
    height = 0.17 / figure.get_figheight()
    figure.tight_layout(rect=(0, bottom + height * (len(notes) - 1), 1, 1))
    for place, note in enumerate(reversed(notes)):
        figure.text(
            0.995,
            0.005 + height * place,
            note,
            ha="right",
            va="bottom",
            fontsize="x-small",
            color="0.35",
        )
