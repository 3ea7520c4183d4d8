"""What the published runs found, in plain words with one number each, and the paper's claims beside
it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lbrs.experiments.records import Record, accuracy_at, find_curve
from lbrs.pages.certified import Curve, largest, shown_radii
from lbrs.pages.claims import (
    NONE,
    best_gain,
    best_gap,
    best_lbrs,
    best_normal,
    clean_normal,
    corner_gap,
    nearest,
    place_of,
)
from lbrs.pages.spiral import ends
from lbrs.pages.text import NORMS, SIGNED, Markdown, Spread, over, share, table

Value = Callable[[Record], float]
Row = list[str]
HEADER = ["claim", "paper", "here: median (range)", "holds?"]
STRONG = {"mnist": (2.0, 0.1), "cifar10": (0.5, 0.02), "digits": (0.5, 0.04)}
"""The attack radii in l2 and linf at which the corners of a run are compared."""


@dataclass(frozen=True)
class Finding:
    """A sentence, its one number with its range, and the heading under which its figure stands."""

    told: str
    number: str
    heading: str

    @property
    def line(self) -> str:
        """As an item of a list."""
        slug = "".join(
            letter for letter in self.heading.lower() if letter.isalnum() or letter in " -"
        )
        return f"- {self.told}: **{self.number}** ([{self.heading}](#{slug.replace(' ', '-')}))."


def findings(found: Iterable[Finding]) -> Markdown:
    """A list of findings."""
    return Markdown("\n".join(one.line for one in found))


def holds(gaps: Iterable[float]) -> str:
    """Whether a claim that numbers are above zero holds for every seed, for some, or for none."""
    signs = [gap > 0 for gap in gaps]
    if all(signs):
        return "yes"
    return f"for {sum(signs)} of {len(signs)} seeds" if any(signs) else "no"


def moves(found: Spread, up: str, down: str, mixed: str) -> str:
    """The words for a number that is positive for all seeds, negative for all, or neither."""
    return up if found.low > 0 else down if found.high < 0 else mixed


def _change(key: str) -> Value:
    """How an average l2 radius changes from the first to the last alpha."""

    def change(record: Record) -> float:
        first, last = ends(record.results["norms"]["l2"][key])
        return last - first

    return change


def _accuracy(alpha: float) -> Value:
    def accuracy(record: Record) -> float:
        return accuracy_at(record.results["accuracy"], alpha, record.test_points).item()

    return accuracy


def _gained(record: Record) -> float:
    return _accuracy(record.config["alpha_max"])(record) - _accuracy(0.0)(record)


def _exactly(record: Record) -> float:
    """How the average exact l2 radius changes."""
    average = record.results["sharpness"]["l2"]["exact"]["average"]
    change: float = average[-1] - average[0]
    return change


def spiral(records: Sequence[Record]) -> Markdown:
    """The findings of the page of the spiral."""
    if not records:
        return NONE
    gained, bound, exact = (
        over(records, value) for value in (_gained, _change("radius"), _exactly)
    )
    rises = ("rises", "falls", "hardly moves")
    figure = "Figure 2: what the radius does"
    sharp = "How much is the bound, how much the classifier?"
    return findings(
        [
            Finding(
                rf"The line learns to follow the spiral: from $\alpha = 0$ to the end its accuracy "
                f"{moves(gained, *rises)}, by",
                f"{gained:{SIGNED}}",
                figure,
            ),
            Finding(
                r"The average $\ell_2$ radius that Theorem 6 certifies "
                f"{moves(bound, *rises)}, as in the paper, by",
                f"{bound:+.2f}",
                figure,
            ),
            Finding(
                f"But the true average radius {moves(exact, *rises)}: accuracy is paid for with "
                "radius, by",
                f"{exact:+.2f}",
                sharp,
            ),
        ]
    )


def spiral_claims(records: Sequence[Record]) -> Markdown:
    """The claims of Section 5.1."""
    if not records:
        return NONE
    rises = [
        ("clean accuracy rises", "Figure 2", _gained, SIGNED),
        (r"the average $\ell_2$ radius of Theorem 6 rises", "Figure 2", _change("radius"), "+.2f"),
        ("its true average rises", "Figure 2", _change("true_radius"), "+.2f"),
        (
            "the classifier becomes more robust: its exact average rises",
            "abstract",
            _exactly,
            "+.2f",
        ),
    ]
    rows = [[claim, where, *_judged(records, value, form)] for claim, where, value, form in rises]

    def apart(record: Record) -> float:
        at_end: float = record.results["nearest"] - _accuracy(record.config["alpha_max"])(record)
        return abs(at_end)

    same = over(records, apart)
    told = "yes" if same.high == 0 else "not yet"
    last = (
        rf"at $\alpha = {records[0].config['alpha_max']:g}$ LBRS is the 1-NN: accuracies differ by"
    )
    return table(HEADER, [*rows, [last, "Section 5.1", f"{same:.3f}", told]])


def _judged(records: Sequence[Record], value: Value, form: str) -> Row:
    return [f"{over(records, value):{form}}", holds(map(value, records))]


def _strong(record: Record) -> Iterator[tuple[str, int, float]]:
    """The attacks at which the paper's corners are compared: norm, place, radius."""
    wanted = STRONG.get(record.run, STRONG["digits"])
    for norm, radius in zip(("l2", "linf"), wanted, strict=True):
        grid = record.results["attacks"][norm]["radius"]
        place = place_of(grid, radius)
        yield norm, place, grid[place]


def images(records: Sequence[Record]) -> Markdown:
    """The findings of a page of images."""
    if not records:
        return NONE
    _, (norm, at, radius) = _strong(records[0])
    corner, best = over(records, corner_gap(norm, at)), over(records, best_gap(1))
    gain, last = over(records, best_gain(1)), over(records, clean_normal(-1))
    sigma, weak = records[0].results["sigma"][-1], records[0].config["radii"][0]
    ahead = ("LBRS is ahead of normal smoothing", "normal smoothing is ahead of LBRS")
    mixed = "it depends on the seed whether LBRS is ahead of normal smoothing"
    falls = "falls to that of a coin" if last.median <= 0.55 else "does not fall to that of a coin"
    over_radius, over_smoothing = (
        "Accuracy against the attack radius",
        "Accuracy against the smoothing parameter",
    )
    return findings(
        [
            Finding(
                rf"At the paper's parameters, under an {NORMS[norm]} attack on the network with "
                rf"$\epsilon = {radius:.2g}$, {moves(corner, *ahead, mixed)}. LBRS less normal "
                "smoothing, in accuracy",
                f"{corner:{SIGNED}}",
                over_radius,
            ),
            Finding(
                rf"With each at its best parameter, $\ell_2$, $\epsilon = {weak:g}$, "
                f"{moves(best, *ahead, mixed)}. The same difference",
                f"{best:{SIGNED}}",
                over_smoothing,
            ),
            Finding(
                "LBRS is hardly better there than the better one of its two parts, the network and "
                "the nearest of ten images. It adds"
                if gain.median < 0.01
                else "LBRS is better there than both of its parts. It adds",
                f"{gain:{SIGNED}}",
                over_smoothing,
            ),
            Finding(
                rf"The clean accuracy of normal smoothing {falls} at $\sigma = {sigma:g}$. It is",
                f"{last:.3f}",
                over_smoothing,
            ),
        ]
    )


def images_claims(records: Sequence[Record]) -> Markdown:
    """The claims of Section 5.2."""
    if not records:
        return NONE
    first, better = records[0], "LBRS withstands attacks better than normal smoothing"
    corner = rf"$\alpha = {first.config['alpha']:g}$, $\sigma = {first.config['sigma']:g}$"
    rows = [
        [
            rf"{better}: {corner}, {NORMS[norm]}, $\epsilon = {radius:.2g}$",
            "Figures 4, 6",
            *_judged(records, corner_gap(norm, place), SIGNED),
        ]
        for norm, place, radius in _strong(first)
    ]
    for place, radius in enumerate(first.config["radii"], 1):
        claim = rf"{better}: each at its best, $\ell_2$, $\epsilon = {radius:g}$"
        rows.append([claim, "Figures 3, 5", *_judged(records, best_gap(place), SIGNED)])
    sigma = first.results["sigma"][-1]
    falls = rf"normal smoothing falls to one half: clean accuracy at $\sigma = {sigma:g}$"
    told = holds(0.55 - clean_normal(-1)(record) + 1e-12 for record in records)
    rows.append([falls, "Section 5.2", f"{over(records, clean_normal(-1)):.3f}", told])
    return table(HEADER, rows)


def parts(records: Sequence[Record]) -> Markdown:
    """What LBRS is made of, and what it reaches: accuracies at each method's best parameter."""
    if not records:
        return NONE
    rows = []
    for place, entry in enumerate(records[0].results["sets"]):

        def network(record: Record, at: int = place) -> float:
            accuracy: float = record.results["sets"][at]["cnn"]
            return accuracy

        methods = (network, nearest(place), best_lbrs(place), best_normal(place))
        told = rf"$\ell_2$, $\epsilon = {entry['radius']:g}$" if entry["radius"] else "clean"
        rows.append([told, *(f"{over(records, method):.3f}" for method in methods)])
    header = [
        "images",
        "network",
        "nearest of the references",
        "best LBRS",
        "best normal smoothing",
    ]
    return table(header, rows)


def _best(values: dict[str, Any], N: int, places: Sequence[int]) -> tuple[float, Curve]:
    """The alpha > 0 of the grid with the largest sum of certified accuracies at the radii at
    `places`."""
    curves = {
        alpha: find_curve(values["curves"], method="sharp", N=N, alpha=alpha)
        for alpha in values["alpha"]
        if alpha > 0
    }
    best = max(curves, key=lambda alpha: sum(curves[alpha]["certified"][at] for at in places))
    return best, curves[best]


def certified(records: Sequence[Record]) -> Markdown:
    """The findings of a page of certified radii, from its one published record."""
    if not records:
        return NONE
    record, n = records[-1], records[-1].test_points
    values, N = record.results["norms"]["l2"], largest(record)
    place = shown_radii(values)[1]
    radius, before = values["radii"][place], find_curve(values["curves"], method="base")
    alpha, after = _best(values, N, [place])
    few = min(curve["N"] for curve in values["curves"] if curve.get("N"))
    least, with_few = _best(values, few, [place])
    gain = after["certified"][place] - before["certified"][place]
    loss = with_few["certified"][place] - before["certified"][place]
    old = find_curve(values["curves"], method="theorem8", N=N, alpha=alpha)
    figure, average = "A smooth network and its bias", "A smooth network and its bias"
    more = "more" if gain > 0 else "no more"
    fewer = "more" if loss > 0 else "no more"
    return findings(
        [
            Finding(
                rf"With $N = {N:,}$ reference points LBRS certifies {more} images than its network "
                rf"at $\ell_2$ radius {radius:g}, where that has {before['certified'][place]:.3f}. "
                rf"LBRS at $\alpha = {alpha:g}$ (95 % interval)",
                share(after["certified"][place], n),
                figure,
            ),
            Finding(
                rf"With {few} reference points, as in the paper, it certifies {fewer} than the "
                rf"network there. At its best, $\alpha = {least:g}$",
                share(with_few["certified"][place], n),
                figure,
            ),
            Finding(
                rf"What the sharper proof is worth: at $\alpha = {alpha:g}$ the average radius by "
                rf"Theorem E' is that of Theorem 8 times",
                f"{after['average'] / old['average']:.2f}",
                average,
            ),
        ]
    )


def certified_claims(records: Sequence[Record]) -> Markdown:
    """The abstract's claim on images, radius by radius, network against LBRS."""
    if not records:
        return NONE
    record, rows = records[-1], []
    for norm, values in record.results["norms"].items():
        base = find_curve(values["curves"], method="base")
        alpha, best = _best(values, largest(record), shown_radii(values)[:3])
        for place in shown_radii(values):
            old, new = base["certified"][place], best["certified"][place]
            where = f"at {values['radii'][place]:g}" if place else "clean"
            claim = rf"{NORMS[norm]}, {where}: LBRS ($\alpha = {alpha:g}$) above its network"
            told = f"{old:.3f} to {new:.3f}"
            rows.append(
                [
                    claim,
                    "abstract; no radius given",
                    told,
                    "yes" if round(new - old, 3) > 0 else "no",
                ]
            )
    return table([*HEADER[:2], "here: network to LBRS", HEADER[3]], rows)
