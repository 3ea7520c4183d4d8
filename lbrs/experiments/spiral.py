"""Section 5.1: a linear support vector machine on the spiral, over all alpha at once."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lbrs.experiments import data
from lbrs.experiments.configs import SpiralConfig
from lbrs.experiments.stages import Results, Stages, accuracy, columns, counted
from lbrs.norms import L2, LINF, Norm
from lbrs.oracles.nearest import NearestNeighborOracle
from lbrs.paths import accuracy_path, radius_path
from lbrs.scores.base import select
from lbrs.scores.linear import LinearScore
from lbrs.scores.local import Linearization
from lbrs.smoothing import LocallyBiased

SIDE = 12.0
"""Half the side of the square whose decision regions are drawn."""

PLAY = 3.0
"""The same in the playground."""


def spiral(
    config: SpiralConfig, seed: int, device: torch.device, stages: Stages
) -> tuple[data.BinaryTask, Results]:
    """Decision regions, average radii by Theorem 6 and Theorem B, and accuracy over alpha (Figures
    1 and 2); at some alphas also the exact radii."""
    task = spiral_task(config, seed)
    results = stages("spiral", partial(measured, config, task, device))
    return task, {**results, "sharpness": sharpness(config, task, stages)}


def spiral_task(config: SpiralConfig, seed: int) -> data.BinaryTask:
    """The three samples."""
    return data.spiral(
        seed,
        train_points=config.train_points,
        reference_points=config.reference_points,
        test_points=config.test_points,
        turns=config.turns,
        jitter=config.jitter,
    )


def classifier(
    config: SpiralConfig, task: data.BinaryTask, device: torch.device | str
) -> tuple[LinearScore, NearestNeighborOracle]:
    """The linear support vector machine and the oracle."""
    from sklearn.svm import SVC

    svm = SVC(kernel="linear", C=config.svm_c).fit(task.train_x.numpy(), task.train_y.numpy())
    score = LinearScore(torch.tensor(svm.coef_[0]).to(device), float(svm.intercept_[0]))
    return score, NearestNeighborOracle(task.reference_x.to(device), task.reference_y)


def measured(config: SpiralConfig, task: data.BinaryTask, device: torch.device) -> Results:
    """All that is known at every alpha, and the decision regions at some."""
    score, oracle = classifier(config, task, device)
    x, y = task.test_x.to(device), task.test_y.to(device)
    local, label = score.linearize(x, L2), oracle.label(x)
    differ = local.base != label
    return {
        "norms": {
            str(norm): _radii(config, score.linearize(x, norm), oracle, x, y, norm)
            for norm in (L2, LINF)
        },
        "svm": {"weight": score.weight.tolist(), "bias": score.bias},
        "accuracy": counted(accuracy_path(local, label, y), len(y)),
        "nearest": accuracy(label, y),
        "nearest_alpha": local.crossing[differ].max().item() if differ.any() else 0.0,
        "test": {"x": task.test_x.double().round(decimals=3).tolist(), "y": y.int().tolist()},
        "regions": regions(score, oracle, config.shown_alphas, SIDE, config.raster),
    }


def _radii(
    config: SpiralConfig,
    local: Linearization,
    oracle: NearestNeighborOracle,
    x: Tensor,
    y: Tensor,
    norm: Norm,
) -> Results:
    """The average radii over alpha in `norm`, by both bounds; the true radius counts a wrong point
    as 0."""
    distance, label = local.crossing, oracle.label(x)
    before, after = ((prediction == y).double() for prediction in (local.base, label))
    found: Results = {}
    for prefix, bound in (("", "paper"), ("sharp_", "sharp")):
        line = partial(
            radius_path, distance, local.base == label, oracle.radius(x, norm, bound), bound=bound
        )
        for name, path in (("radius", line()), ("true_radius", line(before, after))):
            drawn = path.thinned(config.alpha_max, config.tolerance)
            found[prefix + name] = {"alpha": drawn.knots.tolist(), "value": drawn.values.tolist()}
    return {
        **found,
        "base_radius": distance.mean().item(),
        "base_true_radius": (distance * before).mean().item(),
    }


def regions(
    score: LinearScore,
    oracle: NearestNeighborOracle,
    alphas: Iterable[float],
    side: float,
    raster: int,
) -> Results:
    """f^mu on a square raster for each alpha, rows from the bottom, as hexadecimal bits (1 for the
    label +1)."""
    axis = torch.linspace(-side, side, raster, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
    grid = grid.to(score.device)
    local, label, alphas = score.linearize(grid, L2), oracle.label(grid), list(alphas)
    bits = [_hexadecimal(select(local, label, alpha) > 0) for alpha in alphas]
    return {"side": side, "raster": raster, "alpha": alphas, "bits": bits}


def _hexadecimal(positive: Tensor) -> str:
    return f"{int(''.join('1' if bit else '0' for bit in positive.tolist()), 2):x}"


def sharpness(config: SpiralConfig, task: data.BinaryTask, stages: Stages) -> Results:
    """How much of the exact radius the bounds reach, in both norms at some alphas."""
    score, oracle = classifier(config, task, "cpu")
    jobs = {
        f"exact-{norm}-{alpha:g}": partial(
            _compared, config, task, LocallyBiased(score, oracle, alpha, norm)
        )
        for norm in (L2, LINF)
        for alpha in config.exact_alphas
    }
    done, found = stages.each(jobs), {}
    for norm in map(str, (L2, LINF)):
        entries = [done[f"exact-{norm}-{alpha:g}"] for alpha in config.exact_alphas]
        kinds = {kind: columns([entry[kind] for entry in entries]) for kind in entries[0]}
        ends = {"alpha": list(config.exact_alphas), "radii": list(config.exact_radii)}
        found[norm] = ends | kinds
    return found


def _compared(config: SpiralConfig, task: data.BinaryTask, model: LocallyBiased) -> Results:
    """Average radius and certified accuracies by Theorem 6, by Theorem B and exactly, on the first
    test points."""
    x, y = task.test_x[: config.exact_points], task.test_y[: config.exact_points]
    found: Results = {}
    for kind, bound in (("theorem6", "paper"), ("theorem_b", "sharp"), ("exact", "exact")):
        certificate = model.certify(x, bound)
        certified = [certificate.accuracy(y, radius) for radius in config.exact_radii]
        found[kind] = {"average": certificate.radius.mean().item(), "certified": certified}
    return found


def idea() -> dict[str, Any]:
    """The picture of the introduction: a linear score in the plane, seven reference points, and one
    point certified by Theorem 6."""
    positive = [[-2.2, 0.9], [-0.65, 1.0], [2.4, 0.8], [-0.9, -1.1]]
    negative = [[2.1, -2.0], [-2.2, -2.3], [0.7, -2.4]]
    points, labels = positive + negative, [1] * len(positive) + [-1] * len(negative)
    x, alphas = [-0.5, 0.6], (0.0, 0.9)
    score, oracle = LinearScore([0.25, 1.0], 0.0), NearestNeighborOracle(points, labels)
    radii = [LocallyBiased(score, oracle, alpha).certify([x]).radius.item() for alpha in alphas]
    return {
        "points": points,
        "labels": labels,
        "x": x,
        "weight": score.weight.tolist(),
        "bias": score.bias,
        "bias_direction": (oracle.label([x]) * L2.maximizer(score.weight)).tolist(),
        "radius": radii,
        "regions": regions(score, oracle, alphas, 3.0, 240),
    }


def presets() -> list[dict[str, Any]]:
    """What the playground starts from: a point that gains, one that changes sides, one that loses,
    and the spiral with 60 reference points, scaled to the square of half-width `PLAY`."""
    gains = idea()
    points = [[*p, y] for p, y in zip(gains["points"], gains["labels"], strict=True)]
    line = {"w": gains["weight"], "b": gains["bias"], "points": points, "norm": "l2"}
    task = spiral_task(SpiralConfig(reference_points=60), 0)
    score, oracle = classifier(SpiralConfig(), task, "cpu")
    unit = PLAY / SIDE
    near = [
        [*p, y]
        for p, y in zip((unit * oracle.points).tolist(), oracle.labels.tolist(), strict=True)
    ]
    line_of_it = {"w": score.weight.tolist(), "b": unit * score.bias, "points": near, "norm": "l2"}
    at = (unit * task.test_x[7]).tolist()
    return [
        {"name": "a point that gains", **line, "x": gains["x"], "alpha": 0.9},
        {"name": "a point that changes sides", **line, "x": [-0.8, -0.35], "alpha": 0.9},
        {"name": "a point that loses", **line, "x": [0.75, 1.35], "alpha": 0.9}
        | {"points": [*points, [1.1, 1.9, -1]]},
        {"name": "the spiral", **line_of_it, "x": at, "alpha": 1.0},
    ]
