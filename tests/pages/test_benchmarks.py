"""What is made of measured times: fits, ratios, the kept file, and the page's tables and sentences.
Nothing here is timed."""

import copy
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lbrs.experiments.records import find_project, versions
from lbrs.pages import benchmarks, timings
from lbrs.pages.speed import RADII, requirements
from lbrs.pages.text import spread
from lbrs.pages.timings import growth, ratio, summarize

N, FEW = [10, 30, 100, 300, 1000], [1, 10, 100]


def powers(values: list[int], exponent: float, factor: float = 1e-3) -> list[list[float]]:
    """Three rounds of times that grow with this power; the middle one is exact."""
    return [[factor * value**exponent * noise for noise in (0.5, 1.0, 9.0)] for value in values]


def noted() -> list[tuple[str, dict]]:
    """What each benchmark notes, by group, with times made up so that every requirement holds."""
    sequential = {
        "dataset": "mnist",
        "radius": 0.5,
        "points": 10,
        "sigmas": 20,
        "samples": 1000,
        "error": 1e-3,
        "draws": 40.0,
        "decisions": 200,
        "undecided": 4,
        "differ": 2,
        "differ_decided": 1,
        "seconds": {"fixed": [10.0, 12.0, 14.0], "sequential": [1.0, 1.0, 2.0]},
    }
    forms = (
        "linear score, paper",
        "linear score, sharp",
        "smooth network, paper",
        "smooth network, sharp",
    )
    return [
        (
            "samples",
            {
                "dataset": "mnist",
                "points": 4,
                "samples": 1000,
                "sigma": 0.25,
                "seconds": {
                    "ART, its batch of 128": [1.6, 1.8, 1.5],
                    "ART, batch of 256": [1.2, 1.5, 1.8],
                    "a plain loop": [1.0, 1.0, 1.0],
                    "lbrs": [1.0, 1.0, 1.0],
                },
            },
        ),
        ("sequential", sequential),
        ("sequential", sequential | {"dataset": "cifar10", "radius": 0.0}),
        (
            "certifying",
            {
                "dataset": "mnist",
                "N": 10,
                "samples": 100_000,
                "alpha": 0.2,
                "sigma": 0.25,
                "setup": 3.0,
                "points": dict.fromkeys(forms, 100) | {"Cohen": 1},
                "weights": {"linear score": 785, "smooth network": 201_217, "Cohen": 24_321},
                "seconds": dict.fromkeys(forms, [0.01, 0.02]) | {"Cohen": [1.5, 1.5]},
            },
        ),
        (
            "over reference points",
            {
                "kind": "later calls",
                "N": N,
                "points": 20,
                "seconds": {
                    "predict": powers(N, 0.9),
                    "paper": powers(N, 1.0),
                    "sharp": powers(N, 1.4),
                },
            },
        ),
        (
            "over reference points",
            {
                "kind": "first call",
                "N": N,
                "points": 20,
                "seconds": {"paper": powers(N, 1.05), "sharp": powers(N, 1.2)},
            },
        ),
        (
            "over test points",
            {
                "N": 1000,
                "points": FEW,
                "seconds": {
                    "predict": powers(FEW, 1.0),
                    "paper": powers(FEW, 1.0),
                    "sharp": powers(FEW, 1.0),
                },
            },
        ),
        (
            "radii",
            {
                "dataset": "mnist",
                "N": N,
                "points": 20,
                "features": 784,
                "seconds": {
                    "product": powers(N, 1.0),
                    "label": powers(N, 1.0, 2e-3),
                    "l2": powers(N, 1.1, 2e-3),
                    "linf": powers(N, 1.2),
                    "l1": powers(N, 1.0, 4e-3),
                },
            },
        ),
        *(
            (
                "memory",
                {
                    "method": method,
                    "pairs": {
                        "over reference points": [[10, 20], [1000, 20]],
                        "over test points": [[1000, 1], [1000, 100]],
                    },
                    "mebibytes": {
                        "over reference points": [1.5, 20.25],
                        "over test points": [3.0, 33.0],
                    },
                },
            )
            for method in ("predict", "paper", "sharp")
        ),
        *(
            (
                "runs",
                {
                    "run": run,
                    "profile": profile,
                    "threads": 2,
                    "test_points": points,
                    "seconds": seconds,
                    "mebibytes": 1024.0,
                },
            )
            for run, profile, points, seconds in (
                ("spiral", "quick", 500, 30.0),
                ("spiral", "paper", 500, 90.0),
                ("mnist", "quick", 200, 60.0),
                ("mnist", "paper", 1948, 600.0),
            )
        ),
    ]


def raw() -> dict:
    """A file as pytest-benchmark writes it, on a machine with a name."""
    machine = {
        "node": "secret-host",
        "system": "Linux",
        "machine": "x86_64",
        "cpu": {"brand_raw": "A Processor", "flags": ["x"] * 100},
    }
    entries = [
        {
            "group": group,
            "name": "n",
            "fullname": "/somewhere/else::n",
            "extra_info": info,
            "stats": {"data": [1.0 / 3] * 50},
        }
        for group, info in noted()
    ]
    return {
        "machine_info": machine,
        "commit_info": {"id": "0" * 40},
        "datetime": "2020-01-01",
        "benchmarks": entries,
        "lbrs": {
            "size": "full",
            "threads": 1,
            "cpus": 2,
            "versions": versions() | {"pytest-benchmark": "5"},
        },
    }


@pytest.fixture
def summary() -> dict:
    return summarize(copy.deepcopy(raw()))


def published() -> dict:
    path = find_project() / "book/benchmarks.json"
    if not path.is_file():
        pytest.skip("no published times; make benchmark measures them")
    return benchmarks.load()


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.5, 2.0])
def test_the_fitted_exponent_is_that_of_a_power_and_scales_with_nothing(exponent):
    values = [10, 30, 100, 300, 1000, 3000]
    times = [2.5 * value**exponent for value in values]
    assert growth(values, times) == pytest.approx((exponent, 2.5))
    assert growth([7 * value for value in values], [9 * time for time in times])[
        0
    ] == pytest.approx(exponent)


def test_only_the_larger_half_is_fitted():
    assert growth([1, 2, 3, 4, 100, 200, 300, 400], [50.0] * 4 + [1.0, 2.0, 3.0, 4.0])[
        0
    ] == pytest.approx(1)
    assert growth([1, 10, 100], [99.0, 1.0, 100.0])[0] == pytest.approx(2)


def test_the_fit_is_that_of_least_squares_between_logarithms(rng):
    values, times = [1, 10, 100, 1000, 10_000, 100_000], rng.uniform(0.1, 1, 6).tolist()
    x, y = (np.log(v[3:]) for v in (values, times))
    assert growth(values, times)[0] == pytest.approx(
        ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum(), abs=1e-5
    )


def test_ratios_are_taken_round_by_round():
    found = ratio([2.0, 9.0, 40.0], [1.0, 3.0, 10.0])
    assert (found.median, found.low, found.high) == (3, 2, 4) and str(found) == "3 (2 to 4)"
    assert ratio([1.0, 2.0], [2.0, 4.0]) == spread([0.5])
    with pytest.raises(ValueError, match="shorter|longer"):
        ratio([1.0], [1.0, 2.0])


def test_the_summary_names_kind_and_versions_but_neither_host_nor_path(summary, tmp_path):
    assert summary["machine"] == {
        "processor": "A Processor",
        "system": "Linux",
        "cpus": 2,
        "threads": 1,
    }
    assert set(summary["versions"]) > {"python", "torch", "numpy", "lbrs"}
    timings.save(summary, tmp_path / "book" / "benchmarks.json")
    text = (tmp_path / "book" / "benchmarks.json").read_text()
    assert (
        "secret-host" not in text
        and "somewhere" not in text
        and "2020" not in text
        and benchmarks.load(tmp_path / "book" / "benchmarks.json") == summary
    )


def test_without_a_processor_name_the_kind_of_machine_is_told():
    given = raw()
    given["machine_info"]["cpu"] = {}
    assert summarize(given)["machine"]["processor"] == "x86_64"


def test_the_tables_hold_the_numbers_of_the_summary(summary):
    assert (
        "| ART, batch of 256 | 2,667 (2,222 to 3,333) | 1.5 (1.2 to 1.8) |"
        in benchmarks.samples_table(summary)
    )
    assert (
        r"| mnist, $\ell_2$ attack, $\epsilon = 0.5$ | 10 | 10 (7 to 12) | 25.0 | "
        "0.0100 | 0.0050 | 0.0200 | 0.001 |" in benchmarks.sequential_table(summary)
    )
    assert "| cifar10, clean |" in benchmarks.sequential_table(summary)
    assert (
        "| smooth network, sharp | 201,217 | 0.15 | 11,250 (7,500 to 15,000) |"
        in benchmarks.certifying_table(summary)
    )
    assert (
        "takes 3 s, once. Cohen's protocol takes 1.5 s for every point."
        in benchmarks.certifying_setup(summary)
    )
    assert (
        '| reference points | `certify(bound="sharp")` | later calls | 1.40 | 100 to 1,000 |'
        in benchmarks.scaling_table(summary)
    )
    assert "| 1,000 | 20 | 20 | 20 | 20 |" in benchmarks.memory_table(summary)
    assert "| mnist | paper | 1,948 | 10.0 | 1.0 |" in benchmarks.runs_table(summary)
    assert "| altogether | quick |  | 1.5 | 1.0, the highest |" in benchmarks.runs_table(
        summary
    ) and "| altogether | paper |  | 11.5 |" in benchmarks.runs_table(summary)


def test_every_row_of_a_table_has_the_columns_of_its_header(summary):
    tables = (
        benchmarks.samples_table,
        benchmarks.sequential_table,
        benchmarks.certifying_table,
        benchmarks.scaling_table,
        benchmarks.memory_table,
        benchmarks.runs_table,
    )
    for made in tables:
        assert len({line.count("|") for line in made(summary).splitlines()}) == 1, made
        assert "" not in [
            name.strip() for name in made(summary).splitlines()[0].strip("|").split("|")
        ], made


def test_the_requirements_hold_or_not_by_the_numbers(summary):
    assert all(one.holds for one in requirements(summary))
    assert (
        "ART takes 1.5 (1.2 to 1.8) times as long (ART, batch of 256). **Holds.**"
        in benchmarks.verdicts(summary)
    )
    measured = summary["measured"]
    measured["samples"][0]["seconds"]["ART, batch of 256"] = [0.9, 0.9, 2.0]
    measured["sequential"][1]["seconds"]["fixed"] = [4.0, 4.0, 4.0]
    measured["sequential"][0]["differ"] = 5
    measured["certifying"][0]["seconds"]["linear score, sharp"] = [0.2, 0.2]
    measured["over test points"][0]["seconds"]["paper"] = powers(FEW, 1.2)
    measured["over reference points"][1]["seconds"]["sharp"] = powers(N, 1.6)
    measured["radii"][0]["seconds"]["l1"] = powers(N, 1.0, 16e-3)
    for found in measured["runs"]:
        found.update(seconds=10 * found["seconds"], mebibytes=4000.0)
    assert not any(one.holds for one in requirements(summary))
    assert "0.0040 above it at worst. **Does not hold.**" in benchmarks.verdicts(summary)


def test_radii_are_told_in_products_of_matrices_with_their_exponents(summary):
    told = benchmarks.radii_table(summary)
    assert "| labels | 2 (2 to 2) | 2 (2 to 2) |" in told and "| 1.00 | 2 |" in told
    assert "| one product | 1 | 1 | 1 | 1 | 1 | 1.00 | 1 |" in told
    assert "$N = 1,000$" in told and "| 1.20 | 3.98 |" in told
    assert "20 test images of 784 pixels" in benchmarks.radii_setup(summary)


@pytest.mark.parametrize(("name", "most"), list(RADII.items()))
def test_each_norm_has_its_own_limit_for_radii(summary, name, most):
    for units, holds in ((most, True), (most * 1.01, False)):
        summary["measured"]["radii"][0]["seconds"][name] = powers(N, 1.0, units * 1e-3)
        told = next(
            line for line in benchmarks.verdicts(summary).splitlines() if "Sharp neighbour" in line
        )
        assert told.endswith("**Holds.**" if holds else "**Does not hold.**")


def test_nothing_is_claimed_of_runs_that_were_not_timed(summary):
    summary["measured"]["runs"] = [
        found for found in summary["measured"]["runs"] if found["profile"] == "quick"
    ]
    told = benchmarks.verdicts(summary)
    assert (
        "at profile quick" in told
        and "at profile paper" not in told
        and "paper" not in benchmarks.runs_table(summary)
    )


def test_times_of_a_trial_are_called_so(summary):
    assert "trial" not in benchmarks.setting(summary) and "1 thread." in benchmarks.setting(summary)
    assert "say nothing about speed" in benchmarks.setting(summary | {"size": "tiny"})


def test_the_figure_draws_the_medians_and_names_exponents_and_axes(summary):
    drawn = benchmarks.over_points(summary)
    left, right = plt.gcf().axes
    assert (
        drawn["N later calls sharp"]["exponent"] == pytest.approx(1.4, abs=1e-3) and len(drawn) == 8
    )
    assert np.allclose(
        left.lines[0].get_ydata(), drawn["N later calls predict"]["seconds"]
    ) and np.allclose(left.lines[0].get_xdata(), N)
    assert np.allclose(
        left.lines[1].get_ydata(), drawn["N later calls predict"]["seconds"][2:], rtol=1e-2
    )
    assert "sharp: $N^{1.40}$" in [text.get_text() for text in left.get_legend().texts]
    assert (
        left.get_xlabel()
        and left.get_ylabel()
        and right.get_xlabel()
        and left.get_xscale() == left.get_yscale() == "log"
    )
    plt.close("all")


def test_the_published_times_are_small_complete_and_of_no_named_machine():
    kept, path = published(), find_project() / "book/benchmarks.json"
    assert path.stat().st_size < 20_000 and len(path.read_text().splitlines()) == 1
    assert kept["size"] == "full" and set(kept["machine"]) == {
        "processor",
        "system",
        "cpus",
        "threads",
    }
    assert set(kept["versions"]) >= set(versions()) | {
        "adversarial-robustness-toolbox",
        "pytest-benchmark",
    }
    assert not re.search(r'"(node|host|path|date)|/\w+/\w+|\\\\', path.read_text())
    assert set(kept["measured"]) == {group for group, _ in noted()}
    for group, info in noted():
        assert all(set(found) == set(info) for found in kept["measured"][group]), group
    assert {(found["dataset"], found["radius"]) for found in kept["measured"]["sequential"]} == {
        (name, radius) for name in ("mnist", "cifar10") for radius in (0.0, 0.5)
    }


def test_the_page_shows_every_table_of_the_module():
    page = (find_project() / "book/benchmarks.md").read_text()
    assert {
        "setting",
        "verdicts",
        "samples_table",
        "sequential_table",
        "certifying_table",
        "certifying_setup",
        "over_points",
        "scaling_table",
        "radii_table",
        "radii_setup",
        "memory_table",
        "runs_table",
    } == set(re.findall(r"benchmarks\.(\w+)\(summary\)", page))
