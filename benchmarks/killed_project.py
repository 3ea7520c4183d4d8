"""What `kills.py` kills commands in: a project of two small runs and a chapter, and a mirror of
MNIST with few images."""

import gzip
import hashlib
import random
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

PLACES = {"data": "data"}
"""Folders beside the project in which a command works."""
HEADER = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
"""
CHAPTER = HEADER + "\n# A chapter\n\nWORD\n\n```{code-cell} python\nprint('WORD')\n```\n"
NOTEBOOK = """
# An experiment

```{code-cell} python
:tags: [parameters]

run = ""
profile = "quick"
seed = 0
device = "auto"
DEFAULTS
```

```{code-cell} python
from lbrs.experiments.plan import asked
from lbrs.experiments.running import run_or_published

run_or_published(asked("KIND", globals()))
```
"""
RUNS = {
    "spiral": "{train_points: 60, reference_points: 30, test_points: 50, raster: 8, "
    "exact_points: 3, exact_alphas: [0, 1]}",
    "digits": "{dataset: digits, test_points: 30, epochs: 40, sigma_points: 3, radius_points: 2, "
    "samples: 40, channels: [4, 4, 4]}",
}
LISTED = (
    "{name}: {{source: {source}, parameters: {given}, profiles: {{quick: {{}}, paper: {{}}}}}}\n"
)
SETTINGS = """title: A project
execute: {execute_notebooks: "off"}
sphinx: {config: {suppress_warnings: [myst.domains, mystnb.unknown_mime_type]}}
"""
CONTENTS = """format: jb-book
root: book/intro
chapters: [{file: book/chapter}, {file: notebooks/spiral}, {file: notebooks/digits}]
"""


def lay(root: Path) -> None:
    """Write the project."""
    files = {
        "notebooks/spiral.md": _notebook("spiral", RUNS["spiral"]),
        "notebooks/images.md": _notebook("images", RUNS["digits"]),
        "notebooks/runs.yml": "".join(
            LISTED.format(name=name, source=source, given=RUNS[name])
            for name, source in (("spiral", "spiral.md"), ("digits", "images.md"))
        ),
        "_config.yml": SETTINGS,
        "_toc.yml": CONTENTS,
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    rewrite(root, "old")


def rewrite(root: Path, word: str = "new") -> None:
    """Let the pages say this word."""
    (root / "book").mkdir(exist_ok=True)
    (root / "book/intro.md").write_text(f"# The page\n\nThe {word} one.\n")
    (root / "book/chapter.md").write_text(CHAPTER.replace("WORD", word))


def _notebook(kind: str, parameters: str) -> str:
    """An experiment that takes these."""
    defaults = "\n".join(f"{name} = None" for name in yaml.safe_load(parameters))
    return HEADER + NOTEBOOK.replace("KIND", kind).replace("DEFAULTS", defaults)


def _images(seed: int, count: int) -> bytes:
    pixels = random.Random(seed).randbytes(count * 28 * 28)
    return struct.pack(">IIII", 0x803, count, 28, 28) + pixels


def _labels(seed: int, count: int) -> bytes:
    return struct.pack(">II", 0x801, count) + bytes(random.Random(seed).choices(range(10), k=count))


FILES = {
    "train-images-idx3-ubyte": _images(0, 400),
    "train-labels-idx1-ubyte": _labels(1, 400),
    "t10k-images-idx3-ubyte": _images(2, 100),
    "t10k-labels-idx1-ubyte": _labels(3, 100),
}
PACKED = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in FILES.items()}


def _sums(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.md5(content).hexdigest() for name, content in files.items()}


FETCH = f"""
import os
from torchvision.datasets import MNIST
from lbrs.cli import app
from lbrs.experiments import data
MNIST.mirrors = [os.environ["LBRS_MIRROR"]]
MNIST.resources = {list(_sums(PACKED).items())!r}
data._MNIST_SUMS = {_sums(FILES)!r}
app()
"""
"""The command, which takes the mirror for the place where MNIST is published."""


class _Mirror(BaseHTTPRequestHandler):
    """Gives the files away slowly."""

    def do_GET(self) -> None:
        content = PACKED[self.path.lstrip("/")]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        step = max(1, len(content) // 5)
        for place in range(0, len(content), step):
            time.sleep(0.1)
            self.wfile.write(content[place : place + step])

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is none."""


@contextmanager
def mirror() -> Iterator[str]:
    """The address of the mirror."""
    with _Server(("127.0.0.1", 0), _Mirror) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
