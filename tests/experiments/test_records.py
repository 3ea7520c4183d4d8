"""A record survives the disk, is written whole or not at all,
and says what is wrong with a file that is none."""

import json
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from lbrs import _files
from lbrs._files import workplace, write_file, write_text
from lbrs.experiments import records
from lbrs.experiments.records import Record, find_project, recorded
from lbrs.experiments.sources import sources_hash


@pytest.fixture
def record():
    return Record(
        "spiral",
        "spiral",
        "quick",
        3,
        {"alphas": (0.0, 1.0)},
        records.versions(),
        "",
        "",
        "cpu",
        "ab",
        7,
        1.25,
        {"accuracy": [1 / 3], "n": 2, "text": "x"},
    )


def test_a_record_comes_back_from_the_disk(record, tmp_path):
    path = record.save(tmp_path / "deep" / "folder")
    again = Record.load(path)
    assert path.name == again.name == "spiral-quick-3.json"
    assert again.results == {"accuracy": [0.3333333], "n": 2, "text": "x"} and again.config == {
        "alphas": [0.0, 1.0]
    }
    assert again.save(tmp_path / "again").read_text() == path.read_text()


def test_not_a_number_is_never_recorded(record, tmp_path):
    broken = Record(**{**record.__dict__, "results": {"accuracy": float("nan")}})
    with pytest.raises(ValueError, match="JSON"):
        broken.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "[1, 2]", "{}", '{"run": "spiral"}', "null"])
def test_a_file_that_is_no_record_is_named(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(
        ValueError, match="x.json must be a JSON object with the fields run, kind, profile, seed"
    ):
        Record.load(path)


@pytest.mark.parametrize(
    "name", ["spiral-quick-4.json", "spiral-paper-3.json", "digits-quick-3.json", "copy.json"]
)
def test_a_record_is_what_it_says_inside(record, tmp_path, name):
    path = record.save(tmp_path).rename(tmp_path / name)
    told = (
        f"{path} holds the record of run 'spiral', profile 'quick', seed 3: "
        "its name must be spiral-quick-3.json"
    )
    with pytest.raises(ValueError, match=re.escape(told)):
        Record.load(path)


def test_a_seed_is_a_whole_number(record, tmp_path):
    path = record.save(tmp_path)
    path.write_text(path.read_text().replace('"seed":3', '"seed":"3"'))
    with pytest.raises(ValueError, match="seed '3'"):
        Record.load(path)


def test_a_renamed_record_is_not_shown_on_any_page(record, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "find_project", lambda: tmp_path)
    folder, shown = records.published_folder(), replace(record, profile="paper", seed=0)
    path = shown.save(folder)
    assert records.published("spiral", "spiral").name == path.name
    assert len(records.published_seeds("spiral")) == len(records.all_published()) == 1
    with pytest.raises(ValueError, match="must be of kind 'images', got 'spiral'"):
        records.published("spiral", "images")
    path.rename(folder / "mnist-paper-0.json")
    for read in (
        lambda: records.published("mnist", "spiral"),
        lambda: records.published_seeds("mnist"),
        records.all_published,
    ):
        with pytest.raises(
            ValueError, match=r"mnist-paper-0\.json holds the record of run 'spiral'"
        ):
            read()


@pytest.mark.parametrize(
    ("asked", "device", "counts"),
    [
        (("spiral", {"alphas": (0.0, 1.0)}), "auto", True),
        (("spiral", {"alphas": (0.0, 1.0)}), "cuda", False),
        (("images", {"alphas": (0.0, 1.0)}), "auto", False),
        (("spiral", {"alphas": (0.0, 2.0)}), "auto", False),
    ],
)
def test_what_is_recorded_already_is_what_was_asked_for(record, tmp_path, asked, device, counts):
    path = replace(record, sources=sources_hash()).save(tmp_path)
    assert (recorded(path, *asked, device) is not None) == counts
    other = path.rename(tmp_path / "spiral-quick-4.json")
    assert recorded(other, *asked, device) is None


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")

    def interrupted(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_file(path, interrupted)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


KILLED = """
import os, sys
from pathlib import Path
from lbrs._files import workplace, write_file
folder, how = Path(sys.argv[1]), sys.argv[2]
if how == "file":
    write_file(folder / "[a]", lambda file: os.kill(os.getpid(), 9))
with workplace(folder, ".work-") as place:
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("how", ["file", "folder"])
def test_what_a_killed_process_left_goes_with_the_next_call(tmp_path, how):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), how])
    assert done.returncode == -signal.SIGKILL and len(list(tmp_path.iterdir())) == 1
    write_text(tmp_path / "[a]", "new")
    with workplace(tmp_path, ".work-") as place:
        assert set(tmp_path.iterdir()) == {tmp_path / "[a]", place}
    assert list(tmp_path.iterdir()) == [tmp_path / "[a]"]


def test_what_another_process_holds_stays(tmp_path):
    """A second writer, or a second user of a folder, while the first is at work."""

    def meanwhile(file):
        file.write(b"first")
        write_text(tmp_path / "a", "second")

    write_file(tmp_path / "a", meanwhile)
    assert (tmp_path / "a").read_text() == "first"
    with workplace(tmp_path, ".work-") as one, workplace(tmp_path, ".work-") as other:
        assert one != other and one.is_dir() and other.is_dir()


@pytest.mark.parametrize("lost", ["the file", "the folder"])
def test_a_file_is_written_though_it_is_lost_once_meanwhile(tmp_path, lost):
    tries = []

    def write(file):
        file.write(b"whole")
        if not tries:
            tries.append(file.name)
            shutil.rmtree(tmp_path / "in")
            (tmp_path / "in").mkdir() if "file" in lost else None

    write_file(tmp_path / "in/a", write)
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a"] and tries
    assert (tmp_path / "in/a").read_bytes() == b"whole"


def test_a_place_to_work_is_made_again_if_it_is_lost_before_its_lock(tmp_path, monkeypatch):
    opened, lost = _files._opened, []

    def lose(path, *how):
        if not lost:
            lost.append(path)
            path.rmdir()
        return opened(path, *how)

    monkeypatch.setattr(_files, "_opened", lose)
    with workplace(tmp_path, ".work-") as place:
        assert lost != [place] and place.is_dir()


def test_versions_name_what_a_result_depends_on():
    assert set(records.versions()) == {
        "python",
        "lbrs",
        "numpy",
        "scikit-learn",
        "torch",
        "torchvision",
    }


def test_the_project_is_found_from_below_and_its_absence_is_explained(tmp_path):
    (tmp_path / "p" / "notebooks" / "deep").mkdir(parents=True)
    (tmp_path / "p" / "_toc.yml").touch()
    (tmp_path / "p" / "notebooks" / "runs.yml").touch()
    assert find_project(tmp_path / "p" / "notebooks" / "deep") == tmp_path / "p"
    with pytest.raises(FileNotFoundError, match="_toc.yml and notebooks/runs.yml"):
        find_project(tmp_path)


def test_published_records_are_small_and_of_profile_paper():
    files = sorted((find_project() / "book" / "records").glob("*.json"))
    assert {Record.load(file).run for file in files} >= {"spiral", "digits", "mnist"}
    for file in files:
        record = Record.load(file)
        assert (
            file.stat().st_size <= 100_000
            and file.name == record.name
            and record.profile == "paper"
        )
        assert json.loads(file.read_text())["test_points"] == record.test_points > 0
