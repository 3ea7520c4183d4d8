"""The table of experiments: the choices of each, its notebook, what computes it, its page."""

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from lbrs.experiments.configs import (
    CertifiedConfig,
    Config,
    ImagesConfig,
    SensitivityConfig,
    SpiralConfig,
)
from lbrs.experiments.records import Record

if TYPE_CHECKING:
    from lbrs.experiments.data import BinaryTask
    from lbrs.experiments.stages import Results


@dataclass(frozen=True)
class Experiment:
    """A kind of experiment.

    Attributes:
        config: the class of its choices.
        notebook: its text notebook, below notebooks/.
        function: what it does, as module:function below lbrs.experiments. It is looked up when
            needed, so that who only tells of an experiment does not depend on its computation.
        page: the module of lbrs.pages that tells what came out.
    """

    config: type[Config]
    notebook: str
    function: str
    page: str

    @property
    def compute(self) -> "Callable[..., tuple[BinaryTask, Results]]":
        """The function: of the choices, the seed, the device and the stages."""
        found: Callable[..., tuple[BinaryTask, Results]] = resolve_name(
            f"{__package__}.{self.function}"
        )
        return found


EXPERIMENTS = {
    "spiral": Experiment(SpiralConfig, "spiral.md", "spiral:spiral", "spiral"),
    "images": Experiment(ImagesConfig, "images.md", "images:images", "images"),
    "certified": Experiment(CertifiedConfig, "certified.md", "certified:certified", "certified"),
    "sensitivity": Experiment(
        SensitivityConfig, "sensitivity.md", "sensitivity:sensitivity", "sensitivity"
    ),
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
