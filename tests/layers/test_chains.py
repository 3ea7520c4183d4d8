"""What is proved of chains of known layers: who is let in, how far rounding goes in each type, and
constants of Lipschitz."""

import copy
import importlib
import math

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import nn

from lbrs import L1, L2, LINF, Norm
from lbrs.layers import arithmetic, chains, modules, spectra
from lbrs.layers.chains import TYPES, lipschitz_constant, lipschitz_score, rounding_errors
from lbrs.layers.modules import steps
from lbrs.layers.spectra import largest_eigenvalue, written_out
from lbrs.scores.lipschitz import LipschitzScore

pytestmark = pytest.mark.usefixtures("one_thread")
IMAGE = (2, 6, 5)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def script():
    """script(name): a script of the folder benchmarks, as a module."""
    return importlib.import_module


def mlp(*between, d=4):
    """Linear(d, 3), what is given, Linear(3, 1)."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(d, 3), *between, nn.Linear(3, 1))


def one(*weights, unit=None, first=None, bias=False):
    """Single units with these weights, `unit` between them, after `first`."""
    made = [] if first is None else [first]
    for place, weight in enumerate(weights):
        made += [unit] if unit is not None and place else []
        layer = nn.Linear(1, 1, bias=bias).double()
        layer.weight.data.fill_(weight)
        made.append(layer)
    return nn.Sequential(*made)


# who is let in


class Steeper(nn.Tanh):
    def forward(self, x):
        return super().forward(100 * x)


class Doubled(nn.Linear):
    pass


class Chain(nn.Sequential):
    pass


def hooked(method):
    network = mlp(nn.Tanh())
    getattr(network[1], method)(lambda *given: None)
    return network


def changed(place, name, value):
    network = mlp(nn.Softplus(threshold=40))
    network[place].__dict__[name] = value
    return network


def buffered():
    network = mlp(nn.Tanh())
    network[0].register_buffer("scale", torch.ones(1))
    return network


def infinite():
    network = mlp(nn.Tanh())
    network[2].weight.data[0, 0] = math.nan
    return network


def mixed():
    network = mlp(nn.Tanh())
    network[2].double()
    return network


def image(*layers, after):
    torch.manual_seed(1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(after, 1))


def normed(how):
    network = mlp(nn.Tanh())
    how(network[0])
    return network


REFUSED = {
    "a subclass of tanh": lambda: mlp(Steeper()),
    "a subclass of linear": lambda: nn.Sequential(Doubled(4, 1)),
    "a forward hook": lambda: hooked("register_forward_hook"),
    "a hook before": lambda: hooked("register_forward_pre_hook"),
    "a backward hook": lambda: hooked("register_full_backward_hook"),
    "a hook on the whole": lambda: (
        (network := mlp(nn.Tanh())).register_forward_hook(lambda *_: None) and network
    ),
    "a parametrization": lambda: normed(nn.utils.parametrizations.spectral_norm),
    "a weight norm": lambda: normed(nn.utils.parametrizations.weight_norm),
    "a method of its own": lambda: changed(0, "forward", lambda x: x),
    "a convolution of its own": lambda: changed(0, "_call_impl", lambda x: x),
    "a buffer": buffered,
    "a negative beta": lambda: mlp(nn.Softplus(-1.0, 40)),
    "no beta": lambda: mlp(nn.Softplus(0.0, 40)),
    "an infinite beta": lambda: mlp(nn.Softplus(math.inf, 40)),
    "a low threshold": lambda: mlp(nn.Softplus()),
    "a threshold that overflows": lambda: mlp(nn.Softplus(threshold=1e3)),
    "no number": infinite,
    "two types": mixed,
    "circular padding": lambda: image(
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), nn.Tanh(), after=60
    ),
    "half a flatten": lambda: nn.Sequential(
        nn.Conv2d(2, 1, 1), nn.Flatten(2), nn.Flatten(), nn.Linear(30, 1)
    ),
    "linear on an image": lambda: nn.Sequential(nn.Linear(5, 1), nn.Flatten(), nn.Linear(12, 1)),
    "a dilated pool": lambda: image(nn.MaxPool2d(2, dilation=2), after=12),
    "a ceiled mean": lambda: image(nn.AvgPool2d(2, ceil_mode=True), after=18),
    "batch norm": lambda: mlp(nn.BatchNorm1d(3)).eval(),
    "dropout": lambda: mlp(nn.Dropout()),
    "elu": lambda: mlp(nn.ELU()),
    "a network inside": lambda: nn.Sequential(mlp(nn.Tanh())),
    "two outputs": lambda: nn.Sequential(nn.Linear(4, 2)),
    "wrong points": lambda: nn.Sequential(nn.Linear(5, 1)),
    "nothing": lambda: nn.Sequential(nn.Flatten()),
}


def shape_of(network):
    return (
        IMAGE
        if any(
            isinstance(layer, (nn.Conv2d, nn.AvgPool2d, nn.MaxPool2d, nn.Flatten))
            for layer in network
        )
        else (4,)
    )


@pytest.mark.parametrize("made", REFUSED.values(), ids=REFUSED)
def test_whoever_may_compute_something_else_is_refused(made):
    network = made()
    for bound in (
        lambda: lipschitz_constant(network, shape_of(network), L2),
        lambda: rounding_errors(network, shape_of(network), L2),
    ):
        with pytest.raises(ValueError, match="^network"):
            bound()


def test_no_sequential_is_a_wrong_type():
    for network in (nn.Linear(4, 1), Chain(nn.Linear(4, 1)), lambda x: x.sum(1)):
        with pytest.raises(TypeError, match="^network must be an nn.Sequential"):
            lipschitz_constant(network, (4,), L2)


def test_hooks_of_all_modules_are_refused():
    network = mlp(nn.Tanh())
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        with pytest.raises(ValueError, match="^network must have no hooks"):
            steps(network, (4,))
    finally:
        handle.remove()
    assert len(steps(network, (4,))) == 3


@pytest.mark.parametrize("shape", [(), 4, (0,), (4.0,)], ids=str)
def test_shapes_are_checked(shape):
    with pytest.raises((ValueError, TypeError), match="^shape must be"):
        steps(mlp(nn.Tanh()), shape)


ADMITTED = {
    "relu": lambda: mlp(nn.ReLU()),
    "relu in place": lambda: mlp(nn.ReLU(inplace=True)),
    "leaky": lambda: mlp(nn.LeakyReLU(0.2)),
    "falling leak": lambda: mlp(nn.LeakyReLU(-2.0)),
    "tanh": lambda: mlp(nn.Tanh()),
    "sigmoid": lambda: mlp(nn.Sigmoid()),
    "softplus": lambda: mlp(nn.Softplus(threshold=40)),
    "steep softplus": lambda: mlp(nn.Softplus(7, threshold=37)),
    "linear": lambda: nn.Sequential(nn.Linear(4, 1)),
    "no bias": lambda: nn.Sequential(nn.Linear(4, 1, bias=False)),
    "two linear maps": lambda: mlp(),
    "two units": lambda: mlp(nn.Tanh(), nn.ReLU()),
    "unit first": lambda: nn.Sequential(nn.Tanh(), nn.Linear(4, 1)),
    "unit last": lambda: nn.Sequential(nn.Linear(4, 1), nn.Sigmoid()),
    "training mode": lambda: mlp(nn.Tanh()).train(),
    "fixed weights": lambda: mlp(nn.Tanh()).requires_grad_(False),
    "a name": lambda: changed(0, "title", "first"),
    "float64": lambda: mlp(nn.Tanh()).double(),
    "bfloat16": lambda: mlp(nn.Tanh()).bfloat16(),
    "removed parametrization": lambda: normed(
        lambda layer: nn.utils.parametrize.remove_parametrizations(
            nn.utils.parametrizations.weight_norm(layer), "weight"
        )
    ),
    "removed hook": lambda: normed(
        lambda layer: layer.register_forward_hook(lambda *_: None).remove()
    ),
    "one module twice": lambda: (
        (unit := nn.Tanh())
        and nn.Sequential(nn.Linear(4, 3), unit, nn.Linear(3, 3), unit, nn.Linear(3, 1))
    ),
    "convolution": lambda: image(nn.Conv2d(2, 3, 3, 2, 1), nn.ReLU(), after=27),
    "same": lambda: image(
        nn.Conv2d(2, 3, (5, 3), padding="same", dilation=(1, 2)), nn.Tanh(), after=90
    ),
    "valid": lambda: image(nn.Conv2d(2, 3, 3, padding="valid"), nn.Tanh(), after=36),
    "groups": lambda: image(nn.Conv2d(2, 4, 3, groups=2, bias=False), nn.Tanh(), after=48),
    "max pool": lambda: image(nn.Conv2d(2, 3, 3), nn.MaxPool2d(2), nn.ReLU(), after=6),
    "overlapping pool": lambda: image(nn.MaxPool2d(3, 2, padding=1, ceil_mode=True), after=24),
    "mean pool": lambda: image(nn.AvgPool2d(2, 1, padding=1, count_include_pad=False), after=84),
    "flatten alone": lambda: image(after=60),
}


@pytest.mark.parametrize("made", ADMITTED.values(), ids=ADMITTED)
def test_whoever_computes_what_its_type_says_is_admitted(made):
    network = made()
    shape = shape_of(network)
    double = chains.owned(network, torch.float64)
    x = torch.randn(400, *shape, dtype=torch.float64, generator=seeded(1))
    z = x + 0.5 * torch.randn(x.shape, dtype=torch.float64, generator=seeded(2))
    for norm in (L1, L2, LINF):
        K = lipschitz_constant(network, shape, norm)
        quotient = ((double(x) - double(z)).flatten().abs() / norm((x - z).flatten(1))).max().item()
        assert 0.005 * K < quotient <= K
    value, _ = rounding_errors(network, shape, L2, domain=5.0, dtype=torch.float32)
    off = (double.float().double()(x) - double.float()(x.float()).double()).abs().max().item()
    assert 0 < off <= value < 1e-3


def test_there_are_as_many_to_admit_as_to_refuse():
    assert len(ADMITTED) >= 30 and len(REFUSED) >= 30


# rounding


def test_no_error_exceeds_its_bound(script):
    found = script("rounding").run(50)
    for kept, refused in found.values():
        assert len(kept) >= 8 and refused <= 4
        assert max(kept) <= 1 and max(kept) > 0.02


def exceeds(script, network, x, dtype, domain):
    """The largest error / bound of values, and of gradients, at the points `x` (n, 1)."""
    reference, given = (
        script("rounding").Reference(network, tuple(x.shape[1:])),
        x.to(dtype, copy=True).requires_grad_(),
    )
    value, gradient = rounding_errors(network, tuple(x.shape[1:]), LINF, domain)
    output = network(given)
    (slopes,) = torch.autograd.grad(output.sum(), given)
    true = [reference(point) for point in x.numpy()]
    values = max(
        abs(float(g - fl))
        for (g, _), fl in zip(true, output.double().flatten().tolist(), strict=True)
    )
    if true[0][1] is None:
        return values / value, 0.0
    gap = [
        sum(abs(float(a - b)) for a, b in zip(rate, slope, strict=True))
        for (_, rate), slope in zip(true, slopes.double().flatten(1).tolist(), strict=True)
    ]
    return values / value, max(gap) / gradient


def spread(low, high, d=1, n=400):
    return low + (high - low) * torch.rand(n, d, dtype=torch.float64, generator=seeded(4))


def near_one():
    """x = 1 + 2^-24 and weights just above 1, where float32 loses nearly half an eps each time."""
    return (
        one(1 + 2.0**-12 + 2.0**-23).float(),
        torch.linspace(1, 1 + 2.0**-10, 400, dtype=torch.float64)[:, None],
        torch.float32,
        1.001,
    )


def cancelling():
    """tanh(1000 (x - y)), steep where x - y is small and its terms are not."""
    network = nn.Sequential(
        nn.Linear(2, 1, bias=False), nn.Tanh(), nn.Linear(1, 1, bias=False)
    ).double()
    network[0].weight.data, network[2].weight.data = (
        torch.tensor([[1001 / 3, -1001 / 3]]).double(),
        torch.ones(1, 1).double(),
    )
    x = spread(9, 10)
    return network, torch.cat([x, x - spread(0, 0.006)], 1), torch.float64, 10.0


NEEDED = {
    "sums": (
        0,
        lambda: (one(1 / 3, 1 / 3), spread(9, 10), torch.float64, 10.0),
        lambda patch: patch.setattr(arithmetic.Arithmetic, "grows", lambda *_: 0.0),
    ),
    "products back": (
        1,
        lambda: (one(1 / 3, 1 / 3), spread(9, 10), torch.float64, 10.0),
        lambda patch: patch.setattr(arithmetic.Arithmetic, "grows", lambda *_: 0.0),
    ),
    "the input": (
        0,
        near_one,
        lambda patch: patch.setattr(chains, "_entered", lambda size, kind: (size, 0 * size)),
    ),
    "underflow": (
        0,
        lambda: (one(1.1e-3).half(), spread(0, 1e-4), torch.float16, 1e-4),
        lambda patch: patch.setattr(arithmetic.Arithmetic, "floor", 0.0),
    ),
    "values of sigmoid": (
        0,
        lambda: (one(1.0, first=nn.Sigmoid()), spread(0, 2), torch.float64, 2.0),
        lambda patch: patch.setitem(modules.VALUES, "Sigmoid", 0.0),
    ),
    "values of tanh": (
        0,
        lambda: (
            nn.Sequential(*[nn.Tanh()] * 4, *one(1.0)),
            spread(0.009, 0.01, n=2000),
            torch.float64,
            0.01,
        ),
        lambda patch: patch.setitem(modules.VALUES, "Tanh", 0.0),
    ),
    "values of softplus": (
        0,
        lambda: (one(1.0, first=nn.Softplus(threshold=40)), spread(0, 0.01), torch.float64, 0.01),
        lambda patch: patch.setitem(modules.VALUES, "Softplus", 0.0),
    ),
    "rates of sigmoid": (
        1,
        lambda: (one(1.0, first=nn.Sigmoid()), spread(0, 5), torch.float64, 5.0),
        lambda patch: patch.setitem(modules.RATES, "Sigmoid", 0.0),
    ),
    "curvature": (1, cancelling, lambda patch: patch.setattr(modules.Unit, "bend", 0.0)),
}


@pytest.mark.parametrize("what", NEEDED)
def test_without_an_allowance_an_error_exceeds_the_bound(script, what, monkeypatch):
    side, made, without = NEEDED[what]
    network, x, dtype, domain = made()
    x = x.clamp(-domain, domain)
    assert 0 < exceeds(script, network, x, dtype, domain)[side] <= 1
    without(monkeypatch)
    assert exceeds(script, network, x, dtype, domain)[side] > 1


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_activations_are_within_four_times_their_constants(script, dtype):
    for name, (value, rate) in script("activations").largest(dtype, each=8).items():
        assert 0.2 < value <= arithmetic.VALUES[name] and 0.2 < rate <= arithmetic.RATES[name]


def test_the_bound_grows_with_domain_type_and_weights():
    network = mlp(nn.Softplus(threshold=40), nn.Linear(3, 3), nn.Tanh())
    by_type = [
        rounding_errors(network, (4,), L2, 1.0, dtype)[0]
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    ]
    assert by_type == sorted(by_type) and by_type[0] < 1e-13 < 1e-7 < by_type[1]
    assert rounding_errors(network, (4,), L2, 1.0)[0] == by_type[1]
    by_domain = [rounding_errors(network, (4,), L2, domain)[0] for domain in (0.1, 1, 10, 1e3, 1e6)]
    assert by_domain == sorted(by_domain)


def test_numbers_beyond_the_type_are_refused():
    network = one(300.0, 300.0, unit=nn.ReLU()).half()
    assert not network(torch.full((1, 1), 1.0).half()).isfinite().all()
    with pytest.raises(
        ValueError,
        match=r"^network must keep all numbers within the range of float16 for \|x_i\| <= 1",
    ):
        rounding_errors(network, (1,), L2, 1.0)
    assert rounding_errors(network, (1,), L2, 0.5)[0] < math.inf
    assert rounding_errors(network.bfloat16(), (1,), L2, 1.0)[0] < math.inf
    with pytest.raises(ValueError, match="range of float16"):
        rounding_errors(network.half(), (1,), L2, 1e6)


def test_slopes_of_softplus_beyond_the_type_are_refused():
    network = one(1.0, 1e10, unit=nn.Softplus(threshold=80)).float()
    assert (
        not torch.autograd.functional.jacobian(network, torch.full((1, 1), 79.0)).isfinite().all()
    )
    with pytest.raises(ValueError, match="range of float32"):
        rounding_errors(network, (1,), L2, 80.0)
    assert rounding_errors(network.double(), (1,), L2, 80.0)[1] < 1


def test_other_types_and_looser_products_are_refused():
    with pytest.raises(
        ValueError, match="^dtype must be one of float64, float32, bfloat16, float16"
    ):
        rounding_errors(mlp(nn.ReLU()), (4,), L2, dtype=torch.float8_e4m3fn)
    for domain in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match="^domain must be"):
            rounding_errors(mlp(nn.ReLU()), (4,), L2, domain)
    torch.set_float32_matmul_precision("high")
    try:
        with pytest.raises(ValueError, match="^dtype must be float64 while"):
            lipschitz_score(mlp(nn.ReLU()), (4,), L2)
        assert lipschitz_score(mlp(nn.ReLU()), (4,), L2, dtype=torch.float64).rounding < 1e-12
    finally:
        torch.set_float32_matmul_precision("highest")


# constants of Lipschitz


@pytest.mark.parametrize("norm", [L1, L2, LINF], ids=str)
def test_one_map_has_its_dual_norm_and_positive_weights_are_attained(norm):
    network = nn.Sequential(nn.Linear(5, 1)).double()
    assert lipschitz_constant(network, (5,), norm) == pytest.approx(
        norm.dual(network[0].weight.detach()).item(), rel=1e-12
    )
    network = nn.Sequential(
        nn.Linear(5, 4), nn.LeakyReLU(-2.0), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)
    ).double()
    for layer in (network[0], network[2], network[4]):
        layer.weight.data = layer.weight.data.abs()
    J = 2 * network[4].weight @ network[2].weight @ network[0].weight
    assert lipschitz_constant(network, (5,), norm) == pytest.approx(
        norm.dual(J.detach()).item(), rel=0.2 if norm == L2 else 1e-12
    )


def test_a_pool_of_overlapping_windows_counts_an_input_as_often_as_it_is_the_largest():
    network = image(nn.MaxPool2d(3, 1, padding=1), after=60).double()
    network[2].weight.data.fill_(1.0)
    x = torch.zeros(1, *IMAGE, dtype=torch.float64)
    x[0, 0, 3, 2] = 1.0
    moved = (network(x) - network(0 * x)).item()
    assert moved == pytest.approx(9) and lipschitz_constant(network, IMAGE, L1) == pytest.approx(9)
    assert (
        modules.Pool(nn.MaxPool2d(3, 1), IMAGE).windows == 9
        and modules.Pool(nn.MaxPool2d(3, 2), IMAGE).windows == 4
    )


def test_products_below_the_smallest_number_are_not_lost():
    K = lipschitz_constant(one(1e-200, 1e-200, 1e180, unit=nn.ReLU()), (1,), L2)
    assert 1e-220 <= K <= 1e-100
    tiny = spectra.largest_eigenvalue(np.array([[3e-200, 4e-200]]), np.ones(1) * 1e200)
    assert tiny == pytest.approx(25e-200, rel=1e-12)
    with pytest.raises(ValueError, match="^network must have a Lipschitz constant within float64"):
        lipschitz_constant(one(1e200, 1e200, unit=nn.ReLU()), (1,), L2)


def test_other_norms_are_refused():
    with pytest.raises(ValueError, match="^norm must be L1, L2 or LINF"):
        lipschitz_constant(mlp(nn.ReLU()), (4,), Norm(3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_certificates_of_a_relu_chain_hold_for_what_is_computed_and_not_without_the_allowance(
    dtype,
):
    network = one(1.0, 1 / 3, -1.0, unit=nn.ReLU(), bias=True)
    for place, bias in zip((0, 2, 4), (0.1, 0.0, 1.1), strict=True):
        network[place].bias.data.fill_(bias)
    score = lipschitz_score(network, (1,), L2, domain=4.0, dtype=dtype)
    assert score.dtype == dtype and 0 < score.rounding < 0.2
    x = (
        3.2
        + 0.5
        * torch.linspace(-1, 1, 4001, dtype=torch.float64)[:, None]
        * 40
        * torch.finfo(dtype).eps
    )
    value, false = score.value(x), []
    for share in (score.rounding, 0.0):
        radius = (value.abs() - share * (2 + 3 * value.abs())).clamp(min=0) / score.lipschitz
        near = ((x - x.T).abs() < radius[:, None]) & ((value[:, None] >= 0) != (value[None] >= 0))
        false.append(int(near.any(1).sum()))
    assert false[0] == 0 < false[1]


def test_a_score_of_a_chain_is_a_copy_with_its_domain():
    network = mlp(nn.ReLU())
    score = lipschitz_score(network, (4,), L2, domain=5.0)
    x = torch.ones(1, 4)
    before = score.value(x).item()
    network[2].bias.data.add_(1)
    network[1].register_forward_hook(lambda module, given, output: 0 * output)
    assert score.value(x).item() == before != network(x).item()
    assert (
        isinstance(score, LipschitzScore) and score.domain == 5.0 and score.dtype == torch.float32
    )
    with pytest.raises(ValueError, match="domain"):
        score.value(5.001 * x)


def test_a_chain_that_rounds_too_much_for_its_type_is_refused():
    network = mlp(nn.ReLU()).bfloat16()
    with pytest.raises(
        ValueError, match="^network must be computable in bfloat16 with an error below 1"
    ):
        lipschitz_score(network, (4,), L2, domain=1e4)
    assert lipschitz_score(network, (4,), L2, domain=1.0).rounding < 0.2
    assert lipschitz_score(network, (4,), L2, domain=1e4, dtype=torch.float64).rounding < 1e-10


# convolutions as matrices


@pytest.mark.parametrize(
    "given",
    [
        {"kernel_size": 3},
        {"kernel_size": (2, 5), "padding": (1, 2)},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": (3, 2), "stride": (1, 3), "dilation": (2, 1)},
        {"kernel_size": 4, "padding": "same"},
        {"kernel_size": 2, "padding": "same", "dilation": 3},
        {"kernel_size": 3, "padding": "valid"},
        {"kernel_size": 3, "groups": 2, "padding": 2},
        {"kernel_size": 1, "groups": 2, "stride": 3},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_a_convolution_is_its_sparse_matrix(given):
    module = nn.Conv2d(2, 4, bias=False, **given).double()
    W = written_out(module, (2, 7, 6))
    x = torch.randn(3, 2, 7, 6, dtype=torch.float64, generator=seeded())
    np.testing.assert_allclose(
        (W @ x.flatten(1).numpy().T).T, module(x).detach().flatten(1).numpy(), atol=1e-14
    )


@pytest.fixture(params=["narrow", "wide", "rows"])
def sparse_case(request, monkeypatch):
    """A sparse matrix with weights, below or above the size from which the Lanczos method proposes,
    or with too wide a band."""
    side = {"narrow": 5, "wide": 16, "rows": 16}[request.param]
    if request.param == "rows":
        monkeypatch.setattr(spectra, "BAND", 1)
    torch.manual_seed(2)
    W = written_out(nn.Conv2d(2, 3, 3, padding=1), (2, side, side))
    return (
        W,
        np.random.default_rng(0).random(W.shape[0]),
        1.6 if request.param == "rows" else 1 + 1e-8,
    )


def test_the_bound_of_a_sparse_matrix_is_above_and_close(sparse_case):
    W, D, close = sparse_case
    exact = np.linalg.norm(np.sqrt(D)[:, None] * W.toarray(), 2) ** 2
    assert exact * (1 - 1e-13) <= largest_eigenvalue(W, D) <= exact * close
    assert largest_eigenvalue(W, 0 * D) == 0


@pytest.mark.parametrize("dense", [True, False])
def test_a_proposal_that_is_too_small_does_not_make_the_bound_too_small(
    sparse_case, dense, monkeypatch
):
    W, D, _ = sparse_case
    exact = np.linalg.norm(np.sqrt(D)[:, None] * W.toarray(), 2) ** 2
    true = spectra._proposed
    for share in (0.5, 0.99, 1 - 1e-7):
        monkeypatch.setattr(spectra, "_proposed", lambda A, M, share=share: share * true(A, M))
        assert largest_eigenvalue(W.toarray() if dense else W, D) >= exact


def test_a_large_convolution_is_sparse_with_a_narrow_band():
    torch.manual_seed(0)
    W = written_out(nn.Conv2d(3, 16, 5, 2, 2), (3, 32, 32))
    M = W.T @ W
    order = sparse.csgraph.reverse_cuthill_mckee(sparse.csr_matrix(M), symmetric_mode=True)
    row, column = sparse.coo_array(M[order][:, order]).coords
    assert W.nnz < 0.08 * math.prod(W.shape) and abs(row - column).max() < 0.3 * 3072
    assert largest_eigenvalue(W, np.ones(W.shape[0])) < 10


def test_a_costly_factorisation_is_announced_before_it_begins(caplog):
    spectra._announce(10**5, 500)
    assert not caplog.records
    spectra._announce(10**5, 5000)
    spectra._announce(11_000, 11_000)
    assert ["GiB" in record.message or "rows" in record.message for record in caplog.records] == [
        True,
        True,
    ]


def test_the_copy_in_the_bounds_is_not_the_network():
    network = mlp(nn.Tanh())
    before = copy.deepcopy(network.state_dict())
    lipschitz_constant(network, (4,), L2), rounding_errors(network, (4,), L2, dtype=torch.bfloat16)
    assert all(
        torch.equal(weight, before[name]) and weight.dtype == torch.float32
        for name, weight in network.state_dict().items()
    )
    assert network[0].weight.requires_grad and network.training
