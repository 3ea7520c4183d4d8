"""The tables and computed sentences of the pages on certified radii."""

from typing import Any

import numpy as np

from lbrs.experiments.records import Record, find_curve, reference_counts, shown_alphas
from lbrs.pages.text import NORMS, Markdown, share, table


def largest(record: Record) -> int:
    """The largest number of reference points of the record."""
    return reference_counts(record.results["norms"]["l2"]["curves"])[-1]


def shown_radii(values: dict[str, Any]) -> list[int]:
    """Where in the record's radii the tables look: 0, and a sixth, a third and two thirds of the largest."""
    last = len(values["radii"]) - 1
    return [0, last // 6, last // 3, 2 * last // 3]


def certified_numbers(record: Record, norm: str) -> Markdown:
    """Clean and certified accuracies and average radii of all methods in `norm` ("l2" or "linf") with the whole reference set."""
    values, N = record.results["norms"][norm], largest(record)
    curves, places = values["curves"], shown_radii(values)
    entries = [("smooth network", find_curve(curves, method="base"))]
    for alpha in shown_alphas(values["alpha"]):
        entries += [
            (
                rf"LBRS, Theorem {name}, $\alpha = {alpha:g}$",
                find_curve(curves, method=method, N=N, alpha=alpha),
            )
            for method, name in (("theorem8", "8"), ("sharp", "E'"))
        ]
    entries.append(("1-NN, Theorem A", find_curve(curves, method="nearest", N=N)))
    for sigma in record.config["sigmas"]:
        entries += [
            (
                rf"Cohen, $\sigma = {sigma:g}$"
                + (rf", Theorem H, $\alpha = {alpha:g}$" if alpha else ""),
                find_curve(curves, method="cohen", sigma=sigma, N=N, alpha=alpha),
            )
            for alpha in (0.0, shown_alphas(values["alpha"])[0])
        ]
    rows = [
        [name, *(f"{curve['certified'][place]:.3f}" for place in places), f"{curve['average']:.4g}"]
        for name, curve in entries
    ]
    radii = [f"at {values['radii'][place]:g}" for place in places[1:]]
    return table([f"{NORMS[norm]}, $N = {N:,}$", "clean", *radii, "average radius"], rows)


def certified_reading(record: Record) -> Markdown:
    """Whether, where and at what price LBRS increases certified accuracy over the network's own, in sentences computed from the record."""
    lines = []
    for norm, values in record.results["norms"].items():
        curves, N, places = values["curves"], largest(record), shown_radii(values)
        base = find_curve(curves, method="base")
        paths = {
            alpha: find_curve(curves, method="sharp", N=N, alpha=alpha)
            for alpha in values["alpha"]
            if alpha > 0
        }
        better = [
            alpha
            for alpha, curve in paths.items()
            if all(curve["certified"][place] > base["certified"][place] for place in places[:3])
        ]
        radii = " and ".join(f"{values['radii'][place]:g}" for place in places[1:3])
        if better:
            best = max(
                better,
                key=lambda alpha: sum(paths[alpha]["certified"][place] for place in places[:3]),
            )
            told = ", ".join(
                f"{base['certified'][place]:.3f} to {paths[best]['certified'][place]:.3f}"
                for place in places[:3]
            )
            lines.append(
                rf"- **{NORMS[norm]}, $N = {N:,}$.** For $\alpha$ in {_list(better)} LBRS is better than its network on clean images and certified at {radii}, all three. "
                rf"At $\alpha = {best:g}$ the three accuracies go from {told}; the average radius from {base['average']:.4g} to {paths[best]['average']:.4g}."
            )
        else:
            lines.append(
                rf"- **{NORMS[norm]}, $N = {N:,}$.** No $\alpha > 0$ of the grid is better than the network on clean images and certified at {radii}, all three."
            )
        lines += [
            f"  {line}"
            for line in (_losses(norm, values, base, paths), *_rivals(values, base, paths, N))
        ]
    return Markdown("\n".join(lines))


def _losses(
    norm: str, values: dict[str, Any], base: dict[str, Any], paths: dict[float, dict[str, Any]]
) -> str:
    """At which radii which alpha certifies fewer points than the network."""
    told = []
    for alpha in shown_alphas(values["alpha"]):
        gap = np.array(paths[alpha]["certified"]) - np.array(base["certified"])
        if (gap < 0).any():
            radius = np.array(values["radii"])[gap < 0]
            told.append(
                rf"at $\alpha = {alpha:g}$ for radii from {radius[0]:.3g} to {radius[-1]:.3g}, by up to {-gap.min():.3f}"
            )
    return (
        f"- It loses {'; '.join(told)}."
        if told
        else rf"- In {NORMS[norm]} it loses nowhere on the grid of radii at the values of $\alpha$ that are shown."
    )


def _rivals(
    values: dict[str, Any], base: dict[str, Any], paths: dict[float, dict[str, Any]], N: int
) -> list[str]:
    """LBRS against both of its limits, the network and the nearest neighbour, at the radii of the tables."""
    few = reference_counts(values["curves"])[0]
    nearest, little = (
        find_curve(values["curves"], method="nearest", N=count) for count in (N, few)
    )
    told = [
        rf"at $\alpha = {alpha:g}$ by {_gaps(values, base, find_curve(values['curves'], method='sharp', N=few, alpha=alpha))}"
        for alpha in shown_alphas(values["alpha"])
    ]
    return [
        f"- With only {few} reference points its certified accuracies differ from the network's, on clean images and at these radii, {'; '.join(told)}.",
        f"- With $N = {N:,}$ against its two limits, the network and the nearest neighbour: {_best(values, base, nearest, paths)}.",
        f"- The average radius of the nearest neighbour is {nearest['average']:.4g}, with $N = {few}$ it is {little['average']:.4g} (clean accuracy "
        f"{little['certified'][0]:.3f}); that of the network is {base['average']:.4g}.",
    ]


def _gaps(values: dict[str, Any], base: dict[str, Any], curve: dict[str, Any]) -> str:
    return ", ".join(
        f"{curve['certified'][place] - base['certified'][place]:+.3f}"
        for place in shown_radii(values)[:3]
    )


def _best(
    values: dict[str, Any],
    base: dict[str, Any],
    nearest: dict[str, Any],
    paths: dict[float, dict[str, Any]],
) -> str:
    """At each radius of the tables, the largest certified accuracy over alpha > 0, and whether it is above both limits."""
    told = []
    for place in shown_radii(values):
        best = max(paths, key=lambda alpha: paths[alpha]["certified"][place])
        accuracy, limits = (
            paths[best]["certified"][place],
            (base["certified"][place], nearest["certified"][place]),
        )
        where = "on clean images" if place == 0 else f"at radius {values['radii'][place]:g}"
        verdict = (
            f"above both by {accuracy - max(limits):.3f}"
            if accuracy > max(limits)
            else "not above both"
        )
        told.append(
            rf"{where} its best is {accuracy:.3f} ($\alpha = {best:g}$), {verdict} ({limits[0]:.3f} and {limits[1]:.3f})"
        )
    return "; ".join(told)


def cohen_reading(record: Record) -> Markdown:
    """What a bias adds to Cohen's certificates, in sentences computed from the record."""
    values, N = record.results["norms"]["l2"], largest(record)
    nearest = find_curve(values["curves"], method="nearest", N=N)
    lines = [
        "Against Cohen's smoothing without a bias and the nearest neighbour, the two limits of Theorem H:\n"
    ]
    for sigma in record.config["sigmas"]:
        paths = {
            alpha: find_curve(values["curves"], method="cohen", sigma=sigma, N=N, alpha=alpha)
            for alpha in values["alpha"]
        }
        plain = paths.pop(0.0)
        lines.append(
            rf"- **$\sigma = {sigma:g}$.** {_sentence(_best(values, plain, nearest, paths))}. The average radius without a bias is {plain['average']:.4g}, "
            rf"at $\alpha = {min(paths):g}$ it is {paths[min(paths)]['average']:.4g}, and at $\alpha = {max(paths):g}$ {paths[max(paths)]['average']:.4g}; the nearest neighbour has {nearest['average']:.4g}."
        )
    return Markdown("\n".join(lines))


def attack_reading(record: Record) -> Markdown:
    """What `lbrs.verify` found, and the constants of the networks."""
    rows = []
    for norm, values in record.results["norms"].items():
        attacks = values["attacks"]
        rows += [
            [
                rf"{NORMS[norm]}: certified $L$ of the smooth network, and the median of $\lVert\nabla g\rVert_*$",
                f"{values['L']:.4g} and {values['slope']:.4g}",
            ],
            [
                f"{NORMS[norm]}: bound of the rounding errors of $g$ and its gradient",
                f"{values['rounding']:.1e}",
            ],
        ]
        rows.append(
            [
                rf"{NORMS[norm]}, $N = {attacks['N']:,}$, $\alpha = {attacks['alpha']:g}$: certificates of {attacks['points']} images that `lbrs.verify` broke; median radius / closest flip found",
                f"{attacks['broken']}; {attacks['tightness']:.2f}",
            ]
        )
    base = find_curve(record.results["norms"]["l2"]["curves"], method="base")
    rows.append(
        [
            r"clean accuracy of the smooth network for $\ell_2$ (95 % interval over the test points)",
            share(base["certified"][0], record.test_points),
        ]
    )
    return table(["quantity", "value"], rows)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
