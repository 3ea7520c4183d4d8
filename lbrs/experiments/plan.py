"""What is computed: a run with a seed and parameters, as a notebook asks for it, or, in a sweep,
every run with every seed and every combination of parameters."""

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any
from urllib.parse import quote

from lbrs._checks import integer
from lbrs.experiments.configs import Config
from lbrs.experiments.records import find_project, record_name
from lbrs.experiments.runs import RESERVED, Run, load_runs
from lbrs.experiments.stages import pick_device
from lbrs.experiments.table import EXPERIMENTS, experiment_in

MOST_SEEDS = 10_000

NAMING = ("dataset",)
"""The choices that the name of a run stands for: no notebook may be given others."""

IPYTHON = ("In", "Out")
"""What IPython keeps in a notebook's namespace beside names that begin with _."""


@dataclass(frozen=True)
class Task:
    """One run with one seed and one set of parameters; `choices` are those that the sweep set
    itself."""

    run: str
    profile: str
    seed: int
    config: Config
    choices: dict[str, Any] = field(default_factory=dict)
    device: str = "auto"

    @property
    def name(self) -> str:
        """Where its record goes, without `.json`, as `lbrs run` names it, in a sub-folder such as
        `epochs=3,noise=0.5` for choices of its own."""
        file = record_name(self.run, self.profile, self.seed).removesuffix(".json")
        return f"{_folder_name(self.choices)}/{file}" if self.choices else file


def _folder_name(choices: dict[str, Any]) -> str:
    parts = []
    for name, value in sorted(choices.items()):
        items = value if isinstance(value, tuple) else (value,)
        parts.append(f"{name}={'_'.join(quote(str(item), safe='') for item in items)}")
    text = ",".join(parts)
    if len(text) <= 200:
        return text
    return f"{text[:180]}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def asked(kind: str, namespace: Mapping[str, Any]) -> Task:
    """What the parameters in the `namespace` of a notebook ask for: what notebooks/runs.yml says
    for their run and profile, and on top the choices that are given, unless they are None.

    Every plain value in the namespace is a parameter, but for names that begin with _.

    Parameters:
        kind: the experiment of the notebook, as in `lbrs.experiments.table`.
        namespace: of the notebook, its `globals()`.

    Raises:
        ValueError: naming the parameter, for an unknown one, for a value that does not fit, and for
            a run of another notebook or of other data.
        FileNotFoundError: outside a project.
    """
    given = {name: value for name, value in namespace.items() if _is_parameter(name, value)}
    name, profile, seed, device = (given.pop(reserved, None) for reserved in RESERVED)
    runs, notebook = load_runs(find_project()), EXPERIMENTS[kind].notebook
    own = [run.name for run in runs.values() if run.source == notebook]
    if name not in own:
        raise ValueError(
            f"run must be one of {', '.join(own)} in notebooks/{notebook}, got {name!r}"
        )
    usual = configure(runs[name], profile, {})
    config = configure(runs[name], profile, given)
    before = asdict(usual)
    pick_device(device)
    chosen = {key: value for key, value in asdict(config).items() if value != before[key]}
    for key in sorted(chosen.keys() & {*NAMING}):
        raise ValueError(
            f"run {name!r} has {key} {before[key]!r}, got {chosen[key]!r}: choose another run"
        )
    return Task(name, profile, integer("seed", seed, low=0), config, chosen, device)


def _is_parameter(name: str, value: object) -> bool:
    return not name.startswith("_") and name not in IPYTHON and _is_plain(value)


def _is_plain(value: object) -> bool:
    """Whether papermill can have given this value."""
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, int, float))


def parameters(run: Run, profile: str) -> str:
    """All that the notebook of `run` can be given at `profile`, but seed and device, as YAML for
    papermill; ValueError as in `plan`."""
    import yaml

    config = configure(run, profile, {})
    choices = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(config).items()
    }
    told = {"run": run.name, "profile": profile, **choices}
    text: str = yaml.safe_dump(told, sort_keys=False, default_flow_style=None, width=100)
    return text


def parse_seeds(text: str) -> list[int]:
    """The seeds that `text` names, in its order and once each.

    Raises:
        ValueError: if it names none, or more than 10,000.

    >>> parse_seeds("0-2,7")
    [0, 1, 2, 7]
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        found = re.fullmatch(r"([0-9]{1,18})(?:-([0-9]{1,18}))?", part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if last < first:
            raise ValueError(f"seeds must be numbers and ranges such as 0-4 or 0,2,5, got {text!r}")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise ValueError(f"seeds must be at most {MOST_SEEDS}, got {text!r}")
        seeds.update(dict.fromkeys(range(first, last + 1)))
    return list(seeds)


def parse_choices(texts: Iterable[str]) -> dict[str, list[Any]]:
    """The values of each parameter in `texts` such as "epochs=3,5" or "radii=[0.25, 0.5]", read as
    YAML.

    Raises:
        ValueError: for anything else, and for a parameter that is set twice.

    >>> parse_choices(["epochs=3,5", "radii=[0.25, 0.5]"])
    {'epochs': [3, 5], 'radii': [[0.25, 0.5]]}
    """
    import yaml

    found: dict[str, list[Any]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        try:
            items = yaml.safe_load(f"[{values}]")
        except yaml.YAMLError:
            items = []
        if not name.isidentifier() or not items or not isinstance(items, list):
            raise ValueError(
                "a parameter is set as name=value,value with values as in YAML, "
                f"such as epochs=3,5 or radii=[0.25,0.5], got {text!r}"
            )
        if name in found:
            raise ValueError(
                f"parameter {name!r} must be set once, with all its values, got {text!r} as well"
            )
        found[name] = items
    return found


def plan(
    runs: Iterable[Run],
    profile: str,
    seeds: Iterable[int],
    choices: dict[str, list[Any]] | None = None,
    device: str = "auto",
) -> list[Task]:
    """The tasks: every run with every combination of `choices` and every seed.

    The choices of a task are those of `lbrs run`: the run's parameters and what `profile` overrides
    in runs.yml; then `choices`.

    Parameters:
        runs: from notebooks/runs.yml.
        profile: "quick" or "paper".
        seeds: each >= 0.
        choices: a list of values for each parameter.
        device: "auto", "cpu" or "cuda".

    Raises:
        ValueError: naming the run and the parameter, for an unknown one and for a value that does
            not fit.
    """
    choices, seeds = choices or {}, list(seeds)
    tasks: dict[str, Task] = {}
    for run in runs:
        for values in itertools.product(*choices.values()):
            config = configure(run, profile, dict(zip(choices, values, strict=True)))
            chosen = {name: getattr(config, name) for name in choices}
            for seed in seeds:
                task = Task(run.name, profile, seed, config, chosen, device)
                tasks[task.name] = task
    return list(tasks.values())


def configure(run: Run, profile: str, choices: dict[str, Any]) -> Config:
    """The choices of `run` at `profile`, with `choices` on top unless they are None; ValueError as
    in `plan`."""
    experiment = experiment_in(run.source)
    if experiment is None:
        notebooks = ", ".join(one.notebook for one in EXPERIMENTS.values())
        raise ValueError(
            f"run {run.name!r}: a sweep computes the experiments of {notebooks}, "
            f"got notebooks/{run.source}"
        )
    defaults = {choice.name: choice.default for choice in fields(experiment.config)}
    values = {}
    own = {**defaults, **run.chosen(profile)}
    for name, value in {**own, **choices}.items():
        if name not in defaults:
            allowed = ", ".join(defaults)
            raise ValueError(f"run {run.name!r}: unknown parameter {name!r}; allowed are {allowed}")
        value = own[name] if value is None else value
        try:
            values[name] = _fit(value, defaults[name])
        except (TypeError, ValueError):
            raise ValueError(
                f"run {run.name!r}: parameter {name!r} must be of the kind of its default "
                f"{defaults[name]!r}, got {value!r}"
            ) from None
    try:
        return experiment.config(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"run {run.name!r}: {error}") from error


def _fit(value: Any, default: Any) -> Any:
    """`value` as one of the kind of `default`: lists as tuples, and as floats also whole numbers
    and what YAML takes for text, such as 1e-3."""
    if isinstance(default, tuple) and isinstance(value, (list, tuple)):
        return tuple(_fit(item, default[0]) for item in value)
    if isinstance(default, float) and type(value) in (int, float, str):
        return float(value)
    if type(value) is not type(default):
        raise TypeError
    return value
