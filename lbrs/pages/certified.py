"""The pages of certified radii: what LBRS certifies on a smooth network, in figures, tables and
sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from lbrs.experiments.records import Record, find_curve, reference_counts, shown_alphas
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


def reading(record: Record) -> Markdown:
    """Whether, where and at what price LBRS increases certified accuracy over the network's own, in
    sentences computed from the record."""
    N, lines = largest(record), []
    for norm, values in record.results["norms"].items():
        base = find_curve(values["curves"], method="base")
        paths = _over_alpha(values, "sharp", N)
        del paths[0.0]
        below = [_losses(norm, values, base, paths), *_rivals(values, base, paths, N)]
        told = f"**{NORMS[norm]}, $N = {N:,}$.** {_gains(values, base, paths)}"
        lines += [f"- {told}", *(f"  - {line}" for line in below)]
    return Markdown("\n".join(lines))


def _gains(values: Mapping[str, Any], base: Curve, paths: Mapping[float, Curve]) -> str:
    """For which alpha LBRS is better than the network clean and at two radii, and how much."""
    places = shown_radii(values)[:3]
    radii = " and ".join(f"{values['radii'][place]:g}" for place in places[1:])
    before = [base["certified"][place] for place in places]
    found = {
        alpha: [curve["certified"][place] for place in places] for alpha, curve in paths.items()
    }
    better = [
        alpha
        for alpha, after in found.items()
        if all(new > old for new, old in zip(after, before, strict=True))
    ]
    if not better:
        return (
            r"No $\alpha > 0$ of the grid is better than the network on clean images and certified "
            f"at {radii}, all three."
        )
    best = max(better, key=lambda alpha: sum(found[alpha]))
    pairs = zip(before, found[best], strict=True)
    told = ", ".join(f"{old:.3f} to {new:.3f}" for old, new in pairs)
    return (
        rf"For $\alpha$ in {', '.join(f'{alpha:g}' for alpha in better)} LBRS is better than its "
        rf"network on clean images and certified at {radii}, all three. At $\alpha = {best:g}$ the "
        f"three accuracies go from {told}; the average radius from {base['average']:.4g} to "
        f"{paths[best]['average']:.4g}."
    )


def _losses(norm: str, values: Mapping[str, Any], base: Curve, paths: Mapping[float, Curve]) -> str:
    """At which radii which alpha certifies fewer points than the network."""
    told = []
    for alpha in shown_alphas(values["alpha"]):
        gap = np.array(paths[alpha]["certified"]) - np.array(base["certified"])
        radius = np.array(values["radii"])[gap < 0]
        if len(radius):
            span = f"for radii from {radius[0]:.3g} to {radius[-1]:.3g}, by up to {-gap.min():.3f}"
            told.append(rf"at $\alpha = {alpha:g}$ {span}")
    if told:
        return f"It loses {'; '.join(told)}."
    return (
        rf"In {NORMS[norm]} it loses nowhere on the grid of radii at the values of $\alpha$ that "
        "are shown."
    )


def _rivals(
    values: Mapping[str, Any], base: Curve, paths: Mapping[float, Curve], N: int
) -> Iterator[str]:
    """LBRS against both of its limits, the network and the nearest neighbour, at the radii of the
    tables."""
    few = reference_counts(values["curves"])[0]
    nearest = find_curve(values["curves"], method="nearest", N=N)
    little = find_curve(values["curves"], method="nearest", N=few)
    with_few = _over_alpha(values, "sharp", few)
    gaps = [
        rf"at $\alpha = {alpha:g}$ by {_gaps(values, base, with_few[alpha])}"
        for alpha in shown_alphas(values["alpha"])
    ]
    yield (
        f"With only {few} reference points its certified accuracies differ from the network's, on "
        f"clean images and at these radii, {'; '.join(gaps)}."
    )
    yield (
        f"With $N = {N:,}$ against its two limits, the network and the nearest neighbour: "
        f"{against_limits(values, base, nearest, paths)}."
    )
    yield (
        f"The average radius of the nearest neighbour is {nearest['average']:.4g}, with $N = {few}$"
        f" it is {little['average']:.4g} (clean accuracy {little['certified'][0]:.3f}); that of "
        f"the network is {base['average']:.4g}."
    )


def _gaps(values: Mapping[str, Any], base: Curve, curve: Curve) -> str:
    before, after = base["certified"], curve["certified"]
    return ", ".join(f"{after[at] - before[at]:+.3f}" for at in shown_radii(values)[:3])


def against_limits(
    values: Mapping[str, Any], base: Curve, nearest: Curve, paths: Mapping[float, Curve]
) -> str:
    """At each radius of the tables, the largest certified accuracy over alpha > 0, and whether it
    is above both limits."""
    told = []
    for place in shown_radii(values):
        at = {alpha: curve["certified"][place] for alpha, curve in paths.items()}
        best = max(at, key=at.__getitem__)
        low, high = base["certified"][place], nearest["certified"][place]
        lead = at[best] - max(low, high)
        where = f"at radius {values['radii'][place]:g}" if place else "on clean images"
        verdict = f"above both by {lead:.3f}" if lead > 0 else "not above both"
        told.append(
            rf"{where} its best is {at[best]:.3f} ($\alpha = {best:g}$), {verdict} "
            f"({low:.3f} and {high:.3f})"
        )
    return "; ".join(told)


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
