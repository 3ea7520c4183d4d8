"""The wheel in an environment of its own, with NumPy, SciPy and torch and nothing else that the
project asks for."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, distribution, distributions, files, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = {"numpy", "scipy", "torch"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built in a copy, as the build leaves folders behind."""
    pytest.importorskip("setuptools")
    place = tmp_path_factory.mktemp("wheel")
    for path in (*tree(), *map(Path, ("pyproject.toml", "README.md", "LICENSE"))):
        (place / "copy" / path).parent.mkdir(parents=True, exist_ok=True)
        (place / "copy" / path).write_bytes((ROOT / path).read_bytes())
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir"]
    command = [sys.executable, "-m", "pip", "wheel", ".", *options, str(place)]
    done = subprocess.run(command, cwd=place / "copy", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = place.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel) -> Path:
    """An environment's folder with the wheel, the core, and what the core installs."""
    place = wheel.parent / "site"
    with zipfile.ZipFile(wheel) as content:
        content.extractall(place)
    for name in closure(CORE) & set(map(canonicalize_name, names_installed())):
        for file in files(name) or ():
            link = place / file.parts[0]
            if file.parts[0] not in ("..", "__pycache__") and not link.exists():
                link.symlink_to(distribution(name).locate_file(file.parts[0]))
    return place


def names_installed() -> list[str]:
    return [one.name for one in distributions()]


def tree() -> list[Path]:
    return [
        path.relative_to(ROOT)
        for path in (ROOT / "lbrs").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]


def closure(names: set[str]) -> set[str]:
    """The distributions that installing these installs."""
    found: set[str] = set()
    todo = set(names)
    while todo:
        name = todo.pop()
        found.add(name)
        try:
            asked = [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:  # of another kind of machine
            continue
        needed = {
            canonicalize_name(one.name)
            for one in asked
            if one.marker is None or one.marker.evaluate({"extra": ""})
        }
        todo |= needed - found
    return found


def alone(installed: Path, code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `code` where nothing but the wheel and the core is installed."""
    path = f"import sys\nsys.path.append({str(installed)!r})\n"
    command = [sys.executable, "-S", "-E", "-c", path + code]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def test_a_wheel_holds_the_whole_tree_and_says_that_it_is_typed(wheel):
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        (told,) = (name for name in names if name.endswith("/METADATA"))
        metadata = content.read(told).decode()
    held = {name for name in names if not name.partition("/")[0].endswith(".dist-info")}
    assert held == {path.as_posix() for path in tree()} and "lbrs/py.typed" in held
    assert "Classifier: Typing :: Typed" in metadata


def test_the_core_asks_for_three_packages():
    asked = [Requirement(text) for text in PROJECT["dependencies"]]
    assert {requirement.name for requirement in asked} == CORE
    assert all([one.operator for one in each.specifier] == [">="] for each in asked)


def test_an_environment_of_its_own_has_nothing_of_the_extras(installed):
    hidden = {"sklearn", "torchvision", "matplotlib", "seaborn", "tqdm", "typer", "yaml", "pandas"}
    there = {path.name for path in installed.iterdir()}
    assert not hidden & there
    assert {"lbrs", "numpy", "scipy", "torch", "mpmath"} <= there


def test_the_extras_are_those_that_the_readme_names():
    extras = {"sklearn", "experiments", "book", "cluster", "dev"}
    assert PROJECT["optional-dependencies"].keys() == extras
    named = re.findall(r"`lbrs\[(\w+)\]`", (ROOT / "README.md").read_text())
    assert set(named) == extras


def test_the_example_of_the_readme_runs_in_an_environment_of_its_own(installed, tmp_path):
    example, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    done = alone(installed, example, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Theorem E'" in done.stdout


def test_every_public_name_is_there_in_an_environment_of_its_own(installed, tmp_path):
    code = """
import lbrs
for name in lbrs.__all__:
    getattr(lbrs, name)
import torch
score = lbrs.CohenScore(torch.nn.Linear(2, 1), 0.5, 100, noise="sound")
oracle = lbrs.NearestNeighborOracle(torch.eye(2), torch.tensor([1, -1]))
model = lbrs.LocallyBiased(score, oracle, 0.1)
print(model.certify(torch.eye(2)))
print(lbrs.LocallyBiased(lbrs.LinearScore([1.0, 2.0], 0.0), oracle, 0.1).as_module())
"""
    done = alone(installed, code, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import lbrs.cli", "the command needs typer, .*: pip install 'lbrs\\[experiments\\]'"),
        ("import lbrs.adapters", "pip install 'lbrs\\[sklearn\\]'"),
    ],
)
def test_what_needs_more_says_what_to_install(installed, tmp_path, code, told):
    done = alone(installed, code, tmp_path)
    assert done.returncode != 0
    assert re.search(told, done.stderr.strip().splitlines()[-1])


def test_the_command_says_outside_a_project_in_a_line_what_to_do(tmp_path):
    command = [sys.executable, "-c", "from lbrs.cli import app; app()", "run"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2 and not done.stdout
    (line,) = done.stderr.splitlines()
    assert "go to the folder of its sources" in line
