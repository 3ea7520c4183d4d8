"""The falsifier passes true certificates, finds the boundary, and falls for no inflated radius; a
certificate survives the disk."""

import dataclasses

import numpy as np
import pytest
import torch

from lbrs import (
    L2,
    LINF,
    Certificate,
    CohenScore,
    GaussianScore,
    LinearScore,
    LipschitzScore,
    LocallyBiased,
    NearestNeighborOracle,
    verify,
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["linear", "softplus", "tanh", "sin"])
@pytest.mark.parametrize("alpha", [0.0, 0.4, 3.0])
@pytest.mark.parametrize("bound", ["paper", "sharp"])
def test_true_certificates_hold(draw, rng, ridge_score, norm, kind, alpha, bound):
    points, labels, x = draw(9, 3, 12)
    score = LinearScore(rng.normal(size=3), 0.2) if kind == "linear" else ridge_score(kind, 3, norm)
    model = LocallyBiased(score, NearestNeighborOracle(points, labels), alpha, norm)
    certificate = model.certify(x, bound=bound)
    if bound == "paper" and kind != "linear":
        certificate = dataclasses.replace(
            certificate, radius=(certificate.radius * (1 - 1e-9) - 1e-13).clamp(min=0)
        )
    result = verify(model, x, certificate, probes=8, generator=torch.Generator().manual_seed(0))
    assert result.holds and not result.broken.any()
    found = torch.isfinite(result.distance)
    assert (result.tightness <= 1).all() and torch.equal(torch.isnan(result.witness).any(1), ~found)
    assert (model.predict(result.witness[found]) != certificate.prediction[found]).all()
    if kind == "linear":
        assert found.any()


def test_the_distance_of_a_linear_classifier_is_found_exactly(rng, norm):
    x, score = rng.normal(size=(50, 4)), LinearScore(rng.normal(size=4), 0.3)
    model = LocallyBiased(score, NearestNeighborOracle(np.zeros((1, 4)), [1]), 0.0, norm)
    result = verify(model, x, model.certify(x), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        result.distance, score.value(x).abs() / norm.dual(score.weight), rtol=1e-8, atol=1e-12
    )
    assert (result.tightness > 1 - 1e-6).all() and "0 of 50 certificates falsified" in str(result)


@pytest.mark.parametrize("factor", [1.001, 1.5])
def test_inflated_radii_are_falsified(rng, norm, factor):
    x, score = rng.normal(size=(50, 4)), LinearScore(rng.normal(size=4), 0.3)
    model = LocallyBiased(score, NearestNeighborOracle(np.zeros((1, 4)), [1]), 0.0, norm)
    certificate = model.certify(x)
    lie = dataclasses.replace(certificate, radius=factor * certificate.radius)
    result = verify(model, x, lie)
    assert result.broken.all() and not result.holds and (result.tightness > 1).all()


def test_a_label_that_flips_near_a_bisector_is_found():
    model = LocallyBiased(
        LinearScore([0.0, 1e-9]), NearestNeighborOracle([[0.0, 0.0], [4.0, 0.0]], [1, -1]), 100.0
    )
    x = torch.tensor([[1.0, 0.0], [3.5, 1.0]], dtype=torch.float64)
    certificate = model.certify(x)
    result = verify(model, x, certificate)
    torch.testing.assert_close(
        result.distance, torch.tensor([1.0, 1.5], dtype=torch.float64), rtol=1e-8, atol=0
    )
    assert (result.tightness > 1 - 1e-6).all()
    assert not verify(
        model,
        x,
        dataclasses.replace(certificate, radius=torch.full((2,), torch.inf, dtype=torch.float64)),
    ).holds


def test_a_certificate_of_other_points_is_refused():
    model = LocallyBiased(LinearScore([1.0, 0.0]), NearestNeighborOracle([[0.0, 0.0]], [1]), 0.0)
    for wrong in (model.certify([[1.0, 1.0]]), None):
        with pytest.raises(ValueError, match="certificate must be a Certificate of the 2 points"):
            verify(model, [[1.0, 1.0], [2.0, 2.0]], wrong)
    with pytest.raises(ValueError, match="probes"):
        verify(model, [[1.0, 1.0]], model.certify([[1.0, 1.0]]), probes=0)


def test_a_certificate_comes_back_from_the_disk_bit_by_bit(rng, tmp_path):
    radius = torch.tensor([0.1, torch.inf, 0.0, 1e-300], dtype=torch.float64)
    for norm, confidence in ((L2, None), (LINF, 0.999)):
        certificate = Certificate(
            torch.tensor([1.0, -1.0, 0.0, 1.0], dtype=torch.float64),
            radius,
            norm,
            "deterministic",
            "Theorem B",
            "g is affine",
            confidence,
        )
        certificate.save(tmp_path / "c.json")
        again = Certificate.load(tmp_path / "c.json")
        assert torch.equal(again.radius, radius) and torch.equal(
            again.prediction, certificate.prediction
        )
        assert (again.norm, again.kind, again.source, again.assumption, again.confidence) == (
            norm,
            "deterministic",
            "Theorem B",
            "g is affine",
            confidence,
        )
    (tmp_path / "c.json").write_text('{"radius": []}')
    with pytest.raises(ValueError, match="c.json"):
        Certificate.load(tmp_path / "c.json")


def test_a_classifier_of_another_kind_or_with_random_predictions_is_refused():
    oracle = NearestNeighborOracle([[0.0, 0.0]], [1])
    certificate = LocallyBiased(LinearScore([1.0, 0.0]), oracle, 0.0).certify([[1.0, 1.0]])
    with pytest.raises(TypeError, match="model must be a LocallyBiased or MulticlassLocallyBiased"):
        verify(LinearScore([1.0, 0.0]), [[1.0, 1.0]], certificate)
    for score in (CohenScore(lambda z: z[:, 0], 1.0), GaussianScore(lambda z: z[:, 0].tanh(), 1.0)):
        with pytest.raises(
            ValueError, match=f"without chance, got one with a {type(score).__name__}"
        ):
            verify(LocallyBiased(score, oracle, 0.0), [[1.0, 1.0]], certificate)


def test_a_score_without_a_gradient_is_attacked_without_it():
    score = LipschitzScore(lambda z: 1.5 - z.detach().abs().amax(1), 1.0)
    model = LocallyBiased(
        score, NearestNeighborOracle([[0.0, 0.0], [0.0, 3.0]], [1, -1]), 0.3, LINF
    )
    result = verify(
        model, [[0.5, 0.1]], model.certify([[0.5, 0.1]]), generator=torch.Generator().manual_seed(0)
    )
    assert result.holds and result.tightness.item() > 0.9


class BatchStatistics(LipschitzScore):
    """h = the first coordinate less its mean over the batch: no row is scored on its own."""

    def value(self, x):
        return x[:, 0] - x[:, 0].mean()


def test_a_classifier_whose_rows_see_each_other_is_broken(rng):
    # All points are moved together, and the mean with them: only a point alone shows it.
    x = torch.from_numpy(rng.normal(size=(60, 20)))
    x[:, 0] = torch.tensor([1.0, 5.0]).repeat(30)
    score, oracle = (
        BatchStatistics(lambda z: z[:, 0], 1.0),
        NearestNeighborOracle(torch.zeros(1, 20), [1]),
    )
    seeing = LocallyBiased(score, oracle, 0.0)
    certificate = seeing.certify(x)
    wrong = x[:, 0] == 1
    assert (
        torch.equal(certificate.prediction, torch.where(wrong, -1.0, 1.0).double())
        and (certificate.radius > 1.99).all()
    )
    result = verify(seeing, x, certificate, generator=torch.Generator().manual_seed(0))
    assert torch.equal(result.broken, wrong) and not result.holds
    assert (result.distance[wrong] == 0).all() and torch.equal(result.witness[wrong], x[wrong])
    assert torch.isinf(result.tightness[wrong]).all() and torch.isinf(result.distance[~wrong]).all()
    apart = LocallyBiased(LipschitzScore(lambda z: z[:, 0] - 3.0, 1.0), oracle, 0.0)
    assert verify(apart, x, apart.certify(x), generator=torch.Generator().manual_seed(0)).holds


def test_every_witness_changes_the_prediction_alone_too(draw, rng, norm):
    points, labels, x = draw(9, 3, 40)
    model = LocallyBiased(
        LinearScore(rng.normal(size=3), 0.2), NearestNeighborOracle(points, labels), 0.4, norm
    )
    certificate = model.certify(x)
    result = verify(model, x, certificate, probes=4, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([model.predict(z[None]) for z in result.witness.nan_to_num()])
    found = torch.isfinite(result.distance)
    assert found.sum() > 30 and (alone != certificate.prediction)[found].all()
    torch.testing.assert_close(
        norm(result.witness - torch.from_numpy(x))[found], result.distance[found], rtol=0, atol=0
    )


def test_a_witness_that_only_company_makes_is_dropped_outside_the_ball():
    class Company(LipschitzScore):
        def value(self, x):
            return torch.where(torch.tensor(len(x) > 1), 2.0 - x[:, 0], 2.0)

    model = LocallyBiased(
        Company(lambda z: 2.0 - z[:, 0], 1.0), NearestNeighborOracle([[0.0, 0.0]], [1]), 0.0
    )
    x = torch.zeros(2, 2, dtype=torch.float64)
    certificate = model.certify(x)
    outside, inside = (
        verify(model, x, dataclasses.replace(certificate, radius=factor * certificate.radius))
        for factor in (1.0, 1.5)
    )
    assert outside.holds and torch.isinf(outside.distance).all() and outside.witness.isnan().all()
    assert inside.broken.all() and ((inside.distance > 1.9) & (inside.distance < 2.1)).all()


def test_points_stay_within_the_domain_of_the_score(norm):
    score = LipschitzScore(lambda z: z[:, 0] + 1, 1.0, domain=2.0)
    model = LocallyBiased(score, NearestNeighborOracle([[0.0, 0.0]], [1]), 0.0, norm)
    x = torch.tensor([[1.5, 1.9], [-0.5, -1.0]], dtype=torch.float64)
    certificate = model.certify(x)
    result = verify(model, x, certificate, generator=torch.Generator().manual_seed(0))
    assert result.holds and torch.isinf(result.distance[0]) and (result.witness[1].abs() <= 2).all()
    assert abs(result.distance[1] - 0.5) < 1e-5 and result.tightness[1] > 0.99
    with pytest.raises(ValueError, match="domain"):
        model.predict([[2.5, 0.0]])


def test_an_abstention_is_neither_broken_nor_tight():
    model = LocallyBiased(LinearScore([1.0, 0.0]), NearestNeighborOracle([[0.0, 0.0]], [1]), 0.0)
    certificate = dataclasses.replace(
        model.certify([[1.0, 1.0]]), prediction=torch.zeros(1), radius=torch.zeros(1)
    )
    result = verify(model, [[1.0, 1.0]], certificate)
    assert result.holds and result.tightness.tolist() == [0.0]
