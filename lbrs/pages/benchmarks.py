"""The page of measured times: its tables, sentences and figure."""

from collections.abc import Callable
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from lbrs.pages.drawing import COLORS, Look, foot, style
from lbrs.pages.speed import verdicts
from lbrs.pages.text import NORMS, Markdown, attack_of, short, spread, table
from lbrs.pages.timings import (
    Group,
    Growth,
    decisions,
    groups,
    growth,
    growths,
    load,
    only,
    per_point,
    products,
    ratio,
    whole,
)

__all__ = ["load", "verdicts"]

METHODS = {
    "predict": "`predict`",
    "paper": '`certify(bound="paper")`',
    "sharp": '`certify(bound="sharp")`',
}
LOOKS = {"predict": (COLORS[2], "^"), "paper": (COLORS[0], "o"), "sharp": (COLORS[3], "D")}


def setting(summary: Group) -> Markdown:
    """On what was measured, and with what, in sentences."""
    machine = summary["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    threads = f"{machine['threads']} thread{'s' if machine['threads'] > 1 else ''}"
    tiny = (
        f"**These are times of size *{summary['size']}*, a trial of the program, and say nothing "
        "about speed.** "
    )
    return Markdown(
        f"{'' if summary['size'] == 'full' else tiny}"
        f"Measured on {machine['system']} with {machine['cpus']} processors "
        f"({machine['processor']}), each comparison with {threads}. Versions: {versions}."
    )


def samples_table(summary: Group) -> Markdown:
    """Draws per second of normal smoothing at a fixed number of draws, and how much longer others
    take."""
    found = only(summary, "samples")
    draws, seconds = found["points"] * found["samples"], found["seconds"]
    rows = []
    for name, times in seconds.items():
        longer = "" if name == "lbrs" else f"{ratio(times, seconds['lbrs'])}"
        rows.append([name, f"{spread(draws / time for time in times)}", longer])
    return table(["normal smoothing by", "draws a second", "times as long as lbrs"], rows)


def sequential_table(summary: Group) -> Markdown:
    """Sequential sampling against a fixed number of draws, over the whole grid of sigma."""
    columns: dict[str, Callable[[Group], str]] = {
        "images": lambda found: f"{found['dataset']}, {attack_of(found)}",
        "points": lambda found: f"{found['points']}",
        "times as fast": lambda found: (
            f"{ratio(found['seconds']['fixed'], found['seconds']['sequential'])}"
        ),
        "times fewer draws": lambda found: f"{found['samples'] / found['draws']:.1f}",
        "decisions that differ": lambda found: f"{decisions(found, 'differ'):.4f}",
        "of these, decided early": lambda found: f"{decisions(found, 'differ_decided'):.4f}",
        "undecided": lambda found: f"{decisions(found, 'undecided'):.4f}",
        "stated error": lambda found: f"{found['error']:g}",
    }
    measured = groups(summary, "sequential")
    rows = [[told(found) for told in columns.values()] for found in measured]
    return table(list(columns), rows)


def certifying_table(summary: Group) -> Markdown:
    """Seconds per certified point."""
    found = only(summary, "certifying")
    times, rows = per_point(found), []
    for name, values in times.items():
        cohen = name == "Cohen"
        told = rf"Cohen et al., $n = {found['samples']:,}$" if cohen else name
        weights = f"{found['weights'][name.split(',')[0]]:,}"
        faster = "" if cohen else f"{ratio(times['Cohen'], values)}"
        rows.append([told, weights, short(1000 * median(values)), faster])
    return table(
        [
            "certificate",
            "weights of the network",
            "milliseconds a point",
            "times as fast as Cohen et al.",
        ],
        rows,
    )


def certifying_setup(summary: Group) -> Markdown:
    """What the closed form costs once, before the first point."""
    found = only(summary, "certifying")
    cohen = median(per_point(found)["Cohen"])
    return Markdown(
        f"Proving the constant $L$ of the smooth network takes {short(found['setup'])} s, once. "
        f"Cohen's protocol takes {short(cohen)} s for every point."
    )


def scaling_table(summary: Group) -> Markdown:
    """Fitted exponents, with the times at the ends of the grid."""
    points, rows = {"N": "reference points", "n": "test points"}, []
    for one in growths(summary):
        half = one.values[len(one.values) // 2]
        rows.append(
            [
                points[one.over],
                METHODS[one.method],
                one.when,
                f"{one.fit[0]:.2f}",
                f"{half:,} to {one.values[-1]:,}",
                f"{1000 * one.seconds[0]:.3g}",
                f"{1000 * one.seconds[-1]:,.3g}",
            ]
        )
    ends = ["ms at the smallest", "ms at the largest"]
    header = ["grows with", "function", "when", "fitted exponent", "fitted on", *ends]
    return table(header, rows)


def radii_table(summary: Group) -> Markdown:
    """First calls for labels and sharp radii, in products of matrices, with fitted exponents."""
    found = only(summary, "radii")
    names, rows = {"product": "one product", "label": "labels"}, []
    for name, seconds in found["seconds"].items():
        times = list(map(median, seconds))
        units = ["1" if name == "product" else f"{unit}" for unit in products(found, name)]
        told = names.get(name) or f"radii, {NORMS[name]}"
        exponent, _ = growth(found["N"], times)
        rows.append([told, *units, f"{exponent:.2f}", short(times[-1])])
    heads = [f"$N = {N:,}$" for N in found["N"]]
    return table(["first call", *heads, "fitted exponent", "seconds at the largest"], rows)


def radii_setup(summary: Group) -> Markdown:
    """What is multiplied."""
    found = only(summary, "radii")
    return Markdown(
        f"The unit is one product of a matrix of {found['points']:,} test images of "
        f"{found['features']} pixels with that of $N$ reference points, in float64."
    )


def memory_table(summary: Group) -> Markdown:
    """The rise of the peak memory of a process that makes an oracle and one call."""
    measured = groups(summary, "memory")
    rows = []
    for over, pairs in measured[0]["pairs"].items():
        for place, (N, n) in enumerate(pairs):
            rises = [f"{found['mebibytes'][over][place]:,.0f}" for found in measured]
            rows.append([f"{N:,}", f"{n:,}", *rises])
    methods = [f"{METHODS[found['method']]}, MiB" for found in measured]
    return table(["reference points", "test points", *methods], rows)


def runs_table(summary: Group) -> Markdown:
    """Minutes and peak memory of whole experiments, each in a fresh process with all cores."""
    measured = groups(summary, "runs")
    rows = []
    for found in measured:
        minutes, peak = found["seconds"] / 60, found["mebibytes"] / 1024
        points = f"{found['test_points']:,}"
        rows.append([found["run"], found["profile"], points, f"{minutes:.1f}", f"{peak:.1f}"])
    for profile in dict.fromkeys(found["profile"] for found in measured):
        minutes, peak = whole(summary, profile)
        rows.append(["altogether", profile, "", f"{minutes:.1f}", f"{peak:.1f}, the highest"])
    return table(["run", "profile", "test points", "minutes", "peak memory, GiB"], rows)


def over_points(summary: Group) -> dict[str, Any]:
    """The figure: time over the number of reference points and over that of test points, with the
    fitted powers; returns what it drew."""
    style()
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.8), sharey=True)
    drawn: dict[str, Any] = {}
    for one in growths(summary):
        _power(axes["Nn".index(one.over)], one)
        drawn[f"{one.over} {one.when} {one.method}"] = {
            "values": one.values,
            "seconds": one.seconds,
            "exponent": one.fit[0],
        }
    axes[0].set(xlabel="number of reference points $N$", ylabel="seconds a call")
    axes[1].set(xlabel="number of test points $n$")
    for ax in axes:
        ax.set(xscale="log", yscale="log")
        ax.legend(fontsize="x-small", loc="upper left")
    (points,) = {found["points"] for found in groups(summary, "over reference points")}
    sizes = (
        f"MNIST · left: {points:,} test points · "
        f"right: {only(summary, 'over test points')['N']:,} reference points · "
        f"size {summary['size']}"
    )
    foot(figure, [sizes, "medians; lines: powers fitted to the larger half"])
    return drawn


def _power(ax: Axes, one: Growth) -> None:
    """Measured times as marks, hollow for first calls, and the fitted power as a line."""
    (color, marker), (exponent, factor) = LOOKS[one.method], one.fit
    first = one.when == "first call"
    filled = "none" if first else color
    marks: Look = {
        "marker": marker,
        "markersize": 5,
        "linestyle": "none",
        "markerfacecolor": filled,
    }
    ax.plot(one.values, one.seconds, color=color, **marks)
    half = np.array(one.values[len(one.values) // 2 :], dtype=float)
    label = f"{one.method}{', first call' if first else ''}: ${one.over}^{{{exponent:.2f}}}$"
    dashes = ":" if first else "-"
    ax.plot(half, factor * half**exponent, color=color, linestyle=dashes, label=label)
