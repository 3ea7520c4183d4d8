"""The part of the pages of certified radii on Cohen's smoothing: what a bias adds to it."""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from lbrs.experiments.records import Record, find_curve, shown_alphas
from lbrs.pages.certified import ACCURACY, ALPHA_COLORS, LIMITS, Curve, against_limits, largest
from lbrs.pages.drawing import SHARE, finish, legend_below, line, style
from lbrs.pages.text import Markdown, table


def accuracy(record: Record) -> dict[str, Any]:
    """Certified l2 accuracy of Cohen's normal smoothing for each sigma, without a bias and with
    three of them, against the smooth network's LBRS."""
    style()
    sigmas = record.config["sigmas"]
    size = (3.7 * len(sigmas), 4.4)
    figure, axes = plt.subplots(1, len(sigmas), figsize=size, sharey=True, squeeze=False)
    drawn = {}
    for ax, sigma in zip(axes[0], sigmas, strict=True):
        drawn.update(_panel(ax, record, sigma))
        ax.set(title=rf"$\sigma={sigma:g}$", xlabel=r"radius ($\ell_2$, pixel units)", ylim=SHARE)
    axes[0, 0].set_ylabel(ACCURACY)
    legend_below(figure, axes[0, 0], 3, 0.03, "x-small")
    finish(figure, record, bottom=0.14)
    return drawn


def _panel(ax: Axes, record: Record, sigma: float) -> dict[str, list[float]]:
    """The curves for one sigma; returns those of Cohen's smoothing."""
    values, N = record.results["norms"]["l2"], largest(record)
    radii, shown = values["radii"], shown_alphas(values["alpha"])
    looks = {0.0: line("normal") | {"label": r"Cohen, $\alpha=0$"}}
    for color, alpha in zip(ALPHA_COLORS, shown, strict=True):
        label = rf"Cohen with a bias, $\alpha={alpha:g}$"
        looks[alpha] = {"color": color, "linewidth": 2, "label": label}
    paths, drawn = _over_alpha(record, sigma), {}
    for alpha, look in looks.items():
        drawn[f"{sigma:g} {alpha:g}"] = paths[alpha]["certified"]
        ax.plot(radii, paths[alpha]["certified"], **look)
    smooth = find_curve(values["curves"], method="sharp", N=N, alpha=shown[0])
    label = rf"smooth network, Theorem E', $\alpha={shown[0]:g}$"
    ax.plot(radii, smooth["certified"], color="black", linestyle="-.", label=label)
    nearest = find_curve(values["curves"], method="nearest", N=N)
    ax.plot(radii, nearest["certified"], **line("nearest"))
    return drawn


def _over_alpha(record: Record, sigma: float) -> dict[float, Curve]:
    """Cohen's smoothing with every alpha, in l2 with the whole reference set."""
    values, N = record.results["norms"]["l2"], largest(record)
    key = {"method": "cohen", "sigma": sigma, "N": N}
    return {alpha: find_curve(values["curves"], alpha=alpha, **key) for alpha in values["alpha"]}


def limits(record: Record) -> Markdown:
    """What a bias adds to Cohen's certificates: the best alpha against the two limits of Theorem H,
    no bias and the 1-NN."""
    values, rows = record.results["norms"]["l2"], []
    nearest = find_curve(values["curves"], method="nearest", N=largest(record))
    for sigma in record.config["sigmas"]:
        paths = _over_alpha(record, sigma)
        plain = paths.pop(0.0)
        found = against_limits(values, plain, nearest, paths)
        rows += [[rf"$\sigma = {sigma:g}$", *row] for row in found]
    return table(["noise", *LIMITS], rows)
