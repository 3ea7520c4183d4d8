"""Real problems: splits that do not overlap, parts that are what they say, published numbers that
are those of the code."""

import numpy as np
import pytest
import torch

from lbrs import LocallyBiased
from lbrs.experiments import problems
from lbrs.experiments.records import find_project

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def iris():
    return next(row for row in problems.problems() if row[0].startswith("iris"))


def test_a_split_has_each_point_once(iris):
    train, held, test = problems.parts(101, 3)
    assert sorted([*train, *held, *test]) == list(range(101))
    assert (len(train), len(held), len(test)) == (50, 25, 26)


def test_a_split_tells_what_certify_tells(iris):
    _, X, y = iris
    found, test = problems.chosen(X, y, 0)
    told = problems.split(X, y, 0)
    model = found.model
    for alpha, share in ((found.alpha, told.tuned), (0.0, told.base), (1e6, told.oracle)):
        again = LocallyBiased(model.base, model.oracle, alpha, model.norm)
        accuracy = again.certify(X[test]).accuracy(y[test], found.radius)
        assert accuracy == pytest.approx(share, abs=1e-12)
    better = told.base if found.base >= found.oracle else told.oracle
    assert told.gain == pytest.approx(told.tuned - better)


def test_published_numbers_are_those_of_the_code(iris, tmp_path):
    kept = problems.load(find_project() / problems.PUBLISHED)
    assert [problem.name for problem in kept] == [name for name, *_ in problems.problems()]
    assert len(kept) >= 8 and min(problem.means.gain for problem in kept) > -0.02
    again = problems.study(*iris)
    (published,) = (problem for problem in kept if problem.name == again.name)
    assert again.means.tuned == pytest.approx(published.means.tuned, abs=0.02)
    assert again.errors.tuned == pytest.approx(published.errors.tuned, abs=0.02)
    problems.save(kept, tmp_path / "all.json")
    assert problems.load(tmp_path / "all.json") == kept


def test_errors_respect_that_splits_overlap(iris):
    _, X, y = iris
    few = problems.study("iris", X, y, splits=4)
    values = np.array([problems.split(X, y, seed).tuned for seed in range(4)])
    assert few.means.tuned == pytest.approx(values.mean())
    assert few.errors.tuned == pytest.approx(np.sqrt((1 / 4 + 25 / 50) * values.var(ddof=1)))
    assert torch.get_num_threads() == 1
