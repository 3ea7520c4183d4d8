"""The pages of the images: Figures 3 to 6, and what they say."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from lbrs.experiments.records import Record, accuracy_at
from lbrs.pages.drawing import SHARE, STYLES, band, finish, line, steps, style
from lbrs.pages.text import NORMS, Markdown, attack_of, best_alpha, share, table

Entry = dict[str, Any]


def over_smoothing(record: Record, published: Sequence[Record] = ()) -> dict[str, Any]:
    """Figures 3 and 5: clean and robust accuracy against the normalised smoothing parameter, and of
    LBRS against alpha itself, over the `published` runs."""
    style()
    sets, sigma = record.results["sets"], np.array(record.results["sigma"])
    most, top_alpha = sigma[-1], record.config["alpha_max"]
    size = (3.3 * len(sets), 6.6)
    figure, axes = plt.subplots(2, len(sets), figsize=size, sharey=True, squeeze=False)
    for place, ((top, bottom), entry) in enumerate(zip(axes.T, sets, strict=True)):
        straight = np.linspace(0, top_alpha, 500)
        _over_alpha(top, record, place, published, straight, top_alpha)
        _over_alpha(bottom, record, place, published, np.logspace(-6, 0, 500) * top_alpha, 1.0)
        others = [other.results["sets"][place]["normal"] for other in published]
        for other in published[:1]:
            shared = np.array(other.results["sigma"]) / most
            band(top, shared, others, STYLES["normal"]["color"])
        top.plot(sigma / most, entry["normal"], **line("normal"), linewidth=2)
        bottom.set(xscale="log", xlabel=r"$\alpha$ (units of $x$), logarithmic")
        attack = rf"$\ell_2$-PGD, $\epsilon={entry['radius']:g}$" if entry["radius"] else "clean"
        top.set(title=attack, ylim=SHARE, xlabel=rf"$\sigma/{most:g}$ or $\alpha/{top_alpha:g}$")
    for ax in axes[:, 0]:
        ax.set_ylabel("accuracy (share of test points)")
    axes[0, 0].legend(*_legend(axes[0, 0]), fontsize="small", loc="lower center")
    finish(figure, record, published=published, more=_sampling(record, sets))
    return {"sigma": record.results["sigma"], "sets": sets}


def _over_alpha(
    ax: Axes,
    record: Record,
    place: int,
    published: Sequence[Record],
    grid: np.ndarray,
    scale: float,
) -> None:
    """The levels of the network and of the 1-NN, and LBRS over `grid`, which is shown in units of
    `scale`."""
    entry = record.results["sets"][place]
    others = [other.results["sets"][place] for other in published]
    for name in ("cnn", "nearest"):
        levels = [np.full(2, found[name]) for found in others]
        band(ax, [grid[0] / scale, grid[-1] / scale], levels, STYLES[name]["color"])
        ax.axhline(entry[name], **line(name), linewidth=1.6)
    curves = [
        accuracy_at(found["lbrs"], grid, other.test_points)
        for found, other in zip(others, published, strict=True)
    ]
    band(ax, grid / scale, curves, STYLES["lbrs"]["color"])
    alpha, accuracy = steps(entry["lbrs"], record, grid[0], grid[-1])
    ax.step(alpha / scale, accuracy, where="post", **line("lbrs"), linewidth=2)


def _legend(ax: Axes) -> tuple[list[Any], list[str]]:
    """Each method once, in the order of their looks."""
    handles, names = ax.get_legend_handles_labels()
    order = [look["label"] for look in STYLES.values()]
    return [handles[names.index(name)] for name in order], order


def _sampling(record: Record, entries: Sequence[Entry]) -> str:
    """How normal smoothing was computed."""
    config = record.config
    most = max(max(entry["undecided"]) for entry in entries)
    return (
        rf"normal smoothing: $n \leq$ {config['samples']:,}, error {config['error']:g} a point, "
        f"undecided at most {100 * most:.1f} %"
    )


def over_radius(record: Record, published: Sequence[Record] = ()) -> dict[str, Any]:
    """Figures 4 and 6: accuracy against the radius of the attack on the base network, in l2 and in
    linf, over the `published` runs."""
    style()
    attacks: dict[str, Any] = record.results["attacks"]
    config = record.config
    corners = {
        "normal": rf", $\sigma={config['sigma']:g}$",
        "lbrs": rf", $\alpha={config['alpha']:g}$",
    }
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.6), sharey=True)
    for ax, (norm, values) in zip(axes, attacks.items(), strict=True):
        others = [other.results["attacks"][norm] for other in published]
        for name, look in STYLES.items():
            for found in others[:1]:
                band(ax, found["radius"], [other[name] for other in others], look["color"])
            label = {"label": look["label"] + corners.get(name, "")}
            ax.plot(values["radius"], values[name], **look | label, markersize=5, linewidth=2)
        unit = rf"attack radius $\epsilon$ ({NORMS[norm]}, pixel units)"
        ax.set(title=f"{NORMS[norm]}-PGD on the base network", xlabel=unit, ylim=SHARE)
    axes[0].set_ylabel("accuracy (share of test points)")
    axes[0].legend(fontsize="small")
    finish(figure, record, published=published, more=_sampling(record, list(attacks.values())))
    return attacks


def numbers(record: Record) -> Markdown:
    """The key numbers of the run."""
    n, sets, config = record.test_points, record.results["sets"], record.config
    limits, sigma = record.results["limits"], record.results["sigma"]
    rows = [
        ["clean accuracy, CNN", share(sets[0]["cnn"], n)],
        ["clean accuracy, 1-NN", share(sets[0]["nearest"], n)],
        *(row for entry in sets for row in _at_their_best(entry, sigma, n)),
    ]
    undecided = max(max(entry["undecided"]) for entry in sets)
    draws = np.mean([draws for entry in sets for draws in entry["draws"][1:]])
    always = r"$\alpha$ above which LBRS is the 1-NN on all clean test points"
    wrong = "normal smoothing: a decided point is wrong with probability at most"
    rows += [
        [r"test points where $\alpha = 0$ differs from the CNN", f"{limits['alpha_zero']:g}"],
        [
            r"test points where $\alpha = 10^{300}$ differs from the 1-NN",
            f"{limits['alpha_infinity']:g}",
        ],
        [always, f"{limits['nearest_alpha']:.3g}"],
        ["normal smoothing: largest share of undecided points", f"{undecided:.3f}"],
        ["normal smoothing: mean draws a point", f"{draws:.0f} of at most {config['samples']}"],
        [wrong, f"{config['error']:g}"],
    ]
    return table(["quantity", "value (95 % interval over the test points)"], rows)


def _at_their_best(entry: Entry, sigma: Sequence[float], n: int) -> list[list[str]]:
    """Normal smoothing and LBRS at their best on one set, and normal smoothing at the largest
    sigma."""
    told, normal = attack_of(entry), entry["normal"]
    best, (peak, where) = int(np.argmax(normal)), best_alpha(entry["lbrs"], n)
    return [
        [rf"{told}: best $\sigma$-NS, at $\sigma = {sigma[best]:.3g}$", share(normal[best], n)],
        [rf"{told}: best $\alpha$-LBRS, at {where}", share(peak, n)],
        [rf"{told}: $\sigma$-NS at $\sigma = {sigma[-1]:g}$", share(normal[-1], n)],
    ]


def radius_numbers(record: Record) -> Markdown:
    """Accuracies of all classifiers at every attack radius."""
    config = record.config
    normal = rf"$\sigma$-NS, $\sigma = {config['sigma']:g}$"
    lbrs = rf"$\alpha$-LBRS, $\alpha = {config['alpha']:g}$"
    rows = [
        [NORMS[norm], f"{radius:g}", *(f"{values[name][place]:.3f}" for name in STYLES)]
        for norm, values in record.results["attacks"].items()
        for place, radius in enumerate(values["radius"])
    ]
    return table(["norm", r"$\epsilon$", "CNN", normal, lbrs, "1-NN"], rows)
