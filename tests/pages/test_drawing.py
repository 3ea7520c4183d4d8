"""Figures draw what the record says, with axes that name their units; tables and sentences hold the
record's numbers."""

from importlib.util import find_spec

import matplotlib.pyplot as plt
import numpy as np
import pytest
from tiny import TINY

from lbrs.experiments.records import accuracy_at
from lbrs.experiments.running import run
from lbrs.experiments.spiral import idea
from lbrs.experiments.table import EXPERIMENTS
from lbrs.pages import drawing, findings, images, spiral, summary
from lbrs.pages.text import SIGNED, best_alpha, choices, spread


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return {
        name: run(
            config,
            run=name,
            profile="quick",
            seed=0,
            folder=tmp_path_factory.mktemp(name) / "records",
        )
        for name, config in TINY.items()
    }


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


DRAWN = [
    ("spiral", spiral.regions),
    ("spiral", spiral.radii),
    ("spiral", spiral.sharpness),
    ("digits", images.over_smoothing),
    ("digits", images.over_radius),
]


@pytest.mark.parametrize(
    ("run_name", "figure"), DRAWN, ids=lambda value: getattr(value, "__name__", value)
)
def test_every_axis_is_labelled_and_the_figure_names_profile_seed_and_points(
    records, run_name, figure
):
    assert figure(records[run_name])
    drawn = plt.gcf()
    assert all(ax.get_xlabel() for ax in drawn.axes) and drawn.axes[0].get_ylabel()
    points = (
        TINY["spiral"].exact_points if figure is spiral.sharpness else records[run_name].test_points
    )
    assert f"profile quick · seed 0 · {points} test points" in [
        text.get_text() for text in drawn.texts
    ]


def test_curves_are_those_of_the_record(records):
    spiral.radii(records["spiral"])
    left, right = plt.gcf().axes
    values = records["spiral"].results["norms"]["l2"]
    assert np.allclose(left.lines[0].get_ydata(), values["radius"]["value"]) and np.allclose(
        left.lines[2].get_ydata(), values["sharp_radius"]["value"]
    )
    assert np.allclose(left.lines[3].get_ydata(), [values["base_radius"]])
    path, points = records["spiral"].results["accuracy"], records["spiral"].test_points
    alpha, drawn = right.lines[0].get_data()
    for low, high, value in zip(alpha, alpha[1:], drawn, strict=False):
        assert value == accuracy_at(path, (low + high) / 2, points)
    images.over_radius(records["digits"])
    for ax, values in zip(
        plt.gcf().axes, records["digits"].results["attacks"].values(), strict=True
    ):
        for line, name in zip(ax.lines, ("cnn", "normal", "lbrs", "nearest"), strict=True):
            assert np.allclose(line.get_ydata(), values[name])


@pytest.mark.parametrize(
    ("run_name", "figure"),
    [
        ("spiral", spiral.radii),
        ("digits", images.over_smoothing),
        ("digits", images.over_radius),
    ],
)
def test_published_runs_are_drawn_behind_as_ranges_and_medians(records, run_name, figure):
    record = records[run_name]
    figure(record)
    plain = [len(ax.lines) for ax in plt.gcf().axes]
    figure(record, [record, record, record])
    drawn = plt.gcf()
    assert all(
        len(ax.lines) > before and ax.collections
        for ax, before in zip(drawn.axes, plain, strict=True)
    )
    told = "3 published runs · profile quick · seeds 0 to 0"
    assert any(told in text.get_text() for text in drawn.texts)
    assert record.run == "spiral" or any(
        "normal smoothing" in text.get_text() and "undecided at most" in text.get_text()
        for text in drawn.texts
    )


def test_the_area_is_the_range_and_the_thin_line_the_median():
    _, ax = plt.subplots()
    curves = np.array([[0.0, 3.0], [1.0, 9.0], [5.0, 4.0]])
    drawing.band(ax, [0, 1], list(curves), "red")
    assert np.allclose(ax.lines[0].get_ydata(), [1, 4])
    corners = ax.collections[0].get_paths()[0].vertices
    assert (corners[:, 1].min(), corners[:, 1].max()) == (0, 9)


def test_exact_radii_are_not_below_theorem_b_and_that_not_below_theorem_6(records):
    norms = spiral.sharpness(records["spiral"])
    for row, values in zip(
        np.array(plt.gcf().axes).reshape(len(norms), -1), norms.values(), strict=True
    ):
        kinds = [values[kind] for kind in ("theorem6", "theorem_b", "exact")]
        assert (np.diff([kind["average"] for kind in kinds], axis=0) >= 0).all() and (
            np.diff([kind["certified"] for kind in kinds], axis=0) >= 0
        ).all()
        for line, kind in zip(row[0].lines, kinds, strict=True):
            assert np.allclose(line.get_xdata(), values["alpha"]) and np.allclose(
                line.get_ydata(), kind["average"]
            )
        for line, kind in zip(row[1].lines, kinds, strict=True):
            assert np.allclose(line.get_ydata(), np.array(kind["certified"])[:, 0])
        assert all(
            f"at {radius:g}" in ax.get_title()
            for ax, radius in zip(row[1:], values["radii"], strict=True)
        )


def test_the_table_of_exact_accuracies_holds_the_numbers_of_the_record(records):
    text = spiral.certified([records["spiral"]])
    for values in records["spiral"].results["sharpness"].values():
        certified = np.array(values["exact"]["certified"])
        for first, best, last in zip(certified[0], certified.max(0), certified[-1], strict=True):
            row = "|".join(f" {v:.2f} ({v:.2f} to {v:.2f}) " for v in (first, best, last))
            assert row in text


def test_curves_differ_in_more_than_colour(records):
    images.over_radius(records["digits"])
    lines = plt.gcf().axes[0].lines
    assert (
        len({(line.get_linestyle(), line.get_marker()) for line in lines})
        == len(lines)
        == len({line.get_marker() for line in lines})
    )


def test_the_raster_of_regions_is_the_classifier(records):
    record = records["spiral"]
    shares = spiral.regions(record)["positive_share"]
    assert set(shares) == set(record.config["shown_alphas"])
    image = np.asarray(plt.gcf().axes[0].images[0].get_array())
    side, n = record.results["regions"]["side"], record.results["regions"]["raster"]
    grid = np.stack(np.meshgrid(np.linspace(-side, side, n), np.linspace(-side, side, n)), -1)
    svm = record.results["svm"]
    assert np.array_equal(image > 0.5, grid @ svm["weight"] + svm["bias"] >= 0)


def test_the_picture_of_the_idea_shows_a_radius_that_grows_by_alpha():
    results = idea()
    assert results["radius"][1] - results["radius"][0] == pytest.approx(
        results["regions"]["alpha"][1], abs=1e-12
    )
    assert summary.idea(results)["radius"] == results["radius"]


def test_tables_and_sentences_of_the_spiral_hold_the_numbers_of_the_record(records):
    record, path = records["spiral"], records["spiral"].results["accuracy"]
    first, last = accuracy_at(path, [0.0, record.config["alpha_max"]], record.test_points)
    assert f"{first:.3f}" in spiral.numbers(record)
    assert f"{last - first:+.3f}" in findings.spiral([record])
    assert f"{max(path['right']) / record.test_points:.3f}" in spiral.numbers(record)
    assert "`alpha_max`" in choices(record)


def test_tables_and_sentences_of_images_hold_the_numbers_of_the_record(records):
    record, results = records["digits"], records["digits"].results
    assert f"{results['sets'][0]['cnn']:.3f}" in images.numbers(record)
    assert f"{results['sets'][1]['cnn']:.3f}" in findings.parts([record])
    assert f"{results['attacks']['linf']['lbrs'][-1]:.3f}" in images.radius_numbers(record)
    assert "**30**" in choices(record)


def test_every_row_of_a_table_has_the_columns_of_its_header(records):
    for text in (
        spiral.numbers(records["spiral"]),
        images.numbers(records["digits"]),
        images.radius_numbers(records["digits"]),
        choices(records["digits"]),
        choices(records["spiral"]),
    ):
        assert len({line.count("|") for line in text.splitlines()}) == 1


def test_each_experiment_names_the_module_of_its_page():
    assert all(find_spec(f"lbrs.pages.{one.page}") for one in EXPERIMENTS.values())


@pytest.mark.parametrize(
    ("jumps", "right", "told"),
    [
        ([], [3], (0.3, r"every $\alpha$")),
        ([1.0], [3, 5], (0.5, r"$\alpha > 1$")),
        ([1.0], [5, 3], (0.5, r"$\alpha \leq 1$")),
        ([1.0, 2.0], [3, 5, 5], (0.5, r"$1 < \alpha \leq 2$")),
        ([1.0, 1.00001], [3, 5, 4], (0.5, r"$1 < \alpha \leq 1.00001$")),
    ],
)
def test_the_best_alpha_is_told_with_as_many_digits_as_it_takes(jumps, right, told):
    assert best_alpha({"jumps": jumps, "right": right}, 10) == told


def test_median_and_range_are_told_with_signs_and_without_a_minus_before_zero():
    found = spread([3.0, -1.0, -0.0001])
    assert f"{found:.1f}" == "-0.0 (-1.0 to 3.0)"
    assert f"{found:{SIGNED}}" == "+0.000 (-1.000 to +3.000)"
    assert found.told(SIGNED) == "+0.000 in the median (-1.000 to +3.000)"
    assert str(spread([1234.5, 0.00123456])) == "617 (0.00123 to 1,234)"
