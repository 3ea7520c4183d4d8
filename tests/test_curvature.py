"""The gradient-Lipschitz bounds of smooth networks are bounds, are sharp where that can be known,
and train."""

import copy
import math
import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from lbrs import L1, L2, LINF, LocallyBiased, NearestNeighborOracle, Norm, Score
from lbrs.curvature import (
    CertifiedLoss,
    gradient_lipschitz,
    largest_eigenvalue,
    layers,
    rounding,
    smooth_score,
)
from lbrs.experiments import data, networks

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = (1, 6, 5)
norm = pytest.fixture(params=[L1, L2, LINF], ids=str)(lambda request: request.param)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def with_activation(module, widths=(6,)):
    network = networks.smooth_mlp((4,), widths, generator=seeded(2))
    return nn.Sequential(
        *(copy.deepcopy(module) if isinstance(layer, nn.Softplus) else layer for layer in network)
    )


NETWORKS = {
    "mlp": (networks.smooth_mlp(SHAPE, (12,), generator=seeded()), SHAPE),
    "deep mlp": (networks.smooth_mlp((5,), (8, 7, 6), generator=seeded()), (5,)),
    "cnn": (networks.smooth_cnn(SHAPE, (3,), generator=seeded()), SHAPE),
    "deep cnn": (networks.smooth_cnn((2, 6, 5), (3, 4), generator=seeded()), (2, 6, 5)),
    "tanh": (with_activation(nn.Tanh(), (6, 5)), (4,)),
    "sigmoid": (with_activation(nn.Sigmoid(), (6, 5)), (4,)),
    "mixed": (
        nn.Sequential(
            nn.Linear(4, 6),
            nn.Sigmoid(),
            nn.Linear(6, 5),
            nn.Tanh(),
            nn.Linear(5, 4),
            nn.Tanh(),
            nn.Linear(4, 1),
        ),
        (4,),
    ),
    "steep": (with_activation(nn.Softplus(beta=5, threshold=40), (6,)), (4,)),
}


for layer, scale in zip(
    (NETWORKS["mixed"][0][place] for place in (0, 2, 4, 6)), (0.3, 8.0, 4.0, 1.0), strict=True
):
    nn.init.normal_(layer.weight, std=scale / layer.weight.shape[1] ** 0.5, generator=seeded(9))
    nn.init.normal_(layer.bias, std=0.1, generator=seeded(10))


@pytest.fixture(params=NETWORKS)
def made(request):
    network, shape = NETWORKS[request.param]
    return copy.deepcopy(network).double(), shape


def hessians(network, shape, n=60, spread=3.0):
    """The Hessians of the network at random points, as (n, d, d)."""
    x = spread * torch.randn(n, *shape, dtype=torch.float64, generator=seeded(5))
    d = math.prod(shape)
    found = [
        torch.autograd.functional.hessian(lambda v: network(v[None]).sum(), point).reshape(d, d)
        for point in x
    ]
    return torch.stack(found)


def curvature_of(H, norm):
    """A lower bound of max ||H u||_* over ||u|| <= 1, exact in l1 and l2."""
    if norm == L1:
        return H.abs().amax((1, 2))
    if norm == L2:
        return torch.linalg.matrix_norm(H, 2)
    u = torch.randn(len(H), 200, H.shape[1], dtype=torch.float64, generator=seeded(6)).sign()
    for _ in range(5):
        u = (u @ H).sign()
    return (u @ H).abs().sum(2).amax(1)


def test_no_curvature_exceeds_the_constant(made, norm):
    network, shape = made
    L = gradient_lipschitz(network, shape, norm)
    seen = curvature_of(hessians(network, shape), norm).max().item()
    assert 0.003 * L < seen <= L


def test_no_pair_of_points_turns_the_gradient_faster(made, norm):
    network, shape = made
    score = smooth_score(network, shape, norm, domain=100)
    x = torch.randn(300, *shape, dtype=torch.float64, generator=seeded(1))
    z = x + torch.logspace(-4, 1, 300, dtype=torch.float64).reshape(
        -1, *[1] * len(shape)
    ) * torch.randn(x.shape, dtype=torch.float64, generator=seeded(2))
    gap = norm.dual((score.value_and_gradient(x)[1] - score.value_and_gradient(z)[1]).flatten(1))
    assert (gap <= score.gradient_lipschitz * norm((x - z).flatten(1)) + 1e-12).all()


def test_one_unit_is_bounded_exactly(norm):
    network = networks.smooth_mlp((7,), (1,), generator=seeded()).double()
    expected = (
        norm.dual(network[1].weight[0].detach()).item() ** 2 * network[3].weight.abs().item() / 4
    )
    assert gradient_lipschitz(network, (7,), norm) == pytest.approx(expected, rel=1e-9)


def test_one_hidden_layer_is_attained_in_l2_where_all_units_bend_at_once():
    network = networks.smooth_mlp((7,), (5,), generator=seeded()).double()
    for layer in (network[1], network[3]):
        layer.bias.data.zero_()
    network[3].weight.data.abs_()
    H = torch.autograd.functional.hessian(
        lambda v: network(v[None]).sum(), torch.zeros(7, dtype=torch.float64)
    )
    assert gradient_lipschitz(network, (7,), L2) == pytest.approx(
        torch.linalg.matrix_norm(H, 2).item(), rel=1e-9
    )


def test_a_chain_of_single_units_has_the_constant_of_the_formula(norm):
    network = nn.Sequential(
        nn.Linear(1, 1),
        nn.Sigmoid(),
        nn.Linear(1, 1),
        nn.Tanh(),
        nn.Linear(1, 1),
        nn.Tanh(),
        nn.Linear(1, 1),
    ).double()
    w = [2.0, -3.0, 0.5, 1.5]
    for place, weight in zip((0, 2, 4, 6), w, strict=True):
        network[place].weight.data.fill_(weight)
    slopes, bends = (0.25, 1.0, 1.0), (1 / 108**0.5, 4 / 27**0.5, 4 / 27**0.5)
    expected, inner = 0.0, 1.0
    for place in range(3):
        inner *= abs(w[place])
        outer = abs(w[3]) * math.prod(slopes[i] * abs(w[i]) for i in range(place + 1, 3))
        expected += outer * bends[place] * inner**2
        inner *= slopes[place]
    assert gradient_lipschitz(network, (1,), norm) == pytest.approx(expected, rel=1e-9)


def test_scaling_laws(made, norm):
    network, shape = made
    L = gradient_lipschitz(network, shape, norm)
    last = copy.deepcopy(network)
    last[-1].weight.data.mul_(-3)
    assert gradient_lipschitz(last, shape, norm) == pytest.approx(3 * L, rel=1e-9)
    first = next(layer for layer in network if isinstance(layer, (nn.Linear, nn.Conv2d)))
    first.weight.data.mul_(2)
    assert gradient_lipschitz(network, shape, norm) >= 3.99 * L or len(layers(network, shape)) > 2
    shifted = copy.deepcopy(network)
    for layer in shifted:
        if getattr(layer, "bias", None) is not None:
            layer.bias.data.add_(1)
    assert gradient_lipschitz(shifted, shape, norm) == pytest.approx(
        gradient_lipschitz(network, shape, norm), rel=1e-12
    )


def test_a_linear_network_has_no_curvature(norm):
    network = nn.Sequential(nn.Flatten(), nn.Linear(30, 1))
    assert gradient_lipschitz(network, SHAPE, norm) == 0


def test_a_convolution_is_its_matrix(norm):
    network = copy.deepcopy(NETWORKS["cnn"][0]).double()
    W = torch.from_numpy(layers(network, SHAPE)[0].matrix().toarray())
    units = [nn.Flatten(), nn.Linear(30, len(W)), nn.Softplus(threshold=40), nn.Linear(len(W), 1)]
    dense = nn.Sequential(*units).double()
    at_zero = network[0](torch.zeros(1, *SHAPE, dtype=torch.float64)).detach().flatten()
    dense[1].weight.data, dense[1].bias.data = W, at_zero
    dense[3].weight.data, dense[3].bias.data = network[-1].weight.data, network[-1].bias.data
    x = torch.randn(4, *SHAPE, dtype=torch.float64, generator=seeded())
    torch.testing.assert_close(dense(x), network(x))
    assert gradient_lipschitz(dense, SHAPE, norm) == pytest.approx(
        gradient_lipschitz(network, SHAPE, norm), rel=1e-9
    )


@pytest.mark.parametrize(("m", "d"), [(1, 1), (3, 8), (8, 3), (40, 40)])
def test_the_eigenvalue_bound_is_above_and_close(m, d):
    W, D = (
        torch.randn(m, d, dtype=torch.float64, generator=seeded(m)),
        torch.rand(m, dtype=torch.float64, generator=seeded(d)),
    )
    exact = torch.linalg.eigvalsh(W.T @ (D[:, None] * W))[-1].item()
    assert exact * (1 - 1e-12) <= largest_eigenvalue(W, D) <= exact * (1 + 1e-9)
    assert largest_eigenvalue(W, 0 * D) == 0
    repeated = largest_eigenvalue(
        torch.eye(d, dtype=torch.float64), torch.ones(d, dtype=torch.float64)
    )
    assert 1 <= repeated <= 1 + 1e-9


def reference(network, x):
    """g and its gradient of a network of fully connected layers, in extended precision."""
    a, kept = x.astype(np.longdouble), []
    for layer in network:
        if isinstance(layer, nn.Linear):
            W, b = (v.detach().numpy().astype(np.longdouble) for v in (layer.weight, layer.bias))
            a = W @ a + b
            kept.append(W)
        elif isinstance(layer, nn.Softplus):
            kept.append(1 / (1 + np.exp(-a)))
            a = np.log1p(np.exp(a))
    q = np.ones(1, np.longdouble)
    for item in reversed(kept):
        q = item.T @ q if item.ndim == 2 else item * q
    return a[0], q


@pytest.mark.skipif(
    np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps,
    reason="no extended precision on this machine",
)
@pytest.mark.parametrize("widths", [(6,), (40, 30)])
def test_rounding_errors_are_below_their_bound(norm, widths):
    network = networks.smooth_mlp((20,), widths, generator=seeded()).double()
    network[1].weight.data.mul_(5)
    score = smooth_score(network, (20,), norm)
    x = torch.empty(50, 20, dtype=torch.float64).uniform_(-10, 10, generator=seeded(3))
    value, gradient = score.value_and_gradient(x)
    worst = 0.0
    for point, g, G in zip(x.numpy(), value.numpy(), gradient, strict=True):
        exact, slope = reference(network, point)
        worst = max(
            worst,
            abs(float(exact - g)),
            norm.dual(torch.from_numpy((slope - G.numpy()).astype(np.float64))).item(),
        )
    assert 0 < worst <= score.rounding <= 1e-9
    assert score.rounding == rounding(network, (20,), norm)


def test_the_gradient_of_the_softplus_in_use_does_not_jump():
    near = torch.tensor([19.999, 20.001, 39.999, 40.001], dtype=torch.float64, requires_grad=True)
    for threshold, jumps in ((20, True), (networks.SOFT, False)):
        (slope,) = torch.autograd.grad(
            nn.functional.softplus(near, threshold=threshold).sum(), near
        )
        assert bool((slope[1] - slope[0]) > 1e-10) == jumps and slope[3] == slope[2]


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)), "smooth activations"),
        (nn.Sequential(nn.Linear(4, 3), nn.Softplus(), nn.Linear(3, 1)), "threshold"),
        (nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1)), "between two linear maps"),
        (nn.Sequential(nn.Softplus(threshold=40), nn.Linear(4, 1)), "begin with"),
        (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)), "smooth activations"),
        (nn.Sequential(nn.Linear(4, 2)), "one number"),
        (nn.Sequential(nn.Linear(4, 2), nn.Tanh()), "end with"),
    ],
)
def test_other_networks_are_refused(network, says):
    with pytest.raises(ValueError, match=says):
        gradient_lipschitz(network, (4,), L2)


def test_other_norms_and_kinds_are_refused():
    with pytest.raises(ValueError, match="norm must be"):
        gradient_lipschitz(NETWORKS["mlp"][0], SHAPE, Norm(3))
    with pytest.raises(TypeError, match="nn.Sequential"):
        gradient_lipschitz(nn.Linear(3, 1), (3,), L2)


def test_the_loss_estimates_the_constant_from_below_and_close_for_one_hidden_layer(norm):
    network = networks.smooth_mlp(SHAPE, (12,), generator=seeded())
    loss = CertifiedLoss(SHAPE, norm, 0.5, 0.5, seeded(1))
    for _ in range(60):
        estimate = loss.curvature(network).item()
    L = gradient_lipschitz(network, SHAPE, norm)
    assert (0.9 if norm == L2 else 0.3) * L < estimate <= L * (1 + 1e-5)


def test_without_a_radius_the_loss_is_the_logistic_one():
    network, x, y = (
        NETWORKS["mlp"][0],
        torch.randn(9, *SHAPE, generator=seeded()),
        torch.tensor([1.0, -1, 1] * 3),
    )
    plain = CertifiedLoss(SHAPE, L2, 0.0, 1.0, seeded())(network, x, y)
    torch.testing.assert_close(plain, networks.logistic(network, x, y))


@pytest.mark.parametrize("norm", [L2, LINF], ids=str)
def test_training_with_the_loss_certifies_more(norm):
    task = data.images("digits", 0)
    certified, radius = [], {L2: 0.4, LINF: 0.06}[norm]
    for loss in (networks.logistic, CertifiedLoss(task.shape, norm, radius, 0.5, seeded())):
        network = networks.smooth_mlp(task.shape, (32,), generator=seeded())
        networks.train(
            network, task.train_x, task.train_y, epochs=60, generator=seeded(1), loss=loss
        )
        score = smooth_score(network, task.shape, norm)
        value, gradient = score.value_and_gradient(task.test_x)
        margin = (
            value * task.test_y
            - radius * norm.dual(gradient.flatten(1))
            - radius**2 / 2 * score.gradient_lipschitz
        )
        certified.append((margin > 0).double().mean().item())
    assert certified[1] > certified[0] + 0.05


class Steeper(nn.Tanh):
    def forward(self, x):
        return super().forward(100 * x)


def steep(place, change):
    network = with_activation(nn.Tanh())
    network[place] = change(network[place])
    return network


def hooked(unit):
    unit.register_forward_pre_hook(lambda module, given: 100 * given[0])
    return unit


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda unit: Steeper(), "Steeper"),
        (hooked, "no hooks, got _forward_pre_hooks in layer 2, Tanh"),
        (
            lambda unit: unit.__dict__.update(forward=lambda x: (100 * x).tanh()) or unit,
            "got forward changed in layer 2",
        ),
        (lambda unit: nn.Softplus(-1.0, threshold=40), "beta in layer 2, Softplus must be"),
    ],
)
def test_a_network_that_turns_faster_than_its_layers_say_has_no_constant(change, says):
    network = steep(2, change).double()
    seen = curvature_of(hessians(network, (4,), spread=0.3), L2).max().item()
    assert seen > (20 if says[:4] != "beta" else 0) * gradient_lipschitz(
        with_activation(nn.Tanh()), (4,), L2
    )
    for made in (gradient_lipschitz, smooth_score, rounding):
        with pytest.raises(ValueError, match=f"^network.*{says}"):
            made(network, (4,), L2)
    with pytest.raises(ValueError, match="^network"):
        CertifiedLoss((4,), L2, 0.5, 0.5, seeded()).curvature(network)


def test_a_parametrized_network_is_refused_and_its_finished_weights_are_not():
    network = with_activation(nn.Tanh())
    nn.utils.parametrizations.weight_norm(network[1])
    with pytest.raises(ValueError, match="^network must be made of .*ParametrizedLinear"):
        gradient_lipschitz(network, (4,), L2)
    nn.utils.parametrize.remove_parametrizations(network[1], "weight")
    expected = gradient_lipschitz(with_activation(nn.Tanh()), (4,), L2)
    assert gradient_lipschitz(network, (4,), L2) == pytest.approx(expected, rel=1e-5)


def test_a_score_does_not_follow_later_changes_of_its_network():
    network = networks.smooth_mlp((4,), (5,), generator=seeded()).double()
    score, x = smooth_score(network, (4,), L2), torch.ones(1, 4)
    before = score.value(x).item()
    network[3].weight.data.mul_(100)
    hooked(network[2])
    assert score.value(x).item() == before and abs(network(x.double()).item()) > 5 * abs(before)


def far_away():
    """g(x, y) = 3 softplus(x/3) - 7/5 softplus(5 y/7), about x - y, and points close to the line
    where it is 0, at 3,000."""
    network = nn.Sequential(
        nn.Linear(2, 2, bias=False), nn.Softplus(threshold=40), nn.Linear(2, 1, bias=False)
    ).double()
    network[0].weight.data = torch.tensor([[1 / 3, 0.0], [0.0, 5 / 7]], dtype=torch.float64)
    network[2].weight.data = torch.tensor([[3.0, -7 / 5]], dtype=torch.float64)
    x = 3000 + 4.6e-13 * torch.randint(-6, 7, (300, 2), generator=seeded(8)).double()
    return network, x


def false_certificates(score, x):
    """How many points have one of the other computed class within their radius."""
    certificate = LocallyBiased(
        score, NearestNeighborOracle(torch.zeros(1, 2), [1.0]), 0.0, LINF
    ).certify(x)
    other = certificate.prediction[:, None] != certificate.prediction[None]
    return int(((LINF(x[:, None] - x[None]) < certificate.radius[:, None]) & other).any(1).sum())


def test_no_certificate_far_away_is_false_and_the_rounding_of_small_points_would_make_some_so():
    network, x = far_away()
    small = Score(
        network, gradient_lipschitz(network, (2,), LINF), rounding=rounding(network, (2,), LINF)
    )
    assert false_certificates(small, x) > 10
    assert false_certificates(smooth_score(network, (2,), LINF, domain=4000), x) == 0


@pytest.mark.skipif(
    np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps,
    reason="no extended precision on this machine",
)
def test_the_rounding_for_ten_is_too_small_at_three_thousand():
    network, _ = far_away()
    x = 3000 + torch.rand(300, 2, dtype=torch.float64, generator=seeded(3))
    worst = max(
        abs(float(exact(network, point) - g))
        for point, g in zip(x.numpy(), network(x).flatten().tolist(), strict=True)
    )
    assert rounding(network, (2,), L2) < worst < rounding(network, (2,), L2, 4000)


def exact(network, point):
    """g of `far_away` at a point beyond 1,000, where softplus is the identity in extended
    precision, too."""
    W, v = (
        layer.weight.detach().numpy().astype(np.longdouble) for layer in (network[0], network[2])
    )
    return (v @ (W @ point.astype(np.longdouble)))[0]


def test_points_beyond_the_domain_are_an_error_and_radii_end_at_its_border():
    network = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    network[2].bias.data.fill_(500.0)
    oracle = NearestNeighborOracle(torch.zeros(1, 2), [1.0])
    x = torch.tensor([[9.0, -9.5], [0.0, 0.0], [10.0, 0.0]])
    made = LocallyBiased(smooth_score(network, (2,), LINF), oracle, 0.1, LINF)
    radius = made.certify(x).radius
    assert radius.tolist() == pytest.approx([0.5, 10.0, 0.0])
    assert (radius <= torch.tensor([0.5, 10.0, 0.0])).all()
    for wrong in (10.01, 3000.0):
        with pytest.raises(ValueError, match=r"domain"):
            made.certify(x + wrong)
        with pytest.raises(ValueError, match=r"domain"):
            made.predict(x + wrong)
    far = LocallyBiased(smooth_score(network, (2,), LINF, domain=4000), oracle, 0.1, LINF).certify(
        x + 3000
    )
    assert (far.radius > 0).all() and (far.radius <= 1000).all()
    for wrong in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="^domain must be"):
            smooth_score(network, (2,), LINF, domain=wrong)


def test_a_domain_in_which_rounding_reaches_one_is_refused():
    network = networks.smooth_mlp((4,), (5,), generator=seeded())
    assert smooth_score(network, (4,), L2, domain=1e6).rounding < 1e-7
    with pytest.raises(
        ValueError, match="^network must be computable in float64 with an error below 1"
    ):
        smooth_score(network, (4,), L2, domain=1e17)


def test_the_constant_of_a_convolution_needs_no_dense_matrix():
    network = networks.smooth_cnn((3, 32, 32), (16,), generator=seeded())
    W = layers(network, (3, 32, 32))[0].matrix()
    assert W.nnz < 0.03 * math.prod(W.shape)
    tracemalloc.start()
    L = gradient_lipschitz(network, (3, 32, 32), L2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert L > 0 and peak < 8 * math.prod(W.shape)


def test_tiny_weights_keep_their_curvature(norm):
    network = nn.Sequential(nn.Linear(1, 1), nn.Tanh(), nn.Linear(1, 1)).double()
    network[0].weight.data.fill_(1e-170)
    network[2].weight.data.fill_(1e170)
    assert 0.77e-170 < gradient_lipschitz(network, (1,), norm) < math.inf
    network[0].weight.data.fill_(1e170)
    with pytest.raises(ValueError, match="^network must have a constant L within float64"):
        gradient_lipschitz(network, (1,), norm)
