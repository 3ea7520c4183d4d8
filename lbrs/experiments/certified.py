"""Certified radii on images: the smooth network, LBRS on it, the nearest neighbour, and Cohen's smoothing with and without a bias."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lbrs.certificate import Certificate
from lbrs.curvature import CertifiedLoss, smooth_score
from lbrs.experiments import data
from lbrs.experiments.configs import CertifiedConfig
from lbrs.experiments.networks import cnn, smooth_mlp, train
from lbrs.experiments.stages import Stages, generator
from lbrs.norms import L2, LINF, Norm
from lbrs.oracles.nearest import NearestNeighborOracle
from lbrs.scores.base import Score
from lbrs.scores.cohen import CohenScore, cohen_certificate
from lbrs.smoothing import LocallyBiased
from lbrs.verification import verify


@dataclass(frozen=True)
class Oracle:
    """The nearest neighbour among N reference points, with what it says of the test images."""

    nearest: NearestNeighborOracle
    label: Tensor
    paper: Tensor
    sharp: Tensor

    def __len__(self) -> int:
        return len(self.nearest.labels)


def certified(
    config: CertifiedConfig, seed: int, device: torch.device, stages: Stages
) -> tuple[data.BinaryTask, dict[str, Any]]:
    """Certified accuracy over the radius, and average certified radii, for every method, number of reference points and alpha, in l2 and linf."""
    task = data.images(
        config.dataset,
        seed,
        positive=config.positive,
        reference_points=2,
        test_points=config.test_points,
    )
    bench = Certification(config, task, seed, device, stages)
    names = [(f"smooth-{norm}", lambda norm=norm: bench.smooth(norm)) for norm in (L2, LINF)]
    names += [
        (f"noisy-{sigma:g}", lambda sigma=sigma: bench.noisy(sigma)) for sigma in config.sigmas
    ]
    names += [
        (f"counts-{sigma:g}", lambda sigma=sigma: bench.counts(sigma)) for sigma in config.sigmas
    ]
    names += [(f"curves-{norm}", lambda norm=norm: bench.curves(norm)) for norm in (L2, LINF)]
    done = [stages(name, job) for name, job in stages.progress(names)]
    return task, {
        "train_points": len(bench.x),
        "norms": {str(norm): curves for norm, curves in zip((L2, LINF), done[-2:], strict=True)},
    }


class Certification:
    """What is certified, and how: see `CertifiedConfig`.

    Parameters: the choices, the task, the seed, the device, and the stages in which finished parts are kept.
    """

    def __init__(
        self,
        config: CertifiedConfig,
        task: data.BinaryTask,
        seed: int,
        device: torch.device,
        stages: Stages,
    ) -> None:
        self.config, self.task, self.seed, self.device, self.stages = (
            config,
            task,
            seed,
            device,
            stages,
        )
        order = np.random.default_rng([seed, 1]).permutation(
            len(task.train_y) + len(task.reference_y)
        )
        y = torch.cat([task.train_y, task.reference_y])[order]
        kept = (
            torch.cat(
                [(y == label).nonzero().flatten()[: config.train_points // 2] for label in (1, -1)]
            )
            .sort()
            .values
        )
        self.x, self.y = torch.cat([task.train_x, task.reference_x])[order][kept], y[kept]
        self.test_x, self.test_y = task.test_x.to(device), task.test_y.to(device)

    def smooth(self, norm: Norm) -> dict[str, Tensor]:
        """The weights of the smooth network trained for `norm`."""
        config, names = self.config, (self.seed, "smooth", str(norm))
        radius = config.margin if norm == L2 else config.linf_margin
        loss = CertifiedLoss(
            self.task.shape, norm, radius, config.temperature, generator("cpu", *names, "iteration")
        )
        return self._train(
            self._mlp(norm),
            epochs=config.epochs,
            loss=loss,
            generator=generator("cpu", *names, "order"),
        )

    def noisy(self, sigma: float) -> dict[str, Tensor]:
        """The weights of the ReLU network trained with noise."""
        return self._train(
            self._cnn(sigma),
            epochs=self.config.noisy_epochs,
            noise=sigma,
            generator=generator("cpu", self.seed, "noisy", sigma, "order"),
        )

    def _mlp(self, norm: Norm) -> torch.nn.Module:
        return smooth_mlp(
            self.task.shape,
            (self.config.width,),
            generator=generator("cpu", self.seed, "smooth", str(norm), "weights"),
        )

    def _cnn(self, sigma: float) -> torch.nn.Module:
        return cnn(
            self.task.shape,
            self.config.channels,
            generator=generator("cpu", self.seed, "noisy", sigma, "weights"),
        )

    def _train(self, network: torch.nn.Module, **choices: Any) -> dict[str, Tensor]:
        train(
            network.to(self.device),
            self.x,
            self.y,
            learning_rate=self.config.learning_rate,
            **choices,
        )
        return {name: value.cpu() for name, value in network.state_dict().items()}

    def base(self, norm: Norm) -> Score:
        """The smooth network trained for `norm` as a score, with its L."""
        network = self._mlp(norm)
        network.load_state_dict(self.stages(f"smooth-{norm}", lambda: self.smooth(norm)))
        return smooth_score(network.to(self.device), self.task.shape, norm)

    def counts(self, sigma: float) -> Tensor:
        """How many of the noisy copies of each test image the network that was trained with this noise takes for positive."""
        network = self._cnn(sigma)
        network.load_state_dict(self.stages(f"noisy-{sigma:g}", lambda: self.noisy(sigma)))
        network = network.to(self.device).eval().requires_grad_(False)
        score = CohenScore(
            network,
            sigma,
            self.config.samples,
            generator(self.device, self.seed, "noisy", sigma, "draws"),
        )
        return score.counts(self.test_x).cpu()

    def oracles(self, norm: Norm) -> Iterator[Oracle]:
        """The nearest neighbour among each of the numbers of reference points, the whole training set last."""
        plus, minus = (self.y > 0).nonzero().flatten(), (self.y < 0).nonzero().flatten()
        most = len(self.y)
        for count in sorted({*(n for n in self.config.reference_points if n < most), most}):
            rows = torch.cat([plus[: count - count // 2], minus[: count // 2]])
            nearest = NearestNeighborOracle(self.x[rows].to(self.device), self.y[rows])
            paper, sharp = (
                nearest.radius(self.test_x, norm, bound) for bound in ("paper", "sharp")
            )
            yield Oracle(nearest, nearest.label(self.test_x), paper, sharp)

    def curves(self, norm: Norm) -> dict[str, Any]:
        """Every method's certified accuracies and average radii in `norm`."""
        config, score = self.config, self.base(norm)
        alphas, top = (
            (config.alphas, config.radii_max)
            if norm == L2
            else (config.linf_alphas, config.linf_radii_max)
        )
        radii = torch.linspace(0, top, config.radius_points, dtype=torch.float64).tolist()
        counts = [
            self.stages(f"counts-{sigma:g}", lambda sigma=sigma: self.counts(sigma))
            for sigma in config.sigmas
        ]
        found, attacked = [], None
        for oracle in self.oracles(norm):
            found += [
                {**entry, **self._measure(certificate, radii)}
                for entry, certificate in self._certificates(score, oracle, norm, alphas, counts)
            ]
            attacked = oracle if attacked is None or len(oracle) <= 1000 else attacked
        base = next(entry for entry in found if entry["method"] == "sharp" and entry["alpha"] == 0)
        found = [
            {"method": "base", "certified": base["certified"], "average": base["average"]},
            *found,
        ]
        return {
            "L": score.gradient_lipschitz,
            "slope": score.linearize(self.test_x, norm).slope.median().item(),
            "rounding": score.rounding,
            "radii": radii,
            "alpha": list(alphas),
            "curves": found,
            "attacks": self._attack(score, attacked.nearest, norm, alphas),
        }

    def _certificates(
        self,
        score: Score,
        oracle: Oracle,
        norm: Norm,
        alphas: Sequence[float],
        counts: list[Tensor],
    ) -> Iterator[tuple[dict, Certificate]]:
        N = len(oracle)
        model = LocallyBiased(score, oracle.nearest, 0.0, norm)
        for bound, method, neighbor in (
            ("paper", "theorem8", oracle.paper),
            ("sharp", "sharp", oracle.sharp),
        ):
            path = model.certify_path(self.test_x, alphas, bound, neighbor)
            yield from (
                ({"method": method, "N": N, "alpha": alpha}, certificate)
                for alpha, certificate in zip(alphas, path, strict=True)
            )
        yield (
            {"method": "nearest", "N": N},
            Certificate(oracle.label, oracle.sharp, norm, "deterministic", "Theorem A", "none"),
        )
        spread = 1.0 if norm == L2 else self.test_x[0].numel() ** 0.5 * (1 + 1e-12)
        for sigma, count in zip(self.config.sigmas, counts, strict=True):
            for alpha in alphas:
                biased = cohen_certificate(
                    count,
                    self.config.samples,
                    sigma / spread,
                    oracle.label,
                    oracle.sharp,
                    alpha,
                    self.config.confidence,
                )
                yield {"method": "cohen", "sigma": sigma, "N": N, "alpha": alpha}, biased

    def _measure(self, certificate: Certificate, radii: Iterable[float]) -> dict[str, Any]:
        """Certified accuracy at each of the `radii`, and the average of the radii of the rightly classified test images, the others counting 0."""
        right = certificate.prediction.to(self.test_y) == self.test_y
        accuracy = [round(certificate.accuracy(self.test_y, radius), 5) for radius in radii]
        return {
            "certified": accuracy,
            "average": round((certificate.radius.to(self.test_y) * right).mean().item(), 5),
        }

    def _attack(
        self, score: Score, nearest: NearestNeighborOracle, norm: Norm, alphas: Sequence[float]
    ) -> dict[str, Any]:
        """What `lbrs.verify` finds against the sharp certificates of some test images, for the alpha in the middle."""
        x = self.test_x[:: max(1, len(self.test_x) // self.config.attacked)][: self.config.attacked]
        model = LocallyBiased(score, nearest, alphas[len(alphas) // 2], norm)
        result = verify(
            model,
            x,
            model.certify(x),
            probes=8,
            generator=generator("cpu", self.seed, "verify", str(norm)),
        )
        return {
            "N": len(nearest.labels),
            "points": len(x),
            "alpha": model.alpha,
            "broken": int(result.broken.sum()),
            "tightness": round(result.tightness.median().item(), 4),
        }
