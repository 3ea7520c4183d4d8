"""Certified radii on images: a smooth network, LBRS on it, the nearest neighbour, and Cohen's
smoothing with and without a bias."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lbrs.certificate import Certificate
from lbrs.curvature import CertifiedLoss, smooth_score
from lbrs.experiments import data
from lbrs.experiments.configs import CertifiedConfig
from lbrs.experiments.networks import cnn, smooth_mlp, train
from lbrs.experiments.stages import Results, Stages, generator, linspace
from lbrs.norms import L2, LINF, Norm
from lbrs.oracles.nearest import NearestNeighborOracle
from lbrs.scores.base import Score
from lbrs.scores.cohen import CohenScore, cohen_certificate
from lbrs.smoothing import LocallyBiased
from lbrs.verification import verify

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Oracle:
    """The nearest neighbour among N reference points, with what it says of the test images."""

    nearest: NearestNeighborOracle
    label: Tensor
    paper: Tensor
    sharp: Tensor

    def __len__(self) -> int:
        return len(self.nearest.labels)


@dataclass(frozen=True)
class Threat:
    """A threat norm with its choices.

    Attributes:
        norm: of the perturbation.
        alphas: rising from 0.
        radii: at which certified accuracy is measured.
        margin: the radius at which the loss of the smooth network asks for a margin.
    """

    norm: Norm
    alphas: tuple[float, ...]
    radii: list[float]
    margin: float


def threat(config: CertifiedConfig, norm: Norm) -> Threat:
    """The choices in `norm`."""
    if norm == L2:
        alphas, top, margin = config.alphas, config.radii_max, config.margin
    else:
        alphas, top, margin = config.linf_alphas, config.linf_radii_max, config.linf_margin
    return Threat(norm, alphas, linspace(top, config.radius_points), margin)


def certified(
    config: CertifiedConfig, seed: int, device: torch.device, stages: Stages
) -> tuple[data.BinaryTask, Results]:
    """Certified accuracy over the radius, and average certified radii, for every method, number of
    reference points and alpha, in l2 and linf."""
    task = data.images(
        config.dataset,
        seed,
        positive=config.positive,
        reference_points=2,
        test_points=config.test_points,
    )
    bench = Certification(config, task, seed, device, stages)
    norms, sigmas = (L2, LINF), config.sigmas
    jobs: dict[str, partial[Any]] = {
        **{f"smooth-{norm}": partial(bench.smooth, norm) for norm in norms},
        **{f"noisy-{sigma:g}": partial(bench.noisy, sigma) for sigma in sigmas},
        **{f"counts-{sigma:g}": partial(bench.counts, sigma) for sigma in sigmas},
        **{f"curves-{norm}": partial(bench.curves, norm) for norm in norms},
    }
    done = stages.each(jobs)
    curves = {str(norm): done[f"curves-{norm}"] for norm in norms}
    return task, {"train_points": len(bench.x), "norms": curves}


class Certification:
    """What is certified, and how: see `CertifiedConfig`. Trained weights are kept as stages."""

    def __init__(
        self,
        config: CertifiedConfig,
        task: data.BinaryTask,
        seed: int,
        device: torch.device,
        stages: Stages,
    ) -> None:
        self.config, self.task, self.seed = config, task, seed
        self.device, self.stages = device, stages
        x = torch.cat([task.train_x, task.reference_x])
        y = torch.cat([task.train_y, task.reference_y])
        order = np.random.default_rng([seed, 1]).permutation(len(y))
        x, y, half = x[order], y[order], config.train_points // 2
        rows = torch.cat([(y == label).nonzero().flatten()[:half] for label in (1, -1)])
        kept = rows.sort().values
        self.x, self.y = x[kept], y[kept]
        self.test_x, self.test_y = task.test_x.to(device), task.test_y.to(device)

    def smooth(self, norm: Norm) -> Weights:
        """The weights of the smooth network trained for `norm`."""
        names = (self.seed, "smooth", str(norm))
        loss = CertifiedLoss(
            self.task.shape,
            norm,
            threat(self.config, norm).margin,
            self.config.temperature,
            generator("cpu", *names, "iteration"),
        )
        order = generator("cpu", *names, "order")
        return self._trained(
            self.smooth_network(norm), epochs=self.config.epochs, loss=loss, generator=order
        )

    def noisy(self, sigma: float) -> Weights:
        """The weights of the ReLU network trained with noise."""
        order = generator("cpu", self.seed, "noisy", sigma, "order")
        return self._trained(
            self.noisy_network(sigma),
            epochs=self.config.noisy_epochs,
            noise=sigma,
            generator=order,
        )

    def smooth_network(self, norm: Norm) -> nn.Sequential:
        """The smooth network for `norm`, before its training."""
        weights = generator("cpu", self.seed, "smooth", str(norm), "weights")
        return smooth_mlp(self.task.shape, (self.config.width,), generator=weights)

    def noisy_network(self, sigma: float) -> nn.Sequential:
        """The ReLU network for noise of `sigma`, before its training."""
        weights = generator("cpu", self.seed, "noisy", sigma, "weights")
        return cnn(self.task.shape, self.config.channels, generator=weights)

    def _trained(self, network: nn.Sequential, **choices: Any) -> Weights:
        rate = self.config.learning_rate
        train(network.to(self.device), self.x, self.y, learning_rate=rate, **choices)
        return {name: value.cpu() for name, value in network.state_dict().items()}

    def base(self, norm: Norm) -> Score:
        """The smooth network trained for `norm` as a score, with its L."""
        network = self.smooth_network(norm)
        network.load_state_dict(self.stages(f"smooth-{norm}", partial(self.smooth, norm)))
        return smooth_score(network.to(self.device), self.task.shape, norm)

    def counts(self, sigma: float) -> Tensor:
        """How many of the noisy copies of each test image the network that was trained with this
        noise takes for positive."""
        network = self.noisy_network(sigma)
        network.load_state_dict(self.stages(f"noisy-{sigma:g}", partial(self.noisy, sigma)))
        network = network.to(self.device).eval().requires_grad_(False)
        draws = generator(self.device, self.seed, "noisy", sigma, "draws")
        score = CohenScore(network, sigma, self.config.samples, draws)
        return score.counts(self.test_x).cpu()

    def oracles(self, norm: Norm) -> Iterator[Oracle]:
        """The nearest neighbour among each of the numbers of reference points, the whole training
        set last."""
        plus, minus = ((self.y == label).nonzero().flatten() for label in (1, -1))
        most = len(self.y)
        for count in sorted({*(n for n in self.config.reference_points if n < most), most}):
            rows = torch.cat([plus[: count - count // 2], minus[: count // 2]])
            nearest = NearestNeighborOracle(self.x[rows].to(self.device), self.y[rows])
            paper, sharp = (
                nearest.radius(self.test_x, norm, bound) for bound in ("paper", "sharp")
            )
            yield Oracle(nearest, nearest.label(self.test_x), paper, sharp)

    def curves(self, norm: Norm) -> Results:
        """Every method's certified accuracies and average radii in `norm`."""
        of, score = threat(self.config, norm), self.base(norm)
        found: list[Results] = []
        for oracle in self.oracles(norm):
            if not found or len(oracle) <= 1000:
                attacked = oracle.nearest
            for entry, certificate in self._certificates(score, oracle, of):
                found.append({**entry, **self._measure(certificate, of.radii)})
        base = next(entry for entry in found if entry["method"] == "sharp" and entry["alpha"] == 0)
        alone = {"method": "base", "certified": base["certified"], "average": base["average"]}
        return {
            "L": score.gradient_lipschitz,
            "slope": score.linearize(self.test_x, norm).slope.median().item(),
            "rounding": score.rounding,
            "radii": of.radii,
            "alpha": list(of.alphas),
            "curves": [alone, *found],
            "attacks": self._attack(score, attacked, of),
        }

    def _certificates(
        self, score: Score, oracle: Oracle, of: Threat
    ) -> Iterator[tuple[Results, Certificate]]:
        """Each method with its parameters, and its certificates of the test images."""
        N, sharp = len(oracle), oracle.sharp
        model = LocallyBiased(score, oracle.nearest, 0.0, of.norm)
        for method, bound, neighbor in (
            ("theorem8", "paper", oracle.paper),
            ("sharp", "sharp", sharp),
        ):
            path = model.certify_path(self.test_x, of.alphas, bound, neighbor)
            for alpha, certificate in zip(of.alphas, path, strict=True):
                yield {"method": method, "N": N, "alpha": alpha}, certificate
        own = Certificate(oracle.label, sharp, of.norm, "deterministic", "Theorem A", "none")
        yield {"method": "nearest", "N": N}, own
        spread = 1.0 if of.norm == L2 else self.test_x[0].numel() ** 0.5 * (1 + 1e-12)
        samples, confidence = self.config.samples, self.config.confidence
        for sigma in self.config.sigmas:
            count = self.stages(f"counts-{sigma:g}", partial(self.counts, sigma))
            for alpha in of.alphas:
                biased = cohen_certificate(
                    count, samples, sigma / spread, oracle.label, sharp, alpha, confidence
                )
                yield {"method": "cohen", "sigma": sigma, "N": N, "alpha": alpha}, biased

    def _measure(self, certificate: Certificate, radii: list[float]) -> Results:
        """Certified accuracy at each of the `radii`, and the average of the radii, where a wrongly
        classified test image counts 0."""
        right = certificate.prediction.to(self.test_y) == self.test_y
        average = (certificate.radius.to(self.test_y) * right).mean().item()
        accuracy = [round(certificate.accuracy(self.test_y, radius), 5) for radius in radii]
        return {"certified": accuracy, "average": round(average, 5)}

    def _attack(self, score: Score, nearest: NearestNeighborOracle, of: Threat) -> Results:
        """What `lbrs.verify` finds against the sharp certificates of some test images, for the
        alpha in the middle."""
        most = self.config.attacked
        x = self.test_x[:: max(1, len(self.test_x) // most)][:most]
        alpha = of.alphas[len(of.alphas) // 2]
        model = LocallyBiased(score, nearest, alpha, of.norm)
        probes = generator("cpu", self.seed, "verify", str(of.norm))
        result = verify(model, x, model.certify(x), probes=8, generator=probes)
        return {
            "N": len(nearest.labels),
            "points": len(x),
            "alpha": model.alpha,
            "broken": int(result.broken.sum()),
            "tightness": round(result.tightness.median().item(), 4),
        }
