"""Norms that a user writes, admitted by watching them keep the laws of a norm and of its dual."""

from collections.abc import Callable

import torch
from torch import Tensor

from lbrs.norms.base import Norm

CLOSE = 1e-10
"""The share up to which the laws have to be seen to hold."""

LOOSE = 1e-9
"""The share by which a certificate takes the lengths to be off."""

SEEN = 96
"""Vectors that are looked at."""

Function = Callable[[Tensor], Tensor]


class OwnNorm(Norm):
    """A norm of your own: a subclass with its length, the length of its dual, and the vector that
    attains it.

    Each is a function of vectors (..., d) of float64, row by row. Before the first number is used,
    and for each d, the laws are looked at with many vectors: lengths are positive, grow in
    proportion, keep the triangle inequality; no pairing is beyond the product of the lengths; the
    maximizer has length 1, attains the dual length, and no step away from it does better, which
    for a convex function means that nothing does. What breaks a law is refused. Two norms may
    still differ where nobody looked: certificates name the norm as yours.

    Source: Section 2.1, :doc:`linear`.

    >>> class Cone(OwnNorm):
    ...     def length(self, v):
    ...         return v.abs().sum(-1) + v.abs().amax(-1)
    ...     def dual_length(self, y):
    ...         return self.shares(y.abs().sort(descending=True).values).amax(-1)
    ...     def shares(self, top):
    ...         return top.cumsum(-1) / torch.arange(2, top.shape[-1] + 2)
    ...     def attained(self, a):
    ...         top, order = a.abs().sort(descending=True)
    ...         last = self.shares(top).argmax(-1, keepdim=True)
    ...         some = torch.arange(a.shape[-1]) <= last
    ...         return a.sign() * torch.zeros_like(a).scatter(-1, order, some / (last.to(a) + 2))
    >>> float(Cone()(torch.tensor([1.0, -2.0]))), float(Cone().dual(torch.tensor([1.0, -2.0])))
    (5.0, 1.0)
    """

    def __init_subclass__(cls, **_: object) -> None:
        _refuse_changes(cls)

    def length(self, v: Tensor) -> Tensor:
        """||v|| of vectors (..., d), as (...,)."""
        raise NotImplementedError("a norm of your own must define length(v)")

    def dual_length(self, y: Tensor) -> Tensor:
        """The largest y^T v with ||v|| <= 1, of vectors (..., d), as (...,)."""
        raise NotImplementedError("a norm of your own must define dual_length(y)")

    def attained(self, a: Tensor) -> Tensor:
        """A v (..., d) with ||v|| = 1 and a^T v = ||a||_*; 0 for a = 0."""
        raise NotImplementedError("a norm of your own must define attained(a)")

    def __str__(self) -> str:
        return f"{type(self).__name__}, a norm of the user's"

    @property
    def absolute(self) -> bool:
        return False

    @property
    def dual(self) -> Norm:
        return Dual(self)

    def __call__(self, v: Tensor) -> Tensor:
        self.observe(v.shape[-1])
        return self.length(v)

    def maximizer(self, a: Tensor) -> Tensor:
        self.observe(a.shape[-1])
        return self.attained(a)

    def rounding(self, d: int, dtype: torch.dtype = torch.float64) -> float:
        return min(0.4, LOOSE * torch.finfo(dtype).eps / torch.finfo(torch.float64).eps)

    def reach(self, d: int) -> Tensor:
        self.observe(d)
        return self.dual_length(torch.eye(d, dtype=torch.float64)) * (1 + 2 * LOOSE)

    def stretch(self, d: int) -> float:
        return float(self.reach(d).square().sum().sqrt()) * (1 + LOOSE)

    def observe(self, d: int) -> None:
        """A ValueError unless the laws hold for the vectors looked at; looked at once for each
        d."""
        seen: set[int] = self.__dict__.setdefault("_seen", set())
        if d in seen:
            return
        v = _vectors(d)
        with torch.no_grad():
            told = _length_law(self.length, v) or _length_law(self.dual_length, v)
            told = told or _pairing_law(self, v)
        if told:
            raise ValueError(f"norm must keep the laws of a norm in {d} dimensions: {told}")
        seen.add(d)


class Dual(Norm):
    """The dual of a norm of the user's."""

    __slots__ = ("own",)
    own: OwnNorm

    def __init__(self, own: OwnNorm) -> None:
        object.__setattr__(self, "own", own)

    def __reduce__(self) -> tuple[type["Dual"], tuple[OwnNorm]]:
        return Dual, (self.own,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dual) and other.own == self.own

    def __hash__(self) -> int:
        return hash((Dual, self.own))

    def __str__(self) -> str:
        return f"the dual of {self.own}"

    @property
    def absolute(self) -> bool:
        return False

    @property
    def dual(self) -> Norm:
        return self.own

    def __call__(self, v: Tensor) -> Tensor:
        self.own.observe(v.shape[-1])
        return self.own.dual_length(v)

    def maximizer(self, a: Tensor) -> Tensor:
        raise TypeError("only the maximizer of the norm itself is known, not that of its dual")

    def rounding(self, d: int, dtype: torch.dtype = torch.float64) -> float:
        return self.own.rounding(d, dtype)

    def reach(self, d: int) -> Tensor:
        return self.own(torch.eye(d, dtype=torch.float64)) * (1 + 2 * LOOSE)

    def stretch(self, d: int) -> float:
        return float(self.reach(d).square().sum().sqrt()) * (1 + LOOSE)


YOURS = {"length", "dual_length", "attained"}


def _refuse_changes(cls: type) -> None:
    """A TypeError where a subclass replaces what admits it."""
    kept = [name for name in dir(OwnNorm) if callable(getattr(Norm, name, None))]
    kept = [name for name in (*kept, "observe", "dual", "absolute") if not name.startswith("__")]
    for name in (*kept, "__call__", "__new__", "__getattribute__"):
        if getattr(cls, name) is not getattr(OwnNorm, name) and name not in YOURS:
            raise TypeError(
                f"norm must define length, dual_length and attained only, got {name} too"
            )


def admitted(norm: Norm) -> bool:
    """Whether it is a norm of the user's that leaves alone what admits it."""
    kind = type(norm)
    if not issubclass(kind, OwnNorm) or kind is OwnNorm:
        return False
    _refuse_changes(kind)
    return not set(norm.__dict__) & (set(dir(OwnNorm)) - {"__dict__"})


def _vectors(d: int) -> Tensor:
    """Vectors (n, d) of many kinds."""
    generator = torch.Generator().manual_seed(0)

    def normal(n: int) -> Tensor:
        return torch.randn((n, d), generator=generator, dtype=torch.float64)

    mask = torch.rand((SEEN, d), generator=generator) < 0.3
    sparse, wide = normal(SEEN) * mask, normal(SEEN) * 10 ** (3 * normal(SEEN).clamp(-2, 2))
    axes = torch.eye(d, dtype=torch.float64)[:SEEN]
    found = torch.cat([normal(SEEN), sparse, wide, normal(SEEN).sign(), axes, -axes])
    return found[(found != 0).any(1)]


def _length_law(length: Function, v: Tensor) -> str:
    """Which law of a length fails, or "" if none is seen to."""
    found: object = length(v)
    if not isinstance(found, Tensor) or found.shape != v.shape[:1]:
        return "a length must be one number a vector"
    if not (torch.isfinite(found) & (found > 0)).all():
        return "the length of a vector that is not 0 must be positive and finite"
    if float(length(torch.zeros_like(v[:1]))) != 0:
        return "the length of 0 must be 0"
    for factor in (-1.0, 0.125, -3e6):
        if not torch.allclose(length(factor * v), abs(factor) * found, rtol=CLOSE, atol=0):
            return "the length of a multiple must be that multiple of the length"
    alone = torch.cat([length(row[None]) for row in v[::8]])
    if not torch.allclose(alone, found[::8], rtol=CLOSE, atol=0):
        return "a vector's length must not depend on the other vectors"
    for step in (1, 7, SEEN, 2 * SEEN):
        other = v.roll(step, 0) * (found / found.roll(step))[:, None]
        if (length(v + other) > (found + length(other)) * (1 + CLOSE)).any():
            return "the length of a sum must be at most the sum of the lengths"
    return ""


def _pairing_law(norm: OwnNorm, v: Tensor) -> str:
    """Which law of the dual fails, or "" if none is seen to."""
    length, dual = norm.length(v), norm.dual_length(v)
    if (v @ v.T > dual[:, None] * length * (1 + CLOSE)).any():
        return "y^T v must be at most the dual length of y times the length of v"
    m = norm.attained(v)
    if m.shape != v.shape or not torch.isfinite(m).all():
        return "the maximizer must be one vector a vector"
    if not torch.allclose(norm.length(m), torch.ones_like(length), rtol=CLOSE, atol=0):
        return "the maximizer must have length 1"
    if not torch.allclose((v * m).sum(1), dual, rtol=CLOSE, atol=0):
        return "the pairing with the maximizer must be the dual length"
    unit = v / length[:, None]
    for share in (1.0, 0.1, 1e-3, 1e-5):
        for step in (1, 11, SEEN, 3 * SEEN):
            near = m + share * unit.roll(step, 0)
            if ((v * near).sum(1) > dual * norm.length(near) * (1 + CLOSE)).any():
                return "no vector may have a larger pairing than the maximizer"
    return ""
