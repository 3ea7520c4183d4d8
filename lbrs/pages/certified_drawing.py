"""The figures of the certified images, drawn from a record alone; each returns the numbers it drew."""

from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns

from lbrs.experiments.records import Record, find_curve, reference_counts, shown_alphas
from lbrs.pages.drawing import NORM_NAMES, finish, line, style

ALPHA_COLORS = [sns.color_palette("flare", 3)[place] for place in range(3)]


def certified_accuracy(record: Record) -> dict[str, Any]:
    """Certified accuracy over the radius for each number of reference points: the smooth network, LBRS by Theorem E' and by Theorem 8, the 1-NN."""
    style()
    norms = record.results["norms"]
    counts = reference_counts(norms["l2"]["curves"])
    figure, axes = plt.subplots(
        len(norms),
        len(counts),
        figsize=(3.3 * len(counts), 3.6 * len(norms) + 0.6),
        sharey=True,
        squeeze=False,
    )
    drawn: dict[str, Any] = {}
    for row, (norm, values) in zip(axes, norms.items(), strict=True):
        shown = shown_alphas(values["alpha"])
        for ax, N in zip(row, counts, strict=True):
            lines = [
                ("network", {"method": "base"}, {**line("cnn"), "label": "smooth network"}),
                ("nearest", {"method": "nearest", "N": N}, line("nearest")),
            ]
            lines += [
                (
                    f"sharp {a:g}",
                    {"method": "sharp", "N": N, "alpha": a},
                    {
                        "label": _alpha_label("LBRS", place),
                        "color": ALPHA_COLORS[place],
                        "linewidth": 2,
                    },
                )
                for place, a in enumerate(shown)
            ]
            lines += [
                (
                    "theorem8",
                    {"method": "theorem8", "N": N, "alpha": shown[0]},
                    {
                        "label": _alpha_label("LBRS, Theorem 8", 0),
                        "color": ALPHA_COLORS[0],
                        "linestyle": "--",
                    },
                )
            ]
            for name, key, look in lines:
                ax.plot(values["radii"], find_curve(values["curves"], **key)["certified"], **look)
                drawn[f"{norm} {N} {name}"] = find_curve(values["curves"], **key)["certified"]
            ax.locator_params(axis="x", nbins=4)
            ax.set(
                title=f"{NORM_NAMES[norm]}, $N={N:,}$",
                xlabel=f"radius ({NORM_NAMES[norm]}, pixel units)",
                ylim=(-0.02, 1.02),
            )
        note = ", ".join(rf"$\alpha_{place + 1}={a:g}$" for place, a in enumerate(shown))
        row[0].text(
            0.04,
            0.04,
            note,
            transform=row[0].transAxes,
            fontsize="x-small",
            color="0.25",
            backgroundcolor=(1, 1, 1, 0.7),
        )
        row[0].set_ylabel("certified accuracy (share of test points)")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        ncols=6,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.022),
        fontsize="small",
    )
    finish(figure, record, bottom=0.075)
    return drawn


def average_radius(record: Record) -> dict[str, Any]:
    """The average certified radius over alpha, for each number of reference points: Theorem E' against Theorem 8, the network and the 1-NN."""
    style()
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.6))
    drawn = {}
    for ax, (norm, values) in zip(axes, record.results["norms"].items(), strict=True):
        counts = reference_counts(values["curves"])
        places = range(len(values["alpha"]))
        for color, N in zip(sns.color_palette("viridis", len(counts)), counts, strict=True):
            for method, dashes, label in (
                ("sharp", "-", f"Theorem E', $N={N:,}$"),
                ("theorem8", "--", f"Theorem 8, $N={N:,}$"),
            ):
                average = [
                    find_curve(values["curves"], method=method, N=N, alpha=alpha)["average"]
                    for alpha in values["alpha"]
                ]
                ax.plot(
                    places,
                    average,
                    dashes,
                    color=color,
                    marker="oD"[method == "sharp"],
                    markersize=4,
                    label=label,
                )
                drawn[f"{norm} {method} {N}"] = average
        ax.axhline(
            find_curve(values["curves"], method="base")["average"],
            **line("cnn") | {"label": "smooth network"},
        )
        ax.set_xticks(places, [f"{alpha:g}" for alpha in values["alpha"]], fontsize="x-small")
        ax.set(
            xlabel=rf"$\alpha$ ({NORM_NAMES[norm]}, pixel units)",
            title=NORM_NAMES[norm],
            ylim=(0, None),
        )
    axes[0].set_ylabel("average certified radius (pixel units)")
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        ncols=5,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.03),
        fontsize="x-small",
    )
    finish(figure, record, bottom=0.16)
    return drawn


def cohen_accuracy(record: Record) -> dict[str, Any]:
    """Certified l2 accuracy of Cohen's normal smoothing for each sigma, without a bias and with three of them, against the smooth network's LBRS."""
    style()
    values, sigmas = record.results["norms"]["l2"], record.config["sigmas"]
    N = reference_counts(values["curves"])[-1]
    shown = shown_alphas(values["alpha"])
    figure, axes = plt.subplots(
        1, len(sigmas), figsize=(3.7 * len(sigmas), 4.4), sharey=True, squeeze=False
    )
    drawn = {}
    for ax, sigma in zip(axes[0], sigmas, strict=True):
        lines = [(0.0, {**line("normal"), "label": r"Cohen, $\alpha=0$"})]
        lines += [
            (
                alpha,
                {
                    "color": ALPHA_COLORS[place],
                    "linewidth": 2,
                    "label": rf"Cohen with a bias, $\alpha={alpha:g}$",
                },
            )
            for place, alpha in enumerate(shown)
        ]
        for alpha, look in lines:
            drawn[f"{sigma:g} {alpha:g}"] = find_curve(
                values["curves"], method="cohen", sigma=sigma, N=N, alpha=alpha
            )["certified"]
            ax.plot(values["radii"], drawn[f"{sigma:g} {alpha:g}"], **look)
        smooth = find_curve(values["curves"], method="sharp", N=N, alpha=shown[0])["certified"]
        ax.plot(
            values["radii"],
            smooth,
            color="black",
            linestyle="-.",
            label=rf"smooth network, Theorem E', $\alpha={shown[0]:g}$",
        )
        ax.plot(
            values["radii"],
            find_curve(values["curves"], method="nearest", N=N)["certified"],
            **line("nearest"),
        )
        ax.set(
            title=rf"$\sigma={sigma:g}$",
            xlabel=r"radius ($\ell_2$, pixel units)",
            ylim=(-0.02, 1.02),
        )
    axes[0, 0].set_ylabel("certified accuracy (share of test points)")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        ncols=3,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.03),
        fontsize="x-small",
    )
    finish(figure, record, bottom=0.14)
    return drawn


def _alpha_label(name: str, place: int) -> str:
    return rf"{name}, $\alpha_{place + 1}$"
