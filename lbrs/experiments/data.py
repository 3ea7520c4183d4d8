"""The binary tasks: spiral, digits, MNIST, CIFAR-10. No data set is part of this project; images come through torchvision."""

import contextlib
import hashlib
import io
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lbrs._checks import integer, number

DATASETS = ("mnist", "cifar10")
"""The data sets that are downloaded, by `lbrs fetch` or when first used."""

# Of MNIST, torchvision knows the sums of the compressed files only; these are of the files it unpacks them to.
_MNIST_SUMS = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


class DataError(RuntimeError):
    """Data that is missing, corrupt or cannot be downloaded; the text names the folder and the remedy."""


@dataclass(frozen=True)
class BinaryTask:
    """A binary classification task: float32 points (n, *shape), float64 labels (n,) in {-1, +1}.

    `train`, for the base classifier; `reference`, the N points of the oracle, disjoint from `train`; `test`.
    `test_indices` (n,) says which points of the source the test points are.
    """

    name: str
    train_x: Tensor
    train_y: Tensor
    reference_x: Tensor
    reference_y: Tensor
    test_x: Tensor
    test_y: Tensor
    test_indices: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one point."""
        return tuple(self.test_x.shape[1:])

    @property
    def test_hash(self) -> str:
        """SHA-256 of the test points' indices and labels, in order."""
        content = (
            self.test_indices.to(torch.int64).numpy().tobytes()
            + self.test_y.to(torch.int64).numpy().tobytes()
        )
        return hashlib.sha256(content).hexdigest()


def data_folder() -> Path:
    """Where the images lie: the folder named by the environment variable LBRS_DATA, else a cache folder of the user's."""
    named = os.environ.get("LBRS_DATA")
    if named:
        return Path(named).expanduser()
    cache = (
        Path.home() / "Library" / "Caches"
        if sys.platform == "darwin"
        else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    )
    return cache / "lbrs"


def spiral(
    seed: int,
    *,
    train_points: int = 800,
    reference_points: int = 200,
    test_points: int = 1000,
    turns: float = 1.0,
    jitter: float = 0.5,
) -> BinaryTask:
    """Two spiral arms of radius up to 10 in the plane, of opposite labels, with normal jitter; three independent samples.

    Parameters: the three sample sizes; `turns` of each arm; `jitter`, the standard deviation of the noise, in the units of x.
    """
    for name, value in (
        ("train_points", train_points),
        ("reference_points", reference_points),
        ("test_points", test_points),
    ):
        integer(name, value, low=2)
    number("turns", turns, low=0, open_low=True)
    number("jitter", jitter, low=0)
    rng = np.random.default_rng(seed)
    samples = []
    for n in (train_points, reference_points, test_points):
        y = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
        r = np.sqrt(rng.uniform(0, 1, n))
        angle = 2 * np.pi * turns * r + np.pi * (y < 0)
        x = 10 * r[:, None] * np.stack(
            [np.cos(angle), np.sin(angle)], 1
        ) + jitter * rng.standard_normal((n, 2))
        samples += [torch.from_numpy(x).float(), torch.from_numpy(y)]
    return BinaryTask("spiral", *samples, torch.arange(test_points))


def images(
    dataset: str,
    seed: int,
    *,
    positive: int = 8,
    reference_points: int = 10,
    test_points: int = 10_000,
) -> BinaryTask:
    """Label `positive` (+1) against the rest (-1), balanced, with pixels in [0, 1] and shape (channels, height, width).

    All images of the positive class and as many others, drawn by `seed`; of the training images, `reference_points` (half of each
    class) are held out for the oracle. Parameters: `dataset` "digits" (bundled with scikit-learn), "mnist" or "cifar10";
    `positive` 0 to 9; `test_points`, at most that many, half of each class. Raises DataError.
    """
    if dataset not in ("digits", *DATASETS):
        raise ValueError(f"dataset must be one of 'digits', 'mnist', 'cifar10', got {dataset!r}")
    if integer("positive", positive, low=0) > 9:
        raise ValueError(f"positive must be a class from 0 to 9, got {positive}")
    integer("reference_points", reference_points, low=2)
    rng = np.random.default_rng(seed)
    (train_x, train_c), (test_x, test_c) = _digits(rng) if dataset == "digits" else _load(dataset)
    train = _balanced(train_c == positive, rng)
    test = _balanced(test_c == positive, rng)
    test = _halves(test_c == positive, test, integer("test_points", test_points, low=2))
    reference = _halves(train_c == positive, train, reference_points)
    rest = np.setdiff1d(train, reference)
    parts = []
    for x, c, index in (
        (train_x, train_c, rest),
        (train_x, train_c, reference),
        (test_x, test_c, np.sort(test)),
    ):
        parts += [
            torch.from_numpy(x[index]).float() / 255,
            torch.where(torch.from_numpy(c[index]) == positive, 1.0, -1.0).double(),
        ]
    return BinaryTask(dataset, *parts, torch.from_numpy(np.sort(test)))


def _balanced(is_positive: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order of all positive indices and as many others."""
    positive, negative = np.flatnonzero(is_positive), np.flatnonzero(~is_positive)
    return rng.permutation(
        np.concatenate([positive, rng.choice(negative, len(positive), replace=False)])
    )


def _halves(is_positive: np.ndarray, index: np.ndarray, n: int) -> np.ndarray:
    """The first n of `index`, half of each class (one more of the positive class if n is odd)."""
    chosen = index[is_positive[index]][: n - n // 2], index[~is_positive[index]][: n // 2]
    return np.concatenate(chosen)


def _digits(rng: np.random.Generator) -> tuple:
    """scikit-learn's digits, grey values scaled to 0..255, one third set aside for testing."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, c = digits.images[:, None] * (255 / 16), digits.target
    order = rng.permutation(len(c))
    test, train = order[: len(c) // 3], order[len(c) // 3 :]
    return (x[train], c[train]), (x[test], c[test])


def fetch(dataset: str) -> Path:
    """Make sure that `dataset` lies complete and intact in the data folder, downloading what is missing; returns the folder.

    Files are downloaded beside their place and moved there once their sums are right. Raises DataError.
    """
    if dataset not in DATASETS:
        raise ValueError(
            f"dataset must be one of {', '.join(map(repr, DATASETS))}, got {dataset!r}"
        )
    folder, files = data_folder(), _files(dataset)
    missing = _missing(dataset, folder)
    if not missing:
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as temporary, _quiet():
            _dataset(dataset)(temporary, download=True)
            for file in missing:
                if not _intact(Path(temporary) / file, files[file]):
                    raise RuntimeError(f"{file} was not downloaded intact")
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(temporary) / file, folder / file)
    except (RuntimeError, OSError, HTTPException, EOFError, ValueError) as error:
        reason = (
            (str(error).strip() or type(error).__name__)
            .splitlines()[-1]
            .replace("<urlopen error", "")
            .strip("<> ")
        )
        raise DataError(
            f"{dataset} is not in {folder} and could not be downloaded ({reason}). Remedy: connect to the internet and run "
            f"`lbrs fetch {dataset}`, or set LBRS_DATA to a folder that holds {next(iter(files))}"
        ) from error
    return folder


def _missing(dataset: str, folder: Path) -> list[str]:
    """The files of `dataset` that are not in `folder`; a DataError if one is there but corrupt."""
    missing = []
    for file, md5 in _files(dataset).items():
        if not (folder / file).is_file():
            missing.append(file)
        elif not _intact(folder / file, md5):
            raise DataError(
                f"{folder / file} is corrupt: its MD5 sum is not the published one. Remedy: delete it and run `lbrs fetch {dataset}`"
            )
    return missing


def _files(dataset: str) -> dict[str, str]:
    """The files of `dataset` below the data folder, with their MD5 sums."""
    if dataset == "mnist":
        return {f"MNIST/raw/{file}": md5 for file, md5 in _MNIST_SUMS.items()}
    kind = _dataset(dataset)
    entries = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
    return {f"{kind.base_folder}/{file}": md5 for file, md5 in entries}


def _intact(path: Path, md5: str) -> bool:
    from torchvision.datasets.utils import check_integrity

    return check_integrity(path, md5)


def _dataset(name: str) -> type:
    from torchvision import datasets

    return {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10}[name]


def _load(dataset: str) -> tuple:
    """Images (n, channels, height, width) in 0..255 and classes (n,), for training and for testing."""
    folder, parts = fetch(dataset), []
    for train in (True, False):
        source = _dataset(dataset)(folder, train=train)
        x = np.asarray(source.data)
        parts.append(
            (x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2), np.asarray(source.targets))
        )
    return tuple(parts)


@contextlib.contextmanager
def _quiet(timeout: float = 30.0) -> Iterator[None]:
    """Without torchvision's own progress output, and with a limit on how long a silent connection is waited for."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(before)
