"""What the published runs of certified radii found."""

from collections.abc import Sequence
from typing import Any

from lbrs.experiments.records import Record, find_curve
from lbrs.pages.certified import Curve, largest, shown_radii
from lbrs.pages.claims import NONE
from lbrs.pages.findings.words import HEADER, Finding, findings
from lbrs.pages.text import NORMS, Markdown, share, table


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


def at_a_quarter(record: Record) -> tuple[float, float, float]:
    """Certified l2 accuracy of the network and of LBRS with all reference points, at its best alpha
    of the grid, at the second radius of the tables; and that radius."""
    values = record.results["norms"]["l2"]
    place = shown_radii(values)[1]
    before = find_curve(values["curves"], method="base")
    _, after = _best(values, largest(record), [place])
    return before["certified"][place], after["certified"][place], values["radii"][place]


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
