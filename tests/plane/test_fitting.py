"""The best stairs: against all stairs of small problems, and on points that they have not seen."""

from itertools import combinations, combinations_with_replacement

import numpy as np
import pytest
import torch

from lbrs import Bias
from lbrs.plane.fitting import certified, fit_bias, path
from lbrs.plane.radii import theorem_u

INF = float("inf")


def drawn(seed, n):
    """Margins of an accurate base and a robust oracle, and labels."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.where(torch.rand(n, generator=generator) < 0.5, 1.0, -1.0).double()
    noise = torch.randn(2, n, dtype=torch.float64, generator=generator)
    return y * (0.5 + 0.4 * noise[0]), y * (1.2 + 1.2 * noise[1]), y


def middles(numbers):
    known = sorted(set(numbers))
    return [(low + high) / 2 for low, high in zip(known, known[1:], strict=False)]


def every(m, o, y, radii, steps, odd):
    """All stairs that tell the moved points apart."""
    shifted = [(y * m - r, y * o - r) for r in radii]
    base = torch.cat([pair[0] for pair in shifted]).tolist()
    oracle = torch.cat([pair[1] for pair in shifted])
    if odd:
        places = oracle.abs().tolist()
        values = [0.0, *(v for v in middles([*base, *(-b for b in base)]) if v > 0), INF]
    else:
        places = (y.repeat(len(radii)) * oracle).tolist()
        values = [-INF, *middles([*base, *(-b for b in base)]), INF]
    for k in range(steps + 1):
        for edges in combinations(middles(places), k):
            for lengths in combinations_with_replacement(values, k + 1):
                yield Bias.stairs(lengths, edges) if odd else Bias(edges, lengths)


@pytest.mark.parametrize(("seed", "odd"), [(s, odd) for s in range(4) for odd in (True, False)])
def test_no_stairs_certify_more(seed, odd):
    m, o, y = drawn(seed, 4)
    radii = [0.0, 0.7]
    found = fit_bias(m, o, y, radii, steps=1, odd=odd)
    assert len(found.bias.thresholds) <= (3 if odd else 1) and (found.bias.odd or not odd)
    toward = torch.stack([y * m, y * o, y])
    asked = torch.tensor(radii, dtype=torch.float64)
    best = max(
        certified(bias, toward, asked).mean().item() for bias in every(m, o, y, radii, 1, odd)
    )
    assert found.seen.mean().item() == pytest.approx(best)


@pytest.mark.parametrize("seed", range(6))
def test_the_path_is_the_cheapest(seed):
    rng = np.random.default_rng(seed)
    paid, steps = rng.integers(0, 9, (5, 4)).astype(float), seed % 4
    changes, columns = path(paid, steps)
    row_columns = columns[np.searchsorted(changes, np.arange(5), side="right")]
    assert len(changes) <= steps and len(columns) == len(changes) + 1
    assert (np.diff(columns) >= 0).all()
    paths = [c for c in combinations_with_replacement(range(4), 5) if len({*c}) <= steps + 1]
    assert paid[np.arange(5), row_columns].sum() == min(
        paid[np.arange(5), list(c)].sum() for c in paths
    )


def test_more_steps_are_never_worse_where_they_were_chosen_and_one_is_lbrs_at_least():
    m, o, y = drawn(7, 120)
    radii = torch.tensor([0.0, 0.25, 0.5, 1.0, 1.5], dtype=torch.float64)
    seen = [fit_bias(m, o, y, radii, steps=k).seen.mean().item() for k in (0, 1, 2)]
    assert seen == sorted(seen)
    toward = torch.stack([y * m, y * o, y])
    best = max(
        certified(Bias.constant(alpha), toward, radii).mean().item()
        for alpha in torch.linspace(0, 3, 301).tolist()
    )
    assert seen[0] >= best and seen[1] > best


def test_clean_accuracy_is_kept_and_costs_radius():
    m, o, y = drawn(8, 200)
    m = m + 0.4 * y
    radii = [0.5, 1.0, 2.0]
    toward = torch.stack([y * m, y * o, y])
    free = fit_bias(m, o, y, radii)
    zero = torch.zeros(1, dtype=torch.float64)
    clean = certified(free.bias, toward, zero).item()
    base = (m * y > 0).double().mean().item()
    assert clean < base - 0.01
    kept = fit_bias(m, o, y, radii, keep=base - 0.005)
    assert certified(kept.bias, toward, zero).item() >= base - 0.005
    assert kept.seen.mean() < free.seen.mean()
    with pytest.raises(ValueError, match="keep must be at most the"):
        fit_bias(m, o, y, radii, keep=1.0)


def test_the_estimate_is_of_points_that_the_stairs_have_not_seen():
    """Where labels are chance, stairs certify on what chose them, and by half on other points."""
    generator = torch.Generator().manual_seed(9)
    m, o = torch.randn(2, 80, dtype=torch.float64, generator=generator)
    y = torch.where(torch.rand(80, generator=generator) < 0.5, 1.0, -1.0)
    found = fit_bias(m, o, y, [0.0], steps=8, odd=False)
    assert found.seen.item() > 0.6 and found.unseen.item() < found.seen.item() - 0.05
    assert found.clean == found.unseen.item()
    m, o, y = drawn(10, 600)
    fitted, fresh = fit_bias(m[:300], o[:300], y[:300], [0.0, 1.0]), drawn(11, 3000)
    n = torch.tensor([0.0, 1.0], dtype=torch.float64)
    new = torch.stack([fresh[2] * fresh[0], fresh[2] * fresh[1], fresh[2]])
    assert (fitted.unseen - certified(fitted.bias, new, n)).abs().max() < 0.06
    assert "on points not seen" in str(fitted)


def test_certified_accuracy_is_that_of_the_radii_of_theorem_u():
    m, o, y = drawn(12, 50)
    bias = Bias((-0.4, 0.9), (-0.2, 0.1, 0.5))
    radius = torch.where(y > 0, theorem_u(m, o, bias), theorem_u(-m, -o, bias.turned()))
    radii = torch.tensor([0.0, 0.5], dtype=torch.float64)
    expected = torch.stack([(radius > r).double().mean() for r in radii])
    assert torch.equal(certified(bias, torch.stack([y * m, y * o, y]), radii), expected)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"o": [1.0]}, "o must have 3 margins"),
        ({"y": [1, 1, 2]}, "y must"),
        ({"radii": [-1.0]}, "radii must be >= 0"),
        ({"radii": []}, "radii and points must not be fewer"),
        ({"steps": -1}, "steps must be"),
        ({"keep": 2.0}, "keep must be"),
        ({"folds": 1}, "folds must be"),
    ],
)
def test_bad_input_is_refused(change, told):
    given = {"m": [1.0, 2.0, 3.0], "o": [1.0, 1.0, 1.0], "y": [1, 1, -1], "radii": [0.0]}
    with pytest.raises(ValueError, match=told):
        fit_bias(**(given | change))
