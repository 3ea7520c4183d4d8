"""What the choices decide: the panels on tiny parameters, their limits,
and what figures and sentences say of them."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
from tiny import SENSITIVITY as TINY

from lbrs.experiments.configs import SensitivityConfig
from lbrs.experiments.running import run
from lbrs.pages import sensitivity as told


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    return [
        run(
            TINY,
            run="sensitivity-digits",
            profile="quick",
            seed=seed,
            folder=folder / str(seed) / "records",
        )
        for seed in (0, 1)
    ]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_two_runs_with_one_seed_agree(records, tmp_path):
    again = run(
        TINY, run="sensitivity-digits", profile="quick", seed=0, folder=tmp_path / "records"
    )
    assert (
        dataclasses.replace(again, wall_time=0.0) == dataclasses.replace(records[0], wall_time=0.0)
        and records[0].results != records[1].results
    )


def test_every_panel_varies_one_choice_and_shares_the_base(records):
    panels = records[0].results["panels"]
    labels = {panel: [entry["label"] for entry in entries] for panel, entries in panels.items()}
    assert (
        labels["references"][:2] == ["2", "10"]
        and len(labels["references"]) == 3
        and labels["link"] == ["probability margin", "logit"]
    )
    assert (
        labels["classes"] == ["1", "8"]
        and labels["noise"] == ["0", "0.25"]
        and labels["width"] == ["2", "4"]
        and len(labels["attack"]) == 4
    )
    base = panels["link"][0]
    for panel, place in (
        ("references", 1),
        ("classes", 1),
        ("noise", 0),
        ("width", 1),
        ("attack", 1),
    ):
        assert all(panels[panel][place][where] == base[where] for where in ("clean", "attacked"))


def test_the_ends_of_every_curve_are_the_network_and_the_nearest_neighbour(records):
    for entries in records[0].results["panels"].values():
        for entry in entries:
            for where in ("clean", "attacked"):
                values = entry[where]
                assert (
                    values["best"] >= max(values["lbrs"]) - 1e-5 and values["best"] >= values["cnn"]
                )
    for margin, logit in [records[0].results["panels"]["link"]]:
        assert (
            margin["clean"]["cnn"] == logit["clean"]["cnn"]
            and margin["clean"]["nearest"] == logit["clean"]["nearest"]
        )
    noisy = records[0].results["panels"]["noise"][0]
    assert (
        noisy["normal"]["clean"][0] == noisy["clean"]["cnn"]
        and len(noisy["normal"]["attacked"]) == 2
    )


@pytest.mark.parametrize("panel", told.SUBJECTS)
def test_figures_draw_the_medians_and_sentences_say_what_moves(records, panel):
    drawn = told.small_multiples(records, panel)
    variants = [entry["label"] for entry in records[0].results["panels"][panel]]
    assert set(drawn) == {
        f"{label}, {where}" for label in variants for where in ("clean", "attacked")
    }
    entries = [record.results["panels"][panel][0]["clean"]["lbrs"] for record in records]
    np.testing.assert_allclose(drawn[f"{variants[0]}, clean"], np.median(entries, axis=0))
    shown = [ax for ax in plt.gcf().axes if ax.get_visible()]
    assert len(shown) == len(variants) and all(ax.get_xlabel() for ax in shown)
    assert "seeds 0 to 1" in plt.gcf().texts[0].get_text()
    assert told.conclusion(records, panel).startswith(f"**The {told.SUBJECTS[panel]} ")


def test_the_figure_of_normal_smoothing_starts_at_the_network(records):
    drawn = told.normal_smoothing(records)
    for place, entry in enumerate(records[0].results["panels"]["noise"]):
        entries = [record.results["panels"]["noise"][place]["clean"]["cnn"] for record in records]
        assert drawn[f"{entry['label']}, clean"][0] == pytest.approx(np.median(entries))


def test_one_run_is_shown_where_too_few_are_published(records):
    assert (
        told.best_source(records[0], [])
        == [records[0]]
        == told.best_source(records[0], records[1:])
    )
    assert told.best_source(records[0], records) == records
    told.small_multiples(records[:1], "width")
    assert "seed 0 · 30 test points" in plt.gcf().texts[0].get_text()
    assert told.numbers(records).count("\n") == 1 + sum(
        len(entries) for entries in records[0].results["panels"].values()
    )


@pytest.mark.parametrize(
    "change",
    [
        {"widths": (0,)},
        {"positives": (-1,)},
        {"reference_points": (1,)},
        {"steps": (1.0,)},
        {"radius": 0.0},
        {"alpha_points": 0},
    ],
)
def test_bad_choices_are_named(change):
    with pytest.raises((ValueError, TypeError), match=next(iter(change))):
        SensitivityConfig(**change)
