"""Means of bounded random numbers: confidence sequences, sequential signs, and Clopper-Pearson
intervals."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom, binomtest

from lbrs import GaussianScore, NormalSmoothing, Score
from lbrs.montecarlo import (
    ConfidenceSequence,
    SignTest,
    clopper_pearson,
    empirical_bernstein,
    sequential_sign,
)
from lbrs.scores.sampled import bounded

pytestmark = pytest.mark.usefixtures("one_thread")

STREAMS = {
    "uniform": (lambda rng, shape: rng.random(shape), 0.5),
    "bernoulli": (lambda rng, shape: 1.0 * (rng.random(shape) < 0.2), 0.2),
    "rare": (lambda rng, shape: 1.0 * (rng.random(shape) < 0.01), 0.01),
    "near-constant": (lambda rng, shape: 0.7 + 1e-3 * rng.random(shape), 0.7005),
    "constant": (lambda rng, shape: np.full(shape, 0.25), 0.25),
}


def intervals(values, error):
    """All intervals of the empirical-Bernstein sequence of Waudby-Smith and Ramdas (2024, Theorem
    2), one number at a time."""
    mean, variance, result = 0.5, 0.25, []
    total = squares = weights = weighted = cost = 0.0
    for t, value in enumerate(values, 1):
        bet = min(math.sqrt(2 * math.log(2 / error) / (variance * t * math.log(1 + t))), 3 / 4)
        cost += 4 * (value - mean) ** 2 * (-math.log(1 - bet) - bet) / 4
        weights, weighted, total = weights + bet, weighted + bet * value, total + value
        mean = (1 / 2 + total) / (t + 1)
        squares += (value - mean) ** 2
        variance = (1 / 4 + squares) / (t + 1)
        width = (math.log(2 / error) + cost) / weights
        result.append((weighted / weights - width, weighted / weights + width))
    return np.array(result)


def feed(values, error, cuts):
    """The sequence after the numbers (n, T), given in batches that end at `cuts`."""
    sequence = ConfidenceSequence(len(values), error)
    for batch in np.split(values, cuts[:-1], axis=1):
        sequence.update(torch.from_numpy(batch))
    return sequence


@pytest.mark.parametrize("name", STREAMS)
def test_all_intervals_hold_the_mean_at_all_times(name, rng):
    draw, mean = STREAMS[name]
    sequence = feed(draw(rng, (1000, 400)), 0.05, np.arange(1, 401))
    missed = (sequence.lower > mean) | (sequence.upper < mean)
    assert missed.sum() <= binom.ppf(1 - 1e-6, 1000, 0.05)


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("error", [0.3, 0.001])
@pytest.mark.parametrize(
    "cuts", [[120], list(range(1, 121)), [1, 17, 64, 120]], ids=["at once", "one by one", "batches"]
)
def test_intervals_equal_the_formula_however_the_stream_is_cut(name, error, cuts, rng):
    values = STREAMS[name][0](rng, (3, 120))
    sequence = feed(values, error, cuts)
    for k in range(3):
        shown = intervals(values[k], error)[np.array(cuts) - 1]
        assert sequence.lower[k].item() == pytest.approx(
            max(0, shown[:, 0].max()), rel=1e-12, abs=1e-12
        )
        assert sequence.upper[k].item() == pytest.approx(
            min(1, shown[:, 1].min()), rel=1e-12, abs=1e-12
        )
    np.testing.assert_allclose(sequence.mean, values.mean(1), rtol=1e-12)
    assert sequence.count == 120


def test_intervals_shrink_toward_the_mean(rng):
    sequence, widths = ConfidenceSequence(5, 0.05), []
    for _ in range(9):
        sequence.update(torch.from_numpy(rng.random((5, 500))))
        widths.append(sequence.upper - sequence.lower)
    widths = torch.stack(widths)
    assert (widths.diff(dim=0) <= 0).all()
    assert (widths[0] < 0.25).all() and (widths[-1] < 0.07).all()


def test_interval_is_narrower_for_less_spread_and_for_more_error(rng):
    noise = rng.random((1, 400))

    def width(scale, error):
        sequence = feed(0.5 + scale * (noise - 0.5), error, [400])
        return (sequence.upper - sequence.lower).item()

    assert width(0.1, 0.2) < width(0.1, 0.01) < width(1, 0.01)
    assert width(0.1, 0.2) < width(1, 0.2) < width(1, 0.01)


def test_mirrored_stream_has_the_mirrored_interval(rng):
    values = rng.random((4, 200)) ** 3
    one, other = feed(values, 0.05, [50, 200]), feed(1 - values, 0.05, [50, 200])
    torch.testing.assert_close(other.lower, 1 - one.upper, rtol=0, atol=1e-13)
    torch.testing.assert_close(other.upper, 1 - one.lower, rtol=0, atol=1e-13)


def test_streams_do_not_affect_each_other(rng):
    values = rng.random((6, 150))
    whole, rows = feed(values, 0.05, [60, 150]), torch.tensor([4, 1])
    part = ConfidenceSequence(6, 0.05)
    part.update(torch.from_numpy(values[:, :60]))
    part.keep(rows)
    part.update(torch.from_numpy(values[rows, 60:]))
    for a, b in ((part.lower, whole.lower), (part.upper, whole.upper), (part.mean, whole.mean)):
        assert torch.equal(a, b[rows])


def test_nothing_is_known_before_the_first_number():
    sequence = ConfidenceSequence(2, 0.05)
    assert sequence.count == 0
    assert sequence.lower.tolist() == [0, 0] and sequence.upper.tolist() == [1, 1]


def signs(draw, n, **options):
    """A sequential decision and how many numbers were drawn from each stream."""
    drawn = torch.zeros(n, dtype=torch.float64)

    def record(rows, m):
        drawn[rows] += m
        return torch.from_numpy(draw(rows.numpy(), m))

    return sequential_sign(record, n, **options), drawn


def test_decided_signs_are_wrong_at_most_as_often_as_stated(rng):
    means = np.tile([-0.3, 0.02, 0.15, -0.9], 300)
    estimate, _ = signs(
        lambda rows, m: np.where(
            rng.random((len(rows), m)) < (1 + means[rows, None]) / 2, 1.0, -1.0
        ),
        1200,
        samples=3000,
        error=0.05,
    )
    wrong = (estimate.sign.numpy() != np.sign(means)) & estimate.decided.numpy()
    decided = estimate.decided
    assert decided[0::4].all() and decided[3::4].all() and not decided.all()
    assert all(wrong[k::4].sum() <= binom.ppf(1 - 1e-6, 300, 0.05) for k in range(4))


@pytest.mark.parametrize("samples", [1, 10, 16, 50, 1000])
def test_no_stream_is_drawn_from_more_than_allowed_or_than_reported(samples, rng):
    estimate, drawn = signs(
        lambda rows, m: rng.uniform(-1, 1, (len(rows), m)) * 0.3 + 0.1,
        50,
        samples=samples,
        error=0.01,
    )
    assert torch.equal(estimate.used, drawn) and (drawn <= samples).all()
    assert (drawn[~estimate.decided] == samples).all()


def fortune(values, side):
    """What the bets on one side make of 1."""
    return np.mean([np.prod(1 + side * c * values) for c in SignTest.STAKES])


def fortunes(values, error):
    """The signs decided by the two gamblers, one number at a time, and when (0: never)."""
    for t in range(1, len(values) + 1):
        for side in (1, -1):
            if (
                sum(np.prod(1 + side * c * values[:t]) for c in SignTest.STAKES)
                / len(SignTest.STAKES)
                >= 1 / error
            ):
                return side, t
    return 0, 0


@pytest.mark.parametrize("mean", [-0.9, -0.3, 0.0, 0.4, 1.0])
@pytest.mark.parametrize(
    "cuts", [[150], list(range(1, 151)), [8, 70, 150]], ids=["at once", "one by one", "batches"]
)
def test_the_sign_test_is_the_formula_however_the_stream_is_cut(mean, cuts, rng):
    values = (mean + 0.4 * rng.uniform(-1, 1, (6, 150))).clip(-1, 1)
    test, found = SignTest(6, 0.01), []
    for batch in np.split(values, cuts[:-1], axis=1):
        found.append(test.update(torch.from_numpy(batch)).numpy())
    for place, stream in enumerate(values):
        for cut, signs_ in zip(cuts, found, strict=True):
            plus, minus = 0.01 * fortune(stream[:cut], 1), 0.01 * fortune(stream[:cut], -1)
            close = min(abs(plus - 1), abs(minus - 1)) < 1e-9
            assert close or signs_[place] == int(plus >= 1) - int(minus >= 1)
    if mean == 1.0:
        assert fortunes(np.ones(20), 0.01) == (1, SignTest(1, 0.01).least)


@pytest.mark.parametrize("mean", [0.0, -0.001, -0.2])
def test_the_sign_test_is_wrong_at_most_as_often_as_stated_at_any_time(mean, rng):
    test, ever = SignTest(2000, 0.1), torch.zeros(2000, dtype=torch.bool)
    for _ in range(60):
        ever |= (
            test.update(
                torch.from_numpy(np.where(rng.random((2000, 5)) < (1 + mean) / 2, 1.0, -1.0))
            )
            > 0
        )
    assert ever.sum() <= binom.ppf(1 - 1e-6, 2000, 0.1)


def test_streams_of_a_sign_test_do_not_affect_each_other(rng):
    values = torch.from_numpy(rng.uniform(-0.2, 1, (6, 40)))
    whole, part, rows = SignTest(6, 0.01), SignTest(6, 0.01), torch.tensor([4, 1])
    whole.update(values[:, :20])
    part.update(values[:, :20])
    part.keep(rows)
    assert torch.equal(part.update(values[rows, 20:]), whole.update(values[:, 20:])[rows])


def test_clear_signs_need_fewer_numbers(rng):
    means = np.repeat([0.9, 0.3, 0.1], 50)
    estimate, _ = signs(
        lambda rows, m: means[rows, None] + 0.1 * rng.uniform(-1, 1, (len(rows), m)),
        150,
        samples=5000,
        error=0.01,
    )
    used = estimate.used.reshape(3, 50).mean(1)
    assert estimate.decided.all() and (estimate.sign == 1).all()
    assert used[0] <= used[1] < used[2] < 1000


def test_mean_is_the_average_of_what_was_drawn(rng):
    seen = [[] for _ in range(20)]

    def draw(rows, m):
        values = rng.uniform(-1, 1, (len(rows), m))
        for row, numbers in zip(rows, values, strict=True):
            seen[row] += numbers.tolist()
        return values

    estimate, _ = signs(draw, 20, samples=300, error=0.2)
    np.testing.assert_allclose(
        estimate.mean, [np.mean(numbers) for numbers in seen], rtol=0, atol=1e-12
    )
    left = ~estimate.decided
    assert torch.equal(
        estimate.sign[left], torch.where(estimate.mean[left] >= 0, 1.0, -1.0).double()
    )


def test_mean_zero_stays_undecided(rng):
    estimate, _ = signs(
        lambda rows, m: rng.choice([-1.0, 1.0], (len(rows), m)), 500, samples=1000, error=0.02
    )
    assert estimate.decided.sum() <= binom.ppf(1 - 1e-6, 500, 0.02)
    exact, _ = signs(lambda rows, m: np.zeros((len(rows), m)), 3, samples=1000, error=0.02)
    assert not exact.decided.any() and (exact.sign == 1).all() and (exact.used == 1000).all()


def test_no_streams_give_no_signs():
    estimate, _ = signs(lambda rows, m: np.zeros((len(rows), m)), 0, samples=10, error=0.1)
    for values in (estimate.sign, estimate.mean, estimate.decided, estimate.used):
        assert len(values) == 0


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_clopper_pearson_equals_scipy(confidence):
    for n in (1, 7, 200):
        for k in range(n + 1):
            expected = binomtest(k, n).proportion_ci(confidence, "exact")
            assert clopper_pearson(k, n, confidence) == pytest.approx(
                (expected.low, expected.high), rel=1e-9, abs=1e-12
            )


@pytest.mark.parametrize("p", [0.01, 0.3, 0.5])
def test_clopper_pearson_holds_the_chance_as_often_as_stated(p):
    n = 60
    held = sum(
        binom.pmf(k, n, p)
        for k in range(n + 1)
        if clopper_pearson(k, n, 0.9)[0] <= p <= clopper_pearson(k, n, 0.9)[1]
    )
    assert 0.9 <= held < 1


def test_clopper_pearson_of_failures_is_the_mirror_of_successes():
    low, high = clopper_pearson(3, 20)
    assert clopper_pearson(17, 20) == pytest.approx((1 - high, 1 - low), rel=1e-12)
    assert clopper_pearson(0, 20)[0] == 0 and clopper_pearson(20, 20)[1] == 1


@pytest.mark.parametrize("name", STREAMS)
def test_the_bernstein_bounds_hold_the_mean_as_often_as_stated_and_are_the_formula(name, rng):
    draw, mean = STREAMS[name]
    values = draw(rng, (2000, 200))
    low, high = empirical_bernstein(
        torch.from_numpy(values.sum(1)), torch.from_numpy((values**2).sum(1)), 200, 0.1
    )
    assert ((low > mean) | (high < mean)).sum() <= binom.ppf(1 - 1e-6, 2000, 0.1)
    width = np.sqrt(2 * values.var(1, ddof=1) * math.log(40) / 200) + 7 * math.log(40) / (3 * 199)
    np.testing.assert_allclose(low, np.maximum(values.mean(1) - width, 0), rtol=0, atol=1e-6)
    np.testing.assert_allclose(high, np.minimum(values.mean(1) + width, 1), rtol=0, atol=1e-6)


def test_the_bernstein_bounds_shrink_faster_for_less_spread():
    widths = {}
    for spread in (0.0, 0.25):
        for n in (100, 10_000):
            sums = [[0.5 * n], [0.25 * n + spread * (n - 1)]]
            total, squares = torch.tensor(sums, dtype=torch.float64)
            low, high = empirical_bernstein(total, squares, n, 0.01)
            widths[spread, n] = (high - low).item()
    assert widths[0.0, 10_000] < widths[0.25, 10_000] / 8
    assert widths[0.0, 10_000] < widths[0.0, 100] / 90


def constant(value, dtype):
    return Score(lambda z: torch.full_like(z[:, 0], value) + 0 * z[:, 0], dtype=dtype)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(
    ("dtype", "steps"), [(torch.float32, 1), (torch.float32, 16), (torch.float64, 16)]
)
def test_a_score_that_is_beyond_one_by_rounding_counts_as_one(dtype, steps, side):
    """Softmax in float32 sums to 1 + 1.2e-7 now and then."""
    score = constant(side * (1 + steps * torch.finfo(dtype).eps), dtype)
    generator = torch.Generator().manual_seed(0)
    assert NormalSmoothing(score, 0.5, 100, generator).score([[0.0]]).item() == side
    certificate = NormalSmoothing(score, 0.5, 4000, generator).certify([[0.0]])
    assert certificate.prediction.item() == side
    found = GaussianScore(score, 0.5, 4000, generator).estimate([[0.0]])
    assert found.low <= side <= found.high and max(-found.low, found.high) == 1


@pytest.mark.parametrize(
    ("dtype", "beyond"), [(torch.float32, 17 * 2.0**-23), (torch.float64, 17 * 2.0**-52)]
)
def test_a_score_further_beyond_one_is_refused_with_all_its_digits(dtype, beyond):
    score = constant(1 + beyond, dtype)
    for call in (
        lambda: NormalSmoothing(score, 0.5, 20).predict([[0.0]]),
        lambda: NormalSmoothing(score, 0.5, 20).score([[0.0]]),
        lambda: GaussianScore(score, 0.5, 20).estimate([[0.0]]),
    ):
        with pytest.raises(ValueError, match="^score must lie") as caught:
            call()
        assert repr(1 + beyond) in str(caught.value)


def test_what_lies_within_one_is_left_as_it_is(rng):
    values = torch.from_numpy(rng.uniform(-1, 1, 50))
    score = constant(0.0, torch.float64)
    assert bounded(values, score) is values and bounded(values[:0], score).numel() == 0
    with pytest.raises(ValueError, match="nan"):
        bounded(torch.tensor([math.nan]), score)


def test_what_rounding_may_do_depends_on_the_type_that_is_observed():
    """A float64 function that casts inside computes as its lowest type does."""
    score = Score(lambda z: (z[:, 0].float() * 0 + (1 + 2.0**-23)).double())
    assert NormalSmoothing(score, 0.5, 20).score([[0.0]]).item() == 1
