"""What makes a page out of date, and that a changed sentence computes no experiment again."""

import json
import shutil
from pathlib import Path

import pytest
from tiny import TINY

from lbrs.experiments import sources
from lbrs.experiments.runs import Ending, load_runs
from lbrs.website import jobs
from lbrs.website.notebooks import perform

ROOT = Path(__file__).parents[2]
SIZES = {"train_points": 60, "reference_points": 30, "test_points": 50, "raster": 8}
EXACT = {"exact_points": 4, "exact_alphas": (0.0, 1.0), "exact_radii": (0.5, 1.0)}
NOTEBOOK = f"""---
jupytext: {{text_representation: {{extension: .md, format_name: myst}}}}
kernelspec: {{display_name: Python 3, language: python, name: python3}}
---

# A tiny spiral

```{{code-cell}} python
:tags: [parameters]

run = "spiral"
profile = "quick"
seed = 0
device = "auto"
```

```{{code-cell}} python
from lbrs.experiments.configs import SpiralConfig
from lbrs.experiments.plan import Task
from lbrs.experiments.running import run_or_published

config = SpiralConfig(**{SIZES | EXACT})
run_or_published(Task(run, profile, seed, config, device=device))
```
"""


@pytest.fixture
def project(tmp_path):
    """A project of one real, tiny experiment."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "notebooks/spiral.md").write_text(NOTEBOOK)
    (tmp_path / "notebooks/runs.yml").write_text(
        "spiral: {source: spiral.md, profiles: {quick: {}, paper: {}}}\n"
    )
    return tmp_path


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the package, by which staleness is judged."""
    package = tmp_path / "copy" / "lbrs"
    shutil.copytree(sources.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sources, "PACKAGE", package)
    return package


def add(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


@pytest.mark.slow
def test_a_changed_sentence_executes_its_page_and_computes_nothing(project):
    assert vars(TINY["spiral"]).items() >= (SIZES | EXACT).items()
    record = project / "_build/records/spiral-quick-0.json"
    (job,) = jobs.stale(project)
    assert perform(job) == Ending("spiral", True, "") and not jobs.stale(project)
    computed = record.stat().st_mtime_ns
    add(project / "notebooks/spiral.md", "\nOne more sentence.\n")
    (job,) = jobs.stale(project)
    assert perform(job) == Ending("spiral", True, "") and not jobs.stale(project)
    assert record.stat().st_mtime_ns == computed
    assert "One more sentence." in job.target.read_text()
    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | {"wall_time": 7}))
    assert not jobs.stale(project)
    record.write_text(json.dumps(content | {"test_points": 7}))
    assert jobs.stale(project)
    record.unlink()
    (job,) = jobs.stale(project)
    perform(job)
    assert record.is_file() and not jobs.stale(project)


@pytest.mark.slow
def test_a_profile_and_a_seed_can_be_asked_for(project):
    (job,) = jobs.stale(project)
    perform(job)
    assert not jobs.stale(project) and not jobs.stale(project, "quick", 0)
    for asked in (("paper", 0), ("quick", 1), ("paper", None), (None, 1)):
        (job,) = jobs.stale(project, *asked)
        assert (job.parameters["profile"], job.parameters["seed"]) == (
            asked[0] or "quick",
            asked[1] or 0,
        )


def given() -> dict[str, str]:
    """What each page of this project depends on, before its execution."""
    runs = [jobs.job_of(ROOT, run, "quick", 0, "auto") for run in load_runs(ROOT).values()]
    return {job.name: job.given for job in (*runs, *jobs.chapters(ROOT))}


@pytest.mark.slow
def test_a_page_depends_on_what_it_imports(copy):
    def changed_by(place: str) -> set[str]:
        before = given()
        add(copy / place, "\nmore = 1\n")
        after = given()
        return {name for name in before if before[name] != after[name]}

    runs, pages = set(load_runs(ROOT)), {job.name for job in jobs.chapters(ROOT)}
    assert changed_by("pages/play.py") == {"book/interactive", "book/intro"}
    assert changed_by("proofs/check.py") == {"book/machine"}
    assert changed_by("cli.py") == changed_by("website/build.py") == set()
    assert runs <= changed_by("smoothing.py") <= runs | pages - {"book/machine"}
    assert runs | pages >= changed_by("pages/text.py") > {"spiral", "mnist", "book/choices"}


def test_a_chapter_that_is_not_plain_python_depends_on_everything(project, copy):
    page = project / "book/magic.md"
    page.write_text(NOTEBOOK.replace("seed = 0", "%matplotlib inline"))
    (job,) = jobs.chapters(project)
    before = job.given
    add(copy / "cli.py", "\nmore = 1\n")
    (job,) = jobs.chapters(project)
    assert job.given != before
