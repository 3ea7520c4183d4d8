"""What the choices decide, as small multiples, tables and sentences, drawn from records alone."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from lbrs.experiments.records import Record
from lbrs.pages.drawing import STYLES, band, foot, of_seeds, style
from lbrs.pages.text import Markdown, table

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
WHERE = {"clean": ("clean", "-"), "attacked": ("attacked", "--")}


def best_source(record: Record, published: Sequence[Record]) -> list[Record]:
    """The records to show: the published ones if there are at least two, else the run's own."""
    return list(published) if len(published) > 1 else [record]


def _variants(records: Sequence[Record], panel: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """Label and the entries of all records, for each variant of a panel."""
    entries = [record.results["panels"][panel] for record in records]
    return [(shown[0]["label"], list(shown)) for shown in zip(*entries, strict=True)]


def _grid(count: int) -> tuple[plt.Figure, list[plt.Axes]]:
    columns = min(5, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(max(6.4, 2.35 * columns), 2.5 * rows + 0.5),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for ax in axes.flat[count:]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("accuracy")
    return figure, list(axes.flat[:count])


def small_multiples(records: Sequence[Record], panel: str) -> dict[str, Any]:
    """One small figure for each variant of `panel`: LBRS over alpha on clean and on attacked images, the network and the 1-NN as levels."""
    style()
    alpha, drawn, variants = records[0].results["alpha"], {}, _variants(records, panel)
    figure, axes = _grid(len(variants))
    for ax, (label, entries) in zip(axes, variants, strict=True):
        for where, (told, dashes) in WHERE.items():
            color = STYLES["lbrs" if where == "clean" else "normal"]["color"]
            curves = np.array([entry[where]["lbrs"] for entry in entries])
            band(ax, alpha, list(curves), color)
            ax.plot(
                alpha,
                np.median(curves, axis=0),
                dashes,
                color=color,
                linewidth=2,
                label=f"LBRS, {told}",
            )
            for name, dots in (("cnn", ":"), ("nearest", "-.")):
                ax.axhline(
                    np.median([entry[where][name] for entry in entries]),
                    color=color,
                    linestyle=dots,
                    linewidth=1,
                )
            drawn[f"{label}, {where}"] = np.median(curves, axis=0).tolist()
        ax.set(
            xscale="log",
            ylim=(-0.02, 1.02),
            title=TITLES[panel].format(label),
            xticks=[1e-3, 1, 1e3],
            xlabel=r"$\alpha$ (units of $x$)",
        )
        ax.minorticks_off()
    _legend(figure, axes[0], records)
    return drawn


def normal_smoothing(records: Sequence[Record]) -> dict[str, Any]:
    """Normal smoothing over sigma on each base network of the panel on noise, clean and attacked."""
    style()
    drawn, variants = {}, _variants(records, "noise")
    figure, axes = _grid(len(variants))
    for ax, (label, entries) in zip(axes, variants, strict=True):
        for where, (told, dashes) in WHERE.items():
            color = STYLES["lbrs" if where == "clean" else "normal"]["color"]
            curves = np.array([entry["normal"][where] for entry in entries])
            band(ax, entries[0]["sigma"], list(curves), color)
            ax.plot(
                entries[0]["sigma"],
                np.median(curves, axis=0),
                dashes,
                color=color,
                linewidth=2,
                marker="o",
                markersize=4,
                label=rf"$\sigma$-NS, {told}",
            )
            drawn[f"{label}, {where}"] = np.median(curves, axis=0).tolist()
        ax.set(
            ylim=(-0.02, 1.02),
            title=TITLES["noise"].format(label),
            xlabel=r"$\sigma$ (units of $x$)",
        )
    _legend(
        figure,
        axes[0],
        records,
        f"normal smoothing: at most {records[0].config['samples']:,} draws, error {records[0].config['error']:g} a point",
    )
    return drawn


def _legend(figure: plt.Figure, ax: plt.Axes, records: Sequence[Record], more: str = "") -> None:
    ax.legend(loc="lower left", fontsize="x-small")
    shown = [f"median and range of {of_seeds(records)}"]
    if len(records) == 1:
        shown = [
            f"profile {records[0].profile} · seed {records[0].seed} · {records[0].test_points:,} test points"
        ]
    foot(figure, [*shown, *([more] if more else [])])


def _medians(entries: list[dict[str, Any]], where: str, key: str) -> float:
    return float(np.median([entry[where][key] for entry in entries]))


def conclusion(records: Sequence[Record], panel: str) -> Markdown:
    """One sentence on what the choice of `panel` decides, computed from the medians over the records, and how sure that is."""
    variants = _variants(records, panel)
    parts, spread = [], {}
    for where in WHERE:
        for key, told in (
            ("cnn", "the network"),
            ("best", "LBRS at its best $\\alpha$"),
            ("nearest", "the 1-NN"),
        ):
            found = [_medians(entries, where, key) for _, entries in variants]
            spread[where, key] = max(found) - min(found)
            low, high = variants[int(np.argmin(found))][0], variants[int(np.argmax(found))][0]
            if spread[where, key] > 0.005:
                parts.append(
                    f"{told} {'on attacked images' if where == 'attacked' else 'on clean images'} from {min(found):.3f} ({low}) to {max(found):.3f} ({high})"
                )
    most = max(spread.values())
    noise = (
        np.median(
            [np.ptp([entry["attacked"]["best"] for entry in entries]) for _, entries in variants]
        )
        if len(records) > 1
        else float("nan")
    )
    weight = (
        "matters much" if most > 0.1 else "matters a little" if most > 0.02 else "hardly matters"
    )
    text = f"**The {SUBJECTS[panel]} {weight}.** " + (
        f"It moves {'; '.join(parts)}." if parts else "No median moves by more than .005."
    )
    if panel == "link":
        text += " " + _shift(records, variants)
    if panel == "noise":
        text += " " + _noisy(variants)
    if len(records) > 1:
        text += f" For comparison: between seeds the best accuracy under attack of one variant ranges over {noise:.3f} (median of the variants)."
    return Markdown(text)


def _shift(records: Sequence[Record], variants: list[tuple[str, list[dict[str, Any]]]]) -> str:
    """The alpha at which each curve on clean images has gone half of its way from the network to the 1-NN."""
    alpha, halves = np.array(records[0].results["alpha"]), []
    for label, entries in variants:
        curve = np.median([entry["clean"]["lbrs"] for entry in entries], axis=0)
        middle = (_medians(entries, "clean", "cnn") + _medians(entries, "clean", "nearest")) / 2
        halves.append(
            rf"$\alpha \approx {alpha[int(np.argmin(np.abs(curve - middle)))]:.2g}$ for the {label}"
        )
    return f"On clean images half of the way from the network to the 1-NN is reached at {' and at '.join(halves)}."


def _noisy(variants: list[tuple[str, list[dict[str, Any]]]]) -> str:
    told = []
    for label, entries in variants:
        ends = [
            float(np.median([entry["normal"][where][-1] for entry in entries])) for where in WHERE
        ]
        best = float(np.median([max(entry["normal"]["attacked"]) for entry in entries]))
        told.append(
            rf"trained with noise {label}, normal smoothing reaches {best:.3f} under attack at its best $\sigma$ (LBRS {_medians(entries, 'attacked', 'best'):.3f} at its best $\alpha$), "
            rf"and has {ends[0]:.3f} on clean images at $\sigma = {entries[0]['sigma'][-1]:g}$"
        )
    return "With a network " + "; ".join(told) + "."


def numbers(records: Sequence[Record]) -> Markdown:
    """Medians over the records for every variant of every panel."""
    rows = []
    for panel in SUBJECTS:
        for label, entries in _variants(records, panel):
            rows.append(
                [
                    SUBJECTS[panel],
                    label,
                    *(
                        f"{_medians(entries, where, key):.3f}"
                        for where in WHERE
                        for key in ("cnn", "best", "nearest")
                    ),
                ]
            )
    return table(
        [
            "choice",
            "variant",
            "clean: CNN",
            "best LBRS",
            "1-NN",
            "attacked: CNN",
            "best LBRS",
            "1-NN",
        ],
        rows,
    )
