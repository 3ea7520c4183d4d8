"""Tasks are balanced, disjoint and repeatable; data that is missing or damaged is refused with the
remedy."""

import errno
import hashlib
import shutil
import sys
from urllib.error import URLError

import pytest
import torch

from lbrs import _files
from lbrs.experiments import data


def test_spiral_repeats_by_seed_and_differs_between_seeds():
    first, again, other = data.spiral(3), data.spiral(3), data.spiral(4)
    assert torch.equal(first.test_x, again.test_x) and torch.equal(first.train_x, again.train_x)
    assert not torch.equal(first.test_x, other.test_x)


def test_spiral_arms_are_balanced_have_radius_ten_and_are_each_others_mirror_image():
    task = data.spiral(0, train_points=4000, jitter=0.0)
    assert task.train_y.sum() == 0 and task.shape == (2,)
    lengths = task.train_x.norm(dim=1)
    assert 9.9 < lengths.max() <= 10.0001
    angle = torch.atan2(task.train_x[:, 1], task.train_x[:, 0]) - 2 * torch.pi * lengths / 10
    assert torch.allclose(angle[task.train_y > 0].cos(), torch.ones(2000), atol=1e-4)
    assert torch.allclose(angle[task.train_y < 0].cos(), -torch.ones(2000), atol=1e-4)


def test_digits_are_balanced_disjoint_pixels():
    task = data.images("digits", 0, reference_points=10)
    assert task.shape == (1, 8, 8)
    assert task.reference_y.tolist().count(1.0) == 5 and len(task.reference_y) == 10
    assert task.test_y.sum() == 0 and task.train_y.sum() == 0
    everything = torch.cat([task.train_x, task.reference_x, task.test_x])
    assert everything.min() == 0 and everything.max() == 1
    assert len(task.train_y) + len(task.reference_y) + len(task.test_y) == 2 * 174
    assert len(everything.flatten(1).unique(dim=0)) == len(everything)


def test_test_points_are_cut_to_a_balanced_part_and_the_hash_says_which():
    whole, part = data.images("digits", 1), data.images("digits", 1, test_points=40)
    assert len(part.test_y) == 40 and part.test_y.sum() == 0
    assert set(part.test_indices.tolist()) <= set(whole.test_indices.tolist())
    assert part.test_hash != whole.test_hash == data.images("digits", 1).test_hash


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"dataset": "mnits", "seed": 0}, "dataset"),
        ({"dataset": "digits", "seed": 0, "positive": 10}, "positive"),
        ({"dataset": "digits", "seed": 0, "positive": -1}, "positive"),
        ({"dataset": "digits", "seed": 0, "reference_points": 1}, "reference_points"),
        ({"dataset": "digits", "seed": 0, "test_points": 0}, "test_points"),
    ],
)
def test_bad_choices_name_the_argument(arguments, named):
    with pytest.raises(ValueError, match=named):
        data.images(**arguments)


@pytest.mark.parametrize("argument", ["train_points", "turns", "jitter"])
def test_bad_spiral_names_the_argument(argument):
    with pytest.raises((ValueError, TypeError), match=argument):
        data.spiral(0, **{argument: -1})


def test_unknown_download_is_refused():
    with pytest.raises(ValueError, match="dataset must be one of 'mnist', 'cifar10'"):
        data.fetch("imagenet")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A stand-in for the data set, of four small files with known sums,
    and a data folder of its own."""
    files = {f"MNIST/raw/{name}": name.encode() * 10 for name in data._MNIST_SUMS}
    monkeypatch.setattr(
        data,
        "_files",
        lambda dataset: {file: hashlib.md5(content).hexdigest() for file, content in files.items()},
    )
    monkeypatch.setenv("LBRS_DATA", str(tmp_path / "data"))

    def download(root, download):
        for file, content in files.items():
            (data.Path(root) / file).parent.mkdir(parents=True, exist_ok=True)
            (data.Path(root) / file).write_bytes(content)

    monkeypatch.setattr(data, "_dataset", lambda name: download)
    return tmp_path / "data", files, monkeypatch


def test_fetch_downloads_what_is_missing_and_leaves_nothing_else(small):
    folder, files, _ = small
    assert data.fetch("mnist") == folder
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == sorted(
        files
    )


def test_fetch_does_nothing_where_all_is_there(small):
    folder, _, monkeypatch = small
    data.fetch("mnist")
    monkeypatch.setattr(data, "_dataset", lambda name: pytest.fail("downloaded again"))
    assert data.fetch("mnist") == folder


def test_a_corrupt_file_is_named_with_the_remedy_and_not_overwritten(small):
    folder, files, _ = small
    data.fetch("mnist")
    victim = folder / next(iter(files))
    victim.write_bytes(b"damaged")
    with pytest.raises(
        data.DataError, match=r"is corrupt.*delete it and run `lbrs fetch mnist`"
    ) as caught:
        data.fetch("mnist")
    assert str(victim) in str(caught.value)
    assert victim.read_bytes() == b"damaged"


def test_what_a_killed_download_left_is_removed_and_what_another_one_holds_is_not(small):
    folder, files, monkeypatch = small
    whole, seen = data._dataset("mnist"), []
    for name in (".fetch-killed", ".fetch-held"):
        (folder / name / "MNIST").mkdir(parents=True)

    def look(root, download):
        seen.extend(sorted(path.name for path in folder.glob(".fetch-*")))
        whole(root, download)

    monkeypatch.setattr(data, "_dataset", lambda name: look)
    with _files._opened(folder / ".fetch-held") as locked:
        data.fetch("mnist")
    assert locked and len(seen) == 2 and ".fetch-killed" not in seen
    assert [path.name for path in folder.glob(".fetch-*")] == [".fetch-held"]
    data.fetch("mnist")
    assert not list(folder.glob(".fetch-*"))
    assert all((folder / file).is_file() for file in files)


def test_a_full_disk_leaves_nothing(small):
    folder, _, monkeypatch = small

    def full(root, download):
        (data.Path(root) / "half").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(data, "_dataset", lambda name: full)
    with pytest.raises(data.DataError, match=r"No space left on device.*Remedy"):
        data.fetch("mnist")
    assert [p for p in folder.rglob("*") if p.is_file() or ".fetch" in p.name] == []


@pytest.mark.parametrize(
    "failure",
    [
        URLError("no network"),
        RuntimeError("File not found or corrupted."),
        TimeoutError("timed out"),
        EOFError("cut short"),
    ],
)
def test_no_network_names_folder_and_remedy_and_leaves_no_file(small, failure):
    folder, _, monkeypatch = small

    def broken(root, download):
        (data.Path(root) / "MNIST" / "raw").mkdir(parents=True)
        (data.Path(root) / "MNIST" / "raw" / "half").write_bytes(b"half")
        raise failure

    monkeypatch.setattr(data, "_dataset", lambda name: broken)
    with pytest.raises(data.DataError, match="Remedy: .*lbrs fetch mnist.*LBRS_DATA") as caught:
        data.fetch("mnist")
    assert str(folder) in str(caught.value)
    assert [p for p in folder.rglob("*") if p.is_file()] == []


def test_an_interrupted_download_leaves_no_file_and_the_next_one_completes(small):
    folder, files, monkeypatch = small
    whole = data._dataset("mnist")

    def interrupted(root, download):
        whole(root, download)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(data, "_dataset", lambda name: interrupted)
        with pytest.raises(KeyboardInterrupt):
            data.fetch("mnist")
    assert [p for p in folder.rglob("*") if p.is_file()] == []
    data.fetch("mnist")
    assert all((folder / file).is_file() for file in files)


def test_a_download_with_wrong_content_is_refused(small):
    folder, files, monkeypatch = small
    whole = data._dataset("mnist")

    def wrong(root, download):
        whole(root, download)
        (data.Path(root) / next(iter(files))).write_bytes(b"something else")

    monkeypatch.setattr(data, "_dataset", lambda name: wrong)
    with pytest.raises(data.DataError, match="not downloaded intact"):
        data.fetch("mnist")


def test_a_folder_that_cannot_be_made_is_a_data_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("LBRS_DATA", str(tmp_path / "file" / "data"))
    with pytest.raises(data.DataError, match="Remedy"):
        data.fetch("mnist")


def test_the_default_folder_is_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("LBRS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert data.data_folder() == tmp_path / "lbrs"


def test_mnist_task_has_the_counts_of_the_paper(mnist):
    task = data.images("mnist", 0)
    assert (len(task.train_y), len(task.reference_y), len(task.test_y)) == (11_702 - 10, 10, 1_948)
    assert task.train_y.sum() == task.reference_y.sum() == task.test_y.sum() == 0
    assert task.shape == (1, 28, 28) and task.test_x.min() == 0 and task.test_x.max() == 1
    held_out = {row.numpy().tobytes() for row in task.reference_x}
    assert held_out.isdisjoint(row.numpy().tobytes() for row in task.train_x)


def test_the_checked_mnist_files_are_those_that_torchvision_unpacks():
    from torchvision.datasets import MNIST

    assert sorted(data._MNIST_SUMS) == sorted(
        name.removesuffix(".gz") for name, _ in MNIST.resources
    )


def test_one_flipped_bit_of_mnist_is_found(mnist, tmp_path, monkeypatch):
    shutil.copytree(mnist / "MNIST" / "raw", tmp_path / "MNIST" / "raw")
    victim = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    content = bytearray(victim.read_bytes())
    content[5000] ^= 1
    victim.write_bytes(content)
    monkeypatch.setenv("LBRS_DATA", str(tmp_path))
    with pytest.raises(data.DataError, match="t10k-images-idx3-ubyte is corrupt"):
        data.images("mnist", 0)
