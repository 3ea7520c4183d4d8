"""The paper's experiments: every choice in a dataclass, from choices to a `Record`."""

import glob
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lbrs import data
from lbrs._checks import integer, number
from lbrs._files import write_file
from lbrs.attacks import pgd
from lbrs.networks import cnn, train
from lbrs.norms import L2, LINF, Norm
from lbrs.oracles import NearestNeighborOracle
from lbrs.records import PROFILES, Record, find_project, record_name, sources_hash, versions
from lbrs.scores import LinearScore, ProbabilityMargin
from lbrs.smoothing import LocallyBiased, NormalSmoothing, select


def _choice(default: Any, says: str) -> Any:
    return field(default=default, metadata={"says": says})


@dataclass(frozen=True)
class SpiralConfig:
    """The choices of the illustrative example (Section 5.1); the paper gives only the range of alpha and the two norms."""

    train_points: int = _choice(800, "points on which the SVM is fitted; two arms, radius up to 10, drawn for this alone")
    reference_points: int = _choice(200, "reference points of the oracle, another sample")
    test_points: int = _choice(1000, "test points, a third sample")
    turns: float = _choice(1.0, "turns of each arm")
    jitter: float = _choice(0.5, "standard deviation of the normal jitter, in the units of x")
    svm_c: float = _choice(1.0, "penalty C of the linear support vector machine")
    alpha_max: float = _choice(10.0, "largest alpha; the paper's range is [0, 10]")
    alpha_points: int = _choice(101, "equidistant values of alpha from 0")
    shown_alphas: tuple[float, ...] = _choice((0.0, 1.0, 3.0, 10.0), "alphas whose decision regions are drawn")
    raster: int = _choice(160, "points along each side of the drawn square")

    def __post_init__(self) -> None:
        _check(self, positive=("turns", "svm_c", "alpha_max"), counts=("alpha_points", "raster"))


@dataclass(frozen=True)
class ImagesConfig:
    """The choices of the image experiments (Section 5.2 and Appendix B); the defaults are the paper's protocol on MNIST where it gives one."""

    dataset: str = _choice("mnist", "source of the images")
    positive: int = _choice(8, "class with label +1, against all others; the paper takes the digit eight")
    reference_points: int = _choice(10, "N, reference points held out of training, half of each class; N = 10 in the paper")
    test_points: int = _choice(10_000, "test images at most, half of each class; all of the positive class and as many others if there are fewer")
    channels: tuple[int, int, int] = _choice((16, 32, 64), "channels of the three 3x3 convolutions with stride 2 and ReLU, before one linear layer")
    epochs: int = _choice(10, "epochs of Adam with a one-cycle rate on the logistic loss, batch 128")
    learning_rate: float = _choice(3e-3, "largest learning rate of the cycle")
    noise: float = _choice(0.0, "standard deviation of the noise that the base network is trained with")
    radii: tuple[float, ...] = _choice((0.5, 1.0), "l2 attack radii against the smoothing parameter; 0.5 and 1 in the paper")
    sigma_max: float = _choice(0.5, "largest sigma; the paper's range is [0, 0.5]")
    sigma_points: int = _choice(21, "equidistant values of sigma from 0, where normal smoothing is the network itself")
    alpha_max: float = _choice(1000.0, "largest alpha; the paper's range is [0, 1000]")
    alpha_points: int = _choice(121, "alphas: 0, and from a millionth of the largest to the largest in equal ratios")
    sigma: float = _choice(0.05, "sigma against the attack radius, as in the paper")
    alpha: float = _choice(10.0, "alpha against the attack radius, as in the paper")
    l2_max: float = _choice(3.0, "largest l2 attack radius, as in the paper")
    linf_max: float = _choice(0.3, "largest linf attack radius")
    radius_points: int = _choice(13, "equidistant attack radii from 0")
    attack_steps: int = _choice(10, "steps of PGD, from the clean image, inside [0, 1], against the base network")
    attack_step: float = _choice(2.5, "length of a step times the number of steps over the attack radius")
    samples: int = _choice(1000, "draws of normal smoothing per image at most; a point stops once an anytime-valid interval excludes 0")
    error: float = _choice(1e-3, "chance at most that a decided prediction of normal smoothing is wrong")

    def __post_init__(self) -> None:
        _check(self, positive=("learning_rate", "sigma_max", "alpha_max", "sigma", "l2_max", "linf_max", "attack_step", "error"),
               counts=("epochs", "sigma_points", "alpha_points", "radius_points", "attack_steps", "samples"))
        for name in ("alpha", "noise"):
            number(name, getattr(self, name), low=0)


Config = SpiralConfig | ImagesConfig


def _check(config: Config, positive: Iterable[str], counts: Iterable[str]) -> None:
    for name in positive:
        number(name, getattr(config, name), low=0, open_low=True)
    for name in counts:
        integer(name, getattr(config, name), low=1)
    for name, value in asdict(config).items():
        if isinstance(value, (list, tuple)):
            object.__setattr__(config, name, tuple(value))
            for item in value:
                number(name, item, low=0)


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
        origin = "Computed on this machine" if self.rerun else f"**Not re-run here**: {self.reason}. Shown is the published record"
        return f"{origin}: profile *{record.profile}*, seed {record.seed}, {record.test_points:,} test points. Wall time {record.wall_time:.0f} s."

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        state = {"run": self.record.run, "rerun": self.rerun, "reason": self.reason}
        return {"text/markdown": self.sentence, "text/plain": self.sentence, "application/vnd.lbrs.outcome+json": state}


def run(config: Config, *, run: str, profile: str, seed: int, device: str = "auto", folder: Path | None = None) -> Record:
    """Compute an experiment and write its record to `folder` (the project's _build/records).

    Each finished stage is kept until the record is written: a run that was stopped continues there, with the same result.
    Parameters: `config`, the choices; `run` and `profile`, under which names; `seed` >= 0; `device`, "auto" takes a GPU if there is one.
    """
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(map(repr, PROFILES))}, got {profile!r}")
    integer("seed", seed, low=0)
    place = pick_device(device)
    folder = Path(folder) if folder else find_project() / "_build" / "records"
    stages = Stages(folder.parent / "partial", [run, profile, seed, str(place), asdict(config)], title=f"{run}-{profile}-{seed}")
    task, results = (spiral if isinstance(config, SpiralConfig) else images)(config, seed, place, stages)
    record = Record(run, profile, seed, asdict(config), versions(), str(place), task.test_hash, len(task.test_y), stages.seconds, results)
    record.save(folder)
    stages.clear()
    return record


def run_or_published(config: Config, *, run: str, profile: str, seed: int, device: str = "auto") -> Outcome:
    """As `run`; where the data cannot be had, the published record of the project's book/records instead, with the reason."""
    try:
        return Outcome(_run(config, run=run, profile=profile, seed=seed, device=device), True)
    except data.DataError as error:
        published = find_project() / "book" / "records" / record_name(run, "paper", 0)
        if not published.is_file():
            raise
        return Outcome(Record.load(published), False, str(error).rstrip("."))


_run = run


def pick_device(device: str) -> torch.device:
    """The torch device for "auto", "cpu", "cuda", "cuda:1", ...; a ValueError for one that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cpu" or (isinstance(device, str) and device.startswith("cuda") and torch.cuda.is_available()):
        return torch.device(device)
    raise ValueError(f"device must be 'auto', 'cpu' or, where there is one, 'cuda', got {device!r}")


class Stages:
    """The stages of one computation, each kept in a file until `clear`, so that a stopped run continues.

    Parameters: `folder`; `key`, plain data that together with the sources of lbrs and the versions says what is computed; `title`
    of the bar and of the folder.
    """

    def __init__(self, folder: Path, key: list, title: str = "") -> None:
        content = json.dumps([key, versions(), sources_hash()], sort_keys=True)
        self.folder = Path(folder) / f"{title}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        self.title = title
        self.seconds = 0.0

    def __call__(self, name: str, compute: Callable[[], Any]) -> Any:
        """The value of stage `name`: read if it was finished before, else computed and kept."""
        path = self.folder / f"{name}.pt"
        if path.is_file():
            kept = torch.load(path, weights_only=True)
        else:
            start = time.perf_counter()
            value = compute()
            kept = {"value": value, "seconds": time.perf_counter() - start}
            write_file(path, lambda file: torch.save(kept, file))
        self.seconds += kept["seconds"]
        return kept["value"]

    def progress(self, items: list) -> Iterable:
        """`items` under a progress bar: on the terminal named by LBRS_PROGRESS, else on standard error if that is a terminal."""
        from tqdm import tqdm

        terminal = os.environ.get("LBRS_PROGRESS")
        if not terminal:
            yield from tqdm(items, desc=self.title, file=sys.stderr, disable=None)
            return
        with open(terminal, "w") as file:
            yield from tqdm(items, desc=self.title, file=file)

    def clear(self) -> None:
        """Forget these stages, and those that other code or other choices left under the same title."""
        for folder in self.folder.parent.glob(f"{glob.escape(self.title)}-{'?' * 16}"):
            shutil.rmtree(folder, ignore_errors=True)


def generator(device: torch.device | str, *names: object) -> torch.Generator:
    """A random generator of its own for each purpose, so that no stage depends on what ran before it."""
    content = hashlib.sha256(json.dumps(names).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(content[:7], "big"))


def accuracy(prediction: Tensor, y: Tensor) -> float:
    """The share of `prediction` (n,) equal to `y` (n,)."""
    return (prediction.cpu() == y.cpu()).double().mean().item()


def spiral(config: SpiralConfig, seed: int, device: torch.device, stages: Stages) -> tuple[data.BinaryTask, dict[str, Any]]:
    """Section 5.1: a linear SVM on the spiral; decision regions, radii of Theorem 6 and accuracy over alpha (Figures 1 and 2)."""
    task = data.spiral(seed, train_points=config.train_points, reference_points=config.reference_points, test_points=config.test_points,
                       turns=config.turns, jitter=config.jitter)
    return task, stages("spiral", lambda: _spiral(config, task, device, stages))


def _spiral(config: SpiralConfig, task: data.BinaryTask, device: torch.device, stages: Stages) -> dict[str, Any]:
    from sklearn.svm import SVC

    svm = SVC(kernel="linear", C=config.svm_c).fit(task.train_x.numpy(), task.train_y.numpy())
    score = LinearScore(torch.tensor(svm.coef_[0]).to(device), float(svm.intercept_[0]))
    oracle = NearestNeighborOracle(task.reference_x.to(device), task.reference_y)
    x, y = task.test_x.to(device), task.test_y
    alphas = torch.linspace(0, config.alpha_max, config.alpha_points, dtype=torch.float64).tolist()
    results: dict[str, Any] = {"alpha": alphas, "norms": {}, "svm": {"weight": score.weight.tolist(), "bias": score.bias}}
    for norm in (L2, LINF):
        models = [LocallyBiased(score, oracle, alpha, norm) for alpha in alphas]
        certificates = [model.certify(x, bound="paper") for model in stages.progress(models)]
        sharp = [model.certify(x, bound="sharp") for model in stages.progress(models)]
        right = [(c.prediction.cpu() == y) for c in certificates]
        base = score.linearize(x, norm)
        results["norms"][str(norm)] = {
            "radius": [c.radius.mean().item() for c in certificates],
            "true_radius": [(c.radius.cpu() * ok).mean().item() for c, ok in zip(certificates, right, strict=True)],
            "sharp_radius": [c.radius.mean().item() for c in sharp],
            "base_radius": base.crossing.mean().item(),
            "base_true_radius": (base.crossing.cpu() * (base.base.cpu() == y)).mean().item(),
        }
        results["accuracy"] = [ok.double().mean().item() for ok in right]
    local, label = score.linearize(x, L2), oracle.label(x)
    results["nearest"] = accuracy(label, y)
    differ = local.base != label
    results["nearest_alpha"] = local.crossing[differ].max().item() if differ.any() else 0.0
    results["test"] = {"x": task.test_x.double().round(decimals=3).tolist(), "y": y.int().tolist()}
    results["regions"] = _regions(score, oracle, config.shown_alphas, 12.0, config.raster)
    return results


def _regions(score: LinearScore, oracle: NearestNeighborOracle, alphas: Iterable[float], side: float, raster: int) -> dict[str, Any]:
    """f^mu on a square raster for each alpha, rows from the bottom, as hexadecimal bits (1 for the label +1)."""
    axis = torch.linspace(-side, side, raster, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2).to(score.device)
    local, label = score.linearize(grid, L2), oracle.label(grid)
    bits = ["".join("1" if positive else "0" for positive in (select(local, label, alpha) > 0).tolist()) for alpha in alphas]
    return {"side": side, "raster": raster, "alpha": list(alphas), "bits": [f"{int(b, 2):x}" for b in bits]}


def idea() -> dict[str, Any]:
    """The picture of the introduction: a linear score in the plane, seven reference points, and one point certified by Theorem 6."""
    points = [[-2.2, 0.9], [-0.65, 1.0], [2.4, 0.8], [-0.9, -1.1], [2.1, -2.0], [-2.2, -2.3], [0.7, -2.4]]
    labels, x, alphas = [1, 1, 1, 1, -1, -1, -1], [-0.5, 0.6], (0.0, 0.9)
    score, oracle = LinearScore([0.25, 1.0], 0.0), NearestNeighborOracle(points, labels)
    radii = [LocallyBiased(score, oracle, alpha).certify([x]).radius.item() for alpha in alphas]
    direction = (oracle.label([x]) * L2.maximizer(score.weight)).tolist()
    return {"points": points, "labels": labels, "x": x, "weight": score.weight.tolist(), "bias": score.bias, "bias_direction": direction,
            "radius": radii, "regions": _regions(score, oracle, alphas, 3.0, 240)}


def images(config: ImagesConfig, seed: int, device: torch.device, stages: Stages) -> tuple[data.BinaryTask, dict[str, Any]]:
    """Section 5.2 and Appendix B: clean and robust accuracy over the smoothing parameter and over the attack radius (Figures 3 to 6)."""
    task = data.images(config.dataset, seed, positive=config.positive, reference_points=config.reference_points, test_points=config.test_points)
    bench = Bench(config, task, seed, device, stages)
    grid = [(norm, radius) for norm, top in ((L2, config.l2_max), (LINF, config.linf_max))
            for radius in torch.linspace(0, top, config.radius_points, dtype=torch.float64).tolist()]
    jobs: list[Callable[[], dict]] = [lambda radius=radius: stages(f"smoothing-{radius:g}", lambda: bench.over_smoothing(radius)) for radius in (0.0, *config.radii)]
    jobs += [lambda norm=norm, radius=radius: stages(f"attack-{norm}-{radius:g}", lambda: bench.at_radius(norm, radius)) for norm, radius in grid]
    done = [job() for job in stages.progress(jobs)]
    sets, attacks = done[: 1 + len(config.radii)], done[1 + len(config.radii) :]
    by_norm = {str(norm): [entry for (used, _), entry in zip(grid, attacks, strict=True) if used == norm] for norm in (L2, LINF)}
    return task, {"network": bench.training, "alpha": bench.alphas, "sigma": bench.sigmas, "sets": sets, "limits": stages("limits", bench.limits),
                  "attacks": {norm: {key: [entry[key] for entry in entries] for key in entries[0]} for norm, entries in by_norm.items()}}


class Bench:
    """A trained base network with everything that is measured on it.

    Parameters: the choices, the task, the seed, the device, and the stages in which the trained weights are kept.
    """

    def __init__(self, config: ImagesConfig, task: data.BinaryTask, seed: int, device: torch.device, stages: Stages) -> None:
        self.config, self.seed, self.device = config, seed, device
        self.x, self.y = task.test_x.to(device), task.test_y.to(device)
        self.oracle = NearestNeighborOracle(task.reference_x.to(device), task.reference_y)
        network = cnn(task.shape, config.channels, generator=generator("cpu", seed, "weights")).to(device)
        kept = stages("network", lambda: self._train(network, task, stages))
        network.load_state_dict(kept["weights"])
        self.network = network.eval().requires_grad_(False)
        self.score = ProbabilityMargin(self.network)
        self.training = {"loss": kept["loss"], "parameters": sum(p.numel() for p in network.parameters()), "train_points": len(task.train_y)}
        top = config.alpha_max
        self.alphas = [0.0, *torch.logspace(-6, 0, config.alpha_points - 1, dtype=torch.float64).mul(top).tolist()]
        self.sigmas = torch.linspace(0, config.sigma_max, config.sigma_points, dtype=torch.float64).tolist()

    def _train(self, network: torch.nn.Module, task: data.BinaryTask, stages: Stages) -> dict[str, Any]:
        loss = train(network, task.train_x, task.train_y, epochs=self.config.epochs, learning_rate=self.config.learning_rate,
                     noise=self.config.noise, generator=generator("cpu", self.seed, "training"))
        return {"weights": {name: value.cpu() for name, value in network.state_dict().items()}, "loss": loss}

    def attack(self, norm: Norm, radius: float) -> Tensor:
        """The test images attacked through the base network within `radius` in `norm`."""
        return pgd(self.network, self.x, self.y, radius, norm, steps=self.config.attack_steps, step=self.config.attack_step)

    def normal(self, x: Tensor, sigma: float, purpose: str) -> dict[str, float]:
        """Accuracy of sigma-NS on `x`, the share of undecided points and the mean number of draws; at sigma = 0 the network's."""
        if sigma == 0:
            return {"normal": accuracy(self.score.linearize(x, L2).base, self.y), "undecided": 0.0, "draws": 0.0}
        smoothed = NormalSmoothing(self.score, sigma, self.config.samples, generator(self.device, self.seed, purpose, sigma), error=self.config.error)
        estimate = smoothed.estimate(x)
        return {"normal": accuracy(estimate.sign, self.y), "undecided": (~estimate.decided).double().mean().item(), "draws": estimate.used.mean().item()}

    def over_smoothing(self, radius: float) -> dict[str, Any]:
        """Accuracies on the test images attacked in l2 within `radius`, over all sigmas and alphas."""
        x = self.attack(L2, radius)
        local, label = self.score.linearize(x, L2), self.oracle.label(x)
        normal = [self.normal(x, sigma, f"smoothing-{radius:g}") for sigma in self.sigmas]
        return {"radius": radius, "cnn": accuracy(local.base, self.y), "nearest": accuracy(label, self.y),
                "lbrs": [accuracy(select(local, label, alpha), self.y) for alpha in self.alphas],
                **{key: [entry[key] for entry in normal] for key in normal[0]}}

    def at_radius(self, norm: Norm, radius: float) -> dict[str, Any]:
        """Accuracies on the test images attacked in `norm` within `radius`, at the fixed sigma and alpha."""
        x = self.attack(norm, radius)
        local, label = self.score.linearize(x, norm), self.oracle.label(x)
        return {"radius": radius, "cnn": accuracy(local.base, self.y), "nearest": accuracy(label, self.y),
                "lbrs": accuracy(select(local, label, self.config.alpha), self.y), **self.normal(x, self.config.sigma, f"attack-{norm}-{radius:g}")}

    def limits(self) -> dict[str, float]:
        """On how many clean test images alpha = 0 differs from the network, alpha = 1e300 from the 1-NN, and the gradient is zero;
        `nearest_alpha`, above which LBRS is the 1-NN on all of them (as far as their gradients are not zero)."""
        base, label = self.score.linearize(self.x, L2), self.oracle.label(self.x)
        zero, infinite = (LocallyBiased(self.score, self.oracle, alpha).predict(self.x) for alpha in (0.0, 1e300))
        logits = torch.where(self.score.logit(self.x) >= 0, 1.0, -1.0)
        differ = (base.base != label) & torch.isfinite(base.crossing)
        last = base.crossing[differ].max().item() if differ.any() else 0.0
        return {"nearest_alpha": last, "alpha_zero": int((zero != logits).sum()), "alpha_infinity": int((infinite != label).sum()), "zero_gradient": int(torch.isinf(base.crossing).sum())}
