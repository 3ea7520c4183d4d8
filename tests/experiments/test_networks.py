"""The networks are the paper's, repeat by generator, and learn."""

import pytest
import torch

from lbrs.experiments import data, networks


def make(seed=0, shape=(1, 8, 8), channels=(4, 4, 4)):
    return networks.cnn(shape, channels, generator=torch.Generator().manual_seed(seed))


def test_the_cnn_has_three_convolutions_with_relu_and_one_linear_layer():
    kinds = [type(layer).__name__ for layer in networks.cnn((1, 28, 28))]
    assert kinds == ["Conv2d", "ReLU", "Conv2d", "ReLU", "Conv2d", "ReLU", "Flatten", "Linear"]


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (2, 7, 9)])
def test_the_cnn_gives_one_logit_for_any_image_shape(shape):
    assert networks.cnn(shape)(torch.zeros(5, *shape)).shape == (5, 1)


def test_weights_come_from_the_generator_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again, other = make(0), make(0), make(1)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)
    )
    assert not torch.equal(first[0].weight, other[0].weight)


def test_training_repeats_fixes_the_weights_and_learns():
    task = data.images("digits", 0)
    losses, weights = [], []
    for _ in range(2):
        network = make(0, channels=(8, 16, 16))
        losses.append(
            networks.train(
                network,
                task.train_x,
                task.train_y,
                epochs=40,
                generator=torch.Generator().manual_seed(1),
            )
        )
        weights.append(network[0].weight)
    assert losses[0] == losses[1] and torch.equal(*weights)
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    right = (
        (torch.where(network(task.test_x).flatten() >= 0, 1.0, -1.0) == task.test_y).double().mean()
    )
    assert losses[0] < 0.35 and right > 0.8


def test_noise_changes_what_is_learnt():
    x, y = (
        torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0)),
        torch.tensor([1.0, -1.0] * 16),
    )
    results = []
    for noise in (0.0, 0.5):
        network = make()
        networks.train(
            network, x, y, epochs=2, noise=noise, generator=torch.Generator().manual_seed(1)
        )
        results.append(network[0].weight)
    assert not torch.equal(*results)


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", 0), ("batch", 0), ("learning_rate", 0.0), ("noise", -1.0)]
)
def test_bad_training_choices_name_the_argument(name, value):
    with pytest.raises(ValueError, match=name):
        networks.train(make(), torch.zeros(4, 1, 8, 8), torch.ones(4), **{"epochs": 1, name: value})
