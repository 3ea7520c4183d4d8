"""Every choice of the experiments, in dataclasses whose fields say what they are."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from lbrs._checks import fraction, integer, number


def _choice(default: Any, says: str) -> Any:
    return field(default=default, metadata={"says": says})


@dataclass(frozen=True)
class SpiralConfig:
    """The choices of the illustrative example (Section 5.1).

    The paper gives only the range of alpha and the two norms."""

    train_points: int = _choice(
        800, "points on which the SVM is fitted; two arms, radius up to 10, drawn for this alone"
    )
    reference_points: int = _choice(200, "reference points of the oracle, another sample")
    test_points: int = _choice(1000, "test points, a third sample")
    turns: float = _choice(1.0, "turns of each arm")
    jitter: float = _choice(0.5, "standard deviation of the normal jitter, in the units of x")
    svm_c: float = _choice(1.0, "penalty C of the linear support vector machine")
    alpha_max: float = _choice(10.0, "largest alpha; the paper's range is [0, 10]")
    tolerance: float = _choice(
        1e-3,
        "largest error of the drawn average radii, which are exact functions of alpha; "
        "knots that matter less are left out",
    )
    shown_alphas: tuple[float, ...] = _choice(
        (0.0, 1.0, 3.0, 10.0), "alphas whose decision regions are drawn"
    )
    exact_points: int = _choice(50, "test points whose exact radii are computed, the first ones")
    exact_alphas: tuple[float, ...] = _choice(
        (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0), "alphas at which they are"
    )
    exact_radii: tuple[float, ...] = _choice(
        (0.5, 1.0, 2.0), "radii at which certified accuracy is compared, in the units of x"
    )
    raster: int = _choice(160, "points along each side of the drawn square")

    def __post_init__(self) -> None:
        _check(
            self,
            positive=("turns", "svm_c", "alpha_max", "tolerance"),
            counts=("raster", "exact_points"),
        )


@dataclass(frozen=True)
class ImagesConfig:
    """The choices of the image experiments (Section 5.2 and Appendix B).

    The defaults are the paper's protocol on MNIST where it gives one."""

    dataset: str = _choice("mnist", "source of the images")
    positive: int = _choice(
        8, "class with label +1, against all others; the paper takes the digit eight"
    )
    reference_points: int = _choice(
        10, "N, reference points held out of training, half of each class; N = 10 in the paper"
    )
    test_points: int = _choice(
        10_000,
        "test images at most, half of each class; all of the positive class and as many others if "
        "there are fewer",
    )
    channels: tuple[int, int, int] = _choice(
        (16, 32, 64),
        "channels of the three 3x3 convolutions with stride 2 and ReLU, before one linear layer",
    )
    epochs: int = _choice(
        10, "epochs of Adam with a one-cycle rate on the logistic loss, batch 128"
    )
    learning_rate: float = _choice(3e-3, "largest learning rate of the cycle")
    noise: float = _choice(
        0.0, "standard deviation of the noise that the base network is trained with"
    )
    radii: tuple[float, ...] = _choice(
        (0.5, 1.0), "l2 attack radii against the smoothing parameter; 0.5 and 1 in the paper"
    )
    sigma_max: float = _choice(0.5, "largest sigma; the paper's range is [0, 0.5]")
    sigma_points: int = _choice(
        11, "equidistant values of sigma from 0, where normal smoothing is the network itself"
    )
    alpha_max: float = _choice(
        1000.0,
        "largest alpha that is drawn; the paper's range is [0, 1000]; "
        "accuracy is known at every alpha",
    )
    sigma: float = _choice(0.05, "sigma against the attack radius, as in the paper")
    alpha: float = _choice(10.0, "alpha against the attack radius, as in the paper")
    l2_max: float = _choice(3.0, "largest l2 attack radius, as in the paper")
    linf_max: float = _choice(0.3, "largest linf attack radius")
    radius_points: int = _choice(13, "equidistant attack radii from 0")
    attack_steps: int = _choice(
        10, "steps of PGD, from the clean image, inside [0, 1], against the base network"
    )
    attack_step: float = _choice(
        2.5, "length of a step times the number of steps over the attack radius"
    )
    samples: int = _choice(
        1000,
        "draws of normal smoothing per image at most; a point stops once an anytime-valid "
        "interval excludes 0",
    )
    error: float = _choice(
        1e-3, "chance at most that a decided prediction of normal smoothing is wrong"
    )

    def __post_init__(self) -> None:
        _check(
            self,
            positive=(
                "learning_rate",
                "sigma_max",
                "alpha_max",
                "sigma",
                "l2_max",
                "linf_max",
                "attack_step",
                "error",
            ),
            counts=("epochs", "sigma_points", "radius_points", "attack_steps", "samples"),
        )
        for name in ("alpha", "noise"):
            number(name, getattr(self, name), low=0)


@dataclass(frozen=True)
class CertifiedConfig:
    """The choices of the experiment on certified radii.

    The paper does not make it: it certifies no image."""

    dataset: str = _choice("mnist", "source of the images")
    positive: int = _choice(8, "class with label +1, against all others")
    reference_points: tuple[int, ...] = _choice(
        (10, 100, 1000),
        "N, half of each class, nested random draws from the training images; "
        "the whole training set is added",
    )
    train_points: int = _choice(1_000_000, "training images at most, half of each class")
    test_points: int = _choice(10_000, "test images at most, half of each class")
    width: int = _choice(
        256,
        "softplus units of the smooth network, one hidden layer; trained for each norm on its own",
    )
    epochs: int = _choice(
        10, "epochs of Adam with a one-cycle rate, batch 128, for the smooth network"
    )
    learning_rate: float = _choice(3e-3, "largest learning rate of the cycle")
    margin: float = _choice(
        0.5, "l2 radius at which the loss of the smooth network asks for a margin"
    )
    linf_margin: float = _choice(0.03, "the same for the network trained for linf")
    temperature: float = _choice(0.5, "temperature of that loss")
    alphas: tuple[float, ...] = _choice(
        (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 10.0), "alpha in l2"
    )
    linf_alphas: tuple[float, ...] = _choice(
        (0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5), "alpha in linf"
    )
    radii_max: float = _choice(1.5, "largest l2 radius at which certified accuracy is measured")
    linf_radii_max: float = _choice(0.12, "the same in linf")
    radius_points: int = _choice(25, "equidistant radii from 0")
    sigmas: tuple[float, ...] = _choice((0.12, 0.25, 0.5), "sigma of Cohen's normal smoothing")
    channels: tuple[int, int, int] = _choice(
        (16, 32, 64), "channels of the ReLU network under Cohen's smoothing, as on the image pages"
    )
    noisy_epochs: int = _choice(
        10, "its epochs, for each sigma trained with normal noise of that sigma"
    )
    samples: int = _choice(
        1000, "normal draws for each test image and sigma; Cohen et al. take 100,000"
    )
    confidence: float = _choice(
        0.999, "with which each probabilistic certificate holds, an image at a time"
    )
    attacked: int = _choice(100, "test images whose certificates are attacked by lbrs.verify")

    def __post_init__(self) -> None:
        _check(
            self,
            positive=(
                "learning_rate",
                "margin",
                "linf_margin",
                "temperature",
                "radii_max",
                "linf_radii_max",
            ),
            counts=("width", "epochs", "noisy_epochs", "radius_points", "samples", "attacked"),
        )
        integer("train_points", self.train_points, low=2)
        fraction("confidence", self.confidence)
        for name in ("sigmas", "reference_points", "alphas", "linf_alphas"):
            values = getattr(self, name)
            if not isinstance(values, tuple) or not values or list(values) != sorted(set(values)):
                raise ValueError(
                    f"{name} must hold at least one value, each larger than the one before, "
                    f"got {values!r}"
                )
        number("sigmas", self.sigmas[0], low=0, open_low=True)
        for count in self.reference_points:
            integer("reference_points", count, low=2)
        for width in self.channels:
            integer("channels", width, low=1)
        for name in ("alphas", "linf_alphas"):
            if getattr(self, name)[0] != 0 or len(getattr(self, name)) < 4:
                raise ValueError(
                    f"{name} must begin with 0, the base network, "
                    f"and hold at least three other values, got {getattr(self, name)}"
                )


@dataclass(frozen=True)
class SensitivityConfig:
    """The choices of the experiment on what the choices decide.

    Each panel changes one of them and keeps the others."""

    dataset: str = _choice("mnist", "source of the images")
    positive: int = _choice(8, "class with label +1 in all panels but that of the class")
    test_points: int = _choice(10_000, "test images at most, half of each class")
    channels: int = _choice(
        16,
        "channels of the first convolution; the second and the third have twice and four times as "
        "many",
    )
    epochs: int = _choice(
        10, "epochs of Adam with a one-cycle rate on the logistic loss, batch 128"
    )
    learning_rate: float = _choice(3e-3, "largest learning rate of the cycle")
    reference_points: tuple[int, ...] = _choice(
        (10, 30, 100, 1000),
        "N, half of each class, the held-out ones first; all training images are added",
    )
    positives: tuple[int, ...] = _choice(
        tuple(range(10)), "classes with label +1, each with a network of its own"
    )
    widths: tuple[int, ...] = _choice((8, 16, 32), "channels of the first convolution")
    noises: tuple[float, ...] = _choice(
        (0.0, 0.25), "standard deviations of the noise that the base network is trained with"
    )
    steps: tuple[float, ...] = _choice(
        (1.0, 2.5, 5.0),
        "lengths of a step of PGD times the number of steps over the radius; "
        "the second also from a random start",
    )
    radius: float = _choice(0.5, "l2 radius of the attack on the base network")
    sigmas: tuple[float, ...] = _choice(
        (0.0, 0.05, 0.1, 0.2, 0.3, 0.5), "sigma of normal smoothing, in the panel on noise"
    )
    samples: int = _choice(1000, "its draws per image at most")
    error: float = _choice(
        1e-3, "chance at most that a decided prediction of normal smoothing is wrong"
    )
    alpha_max: float = _choice(1000.0, "largest alpha that is drawn")
    alpha_points: int = _choice(
        61,
        "alphas from a millionth of the largest to the largest in equal ratios, "
        "at which the exact paths are kept",
    )

    def __post_init__(self) -> None:
        _check(
            self,
            positive=("learning_rate", "radius", "error", "alpha_max"),
            counts=("channels", "epochs", "samples", "alpha_points"),
        )
        for name, low in (("reference_points", 2), ("widths", 1), ("positives", 0)):
            for value in getattr(self, name):
                integer(name, value, low=low)
        if len(self.steps) < 2:
            raise ValueError(f"steps must hold at least two lengths, got {self.steps}")


Config = SpiralConfig | ImagesConfig | CertifiedConfig | SensitivityConfig


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
