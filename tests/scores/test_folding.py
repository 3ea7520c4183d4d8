"""Linear classifiers of scikit-learn behind scalers, as one score in the units of the input."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from lbrs import L2, LinearScore, LocallyBiased, NearestNeighborOracle

X, Y = load_breast_cancer(return_X_y=True)
STEPS = {
    "none": [],
    "standard": [StandardScaler()],
    "without means": [StandardScaler(with_mean=False)],
    "without scales": [StandardScaler(with_std=False)],
    "minmax": [MinMaxScaler(feature_range=(-1, 2))],
    "maxabs": [MaxAbsScaler()],
    "robust": [RobustScaler()],
    "pca": [StandardScaler(), PCA(5)],
    "whitened": [StandardScaler(), PCA(5, whiten=True), MinMaxScaler()],
    "svd": ["passthrough", StandardScaler(), TruncatedSVD(4)],
}


@pytest.mark.parametrize("what", list(STEPS))
@pytest.mark.parametrize("last", [LogisticRegression(max_iter=20_000), RidgeClassifier()], ids=str)
def test_a_pipeline_is_one_affine_function_of_its_input(what, last):
    pipeline = make_pipeline(*STEPS[what], last).fit(X, Y)
    score = LinearScore.from_sklearn(pipeline)
    told = pipeline.decision_function(X)
    np.testing.assert_allclose(score.value(X), told, rtol=1e-6, atol=1e-8 * abs(told).max())
    oracle = NearestNeighborOracle(X[:40], 2.0 * Y[:40] - 1)
    certificate = LocallyBiased(score, oracle, 0.0, L2).certify(X)
    away = X - certificate.radius.numpy()[:, None] * 1.001 * np.outer(
        np.sign(told), score.weight / score.weight.norm()
    )
    assert (np.sign(pipeline.decision_function(away)) == -np.sign(told)).all()


def test_a_classifier_alone_will_do():
    fitted = LinearSVC().fit(X / X.std(0), Y)
    score = LinearScore.from_sklearn(fitted)
    np.testing.assert_allclose(score.value(X / X.std(0)), fitted.decision_function(X / X.std(0)))


@pytest.mark.parametrize(
    ("pipeline", "told"),
    [
        (make_pipeline(PolynomialFeatures(), RidgeClassifier()), "got PolynomialFeat"),
        (make_pipeline(MinMaxScaler(clip=True), LogisticRegression()), "with another decision"),
        (make_pipeline(StandardScaler(), DecisionTreeClassifier()), "got DecisionTreeClassifier"),
        (LogisticRegression(), "be fitted, got LogisticRegression"),
    ],
)
def test_what_is_not_affine_is_refused(pipeline, told):
    if hasattr(pipeline, "steps"):
        pipeline.fit(X[:60, :3] / X[:60, :3].max(0), Y[:60])
    with pytest.raises(TypeError, match=f"^pipeline must be .*{told}"):
        LinearScore.from_sklearn(pipeline)


def test_more_classes_are_refused():
    fitted = LogisticRegression().fit(np.eye(3), [0, 1, 2])
    with pytest.raises(TypeError, match="got one of 3 classes"):
        LinearScore.from_sklearn(fitted)
