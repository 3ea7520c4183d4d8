"""Whatever a user has configured, a notebook becomes the same page, or one line says why not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lbrs.experiments import sources
from lbrs.experiments.runs import BookError
from lbrs.experiments.runs import replaced_environment as replaced
from lbrs.website import kernel, notebooks
from lbrs.website.jobs import Job

HEADER = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# A page
"""
PAGE = f"""{HEADER}
```{{code-cell}} python
import builtins, locale, sys, warnings
import matplotlib, numpy as np

def fails(check):
    try:
        assert check
    except AssertionError:
        return True

given = {{"In", "Out", "exit", "get_ipython", "open", "quit"}}
print(sorted(name for name in globals().keys() - given if not name.startswith("_")))
print(all is builtins.all, fails(all([np.array(False)])), fails(False))
print("\N{GREEK SMALL LETTER ALPHA}")
print(sys.executable, sys.flags.optimize, sys.flags.no_user_site, sys.stdout.encoding)
print(locale.getpreferredencoding(), warnings.filters[:1], print.__doc__ is None)
```

```{{code-cell}} python
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(2, 1))
axes.plot([0, 1], [1, 0], label="a line")
axes.legend()
print(matplotlib.get_backend(), len(plt.rcParams))
```
"""
THICK = "lines.linewidth: 9\n"
PYLAB = "c = get_config()\nc.InteractiveShellApp.pylab = 'inline'\n"
LINES = "c = get_config()\nc.InteractiveShellApp.exec_lines = ['all = len']\n"
KERNEL = (
    '{"argv": ["false", "{connection_file}"], "display_name": "Python 3", "language": "python"}'
)
PROFILE = "ipython/profile_default"
HOSTILE: dict[str, tuple[dict[str, str | None], dict[str, str]]] = {
    "no assertions": ({"PYTHONOPTIMIZE": "1"}, {}),
    "no docstrings": ({"PYTHONOPTIMIZE": "2"}, {}),
    "a start-up file": ({"PYTHONSTARTUP": "{user}/start.py"}, {"start.py": "all = len\n"}),
    "warnings as errors": ({"PYTHONWARNINGS": "error"}, {}),
    "a Python elsewhere": ({"PYTHONHOME": "{user}"}, {}),
    "no packages of the user's": ({"PYTHONNOUSERSITE": "1"}, {}),
    "texts in ASCII": (
        {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"},
        {},
    ),
    "a locale that is none": ({"LANG": "xx_YY", "LC_NUMERIC": "tr_TR.UTF-8", "LC_ALL": None}, {}),
    "figures to files": ({"MPLBACKEND": "Agg"}, {}),
    "a backend that is none": ({"MPLBACKEND": "module://nowhere"}, {}),
    "Matplotlib by a file": ({"MATPLOTLIBRC": "{user}/matplotlibrc"}, {"matplotlibrc": THICK}),
    "Matplotlib by a folder": ({"MPLCONFIGDIR": "{user}"}, {"matplotlibrc": THICK}),
    "Matplotlib by XDG": ({"XDG_CONFIG_HOME": "{user}"}, {"matplotlib/matplotlibrc": THICK}),
    "IPython with pylab": (
        {"IPYTHONDIR": "{user}/ipython"},
        {f"{PROFILE}/ipython_config.py": PYLAB},
    ),
    "IPython with lines to begin with": (
        {"IPYTHONDIR": "{user}/ipython"},
        {f"{PROFILE}/ipython_kernel_config.py": LINES},
    ),
    "IPython with start-up files": (
        {"IPYTHONDIR": "{user}/ipython"},
        {f"{PROFILE}/startup/00.py": "all = len\n"},
    ),
    "IPython with other figures": (
        {"IPYTHONDIR": "{user}/ipython"},
        {
            f"{PROFILE}/ipython_config.py": "c = get_config()\n"
            "c.InlineBackend.figure_formats = {'svg'}\nc.InlineBackend.rc = {'font.size': 3}\n"
        },
    ),
    "a home with all of it": (
        {"HOME": "{user}", "XDG_CONFIG_HOME": None, "IPYTHONDIR": None, "MPLCONFIGDIR": None},
        {
            ".config/matplotlib/matplotlibrc": THICK,
            ".matplotlib/matplotlibrc": THICK,
            f".{PROFILE}/ipython_config.py": PYLAB + LINES,
            ".local/share/jupyter/kernels/python3/kernel.json": KERNEL,
        },
    ),
    "no home": ({"HOME": None}, {}),
    "a home that is a file": ({"HOME": "{user}/home"}, {"home": ""}),
    "another kernel": ({"JUPYTER_PATH": "{user}"}, {"kernels/python3/kernel.json": KERNEL}),
    "another kernel of the user's": (
        {"JUPYTER_DATA_DIR": "{user}", "JUPYTER_PREFER_ENV_PATH": "0"},
        {"kernels/python3/kernel.json": KERNEL},
    ),
    "nowhere to say where a kernel is": (
        {"JUPYTER_RUNTIME_DIR": "{user}/file", "JUPYTER_CONFIG_DIR": "{user}/file"},
        {"file": ""},
    ),
    "a terminal of one column": ({"TERM": None, "COLUMNS": "1", "LINES": "1"}, {}),
    "a time zone that is none": ({"TZ": "No/Where"}, {}),
    "no temporary folder": ({"TMPDIR": "{user}/nowhere", "TEMP": None, "TMP": None}, {}),
    "modules with the names of others": (
        {"PYTHONSAFEPATH": None},
        {"../project/numpy.py": "1 / 0\n", "../project/lbrs/__init__.py": "1 / 0\n"},
    ),
    "no progress bars": ({"TQDM_DISABLE": "1", "LBRS_PROGRESS": "{user}/nowhere"}, {}),
}


@pytest.fixture
def hostile(request, monkeypatch, tmp_path):
    """The environment that the test's parameter names."""
    variables, files = HOSTILE[request.param]
    for name, text in files.items():
        (tmp_path / "user" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "user" / name).write_text(text)
    for name, value in variables.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value.replace("{user}", str(tmp_path / "user")))


def chapter(root: Path, text: str) -> Job:
    """A page of the project at `root`."""
    source = root / "book/page.md"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(text, encoding="utf-8")
    return Job("book/page", root, source, root / "_build/source/book/page.ipynb", {})


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    """The executed page, where nothing is configured."""
    job = chapter(tmp_path_factory.mktemp("plain"), PAGE)
    notebooks.perform(job)
    text = job.target.read_text(encoding="utf-8")
    assert "['builtins', 'fails', 'given', 'locale', 'matplotlib', 'np', 'sys', 'warnings']" in text
    assert (
        "image/png" in text and "True True True" in text and "\N{GREEK SMALL LETTER ALPHA}" in text
    )
    return text


@pytest.mark.slow
@pytest.mark.parametrize("hostile", HOSTILE, indirect=True)
def test_a_page_is_the_same_whatever_is_configured(page, hostile, tmp_path):
    job = chapter(tmp_path / "project", PAGE)
    notebooks.perform(job)
    assert job.target.read_text(encoding="utf-8") == page


def refused(job: Job) -> str:
    """Why the page is not executed."""
    with pytest.raises(BookError) as error:
        notebooks.perform(job)
    assert not job.target.exists()
    return str(error.value).splitlines()[-1]


@pytest.mark.parametrize("how", ["by PYTHONPATH", "without a page"])
def test_a_kernel_with_another_lbrs_executes_nothing(tmp_path, monkeypatch, how):
    job = chapter(tmp_path / "project", f"{HEADER}\n```{{code-cell}} python\nopen('x', 'w')\n```\n")
    other = tmp_path / "other/lbrs"
    if "page" in how:
        other.mkdir(parents=True)
        (other / "__init__.py").touch()
    else:
        shutil.copytree(sources.HOME, other, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("PYTHONPATH", str(other.parent))
    told = refused(job)
    assert f"the kernel has the lbrs of {other}" in told
    assert f"the command that of {sources.identity()}: run `make setup`" in told
    assert not (job.root / "x").exists()


@pytest.mark.parametrize(
    ("added", "told"),
    [
        ({"PYTHONOPTIMIZE": "1"}, "the kernel runs without assertions: no check on a page would"),
        ({"IPYTHONDIR": "{}"}, "the kernel has read a configuration, move it away: {}/profile_"),
    ],
)
def test_a_kernel_in_which_a_check_cannot_fail_is_refused(tmp_path, monkeypatch, added, told):
    job = chapter(tmp_path, f"{HEADER}\n```{{code-cell}} python\nassert False\n```\n")
    (tmp_path / "profile_default").mkdir()
    (tmp_path / "profile_default/ipython_config.py").write_text(PYLAB)
    extra = {name: value.format(tmp_path) for name, value in added.items()}
    monkeypatch.setattr(kernel, "replaced_environment", lambda given: replaced(given | extra))
    assert told.format(tmp_path) in refused(job)


def test_a_configuration_of_matplotlib_beside_the_pages_is_refused(tmp_path):
    job = chapter(tmp_path, PAGE)
    (tmp_path / "matplotlibrc").write_text(THICK)
    assert refused(job) == f"figures would follow {tmp_path / 'matplotlibrc'}: move it away"


@pytest.mark.parametrize("terminal", [None, "the terminal"])
def test_a_kernel_can_find_the_terminal(monkeypatch, tmp_path, terminal):
    monkeypatch.setattr(os, "isatty", lambda handle: handle == 2 and terminal is not None)
    monkeypatch.setattr(os, "ttyname", lambda handle: terminal)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("LBRS_PROGRESS", "left over")
    before = dict(os.environ)
    with kernel.kernels(tmp_path):
        assert os.environ.get("LBRS_PROGRESS") == terminal
        assert os.environ["MPLBACKEND"] == "module://matplotlib_inline.backend_inline"
        assert os.environ["OMP_NUM_THREADS"] == "1"
        assert Path(os.environ["JUPYTER_PATH"], "kernels/python3/kernel.json").is_file()
        left = os.environ["JUPYTER_PATH"]
    assert dict(os.environ) == before and not Path(left).exists()


def test_the_fonts_are_listed_before_any_kernel_needs_them(tmp_path):
    with kernel.surroundings(tmp_path) as environment:
        (fonts,) = (tmp_path / kernel.CACHE).glob("fontlist-*.json")
        assert Path(environment["MPLCONFIGDIR"]) == fonts.parent
    listed = fonts.stat().st_mtime_ns
    with kernel.surroundings(tmp_path):
        assert fonts.stat().st_mtime_ns == listed


def test_a_list_of_fonts_that_was_killed_holds_up_nobody(tmp_path):
    with kernel.surroundings(tmp_path):
        (fonts,) = (tmp_path / kernel.CACHE).iterdir()
    fonts.rename(fonts.with_suffix(".json.matplotlib-lock"))
    with kernel.surroundings(tmp_path):
        assert fonts.is_file()


def in_it(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess:
    """`command` run by the module."""
    return subprocess.run(
        [sys.executable, "-m", "lbrs.website.kernel", *command],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def project(tmp_path):
    (tmp_path / "notebooks").mkdir()
    for name in ("_toc.yml", "notebooks/runs.yml"):
        (tmp_path / name).touch()
    return tmp_path


def test_a_command_is_run_in_the_environment(project):
    code = "import os, sys; print(os.environ['MPLBACKEND'], sys.flags.optimize); sys.exit(3)"
    done = in_it(project, sys.executable, "-c", code, PYTHONOPTIMIZE="1", MPLBACKEND="Agg")
    told = "module://matplotlib_inline.backend_inline 0\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, told, "")


def test_a_command_that_cannot_be_run_is_told_in_a_line(project):
    (project / "matplotlibrc").touch()
    done = in_it(project, "true")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    (project / "matplotlibrc").unlink()
    done = in_it(project, "no-such-command")
    assert done.returncode == 1 and "no-such-command" in done.stderr.splitlines()[-1]
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_nbval_finds_the_same_outputs_whatever_is_configured(project, tmp_path):
    job = chapter(project, PAGE)
    notebooks.perform(job)
    profile = tmp_path / PROFILE / "ipython_config.py"
    profile.parent.mkdir(parents=True)
    profile.write_text(PYLAB + LINES)
    nbval = [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env"]
    hostile = {
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "MPLBACKEND": "Agg",
        "PYTHONOPTIMIZE": "1",
        "PYTEST_ADDOPTS": "",
    }
    done = in_it(project, *nbval, "--rootdir", str(project), str(job.target), **hostile)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout
