"""Machine-checked steps of Theorems A and B: linear scores and the nearest neighbour.

Notation as in the chapter: R = s g(x)/||a||_* or s h(x)/K, nb = R_nb, t = ||delta||; c = +1 where
the oracle's label at x + delta is s, else -1.
"""

from operator import le, lt
from typing import Any

from lbrs.proofs.check import Claim, high, low, step

FLIP = r"$c=\pm1$ is $s\,\hat y(x+\delta)$"


@step(
    "z3",
    "theorem-a-bisector",
    "sharper",
    "theorem-a",
    r"$p\ge\tfrac D2,\ p\le nt,\ n>0\ \Rightarrow\ t\ge\tfrac D{2n}$, for "
    r"$p=(x_j-x_k)^\top\delta$, $n=\|x_k-x_j\|_*$",
    r"$t>$ for $t\ge$",
)
def theorem_a_bisector(z: Any, sound: bool) -> Claim:
    p, D, n, t = z.Reals("p D n t")
    return [p >= D / 2, p <= n * t, n > 0, t >= 0], (le if sound else lt)(D / (2 * n), t)


@step(
    "z3",
    "theorem-a-order",
    "sharper",
    "theorem-a",
    r"$\min_j\max_kb_{kj}\ge\min_jb_{ij}$ for two $j$ and two $k$, one of them $i$",
    r"$>$ for $\ge$",
)
def theorem_a_order(z: Any, sound: bool) -> Claim:
    i1, i2, k1, k2 = z.Reals("b_i1 b_i2 b_k1 b_k2")
    return [], (le if sound else lt)(low(z, i1, i2), low(z, high(z, i1, k1), high(z, i2, k2)))


def _moved(z: Any) -> tuple[Any, ...]:
    """R, alpha, nb, t, the change e of s g/||a||_* with |e| <= t, and c."""
    R, alpha, nb, t, e, c = z.Reals("R alpha nb t e c")
    return R, alpha, nb, t, e, c, [alpha >= 0, t >= 0, z.Abs(e) <= t, z.Or(c == 1, c == -1)]


@step(
    "z3",
    "theorem-b-agree",
    "sharper",
    "theorem-b",
    rf"$|e|\le t,\ (t<R_{{\mathrm{{nb}}}}\Rightarrow "
    rf"c=1),\ t<\min\{{R+\alpha,\max\{{R_{{\mathrm{{nb}}}},R-\alpha\}}\}}\ \Rightarrow\ R+e+"
    rf"\alpha c>0$; "
    rf"{FLIP}",
    r"the flip-safe radius $R+\alpha$ for $R-\alpha$",
)
def theorem_b_agree(z: Any, sound: bool) -> Claim:
    R, alpha, nb, t, e, c, hypotheses = _moved(z)
    safe = R - alpha if sound else R + alpha
    return [
        *hypotheses,
        z.Implies(t < nb, c == 1),
        t < low(z, R + alpha, high(z, nb, safe)),
    ], R + e + alpha * c > 0


@step(
    "z3",
    "theorem-b-disagree",
    "sharper",
    "theorem-b",
    rf"$|e|\le t<R-\alpha,\ R>\alpha\ \Rightarrow\ R+e+\alpha c>0$, without any condition on the "
    rf"oracle; {FLIP}",
    r"$t\le R-\alpha$ for $t<R-\alpha$",
)
def theorem_b_disagree(z: Any, sound: bool) -> Claim:
    R, alpha, _, t, e, c, hypotheses = _moved(z)
    return [*hypotheses, alpha < R, (lt if sound else le)(t, R - alpha)], R + e + alpha * c > 0


@step(
    "z3",
    "theorem-b-order",
    "sharper",
    "theorem-b",
    r"$r_B\ge\min\{R_{\mathrm{own}},r\}$ in both cases, for $r=r^\mu_{\mathrm{nghbr}}\le "
    r"R_{\mathrm{nb}}$",
    r"$r\ge R_{\mathrm{nb}}$ for $r\le R_{\mathrm{nb}}$",
)
def theorem_b_order(z: Any, sound: bool) -> Claim:
    own, alpha, nb, r = z.Reals("own alpha nb r")
    paper = low(z, own, r)
    return [own > 0, alpha >= 0, r >= 0, r <= nb if sound else r >= nb], z.And(
        low(z, own, high(z, nb, own - 2 * alpha)) >= paper, own >= paper
    )


@step(
    "z3",
    "theorem-b-alpha0",
    "sharper",
    "theorem-b",
    r"$\alpha=0,\ R\ge0,\ R_{\mathrm{nb}}\ge0\ \Rightarrow\ \min\{R+\alpha,\max\{R_{"
    r"\mathrm{nb}},R-\alpha\}\}=R=R-\alpha$",
    r"$\alpha\ge0$ for $\alpha=0$",
)
def theorem_b_alpha0(z: Any, sound: bool) -> Claim:
    R, alpha, nb = z.Reals("R alpha nb")
    return [alpha == 0 if sound else alpha >= 0, R >= 0, nb >= 0], z.And(
        low(z, R + alpha, high(z, nb, R - alpha)) == R, R - alpha == R
    )
