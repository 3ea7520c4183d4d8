"""Sound noise: its law, its exactness, and an attack that plain noise falls for."""

import copy
import math
import pickle
import re

import mpmath
import numpy as np
import pytest
import torch
from scipy.stats import binom, chi2, kstest
from scipy.stats import norm as normal

from lbrs import (
    CohenScore,
    GaussianScore,
    LinearScore,
    LocallyBiased,
    NearestNeighborOracle,
    NormalSmoothing,
    Score,
)
from lbrs.noise import NOISES, grid
from lbrs.noise.rounded_normal import (
    CELL,
    CELLS,
    DISTANCE,
    LEFT,
    STEPS,
    _excess,
    rounded_normal,
    table,
)
from lbrs.scores.cohen import cohen_certificate, cohen_interval
from lbrs.scores.gaussian import Estimate, gaussian_certificate
from lbrs.scores.sampled import normal_draws

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
PLAIN, SOUND = NOISES["plain"], NOISES["sound"]
SIGMA = 0.5
LOW_BITS = torch.tensor(210 / 255, dtype=torch.float32)
ORACLE = NearestNeighborOracle([[-9.0], [9.0]], [1, -1])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draws(n, seed=0):
    return rounded_normal(n, CPU, generator(seed))


def probability(c):
    """P(round(2^16 Z) = c), a difference of two values of the distribution function."""
    with mpmath.workdps(50):
        high = mpmath.ncdf((mpmath.mpf(c) + 0.5) / STEPS)
        return high - mpmath.ncdf((mpmath.mpf(c) - 0.5) / STEPS)


def trace(x):
    """1 for each coordinate that may be a sum of `LOW_BITS` and something, else 0."""
    return ((x - LOW_BITS) + LOW_BITS == x).to(x.dtype)


def reader(x):
    """+1 where (nearly) all coordinates bear the trace of LOW_BITS, else -1."""
    return torch.where(trace(x).mean(1) > 0.99, 1.0, -1.0)


def test_slots_and_rests_mix_to_the_law_of_a_rounded_normal():
    """In each cell, and number by number in some: the mixture is the difference of distribution
    functions, up to what the docstring allows."""
    rules, ends = table(CPU), np.arange(-CELLS, CELLS + 1) * CELL - 0.5
    left = (rules.slots == LEFT).sum().item() / STEPS
    kept = rules.slots[rules.slots != LEFT]
    counts = torch.bincount(kept // CELL + CELLS, minlength=2 * CELLS)
    rests = torch.diff(rules.sums, prepend=torch.zeros(1, dtype=torch.int64)).double() / 2**62
    lower, upper = normal.cdf(ends / STEPS), normal.sf(ends / STEPS)
    masses = np.where(ends[:-1] < 0, np.diff(lower), -np.diff(upper))
    np.testing.assert_allclose(counts / STEPS + rests * left, masses, rtol=0, atol=1e-15)
    assert 0.005 < left < 0.02 and (rests >= 0).all() and (counts > 0).sum() > 400
    for i in (0, 1, 100, 639, 640, 641, 700, 800, 860, 1100, 1279):
        c = rules.first[i] + torch.arange(CELL)
        share = _excess(c, rules.far[i]) + rules.least[i]
        assert (share > 0).all() and (share <= rules.most[i]).all()
        found = counts[i] / (STEPS * CELL) + left * rests[i] * share / share.sum()
        for place in (0, 1, 300, 1023):
            true = float(probability(int(c[place])))
            assert found[place].item() == pytest.approx(true, rel=1e-11, abs=2.0**-64)


def test_rejection_uses_the_exact_ratio_of_probabilities():
    rules = table(CPU)
    for i in (0, 300, 640, 700, 900, 1279):
        far, c = int(rules.far[i]), int(rules.first[i]) + 511
        ratio = float(probability(c) / probability(far) - 1)
        assert _excess(torch.tensor([c]), rules.far[i]).item() == pytest.approx(ratio, rel=1e-13)


def test_draws_have_the_law_in_coarse_and_in_fine():
    n = 2_000_000
    found = draws(n).double().numpy()
    assert kstest(found[::10] / STEPS, "norm").pvalue > 1e-4
    edges = normal.ppf(np.arange(1, 200) / 200)
    counts = np.bincount(np.searchsorted(edges, found / STEPS), minlength=200)
    assert 1e-4 < chi2.sf(((counts - n / 200) ** 2 / (n / 200)).sum(), 199) < 1 - 1e-4
    for modulus in (2, 64, CELL):
        counts = np.bincount(found.astype(int) % modulus, minlength=modulus)
        statistic = ((counts - n / modulus) ** 2 / (n / modulus)).sum()
        assert 1e-4 < chi2.sf(statistic, modulus - 1) < 1 - 1e-4
    for other in (found[1:], found[1:] % CELL):
        assert abs(np.corrcoef(found[:-1], other)[0, 1]) < 5 / math.sqrt(n)
    assert (abs(found) > 4 * STEPS).sum() <= binom.ppf(1 - 1e-6, n, 2 * normal.sf(4))


def test_draws_within_a_cell_of_the_tail_fall_as_the_density_does():
    """At 2 to 3 sigma, where slots are few and the rest matters most: 16 places in a cell."""
    found = draws(4_000_000, 1)
    found = found[(found >= 2 * STEPS) & (found < 3 * STEPS)]
    place = (found % CELL).div(CELL // 16, rounding_mode="floor").numpy()
    starts = np.arange(2 * STEPS, 3 * STEPS, CELL // 16) - 0.5
    masses = -np.diff(normal.sf(np.append(starts, 3 * STEPS - 0.5) / STEPS))
    expected = masses.reshape(-1, 16).sum(0)
    expected *= len(found) / expected.sum()
    counts = np.bincount(place, minlength=16)
    assert 1e-4 < chi2.sf(((counts - expected) ** 2 / expected).sum(), 15) < 1 - 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.0, 1.0, 60.0])
def test_sums_are_exact_on_the_grid(rng, scale, dtype):
    """(x + eps) - x is eps, bit by bit, and another point of the grid gets the same noise moved."""
    x = torch.from_numpy(scale * rng.random((3, 50)))
    noise = SOUND.draw((3, 40, 50), dtype, CPU, generator())
    y, step = SOUND.around(x, noise, 0.25, dtype), 0.25 / STEPS
    places = grid(x, step)
    assert y.dtype == dtype and torch.equal(y.double() / step - places[:, None], noise.double())
    moved = SOUND.around(step * (places + 7), noise, 0.25, dtype)
    assert torch.equal(moved.double(), y.double() + 7 * step)
    assert torch.equal(y, SOUND.around(x, noise, torch.full((3,), 0.25), dtype))


def test_sums_are_exact_for_large_points_in_double_precision():
    x = 1.7e9 + torch.rand((3, 5), generator=generator(), dtype=torch.float64)
    noise = SOUND.draw((3, 40, 5), torch.float64, CPU, generator())
    y = SOUND.around(x, noise, 4.0, torch.float64)
    step = 4.0 / STEPS
    assert torch.equal((y - step * grid(x, step)[:, None]) / step, noise.double())


@pytest.mark.parametrize("d", [1, 7, 300])
def test_the_grid_moves_distances_by_the_shift_at_most_and_nearly_so_much(rng, d):
    c, step, most = SOUND.shift(0.3, d), 0.3 / STEPS, 0.0
    edge = torch.tensor(0.5 * step, dtype=torch.float64)
    for scale in (0.0, 1.0, 3e7):
        x = torch.from_numpy(scale * rng.normal(size=(200, d)))
        z = x + torch.from_numpy(rng.normal(size=(200, d))) * step
        x[0], z[0] = 0.999 * edge, 1.001 * edge
        moved = torch.linalg.vector_norm(step * (grid(z, step) - grid(x, step)), dim=1)
        excess = moved - torch.linalg.vector_norm(z - x, dim=1)
        assert (excess <= c).all()
        most = max(most, excess.max().item())
    assert most > 0.98 * c and PLAIN.shift(0.3, d) == 0


def models(noise, samples=3000):
    """What is certified, by name: Cohen's score, Theorem 1, Theorem E' of a smoothed score."""
    options = {"noise": noise, "generator": generator(7)}
    cohen = CohenScore(reader, SIGMA, samples, dtype=torch.float32, **options)
    gauss = GaussianScore(reader, SIGMA, 20 * samples, dtype=torch.float32, **options)
    plain = NormalSmoothing(Score(reader, dtype=torch.float32), SIGMA, samples, **options)
    return {"cohen": cohen, "gauss": gauss, "normal": plain}


def certify(model, x):
    if isinstance(model, NormalSmoothing):
        return model.certify(x)
    oracle = NearestNeighborOracle(torch.zeros(1, x.shape[1]), [1])
    return LocallyBiased(model, oracle, 0.0).certify(x)


def contradict(certificate, x):
    """Whether two certified balls with different predictions meet."""
    apart = torch.cdist(x, x)
    signs, radius = certificate.prediction, certificate.radius
    return ((signs[:, None] * signs < 0) & (apart < radius[:, None] + radius)).any().item()


@pytest.mark.parametrize("kind", ["cohen", "normal"])
def test_the_attack_of_voracek_and_hein_breaks_plain_noise_and_not_sound_noise(kind):
    """In one dimension, their example: a radius of 1.26, and another prediction .8 away."""
    x = torch.stack([LOW_BITS.double(), LOW_BITS.double() - 0.8])[:, None]
    plain, sound = (certify(models(noise, 60_000)[kind], x) for noise in ("plain", "sound"))
    assert plain.prediction.tolist() == [1, -1] and plain.radius[0] > 1.26
    assert "real arithmetic" in plain.assumption
    assert sound.prediction[0] == sound.prediction[1] or sound.radius[0] < 0.8
    assert not contradict(sound, x) and "sound" in sound.assumption


@pytest.mark.parametrize("kind", ["cohen", "normal", "gauss"])
def test_in_many_dimensions_plain_noise_certifies_opposite_classes_next_to_each_other(kind):
    """Two points .032 apart, each with a ball of radius > .1 (> 1 but for Theorem E')."""
    x = LOW_BITS.double() + torch.tensor([[0.0], [-1e-3]], dtype=torch.float64).expand(2, 1000)
    samples = 3000 if kind != "gauss" else 100
    plain, sound = (certify(models(noise, samples)[kind], x) for noise in ("plain", "sound"))
    assert plain.prediction.tolist() == [1, -1]
    assert (plain.radius > (0.1 if kind == "gauss" else 1.0)).all() and contradict(plain, x)
    assert not contradict(sound, x) and "sound" in sound.assumption


def parity(step):
    return lambda x: torch.where((x[:, 0].double() / step).round() % 2 == 0, 1.0, -1.0)


READERS = {
    "trace": lambda x: trace(x)[:, 0] - 0.5,
    "parity of the grid": parity(SIGMA / STEPS),
    "parity of a finer grid": parity(SIGMA / STEPS / 4),
    "on a coarser grid": lambda x: 0.5 - (x[:, 0] * 2**10 == (x[:, 0] * 2**10).round()).double(),
    "last bit": lambda x: (x[:, 0].float().view(torch.int32) % 2).double() - 0.5,
}


@pytest.mark.parametrize("name", READERS)
def test_no_reader_of_low_bits_makes_sound_certificates_contradict_each_other(name, rng):
    x = torch.from_numpy(LOW_BITS.item() + np.append([0, -0.8, 0.1], 0.3 * rng.normal(size=12)))
    score = CohenScore(READERS[name], SIGMA, 4000, generator(), dtype=torch.float32, noise="sound")
    certificate = LocallyBiased(score, ORACLE, 0.0).certify(x[:, None], confidence=1 - 1e-5)
    assert not contradict(certificate, x[:, None])


@pytest.mark.parametrize("noise", NOISES)
def test_a_half_space_is_certified_up_to_its_true_distance(noise, rng):
    weight, x = torch.tensor([0.6, -0.8], dtype=torch.float64), rng.normal(size=(300, 2))
    score = CohenScore(lambda z: z @ weight + 0.2, 0.7, 3000, generator(), noise=noise)
    certificate = LocallyBiased(score, NearestNeighborOracle(torch.zeros(1, 2), [1]), 0.0).certify(
        x, confidence=0.9
    )
    truth = torch.from_numpy(x) @ weight + 0.2
    false = (certificate.prediction * truth < certificate.radius) & ~certificate.abstains
    assert false.sum() <= binom.ppf(1 - 1e-6, 300, 0.1)
    near = truth.abs().clamp(max=1.5)
    assert (certificate.radius > 0.7 * near - 0.1).all() and (~certificate.abstains).sum() > 200


def test_intervals_of_a_smoothed_half_space_hold_the_truth_with_sound_noise(rng):
    x = torch.from_numpy(rng.normal(size=(300, 2)))
    score = GaussianScore(lambda z: z[:, 0].sign(), 0.8, 2000, generator(), noise="sound")
    found, t = score.estimate(x, 0.9), x[:, 0] / 0.8
    g, G = 2 * torch.special.ndtr(t) - 1, 2 / 0.8 * torch.from_numpy(normal.pdf(t))
    missed = (found.low > g) | (found.high < g) | (found.slope_low > G) | (found.slope_high < G)
    assert missed.sum() <= binom.ppf(1 - 1e-6, 300, 0.1) and (found.slope_low > 0.2).any()


def test_the_mean_of_a_normal_given_its_rounding_is_within_the_bias():
    for c in (0, 1, -50_000, 9 * STEPS):
        with mpmath.workdps(50):
            low, high = ((mpmath.mpf(c) + side) / STEPS for side in (-0.5, 0.5))
            mean = (mpmath.npdf(low) - mpmath.npdf(high)) / probability(c)
            assert abs(mean - mpmath.mpf(c) / STEPS) <= SOUND.bias(1)
    assert abs(float(mean) - 9) > SOUND.bias(1) / 16 and PLAIN.bias(1) == 0


def test_sound_certificates_pay_for_the_grid_and_for_the_distance_to_the_ideal():
    d, one, far = 10_000, torch.ones(1), torch.full((1,), math.inf)
    plain = cohen_certificate([990], 1000, 1.0, one, far, 0.5)
    sound = cohen_certificate([990], 1000, 1.0, one, far, 0.5, noise="sound", features=d)
    lost = (plain.radius - sound.radius).item()
    assert lost == pytest.approx(1.01 * 100 / STEPS, rel=1e-3)
    low, high = cohen_interval([990], 1000, 1.0)
    wider = cohen_interval([990], 1000, 1.0, noise="sound", features=10**8)
    assert wider[0] < low and wider[1] > high
    assert SOUND.spend(0.1, 1000, 10**8) == pytest.approx(0.1 - 1000 * 10**8 * 2.0**-48, rel=1e-12)
    found = Estimate(*torch.tensor([[0.8], [0.9], [0.1], [0.2]], dtype=torch.float64), 0.999)
    for label in (one, -one):
        whole = gaussian_certificate(found, label, far, 0.1, 1.0).radius
        less = gaussian_certificate(found, label, far, 0.1, 1.0, noise="sound", features=d).radius
        assert (whole - less).item() == pytest.approx(1.01 * 100 / STEPS, rel=1e-3)
    assert DISTANCE == 2.0**-48 and PLAIN.spend(0.1, 1000, 10**8) == 0.1


STAMPS = torch.tensor([[1.7e9], [1.7e9 + 4]], dtype=torch.float64)


def after(x):
    return (x[:, 0].double() - (1.7e9 + 2)).sign()


def stamped(kind, dtype, noise):
    if kind == "normal":
        return NormalSmoothing(Score(after, dtype=dtype), 5.0, 500, generator(), noise=noise)
    made = {"cohen": CohenScore, "gauss": GaussianScore}[kind]
    return made(after, 5.0, 500, generator(), dtype=dtype, noise=noise)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["cohen", "normal", "gauss"])
def test_noise_that_the_type_cannot_hold_is_an_error(kind, dtype):
    with pytest.raises(ValueError, match=r"^sigma must be at least .*torch.float64"):
        certify(stamped(kind, dtype, "plain"), STAMPS)
    if kind == "normal":
        with pytest.raises(ValueError, match="^sigma"):
            stamped(kind, dtype, "plain").predict(STAMPS)
        with pytest.raises(ValueError, match="^sigma"):
            stamped(kind, dtype, "plain").score(STAMPS)


@pytest.mark.parametrize("kind", ["cohen", "normal", "gauss"])
def test_noise_that_the_type_can_hold_is_admitted(kind):
    exact = certify(stamped(kind, torch.float64, "plain"), STAMPS)
    assert (exact.radius < 4).all() and not contradict(exact, STAMPS)
    rounded = certify(stamped(kind, torch.float32, "sound"), STAMPS)
    assert not contradict(rounded, STAMPS)
    for scale in (0.0, 1.0, 4000.0):
        assert len(certify(stamped(kind, torch.float32, "plain"), scale * torch.ones(1, 1))) == 1


def test_the_border_of_what_a_type_can_hold_is_where_the_spacing_is_a_share_of_sigma():
    noise = torch.zeros(1, 1, 1)
    for dtype, digits in ((torch.float32, 23), (torch.float64, 52)):
        x = torch.full((1, 1), 2.0**20, dtype=torch.float64)
        least = 2.0 ** (20 - digits) * 1024
        PLAIN.around(x, noise.to(dtype), least, dtype)
        with pytest.raises(ValueError, match="^sigma"):
            PLAIN.around(x, noise.to(dtype), 0.99 * least, dtype)
        with pytest.raises(ValueError, match="^sigma"):
            PLAIN.around(x, noise.to(dtype), torch.tensor([0.99 * least]), dtype)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_networks_in_half_precision_get_rounded_sums(dtype, noise):
    """h of sign(w^T fl(y)) is near w^T x: rounding to the type is part of the classifier."""
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 1).to(dtype).eval().requires_grad_(False)
    weight, bias = network.weight.double().flatten(), network.bias.double()
    x = torch.randn(5, 3, generator=generator(), dtype=torch.float64)
    score = CohenScore(network, 0.5, 20_000, generator(), noise=noise)
    low, high = score.interval(x)
    exact = (x @ weight + bias) / torch.linalg.vector_norm(weight)
    assert (low - 0.03 < exact).all() and (exact < high + 0.03).all() and (high - low < 0.3).all()
    drawn = PLAIN.draw((2000,), dtype, CPU, generator())
    assert drawn.dtype == torch.float32 and len(drawn.unique()) > 1990


def test_plain_draws_are_those_of_torch():
    x = torch.randn(4, 3, generator=generator(1), dtype=torch.float64)
    for dtype in (torch.float32, torch.float64):
        score = Score(lambda z: z.sum(1), dtype=dtype)
        ((_, drawn, values),) = normal_draws(score, x, 0.3, 20, generator())
        expected = torch.randn(4, 20, 3, dtype=dtype, generator=generator())
        assert torch.equal(drawn, expected)
        noisy = torch.add(x.to(dtype)[:, None], expected, alpha=0.3)
        assert torch.equal(values, noisy.sum(2).double())


@pytest.mark.parametrize("noise", NOISES)
def test_draws_repeat_themselves_and_go_on_in_a_copy(noise):
    score = CohenScore(LinearScore([1.0]), 0.5, 500, generator(3), noise=noise)
    smoothed = NormalSmoothing(Score(torch.nn.Flatten(0)), 0.1, 50, generator(3), noise=noise)
    for model, ask in ((score, "counts"), (smoothed, "score")):
        getattr(model, ask)([[0.1]])
        copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
        found = [getattr(one, ask)([[0.1]]).item() for one in (model, *copies)]
        assert found[0] == found[1] == found[2] and model.noise == noise


def test_a_path_of_sigmas_has_the_signs_of_each_alone():
    x = torch.tensor([[1.0], [-0.5], [0.3]], dtype=torch.float64)
    model = NormalSmoothing(Score(lambda z: z[:, 0].tanh()), 1.0, 4000, generator(), noise="sound")
    for found in model.estimate_path(x, [0.2, 1.0, 3.0]):
        assert found.decided.all() and torch.equal(found.sign, x[:, 0].sign())


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("noise", lambda: CohenScore(torch.sin, 1.0, noise="fair")),
        ("noise", lambda: GaussianScore(torch.sin, 1.0, noise=None)),
        ("noise", lambda: NormalSmoothing(Score(torch.sin), 1.0, noise=["sound"])),
        ("noise", lambda: cohen_certificate([1], 2, 1.0, [1], [1.0], 0.0, noise="")),
        ("features", lambda: cohen_interval([1], 2, 1.0, features=1.5)),
        ("samples", lambda: cohen_interval([1], 2**30, 1.0, noise="sound", features=2**20)),
        ("sigma", lambda: SOUND.around(STAMPS, torch.zeros(2, 1, 1), 1e-3, torch.float64)),
        ("sigma", lambda: SOUND.around(STAMPS, torch.zeros(2, 1, 1), 1e-305, torch.float64)),
    ],
)
def test_a_bad_argument_is_refused_by_name(argument, call):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert re.match(rf"{argument}\b", str(caught.value)), caught.value
