"""The binary tasks: spiral, digits, MNIST, CIFAR-10.

No data set is part of this project; images come through torchvision."""

import hashlib
import os
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lbrs._checks import integer, number
from lbrs._files import data_folder, quiet_download, remove_left, workplace

DATASETS = ("mnist", "cifar10")
"""The data sets that are downloaded, by `lbrs fetch` or when first used."""

DOWNLOAD = ".fetch-"
"""How the name of a folder begins into which a data set is downloaded."""

_MNIST_SUMS = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
"""Of the files that torchvision unpacks; it knows the sums of the compressed files only."""

_Array = npt.NDArray[Any]
_Source = tuple[_Array, _Array]
"""Images (n, channels, height, width) in 0..255, and their classes (n,)."""


class DataError(RuntimeError):
    """Data that is missing, corrupt or cannot be downloaded; the text names the folder and the
    remedy."""


@dataclass(frozen=True)
class BinaryTask:
    r"""A binary classification task: float32 points (n, \*shape), float64 labels (n,) in {-1, +1}.

    ``train``, for the base classifier; ``reference``, the N points of the oracle, disjoint from
    those; ``test``, of which ``test_indices`` (n,) says which points of the source they are.
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
        parts = (self.test_indices.to(torch.int64), self.test_y.to(torch.int64))
        return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()


def spiral(
    seed: int,
    *,
    train_points: int = 800,
    reference_points: int = 200,
    test_points: int = 1000,
    turns: float = 1.0,
    jitter: float = 0.5,
) -> BinaryTask:
    """Two spiral arms of radius up to 10 in the plane, of opposite labels, with normal jitter;
    three independent samples.

    Parameters:
        seed: of the samples.
        train_points: size of the first.
        reference_points: size of the second.
        test_points: size of the third.
        turns: of each arm.
        jitter: standard deviation of the noise, in the units of x.
    """
    sizes = {
        "train_points": train_points,
        "reference_points": reference_points,
        "test_points": test_points,
    }
    for name, size in sizes.items():
        integer(name, size, low=2)
    number("turns", turns, low=0, open_low=True)
    number("jitter", jitter, low=0)
    rng = np.random.default_rng(seed)
    train, reference, test = (_arms(rng, size, turns, jitter) for size in sizes.values())
    return BinaryTask("spiral", *train, *reference, *test, torch.arange(test_points))


def _arms(rng: np.random.Generator, n: int, turns: float, jitter: float) -> tuple[Tensor, Tensor]:
    """A sample of n points of both arms in turn, with their labels."""
    y = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
    r = np.sqrt(rng.uniform(0, 1, n))
    angle = 2 * np.pi * turns * r + np.pi * (y < 0)
    directions = np.stack([np.cos(angle), np.sin(angle)], 1)
    x = 10 * r[:, None] * directions + jitter * rng.standard_normal((n, 2))
    return torch.from_numpy(x).float(), torch.from_numpy(y)


def images(
    dataset: str,
    seed: int,
    *,
    positive: int = 8,
    reference_points: int = 10,
    test_points: int = 10_000,
) -> BinaryTask:
    """One class (+1) against the rest (-1), balanced, with pixels in [0, 1] and shape
    (channels, height, width).

    All images of the positive class and as many others, drawn by `seed`.

    Parameters:
        dataset: "digits" (bundled with scikit-learn), "mnist" or "cifar10".
        seed: of the draws.
        positive: the class, 0 to 9.
        reference_points: so many training images, half of each class, are held out for the oracle.
        test_points: at most that many, half of each class.

    Raises:
        DataError: if the images cannot be had.
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
    rest, test = np.setdiff1d(train, reference), np.sort(test)
    return BinaryTask(
        dataset,
        *_part(train_x, train_c == positive, rest),
        *_part(train_x, train_c == positive, reference),
        *_part(test_x, test_c == positive, test),
        torch.from_numpy(test),
    )


def _part(pixels: _Array, is_positive: _Array, index: _Array) -> tuple[Tensor, Tensor]:
    """The images at `index` with their labels."""
    labels = torch.where(torch.from_numpy(is_positive[index]), 1.0, -1.0).double()
    return torch.from_numpy(pixels[index]).float() / 255, labels


def _balanced(is_positive: _Array, rng: np.random.Generator) -> _Array:
    """A random order of all positive indices and as many others."""
    positive, negative = np.flatnonzero(is_positive), np.flatnonzero(~is_positive)
    others = rng.choice(negative, len(positive), replace=False)
    return rng.permutation(np.concatenate([positive, others]))


def _halves(is_positive: _Array, index: _Array, n: int) -> _Array:
    """The first n of `index`, half of each class (one more of the positive class if n is odd)."""
    chosen = index[is_positive[index]][: n - n // 2], index[~is_positive[index]][: n // 2]
    return np.concatenate(chosen)


def _digits(rng: np.random.Generator) -> tuple[_Source, _Source]:
    """scikit-learn's digits, grey values scaled to 0..255, one third set aside for testing."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, c = digits.images[:, None] * (255 / 16), digits.target
    order = rng.permutation(len(c))
    test, train = order[: len(c) // 3], order[len(c) // 3 :]
    return (x[train], c[train]), (x[test], c[test])


def fetch(dataset: str) -> Path:
    """Make sure that `dataset` lies complete and intact in the data folder, downloading what is
    missing; returns the folder.

    Files are downloaded beside their place and moved there once their sums are right.

    Raises:
        DataError: if that is not possible, with the reason and the remedy.
    """
    if dataset not in DATASETS:
        raise ValueError(
            f"dataset must be one of {', '.join(map(repr, DATASETS))}, got {dataset!r}"
        )
    folder, files = _folder(), _files(dataset)
    remove_left(folder, f"{DOWNLOAD}*")
    missing = _missing(dataset, folder)
    if not missing:
        return folder
    try:
        for file in missing:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
        with workplace(folder, DOWNLOAD) as temporary, quiet_download():
            _dataset(dataset)(str(temporary), download=True)
            for file in missing:
                if not _intact(temporary / file, files[file]):
                    raise RuntimeError(f"{file} was not downloaded intact")
                os.replace(temporary / file, folder / file)
    except (RuntimeError, OSError, HTTPException, EOFError, ValueError) as error:
        last = (str(error).strip() or type(error).__name__).splitlines()[-1]
        reason = last.replace("<urlopen error", "").strip("<> ")
        raise DataError(
            f"{dataset} is not in {folder} and could not be downloaded ({reason}). Remedy: "
            f"connect to the internet and run `lbrs fetch {dataset}`, "
            f"or set LBRS_DATA to a folder that holds {next(iter(files))}"
        ) from error
    return folder


def _folder() -> Path:
    """The data folder; a DataError where there can be none."""
    try:
        return data_folder()
    except ValueError as error:
        raise DataError(
            f"there is no data folder: {error}. Remedy: set LBRS_DATA to a folder of yours"
        ) from error


def _missing(dataset: str, folder: Path) -> list[str]:
    """The files of `dataset` that are not in `folder`; a DataError if one is there but cannot be
    used."""
    files = _files(dataset)
    try:
        return [file for file, md5 in files.items() if not _there(dataset, folder / file, md5)]
    except OSError as error:
        raise DataError(
            f"{dataset} in {folder} cannot be read: {error}. Remedy: have it made readable "
            "for this user, or set LBRS_DATA to another folder"
        ) from error


def _there(dataset: str, path: Path, md5: str) -> bool:
    """Whether the file is there, as it was published."""
    if path.is_dir():
        raise DataError(
            f"{path} is a folder in the place of a file. Remedy: move it away and run "
            f"`lbrs fetch {dataset}`"
        )
    if not path.is_file():
        return False
    if not _intact(path, md5):
        raise DataError(
            f"{path} is corrupt: its MD5 sum is not the published one. Remedy: "
            f"delete it and run `lbrs fetch {dataset}`"
        )
    return True


def _files(dataset: str) -> dict[str, str]:
    """The files of `dataset` below the data folder, with their MD5 sums."""
    if dataset == "mnist":
        return {f"MNIST/raw/{file}": md5 for file, md5 in _MNIST_SUMS.items()}
    kind = _dataset(dataset)
    entries = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
    return {f"{kind.base_folder}/{file}": md5 for file, md5 in entries}


def _intact(path: Path, md5: str) -> bool:
    from torchvision.datasets.utils import check_integrity

    return bool(check_integrity(path, md5))


def _dataset(name: str) -> Any:
    """The class of torchvision, which says nothing of its types."""
    from torchvision import datasets

    return {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10}[name]


def _load(dataset: str) -> tuple[_Source, _Source]:
    """What is for training, and what is for testing."""
    folder, kind = fetch(dataset), _dataset(dataset)
    return _arrays(kind(folder, train=True)), _arrays(kind(folder, train=False))


def _arrays(source: Any) -> _Source:
    x = np.asarray(source.data)
    images = x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
    return images, np.asarray(source.targets)
