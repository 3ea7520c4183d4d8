"""The pages of certified radii: what LBRS certifies on a smooth network, in figures, tables and
sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from lbrs.experiments.records import Record, find_curve, reference_counts, shown_alphas
from lbrs.montecarlo import clopper_pearson
from lbrs.pages.drawing import SHARE, Look, finish, legend_below, line, style
from lbrs.pages.text import NORMS, Markdown, share, table

Curve = dict[str, Any]
ALPHA_COLORS = [sns.color_palette("flare", 3)[place] for place in range(3)]
ACCURACY = "certified accuracy (share of test points)"


def largest(record: Record) -> int:
    """The largest number of reference points of the record."""
    return reference_counts(record.results["norms"]["l2"]["curves"])[-1]


def shown_radii(values: Mapping[str, Any]) -> list[int]:
    """Where in the record's radii the tables look: 0, and a sixth, a third and two thirds of the
    largest."""
    last = len(values["radii"]) - 1
    return [0, last // 6, last // 3, 2 * last // 3]


def accuracy(record: Record) -> dict[str, Any]:
    """Certified accuracy over the radius for each number of reference points: the smooth network,
    LBRS by Theorem E' and by Theorem 8, the 1-NN."""
    style()
    norms = record.results["norms"]
    counts = reference_counts(norms["l2"]["curves"])
    rows, columns = len(norms), len(counts)
    size = (3.3 * columns, 3.6 * rows + 0.6)
    figure, axes = plt.subplots(rows, columns, figsize=size, sharey=True, squeeze=False)
    drawn: dict[str, Any] = {}
    for row, (norm, values) in zip(axes, norms.items(), strict=True):
        for ax, N in zip(row, counts, strict=True):
            for name, curve, look in _lines(values, N):
                ax.plot(values["radii"], curve["certified"], **look)
                drawn[f"{norm} {N} {name}"] = curve["certified"]
            ax.locator_params(axis="x", nbins=4)
            unit = f"radius ({NORMS[norm]}, pixel units)"
            ax.set(title=f"{NORMS[norm]}, $N={N:,}$", xlabel=unit, ylim=SHARE)
        _note_alphas(row[0], shown_alphas(values["alpha"]))
        row[0].set_ylabel(ACCURACY)
    legend_below(figure, axes[0, 0], 6, 0.022, "small")
    finish(figure, record, bottom=0.075)
    return drawn


def _lines(values: Mapping[str, Any], N: int) -> Iterator[tuple[str, Curve, Look]]:
    """The curves of one panel: name, curve and look."""
    curves, shown = values["curves"], shown_alphas(values["alpha"])
    network = line("cnn") | {"label": "smooth network"}
    yield "network", find_curve(curves, method="base"), network
    yield "nearest", find_curve(curves, method="nearest", N=N), line("nearest")
    for place, alpha in enumerate(shown):
        look = {"label": rf"LBRS, $\alpha_{place + 1}$", "color": ALPHA_COLORS[place]}
        curve = find_curve(curves, method="sharp", N=N, alpha=alpha)
        yield f"sharp {alpha:g}", curve, look | {"linewidth": 2}
    look = {"label": r"LBRS, Theorem 8, $\alpha_1$", "color": ALPHA_COLORS[0]}
    curve = find_curve(curves, method="theorem8", N=N, alpha=shown[0])
    yield "theorem8", curve, look | {"linestyle": "--"}


def _note_alphas(ax: Axes, alphas: tuple[float, ...]) -> None:
    note = ", ".join(rf"$\alpha_{place}={alpha:g}$" for place, alpha in enumerate(alphas, 1))
    look: Look = {"fontsize": "x-small", "color": "0.25", "backgroundcolor": (1, 1, 1, 0.7)}
    ax.text(0.04, 0.04, note, transform=ax.transAxes, **look)


def average_radius(record: Record) -> dict[str, Any]:
    """The average certified radius over alpha, for each number of reference points: Theorem E'
    against Theorem 8, the network and the 1-NN."""
    style()
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.6))
    drawn = {}
    for ax, (norm, values) in zip(axes, record.results["norms"].items(), strict=True):
        drawn.update(_averages(ax, norm, values))
        base = find_curve(values["curves"], method="base")["average"]
        ax.axhline(base, **line("cnn") | {"label": "smooth network"})
        ticks = [f"{alpha:g}" for alpha in values["alpha"]]
        ax.set_xticks(range(len(ticks)), ticks, fontsize="x-small")
        unit = rf"$\alpha$ ({NORMS[norm]}, pixel units)"
        ax.set(xlabel=unit, title=NORMS[norm], ylim=(0, None))
    axes[0].set_ylabel("average certified radius (pixel units)")
    legend_below(figure, axes[0], 5, 0.03, "x-small")
    finish(figure, record, bottom=0.16)
    return drawn


def _averages(ax: Axes, norm: str, values: Mapping[str, Any]) -> dict[str, list[float]]:
    """Both theorems for each number of reference points; returns what was drawn."""
    counts, drawn = reference_counts(values["curves"]), {}
    looks = (("sharp", "-", "D", "Theorem E'"), ("theorem8", "--", "o", "Theorem 8"))
    for color, N in zip(sns.color_palette("viridis", len(counts)), counts, strict=True):
        for method, dashes, marker, name in looks:
            paths = _over_alpha(values, method, N)
            average = [curve["average"] for curve in paths.values()]
            look = {"color": color, "marker": marker, "label": f"{name}, $N={N:,}$"}
            ax.plot(range(len(average)), average, dashes, markersize=4, **look)
            drawn[f"{norm} {method} {N}"] = average
    return drawn


def _over_alpha(values: Mapping[str, Any], method: str, N: int) -> dict[float, Curve]:
    """The curves of a method for all alphas."""
    curves = values["curves"]
    return {a: find_curve(curves, method=method, N=N, alpha=a) for a in values["alpha"]}


def numbers(record: Record, norm: str) -> Markdown:
    """Clean and certified accuracies and average radii of all methods in `norm` ("l2" or "linf")
    with the whole reference set."""
    values, N = record.results["norms"][norm], largest(record)
    places = shown_radii(values)
    rows = [
        [name, *(f"{curve['certified'][place]:.3f}" for place in places), f"{curve['average']:.4g}"]
        for name, curve in _methods(values, N, record.config["sigmas"])
    ]
    radii = [f"at {values['radii'][place]:g}" for place in places[1:]]
    return table([f"{NORMS[norm]}, $N = {N:,}$", "clean", *radii, "average radius"], rows)


def _methods(values: Mapping[str, Any], N: int, sigmas: list[float]) -> Iterator[tuple[str, Curve]]:
    """The rows of the table: name and curve."""
    curves, shown = values["curves"], shown_alphas(values["alpha"])
    yield "smooth network", find_curve(curves, method="base")
    for alpha in shown:
        for method, name in (("theorem8", "8"), ("sharp", "E'")):
            curve = find_curve(curves, method=method, N=N, alpha=alpha)
            yield rf"LBRS, Theorem {name}, $\alpha = {alpha:g}$", curve
    yield "1-NN, Theorem A", find_curve(curves, method="nearest", N=N)
    for sigma in sigmas:
        for alpha, bias in ((0.0, ""), (shown[0], rf", Theorem H, $\alpha = {shown[0]:g}$")):
            curve = find_curve(curves, method="cohen", sigma=sigma, N=N, alpha=alpha)
            yield rf"Cohen, $\sigma = {sigma:g}${bias}", curve


def price(record: Record) -> Markdown:
    """At which radii LBRS certifies fewer images than its network, for the alphas shown."""
    rows, N = [], largest(record)
    for norm, values in record.results["norms"].items():
        base, paths = find_curve(values["curves"], method="base"), _over_alpha(values, "sharp", N)
        for alpha in shown_alphas(values["alpha"]):
            gap = np.array(paths[alpha]["certified"]) - np.array(base["certified"])
            told = _span(np.array(values["radii"])[gap < 0]), f"{max(-gap.min(), 0):.3f}"
            rows.append([NORMS[norm], f"{alpha:g}", *told])
    return table(["norm", r"$\alpha$", "fewer at radii", "by at most"], rows)


def _span(radii: np.ndarray) -> str:
    if not len(radii):
        return "none"
    ends = f"{radii[0]:.3g}", f"{radii[-1]:.3g}"
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def limits(record: Record) -> Markdown:
    """LBRS at its best alpha > 0 against both of its limits, the network and the 1-NN, with few
    and with all reference points."""
    rows = []
    for norm, values in record.results["norms"].items():
        counts = reference_counts(values["curves"])
        base = find_curve(values["curves"], method="base")
        for N in (counts[0], counts[-1]):
            nearest = find_curve(values["curves"], method="nearest", N=N)
            paths = _over_alpha(values, "sharp", N)
            del paths[0.0]
            for row in against_limits(values, base, nearest, paths):
                rows.append([rf"{NORMS[norm]}, $N = {N:,}$", *row])
    return table(["norm, references", *LIMITS], rows)


LIMITS = ["radius", "base", "1-NN", r"best LBRS ($\alpha$)", "above both by"]


def against_limits(
    values: Mapping[str, Any], base: Curve, nearest: Curve, paths: Mapping[float, Curve]
) -> Iterator[list[str]]:
    """At each radius of the tables, the certified accuracies of both limits and the largest over
    alpha > 0, and by how much it is above both."""
    for place in shown_radii(values):
        at = {alpha: curve["certified"][place] for alpha, curve in paths.items()}
        best = max(at, key=at.__getitem__)
        low, high = base["certified"][place], nearest["certified"][place]
        lead = at[best] - max(low, high)
        yield [
            f"{values['radii'][place]:g}",
            f"{low:.3f}",
            f"{high:.3f}",
            f"{at[best]:.3f} ({best:g})",
            f"{lead:.3f}" if lead > 0 else "not",
        ]


def says(record: Record) -> Markdown:
    """Whether a run says anything: a network that gives every image one label does not."""
    base = find_curve(record.results["norms"]["l2"]["curves"], method="base")
    lower, upper = clopper_pearson(
        round(base["certified"][0] * record.test_points), record.test_points
    )
    if lower <= 0.5 <= upper:
        return Markdown(
            f"**This run says nothing.** Its network is right on {base['certified'][0]:.3f} of the "
            f"{record.test_points:,} test images, no more than a coin: profile {record.profile} "
            "trains it too little. Look at the published run."
        )
    return Markdown(
        f"Its network is right on {share(base['certified'][0], record.test_points)} of the test "
        "images (95 % interval)."
    )


def attacks(record: Record) -> Markdown:
    """What `lbrs.verify` found, and the constants of the networks."""
    norms = record.results["norms"]
    rows = [row for norm, values in norms.items() for row in _attacked(NORMS[norm], values)]
    base = find_curve(norms["l2"]["curves"], method="base")
    network = rf"the smooth network for {NORMS['l2']}"
    clean = f"clean accuracy of {network} (95 % interval over the test points)"
    rows.append([clean, share(base["certified"][0], record.test_points)])
    return table(["quantity", "value"], rows)


def _attacked(name: str, values: Mapping[str, Any]) -> list[list[str]]:
    found = values["attacks"]
    constants = r"certified $L$ of the smooth network, and the median of $\lVert\nabla g\rVert_*$"
    broken = (
        rf"{name}, $N = {found['N']:,}$, $\alpha = {found['alpha']:g}$: certificates of "
        f"{found['points']} images that `lbrs.verify` broke; median radius / closest flip found"
    )
    rounding = f"{name}: bound of the rounding errors of $g$ and its gradient"
    return [
        [f"{name}: {constants}", f"{values['L']:.4g} and {values['slope']:.4g}"],
        [rounding, f"{values['rounding']:.1e}"],
        [broken, f"{found['broken']}; {found['tightness']:.2f}"],
    ]
