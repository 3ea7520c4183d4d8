"""Paths mean one thing, wherever a command stands and whoever runs it: the command and the
processes that it starts find the same data, or all say in one line why not, and what to do."""

import contextlib
import hashlib
import os
import pwd
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError

import pytest
from typer.testing import CliRunner

from lbrs import cli
from lbrs.experiments import data, records
from lbrs.experiments.runs import load_runs, plain_environment, replaced_environment
from lbrs.website import jobs, notebooks

CONTENT = b"all the images"
FILE = "MNIST/raw/images"
FRONT = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
# Tiny
"""
CELLS = (
    ':tags: [parameters]\n\nrun = "tiny"\nprofile = "quick"\nseed = 0\ndevice = "auto"',
    f"""from lbrs.experiments import data
data._files = lambda dataset: {{{FILE!r}: {hashlib.md5(CONTENT).hexdigest()!r}}}
def _none(*asked, **named): raise OSError("no network")
data._dataset = lambda name: _none
state = {{"run": run, "rerun": True, "reason": ""}}
try: data.fetch("mnist")
except data.DataError as error: state |= {{"rerun": False, "reason": str(error)}}""",
    """class Outcome:
    def _repr_mimebundle_(self, include=None, exclude=None):
        given = f"{profile} {seed} {device}"
        return {"text/plain": given, "application/vnd.lbrs.outcome+json": state}
Outcome()""",
)
"""An experiment that needs a data set of one small file, without network."""


@pytest.fixture
def world(tmp_path, monkeypatch) -> Path:
    """A folder with a project, a user's home, and data there, but no network."""
    for name, content in {
        "project/_toc.yml": b"",
        "project/notebooks/runs.yml": b"tiny: {source: a.md, profiles: {quick: {}, paper: {}}}",
        "project/notebooks/a.md": (
            FRONT + "".join(f"\n```{{code-cell}} ipython3\n{cell}\n```\n" for cell in CELLS)
        ).encode(),
        f"house/data/{FILE}": CONTENT,
        f"house/Daten für mich/{FILE}": CONTENT,
        f"house/.cache/lbrs/{FILE}": CONTENT,
        "house/a file": b"",
        "house/file within/MNIST": b"",
        f"house/folder/{FILE}/images": b"",
        f"house/damaged/{FILE}": b"some of the images",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "house/link").symlink_to("data")

    def no_network(*asked, **named):
        raise URLError("no network")

    monkeypatch.setattr(data, "_files", lambda dataset: {FILE: hashlib.md5(CONTENT).hexdigest()})
    monkeypatch.setattr(data, "_dataset", lambda name: no_network)
    monkeypatch.setenv("HOME", str(tmp_path / "house"))
    monkeypatch.delenv("LBRS_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


@dataclass
class Setting:
    """Where a command stands, what the environment says ({world} being the place of all), and what
    it says of the data where they cannot be had."""

    told: str = ""
    folder: str = "project"
    variables: dict[str, str | None] = field(default_factory=dict)


def of(told: str = "", folder: str = "project", **variables: str | None) -> Setting:
    return Setting(told, folder, variables)


ME = pwd.getpwuid(os.geteuid())
SETTINGS = {
    "absolute": of(LBRS_DATA="{world}/house/data"),
    "relative": of(LBRS_DATA="../house/data"),
    "relative, from a folder within": of(folder="project/notebooks", LBRS_DATA="../../house/data"),
    "home": of(LBRS_DATA="~/data"),
    "home, from a folder within": of(folder="project/notebooks", LBRS_DATA="~/data/"),
    "home of a user": of(LBRS_DATA=f"~{ME.pw_name}/{{up}}/house/data"),
    "a relative home": of(HOME="../house", LBRS_DATA="~/data"),
    "a relative home, by default": of(HOME="../../house", folder="project/notebooks"),
    "blanks and accents": of(LBRS_DATA="../house/Daten für mich"),
    "a link": of(LBRS_DATA="../house/link"),
    "no home": of(HOME=None, LBRS_DATA="../house/data"),
    "the default": of(),
    "empty is the default": of(LBRS_DATA=""),
    "a cache": of(HOME="/nowhere", XDG_CACHE_HOME="{world}/house/.cache"),
    "a relative cache is none": of(XDG_CACHE_HOME=".cache"),
    "a home of nobody": of("there is no data folder", LBRS_DATA="~no-such-user/data"),
    "a folder that is not there": of("could not be downloaded", LBRS_DATA="../house/absent"),
    "a file": of("could not be downloaded", LBRS_DATA="../house/a file"),
    "below a file": of("could not be downloaded", LBRS_DATA="../house/a file/data"),
    "a file within": of("could not be downloaded", LBRS_DATA="../house/file within"),
    "a folder for a file": of("in the place of a file", LBRS_DATA="../house/folder"),
    "damaged": of("is corrupt", LBRS_DATA="../house/damaged"),
    "too long": of("cannot be read", LBRS_DATA="../" + 300 * "x"),
    "no place for any": of("could not be downloaded", LBRS_DATA="/dev/null/data"),
}


def enter(world: Path, setting: Setting, monkeypatch) -> None:
    up = os.path.relpath(world, ME.pw_dir)
    monkeypatch.chdir(world / setting.folder)
    for name, value in setting.variables.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value.format(world=world, up=up))


def fetch_elsewhere(world: Path) -> str:
    """What a process finds that works in the project, in the environment of kernels: the folder, or
    why not."""
    given = plain_environment()
    with replaced_environment(given), contextlib.chdir(world / "project"):
        try:
            return str(data.fetch("mnist"))
        except data.DataError as error:
            return f"failed: {error}"


@pytest.mark.parametrize("name", SETTINGS)
def test_the_command_and_its_processes_find_the_same_data(world, monkeypatch, name):
    setting = SETTINGS[name]
    enter(world, setting, monkeypatch)
    result = CliRunner().invoke(cli.app, ["fetch", "mnist"])
    told = (result.stdout or result.stderr).removeprefix("mnist  ").strip()
    assert len(told.splitlines()) == 1
    assert result.exit_code == bool(setting.told)
    if setting.told:
        assert told.startswith("failed: ") and setting.told in told and "Remedy" in told
    else:
        assert (Path(told) / FILE).read_bytes() == CONTENT and Path(told).is_absolute()
    assert fetch_elsewhere(world) == told
    assert not list(world.rglob(".fetch-*"))


@pytest.mark.parametrize(
    ("name", "rerun"),
    [
        ("relative, from a folder within", True),
        ("a relative home, by default", True),
        ("a home of nobody", False),
        ("below a file", False),
    ],
)
def test_the_page_is_the_same_or_falls_back(world, monkeypatch, name, rerun):
    enter(world, SETTINGS[name], monkeypatch)
    root = records.find_project()
    job = jobs.job_of(root, load_runs(root)["tiny"], "quick", 0, "auto")
    ending = notebooks.perform(job)
    assert ending is not None and ending.rerun == rerun
    assert SETTINGS[name].told in ending.reason


def test_data_that_this_user_may_not_read_is_a_data_error(world, monkeypatch):
    def refuse(path, md5):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(data, "_intact", refuse)
    with pytest.raises(data.DataError, match=r"cannot be read: .*Permission denied.*Remedy"):
        data.fetch("mnist")


def test_a_user_without_a_home_is_told_to_name_a_folder(world, monkeypatch):
    def nobody(number):
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.delenv("HOME")
    result = CliRunner().invoke(cli.app, ["fetch", "mnist"])
    assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1
    assert "Remedy: set LBRS_DATA to a folder of yours" in result.stderr
    assert "LBRS_DATA" not in plain_environment()


@pytest.mark.parametrize("named", ["../house/records", "~/records", "{world}/house/records"])
def test_the_folder_of_the_records_is_the_same_for_every_process(world, monkeypatch, named):
    monkeypatch.setenv("LBRS_RECORDS", named.format(world=world))
    here = records.records_folder()
    assert here.resolve() == world / "house/records"
    assert plain_environment()["LBRS_RECORDS"] == str(here)


@pytest.mark.parametrize("command", ["run", "sweep", "build"])
def test_a_folder_that_was_removed_is_one_line(world, monkeypatch, command):
    (world / "gone").mkdir()
    monkeypatch.chdir(world / "gone")
    (world / "gone").rmdir()
    result = CliRunner().invoke(cli.app, [command])
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
