"""Laws of the lp norms, their duals and the maximiser of the dual pairing, and how exact they
are."""

import math
from dataclasses import FrozenInstanceError
from unittest import mock

import mpmath
import numpy as np
import pytest
import torch

from lbrs import L1, L2, LINF, Certificate, LinearScore, LocallyBiased, NearestNeighborOracle, Norm
from lbrs.attacks.pgd import pgd
from lbrs.norms import as_norm

pytestmark = pytest.mark.usefixtures("one_thread")

NORMS = [L1, Norm(1.5), L2, Norm(3), LINF]
SCALES = [1e-300, 1e-200, 1e-20, 1.0, 1e20, 1e200, 1e300]

EXPONENTS = [1, 1 + 2**-52, 1 + 1e-12, 1.0001, 1.001, 1.005, 1.01, 1.5, 2, 3, 7, 50, 1e3, 1e4, 1e6]
TINY = 2.0**-1074
"""The least positive float64."""


@pytest.fixture(params=NORMS, ids=str)
def norm(request):
    return request.param


@pytest.fixture
def vectors(rng):
    """Random vectors, among them sparse ones, ones with equal entries, unit vectors and 0, in 1 to
    6 dimensions."""
    result = []
    for d in range(1, 7):
        v = rng.normal(size=(40, d)) * (rng.random((40, d)) < 0.7)
        result.append(
            torch.from_numpy(
                np.vstack([v, np.eye(d), np.ones((1, d)), -np.ones((1, d)), np.zeros((1, d))])
            )
        )
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


@pytest.mark.parametrize(
    ("p", "q"), [(1, math.inf), (math.inf, 1), (2, 2), (3, 1.5), (1.5, 3), (4, 4 / 3)]
)
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
            torch.testing.assert_close(
                norm.maximizer(-c * v), -norm.maximizer(v), rtol=1e-12, atol=0
            )


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


def exact_norm(v, p):
    """||v|| in lp of one vector of float64 numbers, to 60 digits; p an mpmath number."""
    with mpmath.workdps(60):
        sizes = [abs(mpmath.mpf(float(entry))) for entry in v if entry]
        top = max(sizes, default=mpmath.mpf(0))
        if p == math.inf:
            return top
        return top * mpmath.fsum((size / top) ** p for size in sizes) ** (1 / p)


def exact_dual(p):
    with mpmath.workdps(60):
        return 1 / (1 - 1 / mpmath.mpf(float(p)))


def spread(rng, d, size):
    """A vector of d entries of the magnitude `size` down to a millionth of it, a third of them
    equal to the largest."""
    v = rng.normal(size=d) * 10.0 ** rng.uniform(-6, 0, d)
    v[: d // 3] = v[abs(v).argmax()]
    return torch.from_numpy(v / abs(v).max() * size)


SIZES = [TINY, 7 * TINY, 1e-310, 1e-300, 1e-154, 1e-20, 1.0, 255.0, 1e20, 1e150]


@pytest.mark.parametrize("p", EXPONENTS)
def test_every_norm_and_its_dual_are_as_exact_as_stated(p, rng):
    cases = [(Norm(p), mpmath.mpf(float(p)))] + ([(Norm(p).dual, exact_dual(p))] if p > 1 else [])
    for size in SIZES:
        for d in (1, 2, 5, 50, 784):
            v = spread(rng, d, size)
            for norm, exponent in cases:
                expected, got = exact_norm(v, exponent), mpmath.mpf(norm(v).item())
                share = norm.rounding(d)
                assert share < 1e-9 and abs(got - expected) <= share * expected + TINY
                assert expected <= norm.above(v).item() <= expected * (1 + 1e-9) + 2 * TINY


def test_the_stated_rounding_is_needed_and_not_far_off(rng):
    """Without it a fifth of the norms would be too small; the worst of 600 uses a sixth of it."""
    used, smaller = {}, {}
    for norm in (L1, Norm(1.001), L2, Norm(3), Norm(1e4).dual):
        cases = [(spread(rng, d, 1.0), d) for d in (2, 3, 7) for _ in range(40)]
        off = [(1 - norm(v).item() / exact_norm(v, mpmath.mpf(norm.p)), d) for v, d in cases]
        smaller[norm] = sum(share > 0 for share, _ in off)
        used[norm] = max(abs(share) / norm.rounding(d) for share, d in off)
    assert min(smaller.values()) > 10 and 0.05 < max(used.values()) < 0.5


def test_the_rounding_covers_the_dual_exponent(rng):
    """1/q is off by up to 2 u: for d equal entries by a share of ln d."""
    off = []
    for p in 1 + 10 ** rng.uniform(0, 4, 400):
        q = Norm(p).dual.p
        with mpmath.workdps(60):
            off.append(abs(1 / mpmath.mpf(q) - 1 / exact_dual(p)))
    assert 2.0**-55 < max(off) <= 2.0**-52
    for d in (2, 784):
        for norm in (Norm(1.5), L2, Norm(1e4).dual):
            without = (d + 10) * 2.0**-53
            assert norm.rounding(d) - without >= 2.0**-52 * math.log(d)


def test_rounding_grows_with_the_dimension_and_with_the_type_and_is_zero_in_linf():
    assert (
        LINF.rounding(784)
        == 0
        < L2.rounding(1)
        < L2.rounding(784)
        < L2.rounding(784, torch.float32)
    )
    assert L2.rounding(784, torch.float32) == L2.rounding(784) * 2**29


@pytest.mark.parametrize("norm", [L1, L2, LINF, Norm(1.001), Norm(1.001).dual, Norm(3)], ids=str)
def test_upper_bounds_hold_for_subnormal_vectors(norm, rng):
    for _ in range(50):
        v = torch.from_numpy(rng.integers(0, 9, 6) * TINY)
        assert norm.above(v).item() >= exact_norm(v, mpmath.mpf(norm.p))
    assert norm.above(torch.zeros(6)).item() == 0
    if norm.p == 2:
        two = torch.full((2,), TINY, dtype=torch.float64)
        assert norm(two).item() == TINY and norm.above(two).item() == 2 * TINY


@pytest.mark.parametrize("p", [p for p in EXPONENTS if p > 1])
def test_maximizer_is_exact_for_every_exponent(p, rng):
    for size in (1e-300, 1e-20, 1.0, 255.0, 1e150):
        for d in (1, 2, 5, 50):
            a = spread(rng, d, size)
            for norm, exponent in ((Norm(p), mpmath.mpf(float(p))), (Norm(p).dual, exact_dual(p))):
                if norm.p in (1, math.inf):
                    continue
                m = norm.maximizer(a)
                dual = exact_norm(a, exact_dual(p) if norm.p == p else mpmath.mpf(float(p)))
                pairs = zip(a.tolist(), m.tolist(), strict=True)
                pairing = mpmath.fsum(mpmath.mpf(x) * mpmath.mpf(y) for x, y in pairs)
                assert abs(exact_norm(m, exponent) - 1) <= 1e-9
                assert abs(pairing / dual - 1) <= 1e-9


@pytest.mark.parametrize("norm", [L1, L2, LINF, Norm(1.001), Norm(1.001).dual, Norm(3)], ids=str)
def test_upper_bounds_hold_for_vectors_that_were_rounded_differences(norm, rng):
    """A tenth of the computed norms and more are too small for the exact differences."""
    smaller = 0
    for d in (1, 2, 3) * 30:
        a, b = (rng.normal(size=d) * 10.0 ** rng.uniform(-3, 3, d) for _ in range(2))
        with mpmath.workdps(60):
            exact = [
                mpmath.mpf(x) - mpmath.mpf(y) for x, y in zip(a.tolist(), b.tolist(), strict=True)
            ]
            top = max(abs(x) for x in exact)
            p = mpmath.mpf(norm.p)
            unit = [abs(x) / top for x in exact]
            expected = top if p == mpmath.inf else top * mpmath.fsum(x**p for x in unit) ** (1 / p)
        rounded = torch.from_numpy(a - b)
        assert norm.above(rounded).item() >= expected
        smaller += norm(rounded).item() < expected
    assert smaller > 10


def test_norms_can_be_differentiated(norm):
    v = torch.tensor([[3.0, -4.0], [0.5, 0.25]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(norm, v)
    flat = torch.zeros(1, 2, requires_grad=True)
    norm(flat).sum().backward()
    assert torch.isfinite(flat.grad).all()


@pytest.mark.parametrize("scale", [1e-100, 1.0, 255.0, 1e100])
@pytest.mark.parametrize("p", [1, 1 + 1e-12, 1.001, 1.005, 1.01, 1.5, 3, 1e4, math.inf])
def test_certificates_for_every_exponent_are_the_formula_from_below(p, scale, rng):
    """Theorem A, and Theorem B for a linear score, in 60 digits."""
    points, labels = rng.random((8, 20)) * scale, np.array([1.0, -1.0] * 4)
    x, a = rng.random((3, 20)) * scale, rng.normal(size=20)
    oracle, norm, dual = (
        NearestNeighborOracle(points, labels),
        Norm(p),
        exact_dual(p) if p > 1 else mpmath.inf,
    )
    own = LocallyBiased(LinearScore(a), oracle, 0.0, norm).certify(x).radius
    for z, label, found, boundary in zip(
        x, oracle.label(x).tolist(), oracle.radius(x, norm).tolist(), own.tolist(), strict=True
    ):
        same, other = points[labels == label], points[labels != label]
        with mpmath.workdps(60):
            rho = {
                tuple(v): mpmath.fsum(
                    (mpmath.mpf(s) - mpmath.mpf(t)) ** 2
                    for s, t in zip(z.tolist(), v.tolist(), strict=True)
                )
                for v in points
            }
            expected = min(
                max((rho[tuple(j)] - rho[tuple(k)]) / 2 / exact_norm(k - j, dual) for k in same)
                for j in other
            )
            linear = abs(
                mpmath.fsum(
                    mpmath.mpf(s) * mpmath.mpf(t)
                    for s, t in zip(a.tolist(), z.tolist(), strict=True)
                )
            ) / exact_norm(a, dual)
        assert expected * (1 - 1e-9) <= found <= expected
        assert linear * (1 - 1e-9) <= boundary <= linear


def same_class():
    """Ways to a subclass that `__init_subclass__` sees."""

    class Plain(Norm):
        pass

    return Plain


class Silent:
    """A base class that keeps `Norm.__init_subclass__` from being asked."""

    __slots__ = ()

    def __init_subclass__(cls):
        pass


class Halved(Silent, Norm):
    __slots__ = ()

    def __call__(self, v):
        return Norm.__call__(self, v) / 2


class Claims:
    """Says that it is a Norm."""

    p, dual = 2.0, L2
    __class__ = Norm

    def __call__(self, v):
        return L2(v) / 2

    def __eq__(self, other):
        return True

    __hash__ = object.__hash__


def refused():
    return {
        "silent subclass": Halved(2),
        "its class is a lie": Claims(),
        "mock": mock.Mock(spec=L2),
        "bare": object.__new__(Halved),
        "class": Norm,
        "text": "l2",
        "number": 2,
        "function": L2.__call__,
        "none": None,
    }


@pytest.mark.parametrize(
    "define",
    [
        same_class,
        lambda: type("Made", (Norm,), {}),
        lambda: type.__new__(type, "New", (Norm,), {}),
        lambda: type("Both", (Norm, Silent), {"__call__": lambda self, v: L2(v) / 2}),
    ],
    ids=["class", "type", "type.__new__", "two bases"],
)
def test_a_subclass_of_norm_cannot_be_defined(define):
    with pytest.raises(TypeError, match="^Norm must not be subclassed"):
        define()


@pytest.mark.parametrize("what", list(refused()))
def test_what_only_claims_to_be_a_norm_is_refused(what):
    liar = refused()[what]
    oracle, one = NearestNeighborOracle([[0.0], [4.0]], [1, -1]), torch.ones(1)
    doors = [
        lambda: as_norm("norm", liar),
        lambda: LocallyBiased(LinearScore([1.0]), oracle, 0.5, liar),
        lambda: oracle.radius([[0.0]], liar),
        lambda: Certificate(one, one, liar, "deterministic", "a", "b"),
        lambda: pgd(lambda x: x.sum(1), torch.ones(1, 1), one, 0.5, liar),
    ]
    for door in doors:
        with pytest.raises((TypeError, ValueError), match="^norm must be"):
            door()


def test_no_part_of_a_norm_can_be_replaced():
    for change in ("p", "__call__", "dual", "label"):
        with pytest.raises(FrozenInstanceError):
            setattr(L2, change, 3)
    for change in ("__call__", "maximizer", "label"):
        with pytest.raises(AttributeError):
            object.__setattr__(L2, change, lambda v: v)
    assert not hasattr(L2, "__dict__")


@pytest.mark.parametrize(
    "norm", [Norm(p) for p in EXPONENTS] + [Norm(1e308), LINF, Norm(3).dual], ids=str
)
def test_every_real_norm_is_admitted(norm):
    assert as_norm("norm", norm) is norm
    assert (
        LocallyBiased(LinearScore([1.0]), NearestNeighborOracle([[0.0]], [1]), 0, norm).norm == norm
    )


def test_a_norm_prints_enough_digits_to_be_told_from_others():
    assert [str(Norm(p)) for p in (1 + 1e-12, 1.001, 1e4)] == [
        "l1.000000000001",
        "l1.001",
        "l10000",
    ]
    with pytest.raises(
        ValueError, match=r"^p must be a number >= 1 or inf, got 0.9999999999999999"
    ):
        Norm(1 - 2**-53)
