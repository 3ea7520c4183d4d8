"""The paper's protocol on the real MNIST, seed 0: what the paper says of the two ends,
and of the middle."""

import pytest
import torch

from lbrs import L2, LocallyBiased
from lbrs.experiments import data
from lbrs.experiments.configs import ImagesConfig
from lbrs.experiments.images import Bench
from lbrs.experiments.stages import Stages, accuracy


@pytest.fixture(scope="module")
def bench(mnist, tmp_path_factory):
    config = ImagesConfig()
    task = data.images("mnist", 0)
    return Bench(
        config, task, 0, torch.device("cpu"), Stages(tmp_path_factory.mktemp("mnist"), ["mnist"])
    )


def test_the_network_is_accurate(bench):
    assert accuracy(bench.score.linearize(bench.x, L2).base, bench.y) >= 0.98


def test_at_alpha_zero_it_is_the_network_and_in_the_limit_the_nearest_neighbour_on_every_image(
    bench,
):
    limits = bench.limits()
    assert limits["alpha_zero"] == limits["alpha_infinity"] == limits["zero_gradient"] == 0
    attacked = bench.attack(L2, 1.0)
    far = LocallyBiased(bench.score, bench.oracle, 2 * limits["nearest_alpha"])
    assert torch.equal(far.predict(bench.x), bench.oracle.label(bench.x))
    assert torch.equal(
        LocallyBiased(bench.score, bench.oracle, 1e300).predict(attacked),
        bench.oracle.label(attacked),
    )


def test_under_a_transferred_attack_of_radius_two_locally_biased_is_well_above_normal_smoothing(
    bench,
):
    result = bench.at_radius(L2, 2.0)
    assert result["lbrs"] > result["normal"] + 0.1


def test_the_relu_network_is_refused_a_certificate(bench):
    with pytest.raises(ValueError, match="gradient_lipschitz"):
        LocallyBiased(bench.score, bench.oracle, 1.0).certify(bench.x[:2])
