"""Where the computation runs: a GPU if there is one, and then with the same results;
nothing asks for one."""

import pytest
import torch
from tiny import TINY

from lbrs import (
    L1,
    L2,
    LINF,
    AffineScores,
    ClassOracle,
    LinearScore,
    LipschitzScore,
    LocallyBiased,
    MulticlassLocallyBiased,
    NearestNeighborOracle,
    Score,
    verify,
)
from lbrs.experiments.running import run
from lbrs.experiments.stages import pick_device

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def numbers(values: object) -> list[float]:
    """All numbers in nested results, in their order."""
    if isinstance(values, dict):
        values = [values[key] for key in sorted(values)]
    return (
        [found for value in values for found in numbers(value)]
        if isinstance(values, list)
        else [float(values)]
        if isinstance(values, int | float)
        else []
    )


def test_auto_takes_a_gpu_only_where_there_is_one(monkeypatch):
    for there, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert pick_device("auto").type == kind and pick_device("cpu").type == "cpu"


@pytest.mark.parametrize("given", ["cuda", "tpu", "", None])
def test_a_device_that_is_not_there_is_named(given, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device must be 'auto', 'cpu'"):
        pick_device(given)


@gpu
def test_the_spiral_is_the_same_on_a_gpu(tmp_path):
    cpu, cuda = (
        run(
            TINY["spiral"],
            run="spiral",
            profile="quick",
            seed=0,
            device=device,
            folder=tmp_path / device / "records",
        )
        for device in ("cpu", "cuda")
    )
    assert numbers(cuda.results["norms"]) == pytest.approx(
        numbers(cpu.results["norms"]), rel=1e-9, abs=1e-9
    )
    assert numbers(cuda.results["accuracy"]) == pytest.approx(
        numbers(cpu.results["accuracy"]), rel=1e-9
    )


@gpu
def test_images_are_the_same_on_a_gpu_up_to_float32_and_other_draws(tmp_path):
    cpu, cuda = (
        run(
            TINY["digits"],
            run="digits",
            profile="quick",
            seed=0,
            device=device,
            folder=tmp_path / device / "records",
        )
        for device in ("cpu", "cuda")
    )
    assert cpu.test_hash == cuda.test_hash
    for first, second in zip(cpu.results["sets"], cuda.results["sets"], strict=True):
        assert second["cnn"] == pytest.approx(first["cnn"], abs=0.07) and second[
            "nearest"
        ] == pytest.approx(first["nearest"], abs=0.07)
        assert second["normal"] == pytest.approx(first["normal"], abs=0.15)


POINTS, X = [[0.0, 0.5], [2.0, -1.0], [1.0, 1.5]], [[0.3, 0.1], [1.4, 0.2]]


def on(device, values):
    return torch.tensor(values, dtype=torch.float64, device=device)


def waves(x):
    return x.sin().sum(1)


MODELS = {
    "linear": lambda score, points: LocallyBiased(
        LinearScore(on(score, [1.0, -1.0]), 0.5),
        NearestNeighborOracle(on(points, POINTS), [1, -1, -1]),
        0.5,
        LINF,
    ),
    "smooth": lambda score, points: LocallyBiased(
        Score(waves, 1.0, device=score), NearestNeighborOracle(on(points, POINTS), [1, -1, -1]), 0.5
    ),
    "local": lambda score, points: LocallyBiased(
        Score(waves, lambda x, r: torch.ones_like(r), device=score),
        NearestNeighborOracle(on(points, POINTS), [1, -1, -1]),
        0.5,
    ),
    "Lipschitz": lambda score, points: LocallyBiased(
        LipschitzScore(waves, 2.0, device=score),
        NearestNeighborOracle(on(points, POINTS), [1, -1, -1], 3),
        0.5,
    ),
    "classes": lambda score, points: MulticlassLocallyBiased(
        AffineScores(on(score, [[1.0, 0.0], [0.0, 1.0]]), on(score, [0.0, 0.5])),
        ClassOracle(on(points, POINTS), [0, 1, 1]),
        0.5,
        L1,
    ),
}


@gpu
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("score", "points", "x"),
    [
        ("cpu", "cpu", "cuda"),
        ("cuda", "cuda", "cpu"),
        ("cuda", "cpu", "cpu"),
        ("cpu", "cuda", "cuda"),
        ("cuda", "cuda", "cuda"),
    ],
)
def test_points_may_lie_on_any_device_and_results_lie_on_that_of_the_score(model, score, points, x):
    expected = MODELS[model]("cpu", "cpu").certify(X)
    made = MODELS[model](score, points)
    certificate = made.certify(on(x, X))
    assert (
        certificate.radius.device.type
        == certificate.prediction.device.type
        == made.predict(on(x, X)).device.type
        == made.score(on(x, X)).device.type
        == score
    )
    assert torch.equal(certificate.prediction.cpu(), expected.prediction)
    torch.testing.assert_close(certificate.radius.cpu(), expected.radius, rtol=1e-9, atol=1e-12)
    assert certificate.accuracy(on(x, [1.0, 1.0])) == certificate.accuracy([1, 1])
    assert verify(made, on(x, X), certificate, probes=4).holds


@pytest.mark.parametrize("model", MODELS)
def test_points_without_data_are_refused_by_every_model(model):
    made = MODELS[model]("cpu", "cpu")
    for bad, told in (
        (torch.zeros(2, 2, device="meta"), "device meta"),
        (torch.ones(2, 2).to_sparse(), "layout torch.sparse_coo"),
    ):
        for door in (made.certify, made.predict, made.score):
            with pytest.raises(
                TypeError, match=f"^x must be a dense tensor with data, got {told}$"
            ):
                door(bad)
    assert (
        made.certify(X).radius.device.type == "cpu"
        and verify(made, X, made.certify(X), probes=4).holds
    )


@gpu
@pytest.mark.parametrize("p", [1, 1.005, 2, 1001, float("inf")])
def test_norms_on_a_gpu_are_as_exact_as_stated(p):
    norm, v = (
        L2 if p == 2 else type(L2)(p),
        torch.randn(50, 784, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
    )
    here, there = norm(v), norm(v.cuda()).cpu()
    assert ((here - there).abs() <= 2 * norm.rounding(784) * here).all()
    assert (norm.above(v.cuda()).cpu() >= here * (1 - norm.rounding(784))).all()
