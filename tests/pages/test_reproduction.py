"""Whether a run lies inside the published range, and what the published runs say of the paper's
claims, on made-up records."""

import copy
import dataclasses

import numpy as np
import pytest
from tiny import TINY

from lbrs.experiments.records import accuracy_at
from lbrs.experiments.running import run
from lbrs.pages import claims, findings, reproduction


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Four runs of the tiny digits as if they were published."""
    folder = tmp_path_factory.mktemp("records")
    return [
        run(
            TINY["digits"],
            run="digits",
            profile="paper",
            seed=seed,
            folder=folder / str(seed) / "records",
        )
        for seed in range(4)
    ]


def shifted(record, change, seed=9):
    """`record` with every accuracy of normal smoothing moved by `change`."""
    results = copy.deepcopy(record.results)
    for entry in results["sets"]:
        entry["normal"] = [value + change for value in entry["normal"]]
    return dataclasses.replace(record, results=results, seed=seed)


def test_a_run_between_two_others_lies_inside_and_one_far_away_does_not(published):
    low, high = shifted(published[0], -0.1, 1), shifted(published[0], 0.1, 2)
    assert "**This run lies inside the range of the published ones**" in reproduction.inside(
        shifted(published[0], 0.0), [low, high]
    )
    text = reproduction.inside(shifted(published[0], -0.9), [low, high])
    assert "at 100 % of" not in text and "| 0.800 |" in text and "clean" in text


def test_what_lies_outside_by_less_than_the_sampling_error_is_told_but_not_counted(published):
    low, high = shifted(published[0], 0.01, 1), shifted(published[0], 0.02, 2)
    text = reproduction.inside(shifted(published[0], 0.0), [low, high])
    assert (
        "**This run lies inside the range of the published ones**" in text and "| 0.010 |" in text
    )


def test_a_run_is_not_compared_with_itself_or_with_too_few(published):
    assert "3 runs of other seeds" in reproduction.inside(published[0], published)
    assert "Too few" in reproduction.inside(published[0], published[:2])
    assert "no published runs" in claims.claims([])


def test_the_spiral_is_compared_too(tmp_path):
    runs = [
        run(
            TINY["spiral"],
            run="spiral",
            profile="quick",
            seed=seed,
            folder=tmp_path / str(seed) / "records",
        )
        for seed in range(4)
    ]
    assert "357 values compared with 3 runs" in reproduction.inside(runs[0], runs)


def test_claims_are_medians_and_ranges_over_the_seeds(published):
    text = claims.claims(published)
    ends = [record.results["sets"][0]["normal"][-1] for record in published]
    assert f"| {np.median(ends):.3f} | {min(ends):.3f} to {max(ends):.3f} |" in text
    gaps = [
        max(entry["lbrs"]["right"]) / record.test_points - max(entry["normal"])
        for record in published
        for entry in [record.results["sets"][1]]
    ]
    assert f"| {np.median(gaps):+.3f} | {min(gaps):+.3f} to {max(gaps):+.3f} |" in text
    assert len({line.count("|") for line in text.splitlines()}) == 1


def test_what_holds_follows_the_signs_of_the_gaps(published):
    worse, better = [
        [shifted(record, change, record.seed) for record in published] for change in (-2.0, 2.0)
    ]
    assert findings.images_claims(worse).count("| yes |") >= 2
    assert findings.images_claims(better).count("| no |") >= 2
    assert "LBRS is ahead of normal smoothing" in findings.images(worse)
    assert "normal smoothing is ahead of LBRS" in findings.images(better)
    mixed = findings.images_claims([worse[0], *better[1:]])
    assert "for 1 of 4 seeds" in mixed
    assert findings.images([]) == findings.images_claims([]) == findings.parts([]) == claims.NONE


def test_the_median_of_runs_is_that_of_each_number_and_each_path(published):
    first = reproduction.lead(published[0], published[:3])
    alpha = np.logspace(-4, 3, 40)
    for place, entry in enumerate(first.results["sets"]):
        every = [record.results["sets"][place] for record in published[:3]]
        assert np.allclose(entry["normal"], np.median([one["normal"] for one in every], axis=0))
        paths = [accuracy_at(one["lbrs"], alpha, first.test_points) for one in every]
        found = accuracy_at(entry["lbrs"], alpha, first.test_points)
        assert np.allclose(found, np.median(paths, axis=0))
    assert first.origin == "profile paper · median of 3 seeds"
    assert reproduction.lead(published[0], []) is published[0]
    assert reproduction.lead(published[0], published[1:2]) is published[1]


def test_where_a_lead_comes_from_is_told_seed_by_seed(published):
    text = claims.seeds(published)
    assert len({line.count("|") for line in text.splitlines()}) == 1 and len(
        text.splitlines()
    ) == 2 + 4 * len(published[0].config["radii"])
    entry, n = published[2].results["sets"][1], published[2].test_points
    best = max(entry["lbrs"]["right"]) / n
    row = next(
        line
        for line in text.splitlines()
        if line.startswith(f"| {published[0].config['radii'][0]:g} | 2 |")
    )
    cnn, nearest, normal = entry["cnn"], entry["nearest"], max(entry["normal"])
    assert f"| {cnn:.3f} | {nearest:.3f} | {normal:.3f} | {best:.3f} |" in row
    assert row.endswith(f"| {best - normal:+.3f} | {best - max(cnn, nearest):+.3f} |")
    assert "-0.000" not in text
