"""Several classes (Theorem M): two are Theorem H, linear scores are Theorem B, and attacks."""

import math
import re
from itertools import product

import numpy as np
import pytest
import torch

from lbrs import (
    L1,
    L2,
    LINF,
    AffineScores,
    Certificate,
    ClassOracle,
    ClassScores,
    LinearScore,
    LipschitzScore,
    LocallyBiased,
    MulticlassLocallyBiased,
    NearestNeighborOracle,
    verify,
)
from lbrs.certificates import theorem_h, theorem_m

ALPHAS = [0.0, 0.4, 3.0]


@pytest.fixture(params=[L1, L2, LINF], ids=str)
def norm(request):
    return request.param


@pytest.fixture
def task(rng):
    """task(N, C, d, n): points, classes of which all occur if N >= C, and n points."""

    def task(N, C, d, n):
        labels = rng.permutation(np.r_[np.arange(C), rng.integers(0, C, max(0, N - C))][:N])
        return rng.normal(size=(N, d)), labels, rng.normal(size=(n, d))

    return task


def classifier(function, lipschitz, points, labels, alpha, norm=L2, **options):
    scores, oracle = ClassScores(function, lipschitz, **options), ClassOracle(points, labels)
    return MulticlassLocallyBiased(scores, oracle, alpha, norm)


def affine(weight, bias, points, labels, alpha, norm=L2):
    oracle = ClassOracle(points, labels)
    return MulticlassLocallyBiased(AffineScores(weight, bias), oracle, alpha, norm)


def pieces(rng, C, d, norm, bend=torch.relu):
    """h = A bend(W x + b) with |bend'| <= 1: the constants sum_k |A_sk - A_ck| ||w_k||_* of the
    differences."""
    w, b, a = (torch.from_numpy(rng.normal(size=size)) for size in ((5, d), 5, (C, 5)))
    return lambda x: bend(x @ w.T + b) @ a.T, ((a[:, None] - a).abs() * norm.dual(w)).sum(-1)


def literal(h, k, nb, alpha, K, pairs=None):
    """Theorem M at one point, as stated."""
    C = len(h)
    s = int(np.argmax(h + alpha * K * (np.arange(C) == k)))
    best = math.inf
    for other in range(C):
        reach = min(
            (h[s] - h[c] + alpha * K * ((s == other) - (c == other)))
            / (K if pairs is None else pairs[s, c])
            for c in range(C)
            if c != s
        )
        best = min(best, max(0 if other == k else max(0, nb[other]), reach))
    return max(best, 0)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("single", [False, True])
def test_theorem_m_is_the_formula(rng, alpha, single):
    for C in (2, 3, 6):
        h, nb, k = (
            rng.normal(size=(100, C)),
            rng.exponential(size=(100, C)),
            rng.integers(0, C, 100),
        )
        pairs = rng.uniform(0.2, 1.3, (C, C))
        pairs = np.maximum(pairs, pairs.T) if single else None
        found = theorem_m(
            *(torch.from_numpy(v) for v in (h, k, nb)),
            alpha,
            1.3,
            None if pairs is None else torch.from_numpy(pairs),
        )
        np.testing.assert_allclose(
            found,
            [literal(h[i], k[i], nb[i], alpha, 1.3, pairs) for i in range(100)],
            rtol=1e-12,
            atol=1e-14,
        )


@pytest.mark.parametrize("alpha", ALPHAS)
def test_two_classes_are_theorem_h(rng, alpha):
    h, nb, k, K = (
        torch.from_numpy(rng.normal(size=(300, 2))),
        torch.from_numpy(rng.exponential(size=300)),
        torch.from_numpy(rng.integers(0, 2, 300)),
        0.7,
    )
    difference, label = h[:, 1] - h[:, 0], 2.0 * k - 1
    s = torch.where(difference + alpha * K * label > 0, 1.0, -1.0)
    expected = theorem_h(s * difference / K, s == label, nb, alpha)
    torch.testing.assert_close(
        theorem_m(h, k, nb[:, None].expand(300, 2), alpha, K), expected, rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("alpha", ALPHAS)
def test_two_classes_are_the_binary_classifier(task, rng, norm, alpha):
    points, labels, x = task(9, 2, 3, 60)
    function, pairs = pieces(rng, 2, 3, norm, torch.abs)
    K = pairs.max().item()
    several = classifier(function, K, points, labels, alpha, norm).certify(x)
    binary = LocallyBiased(
        LipschitzScore(lambda z: function(z)[:, 1] - function(z)[:, 0], K),
        NearestNeighborOracle(points, 2 * labels - 1),
        alpha,
        norm,
    ).certify(x)
    assert torch.equal(2 * several.prediction - 1, binary.prediction)
    torch.testing.assert_close(several.radius, binary.radius, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_two_affine_scores_are_theorem_b(task, rng, norm, alpha):
    points, labels, x = task(9, 2, 3, 60)
    weight, bias = rng.normal(size=(2, 3)), rng.normal(size=2)
    several = affine(weight, bias, points, labels, alpha, norm).certify(x)
    binary = LocallyBiased(
        LinearScore(weight[1] - weight[0], bias[1] - bias[0]),
        NearestNeighborOracle(points, 2 * labels - 1),
        alpha,
        norm,
    ).certify(x)
    assert torch.equal(2 * several.prediction - 1, binary.prediction)
    torch.testing.assert_close(several.radius, binary.radius, rtol=1e-7, atol=1e-8)


def test_neighbour_radii_are_the_formula(task, norm):
    for N, C in ((5, 3), (14, 4), (2, 4)):
        points, labels, x = task(N, C, 2, 30)
        oracle = ClassOracle(points, labels)
        found, nearest = oracle.radii(x, norm, C), oracle.label(x)
        for i, z in enumerate(x):
            rho = np.linalg.norm(z - points, axis=1)
            assert nearest[i] == labels[rho.argmin()]
            for c in range(C):
                inside, outside = np.flatnonzero(labels == c), np.flatnonzero(labels != c)
                b = (
                    [
                        max(
                            (rho[j] ** 2 - rho[k] ** 2)
                            / (2 * np.linalg.norm(points[k] - points[j], norm.dual.p))
                            for k in outside
                        )
                        for j in inside
                    ]
                    if len(outside)
                    else [0]
                )
                expected = 0 if nearest[i] == c else max(0, min(b, default=math.inf))
                assert found[i, c].item() == pytest.approx(expected, rel=1e-9, abs=1e-12) and found[
                    i, c
                ] <= expected * (1 + 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("C", [2, 5])
def test_no_attack_breaks_a_certificate(task, rng, norm, alpha, C):
    positive = 0
    for linear, single in product((False, True), (False, True)):
        points, labels, x = task(3 * C, C, 3, 8)
        function, pairs = pieces(rng, C, 3, norm)
        if linear:
            model = affine(rng.normal(size=(C, 3)), rng.normal(size=C), points, labels, alpha, norm)
        else:
            model = classifier(
                function, pairs if single else pairs.max().item(), points, labels, alpha, norm
            )
        certificate = model.certify(x)
        assert (
            torch.equal(certificate.prediction, model.predict(x))
            and certificate.source == "Theorem M"
        )
        result = verify(model, x, certificate, probes=4, generator=torch.Generator().manual_seed(0))
        assert result.holds and torch.isfinite(result.distance).any()
        positive += int((certificate.radius > 1e-3).sum())
    assert positive > 12


def test_an_understated_constant_is_found_by_the_attack(task, rng):
    points, labels, x = task(8, 4, 3, 60)
    function, pairs = pieces(rng, 4, 3, L2)
    model = classifier(function, pairs / 10, points, labels, 0.0)
    assert verify(model, x, model.certify(x)).broken.any()


@pytest.mark.parametrize("alpha", ALPHAS)
def test_single_constants_give_no_smaller_radii(task, rng, norm, alpha):
    points, labels, x = task(12, 4, 3, 80)
    function, pairs = pieces(rng, 4, 3, norm)
    one, single = (
        classifier(function, given, points, labels, alpha, norm).certify(x)
        for given in (pairs.max().item(), pairs)
    )
    assert torch.equal(one.prediction, single.prediction)
    assert (single.radius >= one.radius * (1 - 1e-12)).all() and (
        alpha == 3 or (single.radius > 1.01 * one.radius).any()
    )


def test_alpha_zero_is_the_argmax_and_a_large_alpha_the_nearest_neighbour(task, rng):
    points, labels, x = task(12, 4, 3, 80)
    function, pairs = pieces(rng, 4, 3, L2)
    base, nearest = (classifier(function, pairs, points, labels, alpha) for alpha in (0.0, 1e8))
    assert torch.equal(base.predict(x), function(torch.from_numpy(x)).argmax(1).double())
    assert torch.equal(nearest.predict(x), ClassOracle(points, labels).label(x)) and torch.equal(
        base.score(x), function(torch.from_numpy(x))
    )
    neighbors = nearest.oracle.radii(x, L2, 4)
    rows = torch.arange(4) != nearest.predict(x)[:, None]
    torch.testing.assert_close(
        nearest.certify(x).radius,
        torch.where(rows, neighbors, torch.inf).amin(1),
        rtol=1e-9,
        atol=1e-12,
    )


def test_permuted_classes_are_permuted_predictions_with_the_same_radius(task, rng):
    points, labels, x = task(12, 4, 3, 50)
    function, pairs = pieces(rng, 4, 3, L2)
    order = torch.tensor([2, 0, 3, 1])
    there, back = classifier(function, pairs, points, labels, 0.4), order.argsort()
    moved = classifier(
        lambda z: function(z)[:, order],
        pairs[order][:, order],
        points,
        back[torch.from_numpy(labels)],
        0.4,
    )
    assert torch.equal(order[moved.predict(x).long()].double(), there.predict(x))
    torch.testing.assert_close(
        moved.certify(x).radius, there.certify(x).radius, rtol=1e-12, atol=1e-14
    )


def test_a_common_part_of_all_scores_does_not_matter(task, rng):
    points, labels, x = task(9, 3, 2, 40)
    function, pairs = pieces(rng, 3, 2, L2)
    plain, shifted = (
        classifier(f, pairs, points, labels, 0.3)
        for f in (function, lambda z: function(z) + 100 * z.square().sum(1, keepdim=True))
    )
    assert torch.equal(plain.predict(x), shifted.predict(x))
    torch.testing.assert_close(
        plain.certify(x).radius, shifted.certify(x).radius, rtol=1e-9, atol=1e-9
    )


def test_a_tie_goes_to_the_first_class_with_radius_zero():
    model = classifier(
        lambda z: torch.stack([z[:, 0], z[:, 0], 0 * z[:, 0]], 1), 1.0, [[0.0], [9.0]], [2, 0], 0.0
    )
    certificate = model.certify([[1.0], [-1.0]])
    assert (
        certificate.prediction.tolist() == [0, 2]
        and certificate.radius[0] == 0
        and certificate.radius[1] > 0.9
    )
    assert (
        theorem_m(
            torch.zeros(1, 3, dtype=torch.float64),
            torch.tensor([1]),
            torch.ones(1, 3, dtype=torch.float64),
            0.0,
            0.0,
        ).item()
        == 0
    )


def test_a_class_without_reference_points_is_never_the_nearest(rng):
    points, x = rng.normal(size=(5, 2)), rng.normal(size=(10, 2))
    radii = ClassOracle(points, [0, 0, 2, 2, 2]).radii(x, L2, 4)
    assert torch.isinf(radii[:, [1, 3]]).all() and torch.isfinite(radii[:, [0, 2]]).all()
    one = ClassOracle(points, [1] * 5).radii(x, L2, 2)
    assert (one[:, 1] == 0).all() and torch.isinf(one[:, 0]).all()


def test_images_and_modules_are_classified(rng):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3)).eval()
    x = rng.random(size=(6, 3, 2, 2))
    weight = network[1].weight.detach().double()
    K = LINF.dual(weight[:, None] - weight).max().item()
    model = classifier(network, K, x[:4], [0, 1, 2, 1], 0.1, LINF)
    certificate = model.certify(x)
    assert (
        len(certificate) == 6
        and certificate.prediction.dtype == torch.int64
        and len(model.certify(x[:0])) == len(model.predict(x[:0])) == 0
    )
    assert verify(model, x, certificate, probes=4).holds


def test_certificates_of_classes_count_and_abstain_and_survive_the_disk(tmp_path):
    certificate = Certificate(
        torch.tensor([0.0, 2.0, -1.0, 1.0]),
        torch.tensor([0.5, 1.0, 0.0, 2.0], dtype=torch.float64),
        L2,
        "deterministic",
        "Theorem M",
        "a",
        classes=3,
    )
    assert certificate.abstains.tolist() == [False, False, True, False]
    assert (
        certificate.accuracy([0, 2, 1, 0]) == 0.5
        and certificate.accuracy([0, 2, 1, 0], 0.7) == 0.25
    )
    certificate.save(tmp_path / "c.json")
    again = Certificate.load(tmp_path / "c.json")
    assert (
        again.classes == 3
        and torch.equal(again.radius, certificate.radius)
        and again.prediction.tolist() == [0, 2, -1, 1]
    )
    binary = Certificate(
        torch.ones(1), torch.ones(1, dtype=torch.float64), L2, "deterministic", "Theorem 6", "a"
    )
    binary.save(tmp_path / "b.json")
    assert (
        "classes" not in (tmp_path / "b.json").read_text()
        and Certificate.load(tmp_path / "b.json").classes is None
    )
    for wrong in ([0, 3, 1, 0], [0, -1, 1, 0], [0, 0.5, 1, 0], [0, 1, 1], [math.nan] * 4):
        with pytest.raises(ValueError, match=r"^y\b"):
            certificate.accuracy(wrong)


def three(z):
    return torch.cat([z, -z], 1)[:, :3]


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        (
            "function",
            lambda: classifier(lambda z: z[:, 0], 1.0, np.eye(2), [0, 1], 0.1),
        ),
        ("function", lambda: classifier(3, 1.0, np.eye(2), [0, 1], 0.1)),
        (
            "function",
            lambda: classifier(lambda z: z[:, :1], 1.0, np.eye(2), [0, 0], 0.1),
        ),
        ("function", lambda: classifier(lambda z: z / 0, 1.0, np.eye(2), [0, 1], 0.1)),
        ("lipschitz", lambda: classifier(three, -1.0, np.eye(2), [0, 1], 0.1)),
        ("lipschitz", lambda: classifier(three, None, np.eye(2), [0, 1], 0.1)),
        (
            "lipschitz",
            lambda: classifier(three, np.ones((2, 2)), np.eye(2), [0, 1], 0.1),
        ),
        (
            "lipschitz",
            lambda: classifier(three, np.arange(9.0).reshape(3, 3), np.eye(2), [0, 1], 0.1),
        ),
        ("labels", lambda: classifier(three, 1.0, np.eye(2), [0, 3], 0.1)),
        ("labels", lambda: classifier(three, 1.0, np.eye(2), [0, -1], 0.1)),
        ("labels", lambda: classifier(three, 1.0, np.eye(2), [0], 0.1)),
        ("labels", lambda: classifier(three, 1.0, np.eye(2), [0, 0.5], 0.1)),
        ("points", lambda: classifier(three, 1.0, np.zeros((0, 2)), [], 0.1)),
        ("alpha", lambda: classifier(three, 1.0, np.eye(2), [0, 1], -0.1)),
        ("norm", lambda: classifier(three, 1.0, np.eye(2), [0, 1], 0.1, "l2")),
        ("bias", lambda: affine(np.eye(2), [0.0], np.eye(2), [0, 1], 0.1)),
        ("x", lambda: classifier(three, 1.0, np.eye(2), [0, 1], 0.1).certify([[1.0]])),
        (
            "x",
            lambda: classifier(three, 1.0, np.eye(2), [0, 1], 0.1).predict([[math.nan, 1.0]]),
        ),
    ],
)
def test_a_bad_argument_is_refused_by_name(argument, call):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert re.match(rf"{argument}\b", str(caught.value)), caught.value
