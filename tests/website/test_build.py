"""The pipeline on a project of one tiny notebook: what it refuses, what it writes,
when it asks for more, and how it fails."""

import json
import subprocess
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from lbrs.experiments import runs
from lbrs.experiments.runs import BookError, Ending, Run
from lbrs.website import build, jobs, notebooks

FRONT = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
"""
PARAMETERS = 'run = "tiny"\nprofile = "quick"\nseed = 0\ndevice = "auto"\npoints = 3\nscale = 1.0'
SHOW = """class Outcome:
    def _repr_mimebundle_(self, include=None, exclude=None):
        told = f"{profile} {seed} {device} {scale * points}"
        return {"text/plain": told, "application/vnd.lbrs.outcome+json": state}
"""
STATE = 'state = {"run": run, "rerun": True, "reason": ""}\nOutcome()'


def text(parameters: str = PARAMETERS, state: str = STATE, last: str = "print(points)") -> str:
    """A notebook of three cells."""
    cells = (f":tags: [parameters]\n\n{parameters}", f"{SHOW}{state}", last)
    return (
        FRONT
        + "\n# A tiny experiment\n"
        + "".join(f"\n```{{code-cell}} ipython3\n{cell}\n```\n" for cell in cells)
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one run, `tiny`, one page and nothing executed."""
    for name, content in {
        "notebooks/tiny.md": text(),
        "notebooks/runs.yml": "tiny:\n  source: tiny.md\n  profiles: {quick: {points: 2}, "
        "paper: {}}\n",
        "book/intro.md": "# The page\n\nOne over $\\sigma$.\n",
        "_toc.yml": "format: jb-book\nroot: book/intro\nchapters:\n  - file: notebooks/tiny\n",
        "_config.yml": 'title: Tiny\nexecute: {execute_notebooks: "off"}\n'
        "sphinx: {config: {suppress_warnings: [myst.domains, mystnb.unknown_mime_type]}}\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def execute(project: Path, profile: str = "quick", seed: int = 0) -> Ending:
    return notebooks.perform(
        jobs.job_of(project, runs.load_runs(project)["tiny"], profile, seed, "cpu")
    )


def staged(project: Path) -> Path:
    return project / "_build/source/notebooks/tiny.ipynb"


def pretend(project: Path, rerun: bool = True, **given) -> None:
    """Stage what an execution of `tiny` at its present state would stage, without a kernel."""
    job = jobs.job_of(
        project,
        runs.load_runs(project)["tiny"],
        **({"profile": "quick", "seed": 0, "device": "auto"} | given),
    )
    told = {"run": "tiny", "rerun": rerun, "reason": "" if rerun else "no data"}
    outputs = [new_output("display_data", {runs.OUTCOME: told})]
    cells = [new_code_cell(execution_count=count) for count in range(1, 4)]
    notebook = new_notebook(cells=[*cells, new_code_cell(execution_count=4, outputs=outputs)])
    notebook.metadata["lbrs"] = {
        key: job.parameters[key] for key in ("run", "profile", "seed", "device")
    } | {"fingerprint": job.fingerprint}
    job.target.parent.mkdir(parents=True, exist_ok=True)
    job.target.write_text(json.dumps(notebook))


def test_runs_are_read_in_order_with_their_overrides(project):
    run = runs.load_runs(project)["tiny"]
    assert run == Run("tiny", "tiny.md", {}, {"quick": {"points": 2}, "paper": {}})
    assert run.given("quick", 4, "cpu") == {
        "run": "tiny",
        "profile": "quick",
        "seed": 4,
        "device": "cpu",
        "points": 2,
    }
    with pytest.raises(ValueError, match="profile must be one of quick, paper, got 'fast'"):
        run.given("fast", 0, "cpu")


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (
            "{source: tiny.md, profiles: {quick: {}, paper: {}}, sourse: x}",
            "run 'tiny': unknown key 'sourse'; allowed are title, source, parameters, profiles",
        ),
        ("{profiles: {quick: {}, paper: {}}}", "run 'tiny': source must name a text notebook"),
        (
            "{source: other.md, profiles: {quick: {}, paper: {}}}",
            "source must name a text notebook in notebooks/, got 'other.md'",
        ),
        (
            "{source: tiny.md, profiles: {quick: {}}}",
            "profiles must hold quick and paper and nothing else",
        ),
        (
            "{source: tiny.md, profiles: {quick: {}, paper: {}, full: {}}}",
            "profiles must hold quick and paper and nothing else",
        ),
        (
            "{source: tiny.md, profiles: {quick: 3, paper: {}}}",
            "profiles.quick must map parameters to values, got 3",
        ),
        (
            "{source: tiny.md, parameters: {seed: 3}, profiles: {quick: {}, paper: {}}}",
            "parameters must not set 'seed'",
        ),
        ("[1, 2]", "must be a mapping with source and profiles"),
        ("{", "notebooks/runs.yml cannot be read"),
    ],
)
def test_a_wrong_entry_names_file_run_and_key(project, entry, told):
    (project / "notebooks/runs.yml").write_text(f"tiny: {entry}\n")
    with pytest.raises(ValueError, match=r"notebooks/runs\.yml") as error:
        runs.load_runs(project)
    assert told in str(error.value)


@pytest.mark.parametrize(
    "content", ["", "[]", "tiny", "Big Name: {source: tiny.md, profiles: {quick: {}, paper: {}}}"]
)
def test_a_list_of_runs_that_is_none_is_refused(project, content):
    (project / "notebooks/runs.yml").write_text(content)
    with pytest.raises(ValueError, match=r"notebooks/runs\.yml"):
        runs.load_runs(project)


def cells(parameters: str, *others: str) -> list:
    return [
        new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        *map(new_code_cell, others),
    ]


@pytest.mark.parametrize(
    ("parameters", "other", "given", "told"),
    [
        (
            "points = 3",
            "points",
            {"pionts": 4},
            "x.md: unknown parameter 'pionts'; allowed are points",
        ),
        (
            "points = 3\nseed = 0",
            "print(points)",
            {},
            "x.md: parameter 'seed' is defined but no later cell reads it",
        ),
        (
            "points = 3",
            "points = 4",
            {},
            "parameter 'points' is defined but no later cell reads it",
        ),
        (
            "points = 3",
            "points",
            {"points": 3.5},
            "parameter 'points' must be of the kind of its default 3 (int), got 3.5 (float)",
        ),
        ("points = 3", "points", {"points": True}, "got True (bool)"),
        ("points = 3", "points", {"points": "3"}, "got '3' (str)"),
        ("radii = [0.5]", "radii", {"radii": [1, "2"]}, "parameter 'radii' must be of the kind"),
        ("radii = [0.5]", "radii", {"radii": 1.0}, "parameter 'radii' must be of the kind"),
        (
            "points = 3 * 4",
            "points",
            {},
            "the parameters cell must hold plain literals such as points = 300 only, "
            "got 'points = 3 * 4'",
        ),
        ("import os", "os", {}, "the parameters cell must hold plain literals"),
        (
            "points = 3",
            "%matplotlib inline",
            {},
            "x.md: a code cell must be plain Python, got '%matplotlib inline'",
        ),
    ],
)
def test_parameters_that_do_not_fit_are_refused(parameters, other, given, told):
    with pytest.raises(ValueError, match=r"x\.md") as error:
        runs.check_parameters("x.md", cells(parameters, other), given)
    assert told in str(error.value)


def test_parameters_that_fit_pass():
    given = {"scale": 2, "radii": [1, 2.5], "names": ["a"]}
    runs.check_parameters(
        "x.md",
        cells("scale = 1.0\nradii = [0.5]\nnames = []", "def f():\n    return scale, radii, names"),
        given,
    )
    assert given["scale"] == 2
    runs.check_parameters("x.md", cells("points = None", "print(globals())"), {"points": [1]})


@pytest.mark.parametrize("tagged", [(), (1,), (0, 1)])
def test_the_first_code_cell_alone_holds_the_parameters(tagged):
    made = [
        new_code_cell(f"x = {place}", metadata={"tags": ["parameters"] if place in tagged else []})
        for place in (0, 1)
    ]
    with pytest.raises(
        ValueError, match="the first code cell, and no other, must be tagged 'parameters'"
    ):
        runs.check_parameters("x.md", made, {})


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ([], "exactly one object .* got 0"),
        ([{"run": "a", "rerun": True, "reason": ""}] * 2, "exactly one object .* got 2"),
        ([{"run": "a", "rerun": 1, "reason": ""}], "an outcome must be"),
        ([{"run": "a", "rerun": True}], "an outcome must be"),
        (["done"], "an outcome must be"),
        ([{"run": "a", "rerun": False, "reason": ""}], "must give its reason"),
    ],
)
def test_an_outcome_that_says_too_little_is_an_error(told, complaint):
    outputs = [new_output("display_data", {runs.OUTCOME: state}) for state in told]
    with pytest.raises(BookError, match=complaint):
        runs.outcome_of(new_notebook(cells=[new_code_cell(outputs=outputs)]))


def test_two_executions_give_the_same_bytes_and_are_not_stale(project):
    assert execute(project, seed=5) == Ending("tiny", True, "")
    first = staged(project).read_bytes()
    assert not jobs.stale(project)
    staged(project).unlink()
    execute(project, seed=5)
    assert staged(project).read_bytes() == first
    notebook = json.loads(first)
    assert notebook["metadata"].keys() == {"kernelspec", "language_info", "lbrs"}
    assert {
        key: notebook["metadata"]["lbrs"][key] for key in ("run", "profile", "seed", "device")
    } == {"run": "tiny", "profile": "quick", "seed": 5, "device": "cpu"}
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["metadata"].get("tags", []) for cell in code] == [
        ["parameters", "remove-cell"],
        ["injected-parameters", "remove-cell"],
        [],
        [],
    ]
    assert all(cell["metadata"].keys() <= {"tags"} for cell in code)
    assert code[2]["outputs"][0]["data"]["text/plain"] == ["quick 5 cpu 2.0"]
    assert code[3]["outputs"][0]["text"] == ["2\n"]


def test_what_an_execution_depends_on_makes_it_stale(project, monkeypatch):
    pretend(project)
    assert not jobs.stale(project)
    for change in (
        lambda: (project / "notebooks/tiny.md").write_text(text(last="print(points + 1)")),
        lambda: (project / "notebooks/runs.yml").write_text(
            "tiny: {source: tiny.md, profiles: {quick: {points: 9}, paper: {}}}"
        ),
        lambda: monkeypatch.setattr(jobs, "sources_hash", lambda: "other"),
        lambda: (
            (project / "book/records").mkdir(),
            (project / "book/records/tiny-paper-0.json").write_text("{}"),
        ),
        lambda: staged(project).write_text("{half"),
        lambda: staged(project).unlink(),
    ):
        change()
        assert [job.name for job in jobs.stale(project)] == ["tiny"]
        pretend(project)
        assert not jobs.stale(project)


def test_a_stale_run_is_asked_for_as_it_was_executed_last(project):
    (job,) = jobs.stale(project)
    assert (job.parameters["profile"], job.parameters["seed"], job.parameters["device"]) == (
        "quick",
        0,
        "auto",
    )
    pretend(project, profile="paper", seed=7, device="cpu")
    (project / "notebooks/tiny.md").write_text(text(last="points"))
    (job,) = jobs.stale(project)
    assert (job.parameters["profile"], job.parameters["seed"], job.parameters["device"]) == (
        "paper",
        7,
        "cpu",
    )


def test_a_run_that_showed_the_published_record_is_asked_for_again(project):
    pretend(project, rerun=False)
    assert [job.name for job in jobs.stale(project)] == ["tiny"]


@pytest.mark.parametrize(
    ("notebook", "error", "why"),
    [
        (
            text(last='print(points)\nraise RuntimeError("\\n---\\nthe reason\\nadvice")'),
            BookError,
            "RuntimeError: the reason",
        ),
        (
            text(state='state = {"run": run, "rerun": True, "reason": ""}'),
            BookError,
            "exactly one object",
        ),
        (
            text(state=STATE.replace('"run": run', '"run": run and "huge"')),
            BookError,
            "tells the outcome of run 'huge', but it was executed as 'tiny'",
        ),
        (
            text(last="import os\nprint(points)\nos.kill(os.getpid(), 9)"),
            BookError,
            "its kernel was killed; was there enough memory?",
        ),
        (
            text(last="import time\nprint(points)\ntime.sleep(60)"),
            BookError,
            "a cell took longer than 2 s and was stopped",
        ),
        (
            text(parameters=PARAMETERS + "\nspare = 1"),
            ValueError,
            "parameter 'spare' is defined but no later cell reads it",
        ),
    ],
)
def test_a_failure_says_why_and_leaves_the_staged_notebook_as_it_was(
    project, monkeypatch, notebook, error, why
):
    pretend(project)
    before = staged(project).read_bytes()
    (project / "notebooks/tiny.md").write_text(notebook)
    if "sleep" in notebook:
        monkeypatch.setitem(jobs.TIMEOUT, "quick", 2)
    with pytest.raises(error) as failure:
        execute(project)
    assert why in str(failure.value).splitlines()[-1]
    assert staged(project).read_bytes() == before
    assert [path.name for path in staged(project).parent.iterdir()] == ["tiny.ipynb"]


def test_the_whole_error_of_a_cell_is_logged_without_colours(project):
    (project / "notebooks/tiny.md").write_text(text(last="print(points)\n1 / 0"))
    with pytest.raises(
        BookError,
        match=r"notebooks/tiny\.md failed; the whole error is in _build/logs/tiny\.log\n"
        r"ZeroDivisionError: division by zero",
    ):
        execute(project)
    log = (project / "_build/logs/tiny.log").read_text()
    assert "1 / 0" in log and "\x1b" not in log
    assert not staged(project).exists()


def test_the_stage_holds_the_pages_of_now_and_nothing_else(project):
    with pytest.raises(BookError, match=r"not executed yet: notebooks/tiny\.ipynb"):
        build.stage(project)
    pretend(project)
    (project / "book/_static").mkdir()
    (project / "book/_static/a.css").write_text("")
    (project / "book/.hidden").write_text("")
    (project / "book/gone").mkdir()
    (project / "book/gone/page.md").write_text("# Gone\n")
    folder = build.stage(project)
    assert (folder / "book/gone/page.md").is_file()
    (project / "book/gone/page.md").unlink()
    (folder / "notebooks/old.ipynb").write_text("{}")
    build.stage(project)
    assert sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    ) == ["_config.yml", "_toc.yml", "book/_static/a.css", "book/intro.md", "notebooks/tiny.ipynb"]
    assert not (folder / "book/gone").exists()


def test_a_chapter_is_executed_without_parameters_and_staged_at_its_place(project):
    (project / "book/theory").mkdir()
    (project / "book/theory/linear.md").write_text(
        FRONT + "\n# Linear\n\n```{code-cell} ipython3\n1 + 1\n```\n"
    )
    pretend(project)
    (job,) = jobs.stale(project)
    assert (job.name, notebooks.perform(job)) == ("book/theory/linear", None)
    assert not jobs.stale(project)
    build.stage(project)
    assert job.target == project / "_build/source/book/theory/linear.ipynb"
    assert not job.target.with_suffix(".md").exists()
    assert "2" in json.loads(job.target.read_text())["cells"][1]["outputs"][0]["data"]["text/plain"]


def test_the_site_is_built_whole_or_stays_as_it_was(project):
    pretend(project)
    notebook = json.loads(staged(project).read_text())
    notebook["cells"].insert(
        0, {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# Tiny"}
    )
    staged(project).write_text(json.dumps(notebook))
    index = build.render(project)
    assert index == project / "_build/html/index.html"
    page = project / "_build/html/book/intro.html"
    before = page.read_bytes()
    assert b"The page" in before
    (project / "book/intro.md").write_text("# The page\n\n[nowhere](missing.md)\n")
    with pytest.raises(BookError, match=r"_build/logs/site\.log") as error:
        build.render(project)
    assert "WARNING" in str(error.value) and "missing.md" in str(error.value)
    assert page.read_bytes() == before


def test_the_site_is_built_in_the_environment_of_the_kernels(project, monkeypatch):
    """Without docstrings, say, the pages on the API would be empty."""
    given = []

    def run(command, *, env, **options):
        given.append(env)
        return subprocess.CompletedProcess(command, 1, stdout="")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    pretend(project)
    with pytest.raises(BookError, match="jupyter-book failed"):
        build.render(project)
    assert "PYTHONOPTIMIZE" not in given[-1] and given[-1]["NO_COLOR"] == "1"
    assert Path(given[-1]["MPLCONFIGDIR"]) == project / "_build/matplotlib"


def test_the_title_of_a_run_replaces_the_first_heading_of_its_notebook(project):
    listed = project / "notebooks/runs.yml"
    listed.write_text(listed.read_text().replace("  source:", "  title: Of its own\n  source:"))
    execute(project)
    assert "".join(json.loads(staged(project).read_text())["cells"][0]["source"]) == "# Of its own"
    listed.write_text(listed.read_text().replace("Of its own", "3"))
    with pytest.raises(ValueError, match="title must be text, got 3"):
        runs.load_runs(project)
