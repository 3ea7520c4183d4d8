"""Machine-checked steps of Theorems H, K, M, G and of the hypothesis margin.

Notation as in `lbrs.proofs.linear`.
"""

from operator import le, lt
from typing import Any

from lbrs.proofs.check import Claim, high, low, step
from lbrs.proofs.linear import FLIP


def _lipschitz(z: Any) -> tuple[Any, ...]:
    """v = s h(x), w = s h(x + delta) with |w - v| <= K t, alpha, nb, t, c."""
    v, w, K, alpha, nb, t, c = z.Reals("v w K alpha nb t c")
    hypotheses = [K > 0, alpha >= 0, t >= 0, z.Abs(w - v) <= K * t, z.Or(c == 1, c == -1)]
    return v, w, K, alpha, nb, t, c, hypotheses


@step(
    "z3",
    "theorem-h-agree",
    "sharper",
    "theorem-h",
    rf"$|w-v|\le Kt,\ K>0,\ R=\tfrac vK,\ (t<R_{{\mathrm{{nb}}}}\Rightarrow "
    rf"c=1),\ t<\min\{{R+\alpha,\max\{{R_{{\mathrm{{nb}}}},R-\alpha\}}\}}\ "
    rf"\Rightarrow\ w+\alpha Kc>0$; {FLIP}",
    r"without $(t<R_{\mathrm{nb}}\Rightarrow c=1)$",
)
def theorem_h_agree(z: Any, sound: bool) -> Claim:
    v, w, K, alpha, nb, t, c, hypotheses = _lipschitz(z)
    oracle = [z.Implies(t < nb, c == 1)] if sound else []
    return [
        *hypotheses,
        *oracle,
        t < low(z, v / K + alpha, high(z, nb, v / K - alpha)),
    ], w + alpha * K * c > 0


@step(
    "z3",
    "theorem-h-disagree",
    "sharper",
    "theorem-h",
    rf"$|w-v|\le Kt,\ K>0,\ t<\tfrac vK-\alpha\ \Rightarrow\ w+\alpha Kc>0$; {FLIP}",
    r"$t\le$ for $t<$",
)
def theorem_h_disagree(z: Any, sound: bool) -> Claim:
    v, w, K, alpha, _, t, c, hypotheses = _lipschitz(z)
    return [*hypotheses, (lt if sound else le)(t, v / K - alpha)], w + alpha * K * c > 0


@step(
    "z3",
    "theorem-k-count",
    "sharper",
    "theorem-k",
    r"$u+w=2q-1,\ u\ge q\ \Rightarrow\ w\le q-1$, for the numbers $u,w$ of neighbours with "
    r"either label among $k=2q-1$",
    r"$2q$, an even $k$, for $2q-1$",
)
def theorem_k_count(z: Any, sound: bool) -> Claim:
    u, w, q = z.Ints("u w q")
    return [u + w == 2 * q - (1 if sound else 0), u >= q, w >= 0, q >= 1], w <= q - 1


@step(
    "z3",
    "theorem-m-margin",
    "sharper",
    "theorem-m",
    r"$|e|\le Kt,\ K>0,\ t<\tfrac mK+\alpha b,\ b\in\{-1,0,1\}\ \Rightarrow\ m+e+\alpha Kb>0$, "
    r"for $m=h_s-h_c$ at $x$, $b=1[s=k']-1[c=k']$",
    r"$t\le$ for $t<$",
)
def theorem_m_margin(z: Any, sound: bool) -> Claim:
    m, e, K, alpha, b, t = z.Reals("m e K alpha b t")
    return [
        z.Abs(e) <= K * t,
        K > 0,
        alpha >= 0,
        t >= 0,
        z.Or(b == -1, b == 0, b == 1),
        (lt if sound else le)(t, m / K + alpha * b),
    ], m + e + alpha * K * b > 0


@step(
    "z3",
    "theorem-m-two-classes",
    "sharper",
    "theorem-m",
    r"two classes, $R_{\mathrm{nb}}\ge0$: agreement, $R+\alpha>0$: "
    r"$\min\{\max\{0,R+\alpha\},\max\{R_{\mathrm{nb}},R-\alpha\}\}$ is Theorem H's "
    r"radius; disagreement, $R-\alpha>0$: "
    r"$\min\{\max\{0,R-\alpha\},\max\{R_{\mathrm{nb}},R+\alpha\}\}$ $=R-\alpha$",
    r"$R+\alpha$ for $R-\alpha$ beside $R_{\mathrm{nb}}$",
)
def theorem_m_two_classes(z: Any, sound: bool) -> Claim:
    R, alpha, nb = z.Reals("R alpha nb")
    zero, safe = z.RealVal(0), R - alpha if sound else R + alpha
    agree = low(z, high(z, zero, R + alpha), high(z, nb, safe)) == low(
        z, R + alpha, high(z, nb, R - alpha)
    )
    disagree = low(z, high(z, zero, R - alpha), high(z, nb, R + alpha)) == R - alpha
    return [alpha >= 0, nb >= 0], z.And(
        z.Implies(R + alpha > 0, agree), z.Implies(R - alpha > 0, disagree)
    )


def _density(sp: Any) -> tuple[Any, Any]:
    """z and phi(z)."""
    Z = sp.Symbol("z", real=True)
    return Z, sp.exp(-(Z**2) / 2) / sp.sqrt(2 * sp.pi)


@step(
    "sympy",
    "theorem-g-slope",
    "sharper",
    "theorem-g",
    r"$E[Z_+]=\int_0^\infty z\,\varphi(z)\,dz=1/\sqrt{2\pi}$",
    r"$1/\sqrt\pi$ for $1/\sqrt{2\pi}$",
)
def theorem_g_slope(sp: Any, sound: bool) -> Claim:
    Z, density = _density(sp)
    return [(sp.integrate(Z * density, (Z, 0, sp.oo)), 1 / sp.sqrt((2 if sound else 1) * sp.pi))]


@step(
    "sympy",
    "theorem-g-constant",
    "sharper",
    "theorem-g",
    r"$\tfrac d{dz}\big({-z\varphi(z)}\big)=(z^2-1)\varphi(z)$ and $z\varphi(z)\to0$, so "
    r"$E[(Z^2-1)_+]=2\int_1^\infty(z^2-1)\,\varphi(z)\,dz$ $=2\varphi(1)$",
    r"$\varphi(1)$ for $2\varphi(1)$",
)
def theorem_g_constant(sp: Any, sound: bool) -> Claim:
    Z, density = _density(sp)
    rise = sp.limit(-Z * density, Z, sp.oo) + (Z * density).subs(Z, 1)
    return [
        (sp.diff(-Z * density, Z), (Z**2 - 1) * density),
        (2 * rise, (2 if sound else 1) * density.subs(Z, 1)),
    ]


@step(
    "z3",
    "hypothesis-margin",
    "sharper",
    "theorem-a",
    r"$\rho_j\ge\rho_i\ge0,\ 0<n\le\rho_i+\rho_j\ \Rightarrow\ \tfrac{\rho_j^2-\rho_i^2}{2n}\ge"
    r"\tfrac{\rho_j-\rho_i}2$",
    r"$n\ge\rho_i+\rho_j$ for $n\le\rho_i+\rho_j$",
)
def hypothesis_margin(z: Any, sound: bool) -> Claim:
    i, j, n = z.Reals("rho_i rho_j n")
    return [i >= 0, j >= i, n > 0, n <= i + j if sound else n >= i + j], (j * j - i * i) / (
        2 * n
    ) >= (j - i) / 2
