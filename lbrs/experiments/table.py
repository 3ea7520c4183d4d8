"""The table of experiments: the choices of each, its notebook, what computes it, its page."""

from collections.abc import Callable
from dataclasses import dataclass

from lbrs.experiments.certified import certified
from lbrs.experiments.configs import (
    CertifiedConfig,
    Config,
    ImagesConfig,
    SensitivityConfig,
    SpiralConfig,
)
from lbrs.experiments.data import BinaryTask
from lbrs.experiments.images import images
from lbrs.experiments.records import Record
from lbrs.experiments.sensitivity import sensitivity
from lbrs.experiments.spiral import spiral
from lbrs.experiments.stages import Results


@dataclass(frozen=True)
class Experiment:
    """A kind of experiment.

    Attributes:
        config: the class of its choices.
        notebook: its text notebook, below notebooks/.
        compute: what it does, given the choices, the seed, the device and the stages.
        page: the module of lbrs.pages that tells what came out.
    """

    config: type[Config]
    notebook: str
    compute: Callable[..., tuple[BinaryTask, Results]]
    page: str


EXPERIMENTS = {
    "spiral": Experiment(SpiralConfig, "spiral.md", spiral, "spiral"),
    "images": Experiment(ImagesConfig, "images.md", images, "images"),
    "certified": Experiment(CertifiedConfig, "certified.md", certified, "certified"),
    "sensitivity": Experiment(SensitivityConfig, "sensitivity.md", sensitivity, "sensitivity"),
}
"""The experiments by the kind that a record says it is."""


def kind_of(config: Config) -> str:
    """The kind of the experiment that has these choices."""
    (kind,) = (kind for kind, one in EXPERIMENTS.items() if one.config is type(config))
    return kind


def config_of(record: Record) -> type[Config]:
    """The class of the choices of a record."""
    return EXPERIMENTS[record.kind].config


def experiment_in(notebook: str) -> Experiment | None:
    """The experiment of a text notebook below notebooks/, if it is one."""
    return next((one for one in EXPERIMENTS.values() if one.notebook == notebook), None)
