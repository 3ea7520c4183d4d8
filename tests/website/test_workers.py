"""Notebooks side by side: the same results as one after the other, and Ctrl-C ends all of them."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from lbrs.experiments.runs import BookError
from lbrs.website.workers import cores, together

PATIENCE = 120
NOTEBOOK = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# A long experiment

```{code-cell} python
:tags: [parameters]

run = "first"
profile = "quick"
seed = 0
device = "auto"
```

```{code-cell} python
import os, pathlib, time
pathlib.Path(f"{run}-{profile}-{seed}-{device}.half").write_text(str(os.getpid()))
os.rename(f"{run}-{profile}-{seed}-{device}.half", f"{run}.pid")
time.sleep(600)
```
"""


def test_two_workers_return_what_one_does():
    begun: list[str] = []
    jobs = {str(number): partial(pow, number, 2) for number in range(5)}
    alone = dict(together(jobs, 1, begun.append))
    assert dict(together(jobs, 2, begun.append)) == alone == {str(n): n * n for n in range(5)}
    assert begun == list(jobs) * 2
    assert dict(together({}, 2, begun.append)) == {} and cores() >= 1


def test_an_error_in_a_worker_is_passed_on():
    with pytest.raises(ZeroDivisionError):
        dict(together({"a": partial(pow, 0, -1), "b": partial(pow, 2, 3)}, 2, str))


@pytest.fixture
def project(tmp_path):
    """A project of three runs that take long."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "notebooks/long.md").write_text(NOTEBOOK)
    (tmp_path / "notebooks/runs.yml").write_text(
        "".join(
            f"{name}: {{source: long.md, profiles: {{quick: {{}}, paper: {{}}}}}}\n"
            for name in ("first", "second", "third")
        )
    )
    return tmp_path


def until(condition):
    for _ in range(PATIENCE * 20):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def ended(process: int) -> bool:
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.slow
@pytest.mark.parametrize("to", ["the whole group, as a terminal does", "the command alone"])
def test_ctrl_c_ends_all_workers_and_their_kernels(project: Path, to: str):
    code = "from lbrs.cli import app\nif __name__ == '__main__': app()"
    command = subprocess.Popen(
        [sys.executable, "-c", code, "run", "--workers", "2"],
        cwd=project,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    files = [project / f"{name}.pid" for name in ("first", "second")]
    until(lambda: all(file.is_file() for file in files) or command.poll() is not None)
    kernels = [int(file.read_text()) for file in files]
    workers = psutil.Process(command.pid).children(recursive=True)
    (os.killpg if "group" in to else os.kill)(command.pid, signal.SIGINT)
    told, errors = command.communicate(timeout=PATIENCE)
    assert (command.returncode, told) == (130, "")
    assert errors.splitlines() == [
        "first ...",
        "second ...",
        "Interrupted. The same command continues where this one stopped.",
    ]
    until(lambda: all(ended(pid) for pid in (*kernels, *(worker.pid for worker in workers))))
    assert not (project / "third.pid").exists()
    assert not list(project.rglob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_nothing_outlives_a_killed_command(project: Path, workers: str):
    code = "from lbrs.cli import app\nif __name__ == '__main__': app()"
    command = subprocess.Popen(
        [sys.executable, "-c", code, "run", "--workers", workers],
        cwd=project,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until(lambda: len(list(project.glob("*.pid"))) == int(workers) or command.poll() is not None)
    started = psutil.Process(command.pid).children(recursive=True)
    assert len(started) >= int(workers)
    command.kill()
    assert command.wait() == -signal.SIGKILL
    until(lambda: all(ended(process.pid) for process in started))


def test_a_killed_worker_is_named_with_a_hint():
    jobs = {"idle": partial(os.kill, 0, 0), "big": os.abort}
    with pytest.raises(BookError, match=r"a process was killed, during .*big.*enough memory\?"):
        list(together(jobs, 2, lambda name: None))
