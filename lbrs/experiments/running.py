"""The paper's experiments: every choice in a dataclass, from choices to a `Record`."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lbrs._checks import integer
from lbrs.attacks.pgd import pgd
from lbrs.experiments import data
from lbrs.experiments.certified import certified
from lbrs.experiments.configs import (
    CertifiedConfig,
    Config,
    ImagesConfig,
    SensitivityConfig,
    SpiralConfig,
)
from lbrs.experiments.networks import cnn, train
from lbrs.experiments.records import PROFILES, Record, find_project, published, versions
from lbrs.experiments.sensitivity import sensitivity
from lbrs.experiments.stages import Stages, accuracy, generator, pick_device
from lbrs.normal import NormalSmoothing
from lbrs.norms import L2, LINF, Norm
from lbrs.oracles.nearest import NearestNeighborOracle
from lbrs.paths import Steps, accuracy_path, radius_path
from lbrs.scores.base import select
from lbrs.scores.linear import LinearScore
from lbrs.scores.margin import ProbabilityMargin
from lbrs.smoothing import LocallyBiased


@dataclass(frozen=True)
class Outcome:
    """A record and whether it was computed just now; if not, it is the published one and `reason` says why.

    In a notebook it shows as a sentence, and as JSON for the programs that read the executed notebook.
    """

    record: Record
    rerun: bool
    reason: str = ""

    @property
    def sentence(self) -> str:
        """What the reader should know, as Markdown."""
        record = self.record
        origin = (
            "Computed on this machine"
            if self.rerun
            else f"**Not re-run here**: {self.reason}. Shown is the published record"
        )
        return f"{origin}: profile *{record.profile}*, seed {record.seed}, {record.test_points:,} test points. Wall time {record.wall_time:.0f} s."

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        state = {"run": self.record.run, "rerun": self.rerun, "reason": self.reason}
        return {
            "text/markdown": self.sentence,
            "text/plain": self.sentence,
            "application/vnd.lbrs.outcome+json": state,
        }


def run(
    config: Config,
    *,
    run: str,
    profile: str,
    seed: int,
    device: str = "auto",
    folder: Path | None = None,
) -> Record:
    """Compute an experiment and write its record to `folder` (the project's _build/records).

    Each finished stage is kept until the record is written: a run that was stopped continues there, with the same result.
    Parameters: `config`, the choices; `run` and `profile`, under which names; `seed` >= 0; `device`, "auto" takes a GPU if there is one.
    """
    if profile not in PROFILES:
        raise ValueError(
            f"profile must be one of {', '.join(map(repr, PROFILES))}, got {profile!r}"
        )
    integer("seed", seed, low=0)
    place = pick_device(device)
    folder = Path(folder) if folder else find_project() / "_build" / "records"
    stages = Stages(
        folder.parent / "partial",
        [run, profile, seed, str(place), asdict(config)],
        title=f"{run}-{profile}-{seed}",
    )
    task, results = EXPERIMENTS[type(config)](config, seed, place, stages)
    record = Record(
        run,
        profile,
        seed,
        asdict(config),
        versions(),
        str(place),
        task.test_hash,
        len(task.test_y),
        stages.seconds,
        results,
    )
    record.save(folder)
    stages.clear()
    return record


def run_or_published(
    config: Config, *, run: str, profile: str, seed: int, device: str = "auto"
) -> Outcome:
    """As `run`; where the data cannot be had, the published record of the project's book/records instead, with the reason."""
    try:
        return Outcome(_run(config, run=run, profile=profile, seed=seed, device=device), True)
    except data.DataError as error:
        try:
            return Outcome(published(run), False, str(error).rstrip("."))
        except FileNotFoundError:
            raise error from None


_run = run


def spiral(
    config: SpiralConfig, seed: int, device: torch.device, stages: Stages
) -> tuple[data.BinaryTask, dict[str, Any]]:
    """Section 5.1: a linear SVM on the spiral; decision regions, radii of Theorem 6 and accuracy over alpha (Figures 1 and 2)."""
    task = data.spiral(
        seed,
        train_points=config.train_points,
        reference_points=config.reference_points,
        test_points=config.test_points,
        turns=config.turns,
        jitter=config.jitter,
    )
    results = stages("spiral", lambda: _spiral(config, task, device))
    score, oracle = _classifier(config, task, "cpu")
    jobs = [(norm, alpha) for norm in (L2, LINF) for alpha in config.exact_alphas]
    found = [
        stages(
            f"exact-{norm}-{alpha:g}",
            lambda norm=norm, alpha=alpha: _sharpness(
                config, task, LocallyBiased(score, oracle, alpha, norm)
            ),
        )
        for norm, alpha in stages.progress(jobs)
    ]
    for norm in (L2, LINF):
        entries = [entry for (used, _), entry in zip(jobs, found, strict=True) if used == norm]
        kinds = {
            kind: {key: [entry[kind][key] for entry in entries] for key in ("average", "certified")}
            for kind in entries[0]
        }
        results.setdefault("sharpness", {})[str(norm)] = {
            "alpha": list(config.exact_alphas),
            "radii": list(config.exact_radii),
            **kinds,
        }
    return task, results


def _classifier(
    config: SpiralConfig, task: data.BinaryTask, device: torch.device | str
) -> tuple[LinearScore, NearestNeighborOracle]:
    """The linear support vector machine and the oracle."""
    from sklearn.svm import SVC

    svm = SVC(kernel="linear", C=config.svm_c).fit(task.train_x.numpy(), task.train_y.numpy())
    score = LinearScore(torch.tensor(svm.coef_[0]).to(device), float(svm.intercept_[0]))
    return score, NearestNeighborOracle(task.reference_x.to(device), task.reference_y)


def _sharpness(config: SpiralConfig, task: data.BinaryTask, model: LocallyBiased) -> dict[str, Any]:
    """Average radius and certified accuracies by Theorem 6, by Theorem B and exactly, on the first test points."""
    x, y = task.test_x[: config.exact_points], task.test_y[: config.exact_points]
    found = {}
    for kind, bound in (("theorem6", "paper"), ("theorem_b", "sharp"), ("exact", "exact")):
        certificate = model.certify(x, bound)
        found[kind] = {
            "average": certificate.radius.mean().item(),
            "certified": [certificate.accuracy(y, radius) for radius in config.exact_radii],
        }
    return found


def _spiral(config: SpiralConfig, task: data.BinaryTask, device: torch.device) -> dict[str, Any]:
    score, oracle = _classifier(config, task, device)
    x, y = task.test_x.to(device), task.test_y.to(device)
    local, label = score.linearize(x, L2), oracle.label(x)
    before, after = ((prediction == y).double() for prediction in (local.base, label))
    results: dict[str, Any] = {
        "norms": {},
        "svm": {"weight": score.weight.tolist(), "bias": score.bias},
    }
    for norm in (L2, LINF):
        distance = score.linearize(x, norm).crossing
        neighbor = {bound: oracle.radius(x, norm, bound) for bound in ("paper", "sharp")}
        drawn = {
            "radius": ("paper", None, None),
            "true_radius": ("paper", before, after),
            "sharp_radius": ("sharp", None, None),
            "sharp_true_radius": ("sharp", before, after),
        }
        paths = {
            name: radius_path(distance, local.base == label, neighbor[bound], *weights, bound=bound)
            for name, (bound, *weights) in drawn.items()
        }
        lines = {
            name: path.thinned(config.alpha_max, config.tolerance) for name, path in paths.items()
        }
        results["norms"][str(norm)] = {
            **{
                name: {"alpha": line.knots.tolist(), "value": line.values.tolist()}
                for name, line in lines.items()
            },
            "base_radius": distance.mean().item(),
            "base_true_radius": (distance * before).mean().item(),
        }
    results["accuracy"] = _steps(accuracy_path(local, label, y), len(y))
    results["nearest"] = accuracy(label, y)
    differ = local.base != label
    results["nearest_alpha"] = local.crossing[differ].max().item() if differ.any() else 0.0
    results["test"] = {"x": task.test_x.double().round(decimals=3).tolist(), "y": y.int().tolist()}
    results["regions"] = _regions(score, oracle, config.shown_alphas, 12.0, config.raster)
    return results


def _steps(path: Steps, points: int) -> dict[str, list]:
    """A path of accuracies as a record keeps it: where it jumps, and how many of the `points` are right before each jump and after the last."""
    return {"jumps": path.jumps.tolist(), "right": (path.values * points).round().int().tolist()}


def _regions(
    score: LinearScore,
    oracle: NearestNeighborOracle,
    alphas: Iterable[float],
    side: float,
    raster: int,
) -> dict[str, Any]:
    """f^mu on a square raster for each alpha, rows from the bottom, as hexadecimal bits (1 for the label +1)."""
    axis = torch.linspace(-side, side, raster, dtype=torch.float64)
    grid = (
        torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2).to(score.device)
    )
    local, label = score.linearize(grid, L2), oracle.label(grid)
    bits = [
        "".join("1" if positive else "0" for positive in (select(local, label, alpha) > 0).tolist())
        for alpha in alphas
    ]
    return {
        "side": side,
        "raster": raster,
        "alpha": list(alphas),
        "bits": [f"{int(b, 2):x}" for b in bits],
    }


def idea() -> dict[str, Any]:
    """The picture of the introduction: a linear score in the plane, seven reference points, and one point certified by Theorem 6."""
    points = [
        [-2.2, 0.9],
        [-0.65, 1.0],
        [2.4, 0.8],
        [-0.9, -1.1],
        [2.1, -2.0],
        [-2.2, -2.3],
        [0.7, -2.4],
    ]
    labels, x, alphas = [1, 1, 1, 1, -1, -1, -1], [-0.5, 0.6], (0.0, 0.9)
    score, oracle = LinearScore([0.25, 1.0], 0.0), NearestNeighborOracle(points, labels)
    radii = [LocallyBiased(score, oracle, alpha).certify([x]).radius.item() for alpha in alphas]
    direction = (oracle.label([x]) * L2.maximizer(score.weight)).tolist()
    return {
        "points": points,
        "labels": labels,
        "x": x,
        "weight": score.weight.tolist(),
        "bias": score.bias,
        "bias_direction": direction,
        "radius": radii,
        "regions": _regions(score, oracle, alphas, 3.0, 240),
    }


def images(
    config: ImagesConfig, seed: int, device: torch.device, stages: Stages
) -> tuple[data.BinaryTask, dict[str, Any]]:
    """Section 5.2 and Appendix B: clean and robust accuracy over the smoothing parameter and over the attack radius (Figures 3 to 6)."""
    task = data.images(
        config.dataset,
        seed,
        positive=config.positive,
        reference_points=config.reference_points,
        test_points=config.test_points,
    )
    bench = Bench(config, task, seed, device, stages)
    grid = [
        (norm, radius)
        for norm, top in ((L2, config.l2_max), (LINF, config.linf_max))
        for radius in torch.linspace(0, top, config.radius_points, dtype=torch.float64).tolist()
    ]
    jobs: list[Callable[[], dict]] = [
        lambda radius=radius: stages(f"smoothing-{radius:g}", lambda: bench.over_smoothing(radius))
        for radius in (0.0, *config.radii)
    ]
    jobs += [
        lambda norm=norm, radius=radius: stages(
            f"attack-{norm}-{radius:g}", lambda: bench.at_radius(norm, radius)
        )
        for norm, radius in grid
    ]
    done = [job() for job in stages.progress(jobs)]
    sets, attacks = done[: 1 + len(config.radii)], done[1 + len(config.radii) :]
    by_norm = {
        str(norm): [entry for (used, _), entry in zip(grid, attacks, strict=True) if used == norm]
        for norm in (L2, LINF)
    }
    return task, {
        "network": bench.training,
        "sigma": bench.sigmas,
        "sets": sets,
        "limits": stages("limits", bench.limits),
        "attacks": {
            norm: {key: [entry[key] for entry in entries] for key in entries[0]}
            for norm, entries in by_norm.items()
        },
    }


class Bench:
    """A trained base network with everything that is measured on it.

    Parameters: the choices, the task, the seed, the device, and the stages in which the trained weights are kept.
    """

    def __init__(
        self,
        config: ImagesConfig,
        task: data.BinaryTask,
        seed: int,
        device: torch.device,
        stages: Stages,
    ) -> None:
        self.config, self.seed, self.device = config, seed, device
        self.x, self.y = task.test_x.to(device), task.test_y.to(device)
        self.oracle = NearestNeighborOracle(task.reference_x.to(device), task.reference_y)
        network = cnn(task.shape, config.channels, generator=generator("cpu", seed, "weights")).to(
            device
        )
        kept = stages("network", lambda: self._train(network, task, stages))
        network.load_state_dict(kept["weights"])
        self.network = network.eval().requires_grad_(False)
        self.score = ProbabilityMargin(self.network)
        self.training = {
            "loss": kept["loss"],
            "parameters": sum(p.numel() for p in network.parameters()),
            "train_points": len(task.train_y),
        }
        self.sigmas = torch.linspace(
            0, config.sigma_max, config.sigma_points, dtype=torch.float64
        ).tolist()

    def _train(
        self, network: torch.nn.Module, task: data.BinaryTask, stages: Stages
    ) -> dict[str, Any]:
        loss = train(
            network,
            task.train_x,
            task.train_y,
            epochs=self.config.epochs,
            learning_rate=self.config.learning_rate,
            noise=self.config.noise,
            generator=generator("cpu", self.seed, "training"),
        )
        return {
            "weights": {name: value.cpu() for name, value in network.state_dict().items()},
            "loss": loss,
        }

    def attack(self, norm: Norm, radius: float) -> Tensor:
        """The test images attacked through the base network within `radius` in `norm`."""
        return pgd(
            self.network,
            self.x,
            self.y,
            radius,
            norm,
            steps=self.config.attack_steps,
            step=self.config.attack_step,
        )

    def normal(self, x: Tensor, sigmas: list[float], purpose: str) -> dict[str, list[float]]:
        """Accuracy of sigma-NS on `x` for each sigma, the share of undecided points and the mean number of draws; at sigma = 0 the network's."""
        smoothed = NormalSmoothing(
            self.score,
            self.config.sigma,
            self.config.samples,
            generator(self.device, self.seed, purpose),
            error=self.config.error,
        )
        noisy = [sigma for sigma in sigmas if sigma > 0]
        found = (
            {0.0: (accuracy(self.score.linearize(x, L2).base, self.y), 0.0, 0.0)}
            if 0 in sigmas
            else {}
        )
        for sigma, estimate in zip(noisy, smoothed.estimate_path(x, noisy), strict=True):
            found[sigma] = (
                accuracy(estimate.sign, self.y),
                (~estimate.decided).double().mean().item(),
                estimate.used.mean().item(),
            )
        return {
            key: [found[sigma][place] for sigma in sigmas]
            for place, key in enumerate(("normal", "undecided", "draws"))
        }

    def biased(self, x: Tensor, norm: Norm) -> tuple[dict[str, float], Steps]:
        """Accuracies of the network and of the 1-NN on `x`, and that of LBRS as a function of alpha."""
        local, label = self.score.linearize(x, norm), self.oracle.label(x)
        return {
            "cnn": accuracy(local.base, self.y),
            "nearest": accuracy(label, self.y),
        }, accuracy_path(local, label, self.y)

    def over_smoothing(self, radius: float) -> dict[str, Any]:
        """Accuracies on the test images attacked in l2 within `radius`, over all sigmas and all alphas."""
        x = self.attack(L2, radius)
        ends, path = self.biased(x, L2)
        return {
            "radius": radius,
            **ends,
            "lbrs": _steps(path, len(x)),
            **self.normal(x, self.sigmas, f"smoothing-{radius:g}"),
        }

    def at_radius(self, norm: Norm, radius: float) -> dict[str, Any]:
        """Accuracies on the test images attacked in `norm` within `radius`, at the fixed sigma and alpha."""
        x = self.attack(norm, radius)
        ends, path = self.biased(x, norm)
        normal = {
            key: value
            for key, (value,) in self.normal(
                x, [self.config.sigma], f"attack-{norm}-{radius:g}"
            ).items()
        }
        return {"radius": radius, **ends, "lbrs": path(self.config.alpha).item(), **normal}

    def limits(self) -> dict[str, float]:
        """On how many clean test images alpha = 0 differs from the network, alpha = 1e300 from the 1-NN, and the gradient is zero;
        `nearest_alpha`, above which LBRS is the 1-NN on all of them (as far as their gradients are not zero)."""
        base, label = self.score.linearize(self.x, L2), self.oracle.label(self.x)
        zero, infinite = (
            LocallyBiased(self.score, self.oracle, alpha).predict(self.x) for alpha in (0.0, 1e300)
        )
        logits = torch.where(self.score.logit(self.x) >= 0, 1.0, -1.0)
        differ = (base.base != label) & torch.isfinite(base.crossing)
        last = base.crossing[differ].max().item() if differ.any() else 0.0
        return {
            "nearest_alpha": last,
            "alpha_zero": int((zero != logits).sum()),
            "alpha_infinity": int((infinite != label).sum()),
            "zero_gradient": int(torch.isinf(base.crossing).sum()),
        }


EXPERIMENTS: dict[type, Callable] = {
    SpiralConfig: spiral,
    ImagesConfig: images,
    CertifiedConfig: certified,
    SensitivityConfig: sensitivity,
}
