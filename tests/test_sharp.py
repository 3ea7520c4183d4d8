"""The sharp bounds: against brute force, in order with the paper's, best possible where they claim
to be, and safe from rounding."""

from functools import partial

import numpy as np
import pytest
import torch

from lbrs import L1, L2, LINF, LinearScore, LocallyBiased, NearestNeighborOracle, Score
from lbrs.certificates import radius_against, radius_along, theorem8, theorem_e, theorem_h

pytestmark = pytest.mark.usefixtures("one_thread")

INF = torch.tensor(torch.inf, dtype=torch.float64)


def theorem_k(x, points, labels, norm, k):
    """Theorems A (k = 1) and K at one point, as stated."""
    rho, quorum = np.linalg.norm(x - points, axis=1), (k + 1) // 2
    label = np.sign(labels[np.argsort(rho, kind="stable")[:k]].sum())
    same, other = np.flatnonzero(labels == label), np.flatnonzero(labels == -label)
    betas = []
    for j in other:
        gaps = np.array([np.linalg.norm(points[i] - points[j], norm.dual.p) for i in same])
        b = [
            max((rho[j] ** 2 - rho[i] ** 2) / (2 * gap), 0) if gap > 0 else 0
            for i, gap in zip(same, gaps, strict=True)
        ]
        betas.append(sorted(b)[-quorum])
    return sorted(betas)[quorum - 1] if len(betas) >= quorum else np.inf


@pytest.mark.parametrize("k", [1, 3, 5])
def test_neighbour_radius_is_that_of_theorems_a_and_k_from_below(norm, k):
    rng = np.random.default_rng(k)
    for trial in range(60):
        N, d = int(rng.integers(k, 25)), int(rng.integers(1, 6))
        points = (
            rng.normal(size=(N, d)) if trial % 2 else rng.integers(-2, 3, size=(N, d)).astype(float)
        )
        labels, x = rng.choice([-1.0, 1.0], N), rng.normal(size=(8, d))
        radius = NearestNeighborOracle(points, labels, k).radius(x, norm).numpy()
        expected = np.array([theorem_k(z, points, labels, norm, k) for z in x])
        assert (radius <= expected * (1 + 1e-12) + 1e-14).all()
        np.testing.assert_allclose(radius, expected, rtol=1e-9, atol=1e-12)


def test_the_example_of_wang_et_al_has_the_bisector_radius():
    oracle = NearestNeighborOracle([[0.5, 0.5], [1.0, 0.5], [0.0, 1.0]], [1, 1, -1])
    torch.testing.assert_close(
        oracle.radius([[0.0, 0.0]], L2),
        torch.tensor([0.5**1.5], dtype=torch.float64),
        rtol=1e-12,
        atol=0,
    )


@pytest.mark.parametrize(
    ("k", "allowed"),
    [(2, "odd"), (4, "odd"), (0, "k must"), (5, "at most the number of points 4"), (1.0, "k must")],
)
def test_an_even_or_too_large_k_is_refused(k, allowed):
    with pytest.raises((ValueError, TypeError), match=allowed):
        NearestNeighborOracle(np.eye(4), [1, 1, -1, -1], k)


def test_the_paper_has_no_radius_for_several_neighbours():
    with pytest.raises(ValueError, match="bound must be 'sharp' for k = 3"):
        NearestNeighborOracle(np.eye(4), [1, 1, -1, -1], 3).radius(np.eye(4), L2, "paper")


@pytest.mark.parametrize("k", [3, 5])
def test_no_point_of_the_ball_changes_the_majority(draw, rng, norm, k):
    points, labels, x = draw(30, 3, 60)
    oracle = NearestNeighborOracle(points, labels, k)
    radius, label = oracle.radius(x, norm), oracle.label(x)
    for _ in range(80):
        direction = torch.from_numpy(rng.normal(size=x.shape))
        for j in rng.integers(0, 30, 2):
            toward = norm.maximizer(torch.from_numpy(points[j] - x))
            for step in (direction / norm(direction)[:, None], toward):
                z = torch.from_numpy(x) + (radius * (1 - 1e-12))[:, None] * step
                assert torch.equal(oracle.label(z), label)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 2.0, 50.0])
def test_linear_radii_are_not_below_those_of_the_paper_and_at_alpha_zero_are_those_of_the_base(
    draw, rng, norm, alpha
):
    better = 0
    for N in (1, 2, 5, 12):
        points, labels, x = draw(N, 3, 100)
        score = LinearScore(rng.normal(size=3), rng.normal())
        model = LocallyBiased(score, NearestNeighborOracle(points, labels), alpha, norm)
        paper, sharp = model.certify(x, bound="paper"), model.certify(x)
        assert sharp.source == "Theorem B" and torch.equal(sharp.prediction, paper.prediction)
        assert (sharp.radius >= paper.radius).all()
        better += int((sharp.radius > paper.radius * (1 + 1e-6)).sum())
        if alpha == 0:
            torch.testing.assert_close(
                sharp.radius, score.value(x).abs() / norm.dual(score.weight), rtol=1e-10, atol=1e-13
            )
    assert better > 0 or alpha == 50


def test_where_the_base_overrules_the_oracle_the_neighbours_do_not_matter():
    R, nb = (
        torch.tensor([3.0, 3.0, 3.0, 3.0], dtype=torch.float64),
        torch.tensor([0.1, 0.1, 2.5, 9.0], dtype=torch.float64),
    )
    agrees = torch.tensor([False, True, True, True])
    assert theorem_h(R, agrees, nb, 1.0).tolist() == [2.0, 2.0, 2.5, 4.0]
    assert theorem_h(R, agrees, nb, 0.0).tolist() == [3.0] * 4
    assert theorem_h(-R, agrees, nb, 1.0).tolist() == [0.0] * 4


def cases(n=400, seed=0):
    rng = np.random.default_rng(seed)
    v, G = (
        torch.tensor(rng.normal(size=n) * 10 ** rng.uniform(-2, 2, n)),
        torch.tensor(rng.uniform(0, 1, n) * 10 ** rng.uniform(-2, 1, n)),
    )
    return v, G, 10 ** rng.uniform(-2, 1, n), 10 ** rng.uniform(-2, 1, n)


def psi(t, v, G, alpha, L, side):
    """(E1) plus or minus alpha nu, minimised over nu by brute force."""
    low, high = (G - L * t).clamp(min=0), G + L * t
    nu = torch.cat(
        [
            low + (high - low) * s
            for s in torch.linspace(0, 1, 4001, dtype=torch.float64)[None].split(500, 1)
        ],
        -1,
    )
    return (v - L * t**2 / 4 - t / 2 * (G + nu) + (nu - G) ** 2 / (4 * L) + side * alpha * nu).amin(
        -1
    )


def test_closed_roots_are_the_roots_of_the_brute_force_minimum():
    for v, G, alpha, L in zip(*cases(), strict=True):
        v, G = v[None, None], G[None, None]
        for side, root in ((1, radius_along), (-1, radius_against)):
            r = root(v[0], G[0], alpha, L)
            if (v + side * alpha * G).item() <= 0:
                assert r.item() == 0
                continue
            scale = v.abs() + alpha * G + 1e-3
            assert (psi(r[:, None], v, G, alpha, L, side).abs() / scale).max() < 1e-5
            assert psi(0.999 * r[:, None], v, G, alpha, L, side).min() > 0


@pytest.mark.parametrize("agrees", [True, False])
def test_theorem_e_is_never_below_theorem_8_and_often_above(agrees):
    side, above = 1 if agrees else -1, 0
    for v, G, alpha, L in zip(*cases(), strict=True):
        v, G = v[None], G[None]
        paper = theorem8((v + side * alpha * G).clamp(min=0), G, INF[None], alpha, L)
        best = theorem_e(v, G, torch.tensor([agrees]), INF[None], alpha, L)
        assert (best >= paper * (1 - 1e-12)).all()
        above += int((best > 1.01 * paper).sum())
    assert above > 100


@pytest.mark.parametrize("agrees", [True, False])
def test_theorem_e_becomes_theorem_b_as_the_constant_vanishes(agrees):
    v, G = cases()[:2]
    v, G, agree, nb = (
        v.clamp(-3, 3),
        G + 0.1,
        torch.full((400,), agrees),
        torch.full((400,), 0.7, dtype=torch.float64),
    )
    expected = theorem_h(v / G, agree, nb, 0.5)
    errors = [
        (theorem_e(v, G, agree, nb, 0.5, L) - expected).abs().max().item()
        for L in (1e-4, 1e-6, 1e-8, 1e-10, 0.0)
    ]
    assert errors == sorted(errors, reverse=True) and errors[3] < 1e-6 and errors[4] < 1e-12


def ridge(z, v, G, L):
    return v - G * z[:, 0] - L / 2 * z[:, 0] ** 2 * torch.where(z[:, 0] > 0, 1.0, 0.0)


@pytest.mark.parametrize("alpha", [0.0, 0.4, 3.0])
def test_against_is_attained_by_a_ridge_function_with_this_constant(alpha):
    """g(z) = h(z) with h'(t) falling with slope -L: the classifier does change at the stated
    radius, for every v, G, L."""
    for v, G, L in ((2.0, 1.0, 0.5), (5.0, 0.2, 3.0), (9.0, 2.0, 0.01)):
        score = Score(partial(ridge, v=v, G=G, L=L))
        value, slope = torch.tensor([[v], [G]], dtype=torch.float64)
        r = radius_against(value, slope, alpha, L).item()
        oracle = NearestNeighborOracle([[0.0]], [-1])
        model = LocallyBiased(score, oracle, alpha)
        if v - alpha * G > 0:
            assert model.predict([[0.0], [r * (1 - 1e-9)]]).tolist() == [1, 1]
            assert model.predict([[r * (1 + 1e-9)]]).item() == -1


def rounding_attack(score, oracle, x, radius, dtype, rng, tries=100):
    """For each row, whether some floating-point point strictly inside the ball, near its point
    closest to the boundary, is classified otherwise."""
    model = LocallyBiased(score, oracle, 0.0)
    direction = score.weight / torch.linalg.vector_norm(score.weight)
    start, limit = (v.numpy().astype(np.longdouble) for v in (x, radius))
    prediction, found = model.predict(x), torch.zeros(len(x), dtype=torch.bool)
    for number in range(tries):
        short = torch.from_numpy(1 - rng.choice([0, 1, 2, 4], len(x)) * 2.0**-53)
        z = (x.double() - (prediction * radius * short)[:, None] * direction).to(dtype)
        if number % 2:
            way = torch.where(torch.from_numpy(rng.random(z.shape)) < 0.5, -torch.inf, torch.inf)
            z = torch.nextafter(z, way.to(z))
        length = np.sqrt(((z.numpy().astype(np.longdouble) - start) ** 2).sum(1))
        found |= (model.predict(z) != prediction) & torch.from_numpy(length < limit)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_no_rounding_attack_succeeds_while_the_naive_radius_falls(dtype, rng):
    naive_falls = sharp_falls = paper_falls = 0
    for _ in range(40):
        d = int(rng.integers(2, 12))
        score = LinearScore(rng.normal(size=d), rng.normal())
        oracle = NearestNeighborOracle(np.zeros((1, d)), [1])
        x = torch.from_numpy(rng.normal(size=(100, d))).to(dtype)
        naive = score.value(x).abs() / L2(score.weight)
        if dtype == torch.float32:
            weight = score.weight.float()
            value = x @ weight + torch.tensor(score.bias, dtype=dtype)
            naive = (value.abs() / torch.linalg.vector_norm(weight)).double()
        model = LocallyBiased(score, oracle, 0.0)
        sharp, paper = (model.certify(x, bound=bound).radius for bound in ("sharp", "paper"))
        naive_falls += int(rounding_attack(score, oracle, x, naive, dtype, rng).sum())
        sharp_falls += int(rounding_attack(score, oracle, x, sharp, dtype, rng, 50).sum())
        paper_falls += int(rounding_attack(score, oracle, x, paper, dtype, rng, 50).sum())
    assert sharp_falls == paper_falls == 0
    assert naive_falls > (1_800 if dtype == torch.float64 else 1_500)


@pytest.mark.parametrize("attacked", [L1, L2, LINF], ids=str)
def test_exact_radii_are_not_below_sharp_ones_and_those_not_below_the_papers(draw, rng, attacked):
    larger = 0
    for N in (1, 2, 6):
        points, labels, x = draw(N, 3, 12)
        score, oracle = LinearScore(rng.normal(size=3), 0.1), NearestNeighborOracle(points, labels)
        model = LocallyBiased(score, oracle, 0.4, attacked)
        bounds = "paper", "sharp", "exact"
        paper, sharp, exact = (model.certify(x, bound=bound) for bound in bounds)
        assert exact.source == "Theorem C" and torch.equal(exact.prediction, sharp.prediction)
        assert (exact.radius >= sharp.radius).all() and (sharp.radius >= paper.radius).all()
        larger += int((exact.radius > sharp.radius * (1 + 1e-6)).sum())
    assert larger > 0


def test_exact_radii_need_a_linear_score():
    with pytest.raises(ValueError, match="LinearScore"):
        LocallyBiased(
            Score(lambda z: z.sin().sum(1), 1.0), NearestNeighborOracle(np.eye(2), [1, -1]), 0.4
        ).certify(np.eye(2), bound="exact")
