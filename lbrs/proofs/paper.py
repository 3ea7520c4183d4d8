"""Machine-checked steps of the paper's own proofs: Theorems 1 and 6, Propositions 5 and L.

A norm is a real number here; what a step uses of it (|p| <= n t for a pairing p of vectors with
dual norms n and t, or a triangle inequality) is a hypothesis.
"""

from operator import le, lt
from typing import Any

from lbrs.proofs.check import Claim, step


@step(
    "z3",
    "theorem1-lipschitz-step",
    "smoothing",
    "theorem-1",
    r"$|a'-a|\le t,\ |b'-b|\le t,\ a>b,\ 0\le t<\tfrac{a-b}2\ \Rightarrow\ a'>b'$, for "
    r"$a,b=\sigma\Phi^{-1}(g_y),\sigma\Phi^{-1}(g_{y'})$ at $x$ and $a',b'$ "
    r"at $x+\delta$",
    r"$t\le$ for $t<$",
)
def theorem1_lipschitz_step(z: Any, sound: bool) -> Claim:
    a, b, a1, b1, t = z.Reals("a b a' b' t")
    return [
        z.Abs(a1 - a) <= t,
        z.Abs(b1 - b) <= t,
        a > b,
        t >= 0,
        (lt if sound else le)(t, (a - b) / 2),
    ], a1 > b1


@step(
    "sympy",
    "proposition5-affine",
    "limits",
    "proposition-5",
    r"$\sum_i w_i(a(x+e_i)+b)=ax+b+a\sum_i w_ie_i$ for three atoms with $\sum_iw_i=1$, in each "
    r"coordinate",
    "the sign of the last sum",
)
def proposition5_affine(sp: Any, sound: bool) -> Claim:
    a, b, x, w1, w2, e1, e2, e3 = sp.symbols("a b x w1 w2 e1 e2 e3")
    atoms = [(w1, e1), (w2, e2), (1 - w1 - w2, e3)]
    return [
        (
            sum(w * (a * (x + e) + b) for w, e in atoms),
            a * x + b + (1 if sound else -1) * a * sum(w * e for w, e in atoms),
        )
    ]


@step(
    "z3",
    "lemma-0-bound",
    "linear",
    "lemma-0",
    r"$w^\top\delta\ge c,\ w^\top\delta\le nt,\ n>0,\ t\ge0\ \Rightarrow\ t\ge\max\{c,0\}/n$, "
    r"for $n=\|w\|_*$, $t=\|\delta\|$",
    r"$t>$ for $t\ge$",
)
def lemma_0_bound(z: Any, sound: bool) -> Claim:
    p, c, n, t = z.Reals("p c n t")
    bound = z.If(c > 0, c, 0) / n
    return [p >= c, p <= n * t, n > 0, t >= 0], (le if sound else lt)(bound, t)


@step(
    "sympy",
    "difference-of-squares",
    "linear",
    "theorem-6",
    r"$\rho(x+\delta,x_j)^2-\rho(x+\delta,x_i)^2$ "
    r"$=\rho(x,x_j)^2-\rho(x,x_i)^2+2(x_i-x_j)^\top\delta$, in each coordinate",
    "the sign of the last term",
)
def difference_of_squares(sp: Any, sound: bool) -> Claim:
    x, d, xi, xj = sp.symbols("x delta x_i x_j")
    return [
        (
            (x + d - xj) ** 2 - (x + d - xi) ** 2,
            (x - xj) ** 2 - (x - xi) ** 2 + (2 if sound else -2) * (xi - xj) * d,
        )
    ]


@step(
    "z3",
    "bisector-distance",
    "linear",
    "theorem-6",
    r"$|p|\le nt,\ n,D>0,\ 0\le t<\tfrac{D}{2n}\ \Rightarrow\ D+2p>0$, for "
    r"$p=(x_i-x_j)^\top\delta$, $n=\|x_i-x_j\|_*$, $t=\|\delta\|$, "
    r"$D=\rho(x,x_j)^2-\rho(x,x_i)^2$",
    r"$t\le$ for $t<$, as the paper has it",
)
def bisector_distance(z: Any, sound: bool) -> Claim:
    D, p, n, t = z.Reals("D p n t")
    return [
        z.Abs(p) <= n * t,
        n > 0,
        D > 0,
        t >= 0,
        (lt if sound else le)(t, D / (2 * n)),
    ], D + 2 * p > 0


@step(
    "z3",
    "theorem6-strictness",
    "linear",
    "theorem-6",
    r"$|p|\le nt,\ n>0,\ m\ne0,\ 0\le t<\tfrac{|m|}n\ \Rightarrow\ |p|<|m|$, for"
    r" $p=a^\top\delta$, $n=\|a\|_*$, $t=\|\delta\|$, $m=g^\mu(x)$",
    r"$t\le$ for $t<$",
)
def theorem6_strictness(z: Any, sound: bool) -> Claim:
    p, n, t, m = z.Reals("p n t m")
    return [
        z.Abs(p) <= n * t,
        n > 0,
        m != 0,
        t >= 0,
        (lt if sound else le)(t, z.Abs(m) / n),
    ], z.Abs(p) < z.Abs(m)


@step(
    "z3",
    "theorem6-last-step",
    "linear",
    "theorem-6",
    r"$|h-m|<|m|,\ m\ne0\ \Rightarrow\ hm>0$, for $m=g^\mu(x)$, $h=g^\mu(x+\delta)$",
    r"$\le|m|$ for $<|m|$",
)
def theorem6_last_step(z: Any, sound: bool) -> Claim:
    h, m = z.Reals("h m")
    return [(lt if sound else le)(z.Abs(h - m), z.Abs(m)), m != 0], h * m > 0


@step(
    "z3",
    "agreement-gains-alpha",
    "linear",
    "theorem-6",
    r"$yg\ge0,\ y=\pm1,\ n>0,\ \alpha\ge0\ \Rightarrow\ \tfrac{|g+\alpha "
    r"yn|}n=\tfrac{|g|}n+\alpha$, for $n=\|a\|_*$, $y=\hat y(x)$",
    r"$yg\le0$ for $yg\ge0$",
)
def agreement_gains_alpha(z: Any, sound: bool) -> Claim:
    g, y, n, alpha = z.Reals("g y n alpha")
    return [y * g >= 0 if sound else y * g <= 0, z.Or(y == 1, y == -1), n > 0, alpha >= 0], z.Abs(
        g + alpha * y * n
    ) / n == z.Abs(g) / n + alpha


@step(
    "z3",
    "selector-sign",
    "linear",
    "proposition-l",
    r"$y=\pm1,\ G>0,\ \alpha\ge0$: $\ |g|<\alpha G\Rightarrow y(g+\alpha yG)>0$, and $|g|>\alpha "
    r"G\Rightarrow g(g+\alpha yG)>0$",
    r"$|g|\le\alpha G$ for $|g|<\alpha G$",
)
def selector_sign(z: Any, sound: bool) -> Claim:
    g, y, G, alpha = z.Reals("g y G alpha")
    m = g + alpha * y * G
    oracle = z.Implies((lt if sound else le)(z.Abs(g), alpha * G), y * m > 0)
    return [z.Or(y == 1, y == -1), G > 0, alpha >= 0], z.And(
        oracle, z.Implies(z.Abs(g) > alpha * G, g * m > 0)
    )


@step(
    "sympy",
    "tanh-link",
    "linear",
    "proposition-l",
    r"$\tanh(g)\big/\big(\tanh'(g)\,G\big)=\sinh(2g)/(2G)$",
    r"$\sinh(g)$ for $\sinh(2g)$",
)
def tanh_link(sp: Any, sound: bool) -> Claim:
    g, G = sp.symbols("g G", positive=True)
    return [
        (
            (sp.tanh(g) / (sp.diff(sp.tanh(g), g) * G)).rewrite(sp.exp),
            (sp.sinh((2 if sound else 1) * g) / (2 * G)).rewrite(sp.exp),
        )
    ]
