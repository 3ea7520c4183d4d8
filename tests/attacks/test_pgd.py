"""The attack stays in ball and box, finds the optimum where it is known, and does as well as an
independent implementation."""

import numpy as np
import pytest
import torch

from lbrs import L1, L2, LINF
from lbrs.attacks.pgd import pgd, project
from lbrs.experiments import data, networks


@pytest.fixture(scope="module")
def digits():
    task = data.images("digits", 0)
    network = networks.cnn(task.shape, (8, 16, 16), generator=torch.Generator().manual_seed(0))
    networks.train(
        network, task.train_x, task.train_y, epochs=40, generator=torch.Generator().manual_seed(1)
    )
    return task, network


def right(network, x, y):
    return torch.where(network(x).flatten() >= 0, 1.0, -1.0) == y


@pytest.mark.parametrize("norm", [L2, LINF])
@pytest.mark.parametrize("radius", [0.1, 0.5, 3.0])
def test_attacked_points_stay_in_ball_and_box(digits, norm, radius):
    task, network = digits
    attacked = pgd(network, task.test_x, task.test_y, radius, norm)
    assert norm((attacked - task.test_x).flatten(1)).max() <= radius * (1 + 1e-5)
    assert attacked.min() >= 0 and attacked.max() <= 1
    assert attacked.shape == task.test_x.shape and attacked.dtype == task.test_x.dtype


@pytest.mark.parametrize("norm", [L2, LINF])
def test_more_radius_never_helps_the_network_and_radius_zero_changes_nothing(digits, norm):
    task, network = digits
    shares = [
        right(network, pgd(network, task.test_x, task.test_y, r, norm), task.test_y).double().mean()
        for r in (0.0, 0.2, 0.5, 1.0)
    ]
    assert shares == sorted(shares, reverse=True) and shares[-1] < shares[0] - 0.2
    assert torch.equal(pgd(network, task.test_x, task.test_y, 0.0, norm), task.test_x)


@pytest.mark.parametrize("norm", [L2, LINF])
def test_a_random_start_lies_in_ball_and_box_repeats_with_its_seed_and_attacks_as_well(
    digits, norm
):
    task, network = digits
    given = network, task.test_x, task.test_y, 0.4, norm
    starts = (torch.Generator().manual_seed(seed) for seed in (0, 0, 1))
    first, again, other = (pgd(*given, start=start) for start in starts)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert norm((first - task.test_x).flatten(1)).max() <= 0.4 * (1 + 1e-5)
    assert first.min() >= 0 and first.max() <= 1
    shares = [
        right(network, attacked, task.test_y).double().mean()
        for attacked in (first, pgd(network, task.test_x, task.test_y, 0.4, norm))
    ]
    assert abs(shares[0] - shares[1]) < 0.05
    flat = pgd(
        lambda z: 0 * z.sum(1),
        task.test_x,
        task.test_y,
        0.4,
        norm,
        start=torch.Generator().manual_seed(0),
    )
    assert (flat - task.test_x).flatten(1).abs().amax(1).min() > 0


@pytest.mark.parametrize("norm", [L2, LINF])
def test_for_a_linear_logit_away_from_the_box_the_attack_is_optimal(norm):
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(6, generator=generator, dtype=torch.float64)
    x, y = torch.full((8, 6), 0.5, dtype=torch.float64), torch.tensor([1.0, -1.0] * 4)
    attacked = pgd(lambda z: z @ a, x, y, 0.2, norm)
    gained = -y * ((attacked - x) @ a)
    assert torch.allclose(gained, 0.2 * norm.dual(a).expand(8), rtol=1e-12)


def test_a_saturated_logit_is_still_attacked():
    x, y = torch.full((2, 3), 0.5), torch.tensor([1.0, -1.0])
    attacked = pgd(
        lambda z: 1e4 * (z.sum(1) - 1.5) + 500 * torch.sign(z.sum(1) - 1.5 + 1e-3), x, y, 0.1, L2
    )
    assert (attacked - x).abs().min() > 0.01


@pytest.mark.parametrize("norm", [L2, LINF])
def test_projection_is_the_identity_inside_and_idempotent(norm):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(50, 7, generator=generator, dtype=torch.float64)
    z = x + torch.randn(50, 7, generator=generator, dtype=torch.float64)
    once = project(z, x, 0.3, norm)
    assert torch.allclose(project(once, x, 0.3, norm), once, atol=1e-15)
    inside = (x + 0.01 * torch.randn(50, 7, generator=generator, dtype=torch.float64)).clamp(0, 1)
    assert torch.allclose(project(inside, x, 0.3, norm), inside, atol=1e-15)


@pytest.mark.parametrize(("norm", "order", "radius"), [(L2, 2, 0.4), (LINF, np.inf, 0.08)])
def test_as_strong_as_art_on_the_same_network(digits, norm, order, radius):
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier

    task, network = digits

    class TwoLogits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            z = self.network(x)
            return torch.cat([-z / 2, z / 2], 1)

    wrapped = PyTorchClassifier(
        TwoLogits(),
        torch.nn.CrossEntropyLoss(),
        task.shape,
        2,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )
    other = ProjectedGradientDescentPyTorch(
        wrapped,
        norm=order,
        eps=radius,
        eps_step=2.5 * radius / 10,
        max_iter=10,
        num_random_init=0,
        batch_size=256,
        verbose=False,
    )
    theirs = torch.from_numpy(
        other.generate(task.test_x.numpy(), (task.test_y.numpy() > 0).astype(int))
    )
    ours = pgd(network, task.test_x, task.test_y, radius, norm)
    with torch.no_grad():
        share = [
            right(network, z, task.test_y).double().mean().item()
            for z in (task.test_x, ours, theirs)
        ]
    assert share[1] < share[0] - 0.1
    assert abs(share[1] - share[2]) <= 0.03


@pytest.mark.parametrize(
    ("change", "named", "error"),
    [
        ({"norm": L1}, "norm", ValueError),
        ({"norm": "l2"}, "norm", TypeError),
        ({"radius": -1.0}, "radius", ValueError),
        ({"steps": 0}, "steps", ValueError),
        ({"step": 0.0}, "step", ValueError),
        ({"y": torch.tensor([0.0, 1.0])}, "y", ValueError),
        ({"y": torch.ones(3)}, "y", ValueError),
        ({"x": torch.full((2, 3), 1.5)}, "x", ValueError),
        ({"x": torch.full((2, 3), torch.nan)}, "x", ValueError),
        ({"x": np.zeros((2, 3))}, "x", TypeError),
    ],
)
def test_bad_input_names_the_argument(change, named, error):
    given = {
        "x": torch.full((2, 3), 0.5),
        "y": torch.tensor([1.0, -1.0]),
        "radius": 0.1,
        "norm": L2,
        **change,
    }
    with pytest.raises(error, match=f"^{named} must"):
        pgd(
            lambda z: z.sum(1),
            given.pop("x"),
            given.pop("y"),
            given.pop("radius"),
            given.pop("norm"),
            **given,
        )
