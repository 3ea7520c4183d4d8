"""The text notebooks under the tools that people have: papermill and nbclient as they are, and
jupytext, which changes no line."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

import jupytext
import nbclient
import nbformat
import pytest
import yaml
from tiny import BY_KIND
from typer.testing import CliRunner

from lbrs import cli
from lbrs.experiments import plan
from lbrs.experiments.records import Record
from lbrs.experiments.running import run
from lbrs.experiments.runs import RESERVED, load_runs
from lbrs.experiments.table import EXPERIMENTS
from lbrs.website import jobs, kernel

ROOT = Path(__file__).parents[2]
TEXTS = [
    *sorted((ROOT / "notebooks").glob("*.md")),
    *(page for page in sorted((ROOT / "book").rglob("*.md")) if jobs.is_notebook(page)),
]
DEFAULTS = {"profile": "quick", "seed": 0, "device": "auto"}
BIN = Path(sys.executable).parent


def sizes(kind: str) -> dict[str, object]:
    """Next to nothing, for an experiment of this kind; the data set is named apart."""
    if kind not in BY_KIND:
        return {}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(BY_KIND[kind]).items()
        if name != "dataset"
    }


def default_run(kind: str) -> str:
    """The run that the notebook of this kind computes if it is given nothing."""
    path = ROOT / "notebooks" / EXPERIMENTS[kind].notebook
    cells = jupytext.read(path, fmt="md:myst").cells
    given: dict[str, object] = {}
    exec(next(cell.source for cell in cells if cell.cell_type == "code"), given)
    return str(given["run"])


def small_runs() -> dict[str, object]:
    """A run for each notebook by its default name, on digits; and `digits`."""
    entries = {}
    for kind, experiment in EXPERIMENTS.items():
        names = {field.name for field in fields(experiment.config)}
        own = {"dataset": "digits"} if "dataset" in names else {}
        profiles = {"quick": sizes(kind), "paper": {}}
        entry = {"source": experiment.notebook, "parameters": own, "profiles": profiles}
        entries[default_run(kind)] = entry
    other = {"dataset": "mnist"}
    profiles = {"quick": sizes("images"), "paper": {}}
    return entries | {
        "digits": entries["mnist"],
        "other": {"source": "images.md", "parameters": other, "profiles": profiles},
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """The notebooks as they are, with runs that compute next to nothing."""
    place = tmp_path_factory.mktemp("a project")
    (place / "notebooks").mkdir()
    for text in (ROOT / "notebooks").glob("*.md"):
        shutil.copy(text, place / "notebooks")
    (place / "notebooks/runs.yml").write_text(yaml.safe_dump(small_runs()))
    (place / "_toc.yml").touch()
    (place / "book").mkdir()
    (place / "book/records").symlink_to(ROOT / "book/records")
    return place


@pytest.fixture
def inside(project, monkeypatch) -> Path:
    monkeypatch.chdir(project)
    return project


def content(record: Record) -> dict[str, object]:
    return asdict(record) | {"wall_time": 0, "commit": ""}


def expected(project: Path, name: str, seed: int, folder: Path) -> Record:
    """The record of a run as `lbrs run` computes it."""
    config = plan.configure(load_runs(project)[name], "quick", {})
    made = run(config, run=name, profile="quick", seed=seed, folder=folder / "records")
    return Record.load(folder / "records" / made.name)


def piped(project: Path, notebook: str, given: list[str], out: Path) -> None:
    """`jupytext --to ipynb -o - NOTEBOOK | papermill - OUT --cwd PROJECT ...`, in another folder;
    CalledProcessError if papermill fails."""
    convert = [BIN / "jupytext", "--to", "ipynb", "-o", "-", project / "notebooks" / notebook]
    execute = [BIN / "papermill", "-", out, "--cwd", project, "--no-progress-bar", *given]
    with kernel.surroundings(project) as environment:
        text = subprocess.run(convert, env=environment, capture_output=True, check=True).stdout
        subprocess.run(
            execute, input=text, cwd=out.parent, env=environment, capture_output=True, check=True
        )


@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_the_parameters_of_a_notebook_are_the_choices_of_its_experiment(kind):
    experiment = EXPERIMENTS[kind]
    cells = jupytext.read(ROOT / "notebooks" / experiment.notebook, fmt="md:myst").cells
    given: dict[str, object] = {}
    first = next(cell for cell in cells if cell.cell_type == "code")
    exec(first.source, given)
    del given["__builtins__"]
    assert first.metadata["tags"] == ["parameters"]
    choices = [field.name for field in fields(experiment.config)]
    assert list(given) == [*RESERVED, *choices]
    assert all(given[name] is None for name in choices)
    assert DEFAULTS.items() <= given.items()


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_opening_and_saving_a_notebook_changes_no_line(path):
    written = path.read_text(encoding="utf-8")
    notebook = jupytext.reads(written, fmt="md:myst")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [nbformat.v4.new_output("stream", text="computed")]
            cell.execution_count = 1
    sent = nbformat.reads(nbformat.writes(notebook), as_version=4)
    for saved in (notebook, sent):
        assert jupytext.writes(saved, fmt="md:myst") == written


@pytest.mark.parametrize("name", load_runs(ROOT))
def test_a_notebook_takes_what_its_run_says(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    run_of = load_runs(ROOT)[name]
    (kind,) = (kind for kind, one in EXPERIMENTS.items() if one.notebook == run_of.source)
    for profile in ("quick", "paper"):
        (swept,) = plan.plan([run_of], profile, [3])
        asked = {"run": name, "profile": profile, "seed": 3, "device": "auto"}
        assert plan.asked(kind, asked) == swept
        assert plan.asked(kind, yaml.safe_load(plan.parameters(run_of, profile)) | asked) == swept


def test_a_choice_wins_and_names_the_record(inside):
    given = DEFAULTS | {"run": "digits", "epochs": 3, "radii": [0.25], "noise": None}
    task = plan.asked("images", given | {"_": 3, "In": ["x"], "module": json})
    assert (task.config.epochs, task.config.radii) == (3, (0.25,))
    assert task.name == "epochs=3,radii=0.25/digits-quick-0"
    usual = BY_KIND["images"]
    assert plan.asked("images", DEFAULTS | {"run": "digits", "epochs": usual.epochs}).choices == {}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"dataset": "mnist"}, "run 'digits' has dataset 'digits', got 'mnist'"),
        ({"run": "other", "dataset": "digits"}, "run 'other' has dataset 'mnist', got 'digits'"),
        ({"run": "spiral"}, "run must be one of .*digits.* in .*images.md, got 'spiral'"),
        ({"run": None}, "run must be one of"),
        ({"epoch": 3}, "unknown parameter 'epoch'"),
        ({"epoch": None}, "unknown parameter 'epoch'"),
        ({"epochs": "3"}, "parameter 'epochs' must be of the kind"),
        ({"epochs": 0}, "epochs must be"),
        ({"profile": "fast"}, "profile must be one of quick, paper"),
        ({"seed": "3"}, "seed must be a whole number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"device": "tpu"}, "device"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(inside, given, told):
    with pytest.raises((ValueError, TypeError), match=told):
        plan.asked("images", {"run": "digits", **DEFAULTS, **given})


def test_the_command_prints_what_a_notebook_is_given(inside):
    result = CliRunner().invoke(cli.app, ["parameters", "digits", "--profile", "quick"])
    told = yaml.safe_load(result.stdout)
    assert result.exit_code == 0 and (told["run"], told["profile"]) == ("digits", "quick")
    assert told["channels"] == [4, 4, 4] and told["dataset"] == "digits"
    wrong = CliRunner().invoke(cli.app, ["parameters", "digit"])
    assert wrong.exit_code == 2 and "unknown run 'digit'" in wrong.output


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_a_pipe_to_papermill_computes_the_record_of_the_command(project, kind, tmp_path):
    name = default_run(kind)
    given = ["-p", "run", name, "-p", "profile", "quick", "-p", "seed", "3"]
    piped(project, EXPERIMENTS[kind].notebook, given, tmp_path / "out.ipynb")
    found = Record.load(project / f"_build/records/{name}-quick-3.json")
    assert content(found) == content(expected(project, name, 3, tmp_path))


@pytest.mark.slow
def test_a_pipe_with_a_choice_has_a_record_of_its_own(project, tmp_path):
    (tmp_path / "all.yml").write_text(plan.parameters(load_runs(project)["digits"], "quick"))
    given = ["-f", str(tmp_path / "all.yml"), "-p", "epochs", "1", "-p", "seed", "4"]
    piped(project, "images.md", given, tmp_path / "out.ipynb")
    found = Record.load(project / "_build/records/epochs=1/digits-quick-4.json")
    assert found.config["epochs"] == 1
    assert not (project / "_build/records/digits-quick-4.json").exists()
    assert not [path for path in (project / "_build/partial").rglob("*") if path.is_file()]


@pytest.mark.slow
@pytest.mark.parametrize("given", [("dataset", "mnist"), ("run", "spiral"), ("epoch", "3")])
def test_a_pipe_that_contradicts_itself_computes_nothing(project, tmp_path, given):
    asked = ["-p", "run", "digits", "-p", "seed", "5", "-p", *given]
    with pytest.raises(subprocess.CalledProcessError) as failed:
        piped(project, "images.md", asked, tmp_path / "out.ipynb")
    assert b"ValueError" in failed.value.stderr
    assert not list((project / "_build").rglob("*-quick-5*"))


@pytest.mark.slow
def test_a_client_without_parameters_computes_the_default_run(project, tmp_path):
    notebook = jupytext.read(project / "notebooks/spiral.md")
    with kernel.kernels(project):
        nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(project)}}).execute()
    found = Record.load(project / "_build/records/spiral-quick-0.json")
    assert content(found) == content(expected(project, "spiral", 0, tmp_path))


@pytest.mark.slow
def test_the_pipe_computes_the_record_of_the_digits(tmp_path, monkeypatch):
    monkeypatch.setenv("LBRS_RECORDS", str(tmp_path / "piped/records"))
    given = ["-p", "run", "digits", "-p", "profile", "quick", "-p", "seed", "3"]
    piped(ROOT, "images.md", given, tmp_path / "out.ipynb")
    found = Record.load(tmp_path / "piped/records/digits-quick-3.json")
    assert content(found) == content(expected(ROOT, "digits", 3, tmp_path / "run"))
