"""Machine-checked steps of the paper's proof of Theorem 8 and of what the chapter adds to it."""

from operator import le, lt
from typing import Any

from lbrs.proofs.check import Claim, step


@step(
    "z3",
    "reverse-triangle",
    "nonlinear",
    "theorem-8",
    r"$u\le v+w,\ v\le u+w\ \Rightarrow\ |u-v|\le w$, for $u=\|\nabla g(x+\delta)\|_*$, "
    r"$v=\|\nabla g(x)\|_*$, $w=\|\nabla g(x+\delta)-\nabla g(x)\|_*$",
    r"$<w$ for $\le w$",
)
def reverse_triangle(z: Any, sound: bool) -> Claim:
    u, v, w = z.Reals("u v w")
    return [u >= 0, v >= 0, w >= 0, u <= v + w, v <= u + w], (le if sound else lt)(z.Abs(u - v), w)


@step(
    "z3",
    "theorem8-collected-terms",
    "nonlinear",
    "theorem-8",
    r"$|p|\le Gt,\ |q|\le Lt^2,\ |c|\le Lt,\ y=\pm1,\ \alpha,L,G,t\ge0\ \Rightarrow\ |p+q+\alpha "
    r"yc|\le(\alpha L+G)t+Lt^2$",
    r"$-\alpha L$ for $\alpha L$",
)
def theorem8_collected_terms(z: Any, sound: bool) -> Claim:
    p, q, c, y, alpha, L, G, t = z.Reals("p q c y alpha L G t")
    hypotheses = [
        z.Abs(p) <= G * t,
        z.Abs(q) <= L * t * t,
        z.Abs(c) <= L * t,
        z.Or(y == 1, y == -1),
        alpha >= 0,
        L >= 0,
        G >= 0,
        t >= 0,
    ]
    return hypotheses, z.Abs(p + q + alpha * y * c) <= (
        (alpha if sound else -alpha) * L + G
    ) * t + L * t * t


@step(
    "sympy",
    "theorem8-quadratic-root",
    "nonlinear",
    "theorem-8",
    r"$Lr^2+Br=m$ for $r=\big(\sqrt{B^2+4Lm}-B\big)/(2L)$",
    r"$+B$ for $-B$ in $r$",
)
def theorem8_quadratic_root(sp: Any, sound: bool) -> Claim:
    B, L, m = sp.symbols("B L m", positive=True)
    r = (sp.sqrt(B**2 + 4 * L * m) + (-B if sound else B)) / (2 * L)
    return [(sp.expand(L * r**2 + B * r), m)]


@step(
    "sympy",
    "theorem8-stable-form",
    "nonlinear",
    "theorem-8",
    r"$\big(\sqrt{B^2+4Lm}-B\big)/(2L)$ $=2m\big/\big(B+\sqrt{B^2+4Lm}\big)$",
    r"$-B$ for $B$ in the denominator",
)
def theorem8_stable_form(sp: Any, sound: bool) -> Claim:
    B, L, m = sp.symbols("B L m", positive=True)
    root = sp.sqrt(B**2 + 4 * L * m)
    return [((root - B) / (2 * L), 2 * m / ((B if sound else -B) + root))]


@step(
    "sympy",
    "theorem8-limit-L0",
    "nonlinear",
    "theorem-8",
    r"$\lim_{L\downarrow0}\big(\sqrt{(\alpha L+G)^2+4Lm}-(\alpha L+G)\big)/(2L)$ $=m/G$ for $G>0$",
    r"$2Lm$ for $4Lm$",
)
def theorem8_limit(sp: Any, sound: bool) -> Claim:
    alpha, L, G, m = sp.symbols("alpha L G m", positive=True)
    B = alpha * L + G
    return [
        (sp.limit((sp.sqrt(B**2 + (4 if sound else 2) * L * m) - B) / (2 * L), L, 0, "+"), m / G)
    ]


@step(
    "z3",
    "theorem8-last-step",
    "nonlinear",
    "theorem-8",
    r"$Lr^2+Br=m,\ L,m>0,\ B\ge0,\ 0\le t<r,\ |e|\le Bt+Lt^2\ \Rightarrow\ |e|<m$, for "
    r"$e=g^\mu(x+\delta)-g^\mu(x)$, $m=|g^\mu(x)|$",
    r"$t\le r$ for $t<r$",
)
def theorem8_last_step(z: Any, sound: bool) -> Claim:
    L, B, r, m, t, e = z.Reals("L B r m t e")
    return [
        L * r * r + B * r == m,
        L > 0,
        m > 0,
        B >= 0,
        t >= 0,
        (lt if sound else le)(t, r),
        z.Abs(e) <= B * t + L * t * t,
    ], z.Abs(e) < m


@step(
    "sympy",
    "descent-lemma",
    "nonlinear",
    "theorem-8",
    r"$\int_0^1L\,\tau t\cdot t\,d\tau=\tfrac L2t^2$: along the segment half of the mean-value "
    r"bound $Lt^2$",
    r"$Lt^2$ for $\tfrac L2t^2$",
)
def descent_lemma(sp: Any, sound: bool) -> Claim:
    L, t, tau = sp.symbols("L t tau", positive=True)
    return [(sp.integrate(L * tau * t * t, (tau, 0, 1)), L * t**2 / (2 if sound else 1))]
