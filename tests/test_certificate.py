"""Certificates as sentences, tables and pictures."""

import importlib
import math

import numpy as np
import pytest
import torch

import lbrs.certificate
from lbrs import L2, Certificate
from lbrs.montecarlo import clopper_pearson


def make(n=6, **options):
    prediction = torch.tensor([1, -1, 0, 1, 1, -1])[:n]
    radius = torch.tensor([1.0, 0.5, 0.0, math.inf, 0.25, 2.0], dtype=torch.float64)[:n]
    return Certificate(prediction, radius, L2, "deterministic", "Theorem <B>", "g & h", **options)


Y = [1, -1, 1, 1, -1, -1]


def test_it_reads_as_a_sentence_and_as_an_html_table_with_nothing_unescaped():
    told = str(make(confidence=0.9))
    assert told == (
        "Certificate: points 6, 1 abstaining; norm l2; kind deterministic, confidence 0.9; "
        "source Theorem <B>; assumption g & h; radius median 0.5, largest inf"
    )
    html = make()._repr_html_()
    assert (
        "Theorem &lt;B&gt;" in html
        and "g &amp; h" in html
        and html.count("<tr>") == 6
        and str(make(0)).count(";") == 4
    )
    assert "radius" not in str(make(0)) and "<td>0, 0 abstaining" in make(0)._repr_html_()


def test_a_table_has_a_row_a_point():
    frame = make().to_frame()
    assert frame["prediction"].tolist() == [1, -1, 0, 1, 1, -1]
    assert frame["radius"].tolist() == make().radius.tolist()
    assert frame["abstains"].tolist() == [False, False, True, False, False, False]
    assert frame.attrs["norm"] == "l2" and frame.dtypes["prediction"] == np.int64
    several = Certificate(torch.tensor([2, -1]), torch.ones(2), L2, "k", "s", "a", classes=3)
    assert several.to_frame()["abstains"].tolist() == [False, True] and len(make(0).to_frame()) == 0


@pytest.mark.parametrize("radii", [[0.0, 0.25, 0.6, 1.5, 9.0], torch.tensor([0.3])])
def test_a_curve_is_certified_accuracy_with_the_interval_of_clopper_and_pearson(radii):
    curve = make().curve(Y, radii, confidence=0.9)
    for radius, share, lower, upper in curve.to_frame().itertuples(index=False):
        assert share == make().accuracy(Y, radius)
        assert (lower, upper) == clopper_pearson(round(6 * share), 6, 0.9)
        assert lower <= share <= upper
    assert len(curve.radius) == len(radii) and curve.confidence == 0.9


def test_without_radii_the_curve_reaches_the_largest_finite_one():
    curve = make().curve(Y)
    assert curve.radius[0] == 0 and curve.radius[-1] == 2 and len(curve.radius) == 101
    assert (curve.accuracy.diff() <= 0).all()
    assert make(0).radius.numel() == 0
    with pytest.raises(ValueError, match="^y must hold at least one label"):
        make(0).curve([])
    for wrong, argument in ((-1.0, "radius"), (math.nan, "radii")):
        with pytest.raises(ValueError, match=f"^{argument} "):
            make().curve(Y, [wrong])


def test_a_picture_is_one_line():
    from matplotlib import pyplot

    axes = make().plot(Y, label="ours")
    (line,) = axes.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), make().curve(Y).accuracy)
    assert axes.get_xlabel() == "l2 radius" and line.get_label() == "ours"
    assert make().plot(Y, axes, color="black") is axes and len(axes.get_lines()) == 2
    pyplot.close(axes.figure)


def test_a_missing_package_is_named(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(lbrs.certificate, "import_module", absent)
    with pytest.raises(ImportError, match="^pandas is needed for this: pip install pandas"):
        make().to_frame()
    assert importlib.import_module("pandas")
