"""Normal smoothing: draws per second against others, and sequential sampling against a fixed number
of draws."""

import copy

import pytest
import torch
from measuring import interleaved
from torch import Tensor, nn

from lbrs import L2, CohenScore, NormalSmoothing
from lbrs.experiments.stages import generator
from lbrs.montecarlo import SignEstimate
from lbrs.noise import NOISES

SIGMA = 0.25
SIGMAS = torch.linspace(0, 0.5, 21, dtype=torch.float64).tolist()[1:]
ERROR = 1e-3
BATCH = 256


class TwoLogits(nn.Module):
    """A network of one logit z as ART wants it: (-z/2, z/2)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        z = self.network(x)
        return torch.cat([-z / 2, z / 2], 1)


def plain(network: nn.Module, x: Tensor, samples: int) -> list[Tensor]:
    """The average of tanh(z/2) over `samples` noisy copies of each image, as one writes it down."""
    found = []
    with torch.no_grad():
        for image in x:
            parts = [
                image + SIGMA * torch.randn(min(BATCH, samples - done), *image.shape)
                for done in range(0, samples, BATCH)
            ]
            found.append(torch.cat([(network(part) / 2).tanh() for part in parts]).mean())
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.benchmark(group="samples")
def test_draws_per_second_against_a_plain_loop_and_art(benchmark, sizes, trained):
    from art.estimators.certification.randomized_smoothing import PyTorchRandomizedSmoothing

    bench = trained("mnist")
    x, n = bench.x[: sizes.sampling_points], sizes.samples
    ours = NormalSmoothing(bench.score, SIGMA, n, generator("cpu", "samples"))
    theirs = PyTorchRandomizedSmoothing(
        TwoLogits(bench.network),
        nn.CrossEntropyLoss(),
        tuple(x.shape[1:]),
        2,
        device_type="cpu",
        sample_size=n,
        scale=SIGMA,
    )
    images = x.numpy()
    contenders = {
        "ART, its batch of 128": lambda turn: lambda: theirs.predict(images),
        f"ART, batch of {BATCH}": lambda turn: lambda: theirs.predict(images, batch_size=BATCH),
        f"a plain loop, batch of {BATCH}": lambda turn: lambda: plain(bench.network, x, n),
        "lbrs": lambda turn: lambda: ours.score(x),
    }
    seconds = interleaved(benchmark, contenders, sizes.rounds)
    benchmark.extra_info.update(
        dataset="mnist", points=len(x), samples=n, sigma=SIGMA, seconds=seconds
    )


@pytest.mark.benchmark(group="sound")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("base", ["network", "linear"])
def test_sound_noise_against_plain_noise(benchmark, sizes, trained, base, dtype):
    """Counts of Cohen's score; a linear base costs less than its noise, so that it is the worst
    case."""
    bench = trained("mnist")
    x = bench.x[: sizes.sampling_points]
    weight = torch.ones(x[0].numel(), dtype=dtype)
    network = copy.deepcopy(bench.network).to(dtype)
    function = network if base == "network" else lambda z: z.flatten(1) @ weight - 100
    contenders = {}
    for noise in NOISES:
        draws = generator("cpu", "sound", noise)
        score = CohenScore(function, SIGMA, sizes.samples, draws, dtype=dtype, noise=noise)
        contenders[noise] = lambda turn, score=score: lambda: score.counts(x)
    seconds = interleaved(benchmark, contenders, sizes.rounds)
    benchmark.extra_info.update(
        dataset="mnist",
        base=base,
        dtype=str(dtype),
        points=len(x),
        samples=sizes.samples,
        sigma=SIGMA,
        seconds=seconds,
    )


@pytest.mark.benchmark(group="sequential")
@pytest.mark.parametrize("radius", [0.0, 0.5])
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_sequential_sampling_against_a_fixed_number_of_draws(
    benchmark, sizes, trained, name, radius
):
    bench = trained(name)
    x, n, draws = bench.attack(L2, radius), sizes.samples, generator("cpu", name, radius)
    parts = x.split(-(-len(x) // sizes.rounds))
    fixed: list[Tensor] = []
    sequential: list[list[SignEstimate]] = []

    def run_fixed(part: Tensor, samples: int = n) -> None:
        models = (NormalSmoothing(bench.score, sigma, samples, draws) for sigma in SIGMAS)
        fixed.append(torch.stack([model.score(part) for model in models]))

    def run_sequential(part: Tensor) -> None:
        model = NormalSmoothing(bench.score, SIGMA, n, draws, error=ERROR)
        sequential.append(model.estimate_path(part, SIGMAS))

    run_fixed(x[:1], 50)
    run_sequential(x[:1])
    fixed.clear(), sequential.clear()
    contenders = {
        "fixed": lambda turn: lambda: run_fixed(parts[turn]),
        "sequential": lambda turn: lambda: run_sequential(parts[turn]),
    }
    seconds = interleaved(benchmark, contenders, len(parts), warm=False)
    benchmark.extra_info.update(
        dataset=name,
        radius=radius,
        points=len(x),
        sigmas=len(SIGMAS),
        samples=n,
        error=ERROR,
        seconds=seconds,
        **compared(sequential, torch.cat(fixed, 1)),
    )


def compared(sequential: list[list[SignEstimate]], fixed: Tensor) -> dict[str, float]:
    """How many draws the sequential decisions took, and how many differ from the fixed ones."""

    def column(key: str) -> Tensor:
        return torch.cat([stacked(paths, key) for paths in sequential], 1)

    decided, differ = column("decided"), column("sign") != torch.where(fixed >= 0, 1.0, -1.0)
    return {
        "draws": column("used").mean().item(),
        "decisions": differ.numel(),
        "undecided": int((~decided).sum()),
        "differ": int(differ.sum()),
        "differ_decided": int((differ & decided).sum()),
    }


def stacked(paths: list[SignEstimate], key: str) -> Tensor:
    """One column of the estimates at all sigmas (sigmas, n)."""
    return torch.stack([getattr(path, key) for path in paths])
