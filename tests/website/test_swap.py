"""What a reader has is never lost: the website that stands is replaced whole or not at all,
whatever breaks in between."""

import ctypes
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lbrs import cli
from lbrs.experiments.runs import BookError
from lbrs.website import build, jobs, site

PAGES = ("index.html", "book/intro.html", "_static/deep/style.css")


def pages(folder: Path, word: str) -> Path:
    """A website of three files that hold `word`."""
    for name in PAGES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(word)
    return folder


def words(folder: Path) -> set[str]:
    """What the pages hold: one word where the website is whole."""
    return {(folder / name).read_text() for name in PAGES}


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A project with an old website, in which Jupyter Book makes a new one at once."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "notebooks/a.md").touch()
    profiles = "profiles: {quick: {}, paper: {}}"
    (tmp_path / "notebooks/runs.yml").write_text(f"a: {{source: a.md, {profiles}}}\n")
    pages(tmp_path / "_build/html", "old")
    made = "_build/html"
    monkeypatch.setattr(build, "_rendered", lambda root, folder: pages(folder / made, "new"))
    monkeypatch.setattr(jobs, "stale", lambda *asked: [])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lbrs_build():
    return CliRunner().invoke(cli.app, ["build"])


def left(root: Path) -> set[str]:
    """What lies in _build beside the lock."""
    return {path.name for path in (root / "_build").iterdir()} - {".lock"}


def assert_old(root: Path, result, told: str) -> None:
    """The build failed in one line, and the old website stands, with nothing beside it."""
    assert (result.exit_code, result.stdout) == (1, "")
    assert told in result.stderr and len(result.stderr.splitlines()) == 1
    assert words(root / "_build/html") == {"old"}
    assert left(root) == {"html"}


@pytest.fixture(params=["exchanged", "renamed"])
def way(request, monkeypatch) -> str:
    """Both ways to swap: the one that every system knows is taken where the other is not there."""
    if request.param == "renamed":
        monkeypatch.setattr(site, "_exchanged", lambda one, other: False)
    return request.param


def test_the_new_site_takes_the_place_of_the_old_one(root, way):
    result = lbrs_build()
    assert (result.exit_code, result.stdout) == (0, f"{root / '_build/html/index.html'}\n")
    assert words(root / "_build/html") == {"new"}
    assert left(root) == {"html"}


def refuse(path: Path, *others: object) -> None:
    """As os.replace, for a user who may not."""
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


@pytest.mark.parametrize("where", [(os, "replace"), (site, "_exchanged")])
def test_a_site_that_cannot_be_moved_stands(root, monkeypatch, where):
    monkeypatch.setattr(site, "_exchanged", lambda one, other: False)
    monkeypatch.setattr(*where, refuse)
    assert_old(root, lbrs_build(), "Permission denied")


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EINVAL, errno.EACCES, None])
def test_only_a_system_that_knows_no_exchange_is_helped(tmp_path, monkeypatch, code):
    class Library:
        if code is not None:
            renameat2 = staticmethod(lambda *places: -1)

    monkeypatch.setattr(ctypes, "CDLL", lambda *name, **how: Library)
    monkeypatch.setattr(ctypes, "get_errno", lambda: code)
    if code == errno.EACCES:
        with pytest.raises(PermissionError):
            site._exchanged(tmp_path, tmp_path)
    else:
        assert not site._exchanged(tmp_path, tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems rename twice")
def test_there_is_no_moment_without_a_site(root):
    """Somebody reads all the time, while it is replaced a hundred times."""
    place, seen, ended = root / "_build/html", [], threading.Event()

    def look():
        while not ended.is_set():
            seen.append(site_is_there(place))

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(100):
        site.swap(pages(root / "_build/made", str(number)), place)
    ended.set()
    reader.join()
    assert len(seen) > 100 and all(seen) and words(place) == {"99"}


def site_is_there(place: Path) -> bool:
    """Whether it can be entered."""
    try:
        os.close(os.open(place, os.O_RDONLY))
        return True
    except FileNotFoundError:
        return False


def test_a_site_goes_back_where_the_new_one_cannot_come_in(root, monkeypatch):
    replace, moved = os.replace, []
    monkeypatch.setattr(site, "_exchanged", lambda one, other: False)

    def once(source, target):
        moved.append(source)
        if len(moved) == 2:
            refuse(source)
        replace(source, target)

    monkeypatch.setattr(os, "replace", once)
    assert_old(root, lbrs_build(), "Permission denied")
    assert len(moved) == 3


def test_a_part_that_belongs_to_another_user_is_seen_while_the_site_is_whole(root, monkeypatch):
    foreign = root / "_build/html/_static/deep"
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != foreign)
    assert_old(root, lbrs_build(), f"{foreign} may not be changed by this user")


def test_an_old_site_that_cannot_be_deleted_is_named_and_the_new_one_is_whole(
    root, monkeypatch, way
):
    remove, old = shutil.rmtree, ".html-new" if way == "exchanged" else ".html-old"

    def but_the_old(path, *options, **named):
        refuse(path) if Path(path).name == old else remove(path, *options, **named)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", but_the_old)
        result = lbrs_build()
    assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1
    assert f"{root / '_build' / old} is left of a build" in result.stderr
    assert words(root / "_build/html") == {"new"}
    assert lbrs_build().exit_code == 0
    assert left(root) == {"html"}


def test_a_full_disk_leaves_the_old_site(root, monkeypatch):
    def full(root, folder):
        pages(folder, "half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(build, "_rendered", full)
    assert_old(root, lbrs_build(), "No space left on device")


def test_a_disk_that_is_full_only_beside_the_site_leaves_the_old_one(root, monkeypatch):
    def full(source, target):
        pages(Path(target), "half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "move", full)
    assert_old(root, lbrs_build(), "No space left on device")


def test_a_failed_build_leaves_no_rubbish(root, monkeypatch):
    def fail(root, folder):
        pages(folder, "half")
        raise BookError("jupyter-book failed")

    monkeypatch.setattr(build, "_rendered", fail)
    assert_old(root, lbrs_build(), "jupyter-book failed")


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_one_and_what_it_leads_to_is_replaced(root, tmp_path, there):
    real = tmp_path / "www/public"
    real.parent.mkdir()
    shutil.move(root / "_build/html", real)
    (root / "_build/html").symlink_to(real)
    if not there:
        shutil.rmtree(real.parent)
    result = lbrs_build()
    assert (result.exit_code, result.stdout) == (0, f"{root / '_build/html/index.html'}\n")
    assert (root / "_build/html").is_symlink() and words(real) == {"new"}
    assert [path.name for path in real.parent.iterdir()] == ["public"]
    assert left(root) == {"html"}


def test_a_link_to_another_file_system_is_served_too(root, monkeypatch):
    real = root / "elsewhere"
    shutil.move(root / "_build/html", real)
    (root / "_build/html").symlink_to(real)
    rename = os.rename

    def within(source, target):
        if "_build" in Path(source).parts and "_build" not in Path(target).parts:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(source, target)

    monkeypatch.setattr(os, "rename", within)
    assert lbrs_build().exit_code == 0
    assert words(real) == {"new"} and left(root) == {"html"}


@pytest.mark.parametrize("place", ["_build/html", "_build"])
def test_a_file_in_the_place_of_a_folder_is_one_line(root, place):
    shutil.rmtree(root / place, ignore_errors=True)
    (root / place).write_text("mine")
    result = lbrs_build()
    assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1
    assert str(root / place) in result.stderr
    assert (root / place).read_text() == "mine"


def test_a_link_to_itself_is_one_line(root):
    shutil.rmtree(root / "_build/html")
    (root / "_build/html").symlink_to("html")
    result = lbrs_build()
    assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1


def test_a_second_build_is_refused_with_the_process_of_the_first(root):
    with site.alone(root):
        assert_old(
            root, lbrs_build(), f"another build is at work in {root} (process {os.getpid()})"
        )
    assert lbrs_build().exit_code == 0


def test_the_lock_of_a_killed_build_holds_nobody(root):
    code = """
import os, sys, pathlib
from lbrs.website.site import alone
with alone(pathlib.Path(sys.argv[1])):
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code, str(root)])
    assert done.returncode == -signal.SIGKILL
    assert lbrs_build().exit_code == 0


@pytest.mark.parametrize(
    ("there", "stands"),
    [
        ({"html": "old", ".html-new": "new"}, "old"),
        ({".html-old": "old", ".html-new": "new"}, "old"),
        ({"html": "new", ".html-old": "old"}, "new"),
        ({"html": "new", ".html-new": "old"}, "new"),
        ({"html": "old", ".site-killed": "new"}, "old"),
    ],
)
def test_wherever_a_build_was_killed_the_next_one_mends_the_site_first(
    root, monkeypatch, there, stands
):
    shutil.rmtree(root / "_build")
    for name, word in there.items():
        pages(root / "_build" / name, word)

    def fail(root, folder):
        raise BookError("later")

    monkeypatch.setattr(build, "_rendered", fail)
    assert lbrs_build().exit_code == 1
    assert words(root / "_build/html") == {stands}
    assert left(root) == {"html"}


def test_jupyter_book_ends_with_the_command(tmp_path):
    """The one that renders reads from a pipe that its parent holds."""
    (tmp_path / "jupyter_book/cli").mkdir(parents=True)
    waiting = "import time\nprint('here', flush=True)\nmain = lambda: time.sleep(600)"
    (tmp_path / "jupyter_book/__init__.py").touch()
    (tmp_path / "jupyter_book/cli/main.py").write_text(waiting)
    with build._held() as door:
        process = subprocess.Popen(
            build.RENDERER, cwd=tmp_path, stdin=door, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "here\n" and process.poll() is None
    assert process.wait(60) == 1
    process.stdout.close()
