"""Machine-checked steps of Theorem E: what a score with a Lipschitz gradient may do.

Notation as in the chapter: v = s g(x), G = ||grad g(x)||_*, nu = ||grad g(x + delta)||_*,
t = ||delta||.
"""

from operator import le, lt
from typing import Any

from lbrs.proofs.check import Claim, high, step

NU = r"$L>0,\ G,\nu,t,\alpha\ge0,\ |\nu-G|\le Lt$"


def known(z: Any) -> tuple[Any, ...]:
    """v, L, G, nu, t, alpha with what Theorem E knows of them."""
    v, L, G, nu, t, alpha = z.Reals("v L G nu t alpha")
    hypotheses = [L > 0, G >= 0, nu >= 0, t >= 0, alpha >= 0, nu <= G + L * t, nu >= G - L * t]
    return v, L, G, nu, t, alpha, hypotheses


def e1(v: Any, L: Any, G: Any, nu: Any, t: Any) -> Any:
    """The right side of (E1)."""
    return v - L * t**2 / 4 - t * (G + nu) / 2 + (nu - G) ** 2 / (4 * L)


def plus(v: Any, L: Any, G: Any, alpha: Any, t: Any) -> tuple[Any, ...]:
    """Psi_+ where nu* is G - L t, G + L t - 2 alpha L, and 0."""
    m = v + alpha * G
    return (
        m - (G + alpha * L) * t + L * t**2 / 2,
        m - alpha**2 * L - (G - alpha * L) * t - L * t**2 / 2,
        v + G**2 / (4 * L) - G * t / 2 - L * t**2 / 4,
    )


@step(
    "sympy",
    "theorem-e-crossing",
    "sharper",
    "theorem-e",
    r"$\int_0^{\tau^*}\!(A-\Lambda\tau)\,d\tau+\int_{\tau^*}^1\!(B-\Lambda(1-\tau))\,d\tau$ "
    r"$=\tfrac{A+B}2+\tfrac{(A-B)^2}{4\Lambda}-\tfrac\Lambda4$ for "
    r"$\tau^*=\tfrac12+\tfrac{A-B}{2\Lambda}$",
    r"$-\tfrac{(A-B)^2}{4\Lambda}$",
)
def theorem_e_crossing(sp: Any, sound: bool) -> Claim:
    A, B, tau = sp.symbols("A B tau", real=True)
    bend = sp.Symbol("Lambda", positive=True)
    cross = sp.Rational(1, 2) + (A - B) / (2 * bend)
    area = sp.integrate(A - bend * tau, (tau, 0, cross)) + sp.integrate(
        B - bend * (1 - tau), (tau, cross, 1)
    )
    return [(area, (A + B) / 2 + (1 if sound else -1) * (A - B) ** 2 / (4 * bend) - bend / 4)]


@step(
    "z3",
    "theorem-e-crossing-place",
    "sharper",
    "theorem-e",
    r"$|A-B|\le\Lambda,\ \Lambda>0,\ 2\Lambda\tau^*=\Lambda+A-B\ \Rightarrow\ 0\le\tau^*\le1$, "
    r"and $\tau\le\tau^*\Leftrightarrow A-\Lambda\tau\ge "
    r"B-\Lambda(1-\tau)$",
    r"$0<\tau^*$ for $0\le\tau^*$",
)
def theorem_e_crossing_place(z: Any, sound: bool) -> Claim:
    A, B, bend, cross, tau = z.Reals("A B Lambda tau* tau")
    inside = z.And((le if sound else lt)(0, cross), cross <= 1)
    return [z.Abs(A - B) <= bend, bend > 0, 2 * bend * cross == bend + A - B], z.And(
        inside, (tau <= cross) == (A - bend * tau >= B - bend * (1 - tau))
    )


@step(
    "z3",
    "theorem-e-both-down",
    "sharper",
    "theorem-e",
    r"$F(A,B)=\tfrac{A+B}2+\tfrac{(A-B)^2}{4\Lambda}$: $\ A\ge A_0,\ B\ge "
    r"B_0,\ |A-B|\le\Lambda,\ |A_0-B_0|\le\Lambda\ \Rightarrow\ F(A,B)\ge F(A_0,B_0)$",
    r"$|A_0-B_0|\le3\Lambda$",
)
def theorem_e_both_down(z: Any, sound: bool) -> Claim:
    A, B, A0, B0, bend = z.Reals("A B A0 B0 Lambda")
    hypotheses = [
        A >= A0,
        B >= B0,
        bend > 0,
        z.Abs(A - B) <= bend,
        z.Abs(A0 - B0) <= (1 if sound else 3) * bend,
    ]
    return hypotheses, 2 * bend * (A + B) + (A - B) ** 2 >= 2 * bend * (A0 + B0) + (A0 - B0) ** 2


@step(
    "sympy",
    "theorem-e-lower-at-G",
    "sharper",
    "theorem-e",
    r"$v+\tfrac{A+B}2+\tfrac{(A-B)^2}{4Lt^2}-\tfrac{Lt^2}4$ at $A=-Gt,\ B=-\nu t$ is the right "
    r"side of (E1)",
    r"$B=+\nu t$ for $B=-\nu t$",
)
def theorem_e_lower_at_G(sp: Any, sound: bool) -> Claim:
    v, L, G, nu, t = sp.symbols("v L G nu t", positive=True)
    A, B = -G * t, -nu * t if sound else nu * t
    return [(v + (A + B) / 2 + (A - B) ** 2 / (4 * L * t**2) - L * t**2 / 4, e1(v, L, G, nu, t))]


@step(
    "z3",
    "theorem-e-psi-minus",
    "sharper",
    "theorem-e",
    rf"{NU} $\Rightarrow$ (E1) $-\,\alpha\nu\ge\Psi_-(t)=v-\alpha G-(G+\alpha L)t-\tfrac L2t^2$",
    r"$\tfrac L4t^2$ for $\tfrac L2t^2$",
)
def theorem_e_psi_minus(z: Any, sound: bool) -> Claim:
    v, L, G, nu, t, alpha, hypotheses = known(z)
    return hypotheses, e1(v, L, G, nu, t) - alpha * nu >= v - alpha * G - (
        G + alpha * L
    ) * t - L * t**2 / (2 if sound else 4)


@step(
    "z3",
    "theorem-e-psi-plus",
    "sharper",
    "theorem-e",
    rf"{NU} $\Rightarrow$ (E1) $+\,\alpha\nu$ is least at "
    rf"$\nu^*=\max\{{0,G-Lt,G+Lt-2\alpha L\}}$, and $|\nu^*-G|\le Lt$",
    r"$G+Lt-\alpha L$ for $G+Lt-2\alpha L$",
)
def theorem_e_psi_plus(z: Any, sound: bool) -> Claim:
    v, L, G, nu, t, alpha, hypotheses = known(z)
    best = high(z, z.RealVal(0), G - L * t, G + L * t - (2 if sound else 1) * alpha * L)
    return hypotheses, z.And(
        e1(v, L, G, nu, t) + alpha * nu >= e1(v, L, G, best, t) + alpha * best,
        best <= G + L * t,
        best >= G - L * t,
    )


@step(
    "sympy",
    "theorem-e-regimes",
    "sharper",
    "theorem-e",
    r"(E1) $+\,\alpha\nu$ at $\nu=G-Lt$, $0$ and $G+Lt-2\alpha L$: the three formulas of $\Psi_+$",
    r"$+\alpha^2L$ for $-\alpha^2L$ in the third",
)
def theorem_e_regimes(sp: Any, sound: bool) -> Claim:
    v, L, G, alpha, t = sp.symbols("v L G alpha t", positive=True)
    early, late, flat = plus(v, L, G, alpha, t)
    late = late if sound else late + 2 * alpha**2 * L
    return [
        (e1(v, L, G, nu, t) + alpha * nu, formula)
        for nu, formula in (
            (G - L * t, early),
            (G + L * t - 2 * alpha * L, late),
            (sp.Integer(0), flat),
        )
    ]


@step(
    "z3",
    "theorem-e-monotone",
    "sharper",
    "theorem-e",
    r"the slopes of $\Psi_\pm$: $-(G+\alpha L)-Lt\le0$; $\ t\le\alpha\Rightarrow-(G+\alpha "
    r"L)+Lt\le0$; $\ t\ge\alpha\Rightarrow\alpha L-G-Lt\le0$; $\ "
    r"-\tfrac{G+Lt}2\le0$",
    r"$t\ge\alpha$ for $t\le\alpha$",
)
def theorem_e_monotone(z: Any, sound: bool) -> Claim:
    L, G, alpha, t = z.Reals("L G alpha t")
    early = z.Implies(t <= alpha if sound else t >= alpha, -(G + alpha * L) + L * t <= 0)
    late = z.Implies(t >= alpha, alpha * L - G - L * t <= 0)
    return [L > 0, G >= 0, alpha >= 0, t >= 0], z.And(
        -(G + alpha * L) - L * t <= 0, early, late, -(G + L * t) / 2 <= 0
    )


@step(
    "sympy",
    "theorem-e-ridge",
    "sharper",
    "theorem-e",
    r"the ridge $\int_0^t\min\{G+L\tau,\nu+L(t-\tau)\}\,d\tau$ $=\tfrac t2(G+\nu)+\tfrac "
    r"L4t^2-\tfrac{(\nu-G)^2}{4L}$, its peak at $\tfrac "
    r"t2+\tfrac{\nu-G}{2L}$",
    r"$+\tfrac{(\nu-G)^2}{4L}$",
)
def theorem_e_ridge(sp: Any, sound: bool) -> Claim:
    L, G, nu, t, tau = sp.symbols("L G nu t tau", positive=True)
    peak = t / 2 + (nu - G) / (2 * L)
    area = sp.integrate(G + L * tau, (tau, 0, peak)) + sp.integrate(
        nu + L * (t - tau), (tau, peak, t)
    )
    return [
        (area, t * (G + nu) / 2 + L * t**2 / 4 - (1 if sound else -1) * (nu - G) ** 2 / (4 * L))
    ]
