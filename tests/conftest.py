"""What several tests share: seeded random numbers, random instances, and the paper's r_nghbr
written out in NumPy."""

import math
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lbrs import L1, L2, LINF, Norm, Score
from lbrs.experiments import data

matplotlib.use("Agg")

SMOOTH = {
    "softplus": (lambda u: F.softplus(u, threshold=40), 1 / 4),
    "tanh": (torch.tanh, 4 / math.sqrt(27)),
    "sin": (torch.sin, 1.0),
}
"""Smooth activations phi and the largest |phi''|."""

SCATTERED = {"test_mutations", "test_soundness"}
"""Files whose tests share nothing: pytest-xdist deals them out one by one, other files whole."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    for item in items:
        if "mnist" in item.fixturenames:
            item.add_marker(pytest.mark.images)
        if item.path.stem not in SCATTERED and config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """For many small tensors: on a busy machine two threads wait for each other a hundred times as
    long as one takes."""
    torch.set_num_threads(1)


@pytest.fixture
def open_door(monkeypatch):
    """Let functions in unseen, so that a test may count calls, or use what the door refuses."""
    monkeypatch.setattr(Score, "_enter", lambda self, x: None)
    monkeypatch.setattr(Score, "fit_dtype", lambda self, x: None)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(params=[L1, L2, Norm(3), LINF], ids=str)
def norm(request) -> Norm:
    return request.param


@pytest.fixture
def draw(rng):
    """draw(N, d, n): reference points (N, d), labels (N,) with both classes if N > 1, and n points
    (n, d) among them."""

    def draw(N: int, d: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        labels = rng.permutation(np.r_[[1.0, -1.0], rng.choice([-1.0, 1.0], max(0, N - 2))][:N])
        return rng.normal(size=(N, d)), labels, rng.normal(size=(n, d))

    return draw


@pytest.fixture
def ridge_score(rng):
    """ridge_score(kind, d, norm): g(x) = sum_k c_k phi(w_k^T x + b_k). Its gradient is L-Lipschitz
    from the norm to its dual for L = max|phi''| sum_k |c_k| ||w_k||_*^2."""

    def ridge_score(kind: str, d: int, norm: Norm, hidden: int = 3) -> Score:
        phi, bend = SMOOTH[kind]
        w, b, c = (
            torch.from_numpy(rng.normal(size=shape)) for shape in ((hidden, d), hidden, hidden)
        )
        L = bend * float((c.abs() * norm.dual(w).square()).sum())
        return Score(lambda x: phi(x @ w.T + b) @ c, gradient_lipschitz=L)

    return ridge_score


@pytest.fixture
def r_nghbr():
    """r_nghbr(x, points, labels, norm): the neighbour term of Theorems 6 and 8 at one point, as
    printed."""

    def r_nghbr(x: np.ndarray, points: np.ndarray, labels: np.ndarray, norm: Norm) -> float:
        rho = [np.linalg.norm(x - point) for point in points]
        i = int(np.argmin(rho))
        return min(
            (
                (rho[j] ** 2 - rho[i] ** 2)
                / (2 * np.linalg.norm(points[i] - points[j], norm.dual.p))
                for j in range(len(points))
                if labels[j] != labels[i]
            ),
            default=math.inf,
        )

    return r_nghbr


@pytest.fixture(scope="session")
def mnist() -> Path:
    """The folder with the real MNIST; skipped, with the reason, where it cannot be had."""
    try:
        return data.fetch("mnist")
    except data.DataError as error:
        pytest.skip(str(error))
