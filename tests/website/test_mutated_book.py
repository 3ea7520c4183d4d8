"""A check on a page that is false stops the build, whatever a user has configured."""

from pathlib import Path

import pytest

from lbrs.experiments.runs import BookError
from lbrs.website import notebooks
from lbrs.website.jobs import Job

ROOT = Path(__file__).parents[2]
FALSE = [
    ("machine", "verdict == (True, False, True)", "verdict == (True, True, True)"),
    ("smoothing", "assert soft < 0 < hard", "assert hard < 0 < soft"),
    ("smoothing", "assert errors[1] < 1e-9", "assert errors[1] > 1e-9"),
    ("limits", "assert 0.9 * bound < largest <= bound", "assert 0.9 * bound > largest > bound"),
    ("limits", "assert same.abs().max() < 1e-12", "assert same.abs().max() > 1e-12"),
    ("linear", "assert difference < 1e-12", "assert difference > 1e-12"),
    ("linear", "assert right == 3", "assert right == 4"),
    ("nonlinear", "assert (four - five).abs().max() < 1e-12", "assert (four == five + 1).all()"),
    ("sharper", "assert flips == 0 and", "assert flips > 0 and"),
    ("errata", "assert printed < 0 < meant", "assert printed > 0 > meant"),
    ("errata", "moved.sum() < known.sum()", "moved.sum() > known.sum()"),
    (
        "errata",
        "(mean - smoothed[1]).abs().max() < 0.01",
        "(mean + smoothed[1]).abs().max() < 0.01",
    ),
    ("smoothing", "eta < winner <= 2 * eta", "winner <= eta"),
    ("smoothing", "fails(sides, gap, 1.02)[0]\n", "not fails(sides, gap, 1.02)[0]\n"),
    ("limits", "slope > 0.04", "slope < 0.04"),
    ("sharper", "assert papers < best", "assert papers > best"),
    ("errata", "assert (oracle.label(inside) == 1).all()", "assert oracle.label(inside)[0] == -1"),
]
"""A page, a true check on it, and what makes it false."""

PROFILE = """c = get_config()
c.InteractiveShellApp.pylab = "inline"
c.InteractiveShellApp.exec_lines = ["all = any = lambda values: True"]
"""


@pytest.fixture(params=["plain", "hostile"])
def environment(request, monkeypatch, tmp_path) -> None:
    """Nothing configured, or what once let false checks pass."""
    if request.param == "plain":
        return
    folder = tmp_path / "ipython/profile_default"
    folder.mkdir(parents=True)
    (folder / "ipython_config.py").write_text(PROFILE)
    (tmp_path / "start.py").write_text("all = any = lambda values: True\n")
    for name, value in {
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "MPLBACKEND": "Agg",
        "PYTHONOPTIMIZE": "1",
        "PYTHONSTARTUP": str(tmp_path / "start.py"),
    }.items():
        monkeypatch.setenv(name, value)


def beginning(root: Path, page: str, check: str, instead: str) -> Job:
    """The page down to the cell of the check, with another one `instead`, in a project at `root`
    that has what pages read."""
    text = (ROOT / f"book/{page}.md").read_text(encoding="utf-8")
    before, found, after = text.partition(check)
    assert found and check not in after, "the check must be on the page, once"
    rest, fence, _ = after.partition("\n```\n")
    for folder in ("book", "notebooks"):
        (root / folder).mkdir(parents=True)
    for shared in ("_toc.yml", "notebooks/runs.yml", "book/records"):
        (root / shared).symlink_to(ROOT / shared)
    source = root / f"book/{page}.md"
    source.write_text(before + instead + rest + fence, encoding="utf-8")
    return Job(f"book/{page}", root, source, root / f"_build/source/book/{page}.ipynb", {})


@pytest.mark.slow
@pytest.mark.parametrize(("page", "check", "instead"), FALSE)
def test_a_false_check_fails(tmp_path, environment, page, check, instead):
    job = beginning(tmp_path / "project", page, check, instead)
    with pytest.raises(BookError, match=rf"book/{page}\.md failed;.*\nAssertionError"):
        notebooks.perform(job)
    assert not job.target.exists()
    assert instead in (job.root / f"_build/logs/book-{page}.log").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(("page", "check", "instead"), [FALSE[0], FALSE[3], FALSE[-1]])
def test_the_true_check_holds(tmp_path, environment, page, check, instead):
    notebooks.perform(beginning(tmp_path / "project", page, check, check))


def test_there_are_enough_checks_of_enough_chapters():
    assert len(FALSE) >= 10 and len({page for page, *_ in FALSE}) >= 6
