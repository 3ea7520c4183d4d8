"""From the times that `make benchmark` measured to the small file kept with the book, and from that to the tables, sentences and figure of a page."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from lbrs._files import write_text
from lbrs.experiments.records import find_project
from lbrs.pages.text import NORMS, Markdown, table

LINEAR = 1.1
"""Fitted exponents up to this one count as linear: ten times as much costs at most 26 % more than ten times the time."""

RADII = {"l2": 5, "linf": 15, "l1": 15}
"""Most products of the test images with the reference points that the radii in a norm may take."""

NAMES = NORMS | {"l1": r"$\ell_1$"}

METHODS = {
    "predict": "`predict`",
    "paper": '`certify(bound="paper")`',
    "sharp": '`certify(bound="sharp")`',
}


@dataclass(frozen=True)
class Spread:
    """The median of several numbers, and their range."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.low)} to {short(self.high)})"


def short(value: float) -> str:
    """Three digits, without an exponent from a thousandth on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values: Sequence[float]) -> Spread:
    """Median and range of `values`."""
    return Spread(median(values), min(values), max(values))


def ratio(slow: Sequence[float], fast: Sequence[float]) -> Spread:
    """How many times as long `slow` took as `fast`: median and range of the ratios round by round."""
    return spread([a / b for a, b in zip(slow, fast, strict=True)])


def growth(values: Sequence[float], times: Sequence[float]) -> tuple[float, float]:
    """The exponent b and the factor c of times = c * values^b, by least squares between the logarithms, on the larger half of `values`.

    >>> growth([1, 10, 100, 1000], [9.0, 9.0, 30.0, 300.0])
    (1.0, 0.3)
    """
    half = len(values) // 2
    slope, start = np.polyfit(np.log(values[half:]), np.log(times[half:]), 1)
    return round(float(slope), 6), round(float(np.exp(start)), 12)


def summarize(raw: dict[str, Any]) -> dict[str, Any]:
    """What is kept of the file of pytest-benchmark: the kind of machine without its name, the versions, and what each benchmark noted, by group."""
    machine, ours = raw["machine_info"], raw["lbrs"]
    kind = {
        "processor": (machine.get("cpu") or {}).get("brand_raw") or machine["machine"],
        "system": machine["system"],
        "cpus": ours["cpus"],
        "threads": ours["threads"],
    }
    measured: dict[str, list] = {}
    for benchmark in raw["benchmarks"]:
        measured.setdefault(benchmark["group"], []).append(_rounded(benchmark["extra_info"]))
    return {
        "size": ours["size"],
        "machine": kind,
        "versions": ours["versions"],
        "measured": measured,
    }


def _rounded(value: Any) -> Any:
    """`value` with its numbers to four digits."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def load(path: Path | None = None) -> dict[str, Any]:
    """The summary at `path` (the book's)."""
    return json.loads((path or find_project() / "book/benchmarks.json").read_text(encoding="utf-8"))


def save(summary: dict[str, Any], path: Path) -> None:
    """Write a summary, whole or not at all."""
    write_text(path, json.dumps(summary, separators=(",", ":"), allow_nan=False) + "\n")


def setting(summary: dict[str, Any]) -> Markdown:
    """On what was measured, and with what, in sentences."""
    machine, versions = (
        summary["machine"],
        ", ".join(f"{name} {version}" for name, version in summary["versions"].items()),
    )
    tiny = (
        ""
        if summary["size"] == "full"
        else f"**These are times of size *{summary['size']}*, a trial of the program, and say nothing about speed.** "
    )
    threads = f"{machine['threads']} thread{'s' if machine['threads'] > 1 else ''}"
    return Markdown(
        f"{tiny}Measured on {machine['system']} with {machine['cpus']} processors ({machine['processor']}), each comparison with {threads}. "
        f"Versions: {versions}."
    )


def samples_table(summary: dict[str, Any]) -> Markdown:
    """Draws per second of normal smoothing at a fixed number of draws, and how much longer others take."""
    (found,) = summary["measured"]["samples"]
    draws = found["points"] * found["samples"]
    rows = [
        [
            name,
            str(spread([draws / time for time in times])),
            "" if name == "lbrs" else str(ratio(times, found["seconds"]["lbrs"])),
        ]
        for name, times in found["seconds"].items()
    ]
    return table(["normal smoothing by", "draws a second", "times as long as lbrs"], rows)


def _where(found: dict[str, Any]) -> str:
    attack = (
        rf"{NORMS['l2']} attack, $\epsilon = {found['radius']:g}$" if found["radius"] else "clean"
    )
    return f"{found['dataset']}, {attack}"


def sequential_table(summary: dict[str, Any]) -> Markdown:
    """Sequential sampling against a fixed number of draws, over the whole grid of sigma."""
    rows = []
    for found in summary["measured"]["sequential"]:
        times = ratio(found["seconds"]["fixed"], found["seconds"]["sequential"])
        rows.append(
            [
                _where(found),
                str(found["points"]),
                str(times),
                f"{found['samples'] / found['draws']:.1f}",
                f"{_share(found, 'differ'):.4f}",
                f"{_share(found, 'differ_decided'):.4f}",
                f"{_share(found, 'undecided'):.4f}",
                f"{found['error']:g}",
            ]
        )
    return table(
        [
            "images",
            "points",
            "times as fast",
            "times fewer draws",
            "decisions that differ",
            "of these, decided early",
            "undecided",
            "stated error",
        ],
        rows,
    )


def _share(found: dict[str, Any], key: str) -> float:
    return found[key] / found["decisions"]


def _per_point(found: dict[str, Any]) -> dict[str, list[float]]:
    return {
        name: [time / found["points"][name] for time in times]
        for name, times in found["seconds"].items()
    }


def certifying_table(summary: dict[str, Any]) -> Markdown:
    """Seconds per certified point."""
    (found,) = summary["measured"]["certifying"]
    times, rows = _per_point(found), []
    for name, values in times.items():
        told = rf"Cohen et al., $n = {found['samples']:,}$" if name == "Cohen" else name
        rows.append(
            [
                told,
                f"{found['weights'][name.split(',')[0]]:,}",
                short(1000 * median(values)),
                "" if name == "Cohen" else str(ratio(times["Cohen"], values)),
            ]
        )
    return table(
        [
            "certificate",
            "weights of the network",
            "milliseconds a point",
            "times as fast as Cohen et al.",
        ],
        rows,
    )


def certifying_setup(summary: dict[str, Any]) -> Markdown:
    """What the closed form costs once, before the first point."""
    (found,) = summary["measured"]["certifying"]
    cohen = median(_per_point(found)["Cohen"])
    return Markdown(
        f"Proving the constant $L$ of the smooth network takes {short(found['setup'])} s, once. Cohen's protocol takes {short(cohen)} s for every point."
    )


def scalings(summary: dict[str, Any]) -> Iterator[tuple[str, str, str, list[int], list[float]]]:
    """Every measured growth: (over what, "later calls" or "first call", method, values, median seconds)."""
    for found in summary["measured"]["over reference points"]:
        yield from (
            ("N", found["kind"], method, found["N"], [median(times) for times in rows])
            for method, rows in found["seconds"].items()
        )
    (found,) = summary["measured"]["over test points"]
    yield from (
        ("n", "later calls", method, found["points"], [median(times) for times in rows])
        for method, rows in found["seconds"].items()
    )


def scaling_table(summary: dict[str, Any]) -> Markdown:
    """Fitted exponents, with the times at the ends of the grid."""
    told, rows = {"N": "reference points", "n": "test points"}, []
    for over, kind, method, values, times in scalings(summary):
        exponent, _ = growth(values, times)
        half = values[len(values) // 2]
        rows.append(
            [
                told[over],
                METHODS[method],
                kind,
                f"{exponent:.2f}",
                f"{half:,} to {values[-1]:,}",
                f"{1000 * times[0]:.3g}",
                f"{1000 * times[-1]:,.3g}",
            ]
        )
    return table(
        [
            "grows with",
            "function",
            "when",
            "fitted exponent",
            "fitted on",
            "ms at the smallest",
            "ms at the largest",
        ],
        rows,
    )


def _units(found: dict[str, Any], name: str) -> list[Spread]:
    """How many products of the two matrices a call took, for each number of reference points."""
    seconds = found["seconds"]
    pairs = zip(seconds[name], seconds["product"], strict=True)
    return [ratio(times, product) for times, product in pairs]


def radii_table(summary: dict[str, Any]) -> Markdown:
    """First calls for labels and sharp radii, in products of matrices, with fitted exponents."""
    (found,) = summary["measured"]["radii"]
    told, rows = {"product": "one product", "label": "labels"}, []
    for name, seconds in found["seconds"].items():
        times = [median(one) for one in seconds]
        cells = ["1" if name == "product" else str(unit) for unit in _units(found, name)]
        shown = told.get(name) or f"radii, {NAMES[name]}"
        rows.append([shown, *cells, f"{growth(found['N'], times)[0]:.2f}", short(times[-1])])
    heads = [f"$N = {N:,}$" for N in found["N"]]
    return table(["first call", *heads, "fitted exponent", "seconds at the largest"], rows)


def radii_setup(summary: dict[str, Any]) -> Markdown:
    """What is multiplied."""
    (found,) = summary["measured"]["radii"]
    return Markdown(
        f"The unit is one product of a matrix of {found['points']:,} test images of "
        f"{found['features']} pixels with that of $N$ reference points, in float64."
    )


def memory_table(summary: dict[str, Any]) -> Markdown:
    """The rise of the peak memory of a process that makes an oracle and one call."""
    measured = summary["measured"]["memory"]
    rows = [
        [f"{N:,}", f"{n:,}", *(f"{found['mebibytes'][over][place]:,.0f}" for found in measured)]
        for over, pairs in measured[0]["pairs"].items()
        for place, (N, n) in enumerate(pairs)
    ]
    return table(
        [
            "reference points",
            "test points",
            *(f"{METHODS[found['method']]}, MiB" for found in measured),
        ],
        rows,
    )


def runs_table(summary: dict[str, Any]) -> Markdown:
    """Minutes and peak memory of whole experiments, each in a fresh process with all cores."""
    measured = summary["measured"]["runs"]
    rows = [
        [
            found["run"],
            found["profile"],
            f"{found['test_points']:,}",
            f"{found['seconds'] / 60:.1f}",
            f"{found['mebibytes'] / 1024:.1f}",
        ]
        for found in measured
    ]
    for profile in dict.fromkeys(found["profile"] for found in measured):
        minutes, peak = _whole(summary, profile)
        rows.append(["altogether", profile, "", f"{minutes:.1f}", f"{peak:.1f}, the highest"])
    return table(["run", "profile", "test points", "minutes", "peak memory, GiB"], rows)


def _whole(summary: dict[str, Any], profile: str) -> tuple[float, float]:
    """Minutes of all runs together at a profile, and the highest peak memory in GiB; 0 if none was measured."""
    known = [found for found in summary["measured"]["runs"] if found["profile"] == profile]
    return sum(found["seconds"] for found in known) / 60, max(
        (found["mebibytes"] for found in known), default=0.0
    ) / 1024


def requirements(summary: dict[str, Any]) -> list[tuple[bool, str]]:
    """Whether each requirement of this project on speed holds, with the numbers that say so."""
    (samples,), (certifying,), sequential = (
        summary["measured"][group] for group in ("samples", "certifying", "sequential")
    )
    art = {
        name: ratio(times, samples["seconds"]["lbrs"])
        for name, times in samples["seconds"].items()
        if name.startswith("ART")
    }
    fastest = min(art, key=lambda name: art[name].median)
    speed = [
        ratio(found["seconds"]["fixed"], found["seconds"]["sequential"]).median
        for found in sequential
    ]
    excess = [
        _share(found, "differ") - found["error"] - _share(found, "undecided")
        for found in sequential
    ]
    times = _per_point(certifying)
    closed = [
        ratio(times["Cohen"], values).median for name, values in times.items() if name != "Cohen"
    ]
    exponents = {
        (over, kind, method): growth(values, seconds)[0]
        for over, kind, method, values, seconds in scalings(summary)
    }
    paper = [exponent for (_, _, method), exponent in exponents.items() if method == "paper"]
    sharp = [
        exponent
        for (over, _, method), exponent in exponents.items()
        if (over, method) == ("N", "sharp")
    ]
    return [
        (
            art[fastest].median >= 1,
            f"At the same number of draws, normal smoothing here is at least as fast as ART's: ART takes {art[fastest]} times as long ({fastest}).",
        ),
        (
            min(speed) >= 5,
            f"Sequential sampling over the whole grid is at least 5 times faster than a fixed number of draws: {short(min(speed))} to {short(max(speed))} times.",
        ),
        (
            max(excess) <= 0,
            "The decisions of the two differ on at most the stated error plus the undecided share: "
            + (
                f"at least {-max(excess):.4f} below it."
                if max(excess) <= 0
                else f"{max(excess):.4f} above it at worst."
            ),
        ),
        (
            min(closed) >= 1000,
            f"A closed form certifies a point at least 1,000 times faster than Cohen's protocol with {certifying['samples']:,} draws: "
            f"{short(min(closed))} to {short(max(closed))} times.",
        ),
        (
            max(paper) <= LINEAR,
            f'`bound="paper"` grows linearly with reference points and with test points: fitted exponents {min(paper):.2f} to {max(paper):.2f}, at most {LINEAR:g} counts as linear.',
        ),
        (
            max(sharp) <= 1.5,
            f'`bound="sharp"` grows no worse than $N^{{1.5}}$: fitted exponents {min(sharp):.2f} to {max(sharp):.2f}.',
        ),
        _asked_of_radii(summary),
        *_asked_of_runs(summary),
    ]


def _asked_of_radii(summary: dict[str, Any]) -> tuple[bool, str]:
    """What is asked of first calls for sharp radii, at the most reference points."""
    (found,) = summary["measured"]["radii"]
    units = {name: _units(found, name)[-1] for name in RADII}
    told = ", ".join(
        f"{units[name]} in {NAMES[name]}, at most {most}" for name, most in RADII.items()
    )
    return all(units[name].median <= most for name, most in RADII.items()), (
        f"Sharp neighbour radii for {found['N'][-1]:,} reference points cost few matrix products, first calls included: {told}."
    )


def _asked_of_runs(summary: dict[str, Any]) -> Iterator[tuple[bool, str]]:
    """What is asked of whole runs, for the profiles that were measured."""
    profiles = {found["profile"] for found in summary["measured"]["runs"]}
    for profile, allowed in (("quick", 5), ("paper", 30)):
        minutes, peak = _whole(summary, profile)
        if profile in profiles:
            yield (
                minutes <= allowed,
                f"The runs of the paper's figures take at most {allowed} minutes altogether at profile {profile}: {minutes:.1f} minutes.",
            )
            yield (
                peak <= 4e9 / 2**30,
                f"None of them takes more than 4 GB of memory at profile {profile}: {peak * 2**30 / 1e9:.1f} GB.",
            )


def verdicts(summary: dict[str, Any]) -> Markdown:
    """The requirements as a list."""
    return Markdown(
        "\n".join(
            f"- {text} **{'Holds' if holds else 'Does not hold'}.**"
            for holds, text in requirements(summary)
        )
    )


def over_points(summary: dict[str, Any]) -> dict[str, Any]:
    """The figure: time over the number of reference points and over that of test points, with the fitted powers; returns what it drew."""
    import matplotlib.pyplot as plt

    from lbrs.pages.drawing import COLORS, foot, style

    style()
    looks = {"predict": (COLORS[2], "^"), "paper": (COLORS[0], "o"), "sharp": (COLORS[3], "D")}
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.8), sharey=True)
    drawn: dict[str, Any] = {}
    for over, kind, method, values, times in scalings(summary):
        ax, (color, marker), (exponent, factor) = (
            axes["Nn".index(over)],
            looks[method],
            growth(values, times),
        )
        first, half = kind == "first call", np.array(values[len(values) // 2 :], dtype=float)
        ax.plot(
            values,
            times,
            color=color,
            marker=marker,
            markersize=5,
            linestyle="none",
            markerfacecolor="none" if first else color,
        )
        ax.plot(
            half,
            factor * half**exponent,
            color=color,
            linestyle=":" if first else "-",
            label=f"{method}{', first call' if first else ''}: ${over}^{{{exponent:.2f}}}$",
        )
        drawn[f"{over} {kind} {method}"] = {
            "values": values,
            "seconds": times,
            "exponent": exponent,
        }
    axes[0].set(xlabel="number of reference points $N$", ylabel="seconds a call")
    axes[1].set(xlabel="number of test points $n$")
    for ax in axes:
        ax.set(xscale="log", yscale="log")
        ax.legend(fontsize="x-small", loc="upper left")
    (points,) = {found["points"] for found in summary["measured"]["over reference points"]}
    (many,) = (found["N"] for found in summary["measured"]["over test points"])
    foot(
        figure,
        [
            f"MNIST · left: {points:,} test points · right: {many:,} reference points · size {summary['size']}",
            "medians; lines: powers fitted to the larger half",
        ],
        bottom=0.03,
    )
    return drawn


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    save(summarize(json.loads(source.read_text(encoding="utf-8"))), target)
