"""The pages on what the choices decide, as small multiples, tables and sentences."""

from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lbrs.experiments.records import Record
from lbrs.pages.claims import NONE
from lbrs.pages.drawing import SHARE, STYLES, Look, band, foot, of_run, of_seeds, style
from lbrs.pages.findings.words import Finding, findings
from lbrs.pages.text import Markdown, short, table

TITLES = {
    "references": "N = {}",
    "link": "{}",
    "classes": "class {}",
    "noise": "trained with noise {}",
    "width": "{} channels",
    "attack": "step {}",
}
SUBJECTS = {
    "references": "number of reference points",
    "link": "output of the network",
    "classes": "positive class",
    "noise": "noise in training",
    "width": "width of the network",
    "attack": "set-up of the attack (step and start)",
}
WHERE = {
    "clean": ("clean", "-", STYLES["lbrs"]["color"]),
    "attacked": ("attacked", "--", STYLES["normal"]["color"]),
}
"""Which images: name, dashes and colour of the line."""

METHODS = {
    "cnn": "the network",
    "best": r"LBRS at its best $\alpha$",
    "nearest": "the 1-NN",
}
Entries = list[dict[str, Any]]
"""What one variant of a panel gave in each record."""


def best_source(record: Record, published: Sequence[Record]) -> list[Record]:
    """The records to show: the published ones if there are at least two, else the run's own."""
    return list(published) if len(published) > 1 else [record]


def _variants(records: Sequence[Record], panel: str) -> list[tuple[str, Entries]]:
    """Label and the entries of all records, for each variant of a panel."""
    entries = [record.results["panels"][panel] for record in records]
    return [(shown[0]["label"], list(shown)) for shown in zip(*entries, strict=True)]


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    columns = min(5, count)
    rows = -(-count // columns)
    size = (max(6.4, 2.35 * columns), 2.5 * rows + 0.5)
    figure, axes = plt.subplots(
        rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False
    )
    for ax in axes.flat[count:]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("accuracy")
    return figure, list(axes.flat[:count])


def small_multiples(records: Sequence[Record], panel: str) -> dict[str, Any]:
    """One small figure for each variant of `panel`: LBRS over alpha on clean and on attacked
    images, the network and the 1-NN as levels."""
    style()
    alpha, drawn, variants = records[0].results["alpha"], {}, _variants(records, panel)
    figure, axes = _grid(len(variants))
    for ax, (label, entries) in zip(axes, variants, strict=True):
        for where, (told, dashes, color) in WHERE.items():
            curves = [entry[where]["lbrs"] for entry in entries]
            look = {"linestyle": dashes, "color": color, "label": f"LBRS, {told}"}
            drawn[f"{label}, {where}"] = _median_curve(ax, alpha, curves, look)
            for name, dots in (("cnn", ":"), ("nearest", "-.")):
                level = _median(entries, where, name)
                ax.axhline(level, color=color, linestyle=dots, linewidth=1)
        ax.set(xscale="log", xticks=[1e-3, 1, 1e3], xlabel=r"$\alpha$ (units of $x$)")
        ax.set(ylim=SHARE, title=TITLES[panel].format(label))
        ax.minorticks_off()
    _legend(figure, axes[0], records)
    return drawn


def normal_smoothing(records: Sequence[Record]) -> dict[str, Any]:
    """Normal smoothing over sigma on each base network of the panel on noise, clean and
    attacked."""
    style()
    drawn, variants = {}, _variants(records, "noise")
    figure, axes = _grid(len(variants))
    for ax, (label, entries) in zip(axes, variants, strict=True):
        for where, (told, dashes, color) in WHERE.items():
            curves = [entry["normal"][where] for entry in entries]
            look = {"linestyle": dashes, "color": color, "label": rf"$\sigma$-NS, {told}"}
            look |= {"marker": "o", "markersize": 4}
            drawn[f"{label}, {where}"] = _median_curve(ax, entries[0]["sigma"], curves, look)
        ax.set(ylim=SHARE, title=TITLES["noise"].format(label), xlabel=r"$\sigma$ (units of $x$)")
    config = records[0].config
    draws = f"normal smoothing: at most {config['samples']:,} draws, error {config['error']:g}"
    _legend(figure, axes[0], records, f"{draws} a point")
    return drawn


def _median_curve(ax: Axes, x: list[float], curves: list[list[float]], look: Look) -> list[float]:
    """The median of `curves` over their range; returns it."""
    band(ax, x, curves, look["color"])
    middle: list[float] = np.median(curves, axis=0).tolist()
    ax.plot(x, middle, linewidth=2, **look)
    return middle


def _legend(figure: Figure, ax: Axes, records: Sequence[Record], more: str = "") -> None:
    ax.legend(loc="lower left", fontsize="x-small")
    several = len(records) > 1
    shown = f"median and range of {of_seeds(records)}" if several else of_run(records[0])
    foot(figure, [shown, more] if more else [shown])


def _median(entries: Entries, where: str, key: str) -> float:
    return float(np.median([entry[where][key] for entry in entries]))


HEADINGS = {
    "references": "The number of reference points",
    "link": "The output of the network",
    "classes": "The positive class",
    "noise": "Noise in training",
    "width": "The width of the network",
    "attack": "Step and start of the attack",
}


def overview(records: Sequence[Record]) -> Markdown:
    """The four choices that move what LBRS reaches under attack the most, the first one first: each
    with how far, from the lowest to the highest median over its variants."""
    if not records:
        return NONE
    moves = {panel: _move(_variants(records, panel), "attacked", "best")[0] for panel in HEADINGS}
    largest = sorted(moves, key=moves.__getitem__, reverse=True)[:4]
    return findings(
        Finding(
            f"The {SUBJECTS[panel]} moves the accuracy of LBRS under attack, at its best "
            r"$\alpha$, by",
            f"{moves[panel]:.3f}",
            HEADINGS[panel],
        )
        for panel in largest
    )


def conclusion(records: Sequence[Record], panel: str) -> Markdown:
    """One sentence on what the choice of `panel` decides, computed from the medians over the
    records, and how sure that is."""
    variants = _variants(records, panel)
    moves = [_move(variants, where, key) for where in WHERE for key in METHODS]
    most = max(size for size, _ in moves)
    weight = (
        "matters much" if most > 0.1 else "matters a little" if most > 0.02 else "hardly matters"
    )
    moved = "; ".join(told for size, told in moves if size > 0.005)
    sentences = [
        f"**The {SUBJECTS[panel]} {weight} for what LBRS reaches.**",
        f"It moves {moved}." if moved else "No median moves by more than .005.",
    ]
    if panel == "link":
        sentences.append(_shift(records, variants))
    if panel == "noise":
        sentences.append(_noisy(variants))
    if len(records) > 1:
        sentences.append(_between_seeds(variants))
    return Markdown(" ".join(sentences))


def _move(variants: list[tuple[str, Entries]], where: str, key: str) -> tuple[float, str]:
    """How far the median of a method moves over the variants of a panel, and how in words."""
    found = {label: _median(entries, where, key) for label, entries in variants}
    low, high = min(found, key=found.__getitem__), max(found, key=found.__getitem__)
    images = "on attacked images" if where == "attacked" else "on clean images"
    span = f"from {found[low]:.3f} ({low}) to {found[high]:.3f} ({high})"
    return found[high] - found[low], f"{METHODS[key]} {images} {span}"


def _between_seeds(variants: list[tuple[str, Entries]]) -> str:
    ranges = [np.ptp([entry["attacked"]["best"] for entry in entries]) for _, entries in variants]
    return (
        "For comparison: between seeds the best accuracy under attack of one variant ranges over "
        f"{np.median(ranges):.3f} (median of the variants)."
    )


def _shift(records: Sequence[Record], variants: list[tuple[str, Entries]]) -> str:
    """The alpha at which each curve on clean images has gone half of its way from the network to
    the 1-NN."""
    alpha, halves = records[0].results["alpha"], []
    for label, entries in variants:
        curve = np.median([entry["clean"]["lbrs"] for entry in entries], axis=0)
        middle = (_median(entries, "clean", "cnn") + _median(entries, "clean", "nearest")) / 2
        half = alpha[int(np.argmin(np.abs(curve - middle)))]
        halves.append((half, rf"$\alpha \approx {short(half)}$ for the {label}"))
    told = " and at ".join(words for _, words in halves)
    times = max(half for half, _ in halves) / max(min(half for half, _ in halves), 1e-300)
    return (
        f"But it moves $\\alpha$ {short(times)}-fold: on clean images half of the way from the "
        f"network to the 1-NN is reached at {told}."
    )


def _noisy(variants: list[tuple[str, Entries]]) -> str:
    told = "; ".join(_with_noise(label, entries) for label, entries in variants)
    return f"With a network {told}."


def _with_noise(label: str, entries: Entries) -> str:
    best = float(np.median([max(entry["normal"]["attacked"]) for entry in entries]))
    last = float(np.median([entry["normal"]["clean"][-1] for entry in entries]))
    lbrs = _median(entries, "attacked", "best")
    return (
        f"trained with noise {label}, normal smoothing reaches {best:.3f} under attack at its best "
        rf"$\sigma$ (LBRS {lbrs:.3f} at its best $\alpha$), and has {last:.3f} on clean images at "
        rf"$\sigma = {entries[0]['sigma'][-1]:g}$"
    )


def numbers(records: Sequence[Record]) -> Markdown:
    """Medians over the records for every variant of every panel."""
    rows = [
        [subject, label, *_medians(entries)]
        for panel, subject in SUBJECTS.items()
        for label, entries in _variants(records, panel)
    ]
    methods = ["CNN", "best LBRS", "1-NN"]
    clean, attacked = (f"{where}: {methods[0]}" for where in WHERE)
    return table(["choice", "variant", clean, *methods[1:], attacked, *methods[1:]], rows)


def _medians(entries: Entries) -> Iterator[str]:
    for where in WHERE:
        for key in METHODS:
            yield f"{_median(entries, where, key):.3f}"
