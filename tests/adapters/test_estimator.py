"""The scikit-learn estimator: its contract, its tools, and what its certificates say."""

import pickle
import re

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.linear_model import LogisticRegression, Perceptron, RidgeClassifier, SGDClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from lbrs import L2, LINF, ClassScores, LocallyBiased, Norm, ProbabilityMargin
from lbrs.adapters import LBRSClassifier
from lbrs.experiments.data import spiral

pytestmark = pytest.mark.usefixtures("one_thread")


def blobs(classes=2, n=120, names=None):
    X, y = make_blobs(n, centers=classes, cluster_std=2.0, random_state=3)
    return X, y if names is None else np.array(names)[y]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [
        LBRSClassifier(random_state=0),
        LBRSClassifier(LinearSVC(random_state=0), alpha=1.0, norm="linf", random_state=0),
    ]
)
def test_it_keeps_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


BASES = [
    LogisticRegression(),
    LinearSVC(random_state=0),
    RidgeClassifier(),
    SGDClassifier(random_state=0),
    Perceptron(random_state=0),
    LinearDiscriminantAnalysis(),
]


@pytest.mark.parametrize("base", BASES, ids=lambda base: type(base).__name__)
@pytest.mark.parametrize("classes", [2, 3])
def test_without_bias_it_is_the_base_and_biased_it_is_the_model_of_the_library(base, classes):
    X, y = blobs(classes)
    model = LBRSClassifier(base, alpha=0.0, random_state=0).fit(X, y)
    rest = np.setdiff1d(np.arange(len(X)), model.reference_)
    alone = clone(base).fit(X[rest], y[rest])
    np.testing.assert_array_equal(model.predict(X), alone.predict(X))
    decided = model.decision_function(X)
    np.testing.assert_allclose(decided, alone.decision_function(X), rtol=1e-9, atol=1e-9)
    biased = clone(model).set_params(alpha=2.0, norm="linf").fit(X, y)
    expected = biased.model_.predict(X).numpy()
    index = (expected + 1) // 2 if classes == 2 else expected
    np.testing.assert_array_equal(biased.predict(X), biased.classes_[index])
    assert (biased.predict(X) != model.predict(X)).any()
    assert biased.model_.norm == LINF and model.model_.norm == L2


@pytest.mark.parametrize(
    "names",
    [["no", "yes"], [5.0, 2.0], [True, False], ["a", "b", "c"], [7, -3, 10]],
    ids=str,
)
def test_labels_may_be_of_any_kind(names):
    X, y = blobs(len(names), names=names)
    model = LBRSClassifier(alpha=0.5, random_state=0).fit(X, y)
    predicted, certificate = model.predict(X), model.certify(X)
    assert set(predicted) <= set(names) and model.score(X, y) > 0.5
    np.testing.assert_array_equal(model.classes_[certificate.prediction], predicted)
    assert certificate.classes == len(names) and (certificate.radius > 0).double().mean() > 0.9
    assert model.certified_score(X, y) == model.score(X, y)
    codes = np.searchsorted(model.classes_, y)
    assert model.certified_score(X, y, 0.7) == certificate.accuracy(codes, 0.7)
    assert 0 < model.certified_score(X, y, 0.7) < model.score(X, y)


@pytest.mark.parametrize("classes", [2, 3])
def test_certified_points_do_not_flip_within_their_radius(rng, classes):
    X, y = blobs(classes)
    for norm in ("l2", "linf", Norm(3)):
        model = LBRSClassifier(alpha=0.5, norm=norm, random_state=0).fit(X, y)
        certificate, told = model.certify(X), model.predict(X)
        way = torch.from_numpy(rng.normal(size=(50, *X.shape)))
        way = way / model.model_.norm(way)[..., None] * certificate.radius[:, None] * (1 - 1e-9)
        moved = (torch.from_numpy(X) + way).reshape(-1, X.shape[1]).numpy()
        assert (model.predict(moved).reshape(50, -1) == told).all()


def test_decisions_and_probabilities_agree_with_predictions():
    for classes in (2, 4):
        X, y = blobs(classes)
        model = LBRSClassifier(alpha=1.0, random_state=0).fit(X, y)
        decision, share = model.decision_function(X), model.predict_proba(X)
        index = (decision > 0).astype(int) if classes == 2 else decision.argmax(1)
        assert decision.shape == ((len(X),) if classes == 2 else (len(X), classes))
        np.testing.assert_array_equal(model.classes_[index], model.predict(X))
        np.testing.assert_array_equal(model.classes_[share.argmax(1)], model.predict(X))
        np.testing.assert_allclose(share.sum(1), 1)


@pytest.mark.parametrize(
    ("reference", "counts"),
    [(0.25, (8, 2, 1)), (3, (3, 3, 1)), (0.01, (1, 1, 1)), (100, (29, 8, 1))],
)
def test_reference_points_are_a_part_of_each_class_held_out_of_the_base(reference, counts):
    y = np.repeat([0, 1, 2], [30, 9, 1])
    X = np.random.default_rng(0).normal(size=(40, 2)) + y[:, None]
    model = LBRSClassifier(reference=reference, random_state=1).fit(X, y)
    held = model.reference_
    assert tuple(np.bincount(y[held])) == counts
    np.testing.assert_array_equal(model.model_.oracle.labels, y[held])
    np.testing.assert_array_equal(model.model_.oracle.points, X[held])
    again = LBRSClassifier(reference=reference, random_state=1).fit(X, y)
    np.testing.assert_array_equal(again.reference_, held)
    rest = np.append(np.setdiff1d(np.arange(39), held), 39)
    alone = LogisticRegression().fit(X[rest], y[rest])
    np.testing.assert_array_equal(model.base_.coef_, alone.coef_)


def test_a_search_over_alpha_is_better_than_no_bias_on_the_spiral():
    task = spiral(0)
    X, y, test_X, test_y = (
        part.numpy() for part in (task.train_x, task.train_y, task.test_x, task.test_y)
    )
    pipeline = make_pipeline(StandardScaler(), LBRSClassifier(reference=0.3, random_state=0))
    alphas = {"lbrsclassifier__alpha": [0.0, 0.1, 0.3, 1.0, 3.0]}
    search = GridSearchCV(pipeline, alphas).fit(X, y)
    plain = clone(pipeline).set_params(lbrsclassifier__alpha=0.0).fit(X, y)
    assert search.best_params_["lbrsclassifier__alpha"] > 0
    assert search.score(test_X, test_y) > plain.score(test_X, test_y) + 0.2


def test_cross_validation_copies_pickles_and_boundaries():
    X, y = blobs(names=["no", "yes"])
    model = LBRSClassifier(alpha=0.5, random_state=0)
    assert cross_val_score(model, X, y).mean() > 0.8
    model.fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.decision_function(X), model.decision_function(X))
    assert torch.equal(again.certify(X).radius, model.certify(X).radius)
    from matplotlib import pyplot

    display = DecisionBoundaryDisplay.from_estimator(model, X, grid_resolution=10)
    pyplot.close(display.figure_)


def network(last, features=2):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(features, 8), nn.Tanh(), nn.Linear(8, last))


@pytest.mark.parametrize("last", [1, 2])
def test_a_torch_network_is_taken_as_it_is(last):
    X, y = blobs()
    given = network(last)
    model = LBRSClassifier(given, alpha=0.0, random_state=0).fit(X, y)
    with torch.no_grad():
        z = given(torch.tensor(X).float())
    z = z[:, -1] - z[:, 0] if last == 2 else z[:, 0]
    np.testing.assert_array_equal(model.predict(X), (z >= 0).long().numpy())
    assert model.base_ is given and isinstance(model.model_, LocallyBiased)
    with pytest.raises(ValueError, match="^gradient_lipschitz is needed"):
        model.certify(X)
    certified = model.set_params(lipschitz=20.0, alpha=0.3).fit(X, y).certify(X)
    assert certified.source == "Theorem H" and (certified.radius > 0).any()
    margin = LBRSClassifier(ProbabilityMargin(given), alpha=0.1, random_state=0).fit(X, y)
    assert margin.model_.base.function is given


def test_a_network_of_several_classes_needs_its_constant():
    X, y = blobs(3)
    with pytest.raises(ValueError, match="^lipschitz must be"):
        LBRSClassifier(network(3)).fit(X, y)
    model = LBRSClassifier(network(3), lipschitz=9.0, random_state=0).fit(X, y)
    assert model.certify(X).source == "Theorem M"
    two = LBRSClassifier(ClassScores(network(2), 9.0), random_state=0).fit(*blobs())
    assert two.certify(X).classes == 2 and two.predict(X).shape == (len(X),)


@pytest.mark.parametrize("classes", [2, 3])
def test_skorch_networks_are_fitted(classes):
    from skorch import NeuralNetClassifier

    X, y = blobs(classes, names=["a", "b", "c"][:classes])
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        network(classes),
        criterion=nn.CrossEntropyLoss,
        max_epochs=40,
        lr=0.1,
        verbose=0,
        train_split=None,
    )
    model = LBRSClassifier(net, alpha=0.1, lipschitz=50.0, random_state=0)
    assert cross_val_score(model, X, y, cv=3).mean() > 0.8
    model.fit(X, y)
    assert not model.base_.module_.training and (model.certify(X).radius > 0).any()


@pytest.mark.parametrize(
    ("argument", "model"),
    [
        ("base", LBRSClassifier(GaussianNB())),
        ("alpha", LBRSClassifier(alpha=-1.0)),
        ("norm", LBRSClassifier(norm="l7")),
        ("k", LBRSClassifier(k=2)),
        ("reference", LBRSClassifier(reference=0)),
        ("reference", LBRSClassifier(reference=1.5)),
        ("lipschitz", LBRSClassifier(network(1), lipschitz=-1.0)),
    ],
)
def test_a_bad_argument_is_refused_by_name(argument, model):
    with pytest.raises((ValueError, TypeError)) as caught:
        model.fit(*blobs())
    assert re.match(rf"{argument}\b", str(caught.value)), caught.value


def test_several_classes_have_one_neighbour_one_bound_and_one_function_each():
    X, y = blobs(3)
    for argument, model in (
        ("k", LBRSClassifier(k=3)),
        ("base", LBRSClassifier(SVC(kernel="linear"))),
        ("base", LBRSClassifier(ProbabilityMargin(network(1)))),
    ):
        if argument == "base" and isinstance(model.base, SVC):
            X, y = blobs(3)
        with pytest.raises((ValueError, TypeError), match=f"^{argument} "):
            model.fit(X, y)
    with pytest.raises(ValueError, match="^bound must be 'sharp'"):
        LBRSClassifier().fit(X, y).certify(X, "paper")
    assert LBRSClassifier(SVC(kernel="linear"), k=3).fit(*blobs()).certify(X).norm == L2
