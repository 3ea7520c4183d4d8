"""What the choices decide: accuracy over alpha for one changed choice at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lbrs.attacks.pgd import pgd
from lbrs.experiments import data
from lbrs.experiments.configs import SensitivityConfig
from lbrs.experiments.networks import cnn, train
from lbrs.experiments.stages import Results, Stages, accuracy, generator
from lbrs.normal import NormalSmoothing
from lbrs.norms import L2
from lbrs.oracles.nearest import NearestNeighborOracle
from lbrs.paths import accuracy_path
from lbrs.scores.base import Score
from lbrs.scores.margin import ProbabilityMargin


@dataclass(frozen=True)
class Setting:
    """A trained network with its task, and the test images as they are and under attack."""

    task: data.BinaryTask
    network: nn.Module
    clean: Tensor
    attacked: Tensor

    @property
    def seen(self) -> dict[str, Tensor]:
        """The test images by how the network sees them."""
        return {"clean": self.clean, "attacked": self.attacked}


def sensitivity(
    config: SensitivityConfig, seed: int, device: torch.device, stages: Stages
) -> tuple[data.BinaryTask, Results]:
    """For each panel and each of its variants: accuracies of the network and of the 1-NN, and of
    LBRS over alpha, clean and attacked."""
    trial = Trial(config, seed, device, stages)
    found = stages.each({name: partial(_listed, panel) for name, panel in trial.panels.items()})
    return trial.setting().task, {"alpha": trial.alphas.tolist(), "panels": found}


def _listed(panel: Callable[[], Iterator[Results]]) -> list[Results]:
    return list(panel())


class Trial:
    """The panels: each yields its variants. Trained weights are kept as stages."""

    def __init__(
        self, config: SensitivityConfig, seed: int, device: torch.device, stages: Stages
    ) -> None:
        self.config, self.seed, self.device, self.stages = config, seed, device, stages
        ratios = torch.logspace(-6, 0, config.alpha_points, dtype=torch.float64)
        self.alphas = ratios * config.alpha_max
        self.panels: dict[str, Callable[[], Iterator[Results]]] = {
            "references": self.references,
            "link": self.link,
            "classes": self.classes,
            "noise": self.noise,
            "width": self.width,
            "attack": self.attack,
        }

    def references(self) -> Iterator[Results]:
        """N, nested random sets of training images; the network is that of the other panels,
        trained without the first ten."""
        base = self.setting()
        order = np.random.default_rng([self.seed, 1]).permutation(len(base.task.train_y))
        x = torch.cat([base.task.reference_x, base.task.train_x[order]])
        y = torch.cat([base.task.reference_y, base.task.train_y[order]])
        plus, minus = ((y == label).nonzero().flatten() for label in (1, -1))
        for count in sorted({*(n for n in self.config.reference_points if n < len(y)), len(y)}):
            rows = torch.cat([plus[: count - count // 2], minus[: count // 2]])
            oracle = NearestNeighborOracle(x[rows].to(self.device), y[rows])
            yield self.measure(base, f"{count:,}", oracle)

    def link(self) -> Iterator[Results]:
        """The scale on which g is measured."""
        base = self.setting()
        yield self.measure(base, "probability margin")
        yield self.measure(base, "logit", score=Score(base.network))

    def classes(self) -> Iterator[Results]:
        """The class against the rest, each with its own network, reference points and images."""
        for positive in self.config.positives:
            yield self.measure(self.setting(positive=positive), str(positive))

    def noise(self) -> Iterator[Results]:
        """Noise in training, with normal smoothing beside LBRS."""
        for noise in self.config.noises:
            setting = self.setting(noise=noise)
            normal = {
                where: self.normal(setting, x, f"{noise:g}-{where}")
                for where, x in setting.seen.items()
            }
            measured = self.measure(setting, f"{noise:g}")
            yield {**measured, "sigma": list(self.config.sigmas), "normal": normal}

    def width(self) -> Iterator[Results]:
        """Channels of the first convolution."""
        for width in self.config.widths:
            yield self.measure(self.setting(width=width), str(width))

    def attack(self) -> Iterator[Results]:
        """Length of the steps and start of PGD."""
        for place, step in enumerate(self.config.steps):
            for start in ("clean", "random") if place == 1 else ("clean",):
                yield self.measure(self.setting(step=step, start=start), f"{step:g}, {start} start")

    def setting(
        self,
        *,
        positive: int | None = None,
        width: int | None = None,
        noise: float = 0.0,
        step: float = 2.5,
        start: str = "clean",
    ) -> Setting:
        """The task, the network and the attacked images with these choices; the others are the
        configuration's."""
        config = self.config
        positive = config.positive if positive is None else positive
        task = data.images(
            config.dataset,
            self.seed,
            positive=positive,
            reference_points=10,
            test_points=config.test_points,
        )
        width = width or config.channels
        weights = generator("cpu", self.seed, "weights")
        network = cnn(task.shape, (width, 2 * width, 4 * width), generator=weights)
        network = network.to(self.device)
        training = partial(self._trained, network, task, noise)
        network.load_state_dict(self.stages(f"network-{positive}-{width}-{noise:g}", training))
        network = network.eval().requires_grad_(False)
        clean, y = task.test_x.to(self.device), task.test_y.to(self.device)
        begin = generator(self.device, self.seed, "start") if start == "random" else None
        attacked = pgd(network, clean, y, config.radius, L2, step=step, start=begin)
        return Setting(task, network, clean, attacked)

    def _trained(
        self, network: nn.Sequential, task: data.BinaryTask, noise: float
    ) -> dict[str, Tensor]:
        train(
            network,
            task.train_x,
            task.train_y,
            epochs=self.config.epochs,
            learning_rate=self.config.learning_rate,
            noise=noise,
            generator=generator("cpu", self.seed, "training"),
        )
        return {name: value.cpu() for name, value in network.state_dict().items()}

    def measure(
        self,
        setting: Setting,
        label: str,
        oracle: NearestNeighborOracle | None = None,
        score: Score | None = None,
    ) -> dict[str, Any]:
        """One variant: its label, and for clean and attacked images the accuracies of the network,
        of the 1-NN and of LBRS over alpha."""
        task, y = setting.task, setting.task.test_y.to(self.device)
        score = score or ProbabilityMargin(setting.network)
        oracle = oracle or NearestNeighborOracle(task.reference_x.to(self.device), task.reference_y)
        found: dict[str, Any] = {"label": label}
        for where, x in setting.seen.items():
            local, nearest = score.linearize(x, L2), oracle.label(x)
            path = accuracy_path(local, nearest, y)
            over_alpha = path(self.alphas.to(path.jumps)).tolist()
            found[where] = {
                "cnn": accuracy(local.base, y),
                "nearest": accuracy(nearest, y),
                "best": path.values.max().item(),
                "lbrs": [round(value, 5) for value in over_alpha],
            }
        return found

    def normal(self, setting: Setting, x: Tensor, purpose: str) -> list[float]:
        """Accuracy of normal smoothing on `x` over sigma; at sigma = 0 the network's."""
        config, y = self.config, setting.task.test_y.to(self.device)
        score = ProbabilityMargin(setting.network)
        noisy = [sigma for sigma in config.sigmas if sigma > 0]
        draws = generator(self.device, self.seed, purpose)
        smoothed = NormalSmoothing(score, noisy[-1], config.samples, draws, error=config.error)
        estimates = smoothed.estimate_path(x, noisy)
        right = [accuracy(estimate.sign, y) for estimate in estimates]
        found = dict(zip(noisy, right, strict=True))
        plain = accuracy(score.linearize(x, L2).base, y)
        return [found.get(sigma, plain) for sigma in config.sigmas]
