"""The paper's figures, one function each, drawn from a record alone; each returns the numbers it drew."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lbrs.records import Record, find_curve, reference_counts, shown_alphas

COLORS = sns.color_palette("colorblind")
STYLES: dict[str, dict[str, Any]] = {
    "cnn": {"label": "CNN (base)", "color": "black", "linestyle": (0, (1, 1)), "marker": "s"},
    "normal": {"label": r"$\sigma$-NS", "color": COLORS[0], "linestyle": "--", "marker": "o"},
    "lbrs": {"label": r"$\alpha$-LBRS", "color": COLORS[3], "linestyle": "-", "marker": "D"},
    "nearest": {"label": "1-NN", "color": COLORS[2], "linestyle": "-.", "marker": "^"},
}
ALPHA_COLORS = [sns.color_palette("flare", 3)[place] for place in range(3)]
NORM_NAMES = {"l2": r"$\ell_2$", "linf": r"$\ell_\infty$"}


def style() -> None:
    """Seaborn's style for all figures."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", rc={"figure.dpi": 110, "axes.titlesize": "medium", "legend.frameon": True})


def spiral_regions(record: Record) -> dict[str, Any]:
    """Figure 1: test data, the SVM's boundary (bold), and the decision regions of f^mu for several alphas."""
    style()
    regions, test, svm = (record.results[key] for key in ("regions", "test", "svm"))
    side = regions["side"]
    x, y = np.array(test["x"]), np.array(test["y"])
    rows = -(-len(regions["alpha"]) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(8.6, 4.1 * rows + 0.7), sharex=True, sharey=True, squeeze=False)
    shares = {}
    for index, (ax, alpha) in enumerate(zip(axes.flat, regions["alpha"], strict=False)):
        raster = _shade(ax, regions, index)
        ax.scatter(*x[y > 0].T, s=7, marker="o", color=COLORS[1], linewidths=0, label="test point, $y=+1$")
        ax.scatter(*x[y < 0].T, s=9, marker="^", color=COLORS[0], linewidths=0, label="test point, $y=-1$")
        _hyperplane(ax, svm["weight"], svm["bias"], side)
        ax.set(title=rf"$\alpha={alpha:g}$", xlabel="$x_1$", ylabel="$x_2$", xlim=(-side, side), ylim=(-side, side))
        shares[alpha] = raster.mean().item()
    for ax in axes.flat[len(regions["alpha"]):]:
        ax.set_visible(False)
    handles, names = axes[0, 0].get_legend_handles_labels()
    handles.append(plt.Rectangle((0, 0), 1, 1, facecolor="white", edgecolor="grey"))
    handles.append(plt.Rectangle((0, 0), 1, 1, facecolor="0.58"))
    figure.legend(handles, [*names, r"$f^\mu=+1$", r"$f^\mu=-1$"], ncols=5, loc="lower center", bbox_to_anchor=(0.5, 0.025), markerscale=2, fontsize="x-small")
    _finish(figure, record, bottom=0.065)
    return {"positive_share": shares}


def spiral_radii(record: Record) -> dict[str, Any]:
    """Figure 2: average certified radius, average true certified radius and clean accuracy against alpha."""
    style()
    alpha, norms = record.results["alpha"], record.results["norms"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.3))
    for color, (name, values) in zip((COLORS[0], COLORS[1]), norms.items(), strict=True):
        label, every = NORM_NAMES[name], max(1, len(alpha) // 8)
        left.plot(alpha, values["radius"], color=color, marker="os"[name == "linf"], markevery=every, label=f"{label}, Theorem 6")
        left.plot(alpha, values["true_radius"], color=color, linestyle="--", marker="os"[name == "linf"], markevery=every, markerfacecolor="white",
                  label=f"{label}, Theorem 6, true")
        left.plot(alpha, values["sharp_radius"], color=color, linestyle=":", linewidth=2.4, label=f"{label}, Theorem B")
        left.plot([0], [values["base_radius"]], linestyle="none", marker="*" if name == "l2" else "X", markersize=12, color=color, clip_on=False, zorder=5,
                  label=rf"{label}, SVM: $|g|/\|a\|_*$")
    left.set(xlabel=r"$\alpha$ (units of $x$)", ylabel="average radius (units of $x$)", ylim=(0, None))
    left.legend(fontsize="x-small", loc="upper right")
    right.plot(alpha, record.results["accuracy"], color=COLORS[3], label=r"$\alpha$-LBRS")
    right.axhline(record.results["nearest"], color=STYLES["nearest"]["color"], linestyle="-.", label="1-NN")
    right.axhline(record.results["accuracy"][0], color="black", linestyle=":", label="SVM (base)")
    right.set(xlabel=r"$\alpha$ (units of $x$)", ylabel="clean accuracy (share of test points)", ylim=(0.5, 1.02))
    right.legend(fontsize="small", loc="center right")
    _finish(figure, record)
    return {"alpha": alpha, "accuracy": record.results["accuracy"], **norms}


def idea(results: dict[str, Any]) -> dict[str, Any]:
    """The method in one picture: a line, the reference points around it, and one point with its ball, before and after."""
    style()
    regions, points, labels = results["regions"], np.array(results["points"]), np.array(results["labels"])
    side, (x1, x2) = regions["side"], results["x"]
    figure, axes = plt.subplots(1, len(regions["alpha"]), figsize=(4.4 * len(regions["alpha"]), 4.4), sharey=True)
    for index, (ax, alpha, radius) in enumerate(zip(axes, regions["alpha"], results["radius"], strict=True)):
        _shade(ax, regions, index)
        _hyperplane(ax, results["weight"], results["bias"], side)
        for label, marker, color in ((1, "o", COLORS[1]), (-1, "^", COLORS[0])):
            ax.scatter(*points[labels == label].T, s=70, marker=marker, color=color, edgecolors="black", linewidths=0.6, zorder=3)
        ax.add_patch(plt.Circle((x1, x2), radius, fill=False, linewidth=2.2, linestyle="--", color="black", zorder=4))
        ax.plot(x1, x2, marker="*", markersize=15, color="black", zorder=5)
        if alpha > 0:
            end = np.array(results["x"]) + alpha * np.array(results["bias_direction"])
            ax.annotate("", xy=end, xytext=(x1, x2), arrowprops={"arrowstyle": "-|>", "linewidth": 2, "color": "black"}, zorder=6)
        title = "the base classifier" if alpha == 0 else rf"LBRS, $\alpha={alpha:g}$"
        ax.set(title=f"{title}: certified radius {radius:.2f}", xlim=(-side, side), ylim=(-side, side), xlabel="$x_1$")
    axes[0].set_ylabel("$x_2$")
    figure.tight_layout()
    return {"radius": results["radius"]}


def accuracy_over_smoothing(record: Record) -> dict[str, Any]:
    """Figures 3 and 5: clean and robust accuracy against the normalised smoothing parameter, and of LBRS against alpha itself."""
    style()
    results = record.results
    sets, sigma, alpha = results["sets"], np.array(results["sigma"]), np.array(results["alpha"])
    figure, axes = plt.subplots(2, len(sets), figsize=(3.3 * len(sets), 6.4), sharey=True, squeeze=False)
    for (top, bottom), entry in zip(axes.T, sets, strict=True):
        for ax in (top, bottom):
            for name in ("cnn", "nearest"):
                ax.axhline(entry[name], **_line(name), linewidth=1.6)
        top.plot(sigma / sigma[-1], entry["normal"], **_line("normal"), linewidth=2)
        top.plot(alpha / alpha[-1], entry["lbrs"], **_line("lbrs"), linewidth=2)
        bottom.plot(alpha[1:], entry["lbrs"][1:], **_line("lbrs"), linewidth=2)
        bottom.set(xscale="log", xlabel=r"$\alpha$ (units of $x$), logarithmic")
        top.set(title="clean" if entry["radius"] == 0 else rf"$\ell_2$-PGD, $\epsilon={entry['radius']:g}$", ylim=(-0.02, 1.02),
                xlabel=rf"$\sigma/{sigma[-1]:g}$ or $\alpha/{alpha[-1]:g}$")
    for ax in axes[:, 0]:
        ax.set_ylabel("accuracy (share of test points)")
    axes[0, 0].legend(*_unique(axes[0, 0]), fontsize="small", loc="lower center")
    _finish(figure, record)
    return {"sigma": results["sigma"], "alpha": results["alpha"], "sets": sets}


def accuracy_over_radius(record: Record) -> dict[str, Any]:
    """Figures 4 and 6: accuracy against the radius of the attack on the base network, in l2 and in linf."""
    style()
    attacks, config = record.results["attacks"], record.config
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.3), sharey=True)
    for ax, (norm, values) in zip(axes, attacks.items(), strict=True):
        for name in ("cnn", "normal", "lbrs", "nearest"):
            look = dict(STYLES[name])
            look["label"] += {"normal": rf", $\sigma={config['sigma']:g}$", "lbrs": rf", $\alpha={config['alpha']:g}$"}.get(name, "")
            ax.plot(values["radius"], values[name], **look, markersize=5, linewidth=2)
        ax.set(title=f"{NORM_NAMES[norm]}-PGD on the base network", xlabel=rf"attack radius $\epsilon$ ({NORM_NAMES[norm]}, pixel units)", ylim=(-0.02, 1.02))
    axes[0].set_ylabel("accuracy (share of test points)")
    axes[0].legend(fontsize="small")
    _finish(figure, record)
    return attacks


def certified_accuracy(record: Record) -> dict[str, Any]:
    """Certified accuracy over the radius for each number of reference points: the smooth network, LBRS by Theorem E' and by Theorem 8, the 1-NN."""
    style()
    norms = record.results["norms"]
    counts = reference_counts(norms["l2"]["curves"])
    figure, axes = plt.subplots(len(norms), len(counts), figsize=(3.3 * len(counts), 3.6 * len(norms) + 0.6), sharey=True, squeeze=False)
    drawn: dict[str, Any] = {}
    for row, (norm, values) in zip(axes, norms.items(), strict=True):
        shown = shown_alphas(values["alpha"])
        for ax, N in zip(row, counts, strict=True):
            lines = [("network", {"method": "base"}, {**_line("cnn"), "label": "smooth network"}), ("nearest", {"method": "nearest", "N": N}, _line("nearest"))]
            lines += [(f"sharp {a:g}", {"method": "sharp", "N": N, "alpha": a}, {"label": _alpha_label("LBRS", place), "color": ALPHA_COLORS[place], "linewidth": 2})
                      for place, a in enumerate(shown)]
            lines += [("theorem8", {"method": "theorem8", "N": N, "alpha": shown[0]}, {"label": _alpha_label("LBRS, Theorem 8", 0), "color": ALPHA_COLORS[0], "linestyle": "--"})]
            for name, key, look in lines:
                ax.plot(values["radii"], find_curve(values["curves"], **key)["certified"], **look)
                drawn[f"{norm} {N} {name}"] = find_curve(values["curves"], **key)["certified"]
            ax.locator_params(axis="x", nbins=4)
            ax.set(title=f"{NORM_NAMES[norm]}, $N={N:,}$", xlabel=f"radius ({NORM_NAMES[norm]}, pixel units)", ylim=(-0.02, 1.02))
        note = ", ".join(rf"$\alpha_{place + 1}={a:g}$" for place, a in enumerate(shown))
        row[0].text(0.04, 0.04, note, transform=row[0].transAxes, fontsize="x-small", color="0.25", backgroundcolor=(1, 1, 1, 0.7))
        row[0].set_ylabel("certified accuracy (share of test points)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), ncols=6, loc="lower center", bbox_to_anchor=(0.5, 0.022), fontsize="small")
    _finish(figure, record, bottom=0.075)
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
            for method, line, label in (("sharp", "-", f"Theorem E', $N={N:,}$"), ("theorem8", "--", f"Theorem 8, $N={N:,}$")):
                average = [find_curve(values["curves"], method=method, N=N, alpha=alpha)["average"] for alpha in values["alpha"]]
                ax.plot(places, average, line, color=color, marker="oD"[method == "sharp"], markersize=4, label=label)
                drawn[f"{norm} {method} {N}"] = average
        ax.axhline(find_curve(values["curves"], method="base")["average"], **_line("cnn") | {"label": "smooth network"})
        ax.set_xticks(places, [f"{alpha:g}" for alpha in values["alpha"]], fontsize="x-small")
        ax.set(xlabel=rf"$\alpha$ ({NORM_NAMES[norm]}, pixel units)", title=NORM_NAMES[norm], ylim=(0, None))
    axes[0].set_ylabel("average certified radius (pixel units)")
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=5, loc="lower center", bbox_to_anchor=(0.5, 0.03), fontsize="x-small")
    _finish(figure, record, bottom=0.16)
    return drawn


def cohen_accuracy(record: Record) -> dict[str, Any]:
    """Certified l2 accuracy of Cohen's normal smoothing for each sigma, without a bias and with three of them, against the smooth network's LBRS."""
    style()
    values, sigmas = record.results["norms"]["l2"], record.config["sigmas"]
    N = reference_counts(values["curves"])[-1]
    shown = shown_alphas(values["alpha"])
    figure, axes = plt.subplots(1, len(sigmas), figsize=(3.7 * len(sigmas), 4.4), sharey=True, squeeze=False)
    drawn = {}
    for ax, sigma in zip(axes[0], sigmas, strict=True):
        lines = [(0.0, {**_line("normal"), "label": r"Cohen, $\alpha=0$"})]
        lines += [(alpha, {"color": ALPHA_COLORS[place], "linewidth": 2, "label": rf"Cohen with a bias, $\alpha={alpha:g}$"}) for place, alpha in enumerate(shown)]
        for alpha, look in lines:
            drawn[f"{sigma:g} {alpha:g}"] = find_curve(values["curves"], method="cohen", sigma=sigma, N=N, alpha=alpha)["certified"]
            ax.plot(values["radii"], drawn[f"{sigma:g} {alpha:g}"], **look)
        smooth = find_curve(values["curves"], method="sharp", N=N, alpha=shown[0])["certified"]
        ax.plot(values["radii"], smooth, color="black", linestyle="-.", label=rf"smooth network, Theorem E', $\alpha={shown[0]:g}$")
        ax.plot(values["radii"], find_curve(values["curves"], method="nearest", N=N)["certified"], **_line("nearest"))
        ax.set(title=rf"$\sigma={sigma:g}$", xlabel=r"radius ($\ell_2$, pixel units)", ylim=(-0.02, 1.02))
    axes[0, 0].set_ylabel("certified accuracy (share of test points)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), ncols=3, loc="lower center", bbox_to_anchor=(0.5, 0.03), fontsize="x-small")
    _finish(figure, record, bottom=0.14)
    return drawn


def spiral_sharpness(record: Record) -> dict[str, Any]:
    """Theorem 6, Theorem B and the exact radius side by side over alpha: average radius, and certified accuracy at several radii."""
    style()
    norms = record.results["sharpness"]
    figure, axes = plt.subplots(len(norms), 1 + len(next(iter(norms.values()))["radii"]), figsize=(11.4, 3.2 * len(norms) + 0.5), squeeze=False)
    looks = {"theorem6": ("Theorem 6", "--", "s"), "theorem_b": ("Theorem B", "-", "o"), "exact": ("exact (Theorem C)", ":", "^")}
    for row, (norm, values) in zip(axes, norms.items(), strict=True):
        for place, (key, (label, line, marker)) in enumerate(looks.items()):
            look = {"label": label, "linestyle": line, "marker": marker, "color": COLORS[(0, 3, 2)[place]], "markersize": 4, "linewidth": 2}
            row[0].plot(values["alpha"], values[key]["average"], **look)
            for ax, accuracy in zip(row[1:], np.array(values[key]["certified"]).T, strict=True):
                ax.plot(values["alpha"], accuracy, **look)
        row[0].set(title=f"{NORM_NAMES[norm]}: average radius", ylabel="units of $x$", ylim=(0, None))
        for ax, radius in zip(row[1:], values["radii"], strict=True):
            ax.set(title=f"{NORM_NAMES[norm]}: certified accuracy at {radius:g}", ylim=(-0.02, 1.02))
        for ax in row:
            ax.set_xlabel(r"$\alpha$ (units of $x$)")
    axes[0, 0].legend(fontsize="small")
    _finish(figure, record, points=min(record.test_points, record.config["exact_points"]))
    return norms


def _alpha_label(name: str, place: int) -> str:
    return rf"{name}, $\alpha_{place + 1}$"


def _shade(ax: Axes, regions: dict[str, Any], index: int) -> np.ndarray:
    """The decision regions of one alpha, light for +1 and dark for -1; returns the raster of 0 and 1."""
    side, n = regions["side"], regions["raster"]
    raster = np.array(list(f"{int(regions['bits'][index], 16):0{n * n}b}"), dtype=float).reshape(n, n)
    ax.imshow(raster, extent=(-side, side, -side, side), origin="lower", cmap="Greys_r", vmin=-1.4, vmax=1, aspect="equal", interpolation="nearest")
    ax.grid(False)
    return raster


def _line(name: str) -> dict[str, Any]:
    return {key: value for key, value in STYLES[name].items() if key != "marker"}


def _unique(ax: Axes) -> tuple[list, list]:
    handles, names = ax.get_legend_handles_labels()
    first = {name: handle for handle, name in reversed(list(zip(handles, names, strict=True)))}
    order = [look["label"] for look in STYLES.values()]
    return [first[name] for name in order], order


def _hyperplane(ax: Axes, weight: list[float], bias: float, side: float) -> None:
    """The line w_1 x_1 + w_2 x_2 + b = 0, bold."""
    point, direction = -bias * np.array(weight) / np.dot(weight, weight), np.array([-weight[1], weight[0]]) / np.linalg.norm(weight)
    ends = np.stack([point - 3 * side * direction, point + 3 * side * direction])
    ax.plot(*ends.T, color="black", linewidth=3, label="SVM boundary")


def _finish(figure: Figure, record: Record, bottom: float = 0.03, points: int | None = None) -> None:
    figure.tight_layout(rect=(0, bottom, 1, 1))
    figure.text(0.995, 0.005, f"profile {record.profile} · seed {record.seed} · {points or record.test_points:,} test points", ha="right", va="bottom", fontsize="x-small", color="0.35")
