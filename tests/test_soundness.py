"""No certificate is false, whatever its assumption allows: a smaller run of
`benchmarks/soundness.py`; and its adversaries find what is false."""

import importlib

import numpy as np
import pytest
import torch

from lbrs import L1, L2, LINF, LinearScore, LocallyBiased, NearestNeighborOracle, Norm, Score
from lbrs.certificates import theorem1

pytestmark = pytest.mark.slow

POINTS = 8_000
TITLES = [
    "LinearScore, paper",
    "LinearScore, sharp",
    "LinearScore, exact",
    "1-NN oracle, paper",
    "1-NN oracle, sharp",
    "3-NN oracle, sharp",
    "AffineScores, sharp",
    "smooth network, paper",
    "smooth network, sharp",
    "network in bfloat16, sharp",
    "network in float16, sharp",
    "ReLU network in bfloat16, sharp",
    "ReLU network in float16, sharp",
    "ReLU network, errors proved, float64, sharp",
    "ReLU network, errors proved, bfloat16, sharp",
    "ReLU network, errors proved, float16, sharp",
    "Score, constant L, paper",
    "Score, constant L, sharp",
    "Score, local L, paper",
    "Score, local L, sharp",
    "LipschitzScore, sharp",
    "ClassScores, sharp",
    "CohenScore, sharp",
    "GaussianScore, sharp",
    "NormalSmoothing, Theorem 1",
    "LinearScore in other norms, paper",
    "LinearScore in other norms, sharp",
    "LinearScore in other norms, exact",
    "1-NN oracle in other norms, paper",
    "1-NN oracle in other norms, sharp",
    "3-NN oracle in other norms, sharp",
    "AffineScores in other norms, sharp",
    "1-NN with a metric, sharp",
    "3-NN with a metric, sharp",
    "LinearScore with stairs, sharp",
    "LipschitzScore with stairs, sharp",
    "AffineScores with stairs, sharp",
]


@pytest.fixture(scope="module")
def soundness():
    """The script, beside its adversaries in `benchmarks`, which pytest's `pythonpath` names."""
    return importlib.import_module("soundness")


@pytest.fixture
def attack(soundness):
    """attack(title): what was found for a kind of certificate, over all its norms."""

    def attack(title, points=POINTS):
        kind = next(kind for kind in soundness.KINDS if kind.title == title)
        return soundness.run(kind, points)

    return attack


def test_every_kind_is_attacked(soundness):
    assert [kind.title for kind in soundness.KINDS] == TITLES


@pytest.mark.parametrize("title", TITLES)
def test_no_certificate_is_false(attack, title):
    found = attack(title, 4 * POINTS if title.endswith("other norms, exact") else POINTS)
    assert sum(count.attacked for count in found.values()) >= POINTS
    assert all(count.certified > 5 for count in found.values())
    assert [count.example for count in found.values() if count.false] == []


def test_the_table_names_what_is_false(soundness, capsys, monkeypatch):
    assert soundness.main(["--points", "500", "--kind", "LinearScore, paper"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split(" | ")[2] for row in rows] == ["l1", "l2", "linf", "l3", "l1.5"]
    assert all(row.endswith(" | 0 |") for row in rows)
    radius = NearestNeighborOracle.radius
    monkeypatch.setattr(
        NearestNeighborOracle,
        "radius",
        lambda self, x, norm, bound="sharp": 2 * radius(self, x, norm, bound),
    )
    assert soundness.main(["--points", "500", "--kind", "3-NN"]) == 1
    assert "changes at distance" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        soundness.main(["--kind", "no such kind"])
    assert "part of one of" in capsys.readouterr().err


def falsified(found):
    return sum(count.false for count in found.values())


@pytest.mark.parametrize(
    "title",
    [
        "Score, constant L, sharp",
        "Score, local L, sharp",
        "LipschitzScore, sharp",
        "ClassScores, sharp",
    ],
)
def test_an_understated_rounding_is_found(attack, monkeypatch, title):
    worst = importlib.import_module("worst")
    for kind in (worst.ChosenScore, worst.ChosenLipschitz, worst.ChosenClasses):

        def understate(self, *given, before=kind.__init__):
            before(self, *given)
            self._rounding *= 0.8

        monkeypatch.setattr(kind, "__init__", understate)
    assert falsified(attack(title)) > 0


@pytest.mark.parametrize("title", TITLES[:3])
def test_a_linear_score_without_its_allowance_is_found(attack, monkeypatch, title):
    monkeypatch.setattr(
        LinearScore, "rounding_error", lambda self, x: torch.zeros(len(x), dtype=torch.float64)
    )
    assert falsified(attack(title)) > 0


@pytest.mark.parametrize("title", TITLES[3:6])
def test_an_overstated_radius_of_the_oracle_is_found(attack, monkeypatch, title):
    radius = NearestNeighborOracle.radius
    monkeypatch.setattr(
        NearestNeighborOracle,
        "radius",
        lambda self, x, norm, bound="sharp": (1 + 1e-9) * radius(self, x, norm, bound),
    )
    assert falsified(attack(title)) > 0


@pytest.mark.parametrize("title", ["Score, constant L, paper", "Score, local L, paper"])
def test_an_understated_curvature_is_found(attack, monkeypatch, title):
    worst = importlib.import_module("worst")
    before = worst.ChosenScore.__init__

    def understate(self, chosen, L):
        before(self, chosen, (lambda x, R: 0.3 * L(x, R)) if callable(L) else 0.3 * L)

    monkeypatch.setattr(worst.ChosenScore, "__init__", understate)
    assert falsified(attack(title)) > 0


@pytest.mark.parametrize(
    ("name", "title", "factor"),
    [("CohenScore", "CohenScore, sharp", 1.3), ("GaussianScore", "GaussianScore, sharp", 3.0)],
)
def test_an_overstated_noise_is_found(attack, monkeypatch, name, title, factor):
    adversaries = importlib.import_module("adversaries_sampled")
    before = getattr(adversaries, name)
    monkeypatch.setattr(
        adversaries, name, lambda score, sigma, samples: before(score, factor * sigma, samples)
    )
    assert falsified(attack(title)) > 0


def test_an_overstated_radius_of_normal_smoothing_is_found(attack, monkeypatch):
    monkeypatch.setattr("lbrs.normal.theorem1", lambda lower, sigma: theorem1(lower, 2 * sigma))
    assert falsified(attack("NormalSmoothing, Theorem 1")) > 0


def test_only_points_inside_the_ball_count(soundness):
    x, edge = torch.zeros(2, dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64)
    for norm in (L1, L2, LINF, Norm(3), Norm(1.5)):
        assert not soundness.within(edge, x, 1.0, norm)
        assert soundness.within(torch.nextafter(edge, x), x, 1.0, norm)
        assert not soundness.within(x, x, 0.0, norm) and soundness.within(
            edge, x, float("inf"), norm
        )
        both = torch.tensor([3e-170, 4e-170], dtype=torch.float64)
        length = {1: 7e-170, 2: 5e-170}.get(norm.p)
        assert length is None or soundness.within(both, x, length * (1 + 1e-15), norm)
        assert length is None or not soundness.within(both, x, length * (1 - 1e-15), norm)


class ErringScore(Score):
    """g = 3e-4 x - 2.5, whose gradient is computed exactly at 0 and 1e-4 too small elsewhere."""

    def value_and_gradient(self, x):
        return 3e-4 * x[:, 0] - 2.5, torch.where(x == 0, 3e-4, 2e-4)


def test_the_gradients_error_counts_at_x_and_at_z():
    score = ErringScore(lambda x: 3e-4 * x[:, 0] - 2.5, 0.0, rounding=1e-4, assume_smooth=True)
    model = LocallyBiased(score, NearestNeighborOracle([[0.0], [200.0]], [1, -1]), 1e4)
    assert model.predict([[0.0], [2.1], [-2.1], [50.0]]).tolist() == [1, -1, -1, -1]
    assert model.certify([[0.0]]).radius.item() < 2.1
    exact = LocallyBiased(
        LinearScore([3e-4], -2.5), NearestNeighborOracle([[0.0], [200.0]], [1, -1]), 1e4
    )
    assert exact.certify([[0.0]]).radius.item() == pytest.approx(100)


def test_the_adversary_keeps_the_assumption():
    worst = importlib.import_module("worst")
    for seed in range(200):
        rng = np.random.default_rng(seed)
        s, norm = worst.share(rng), [L1, L2, LINF, Norm(3), Norm(1.5)][seed % 5]
        chosen, _, m, alpha = worst.draw(rng, norm, s, local=False)
        chosen.alpha, chosen.prediction = alpha, float(rng.choice([-1, 1]))
        t = torch.from_numpy(rng.random(5)) * (1 + alpha)
        seen = torch.tensor(chosen.at, dtype=torch.float64)
        low, high = worst.true_values(chosen.prediction * seen[0], s)
        for v in (low, high):
            assert (chosen.prediction * seen[0] - v).abs() <= s * (1 + v.abs())
        for chosen.choice in worst.CHOICES:
            G, nu = chosen.lengths(t)
            assert (
                (seen[1] - G).abs() <= s * (1 + G)
                and (G >= 0)
                and (
                    (nu - G).abs()
                    <= chosen.L0 * t * (1 + 1e-12) + 1e-14 * (G + chosen.L0 * (t + alpha))
                ).all()
            )
            z = (chosen.x + t[:, None] * m)[chosen.kept(chosen.x + t[:, None] * m)]
            slope = norm.dual(chosen.evaluate(z)[1])
            nu = chosen.lengths(chosen.distance(z))[1]
            assert ((slope - nu).abs() <= s * (1 + nu)).all()
