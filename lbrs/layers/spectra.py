"""Linear maps written out as matrices, and proved upper bounds of their spectral norms."""

import logging
import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy
from scipy import sparse
from torch import Tensor, nn

from lbrs.rounding import EPS

FULL = 256
"""Up to this many rows eigenvalues are proposed by a full decomposition, beyond by the Lanczos
method."""
BAND = 2**27
"""Most numbers (1 GiB) in the bands of a sparse matrix that is factorised."""

Array = npt.NDArray[np.float64]
Matrix: TypeAlias = Array | sparse.csr_array
logger = logging.getLogger(__name__)


def written_out(module: nn.Linear | nn.Conv2d, shape: tuple[int, ...]) -> Matrix:
    """The matrix (out, in) in float64 of Linear, dense, or of Conv2d with zero padding on inputs of
    `shape` (c, h, w), sparse."""
    weight: Array = module.weight.detach().double().cpu().numpy()
    if isinstance(module, nn.Linear):
        return weight
    (outer, inner, *kernel), sides = weight.shape, shape[1:]
    taken = [_taken(module, axis, sides[axis]) for axis in (0, 1)]
    sizes = outer, inner, *kernel, taken[0].shape[1], taken[1].shape[1]
    o, c, a, b, i, j = np.ogrid[tuple(slice(n) for n in sizes)]
    y, x = taken[0][a, i], taken[1][b, j]
    channel = c + inner * (o // (outer // module.groups))
    row, column = (o * i.size + i) * j.size + j, (channel * sides[0] + y) * sides[1] + x
    whole = np.broadcast_shapes(row.shape, column.shape, a.shape, b.shape)
    inside = np.broadcast_to((y >= 0) & (y < sides[0]) & (x >= 0) & (x < sides[1]), whole)
    parts = weight[:, :, :, :, None, None], row, column
    value, row, column = (np.broadcast_to(part, whole)[inside] for part in parts)
    size = (outer * i.size * j.size, math.prod(shape))
    return sparse.csr_array((value, (row, column)), shape=size)


def _taken(module: nn.Conv2d, axis: int, side: int) -> npt.NDArray[np.int64]:
    """Which input (kernel, out) each entry of the kernel meets along `axis`, below 0 or beyond the
    side in the padding."""
    size, stride = module.kernel_size[axis], module.stride[axis]
    apart = module.dilation[axis]
    reach = apart * (size - 1)
    if isinstance(module.padding, str):
        before, both = (reach // 2, reach) if module.padding == "same" else (0, 0)
    else:
        before, both = module.padding[axis], 2 * module.padding[axis]
    count = (side + both - reach - 1) // stride + 1
    return np.arange(count)[None] * stride - before + apart * np.arange(size)[:, None]


def largest_eigenvalue(W: Matrix | Tensor, D: Array | Tensor) -> float:
    """An upper bound of the largest eigenvalue of W^T diag(D) W, for `W` (m, d) and `D` (m,) >= 0,
    proved in floating point.

    An eigenvalue solver proposes lambda; then a Cholesky factorisation of lambda I - M runs to its
    end, for the smaller of the two Gram matrices M, n x n. That shows lambda I - M >= -gamma_{b+1}
    / (1 - gamma_{b+1}) n lambda (Higham 2002, Theorem 10.3), b the most entries that a row of the
    factor has, and M itself is computed up to gamma_{m+2} trace M; both are added. A sparse M is
    ordered for a narrow band; where even that is too large, max_i (|M| v)_i / v_i with v > 0 is the
    bound (Collatz 1942).
    """
    W, wide = _scaled(_numpy(W))
    D, deep = _scaled(_numpy(D))
    root = np.sqrt(D)
    A = root[:, None] * W if isinstance(W, np.ndarray) else sparse.diags_array(root) @ W
    A = A.T if A.shape[0] > A.shape[1] else A
    A = A if isinstance(A, np.ndarray) else sparse.csr_array(A)
    M = A @ A.T
    trace = M.diagonal().sum().item()
    if trace == 0:
        return 0.0
    value, width = _proved(A, M, trace)
    n, m = A.shape
    value += 2 * EPS * ((width + 4) * n * value + (m + 4) * trace)
    return float(np.ldexp(value, 2 * wide + deep)) if 2 * wide + deep < 1000 else math.inf


def largest_form(J: Matrix, D: Array) -> float:
    """An upper bound, up to rounding, of u^T J^T diag(D) J u over all u with |u_i| <= 1, for `J`
    (m, d) and `D` (m,) >= 0.

    The smaller of the sum of all entries' sizes, and of an eigenvalue after the u_i are scaled.
    """
    P = J.T @ (J * D[:, None])
    share = np.sqrt(D @ J**2)
    on = share > 0
    if not on.any():
        return 0.0
    scaled = J[:, on] * (1 / np.sqrt(share[on]))[None]
    return min(float(abs(P).sum()), float(share.sum() * largest_eigenvalue(scaled, D)))


def spectral_norm(W: Matrix) -> float:
    """An upper bound of the largest singular value of `W` (m, d), by `largest_eigenvalue`."""
    scaled, power = _scaled(W)
    value = math.sqrt(largest_eigenvalue(scaled, np.ones(W.shape[0]))) * (1 + 2 * EPS)
    return value * 2.0 ** (power // 2) * 2.0 ** (power - power // 2)


def _numpy(values: Matrix | Tensor) -> Matrix:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values


def _scaled(values: Matrix) -> tuple[Matrix, int]:
    """`values` times 2^-e, the largest in size in [1/2, 1), and e: no square overflows, and what
    underflows does not matter."""
    values = values if isinstance(values, np.ndarray) else sparse.csr_array(values)
    entries = values if isinstance(values, np.ndarray) else values.data
    power = int(np.frexp(np.abs(entries).max(initial=0.0))[1])
    if isinstance(values, np.ndarray):
        return np.ldexp(values, -power), power
    return sparse.csr_array(
        (np.ldexp(entries, -power), values.indices, values.indptr), shape=values.shape
    ), power


def _proved(A: Matrix, M: Matrix, trace: float) -> tuple[float, int]:
    """A value for which value I - M can be factorised, and how many entries a row of the factor has
    at most."""
    n = A.shape[0]
    if isinstance(M, np.ndarray):
        factorise, width = _dense(M), n
    else:
        order = sparse.csgraph.reverse_cuthill_mckee(sparse.csr_matrix(M), symmetric_mode=True)
        entries = sparse.coo_array(M[order][:, order])
        width = int(np.abs(entries.coords[0] - entries.coords[1]).max()) + 1
        _announce(n, width)
        if n * width > BAND:
            return _collatz(M), 1
        factorise = _banded(entries, n, width)
    proposed = _proposed(A, M)
    for slack in (1e-12, 1e-10, 1e-8, 1e-6, 1e-3):
        try:
            factorise(proposed + slack * trace)
        except np.linalg.LinAlgError:
            continue
        return proposed + slack * trace, width
    return trace, width


def _dense(M: Array) -> Callable[[float], object]:
    """Factorises value I - M, or raises LinAlgError."""
    one = np.eye(len(M))
    return lambda value: scipy.linalg.cholesky(value * one - M, lower=True, check_finite=False)


def _banded(M: sparse.coo_array, n: int, width: int) -> Callable[[float], object]:
    """As `_dense`, for a narrow band."""
    row, column = M.coords
    band, lower = np.zeros((width, n)), row >= column
    band[(row - column)[lower], column[lower]] = -M.data[lower]

    def factorise(value: float) -> object:
        shifted = band.copy()
        shifted[0] += value
        options = {"overwrite_ab": True, "lower": True, "check_finite": False}
        return scipy.linalg.cholesky_banded(shifted, **options)

    return factorise


def _proposed(A: Matrix, M: Matrix) -> float:
    """The largest eigenvalue of M = A A^T, as a solver finds it."""
    n = A.shape[0]
    if n <= FULL:
        return float(np.linalg.eigvalsh(M if isinstance(M, np.ndarray) else M.toarray())[-1])
    start: Array = np.random.default_rng(0).standard_normal((n,))
    try:
        options = {"which": "LA", "v0": start, "tol": 1e-11, "return_eigenvectors": False}
        return float(sparse.linalg.eigsh(M, 1, **options)[0])
    except sparse.linalg.ArpackNoConvergence:
        for _ in range(200):
            start = M @ start
            start = start / np.linalg.norm(start)
        return float(start @ (M @ start))


def _collatz(M: sparse.csr_array) -> float:
    size, v = abs(M), np.ones(M.shape[0])
    for _ in range(50):
        v = size @ v
        v = v / v.max() + 1e-9
    return float((size @ v / v).max())


def _announce(n: int, width: int) -> None:
    """Say that a factorisation takes long."""
    if n * width * min(width, n) <= 10**12:
        return
    needs = f"needs {8 * n * width / 2**30:.1f} GiB"
    told = "a bound from its rows is taken" if n * width > BAND else needs
    text = "the spectral norm of a convolution with %d rows and a band of %d: %s"
    logger.warning(text, n, width, told)
