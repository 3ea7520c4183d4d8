"""From a table to radii in its units: pipelines, tuning, names of columns."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lbrs import LINF, LocallyBiased, NearestNeighborOracle, tune, verify
from lbrs.adapters.estimator import LBRSClassifier

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def table():
    found = load_breast_cancer(as_frame=True)
    X = found.data.iloc[:, :6]
    return X, np.where(found.target == 1, "benign", "malignant")


def pipeline():
    return make_pipeline(StandardScaler(), LogisticRegression())


def tuned(X, **given):
    """Radii in linf where a unit is a standard deviation."""
    norm = LINF.weighted(1 / X.std().to_numpy())
    given = {"alpha": "tune", "radius": 0.1, "metric": "scaled", "random_state": 0} | given
    return LBRSClassifier(pipeline(), norm=norm, **given)


def test_radii_of_a_pipeline_are_in_the_units_of_the_table(table):
    X, y = table
    model = tuned(X).fit(X, y)
    radii = model.feature_radii(X)
    assert list(radii.columns) == ["prediction", *X.columns] and radii.index.equals(X.index)
    assert (radii["prediction"] == model.predict(X)).all() and set(radii["prediction"]) == set(y)
    found = model.certify(X)
    expected = found.radius.numpy()[:, None] * X.std().to_numpy()
    np.testing.assert_allclose(radii.iloc[:, 1:], expected)
    generator = torch.Generator().manual_seed(0)
    rows = torch.tensor(X.to_numpy())
    plain = model.model_.certify(rows)
    assert verify(model.model_, rows, plain, probes=4, generator=generator).holds
    assert torch.equal(plain.radius, found.radius)
    for column, name in enumerate(X.columns):
        moved = X.copy()
        moved[name] += radii[name] * 0.999 * (-1) ** column
        assert (model.predict(moved) == radii["prediction"]).all()


def test_alpha_is_what_tune_finds_on_rows_of_their_own(table):
    X, y = table
    model = tuned(X).fit(X, y)
    assert model.tuned_.alpha == model.model_.alpha and model.tuned_.radius == 0.1
    n = len(model.tuned_.thresholds.low)
    rest = len(X) - len(model.reference_)
    assert n == round(rest / 5)
    assert tuned(X, alpha=0.5).fit(X, y).tuned_ is None
    assert model.certified_score(X, y, 0.1) > 0.7


def test_tuning_works_inside_cross_validation(table):
    X, y = table
    scores = cross_val_score(tuned(X), X, y, cv=3)
    assert (scores > 0.8).all()
    search = GridSearchCV(tuned(X), {"reference": [0.1, 0.3]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.8


def test_the_metric_is_that_of_the_standard_deviations(table):
    X, y = table
    model = tuned(X, alpha=0.1).fit(X, y)
    rows = torch.tensor(X.to_numpy())
    codes = np.where(np.unique(y, return_inverse=True)[1][model.reference_] == 1, 1.0, -1.0)
    scaled = X.to_numpy() / X.to_numpy().std(0)
    same = NearestNeighborOracle(scaled[model.reference_], codes)
    assert torch.equal(model.model_.oracle.label(rows), same.label(scaled))
    with pytest.raises(ValueError, match="^metric must be None or 'scaled', got 'l1'"):
        tuned(X, metric="l1").fit(X, y)


def test_several_classes_are_tuned(rng):
    y = rng.integers(0, 3, 300)
    X = rng.normal(size=(300, 2)) + 2 * np.eye(3)[y][:, :2] * 2
    model = LBRSClassifier(alpha="tune", radius=0.2, random_state=0).fit(X, y)
    assert model.tuned_.accuracy >= model.tuned_.base
    assert model.model_.alpha == model.tuned_.alpha
    assert list(model.feature_radii(X).columns) == ["prediction", "x0", "x1"]


def test_what_is_wrong_with_a_table_is_said_of_its_column(table):
    X, y = table
    model = tuned(X).fit(X, y)
    cases = {
        "missing in the column 'mean area'": X.assign(**{"mean area": np.nan}),
        "dtype .* in the column 'mean texture'": X.assign(**{"mean texture": "high"}),
    }
    for told, wrong in cases.items():
        with pytest.raises(ValueError, match=f"^X must .*{told}"):
            tuned(X).fit(wrong, y)
        with pytest.raises(ValueError, match=f"^X must .*{told}"):
            model.predict(wrong)
    for wrong in (X[X.columns[::-1]], X.rename(columns={"mean area": "area"})):
        with pytest.raises(ValueError, match="feature names should match"):
            model.predict(wrong)
    with pytest.raises(ValueError, match="columns of different names, got 'mean area' twice"):
        tuned(X).fit(pd.concat([X, X[["mean area"]]], axis=1), y)


def test_tuning_by_hand_needs_no_estimator(table):
    """The five statements of the README, apart."""
    X, y = table
    model = tuned(X).fit(X, y)
    again = tune(
        model.model_.base,
        [model.model_.oracle, NearestNeighborOracle(X[:50], np.where(y[:50] == "benign", -1, 1))],
        X,
        np.where(y == "malignant", 1, -1),
        radius=0.1,
        norm=model.model_.norm,
    )
    assert isinstance(again.model, LocallyBiased) and again.accuracy >= again.base
