"""From a record to the small tables and computed sentences of a page."""

from dataclasses import fields, is_dataclass

import numpy as np

from lbrs.experiments import ImagesConfig, SpiralConfig
from lbrs.montecarlo import clopper_pearson
from lbrs.records import Record


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
    config = SpiralConfig() if record.run == "spiral" else ImagesConfig()
    return choices_of(config, record.config)


def choices_of(config: SpiralConfig | ImagesConfig, given: dict | None = None) -> Markdown:
    """The table of all choices of `config`, or of `given` values with those that differ from `config` in bold."""
    if not is_dataclass(config):
        raise TypeError(f"config must be a configuration, got {type(config).__name__}")
    rows = []
    for item in fields(config):
        default = getattr(config, item.name)
        value = (given or {}).get(item.name, default)
        changed = _shown(value) != _shown(default)
        rows.append([f"`{item.name}`", f"**{_shown(value)}**" if changed else _shown(value), item.metadata["says"]])
    return table(["choice", "value", "what it is"], rows)


def _shown(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_shown(item) for item in value)
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)


def spiral_numbers(record: Record) -> Markdown:
    """The key numbers of the spiral run."""
    results, n = record.results, record.test_points
    last, peak = len(results["alpha"]) - 1, int(np.argmax(results["accuracy"]))
    rows = [["clean accuracy, SVM (alpha = 0)", share(results["accuracy"][0], n)],
            [f"clean accuracy, LBRS, alpha = {results['alpha'][peak]:g} (the best of the grid)", share(results["accuracy"][peak], n)],
            ["clean accuracy, 1-NN", share(results["nearest"], n)],
            ["LBRS equals the 1-NN on all test points from alpha", f"{results['nearest_alpha']:.2f}"]]
    for name, values in results["norms"].items():
        rows += [[f"{name}: average radius of the SVM itself, abs(g)/norm of a", f"{values['base_radius']:.3f}"],
                 [f"{name}: average radius, Theorem 6, alpha = 0", f"{values['radius'][0]:.3f}"],
                 [f"{name}: average radius, Theorem 6, alpha = {results['alpha'][last]:g}", f"{values['radius'][last]:.3f}"],
                 [f"{name}: average true radius, Theorem 6, alpha = 0 and {results['alpha'][last]:g}", f"{values['true_radius'][0]:.3f} and {values['true_radius'][last]:.3f}"]]
    return table(["quantity", "value"], rows)


def spiral_reading(record: Record) -> Markdown:
    """What Figure 2 shows, in a sentence computed from the record."""
    values, accuracy = record.results["norms"]["l2"], record.results["accuracy"]
    moved = "rises" if values["radius"][-1] > values["radius"][0] else "does not rise"
    below = "below" if max(values["radius"]) < values["base_radius"] else "not below"
    return Markdown(
        f"Clean accuracy goes from {accuracy[0]:.3f} to {accuracy[-1]:.3f}, and the average l2 radius of Theorem 6 {moved} over the range of alpha, "
        f"from {values['radius'][0]:.2f} to {values['radius'][-1]:.2f}. The average radius of the SVM itself is {values['base_radius']:.2f}: at every alpha "
        f"the average of Theorem 6 lies {below} it."
    )


def image_numbers(record: Record) -> Markdown:
    """The key numbers of an image run."""
    results, config, n = record.results, record.config, record.test_points
    clean = results["sets"][0]
    rows = [["clean accuracy, CNN", share(clean["cnn"], n)], ["clean accuracy, 1-NN", share(clean["nearest"], n)]]
    for entry in results["sets"]:
        where = "clean" if entry["radius"] == 0 else f"l2 attack, eps = {entry['radius']:g}"
        for name, axis, label in (("normal", "sigma", "sigma-NS"), ("lbrs", "alpha", "alpha-LBRS")):
            best = int(np.argmax(entry[name]))
            rows.append([f"{where}: best {label}, at {axis} = {results[axis][best]:.3g}", share(entry[name][best], n)])
        rows.append([f"{where}: sigma-NS at sigma = {results['sigma'][-1]:g}", share(entry["normal"][-1], n)])
    for norm, values in results["attacks"].items():
        last = -1
        rows.append([f"{norm} attack, eps = {values['radius'][last]:g}: CNN, sigma-NS ({config['sigma']:g}), alpha-LBRS ({config['alpha']:g}), 1-NN",
                     ", ".join(f"{values[name][last]:.3f}" for name in ("cnn", "normal", "lbrs", "nearest"))])
    rows += [["test points where alpha = 0 differs from the CNN", str(results["limits"]["alpha_zero"])],
             ["test points where alpha = 1e300 differs from the 1-NN", str(results["limits"]["alpha_infinity"])],
             ["LBRS equals the 1-NN on all clean test points above alpha", f"{results['limits']['nearest_alpha']:.3g}"],
             ["normal smoothing: largest share of undecided points", f"{max(max(entry['undecided']) for entry in results['sets']):.3f}"],
             ["normal smoothing: mean draws a point, over all sigmas", f"{np.mean([draws for entry in results['sets'] for draws in entry['draws'][1:]]):.0f} of at most {config['samples']}"]]
    return table(["quantity", "value (95 % interval over the test points)"], rows)


def smoothing_reading(record: Record) -> Markdown:
    """What Figure 3 shows, in sentences computed from the record."""
    sets, sigma = record.results["sets"], record.results["sigma"]
    lines = []
    for entry in sets:
        where = "On clean images" if entry["radius"] == 0 else f"Under the l2 attack with radius {entry['radius']:g}"
        best, top = int(np.argmax(entry["normal"])), int(np.argmax(entry["lbrs"]))
        lines.append(f"{where} the CNN has {entry['cnn']:.3f}; normal smoothing peaks at {entry['normal'][best]:.3f} (sigma = {sigma[best]:g}) and ends at "
                     f"{entry['normal'][-1]:.3f}; LBRS peaks at {entry['lbrs'][top]:.3f} (alpha = {record.results['alpha'][top]:.3g}) and ends at "
                     f"{entry['lbrs'][-1]:.3f}, where the 1-NN has {entry['nearest']:.3f}.")
    fall = sets[0]["normal"][-1] <= 0.6
    lines.append("The paper reports that normal smoothing falls rapidly to one half as sigma grows; here its clean accuracy " +
                 ("does fall towards it." if fall else f"does not by sigma = {sigma[-1]:g}."))
    return Markdown(" ".join(lines))


def radius_reading(record: Record) -> Markdown:
    """What Figure 4 shows, in sentences computed from the record."""
    lines = []
    for norm, values in record.results["attacks"].items():
        radius, normal, lbrs, cnn = (np.array(values[name]) for name in ("radius", "normal", "lbrs", "cnn"))
        gap = lbrs - normal
        above = radius[gap > 0]
        where = f"from eps = {above[0]:g} to {above[-1]:g}" if len(above) else "nowhere"
        at, worst = int(np.argmax(gap)), int(np.argmin(gap))
        lines.append(f"In {norm}, LBRS is above normal smoothing {where}; its largest lead is {gap[at]:+.3f} at eps = {radius[at]:g}, where the CNN has "
                     f"{cnn[at]:.3f}, and its lowest {gap[worst]:+.3f} at eps = {radius[worst]:g}.")
    return Markdown(" ".join(lines))
