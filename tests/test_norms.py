"""Laws of the lp norms, their duals and the maximiser of the dual pairing."""

import math

import numpy as np
import pytest
import torch

from lbrs import L1, L2, LINF, Norm
from lbrs.norms import as_norm

pytestmark = pytest.mark.usefixtures("one_thread")

NORMS = [L1, Norm(1.5), L2, Norm(3), LINF]
SCALES = [1e-300, 1e-200, 1e-20, 1.0, 1e20, 1e200, 1e300]


@pytest.fixture(params=NORMS, ids=str)
def norm(request):
    return request.param


@pytest.fixture
def vectors(rng):
    """Random vectors, among them sparse ones, ones with equal entries, unit vectors and 0, in 1 to 6 dimensions."""
    result = []
    for d in range(1, 7):
        v = rng.normal(size=(40, d)) * (rng.random((40, d)) < 0.7)
        result.append(torch.from_numpy(np.vstack([v, np.eye(d), np.ones((1, d)), -np.ones((1, d)), np.zeros((1, d))])))
    return result


def test_norm_equals_numpy(norm, vectors):
    for v in vectors:
        np.testing.assert_allclose(norm(v), np.linalg.norm(v, norm.p, axis=1), rtol=1e-14, atol=0)


def test_norm_of_a_multiple_is_the_multiple_of_the_norm(norm, vectors):
    for v in vectors:
        for c in SCALES:
            torch.testing.assert_close(norm(-c * v), c * norm(v), rtol=1e-13, atol=0)


def test_norm_of_a_sum_is_at_most_the_sum_of_norms(norm, vectors):
    for v in vectors:
        w = v.flip(0)
        assert (norm(v + w) <= (norm(v) + norm(w)) * (1 + 1e-14)).all()


def test_norm_is_zero_only_at_zero(norm, vectors):
    for v in vectors:
        assert torch.equal(norm(v) == 0, (v == 0).all(1))


def test_norm_does_not_depend_on_the_order_of_coordinates(norm, vectors):
    for v in vectors:
        torch.testing.assert_close(norm(v.flip(1)), norm(v), rtol=1e-14, atol=0)


def test_norm_works_along_the_last_axis(norm, rng):
    v = torch.from_numpy(rng.normal(size=(2, 3, 4)))
    assert torch.equal(norm(v), torch.stack([norm(part) for part in v]))


def test_norms_decrease_in_p(vectors):
    for v in vectors:
        values = torch.stack([norm(v) for norm in NORMS])
        assert (values.diff(dim=0) <= 1e-14 * values[:1]).all()


@pytest.mark.parametrize(("p", "limit"), [(1 + 1e-9, L1), (1e9, LINF)], ids=["p->1", "p->inf"])
def test_norm_dual_and_their_pairing_converge_as_p_goes_to_the_ends(p, limit, vectors):
    for v in vectors:
        torch.testing.assert_close(Norm(p)(v), limit(v), rtol=1e-7, atol=0)
        torch.testing.assert_close(Norm(p).dual(v), limit.dual(v), rtol=1e-7, atol=0)
        m = Norm(p).maximizer(v)
        torch.testing.assert_close((v * m).sum(1), limit.dual(v), rtol=1e-7, atol=0)
        torch.testing.assert_close(limit(m), 1.0 * (v != 0).any(1).double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize(("p", "q"), [(1, math.inf), (math.inf, 1), (2, 2), (3, 1.5), (1.5, 3), (4, 4 / 3)])
def test_dual_exponents_add_up_to_one(p, q):
    assert Norm(p).dual.p == pytest.approx(q, rel=1e-15)


@pytest.mark.parametrize("p", [1, 1.001, 1.5, 2, 3, 7.5, 1e6, math.inf])
def test_dual_of_the_dual_is_the_norm(p):
    assert Norm(p).dual.dual.p == pytest.approx(p, rel=1e-9)


def test_pairing_is_at_most_norm_times_dual_norm(norm, vectors):
    for v in vectors:
        products = (v @ v.flip(0).T).abs()
        assert (products <= (norm.dual(v)[:, None] * norm(v.flip(0))) * (1 + 1e-14)).all()


def test_maximizer_has_norm_one_and_attains_the_dual_norm(norm, vectors):
    for v in vectors:
        m, some = norm.maximizer(v), (v != 0).any(1)
        torch.testing.assert_close(norm(m), some.double(), rtol=1e-13, atol=0)
        torch.testing.assert_close((v * m).sum(1), norm.dual(v), rtol=1e-13, atol=0)


def test_maximizer_ignores_the_length_and_follows_the_sign(norm, vectors):
    for v in vectors:
        for c in SCALES:
            torch.testing.assert_close(norm.maximizer(-c * v), -norm.maximizer(v), rtol=1e-12, atol=0)


def test_dual_norm_is_the_largest_pairing_over_the_unit_sphere(norm, rng):
    a = torch.tensor([0.6, -1.1], dtype=torch.float64)
    angle = torch.linspace(0, 2 * math.pi, 100_001, dtype=torch.float64)
    sphere = torch.stack([angle.cos(), angle.sin()], 1)
    pairing = (sphere / norm(sphere)[:, None]) @ a
    assert pairing.max() <= norm.dual(a) * (1 + 1e-14)
    assert pairing.max() == pytest.approx(float(norm.dual(a)), rel=1e-4)


def test_single_precision_stays_single_precision(norm):
    v = torch.tensor([[3.0, -4.0], [0.0, 0.0]])
    assert norm(v).dtype == norm.maximizer(v).dtype == torch.float32
    np.testing.assert_allclose(norm(v), np.linalg.norm(v, norm.p, axis=1), rtol=1e-6)


def test_equal_exponents_are_equal_norms_and_print_as_in_the_paper():
    assert (Norm(2), Norm(1), Norm(math.inf)) == (L2, L1, LINF)
    assert [str(norm) for norm in NORMS] == ["l1", "l1.5", "l2", "l3", "linf"]
    assert as_norm("norm", LINF) is LINF
