"""From a record to the small tables and computed sentences of a page."""

from dataclasses import fields, is_dataclass

import numpy as np

from lbrs.experiments.configs import Config
from lbrs.experiments.records import Record, accuracy_at
from lbrs.experiments.table import config_of
from lbrs.montecarlo import clopper_pearson

NORMS = {"l2": r"$\ell_2$", "linf": r"$\ell_\infty$"}


class Markdown(str):
    """Text that a notebook shows as Markdown."""

    def _repr_markdown_(self) -> str:
        return str(self)


def table(header: list[str], rows: list[list[str]]) -> Markdown:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return Markdown("\n".join("| " + " | ".join(line) + " |" for line in lines))


def share(value: float, points: int) -> str:
    """An accuracy with its exact 95 % interval over the test points."""
    lower, upper = clopper_pearson(round(value * points), points)
    return f"{value:.3f} ({lower:.3f} to {upper:.3f})"


def choices(record: Record) -> Markdown:
    """Every choice of the run: its name in the code, its value, what it is; changed defaults are marked."""
    return choices_of(config_of(record)(), record.config)


def choices_of(config: Config, given: dict | None = None) -> Markdown:
    """The table of all choices of `config`, or of `given` values with those that differ from `config` in bold."""
    if not is_dataclass(config):
        raise TypeError(f"config must be a configuration, got {type(config).__name__}")
    rows = []
    for item in fields(config):
        default = getattr(config, item.name)
        value = (given or {}).get(item.name, default)
        changed = _shown(value) != _shown(default)
        rows.append(
            [
                f"`{item.name}`",
                f"**{_shown(value)}**" if changed else _shown(value),
                item.metadata["says"],
            ]
        )
    return table(["choice", "value", "what it is"], rows)


def _shown(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_shown(item) for item in value)
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)


def best_alpha(path: dict[str, list], points: int) -> tuple[float, str]:
    """The largest accuracy of a path, and the alphas at which it is reached first, in words."""
    place, jumps = int(np.argmax(path["right"])), path["jumps"]
    around = jumps[max(place - 1, 0) : place + 1]
    shown = next(
        told
        for digits in range(3, 18)
        if len(set(told := [f"{jump:.{digits}g}" for jump in around])) == len(around)
    )
    if place == len(jumps):
        where = rf"$\alpha > {shown[0]}$" if place else r"every $\alpha$"
    else:
        where = rf"${shown[0]} < \alpha \leq {shown[1]}$" if place else rf"$\alpha \leq {shown[0]}$"
    return path["right"][place] / points, where


def ends(curve: dict[str, list]) -> tuple[float, float]:
    """The first and the last value of a recorded piecewise linear curve."""
    return curve["value"][0], curve["value"][-1]


def spiral_numbers(record: Record) -> Markdown:
    """The key numbers of the spiral run."""
    results, n, top = record.results, record.test_points, f"{record.config['alpha_max']:g}"
    peak, where = best_alpha(results["accuracy"], n)
    rows = [
        [r"clean accuracy, SVM ($\alpha = 0$)", share(results["accuracy"]["right"][0] / n, n)],
        [f"clean accuracy, LBRS at its best, {where}", share(peak, n)],
        ["clean accuracy, 1-NN", share(results["nearest"], n)],
        [
            r"$\alpha$ above which LBRS is the 1-NN on all test points",
            f"{results['nearest_alpha']:.2f}",
        ],
    ]
    for name, values in results["norms"].items():
        rows.append(
            [f"{NORMS[name]}: average radius of the SVM itself", f"{values['base_radius']:.3f}"]
        )
        for key, told in (
            ("radius", "radius of Theorem 6"),
            ("sharp_radius", "radius of Theorem B"),
            ("true_radius", "true radius of Theorem 6"),
            ("sharp_true_radius", "true radius of Theorem B"),
        ):
            first, last = ends(values[key])
            rows.append(
                [
                    rf"{NORMS[name]}: average {told} at $\alpha = 0$ and ${top}$",
                    f"{first:.3f} and {last:.3f}",
                ]
            )
    return table(["quantity", "value (95 % interval over the test points)"], rows)


def spiral_reading(record: Record) -> Markdown:
    """What Figure 2 shows, in sentences computed from the record."""
    results, values, n = record.results, record.results["norms"]["l2"], record.test_points
    (paper, last), (sharp, end) = ends(values["radius"]), ends(values["sharp_radius"])
    top, most = record.config["alpha_max"], max(values["radius"]["value"])
    rises = "rises" if last > paper else "does not rise"
    below = "below" if most < values["base_radius"] else "not always below"
    peak, where = best_alpha(results["accuracy"], n)
    return Markdown(
        rf"- Clean accuracy goes from {results['accuracy']['right'][0] / n:.3f} at $\alpha = 0$ to {accuracy_at(results['accuracy'], top, n):.3f} at $\alpha = {top:g}$; the 1-NN has {results['nearest']:.3f}. "
        f"It is largest, {peak:.3f}, for {where}."
        "\n"
        rf"- The average $\ell_2$ radius of Theorem 6 {rises}: {paper:.2f} at $\alpha = 0$, at most {most:.2f}, {last:.2f} at $\alpha = {top:g}$."
        "\n"
        rf"- The average $\ell_2$ radius of the SVM itself is {values['base_radius']:.2f}. At every $\alpha$ the average of Theorem 6 lies {below} it."
        "\n"
        rf"- The sharper Theorem B gives {sharp:.2f} at $\alpha = 0$, exactly the SVM's radius, and {end:.2f} at $\alpha = {top:g}$; its least value is {min(values['sharp_radius']['value']):.2f}."
    )


def sharpness_reading(record: Record) -> Markdown:
    """What the three radii of the spiral say, in sentences computed from the record."""
    lines = []
    for norm, values in record.results["sharpness"].items():
        averages = {
            kind: np.array(values[kind]["average"]) for kind in ("theorem6", "theorem_b", "exact")
        }
        closest, worst = (
            (averages[kind] / averages["exact"]).min() for kind in ("theorem_b", "theorem6")
        )
        falls = "falls" if averages["exact"][-1] < averages["exact"][0] else "does not fall"
        lines.append(
            rf"- **{NORMS[norm]}.** The exact average radius {falls}, from {averages['exact'][0]:.2f} at $\alpha = 0$ to {averages['exact'][-1]:.2f} at "
            rf"$\alpha = {values['alpha'][-1]:g}$. Theorem B never gives less than {100 * closest:.0f} % of it, Theorem 6 as little as {100 * worst:.0f} %."
        )
        for place, radius in enumerate(values["radii"]):
            exact = np.array(values["exact"]["certified"])[:, place]
            lines.append(
                rf"  - Exactly certified accuracy at {radius:g}: {exact[0]:.3f} at $\alpha = 0$, {exact.max():.3f} at $\alpha = {values['alpha'][int(exact.argmax())]:g}$, {exact[-1]:.3f} at the end."
            )
    return Markdown("\n".join(lines))


def image_numbers(record: Record) -> Markdown:
    """The key numbers of an image run."""
    results, config, n = record.results, record.config, record.test_points
    limits, sets = results["limits"], results["sets"]
    rows = [
        ["clean accuracy, CNN", share(sets[0]["cnn"], n)],
        ["clean accuracy, 1-NN", share(sets[0]["nearest"], n)],
    ]
    for entry in sets:
        best, (peak, where) = int(np.argmax(entry["normal"])), best_alpha(entry["lbrs"], n)
        rows += [
            [
                rf"{_where(entry)}: best $\sigma$-NS, at $\sigma = {results['sigma'][best]:.3g}$",
                share(entry["normal"][best], n),
            ],
            [rf"{_where(entry)}: best $\alpha$-LBRS, at {where}", share(peak, n)],
        ]
        rows.append(
            [
                rf"{_where(entry)}: $\sigma$-NS at $\sigma = {results['sigma'][-1]:g}$",
                share(entry["normal"][-1], n),
            ]
        )
    undecided = max(max(entry["undecided"]) for entry in sets)
    draws = np.mean([draws for entry in sets for draws in entry["draws"][1:]])
    rows += [
        [r"test points where $\alpha = 0$ differs from the CNN", str(limits["alpha_zero"])],
        [
            r"test points where $\alpha = 10^{300}$ differs from the 1-NN",
            str(limits["alpha_infinity"]),
        ],
        [
            r"$\alpha$ above which LBRS is the 1-NN on all clean test points",
            f"{limits['nearest_alpha']:.3g}",
        ],
        ["normal smoothing: largest share of undecided points", f"{undecided:.3f}"],
        ["normal smoothing: mean draws a point", f"{draws:.0f} of at most {config['samples']}"],
        [
            "normal smoothing: a decided point is wrong with probability at most",
            f"{config['error']:g}",
        ],
    ]
    return table(["quantity", "value (95 % interval over the test points)"], rows)


def radius_numbers(record: Record) -> Markdown:
    """Accuracies of all classifiers at every attack radius."""
    names, rows = ("cnn", "normal", "lbrs", "nearest"), []
    for norm, values in record.results["attacks"].items():
        rows += [
            [NORMS[norm], f"{radius:g}", *(f"{values[name][i]:.3f}" for name in names)]
            for i, radius in enumerate(values["radius"])
        ]
    header = [
        "norm",
        r"$\epsilon$",
        "CNN",
        rf"$\sigma$-NS, $\sigma = {record.config['sigma']:g}$",
        rf"$\alpha$-LBRS, $\alpha = {record.config['alpha']:g}$",
        "1-NN",
    ]
    return table(header, rows)


def smoothing_reading(record: Record) -> Markdown:
    """What Figures 3 and 5 show, in sentences computed from the record."""
    sets, sigma, n, lines = record.results["sets"], record.results["sigma"], record.test_points, []
    for entry in sets:
        best, (peak, where) = int(np.argmax(entry["normal"])), best_alpha(entry["lbrs"], n)
        lines.append(
            rf"- **{_where(entry)}.** CNN {entry['cnn']:.3f}. Normal smoothing peaks at {entry['normal'][best]:.3f} ($\sigma = {sigma[best]:g}$) and ends at "
            rf"{entry['normal'][-1]:.3f}. LBRS peaks at {peak:.3f} ({where}) and has {accuracy_at(entry['lbrs'], record.config['alpha_max'], n):.3f} at "
            rf"$\alpha = {record.config['alpha_max']:g}$; the 1-NN has {entry['nearest']:.3f}."
        )
    fall = (
        "does fall towards it"
        if sets[0]["normal"][-1] <= 0.6
        else rf"does not, up to $\sigma = {sigma[-1]:g}$"
    )
    lines.append(
        rf"- The paper reports that normal smoothing falls rapidly to one half as $\sigma$ grows. Here its clean accuracy {fall}."
    )
    return Markdown("\n".join(lines))


def radius_reading(record: Record) -> Markdown:
    """What Figure 4 shows, in sentences computed from the record."""
    lines = []
    for norm, values in record.results["attacks"].items():
        radius, normal, lbrs, cnn = (
            np.array(values[name]) for name in ("radius", "normal", "lbrs", "cnn")
        )
        gap = lbrs - normal
        above = radius[gap > 0]
        where = (
            rf"between $\epsilon = {above[0]:g}$ and ${above[-1]:g}$" if len(above) else "nowhere"
        )
        at, worst = int(np.argmax(gap)), int(np.argmin(gap))
        lines.append(
            rf"- **{NORMS[norm]}.** LBRS is above normal smoothing {where}. Its largest lead is {gap[at]:+.3f} at $\epsilon = {radius[at]:g}$, where the "
            rf"CNN has {cnn[at]:.3f}. Its lowest is {gap[worst]:+.3f} at $\epsilon = {radius[worst]:g}$."
        )
    return Markdown("\n".join(lines))


def _where(entry: dict) -> str:
    return (
        "clean" if entry["radius"] == 0 else rf"$\ell_2$ attack, $\epsilon = {entry['radius']:g}$"
    )
