"""Sweeps: what they compute, and that neither the number of workers nor a worker or a sweep that
is killed changes a record."""

import dataclasses
import doctest
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest.mock import create_autospec

import pytest
from typer.testing import CliRunner

from lbrs import cli
from lbrs.experiments import plan as planned
from lbrs.experiments import records, sources, sweep
from lbrs.experiments.plan import Task, parse_choices, parse_seeds, plan
from lbrs.experiments.records import Record
from lbrs.experiments.runs import Run, load_runs
from lbrs.experiments.sweep import Result, SweepError

RUNS = """
spiral:
  source: spiral.md
  parameters:
    {train_points: 60, reference_points: 30, test_points: 50, raster: 8, exact_points: 3,
     exact_alphas: [0, 1]}
  profiles: {quick: {}, paper: {test_points: 40}}
digits:
  source: images.md
  parameters:
    {dataset: digits, test_points: 30, channels: [4, 4, 4], epochs: 150, sigma_points: 3,
     radius_points: 2, samples: 40}
  profiles: {quick: {}, paper: {}}
mnist: {source: images.md, parameters: {test_points: 30}, profiles: {quick: {}, paper: {}}}
other: {source: other.md, profiles: {quick: {}, paper: {}}}
"""
PATIENCE = 300


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with small runs."""
    root = tmp_path_factory.mktemp("project")
    (root / "notebooks").mkdir()
    for name in ("_toc.yml", "notebooks/spiral.md", "notebooks/images.md", "notebooks/other.md"):
        (root / name).touch()
    (root / "notebooks/runs.yml").write_text(RUNS)
    return root


@pytest.fixture(scope="module")
def runs(project):
    return load_runs(project)


@pytest.fixture(scope="module")
def tasks(runs):
    return plan([runs["spiral"], runs["digits"]], "quick", [0, 1])


@pytest.fixture(scope="module")
def undisturbed(tasks, tmp_path_factory):
    """The records of one worker that nothing disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    results = list(sweep.sweep(tasks, folder / "records", folder / "scratch", workers=1))
    assert [result.state for result in results] == ["computed"] * 4 and all(
        result.seconds > 0 for result in results
    )
    assert not [path for path in (folder / "scratch").rglob("*") if path.is_file()]
    return contents(folder / "records")


def contents(folder: Path) -> dict[str, dict]:
    """What the records say, but for the time they took."""
    return {
        path.relative_to(folder).as_posix(): json.loads(path.read_text()) | {"wall_time": 0}
        for path in sorted(folder.rglob("*.json"))
    }


def until(condition):
    """Wait for `condition` to hold; returns what it returned."""
    for _ in range(PATIENCE * 50):
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("waited in vain")


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0", [0]), ("0-4", [0, 1, 2, 3, 4]), ("0,2,5", [0, 2, 5]), ("7, 1-2,2", [7, 1, 2])],
)
def test_seeds_are_numbers_and_ranges(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["", "a", "-1", "3-1", "1-", "0-4-8", "1.5", "1,,2", "0-10000", "0-999999999999"]
)
def test_other_seeds_are_refused(text):
    with pytest.raises(ValueError, match=f"seeds must be .* got {re.escape(repr(text))}"):
        parse_seeds(text)


def test_values_are_read_as_yaml():
    given = ["epochs=3,5", "dataset=digits", "radii=[0.25, 0.5],[1.0]", "noise=1e-3,.5"]
    assert parse_choices(given) == {
        "epochs": [3, 5],
        "dataset": ["digits"],
        "radii": [[0.25, 0.5], [1.0]],
        "noise": ["1e-3", 0.5],
    }


@pytest.mark.parametrize(
    "text",
    [
        "epochs",
        "epochs=",
        "=3",
        "a b=3",
        "epochs=[3",
        "epochs=3],[4",
        "epochs=3: 4: 5",
        "epochs=3,,4",
    ],
)
def test_other_values_are_refused(text):
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse_choices([text])
    with pytest.raises(ValueError, match="'epochs' must be set once"):
        parse_choices(["epochs=3", "epochs=4"])


def test_a_plan_holds_every_run_with_every_choice_and_every_seed(runs):
    tasks = plan(
        [runs["digits"], runs["mnist"]],
        "paper",
        [0, 3],
        {"noise": [0, "1e-3"], "radii": [[0.5, 1]]},
        "cpu",
    )
    assert [task.name for task in tasks][:4] == [
        f"noise={noise},radii=0.5_1.0/digits-paper-{seed}"
        for noise in ("0.0", "0.001")
        for seed in (0, 3)
    ]
    assert len(tasks) == 8 and {task.device for task in tasks} == {"cpu"}
    assert tasks[2].config == dataclasses.replace(tasks[0].config, noise=1e-3) and tasks[
        0
    ].config.radii == (0.5, 1.0)
    assert tasks[0].config.channels == (4, 4, 4) and tasks[4].config.dataset == "mnist"
    assert [task.name for task in plan([runs["spiral"]], "paper", [1])] == ["spiral-paper-1"]
    assert plan([runs["spiral"]], "paper", [1])[0].config.test_points == 40


def test_different_choices_never_share_a_record(runs):
    values = ["a/b", "a_b", "../a", "a,b=c", "a%2Fb", "x" * 300, "x" * 299 + "y"]
    names = [task.name for task in plan([runs["digits"]], "quick", [0], {"dataset": values})]
    assert len(set(names)) == len(values)
    assert all(name.count("/") == 1 and len(name) < 250 for name in names)
    assert len(plan([runs["digits"]], "quick", [0, 0], {"noise": [1, 1.0, "1"]})) == 1


@pytest.mark.parametrize(
    ("run", "choices", "said"),
    [
        (
            "spiral",
            {"epochs": [3]},
            "run 'spiral': unknown parameter 'epochs'; allowed are train_points",
        ),
        ("digits", {"seed": [3]}, "run 'digits': unknown parameter 'seed'"),
        (
            "digits",
            {"epochs": [2.5]},
            "run 'digits': parameter 'epochs' must be of the kind of its default 10, got 2.5",
        ),
        ("digits", {"epochs": [True]}, "'epochs' must be"),
        ("digits", {"noise": ["much"]}, "'noise' must be"),
        ("digits", {"radii": [0.5]}, "'radii' must be"),
        ("digits", {"radii": [[None]]}, "'radii' must be"),
        ("digits", {"noise": [-1]}, "run 'digits': noise must be a finite number >= 0"),
        (
            "other",
            {},
            "run 'other': a sweep computes the experiments of spiral.md, images.md, certified.md, "
            "sensitivity.md, got notebooks/other.md",
        ),
    ],
)
def test_what_does_not_fit_is_named(runs, run, choices, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        plan([runs[run]], "quick", [0], choices)


@pytest.mark.slow
def test_one_worker_and_two_agree_and_nothing_is_computed_twice(
    tasks, undisturbed, tmp_path, monkeypatch
):
    results = list(sweep.sweep(tasks, tmp_path / "records", tmp_path / "scratch", workers=2))
    assert {result.state for result in results} == {"computed"}
    assert contents(tmp_path / "records") == undisturbed
    monkeypatch.setattr(
        sweep, "_client", lambda *arguments: pytest.fail("a cluster was started for nothing")
    )
    assert list(sweep.sweep(tasks, tmp_path / "records", tmp_path / "scratch")) == [
        Result(task, "kept") for task in tasks
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"config": {"alpha": 1}},
        {"versions": {"torch": "1"}},
        {"device": "cuda"},
        {"sources": "changed"},
        "half",
    ],
)
def test_a_record_of_something_else_is_computed_again(
    undisturbed, tasks, tmp_path, monkeypatch, change
):
    (tmp_path / "spiral-quick-0.json").write_text(json.dumps(undisturbed["spiral-quick-0.json"]))
    task = dataclasses.replace(tasks[0], device="cpu")
    assert sweep.is_recorded(task, tmp_path) and not sweep.is_recorded(tasks[1], tmp_path)
    assert not sweep.is_recorded(
        dataclasses.replace(task, config=dataclasses.replace(task.config, jitter=0.1)), tmp_path
    )
    if change == "half":
        (tmp_path / "spiral-quick-0.json").write_text('{"run": ')
    elif "sources" in change:
        monkeypatch.setattr(records, "sources_hash", lambda: change["sources"])
    else:
        (tmp_path / "spiral-quick-0.json").write_text(
            json.dumps(undisturbed["spiral-quick-0.json"] | change)
        )
    assert not sweep.is_recorded(task, tmp_path)


def record_of(task: Task) -> Record:
    """A record of the spiral with nothing in it."""
    return Record(
        run="spiral",
        kind="spiral",
        profile="quick",
        seed=0,
        config=dataclasses.asdict(task.config),
        versions=records.versions(),
        sources=sources.sources_hash(),
        commit="",
        device="cpu",
        test_hash="",
        test_points=0,
        wall_time=0.0,
        results={},
    )


def test_a_number_with_many_digits_is_recognised(runs, tmp_path):
    (task,) = plan([runs["spiral"]], "quick", [0], {"jitter": [0.123456789012]})
    record_of(task).save(tmp_path / "jitter=0.123456789012")
    assert sweep.is_recorded(task, tmp_path)


def test_a_worker_of_other_code_is_refused_before_any_work(tasks, tmp_path):
    with pytest.raises(SweepError, match="the worker has torch 2.* instead of 1: install there"):
        sweep.compute(tasks[0], sweep.origin() | {"torch": "1"}, str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_the_code_of_a_refused_worker_is_named_with_its_place(tasks, tmp_path):
    expected = sweep.origin() | {"sources": "of another day", "place": "there/lbrs"}
    mine = f"{sources.sources_hash()[:16]} (of {sources.HOME})"
    told = f"the worker has sources {mine} instead of of another day (of there/lbrs): install"
    with pytest.raises(SweepError, match=re.escape(told)):
        sweep.compute(tasks[0], expected, str(tmp_path))


def test_the_same_code_may_lie_elsewhere_on_a_worker(tasks):
    assert not sweep._differences(sweep.origin() | {"place": "there/lbrs"}, sweep.origin())


@pytest.mark.parametrize("change", [{"sources": "another"}, {"seed": 1}, {"kind": "images"}])
def test_a_record_that_was_not_asked_for_is_not_written(tasks, tmp_path, change):
    from distributed import Future

    record = record_of(tasks[0])
    future = create_autospec(Future, instance=True)
    future.result.return_value = record
    assert sweep._finish(future, tasks[0], tmp_path, tmp_path).state == "computed"
    record.save(tmp_path).unlink()
    future.result.return_value = dataclasses.replace(record, **change)
    result = sweep._finish(future, tasks[0], tmp_path, tmp_path)
    assert result.state == "failed" and "asked for was spiral-quick-0.json by" in result.reason
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_workers_have_the_environment_of_the_kernels(monkeypatch, tmp_path):
    from distributed import Client

    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "module://nowhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    before = dict(os.environ)
    with (
        sweep._cluster(1, 1) as address,
        Client(address, set_as_default=False) as client,
    ):
        ((_, given),) = client.run(lambda: dict(os.environ)).items()
    assert not {"PYTHONSTARTUP", "MPLBACKEND"} & given.keys()
    assert (given["OMP_NUM_THREADS"], given["LBRS_PROGRESS"]) == ("1", "/dev/null")
    assert dict(os.environ) == before


def kill_a_busy_worker(address: str, scratch: Path, killed: list[int]) -> None:
    """SIGKILL to a worker in the middle of a task that has finished a first stage."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        processes = client.run(os.getpid)
        until(lambda: list(scratch.rglob("network.pt")))
        busy = until(
            lambda: [
                worker
                for worker, keys in client.processing().items()
                if keys and worker in processes
            ]
        )
        os.kill(processes[busy[0]], signal.SIGKILL)
        killed.append(processes[busy[0]])


@pytest.mark.slow
def test_a_killed_worker_costs_at_most_its_task(runs, undisturbed, tmp_path):
    from distributed import Client, LocalCluster

    more = plan([runs["digits"], runs["spiral"]], "quick", [0, 1])
    scratch, killed = tmp_path / "scratch", []
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs="CRITICAL"
    ) as cluster:
        address = cluster.scheduler_address
        killer = threading.Thread(target=kill_a_busy_worker, args=(address, scratch, killed))
        killer.start()
        results = list(sweep.sweep(more, tmp_path / "records", scratch, scheduler=address))
        killer.join()
        with Client(address, set_as_default=False) as client:
            assert killed and killed[0] not in client.run(os.getpid).values()
    assert sorted(result.state for result in results) == ["computed"] * 4
    assert contents(tmp_path / "records") == undisturbed


def command(project: Path, *arguments: str) -> subprocess.Popen:
    """`lbrs sweep` in a process of its own, warnings being errors there too."""
    code = "from lbrs.cli import app\nif __name__ == '__main__': app()"
    return subprocess.Popen(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            code,
            "sweep",
            "spiral",
            "digits",
            "--seeds",
            "0,1",
            *arguments,
        ],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_stopped_sweep_continues_and_ends_with_the_same_records(
    project, undisturbed, tmp_path, how
):
    records = tmp_path / "records"
    started = command(project, "--folder", str(records), "--workers", "1")
    until(lambda: list(records.glob("*.json")) or started.poll() is not None)
    started.send_signal(how)
    _, told = started.communicate(timeout=PATIENCE)
    assert started.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert (
        how == signal.SIGKILL
        or told == "Interrupted. The same command continues where this one stopped.\n"
    )
    before = {path: path.stat().st_mtime_ns for path in records.glob("*.json")}
    assert 0 < len(before) < 4
    again = command(project, "--folder", str(records), "--workers", "2")
    told, errors = again.communicate(timeout=PATIENCE)
    assert (again.returncode, errors) == (0, "")
    assert told.count("recorded already\n") == len(before) and told.splitlines()[-1].startswith(
        f"4 tasks: {len(before)} recorded already,"
    )
    assert contents(records) == undisturbed
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())


@pytest.mark.slow
def test_a_failed_task_is_told_with_its_reason_and_the_others_go_on(project, tmp_path, monkeypatch):
    corrupt = tmp_path / "data/MNIST/raw/train-images-idx3-ubyte"
    corrupt.parent.mkdir(parents=True)
    corrupt.write_text("no images")
    monkeypatch.setenv("LBRS_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(project)
    given = [
        "sweep",
        "mnist",
        "digits",
        "--set",
        "dataset=digits,mnist,letters",
        "--set",
        "epochs=1",
        "--folder",
        str(tmp_path / "records"),
        "--workers",
        "1",
    ]
    result = CliRunner().invoke(cli.app, given)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "6 tasks: 0 recorded already, 2 computed, 4 failed"
    assert (
        "dataset=digits,epochs=1/mnist-quick-0  computed in" in result.stdout
        and "dataset=mnist,epochs=1/mnist-quick-0  failed\n" in result.stdout
    )
    assert (
        f"dataset=mnist,epochs=1/digits-quick-0  failed: {corrupt} is corrupt" in result.stderr
        and "lbrs fetch mnist" in result.stderr
    )
    assert "failed: ValueError: dataset must be one of" in result.stderr
    log = project / "_build/sweep/dataset=letters,epochs=1/mnist-quick-0.log"
    assert str(log) in result.stderr and "in images" in log.read_text()
    assert len(contents(tmp_path / "records")) == 2


def test_a_worker_that_always_dies_fails_the_task_only(tmp_path, tasks):
    from distributed import Future, KilledWorker

    future = create_autospec(Future, instance=True)
    future.result.side_effect = KilledWorker("key", None, 3)
    assert sweep._finish(future, tasks[0], tmp_path, tmp_path) == Result(
        tasks[0], "failed", "its worker died, 4 times; was there enough memory?"
    )


def test_without_a_scheduler_or_dask_the_sweep_says_so(tasks, tmp_path, monkeypatch):
    import distributed

    def refuse(address, **options):
        raise OSError(f"Timed out trying to connect to {address}")

    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(
        SweepError, match="no Dask scheduler can be reached at tcp://127.0.0.1:9: Timed out"
    ):
        list(sweep.sweep(tasks, tmp_path, tmp_path / "scratch", scheduler="tcp://127.0.0.1:9"))
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(
        SweepError,
        match=re.escape(
            "a sweep needs Dask, and distributed is not installed: pip install 'lbrs[cluster]'"
        ),
    ):
        list(sweep.sweep(tasks, tmp_path, tmp_path / "scratch"))


def test_a_task_is_plain_data_and_the_examples_run(tasks):
    assert doctest.testmod(planned) == (0, 2)
    assert (
        pickle.loads(pickle.dumps(tasks[0]))
        == tasks[0]
        == Task("spiral", "quick", 0, tasks[0].config)
    )


def test_runs_of_other_profiles_are_refused():
    with pytest.raises(ValueError, match="profile must be one of quick, paper, got 'fast'"):
        plan([Run("spiral", "spiral.md", {}, {"quick": {}, "paper": {}})], "fast", [0])


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            RuntimeError("CUDA error: out of memory\nCompile with it to enable advice."),
            "CUDA error",
        ),
        (RuntimeError("\n----\nthe reason\nadvice"), "RuntimeError: the reason"),
        (KeyError(), "KeyError: no reason given"),
        (SweepError("of lbrs\nadvice"), "of lbrs"),
    ],
)
def test_a_reason_is_the_error_and_not_its_last_line(tasks, tmp_path, error, told):
    reason = sweep._reason(error, tmp_path / "log")
    assert told in reason and "advice" not in reason and len(reason.splitlines()) == 1


@pytest.fixture
def scheduler():
    """The cluster of a scheduler and its thread-workers, none at first."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster:
        yield cluster


def swept_at(cluster, tasks, folder) -> list[Result]:
    address = cluster.scheduler_address
    return list(sweep.sweep(tasks, folder / "records", folder / "scratch", scheduler=address))


def test_a_scheduler_without_workers_is_told_soon(tasks, tmp_path, scheduler, monkeypatch):
    assert sweep.PATIENCE < 10
    monkeypatch.setattr(sweep, "PATIENCE", 0.2)
    with pytest.raises(SweepError, match=r"has no worker: start some.*`dask worker "):
        swept_at(scheduler, tasks, tmp_path)


def test_workers_that_all_go_away_are_told(tasks, tmp_path, scheduler, monkeypatch):
    monkeypatch.setattr(sweep, "PATIENCE", 0.2)
    monkeypatch.setattr(sweep, "_check_workers", lambda client, expected: None)
    with pytest.raises(SweepError, match="has no worker"):
        swept_at(scheduler, tasks, tmp_path)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("__import__('no_such_lbrs')", r"no lbrs that runs: ModuleNotFoundError: No module named"),
        ("{'lbrs': '0.0'}", r"lbrs 0\.0 instead of "),
    ],
)
def test_workers_with_another_lbrs_or_none_are_refused(
    tasks, tmp_path, scheduler, monkeypatch, answer, told
):
    scheduler.scale(1)
    monkeypatch.setattr(sweep, "ORIGIN", answer)
    with pytest.raises(SweepError, match=told + r".*: install there what the command uses"):
        swept_at(scheduler, tasks, tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_workers_with_this_lbrs_compute(tasks, undisturbed, tmp_path, scheduler):
    scheduler.scale(1)
    assert [result.state for result in swept_at(scheduler, tasks[:1], tmp_path)] == ["computed"]
    found = contents(tmp_path / "records")
    assert found == {name: undisturbed[name] for name in found} and found


def test_a_worker_without_a_name_and_a_place_to_write_computes(tasks, tmp_path, monkeypatch):
    def nobody(*asked):
        raise KeyError("no such user")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(sweep.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    record = sweep.compute(tasks[0], sweep.origin(), str(tmp_path / "scratch"))
    assert record.name == "spiral-quick-0.json"
    assert not (tmp_path / "scratch").exists()
