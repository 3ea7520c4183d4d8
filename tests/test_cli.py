"""The `lbrs` command with the work replaced: what it prints, in which order, and how it ends."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lbrs import cli
from lbrs.experiments import data, sweep
from lbrs.experiments.runs import BookError, Ending
from lbrs.website import build as book
from lbrs.website import jobs, notebooks, workers
from lbrs.website.jobs import Job

RUNS = "".join(
    f"{name}: {{source: a.md, profiles: {{quick: {{}}, paper: {{}}}}}}\n"
    for name in ("spiral", "digits", "mnist")
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of three runs as the current folder."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "notebooks/a.md").touch()
    (tmp_path / "notebooks/runs.yml").write_text(RUNS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    """What is replaced is replaced in this process only."""
    monkeypatch.setattr(workers, "cores", lambda: 1)


@pytest.fixture
def calls(monkeypatch):
    """The executions asked for, each answered by the entry of its run: an ending or an error;
    re-run where there is none."""
    made, answers = [], {}

    def perform(job):
        made.append(tuple(job.parameters[key] for key in ("run", "profile", "seed", "device")))
        answer = answers.get(job.name, Ending(job.name, True, ""))
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr(notebooks, "perform", perform)
    return type("Calls", (), {"made": made, "answers": answers})


def lbrs(*arguments: str):
    return CliRunner().invoke(cli.app, arguments)


def test_every_run_is_executed_with_the_defaults(project, calls):
    result = lbrs("run")
    assert result.exit_code == 0
    assert calls.made == [(name, "quick", 0, "auto") for name in ("spiral", "digits", "mnist")]
    assert result.stdout.splitlines() == [
        "spiral  re-run in 0 s",
        "digits  re-run in 0 s",
        "mnist   re-run in 0 s",
    ]


def test_the_options_reach_the_runs_asked_for_once_each(project, calls):
    assert (
        lbrs(
            "run",
            "mnist",
            "spiral",
            "mnist",
            "--profile",
            "paper",
            "--seed",
            "3",
            "--device",
            "cpu",
        ).exit_code
        == 0
    )
    assert calls.made == [("mnist", "paper", 3, "cpu"), ("spiral", "paper", 3, "cpu")]


def test_a_run_from_the_published_record_is_no_failure(project, calls):
    calls.answers["mnist"] = Ending("mnist", False, "no images in\nthe folder")
    result = lbrs("run", "mnist")
    assert (result.exit_code, result.stdout) == (
        0,
        "mnist  taken from the published record: no images in the folder\n",
    )


@pytest.mark.parametrize(
    "error",
    [
        BookError("notebooks/a.md failed\nRuntimeError: so"),
        ValueError("RuntimeError: so"),
        OSError("RuntimeError: so"),
    ],
)
def test_the_others_go_on_after_a_failure(project, calls, error):
    calls.answers["spiral"] = error
    result = lbrs("run")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == "spiral  failed: RuntimeError: so"
    assert [name for name, *_ in calls.made] == ["spiral", "digits", "mnist"]
    assert str(error) in result.stderr


def test_an_unknown_run_is_refused_before_any_work(project, calls):
    result = lbrs("run", "spiral", "minst")
    assert (result.exit_code, calls.made) == (2, [])
    assert "unknown run 'minst'; known are spiral, digits, mnist" in result.stderr


@pytest.mark.parametrize(
    "arguments", [("--profile", "fast"), ("--seed", "-1"), ("--seed", "x"), ("--colour",)]
)
def test_a_wrong_option_is_refused(project, calls, arguments):
    assert (lbrs("run", *arguments).exit_code, calls.made) == (2, [])


def test_outside_a_project_the_command_says_so(tmp_path, monkeypatch, calls):
    monkeypatch.chdir(tmp_path)
    for command in ("run", "sweep", "build"):
        result = lbrs(command)
        assert result.exit_code == 2
        assert "_toc.yml" in result.stderr


@pytest.mark.parametrize("command", ["run", "sweep", "build"])
def test_the_project_of_another_lbrs_is_refused(project, calls, swept, command):
    (project / "lbrs").mkdir()
    (project / "lbrs/__init__.py").write_text('"""A copy."""\n')
    result = lbrs(command)
    assert (result.exit_code, calls.made, swept, result.stdout) == (2, [], [], "")
    assert result.stderr == (
        f"lbrs runs from {Path(cli.__file__).parent}, but the project {project} has its own: "
        "run `make setup` there, and then .venv/bin/lbrs\n"
    )


def test_the_project_of_this_lbrs_is_taken_by_whatever_path(project, calls):
    (project / "lbrs").symlink_to(Path(cli.__file__).parent)
    assert lbrs("run", "mnist").exit_code == 0


def test_a_wrong_list_of_runs_is_told(project, calls):
    (project / "notebooks/runs.yml").write_text("spiral: {source: a.md}")
    result = lbrs("run")
    assert (result.exit_code, calls.made) == (2, [])
    assert "run 'spiral': profiles must hold quick and paper" in result.stderr


def test_an_interrupt_tells_what_was_done_and_how_to_go_on(project, calls):
    calls.answers["digits"] = KeyboardInterrupt()
    result = lbrs("run")
    assert result.exit_code == 130
    assert [name for name, *_ in calls.made] == ["spiral", "digits"]
    assert result.stdout.splitlines() == ["spiral  re-run in 0 s"]
    assert "The same command continues where this one stopped." in result.stderr


def build(monkeypatch, project, *, ending=None, error=None):
    """`lbrs build` where one run and one chapter are stale."""
    index = project / "_build/html/index.html"
    found = [
        Job("mnist", project, project, project, {"run": "mnist"}),
        Job("book/theory", project, project, project, {}),
    ]
    rendered = []

    def perform(job):
        if error and job.parameters:
            raise error
        return ending if job.parameters else None

    monkeypatch.setattr(jobs, "stale", lambda root, profile, seed: found)
    monkeypatch.setattr(notebooks, "perform", perform)
    monkeypatch.setattr(book, "render", lambda root: rendered.append(root) or index)
    return lbrs("build"), index, rendered


def test_build_executes_what_is_stale_and_tells_where_the_site_is(project, monkeypatch):
    result, index, rendered = build(monkeypatch, project, ending=Ending("mnist", True, ""))
    assert (result.exit_code, rendered) == (0, [project])
    assert result.stdout.splitlines() == [
        "mnist        re-run in 0 s",
        "book/theory  executed in 0 s",
        str(index),
    ]


def test_build_makes_no_site_after_a_failure(project, monkeypatch):
    result, _, rendered = build(monkeypatch, project, error=BookError("a\nb"))
    assert (result.exit_code, rendered) == (1, [])
    assert result.stdout.splitlines() == ["mnist        failed: b", "book/theory  executed in 0 s"]


def test_build_passes_on_what_jupyter_book_says(project, monkeypatch):
    def render(root):
        raise BookError("WARNING: a broken link")

    monkeypatch.setattr(jobs, "stale", lambda root, profile, seed: [])
    monkeypatch.setattr(book, "render", render)
    result = lbrs("build")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "WARNING: a broken link\n")


def test_fetch_takes_every_data_set_and_goes_on_after_a_failure(monkeypatch, tmp_path):
    def fetch(name):
        if name == "mnist":
            raise data.DataError("mnist cannot be downloaded into x: no network")
        return tmp_path / name

    monkeypatch.setattr(data, "fetch", fetch)
    result = lbrs("fetch")
    assert (result.exit_code, result.stdout) == (1, f"cifar10  {tmp_path / 'cifar10'}\n")
    assert "mnist cannot be downloaded into x: no network" in result.stderr
    assert lbrs("fetch", "cifar10").exit_code == 0


def test_fetch_refuses_an_unknown_data_set(monkeypatch):
    monkeypatch.setattr(data, "fetch", lambda name: pytest.fail("nothing should be fetched"))
    result = lbrs("fetch", "imagenet")
    assert result.exit_code == 2
    assert "unknown data set 'imagenet'; known are mnist, cifar10" in result.stderr


@pytest.fixture
def swept(project, monkeypatch):
    """The arguments of `sweep.sweep` where every task but those of seed 7 is computed in 3 s,
    and seed 1 is recorded."""
    (project / "notebooks/images.md").touch()
    (project / "notebooks/runs.yml").write_text(RUNS.replace("a.md", "images.md"))
    given = []

    def replaced(tasks, *places, **options):
        given.append((tasks, places, options))
        for task in tasks:
            state = {1: "kept", 7: "failed"}.get(task.seed, "computed")
            yield sweep.Result(task, state, "no luck" if state == "failed" else "", 3.0)

    monkeypatch.setattr(sweep, "sweep", replaced)
    return given


def test_a_sweep_tells_the_end_of_each_task_and_a_summary(project, swept):
    result = lbrs("sweep", "spiral", "digits", "--seeds", "0-1")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [
        f"{run}-quick-{end}"
        for run in ("spiral", "digits")
        for end in ("0  computed in 3 s", "1  recorded already")
    ]
    assert result.stdout.splitlines() == [
        *lines,
        "4 tasks: 2 recorded already, 2 computed, 0 failed",
    ]
    ((_, places, options),) = swept
    assert places == (project / "_build/records", project / "_build/sweep") and options == {
        "scheduler": None,
        "workers": None,
    }


def test_the_options_of_a_sweep_reach_it(project, swept):
    result = lbrs(
        "sweep",
        "mnist",
        "--profile",
        "paper",
        "--seeds",
        "7",
        "--set",
        "epochs=3,5",
        "--folder",
        "there",
        "--device",
        "cpu",
        "--workers",
        "2",
    )
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"epochs={epochs}/mnist-paper-7  failed: no luck" for epochs in (3, 5)
    ]
    ((tasks, places, options),) = swept
    assert [(task.config.epochs, task.profile, task.device) for task in tasks] == [
        (3, "paper", "cpu"),
        (5, "paper", "cpu"),
    ]
    assert places == (project / "there", project / "_build/sweep") and options == {
        "scheduler": None,
        "workers": 2,
    }
    lbrs("sweep", "mnist", "--scheduler", "tcp://somewhere:8786")
    assert swept[1][2] == {"scheduler": "tcp://somewhere:8786", "workers": None}


class Dying:
    """Ctrl-C is pressed in its finalizer, where Python drops the exception."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_falls_into_a_finalizer_ends_a_sweep_too(swept, monkeypatch):
    whole = sweep.sweep

    def replaced(*given, **options):
        for place, result in enumerate(whole(*given, **options)):
            if place == 1:
                Dying()
            yield result

    monkeypatch.setattr(sweep, "sweep", replaced)
    before = signal.getsignal(signal.SIGINT)
    result = lbrs("sweep", "spiral", "--seeds", "2-5")
    assert result.exit_code == 130 and "Interrupted. The same command continues" in result.stderr
    assert result.stdout.splitlines() == [
        f"spiral-quick-{seed}  computed in 3 s" for seed in (2, 3)
    ]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("spirla",), "unknown run 'spirla'"),
        (("--seeds", "3-1"), "seeds must be numbers and ranges"),
        (("--set", "epochs"), "got 'epochs'"),
        (("--set", "epoch=3"), "unknown parameter 'epoch'"),
        (
            ("--scheduler", "tcp://a:1", "--workers", "2"),
            "--workers is for a cluster on this machine",
        ),
        (("--workers", "0"), "--workers"),
        (("--profile", "fast"), "fast"),
    ],
)
def test_a_wrong_sweep_is_refused_before_any_work(swept, arguments, said):
    result = lbrs("sweep", *arguments)
    assert (result.exit_code, swept) == (2, [])
    assert said in result.stderr


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (sweep.SweepError("no scheduler"), 1, "no scheduler\n"),
        (KeyboardInterrupt(), 130, "continues where this"),
    ],
)
def test_a_sweep_that_cannot_go_on_says_why(swept, monkeypatch, error, code, said):
    def stopped(*arguments, **options):
        yield from ()
        raise error

    monkeypatch.setattr(sweep, "sweep", stopped)
    result = lbrs("sweep")
    assert result.exit_code == code and said in result.stderr


@pytest.mark.parametrize("command", ["fetch", "run", "sweep", "build"])
def test_each_command_explains_itself(command):
    assert command in lbrs("--help").stdout
    assert lbrs(command, "--help").exit_code == 0


def test_help_loads_nothing_heavy():
    heavy = (
        "papermill",
        "jupytext",
        "nbformat",
        "jupyter_book",
        "torchvision",
        "matplotlib",
        "sklearn",
        "torch",
        "dask",
        "distributed",
    )
    code = f"import sys, lbrs.cli; print([name for name in {heavy!r} if name in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "[]\n"
    )
