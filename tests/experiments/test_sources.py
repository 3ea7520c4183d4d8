"""What a record depends on is the code that computes it, and nothing that people only read."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import TINY

from lbrs.experiments import records, sources, spiral
from lbrs.experiments.running import run
from lbrs.experiments.table import EXPERIMENTS, config_of, experiment_in, kind_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the package, of which `lbrs.experiments.sources` tells."""
    package = tmp_path / "copy" / "lbrs"
    shutil.copytree(sources.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    monkeypatch.setattr(sources, "PACKAGE", package)
    return package


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("place", "old", "new"),
    [
        ("pages/text.py", '"choice", "value", "what it is"', '"choice", "value", "its meaning"'),
        ("website/jobs.py", "1_800", "1_801"),
        ("proofs/check.py", "TIMEOUT = 20_000", "TIMEOUT = 30_000"),
        ("cli.py", "few points, minutes", "few points"),
        ("norms/lp.py", '"""', '"""A sentence. '),
        ("norms/lp.py", "import", "# A sentence.\nimport"),
        ("experiments/spiral.py", "\n\n\ndef idea", "\n\n\n\n\ndef idea"),
    ],
)
def test_a_record_does_not_depend_on_what_people_read(copy, place, old, new):
    before = sources.sources_hash()
    change(copy / place, old, new)
    assert sources.sources_hash() == before


@pytest.mark.parametrize(
    ("place", "old", "new"),
    [
        ("norms/lp.py", "import", "more = 1\nimport"),
        ("scores/linear/folding.py", "\nimport", "\nmore = 1\nimport"),
        ("experiments/spiral.py", "SIDE = 12.0", "SIDE = 12.5"),
        ("experiments/configs.py", "800", "900"),
    ],
)
def test_a_record_depends_on_the_library_and_on_the_experiments(copy, place, old, new):
    before = sources.sources_hash()
    change(copy / place, old, new)
    assert sources.sources_hash() != before
    change(copy / place, new, old)
    assert sources.sources_hash() == before
    (copy / place).rename(copy / place.replace(".py", "_other.py"))
    assert sources.sources_hash() != before


def count(monkeypatch) -> list[str]:
    """The names of the runs that are computed from now on."""
    computed: list[str] = []
    compute = spiral.spiral

    def counted(config, seed, device, stages):
        computed.append(stages.title)
        return compute(config, seed, device, stages)

    monkeypatch.setattr(spiral, "spiral", counted)
    return computed


def test_a_changed_caption_computes_nothing_and_a_changed_line_everything(
    copy, tmp_path, monkeypatch
):
    computed = count(monkeypatch)
    given = {"run": "spiral", "profile": "quick", "seed": 0, "folder": tmp_path / "records"}
    first = run(TINY["spiral"], **given)
    change(copy / "pages/text.py", '"what it is"', '"what it means"')
    again = run(TINY["spiral"], **given)
    assert computed == ["spiral-quick-0"] and again.wall_time == pytest.approx(first.wall_time)
    change(copy / "norms/lp.py", "import", "more = 1\nimport")
    run(TINY["spiral"], **given)
    assert computed == ["spiral-quick-0"] * 2


@pytest.mark.parametrize("changed", ["config", "seed", "profile", "versions"])
def test_a_record_of_something_else_is_not_used(tmp_path, monkeypatch, changed):
    computed, config = count(monkeypatch), TINY["spiral"]
    given = {"run": "spiral", "profile": "quick", "seed": 0, "folder": tmp_path / "records"}
    run(config, **given)
    if changed == "config":
        config = replace(config, jitter=0.6)
    elif changed == "versions":
        monkeypatch.setattr(records, "versions", lambda: {"torch": "another"})
    else:
        given |= {"seed": 1} if changed == "seed" else {"profile": "paper"}
    run(config, **given)
    assert len(computed) == 2


def test_what_code_uses_is_followed_through_all_imports():
    used = sources.used_by("def f():\n    from lbrs.pages import drawing\n")
    assert {"lbrs.pages.drawing", "lbrs.pages", "lbrs", "lbrs.experiments.records"} <= used
    assert not {"lbrs.cli", "lbrs.proofs.check", "lbrs.pages.play"} & used
    assert sources.used_by("import math\nx = 1") == set()
    assert sources.used_by("from lbrs.proofs.check import checks") >= {"lbrs.proofs.paper"}
    assert {"lbrs.smoothing", "lbrs.tuning"} & set(sources.modules()) <= sources.used_by(
        "from lbrs import L2"
    )
    assert "lbrs.norms" in sources.used_by("from lbrs.norms import _private")
    assert "lbrs.norms" in sources.used_by("__import__('lbrs.norms')")
    assert sources.used_by("f'lbrs.proofs.{1}'") >= {"lbrs.proofs.check", "lbrs.proofs.paper"}
    with pytest.raises(SyntaxError):
        sources.used_by("%matplotlib inline")


@pytest.mark.parametrize(
    "code",
    [
        "from lbrs.pages import summary",
        "from lbrs.experiments.running import run",
        "from lbrs import LocallyBiased; LocallyBiased",
        "from lbrs.proofs.check import checks; checks()",
    ],
)
def test_nothing_is_loaded_that_is_not_said_to_be_used(code):
    told = f"import sys\n{code}\nprint(*(name for name in sys.modules if name.startswith('lbrs')))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= sources.used_by(code)


def test_an_lbrs_is_known_by_its_place_and_its_files(copy, monkeypatch):
    here = sources.identity()
    assert here.startswith(f"{sources.HOME} (") and here == sources.identity()
    monkeypatch.setattr(sources, "HOME", copy)
    place, content = sources.identity().split(" (")
    assert (place, content) == (str(copy), here.split(" (")[1])
    change(copy / "cli.py", "few points, minutes", "few points")
    assert sources.identity() != f"{place} ({content}"


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@b"]
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_record_names_the_commit_of_its_code(copy):
    assert sources.commit() == ""
    git(copy.parent, "init")
    assert sources.commit() == ""
    git(copy.parent, "add", ".")
    git(copy.parent, "commit", "-m", "code")
    code = git(copy.parent, "rev-parse", "HEAD")
    assert sources.commit() == code
    (copy.parent / "page.md").write_text("A page.")
    git(copy.parent, "add", ".")
    git(copy.parent, "commit", "-m", "page")
    assert sources.commit() == code
    change(copy / "norms/lp.py", "import", "more = 1\nimport")
    assert sources.commit() == f"{code}-dirty"


def code_of(notebook: str) -> str:
    text = (ROOT / "notebooks" / notebook).read_text(encoding="utf-8")
    return "\n".join(re.findall(r"^from lbrs.*$", text, re.MULTILINE))


def test_each_experiment_is_in_the_table_once():
    for kind, experiment in EXPERIMENTS.items():
        assert (ROOT / "notebooks" / experiment.notebook).is_file()
        assert kind_of(experiment.config()) == kind
        assert experiment_in(experiment.notebook) is experiment
        assert experiment.compute.__module__ == f"lbrs.experiments.{kind}"
        assert f"lbrs.pages.{experiment.page}" in sources.used_by(code_of(experiment.notebook))
    assert {path.name for path in (ROOT / "notebooks").glob("*.md")} == {
        experiment.notebook for experiment in EXPERIMENTS.values()
    }
    assert experiment_in("other.md") is None


def test_a_published_record_says_its_kind_and_its_commit():
    for path in (ROOT / "book/records").glob("*.json"):
        record = records.Record.load(path)
        assert record.config.keys() == vars(config_of(record)()).keys(), path
        assert len(record.commit) == 40, path
