"""The attacker who knows the oracle finds what is known exactly, leaves less than attacks that know
less, and what it finds is true."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from lbrs import (
    L1,
    L2,
    LINF,
    CohenScore,
    LinearScore,
    LipschitzScore,
    LocallyBiased,
    NearestNeighborOracle,
    NormalSmoothing,
    ProbabilityMargin,
    Score,
)
from lbrs.attacks.adaptive import minimal_distance
from lbrs.attacks.cells import cells_around, walls
from lbrs.attacks.nearest import HalfSpaces, cube, nearest_point, projected
from lbrs.attacks.pgd import pgd
from lbrs.attacks.sight import BiasedSight
from lbrs.exact import exact_radii
from lbrs.exact.programs import solve
from lbrs.experiments import data, networks
from lbrs.experiments.configs import ImagesConfig
from lbrs.experiments.images import Bench
from lbrs.experiments.stages import Stages

pytestmark = pytest.mark.usefixtures("one_thread")

NORMS = pytest.mark.parametrize("norm", [L2, LINF], ids=str)


def uniform(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(d, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(d, 8), nn.Tanh(), nn.Linear(8, 1)).double()


def reference(N, d, seed=1):
    labels = np.where(np.arange(N) % 2 == 0, 1, -1)
    return NearestNeighborOracle(uniform(N, d, seed=seed), labels)


BASES = {
    "margin": lambda d: ProbabilityMargin(network(d)),
    "score": lambda d: Score(network(d)),
    "linear": lambda d: LinearScore(uniform(d, seed=5) - 0.5, 0.05),
    "lipschitz": lambda d: LipschitzScore(network(d), 2.0),
}


@NORMS
@pytest.mark.parametrize("alpha", [0.0, 0.05, 0.4])
def test_a_linear_score_is_attacked_at_the_radius_of_theorem_c(norm, alpha):
    d, oracle = 8, reference(10, 8)
    score = BASES["linear"](d)
    x = uniform(40, d)
    model = LocallyBiased(score, oracle, alpha, norm)
    found = minimal_distance(model, x, model.predict(x), steps=40).distance
    exact = exact_radii(score, oracle, alpha, norm, x, box=True).radius
    finite = exact.isfinite()
    assert finite.double().mean() > 0.8 and (found >= exact * (1 - 1e-9)).all()
    close = found[finite] <= exact[finite] * (1 + 1e-3)
    assert close.double().mean() >= 0.97, (found / exact)[finite].sort().values[-5:]


@NORMS
@pytest.mark.parametrize("N", [10, 100])
def test_with_a_huge_alpha_the_attack_finds_the_exact_radius_of_the_nearest_neighbour(norm, N):
    d, oracle = 12, reference(N, 12)
    x = uniform(25, d)
    model = LocallyBiased(ProbabilityMargin(network(d)), oracle, 1e300, norm)
    found = minimal_distance(model, x, model.predict(x), steps=30, cells=64).distance
    flat = LinearScore(torch.ones(d, dtype=torch.float64))
    exact = exact_radii(flat, oracle, 1e300, norm, x, box=True).radius
    assert (found >= exact * (1 - 1e-9)).all()
    assert (found <= exact * (1 + 1e-3)).double().mean() >= 0.95


@NORMS
@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_witnesses_are_points_of_the_box_at_their_distance_with_another_decision(norm, base):
    d = 6
    x, model = uniform(30, d).reshape(30, 2, 3), None
    oracle = NearestNeighborOracle(uniform(9, 2, 3, seed=2), [1, -1, 1, -1, 1, -1, 1, 1, -1])
    score = base(d) if base is not BASES["linear"] else LinearScore(uniform(2, 3, seed=5) - 0.5)
    model = LocallyBiased(score, oracle, 0.2, norm)
    y = torch.where(torch.arange(30) % 5 == 0, -1, 1) * model.predict(x)
    seen = []
    found = minimal_distance(model, x, y, steps=15, cells=3, watch=seen.append)
    assert seen[-1] == 1 and found.witness.shape == x.shape
    assert ((found.distance == 0) == (model.predict(x) != y)).all()
    there = found.distance.isfinite()
    assert there.double().mean() > 0.6
    assert found.witness.min() >= 0 and found.witness.max() <= 1
    assert (model.predict(found.witness[there]) != y[there]).all()
    away = norm((found.witness - x).flatten(1))
    torch.testing.assert_close(away[there], found.distance[there], rtol=1e-12, atol=0)
    assert torch.equal(found.witness[~there], x[~there])
    curve = found.accuracy([0.0, 0.1, 0.2, 0.5, 10.0])
    assert (curve.diff() <= 0).all()
    assert curve[-1] == (~there).double().mean()
    same = minimal_distance(model, x[:0], y[:0])
    assert same.distance.shape == (0,) and same.witness.shape == (0, 2, 3)


def test_what_is_seen_decides_as_the_classifier():
    axis = torch.linspace(0, 1, 15, dtype=torch.float64)
    z, oracle = torch.cartesian_prod(axis, axis), reference(6, 2)
    for base in BASES.values():
        for alpha in (0.0, 0.1, 0.5, 1e300):
            for norm in (L2, LINF):
                model = LocallyBiased(base(2), oracle, alpha, norm)
                seen = BiasedSight(model).look(z)
                assert torch.equal(seen.decision.long(), model.predict(z))
                torch.testing.assert_close(oracle.labels[seen.nearest], oracle.label(z))


def test_more_effort_never_helps_the_defender():
    d, oracle, x = 8, reference(10, 8), uniform(25, 8)
    model = LocallyBiased(ProbabilityMargin(network(d)), oracle, 0.3)
    y = model.predict(x)
    once = minimal_distance(model, x, y, steps=20).distance
    again = minimal_distance(model, x, y, steps=20, restarts=3).distance
    assert (again <= once * (1 + 1e-6)).all()
    longer = minimal_distance(model, x, y, steps=80).distance
    assert (longer <= once * (1 + 1e-3)).double().mean() >= 0.95
    fewer = minimal_distance(model, x, y, steps=20, cells=1).distance
    assert (once <= fewer * (1 + 1e-3)).double().mean() >= 0.95
    shorter = minimal_distance(model, x, y, steps=1, cells=1).distance
    assert shorter.mean() > once.mean()


def test_the_decision_is_looked_at_in_every_step(monkeypatch):
    """What is kept is the nearest of all points seen with another decision."""
    oracle, x = reference(10, 6), uniform(30, 6)
    model = LocallyBiased(ProbabilityMargin(network(6)), oracle, 0.0)
    y, least = model.predict(x), torch.full((30,), torch.inf, dtype=torch.float64)
    look = BiasedSight.look

    def watched(self, z):
        seen = look(self, z)
        least.copy_(torch.where(seen.decision != y, torch.minimum(least, L2(z - x)), least))
        return seen

    monkeypatch.setattr(BiasedSight, "look", watched)
    monkeypatch.setattr("lbrs.attacks.pursuit.ROUNDS", 0)
    found = minimal_distance(model, x, y, steps=20).distance
    torch.testing.assert_close(found, least, rtol=2e-7, atol=0)
    assert found.isfinite().any()


@pytest.fixture(scope="module")
def digits():
    task = data.images("digits", 0, test_points=60)
    made = networks.cnn(task.shape, (8, 16, 16), generator=torch.Generator().manual_seed(0))
    order = torch.Generator().manual_seed(1)
    networks.train(made, task.train_x, task.train_y, epochs=30, generator=order)
    oracle = NearestNeighborOracle(task.reference_x, task.reference_y)
    return task, ProbabilityMargin(made.eval().requires_grad_(False)), oracle


@NORMS
def test_without_a_bias_it_is_as_strong_as_pgd_with_many_steps_and_starts(digits, norm):
    task, base, oracle = digits
    model = LocallyBiased(base, oracle, 0.0, norm)
    found = minimal_distance(model, task.test_x, task.test_y)
    assert found.distance.isfinite().all()
    for radius in (0.2, 0.4) if norm == L2 else (0.03, 0.08):
        right = torch.ones(60, dtype=torch.bool)
        for turn in range(3):
            start = torch.Generator().manual_seed(turn) if turn else None
            given = task.test_x, task.test_y, radius, norm
            attacked = pgd(base.function, *given, steps=100, start=start)
            right &= model.predict(attacked) == task.test_y
        assert found.accuracy([radius]).item() <= right.double().mean() + 0.017


@NORMS
def test_it_leaves_less_than_the_transferred_attack_and_no_point_in_the_end(digits, norm):
    task, base, oracle = digits
    model = LocallyBiased(base, oracle, 3.0, norm)
    found = minimal_distance(model, task.test_x, task.test_y)
    assert found.accuracy([100.0]) == 0
    radius = 0.6 if norm == L2 else 0.12
    attacked = pgd(base.function, task.test_x, task.test_y, radius, norm)
    transfer = (model.predict(attacked) == task.test_y).double().mean()
    assert found.accuracy([radius]) < transfer - 0.1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("name", "norm"),
    [
        *((name, norm) for name in ("APGD", "HopSkipJump", "foolbox PGD") for norm in (L2, LINF)),
        ("Square", LINF),
    ],
)
def test_no_third_party_attack_leaves_less(digits, norm, name):
    """On the wrapped classifier. DLR, of AutoAttack, is not defined for two classes, and Square of
    ART divides 0 by 0 in l2 on images of 8 x 8."""
    from art.attacks import evasion
    from art.estimators.classification import PyTorchClassifier

    task, base, oracle = digits
    model = LocallyBiased(base, oracle, 3.0, norm)
    x, y = task.test_x, task.test_y
    radius, order = (0.5, 2) if norm == L2 else (0.1, np.inf)
    target = ((y + 1) / 2).long()
    torch.manual_seed(0)
    np.random.seed(0)
    if name == "foolbox PGD":
        import foolbox

        wrapped = foolbox.PyTorchModel(model.as_module().eval(), bounds=(0, 1), device="cpu")
        attack = foolbox.attacks.L2PGD if norm == L2 else foolbox.attacks.LinfPGD
        _, attacked, _ = attack(steps=50)(wrapped, x, target, epsilons=radius)
    else:
        loss = nn.CrossEntropyLoss()
        wrapped = PyTorchClassifier(
            model.as_module(), loss, task.shape, 2, clip_values=(0.0, 1.0), device_type="cpu"
        )
        quiet = {"verbose": False}
        attack = {
            "APGD": lambda: evasion.AutoProjectedGradientDescent(
                wrapped, order, eps=radius, eps_step=radius / 4, max_iter=30, nb_random_init=2,
                **quiet,
            ),
            "Square": lambda: evasion.SquareAttack(
                wrapped, norm=order, eps=radius, max_iter=300, nb_restarts=1, **quiet
            ),
            "HopSkipJump": lambda: evasion.HopSkipJump(
                wrapped, norm=order, max_iter=10, max_eval=300, init_eval=10, **quiet
            ),
        }[name]()  # fmt: skip
        attacked = torch.from_numpy(attack.generate(x.numpy(), target.numpy()))
    inside = norm((attacked - x).flatten(1)) <= radius * (1 + 1e-5)
    left = ((model.predict(attacked) == y) | ~inside) & (model.predict(x) == y)
    found = minimal_distance(model, x, y)
    assert found.accuracy([radius]).item() <= left.double().mean().item() + 0.002


@pytest.mark.slow
@pytest.mark.images
def test_on_mnist_it_leaves_what_was_measured_first_or_less(mnist, tmp_path):
    """300 test images of seed 0, alpha = 10: at most .02 more than the first measurements."""
    config = ImagesConfig(dataset="mnist")
    task = data.images("mnist", 0, test_points=config.test_points)
    bench = Bench(config, task, 0, torch.device("cpu"), Stages(tmp_path, ["mnist"], "mnist"))
    base = ProbabilityMargin(bench.network)
    x, y = task.test_x[:300], task.test_y[:300]
    oracle = NearestNeighborOracle(task.reference_x, task.reference_y)
    for norm, most in (
        (L2, {0.5: 0.777, 1.0: 0.567, 2.0: 0.083}),
        (LINF, {0.1: 0.437, 0.2: 0.003}),
    ):
        model = LocallyBiased(base, oracle, 10.0, norm)
        left = minimal_distance(model, x, y).accuracy(most)
        assert (left <= torch.tensor(list(most.values())) + 0.02).all(), left


def test_normal_smoothing_of_a_linear_logit_is_attacked_at_its_half_space():
    a = uniform(5, seed=7) - 0.5
    base = ProbabilityMargin(lambda x: 6 * (x.double() - 0.5) @ a)
    model = NormalSmoothing(base, 0.2, 2000, torch.Generator().manual_seed(0))
    x = 0.5 + 0.2 * (uniform(20, 5) - 0.5)
    exact = ((x - 0.5) @ a).abs() / a.norm()
    y = torch.sign((x - 0.5) @ a)
    found = minimal_distance(model, x, y, steps=20, draws=64).distance
    there = exact > 0.02
    assert (found[there] / exact[there]).median() < 1.3 and (found >= 0).all()
    assert (found[there] > 0.6 * exact[there]).double().mean() > 0.8


@NORMS
@pytest.mark.parametrize("m", [1, 3, 6])
def test_the_nearest_point_is_that_of_an_exact_solver(norm, m):
    n, d = 12, 15
    P, x = uniform(n, m + 1, d, seed=m), uniform(n, d, seed=9)
    H, h = P[:, :1] - P[:, 1:], 0.3 * uniform(n, m, seed=4)
    sides, box = HalfSpaces.scaled(H, h), (-x, 1 - x)
    found, lam = nearest_point(sides, box, norm, sides.none(), 100)
    exact = [
        solve(H.numpy(), h.numpy(), (low.numpy(), high.numpy()), norm.p)[1]
        for H, h, low, high in zip(sides.H, sides.h, *box, strict=True)
    ]
    there = [place for place, point in enumerate(exact) if point is not None]
    best = norm(torch.stack([torch.from_numpy(exact[place]) for place in there]))
    torch.testing.assert_close(
        norm(found[there]), best, rtol=0.1 if norm == LINF else 1e-6, atol=1e-9
    )
    assert (lam >= 0).all() and (found >= box[0]).all() and (found <= box[1]).all()
    if norm == L2:
        assert sides.short(found)[there].max() < 1e-6


@NORMS
def test_a_projection_lies_in_box_and_cell_and_where_these_allow_in_the_ball(norm):
    n, d = 20, 6
    x, w = uniform(n, d, seed=1), uniform(n, d, seed=2) - 0.5
    sides, box = (
        HalfSpaces.scaled(uniform(n, 2, d, seed=3) - 0.5, -0.1 * uniform(n, 2)),
        (-x, 1 - x),
    )
    radius = torch.full((n, 1), 0.2, dtype=torch.float64)
    found, _ = projected(w, sides, box, radius, norm, sides.none(), 100)
    assert (found >= box[0]).all() and (found <= box[1]).all()
    assert sides.short(found).max() < 1e-6 and norm(found).max() < 0.2 * 1.2
    free = HalfSpaces(sides.H[:, :0], sides.h[:, :0])
    found, _ = projected(w, free, box, radius, norm, free.none(), 5)
    assert norm(found).max() <= 0.2 * (1 + 1e-12)


def test_the_least_cube_reaches_its_half_space():
    q, box = uniform(30, 7) - 0.5, (-uniform(30, 7, seed=2), uniform(30, 7, seed=3))
    c = 0.3 * uniform(30, 1, seed=4)
    t = cube(q, c, box)
    most = torch.where(q > 0, torch.minimum(box[1], t), torch.maximum(box[0], -t))
    reached = (q * most).sum(1, keepdim=True)
    can = (q * torch.where(q > 0, box[1], box[0])).sum(1, keepdim=True) >= c
    assert can.any()
    torch.testing.assert_close(reached[can], c[can], rtol=1e-10, atol=1e-12)


@NORMS
def test_bounds_of_cells_are_below_their_distances_and_walls_hold_their_centers(norm):
    oracle, x = reference(20, 5), uniform(10, 5)
    y = oracle.label(x)
    found = cells_around(oracle, x, y, norm)
    flat = LinearScore(torch.ones(5, dtype=torch.float64))
    exact = exact_radii(flat, oracle, 1e300, norm, x).radius
    assert (found.bound[:, 0] <= exact * (1 + 1e-12)).all()
    assert (found.bound[:, 0] > exact * 0.4).double().mean() > 0.9
    assert (found.bound.diff(dim=1) >= 0).all()
    assert (oracle.labels[found.center] != y[:, None]).all()
    assert (oracle.labels[found.rivals] == y[:, None, None]).all()
    for rank in range(3):
        sides = walls(oracle.points, x, found.center[:, rank], found.rivals[:, rank])
        assert (sides.short(oracle.points[found.center[:, rank]] - x) <= 1e-12).all()
        assert (sides.short(oracle.points[found.rivals[:, rank, 0]] - x)[:, 0] > 0).all()


@pytest.mark.parametrize(
    ("argument", "change"),
    [
        ("model", {"model": 3}),
        ("model", {"model": lambda m: LocallyBiased(m.base, reference(4, 2), 1.0, L1)}),
        ("norm", {"norm": L1}),
        ("x", {"x": [[2.0, 0.0]]}),
        ("y", {"y": [0.0]}),
        ("steps", {"steps": 0}),
        ("restarts", {"restarts": 0}),
        ("cells", {"cells": -1}),
        ("draws", {"draws": 0}),
        ("seed", {"seed": -1}),
    ],
)
def test_a_bad_argument_is_refused_by_name(argument, change):
    model = LocallyBiased(LinearScore([1.0, 0.0]), reference(4, 2), 1.0)
    given = {"model": model, "x": [[0.5, 0.5]], "y": [1.0], **change}
    if callable(given["model"]):
        given["model"], argument = given["model"](model), "norm"
    with pytest.raises((ValueError, TypeError)) as caught:
        minimal_distance(**given)
    assert re.match(rf"{argument}\b", str(caught.value)), caught.value


def test_what_has_no_gradient_or_another_oracle_is_refused():
    for model in (
        LocallyBiased(CohenScore(network(2), 0.1, 50), reference(4, 2), 1.0),
        LocallyBiased(
            LinearScore([1.0, 0.0]), NearestNeighborOracle(uniform(5, 2), [1, 1, -1, -1, 1], 3), 1.0
        ),
    ):
        with pytest.raises(ValueError, match="^model must have"):
            minimal_distance(model, [[0.5, 0.5]], [1])
