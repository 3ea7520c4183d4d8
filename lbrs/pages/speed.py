"""What this project asks of its own speed, and whether the measured times fulfil it."""

from collections.abc import Iterator
from dataclasses import dataclass

from lbrs.pages.text import NORMS, Markdown, bullets, short
from lbrs.pages.timings import (
    Group,
    decisions,
    groups,
    growths,
    only,
    per_point,
    products,
    ratio,
    whole,
)

LINEAR = 1.1
"""Fitted exponents up to this one count as linear: ten times as much costs at most 26 % more than
ten times the time."""

RADII = {"l2": 5, "linf": 15, "l1": 15}
"""Most products of the test images with the reference points that the radii in a norm may take."""

MINUTES = {"quick": 5, "paper": 30}
"""Most minutes of all runs together at a profile."""


@dataclass(frozen=True)
class Requirement:
    """Whether a requirement holds, and the sentence with the numbers that say so."""

    holds: bool
    text: str


def requirements(summary: Group) -> list[Requirement]:
    """All that is asked."""
    return [
        _of_samples(summary),
        *_of_sequential_sampling(summary),
        _of_closed_forms(summary),
        *_of_growth(summary),
        _of_radii(summary),
        *_of_runs(summary),
    ]


def verdicts(summary: Group) -> Markdown:
    """The requirements as a list."""
    return bullets(
        f"{one.text} **{'Holds' if one.holds else 'Does not hold'}.**"
        for one in requirements(summary)
    )


def _of_samples(summary: Group) -> Requirement:
    seconds = only(summary, "samples")["seconds"]
    others = {
        name: ratio(times, seconds["lbrs"])
        for name, times in seconds.items()
        if name.startswith("ART")
    }
    fastest = min(others, key=lambda name: others[name].median)
    return Requirement(
        others[fastest].median >= 1,
        "At the same number of draws, normal smoothing here is at least as fast as ART's: "
        f"ART takes {others[fastest]} times as long ({fastest}).",
    )


def _of_sequential_sampling(summary: Group) -> Iterator[Requirement]:
    found = groups(summary, "sequential")
    faster = [ratio(one["seconds"]["fixed"], one["seconds"]["sequential"]).median for one in found]
    yield Requirement(
        min(faster) >= 5,
        "Sequential sampling over the whole grid is at least 5 times faster than a fixed number of "
        f"draws: {short(min(faster))} to {short(max(faster))} times.",
    )
    excess = max(
        decisions(one, "differ") - one["error"] - decisions(one, "undecided") for one in found
    )
    below = f"at least {-excess:.4f} below it."
    above = f"{excess:.4f} above it at worst."
    yield Requirement(
        excess <= 0,
        "The decisions of the two differ on at most the stated error plus the undecided share: "
        f"{below if excess <= 0 else above}",
    )


def _of_closed_forms(summary: Group) -> Requirement:
    found = only(summary, "certifying")
    times = per_point(found)
    cohen = times.pop("Cohen")
    faster = [ratio(cohen, values).median for values in times.values()]
    return Requirement(
        min(faster) >= 1000,
        "A closed form certifies a point at least 1,000 times faster than Cohen's protocol with "
        f"{found['samples']:,} draws: {short(min(faster))} to {short(max(faster))} times.",
    )


def _of_growth(summary: Group) -> Iterator[Requirement]:
    every = list(growths(summary))
    paper = [one.fit[0] for one in every if one.method == "paper"]
    yield Requirement(
        max(paper) <= LINEAR,
        '`bound="paper"` grows linearly with reference points and with test points: fitted '
        f"exponents {min(paper):.2f} to {max(paper):.2f}, at most {LINEAR:g} counts as linear.",
    )
    sharp = [one.fit[0] for one in every if (one.over, one.method) == ("N", "sharp")]
    yield Requirement(
        max(sharp) <= 1.5,
        '`bound="sharp"` grows no worse than $N^{1.5}$: fitted exponents '
        f"{min(sharp):.2f} to {max(sharp):.2f}.",
    )


def _of_radii(summary: Group) -> Requirement:
    """At the most reference points."""
    found = only(summary, "radii")
    units = {name: products(found, name)[-1] for name in RADII}
    told = ", ".join(f"{units[name]} in {NORMS[name]}, at most {RADII[name]}" for name in RADII)
    return Requirement(
        all(units[name].median <= most for name, most in RADII.items()),
        f"Sharp neighbour radii for {found['N'][-1]:,} reference points cost few matrix products, "
        f"first calls included: {told}.",
    )


def _of_runs(summary: Group) -> Iterator[Requirement]:
    """For the profiles that were measured."""
    measured = {found["profile"] for found in groups(summary, "runs")}
    for profile, most in MINUTES.items():
        if profile in measured:
            minutes, peak = whole(summary, profile)
            yield Requirement(
                minutes <= most,
                f"The runs of the paper's figures take at most {most} minutes altogether at "
                f"profile {profile}: {minutes:.1f} minutes.",
            )
            gigabytes = peak * 2**30 / 1e9
            yield Requirement(
                gigabytes <= 4,
                f"None of them takes more than 4 GB of memory at profile {profile}: "
                f"{gigabytes:.1f} GB.",
            )
