"""Section 5.2 and Appendix B: LBRS against normal smoothing on attacked images."""

from functools import partial

import torch
from torch import Tensor, nn

from lbrs.attacks.pgd import pgd
from lbrs.experiments import data
from lbrs.experiments.configs import ImagesConfig
from lbrs.experiments.networks import cnn, train
from lbrs.experiments.stages import Results, Stages, accuracy, columns, counted, generator, linspace
from lbrs.normal import NormalSmoothing
from lbrs.norms import L2, LINF, Norm
from lbrs.oracles.nearest import NearestNeighborOracle
from lbrs.paths import Steps, accuracy_path
from lbrs.scores.margin import ProbabilityMargin
from lbrs.smoothing import LocallyBiased


def images(
    config: ImagesConfig, seed: int, device: torch.device, stages: Stages
) -> tuple[data.BinaryTask, Results]:
    """Clean and robust accuracy over the smoothing parameter and over the attack radius (Figures 3
    to 6)."""
    task = data.images(
        config.dataset,
        seed,
        positive=config.positive,
        reference_points=config.reference_points,
        test_points=config.test_points,
    )
    bench = Bench(config, task, seed, device, stages)
    sets = {f"smoothing-{radius:g}": radius for radius in (0.0, *config.radii)}
    jobs = {name: partial(bench.over_smoothing, radius) for name, radius in sets.items()}
    for norm, top in ((L2, config.l2_max), (LINF, config.linf_max)):
        for radius in linspace(top, config.radius_points):
            jobs[f"attack-{norm}-{radius:g}"] = partial(bench.at_radius, norm, radius)
    done = stages.each(jobs)
    return task, {
        "network": bench.training,
        "sigma": bench.sigmas,
        "sets": [done[f"smoothing-{radius:g}"] for radius in (0.0, *config.radii)],
        "limits": stages("limits", bench.limits),
        "attacks": {
            str(norm): columns([done[name] for name in jobs if name.startswith(f"attack-{norm}-")])
            for norm in (L2, LINF)
        },
    }


class Bench:
    """A trained base network with everything that is measured on it; the trained weights are kept
    as a stage."""

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
        weights = generator("cpu", seed, "weights")
        network = cnn(task.shape, config.channels, generator=weights).to(device)
        kept = stages("network", partial(self._train, network, task))
        network.load_state_dict(kept["weights"])
        self.network = network.eval().requires_grad_(False)
        self.score = ProbabilityMargin(self.network)
        self.training = {
            "loss": kept["loss"],
            "parameters": sum(p.numel() for p in network.parameters()),
            "train_points": len(task.train_y),
        }
        self.sigmas = linspace(config.sigma_max, config.sigma_points)

    def _train(self, network: nn.Module, task: data.BinaryTask) -> Results:
        loss = train(
            network,
            task.train_x,
            task.train_y,
            epochs=self.config.epochs,
            learning_rate=self.config.learning_rate,
            noise=self.config.noise,
            generator=generator("cpu", self.seed, "training"),
        )
        weights = {name: value.cpu() for name, value in network.state_dict().items()}
        return {"weights": weights, "loss": loss}

    def attack(self, norm: Norm, radius: float) -> Tensor:
        """The test images attacked through the base network within `radius` in `norm`."""
        steps, step = self.config.attack_steps, self.config.attack_step
        return pgd(self.network, self.x, self.y, radius, norm, steps=steps, step=step)

    def normal(self, x: Tensor, sigmas: list[float], purpose: str) -> dict[str, list[float]]:
        """Accuracy of sigma-NS on `x` for each sigma, the share of undecided points and the mean
        number of draws; at sigma = 0 the network's accuracy."""
        smoothed = NormalSmoothing(
            self.score,
            self.config.sigma,
            self.config.samples,
            generator(self.device, self.seed, purpose),
            error=self.config.error,
        )
        found: dict[float, tuple[float, float, float]] = {}
        if 0 in sigmas:
            found[0.0] = (accuracy(self.score.linearize(x, L2).base, self.y), 0.0, 0.0)
        noisy = [sigma for sigma in sigmas if sigma > 0]
        for sigma, estimate in zip(noisy, smoothed.estimate_path(x, noisy), strict=True):
            undecided = (~estimate.decided).double().mean().item()
            right = accuracy(estimate.sign, self.y)
            found[sigma] = (right, undecided, estimate.used.mean().item())
        rows = [found[sigma] for sigma in sigmas]
        names = ("normal", "undecided", "draws")
        return {
            name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)
        }

    def biased(self, x: Tensor, norm: Norm) -> tuple[dict[str, float], Steps]:
        """Accuracies of the network and of the 1-NN on `x`, and that of LBRS as a function of
        alpha."""
        local, label = self.score.linearize(x, norm), self.oracle.label(x)
        ends = {"cnn": accuracy(local.base, self.y), "nearest": accuracy(label, self.y)}
        return ends, accuracy_path(local, label, self.y)

    def over_smoothing(self, radius: float) -> Results:
        """Accuracies on the test images attacked in l2 within `radius`, over all sigmas and all
        alphas."""
        x = self.attack(L2, radius)
        ends, path = self.biased(x, L2)
        normal = self.normal(x, self.sigmas, f"smoothing-{radius:g}")
        return {"radius": radius, **ends, "lbrs": counted(path, len(x)), **normal}

    def at_radius(self, norm: Norm, radius: float) -> Results:
        """Accuracies on the test images attacked in `norm` within `radius`, at the fixed sigma and
        alpha."""
        x = self.attack(norm, radius)
        ends, path = self.biased(x, norm)
        found = self.normal(x, [self.config.sigma], f"attack-{norm}-{radius:g}")
        normal = {name: value for name, (value,) in found.items()}
        return {"radius": radius, **ends, "lbrs": path(self.config.alpha).item(), **normal}

    def limits(self) -> dict[str, float]:
        """On how many clean test images alpha = 0 differs from the network, alpha = 1e300 from the
        1-NN, and the gradient is zero; and `nearest_alpha`, above which LBRS is the 1-NN on all
        whose gradient is not zero."""
        base, label = self.score.linearize(self.x, L2), self.oracle.label(self.x)
        zero, infinite = (
            LocallyBiased(self.score, self.oracle, alpha).predict(self.x) for alpha in (0.0, 1e300)
        )
        logits = torch.where(self.score.logit(self.x) >= 0, 1.0, -1.0)
        differ = (base.base != label) & torch.isfinite(base.crossing)
        return {
            "nearest_alpha": base.crossing[differ].max().item() if differ.any() else 0.0,
            "alpha_zero": int((zero != logits).sum()),
            "alpha_infinity": int((infinite != label).sum()),
            "zero_gradient": int(torch.isinf(base.crossing).sum()),
        }
