"""`kill -9` of each command: the next call ends well, with the results of an undisturbed one, and
leaves nothing. `benchmarks/kills.py` does it often; its eyes are tested here too."""

import subprocess
import sys

import kills
import pytest


@pytest.fixture(scope="module")
def stand():
    with kills.stands() as stand:
        yield stand


@pytest.mark.slow
@pytest.mark.parametrize("command", kills.commands(), ids=lambda command: command.name)
def test_the_call_after_a_killed_one_ends_well(stand, command):
    done = kills.trials(stand, command, 1, seed=7)
    assert done.wrong == [] and done.killed + done.ended == 1


def harm(stand, code):
    """What is wrong after a command that does this in the project."""
    command = kills.Command("harm", (), code)
    return kills.trials(stand, command, 1, seed=0)


SLOWLY = "import pathlib, time; time.sleep(1)\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            SLOWLY + "pathlib.Path('_build/records/a.json').write_text(str({}))\n"
            "pathlib.Path('_build/records/.a.json-abcdefgh').touch()",
            ".a.json-abcdefgh",
        ),
        (
            SLOWLY + "name = pathlib.Path('_build/records/a.json')\n"
            "name.write_text('{\"b\": %d}' % time.time_ns())",
            "a.json differs",
        ),
        (
            "import os, time; os.rename('_build/html/index.html', 'kept'); time.sleep(4)\n"
            "os.rename('kept', '_build/html/index.html')",
            "the site is broken",
        ),
        (SLOWLY + "raise SystemExit('failed')", "failed"),
    ],
)
def test_what_is_wrong_is_seen(stand, code, told):
    assert any(told in what for what in harm(stand, code).wrong)


def test_a_process_that_is_left_is_seen(stand, monkeypatch):
    monkeypatch.setattr(kills, "GRACE", 0.5)
    waiting = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = subprocess.Popen(waiting, env=stand.environment)
    try:
        (left,) = stand.left()
    finally:
        process.kill()
        process.wait()
    assert f"process {process.pid}" in left and stand.left() == []
