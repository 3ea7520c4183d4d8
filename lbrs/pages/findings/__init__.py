"""What the published runs found, in plain words with one number each, and the paper's claims beside
it."""

from collections.abc import Callable, Iterator, Sequence

from lbrs.experiments.records import Record, accuracy_at
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
from lbrs.pages.findings.certified import at_a_quarter, certified, certified_claims
from lbrs.pages.findings.words import HEADER, Finding, findings, holds, moves
from lbrs.pages.spiral import ends
from lbrs.pages.text import NORMS, SIGNED, Markdown, over, table

__all__ = [
    "at_a_quarter",
    "certified",
    "certified_claims",
    "findings",
    "holds",
    "images",
    "images_claims",
    "parts",
    "spiral",
    "spiral_claims",
]

Value = Callable[[Record], float]
Row = list[str]
STRONG = {"mnist": (2.0, 0.1), "cifar10": (0.5, 0.02), "digits": (0.5, 0.04)}
"""The attack radii in l2 and linf at which the corners of a run are compared."""


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


def gained(record: Record) -> float:
    """How accuracy changes from alpha = 0 to the largest."""
    return _accuracy(record.config["alpha_max"])(record) - _accuracy(0.0)(record)


def exactly(record: Record) -> float:
    """How the average exact l2 radius changes."""
    average = record.results["sharpness"]["l2"]["exact"]["average"]
    change: float = average[-1] - average[0]
    return change


def spiral(records: Sequence[Record]) -> Markdown:
    """The findings of the page of the spiral."""
    if not records:
        return NONE
    more, bound, exact = (over(records, value) for value in (gained, _change("radius"), exactly))
    rises = ("rises", "falls", "hardly moves")
    figure = "Figure 2: what the radius does"
    sharp = "How much is the bound, how much the classifier?"
    return findings(
        [
            Finding(
                rf"The line learns to follow the spiral: from $\alpha = 0$ to the end its accuracy "
                f"{moves(more, *rises)}, by",
                f"{more:{SIGNED}}",
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
        ("clean accuracy rises", "Figure 2", gained, SIGNED),
        (r"the average $\ell_2$ radius of Theorem 6 rises", "Figure 2", _change("radius"), "+.2f"),
        ("its true average rises", "Figure 2", _change("true_radius"), "+.2f"),
        (
            "the classifier becomes more robust: its exact average rises",
            "abstract",
            exactly,
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


def strong(record: Record) -> Iterator[tuple[str, int, float]]:
    """The attacks at which the paper's corners are compared: norm, place, radius."""
    wanted = STRONG.get(record.run, STRONG["digits"])
    for norm, radius in zip(("l2", "linf"), wanted, strict=True):
        grid = record.results["attacks"][norm]["radius"]
        place = place_of(grid, radius)
        yield norm, place, grid[place]


def images(records: Sequence[Record]) -> Markdown:
    """The findings of a page of images."""
    return findings(_images(records)) if records else NONE


AHEAD = (
    "LBRS is ahead of normal smoothing",
    "normal smoothing is ahead of LBRS",
    "it depends on the seed whether LBRS is ahead of normal smoothing",
)
SMOOTHING = "Accuracy against the smoothing parameter"


def _images(records: Sequence[Record]) -> Iterator[Finding]:
    _, (norm, at, radius) = strong(records[0])
    corner, best = over(records, corner_gap(norm, at)), over(records, best_gap(1))
    gain, last = over(records, best_gain(1)), over(records, clean_normal(-1))
    sigma, weak = records[0].results["sigma"][-1], records[0].config["radii"][0]
    yield Finding(
        rf"At the paper's parameters, under an {NORMS[norm]} attack on the network with "
        rf"$\epsilon = {radius:.2g}$, {moves(corner, *AHEAD)}. LBRS less normal smoothing, in "
        "accuracy",
        f"{corner:{SIGNED}}",
        "Accuracy against the attack radius",
    )
    yield Finding(
        rf"With each at its best parameter, $\ell_2$, $\epsilon = {weak:g}$, "
        f"{moves(best, *AHEAD)}. The same difference",
        f"{best:{SIGNED}}",
        SMOOTHING,
    )
    hardly = "LBRS is hardly better there than the better one of its two parts, the network and "
    yield Finding(
        f"{hardly}the nearest of ten images. It adds"
        if gain.median < 0.01
        else "LBRS is better there than both of its parts. It adds",
        f"{gain:{SIGNED}}",
        SMOOTHING,
    )
    falls = "falls to that of a coin" if last.median <= 0.55 else "does not fall to that of a coin"
    yield Finding(
        rf"The clean accuracy of normal smoothing {falls} at $\sigma = {sigma:g}$. It is",
        f"{last:.3f}",
        SMOOTHING,
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
        for norm, place, radius in strong(first)
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
