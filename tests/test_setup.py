"""The set-up says the same thing everywhere, and nothing is tracked that is generated, downloaded
or of one machine."""

import doctest
import importlib
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lbrs

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ADDRESSES = (
    "py" + "pi.org",
    "python" + "hosted.org",
    "download." + "pytorch.org",
    "deb." + "debian.org",
    "registry." + "npmjs",
    "conda." + "anaconda.org",
    "--index" + "-url",
    "--extra-index" + "-url",
    "--find" + "-links",
    "file:" + "//",
)
PLACES = ("/" + "work/", "/" + "root/", "/" + "opt/", "/" + "home/", "/" + "Users/")


def tracked() -> list[Path]:
    """The files under version control, and those not yet added that are not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def pins() -> dict[str, list[Requirement]]:
    """constraints.txt by name: one requirement each, or one for each kind of machine."""
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            requirement = Requirement(line)
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def dependencies() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    every = [Requirement(text) for texts in (PROJECT["dependencies"], *extras) for text in texts]
    return [requirement for requirement in every if requirement.name != PROJECT["name"]]


def test_conda_and_pip_set_up_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    python, pip, by_pip = environment["dependencies"]
    # Binder's repo2docker reads a version only where it stands like this.
    assert re.fullmatch(r"python=3\.\d+", python)
    assert python == f"python{PROJECT['requires-python'].replace('>=', '=')}"
    assert pip == "pip"
    constraint, editable = by_pip["pip"]
    assert constraint == "--constraint constraints.txt"
    (extra,) = re.fullmatch(r"--editable \.\[(\w+)\]", editable).groups()
    assert extra in PROJECT["optional-dependencies"]
    assert "CONSTRAINTS ?= constraints.txt" in MAKEFILE
    assert "--constraint $(CONSTRAINTS)" in MAKEFILE and f"--editable '.[{extra}]'" in MAKEFILE


def test_every_constraint_is_an_exact_pin_without_an_address():
    for requirements in pins().values():
        for requirement in requirements:
            assert requirement.url is None
            assert [specifier.operator for specifier in requirement.specifier] == ["=="], (
                requirement
            )


def test_every_dependency_is_pinned_within_its_bounds():
    known = pins()
    for dependency in dependencies():
        (first, *others) = known[canonicalize_name(dependency.name)]
        for pin in (first, *others):
            (version,) = (specifier.version for specifier in pin.specifier)
            assert dependency.specifier.contains(version, prereleases=True), (dependency, pin)


def test_the_lowest_versions_are_those_that_the_library_allows():
    lines = (ROOT / ".github/lowest.txt").read_text().splitlines()
    lowest = {line for line in lines if not line.startswith("#")}
    asked = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["sklearn"]
    assert lowest == {text.replace(">=", "==") for text in asked}


def test_no_tracked_text_names_an_index_or_a_place_on_one_machine():
    found = []
    for path in tracked():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}: {word}"
            for number, line in enumerate(lines, 1)
            for word in (*ADDRESSES, *PLACES)
            if word in line
        ]
    assert not found


def test_nothing_generated_or_downloaded_is_tracked():
    wrong = re.compile(
        r"\.(ipynb|pt|pth|pkl|pickle|npy|npz|gz|xz|zip|tar|whl|pyc)$"
        r"|ubyte|data_batch|^_build/|^\.venv/"
    )
    assert not [path.name for path in tracked() if wrong.search(path.relative_to(ROOT).as_posix())]
    assert not [path.name for path in tracked() if path.stat().st_size > 400_000]


def commands(text: str) -> set[str]:
    """The make targets that a Markdown text names in code."""
    code = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)
    return {target for piece in code for target in re.findall(r"\bmake ([a-z][a-z-]*)", piece)}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


def recipe(target: str) -> list[str]:
    """The commands of one target, from the environment."""
    (lines,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in lines.splitlines()]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_makefile_has_the_targets_that_a_guide_names(page):
    named = commands((ROOT / page).read_text())
    assert {"book", "check", "test"} <= named <= targets()


def test_the_makefile_tells_of_its_targets():
    told = set(re.findall(r"@echo 'make ([a-z]+)", MAKEFILE))
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert told <= targets() == set(phony.split())
    assert {"book", "check", "test", "reproduce"} <= told


def test_ci_runs_the_checks_and_the_test_command_of_the_readme():
    script = ROOT / ".ci/run"
    assert "test" in commands((ROOT / "README.md").read_text())
    assert re.findall(r"^make (\w+)$", script.read_text(), re.MULTILINE) == ["lint", "test"]
    assert os.access(script, os.X_OK)
    assert re.search(r"^check: lint$", MAKEFILE, re.MULTILINE)
    assert recipe("lint") == [
        ".venv/bin/ruff format --check",
        ".venv/bin/ruff check",
        ".venv/bin/mypy",
    ]


def test_hooks_run_the_checks_of_the_makefile():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == recipe("lint")
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in hooks)


def test_the_workflow_runs_what_a_person_runs():
    found = {
        name: {step["run"] for step in job["steps"] if "run" in step}
        for name, job in WORKFLOW["jobs"].items()
    }
    assert found == {
        "check": {"make check"},
        "test": {"bash .ci/run"},
        "unpinned": {"bash .ci/run"},
        "lowest": {"make check"},
    }
    assert WORKFLOW["jobs"]["unpinned"]["env"] == {"CONSTRAINTS": ""}
    assert WORKFLOW["jobs"]["lowest"]["env"] == {"CONSTRAINTS": ".github/lowest.txt"}
    assert {"push", "pull_request", "schedule"} <= set(WORKFLOW[True])  # YAML's word for "on"


def test_every_python_that_is_named_is_checked():
    (least,) = Requirement(f"python{PROJECT['requires-python']}").specifier
    named = [line.rpartition(" :: ")[2] for line in PROJECT["classifiers"]]
    versions = [name for name in named if re.fullmatch(r"3\.\d+", name)]
    assert versions[0] == least.version
    assert WORKFLOW["jobs"]["check"]["strategy"]["matrix"]["python"] == versions
    assert all(f"python{version}" in MAKEFILE for version in versions)


@pytest.fixture
def environment(tmp_path):
    """A project with this Makefile, a Python that only tells how it was called, and an environment
    of it; returns its folder."""
    place = tmp_path / "it's here" / "first"
    place.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, place)
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\n"
        'case "$*" in *venv*) mkdir -p .venv/bin && cp "$0" .venv/bin/python;; esac\n'
        'case "$1" in -m) echo "$*";; esac\n'
    )
    python.chmod(0o755)
    assert any("pip install" in line for line in set_up(place))
    return place


def set_up(place: Path) -> list[str]:
    """What `make setup` says in the folder `place`."""
    python = place.parents[1] / "python"
    outer = {"MAKELEVEL", "MAKEFLAGS", "MFLAGS"}
    alone = {name: value for name, value in os.environ.items() if name not in outer}
    done = subprocess.run(
        ["make", "setup", f"PYTHON={python}"], cwd=place, env=alone, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_an_environment_is_made_once(environment):
    assert (environment / ".venv/installed").read_text() == f"{environment}\n"
    assert set_up(environment) == ["make: Nothing to be done for 'setup'."]
    os.utime(environment / "pyproject.toml")
    assert "-m venv .venv" in set_up(environment)


@pytest.mark.parametrize("how", ["moved", "copied", "linked", "of an unknown place"])
def test_an_environment_of_another_place_is_made_anew(environment, how):
    there = environment.with_name("second")
    if how == "moved":
        environment.rename(there)
    elif how == "copied":
        shutil.copytree(environment, there)
    elif how == "linked":
        shutil.copytree(environment, there, ignore=shutil.ignore_patterns(".venv"))
        (there / ".venv").symlink_to(environment / ".venv")
    else:
        there = environment
        (there / ".venv/installed").write_text("")
    told = set_up(there)
    assert "-m venv --clear .venv" in told and any("pip install" in line for line in told)
    assert (there / ".venv/installed").read_text() == f"{there}\n"
    assert not (there / ".venv").is_symlink()
    assert set_up(there) == ["make: Nothing to be done for 'setup'."]
    if how in ("copied", "linked"):
        assert set_up(environment) == ["make: Nothing to be done for 'setup'."]


def test_updates_are_asked_for_what_is_pinned():
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"github-actions", "pip"}


def test_the_python_example_of_the_readme_runs(capsys):
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})
    assert "Theorem E'" in capsys.readouterr().out


def test_every_row_of_the_table_of_the_readme_can_be_used():
    rows = re.findall(
        r"^\| [^|]+ \| `(\w[\w.]*)\((.*)\)` \| .* \|$",
        (ROOT / "README.md").read_text(),
        re.MULTILINE,
    )
    network = torch.nn.Sequential(
        torch.nn.Linear(2, 4), torch.nn.Softplus(threshold=40), torch.nn.Linear(4, 1)
    ).double()
    given = {
        "weight": [1.0, 2.0],
        "bias": 0.5,
        "function": network,
        "network": network,
        "L": 1.0,
        "K": 1.0,
        "shape": (2,),
        "norm": lbrs.L2,
        "sigma": 0.5,
        "samples": 10,
    }
    given["score"] = lbrs.ProbabilityMargin(network)
    for name, arguments in rows:
        home, _, last = name.rpartition(".")
        made = getattr(importlib.import_module(f"lbrs.{home}") if home else lbrs, last)
        if arguments != "...":
            score = eval(f"made({arguments})", {"made": made, **given})
            assert isinstance(score, lbrs.Score | lbrs.NormalSmoothing)
    assert {"LinearScore", "curvature.smooth_score", "NormalSmoothing"} < {
        name for name, _ in rows
    } and len(rows) >= 8


EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "lbrs").rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_docstrings_run(name):
    module = importlib.import_module(name)
    result = doctest.testmod(
        module,
        extraglobs={"torch": torch, **{public: getattr(lbrs, public) for public in lbrs.__all__}},
    )
    assert result.attempted > 0 and result.failed == 0
