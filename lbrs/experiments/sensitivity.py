"""What the choices decide: accuracy over alpha for one changed choice at a time, on clean and on attacked images."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lbrs.attacks.pgd import pgd
from lbrs.experiments import data
from lbrs.experiments.configs import SensitivityConfig
from lbrs.experiments.networks import cnn, train
from lbrs.experiments.stages import Stages, accuracy, generator
from lbrs.normal import NormalSmoothing
from lbrs.norms import L2
from lbrs.oracles.nearest import NearestNeighborOracle
from lbrs.paths import accuracy_path
from lbrs.scores.base import Score
from lbrs.scores.margin import ProbabilityMargin

PANELS = ("references", "link", "classes", "noise", "width", "attack")


@dataclass(frozen=True)
class Setting:
    """A trained network with its task, and the test images as they are and under attack."""

    name: str
    task: data.BinaryTask
    network: torch.nn.Module
    clean: Tensor
    attacked: Tensor


def sensitivity(
    config: SensitivityConfig, seed: int, device: torch.device, stages: Stages
) -> tuple[data.BinaryTask, dict[str, Any]]:
    """For each panel and each of its variants: accuracies of the network and of the 1-NN, and of LBRS over alpha, clean and attacked."""
    trial = Trial(config, seed, device, stages)
    found = {
        panel: stages(panel, lambda panel=panel: list(getattr(trial, panel)()))
        for panel in stages.progress(list(PANELS))
    }
    return trial.setting().task, {"alpha": trial.alphas.tolist(), "panels": found}


class Trial:
    """The panels: each method yields the variants of one.

    Parameters: the choices, the seed, the device, and the stages in which trained weights are kept.
    """

    def __init__(
        self, config: SensitivityConfig, seed: int, device: torch.device, stages: Stages
    ) -> None:
        self.config, self.seed, self.device, self.stages = config, seed, device, stages
        self.alphas = (
            torch.logspace(-6, 0, config.alpha_points, dtype=torch.float64) * config.alpha_max
        )

    def references(self) -> Iterator[dict[str, Any]]:
        """N, nested random sets of training images; the network is that of the other panels, trained without the first ten."""
        base = self.setting()
        order = np.random.default_rng([self.seed, 1]).permutation(len(base.task.train_y))
        x = torch.cat([base.task.reference_x, base.task.train_x[order]])
        y = torch.cat([base.task.reference_y, base.task.train_y[order]])
        plus, minus = (y > 0).nonzero().flatten(), (y < 0).nonzero().flatten()
        for count in sorted({*(n for n in self.config.reference_points if n < len(y)), len(y)}):
            rows = torch.cat([plus[: count - count // 2], minus[: count // 2]])
            yield self.measure(
                base, f"{count:,}", NearestNeighborOracle(x[rows].to(self.device), y[rows])
            )

    def link(self) -> Iterator[dict[str, Any]]:
        """The scale on which g is measured."""
        base = self.setting()
        yield self.measure(base, "probability margin")
        yield self.measure(base, "logit", score=Score(base.network))

    def classes(self) -> Iterator[dict[str, Any]]:
        """The class against the rest, each with its own network, reference points and test images."""
        for positive in self.config.positives:
            yield self.measure(self.setting(positive=positive), str(positive))

    def noise(self) -> Iterator[dict[str, Any]]:
        """Noise in training, with normal smoothing beside LBRS."""
        for noise in self.config.noises:
            setting = self.setting(noise=noise)
            yield {
                **self.measure(setting, f"{noise:g}"),
                "sigma": list(self.config.sigmas),
                "normal": {
                    where: self.normal(setting, x, f"{noise:g}-{where}")
                    for where, x in (("clean", setting.clean), ("attacked", setting.attacked))
                },
            }

    def width(self) -> Iterator[dict[str, Any]]:
        """Channels of the first convolution."""
        for width in self.config.widths:
            yield self.measure(self.setting(width=width), str(width))

    def attack(self) -> Iterator[dict[str, Any]]:
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
        """The task, the network and the attacked images with these choices; the others are the configuration's."""
        config = self.config
        positive, width = (
            config.positive if positive is None else positive,
            width or config.channels,
        )
        task = data.images(
            config.dataset,
            self.seed,
            positive=positive,
            reference_points=10,
            test_points=config.test_points,
        )
        name = f"{positive}-{width}-{noise:g}"
        network = cnn(
            task.shape,
            (width, 2 * width, 4 * width),
            generator=generator("cpu", self.seed, "weights"),
        ).to(self.device)
        network.load_state_dict(
            self.stages(f"network-{name}", lambda: self._train(network, task, noise))
        )
        network = network.eval().requires_grad_(False)
        clean, y = task.test_x.to(self.device), task.test_y.to(self.device)
        begin = generator(self.device, self.seed, "start") if start == "random" else None
        return Setting(
            name,
            task,
            network,
            clean,
            pgd(network, clean, y, config.radius, L2, step=step, start=begin),
        )

    def _train(
        self, network: torch.nn.Module, task: data.BinaryTask, noise: float
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
        """One variant: its label, and for clean and attacked images the accuracies of the network, of the 1-NN and of LBRS over alpha."""
        score = score or ProbabilityMargin(setting.network)
        oracle = oracle or NearestNeighborOracle(
            setting.task.reference_x.to(self.device), setting.task.reference_y
        )
        found: dict[str, Any] = {"label": label}
        for where, x in (("clean", setting.clean), ("attacked", setting.attacked)):
            local, nearest, y = (
                score.linearize(x, L2),
                oracle.label(x),
                setting.task.test_y.to(self.device),
            )
            path = accuracy_path(local, nearest, y)
            found[where] = {
                "cnn": accuracy(local.base, y),
                "nearest": accuracy(nearest, y),
                "best": path.values.max().item(),
                "lbrs": [round(value, 5) for value in path(self.alphas.to(path.jumps)).tolist()],
            }
        return found

    def normal(self, setting: Setting, x: Tensor, purpose: str) -> list[float]:
        """Accuracy of normal smoothing on `x` over sigma; at sigma = 0 the network's."""
        config, y = self.config, setting.task.test_y.to(self.device)
        noisy = [sigma for sigma in config.sigmas if sigma > 0]
        smoothed = NormalSmoothing(
            ProbabilityMargin(setting.network),
            noisy[-1],
            config.samples,
            generator(self.device, self.seed, purpose),
            error=config.error,
        )
        found = dict(
            zip(
                noisy,
                (accuracy(estimate.sign, y) for estimate in smoothed.estimate_path(x, noisy)),
                strict=True,
            )
        )
        plain = accuracy(ProbabilityMargin(setting.network).linearize(x, L2).base, y)
        return [found.get(sigma, plain) for sigma in config.sigmas]
