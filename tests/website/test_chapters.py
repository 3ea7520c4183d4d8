"""A chapter cannot stop being one: all its cells are executed, or the build fails and says why."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lbrs import cli
from lbrs.experiments.runs import BookError, load_runs
from lbrs.website import build, jobs, notebooks
from lbrs.website.jobs import Job

ROOT = Path(__file__).parents[2]
HEADER = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
"""
CELL = "```{code-cell} python\nprint(6 * 7)\n```\n"
BODY = f"\n# A page\n\n{CELL}\nMore.\n\n```{{code-cell}} python\n\n```\n\n{CELL}"
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with one page and no run of its own."""
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").mkdir()
    for name in ("_toc.yml", "_config.yml"):
        (tmp_path / name).touch()
    (tmp_path / "notebooks/runs.yml").write_text("none: {source: none.md}")
    monkeypatch.setattr(jobs, "load_runs", lambda root: {})
    monkeypatch.setattr(build, "load_runs", lambda root: {})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(project: Path, text: str) -> Job:
    (project / "book/page.md").write_text(text, encoding="utf-8", newline="")
    (job,) = jobs.chapters(project)
    return job


@pytest.mark.parametrize(
    "text",
    [
        BOM + HEADER + BODY,
        "\n" + HEADER + BODY,
        "\n \t\n\n" + HEADER + BODY,
        f"{BOM}\n{HEADER}{BODY}",
        (HEADER + BODY).replace("\n", "\r\n"),
        (f"\n{HEADER}{BODY}").replace("\n", "\r"),
        (HEADER + BODY).replace("---\n", "---  \n"),
    ],
)
def test_nothing_before_the_header_makes_a_page_less_of_a_notebook(project, text):
    expected = write(project, HEADER + BODY)
    found = write(project, text)
    assert found.code == expected.code == ["print(6 * 7)"] * 2
    cells = [
        [(cell.cell_type, cell.source) for cell in job.read().cells] for job in (expected, found)
    ]
    assert cells[0] == cells[1] and jobs.is_notebook(found.source)


def test_such_a_page_is_executed_whole(project):
    job = write(project, f"{BOM}\n{HEADER}{BODY}".replace("\n", "\r\n"))
    notebooks.perform(job)
    cells = [cell for cell in json.loads(job.target.read_text())["cells"] if "outputs" in cell]
    assert [cell["execution_count"] for cell in cells] == [1, None, 2]
    assert [cell["outputs"] != [] for cell in cells] == [True, False, True]
    assert jobs.stale(project) == []
    assert (build.stage(project) / "book/page.ipynb").is_file()
    assert not (project / "_build/source/book/page.md").exists()


@pytest.mark.parametrize(
    "text",
    [
        BODY,
        "---\ntitle: A page\n---\n" + BODY,
        "A word.\n" + HEADER + BODY,
        HEADER.replace("kernelspec", "kernel_spec") + BODY,
        HEADER.replace("---\n", "----\n") + BODY,
        HEADER.replace("---\n", "", 1) + BODY,
        "# A page\n\n~~~{code-cell} python\n1\n~~~\n",
        "# A page\n\n- ```{code-cell}\n  1\n  ```\n",
    ],
)
def test_a_page_with_code_that_is_no_notebook_stops_the_build(project, text):
    path = project / "book/page.md"
    path.write_text(text)
    told = f"{path} has code cells that would not be executed: it needs a header with a kernelspec"
    for read in (jobs.chapters, jobs.stale, build.stage):
        with pytest.raises(BookError) as error:
            read(project)
        assert told in str(error.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ((HEADER.replace("python3}", "python3") + BODY).encode(), "cannot be read as a notebook"),
        ((HEADER + BODY + "\xe9").encode("latin-1"), "cannot be read: 'utf-8' codec"),
    ],
)
def test_a_page_that_cannot_be_read_is_named(project, content, told):
    (project / "book/page.md").write_bytes(content)
    with pytest.raises(BookError) as error:
        jobs.stale(project)
    assert f"page.md {told}" in str(error.value) and len(str(error.value).splitlines()) == 1


def test_a_notebook_that_is_no_text_stops_the_build(project):
    (project / "book/page.ipynb").write_text("{}")
    with pytest.raises(BookError, match=r"page\.ipynb would not be executed"):
        jobs.chapters(project)


def test_the_command_says_so_in_a_line(project, monkeypatch):
    monkeypatch.setattr("lbrs.experiments.runs.load_runs", lambda root: {})
    (project / "book/page.md").write_text(BODY)
    result = CliRunner().invoke(cli.app, ["build"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{project}/book/page.md has code cells that would not be")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "cell",
    [
        CELL.replace("```", ":::"),
        "> " + CELL.replace("\n", "\n> "),
        "1. One\n\n   " + CELL.replace("\n", "\n   "),
        "````md\n" + CELL + "````\n",
    ],
)
def test_a_code_cell_that_would_only_be_shown_is_found(project, cell):
    job = write(project, f"{HEADER}{BODY}\n{cell}\n")
    with pytest.raises(BookError, match=r"book/page\.md has 4 code cells, but 3 would be executed"):
        job.read()


def test_a_cell_that_is_skipped_is_missed(project):
    skipped = CELL.replace("print", ":tags: [skip-execution]\n\nprint")
    job = write(project, HEADER + BODY + skipped)
    with pytest.raises(
        BookError, match=r"book/page\.md asks for 3 executed cells, and 2 were executed"
    ):
        notebooks.perform(job)
    assert not job.target.exists()


def test_a_staged_notebook_that_lacks_a_cell_is_not_shown_and_executed_again(project):
    job = write(project, HEADER + BODY)
    notebooks.perform(job)
    whole = job.target.read_text()
    notebook = json.loads(whole)
    notebook["cells"].pop()
    job.target.write_text(json.dumps(notebook))
    with pytest.raises(BookError, match="asks for 2 executed cells, and 1 were executed"):
        build.stage(project)
    (again,) = jobs.stale(project)
    notebooks.perform(again)
    assert job.target.read_text() == whole and not jobs.stale(project)


def items(folder: Path) -> dict[str, int]:
    """The numbers of tests that nbval finds in the notebooks of a folder."""
    nbval = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-p", "no:xdist"]
    done = subprocess.run(
        [*nbval, "--collect-only", "-qq", "--rootdir", str(folder), str(folder)],
        cwd=folder,
        env=os.environ | {"PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    pairs = [line.rpartition(": ") for line in done.stdout.splitlines() if ".ipynb: " in line]
    return {path: int(count) for path, _, count in pairs}


def test_nbval_tests_every_code_cell(project):
    job = write(project, HEADER + BODY)
    notebooks.perform(job)
    assert items(project / "_build/source") == {"book/page.ipynb": 3}


@pytest.mark.site
def test_nbval_tests_every_code_cell_of_this_book():
    if not (ROOT / jobs.STAGE / "book").is_dir():
        told = "no notebooks in _build/source; lbrs build executes them"
        pytest.fail(told) if os.environ.get("CI") else pytest.skip(told)
    runs = [jobs.job_of(ROOT, run, "quick", 0, "auto") for run in load_runs(ROOT).values()]
    every = {
        job.target.relative_to(ROOT / jobs.STAGE).as_posix(): len(job.code) + bool(job.parameters)
        for job in (*runs, *jobs.chapters(ROOT))
    }
    assert items(ROOT / jobs.STAGE) == every and sum(every.values()) > 300
