"""The one environment in which notebooks compute, whoever starts them: no file and no variable of a
user's own configuration changes a page.

`python -m lbrs.website.kernel COMMAND...` runs a command in it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lbrs._files import workplace, write_text
from lbrs.experiments.records import find_project
from lbrs.experiments.runs import BookError, plain_environment, replaced_environment
from lbrs.experiments.sources import identity

CACHE = Path("_build/matplotlib")
"""Where Matplotlib keeps its list of fonts."""

NO_FOLDER = "--IPKernelApp.ignore_cwd=True"
"""No file of the folder that a kernel works in is a module, whatever its name."""

PROBE = """
import os
from ipykernel.kernelapp import IPKernelApp
import lbrs

place = os.path.dirname(os.path.realpath(lbrs.__file__))
try:
    from lbrs.experiments.sources import identity
    found = identity()
except ImportError:
    found = place
if found != expected:
    raise RuntimeError(
        f"the kernel has the lbrs of {found}, the command that of {expected}: "
        "run `make setup`, and look at PYTHONPATH"
    )
if not __debug__:
    raise RuntimeError("the kernel runs without assertions: no check on a page would ever fail")
read = IPKernelApp.instance().loaded_config_files
if read:
    raise RuntimeError(f"the kernel has read a configuration, move it away: {', '.join(read)}")
print(found)
"""


def probe() -> str:
    """The code of a first cell, which leaves no name behind: it says which lbrs the kernel has, and
    refuses another one than runs here, a user's configuration, and checks that cannot fail."""
    return f"exec({PROBE!r}, {{'expected': {identity()!r}}})"


@contextmanager
def surroundings(root: Path) -> Iterator[dict[str, str]]:
    """The variables of a process that runs kernels in the project at `root`, with the empty folders
    that they name.

    They choose this Python, figures inline and, on a terminal, the path by which a kernel can draw
    progress bars there.

    Raises:
        BookError: where Matplotlib would read a configuration whatever its variables say.
    """
    if (root / "matplotlibrc").exists():
        raise BookError(f"figures would follow {root / 'matplotlibrc'}: move it away")
    with workplace(Path(tempfile.gettempdir()), "lbrs-kernel-") as home:
        fonts = root / CACHE
        _name_kernel(home / "kernels/python3")
        (home / "matplotlibrc").touch()
        given = {
            "IPYTHONDIR": str(home / "ipython"),
            "JUPYTER_CONFIG_DIR": str(home / "jupyter"),
            "JUPYTER_DATA_DIR": str(home),
            "JUPYTER_PATH": str(home),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "MATPLOTLIBRC": str(home / "matplotlibrc"),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "MPLCONFIGDIR": str(fonts),
        }
        if os.isatty(2):
            given["LBRS_PROGRESS"] = os.ttyname(2)
        environment = plain_environment() | given
        _list_fonts(fonts, home / "fonts", environment)
        yield environment


@contextmanager
def kernels(root: Path) -> Iterator[None]:
    """Kernels that this process starts meanwhile are given the surroundings."""
    with surroundings(root) as environment, replaced_environment(environment):
        yield


def _name_kernel(folder: Path) -> None:
    """Say there that the kernel of a notebook is this Python."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", NO_FOLDER]
    told = {"argv": command, "display_name": "Python 3 (ipykernel)", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(told), encoding="utf-8")


def _list_fonts(folder: Path, aside: Path, environment: dict[str, str]) -> None:
    """Let Matplotlib list the fonts once: a kernel that has to do so may say it on the page.

    It does so `aside`: the lock of one that was killed would hold up all others."""
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.glob("fontlist-*.json")):
        listing = [sys.executable, "-c", "import matplotlib.font_manager"]
        variables = environment | {"MPLCONFIGDIR": str(aside)}
        subprocess.run(listing, env=variables, capture_output=True)
        for made in aside.glob("fontlist-*.json"):
            write_text(folder / made.name, made.read_text(encoding="utf-8"))


def main(command: list[str]) -> int:
    """Run a command in the surroundings; returns its exit status."""
    with surroundings(find_project()) as environment:
        process = subprocess.Popen(command, env=environment)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return process.wait()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (BookError, OSError, ValueError) as error:
        sys.exit(str(error))
