"""What `diagnose` tells of a model is what its certificates tell; certificates in parts."""

import numpy as np
import pytest
import torch

from lbrs import (
    L2,
    Certificate,
    CohenScore,
    LinearScore,
    LocallyBiased,
    NearestNeighborOracle,
    diagnose,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def task(rng):
    """A model, points and labels."""
    y = rng.choice([-1.0, 1.0], 160)
    points = rng.normal(size=(160, 2)) + 0.9 * y[:, None]
    oracle = NearestNeighborOracle(points[:20], y[:20])
    model = LocallyBiased(LinearScore([1.0, -0.1], 0.2), oracle, 0.4, L2)
    return model, points[20:], y[20:]


def test_gains_are_differences_and_lie_in_their_intervals(task):
    model, x, y = task
    found = diagnose(model, x, y, [0.0, 0.3, 1.0])
    base = LocallyBiased(model.base, model.oracle, 0.0, L2)
    for gain in found.gains:
        assert gain.accuracy == model.certify(x).accuracy(y, gain.radius)
        assert gain.base == base.certify(x).accuracy(y, gain.radius)
        assert gain.lower < gain.accuracy - gain.base < gain.upper
        assert gain.upper - gain.lower < 0.4
    assert [row.radius for row in diagnose(model, x, y).gains][0] == 0
    assert list(found.to_frame()["radius"]) == [0.0, 0.3, 1.0]


def test_each_point_is_limited_by_one_thing(task):
    model, x, y = task
    found, certificate = diagnose(model, x, y), model.certify(x)
    label, neighbor = model.oracle.label(x), model.oracle.radius(x, L2)
    wrong, apart = certificate.prediction != torch.tensor(y), certificate.prediction != label
    assert torch.equal(found.limit == 3, wrong) and torch.equal(found.limit == 2, apart & ~wrong)
    torch.testing.assert_close(
        certificate.radius[found.limit == 1], neighbor[found.limit == 1], rtol=1e-9, atol=0
    )
    assert set(found.limit.tolist()) == {0, 1, 2, 3}
    more = LocallyBiased(model.base, model.oracle, 0.5, L2).certify(x).radius
    margin = found.limit == 0
    assert ((more - certificate.radius)[margin].abs() > 1e-9).all()


def test_reference_points_are_counted_where_they_decide(task):
    model, x, y = task
    found = diagnose(model, x, y)
    index, count = found.decided.unbind(1)
    assert (count.diff() <= 0).all() and len(index.unique()) == len(index)
    base = LocallyBiased(model.base, model.oracle, 0.0, L2).predict(x)
    decides = (base != model.predict(x)) | (found.limit == 1)
    nearest = model.oracle.nearest(x)[decides]
    assert count.sum() == len(nearest)
    assert all((nearest == i).sum() == c for i, c in found.decided.tolist())
    assert "what limits: margin" in str(found) and "<table>" in found._repr_html_()


def test_bad_input_is_named(task):
    model, x, y = task
    cohen = LocallyBiased(CohenScore(model.base, 0.5, 10), model.oracle, 0.1, L2)
    for call, told in (
        (lambda: diagnose(cohen, x, y), "model must be LocallyBiased"),
        (lambda: diagnose(model, x[:0], y[:0]), "x must hold at least one"),
        (lambda: diagnose(model, x, y[1:]), "y must have shape"),
        (lambda: diagnose(model, x, y, [-1.0]), "radii must be"),
        (lambda: diagnose(model, x, y, confidence=1), "confidence must be"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^{told}"):
            call()


def test_a_certificate_can_be_indexed_and_tells_each_class(task):
    model, x, y = task
    certificate = model.certify(x)
    for rows in (slice(5, 50), torch.tensor(y > 0), [3, 1, 2], np.array([7])):
        part = certificate[rows]
        assert isinstance(part, Certificate) and part.source == certificate.source
        assert torch.equal(part.radius, certificate.radius[rows])
        assert torch.equal(part.prediction, certificate.prediction[rows])
    with pytest.raises(IndexError, match="^rows must be a slice, a mask or indices"):
        certificate[3]
    shares = certificate.per_class(y, 0.2)
    assert set(shares) == {-1, 1}
    weights = {kind: (y == kind).mean() for kind in shares}
    mean = sum(shares[kind] * weights[kind] for kind in shares)
    assert mean == pytest.approx(certificate.accuracy(y, 0.2))
