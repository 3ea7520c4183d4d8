"""Machine-checked steps of the radii of Theorem E in closed form, and of Theorem E'.

Notation as in `lbrs.proofs.smooth`.
"""

from operator import le, lt
from typing import Any

from lbrs.proofs.check import Claim, high, low, step
from lbrs.proofs.linear import FLIP
from lbrs.proofs.smooth import NU, e1, known


@step(
    "sympy",
    "theorem-e-root-minus",
    "sharper",
    "theorem-e",
    r"$\Psi_-(t)=0$ at $t=2m_-\big/\big(B+\sqrt{B^2+2Lm_-}\big)$, $B=G+\alpha L$",
    r"$4Lm_-$ for $2Lm_-$",
)
def theorem_e_root_minus(sp: Any, sound: bool) -> Claim:
    B, L, m = sp.symbols("B L m", positive=True)
    t = 2 * m / (B + sp.sqrt(B**2 + (2 if sound else 4) * L * m))
    return [(B * t + L * t**2 / 2, m)]


@step(
    "sympy",
    "theorem-e-root-plus-1",
    "sharper",
    "theorem-e",
    r"first formula of $\Psi_+$: $\ Bt-\tfrac L2t^2=m_+$ at "
    r"$t=2m_+\big/\big(B+\sqrt{B^2-2Lm_+}\big)$",
    r"$+2Lm_+$ for $-2Lm_+$",
)
def theorem_e_root_plus_1(sp: Any, sound: bool) -> Claim:
    B, L, m = sp.symbols("B L m", positive=True)
    t = 2 * m / (B + sp.sqrt(B**2 + (-2 if sound else 2) * L * m))
    return [(B * t - L * t**2 / 2, m)]


@step(
    "sympy",
    "theorem-e-root-plus-2",
    "sharper",
    "theorem-e",
    r"second formula ($\nu^*=0$): $\ \tfrac G2t+\tfrac L4t^2=v+\tfrac{G^2}{4L}$ at "
    r"$t=\big(\sqrt{2G^2+4Lv}-G\big)/L$",
    r"$G^2$ for $2G^2$",
)
def theorem_e_root_plus_2(sp: Any, sound: bool) -> Claim:
    v, L, G = sp.symbols("v L G", positive=True)
    t = (sp.sqrt((2 if sound else 1) * G**2 + 4 * L * v) - G) / L
    return [(sp.expand(G * t / 2 + L * t**2 / 4), v + G**2 / (4 * L))]


@step(
    "sympy",
    "theorem-e-root-plus-3",
    "sharper",
    "theorem-e",
    r"third formula: $\ Ct+\tfrac L2t^2=m_+-\alpha^2L$ at "
    r"$t=\big(\sqrt{C^2+2L(m_+-\alpha^2L)}-C\big)/L$, $C=G-\alpha L$",
    r"$+\alpha^2L$ under the root",
)
def theorem_e_root_plus_3(sp: Any, sound: bool) -> Claim:
    C, L, m, alpha = sp.symbols("C L m alpha", positive=True)
    t = (sp.sqrt(C**2 + 2 * L * (m - (1 if sound else -1) * alpha**2 * L)) - C) / L
    return [(sp.expand(C * t + L * t**2 / 2), m - alpha**2 * L)]


@step(
    "z3",
    "theorem-e-ratio",
    "sharper",
    "theorem-e",
    r"$Bx+\tfrac L2x^2=m,\ Br+Lr^2=m,\ x,r>0,\ B\ge0,\ L>0\ \Rightarrow\ r\le x,\ x^2\le2r^2$: "
    r"the ratio $\rho_-/r^\mu_{\mathrm{bdry}}$ is in $[1,\sqrt2]$",
    r"$x^2<2r^2$ for $x^2\le2r^2$",
)
def theorem_e_ratio(z: Any, sound: bool) -> Claim:
    B, L, x, r = z.Reals("B L x r")
    return [B * x + L * x * x / 2 == B * r + L * r * r, x > 0, r > 0, B >= 0, L > 0], z.And(
        r <= x, (le if sound else lt)(x * x, 2 * r * r)
    )


@step(
    "z3",
    "theorem-e-prime-agree",
    "sharper",
    "theorem-e-prime",
    rf"$p_\pm>0$ for $t<\rho_\pm$, $\ h\ge p_+$ if $c=1$, $\ h\ge p_-$ if $c=-1$, "
    rf"$\ (t<R_{{\mathrm{{nb}}}}\Rightarrow c=1),\ "
    rf"t<\min\{{\rho_+,\max\{{R_{{\mathrm{{nb}}}},\rho_-\}}\}}\ \Rightarrow\ h>0$; {FLIP}",
    r"$\max$ for $\min$",
)
def theorem_e_prime_agree(z: Any, sound: bool) -> Claim:
    h, plus, minus, along, against, nb, t, c = z.Reals("h p+ p- rho+ rho- nb t c")
    positive = [z.Implies(t < along, plus > 0), z.Implies(t < against, minus > 0)]
    bounds = [z.Or(c == 1, c == -1), z.Implies(c == 1, h >= plus), z.Implies(c == -1, h >= minus)]
    return [
        *positive,
        *bounds,
        z.Implies(t < nb, c == 1),
        t >= 0,
        t < (low if sound else high)(z, along, high(z, nb, against)),
    ], h > 0


@step(
    "z3",
    "theorem-e-prime-order",
    "sharper",
    "theorem-e-prime",
    rf"{NU} $\Rightarrow$ (E1) $+\,\alpha\nu\ge\Psi_-(t)$, and so $\Psi_+\ge\Psi_-$ and "
    rf"$\rho_+\ge\rho_-$",
    r"$>$ for $\ge$",
)
def theorem_e_prime_order(z: Any, sound: bool) -> Claim:
    v, L, G, nu, t, alpha, hypotheses = known(z)
    return hypotheses, (le if sound else lt)(
        v - alpha * G - (G + alpha * L) * t - L * t**2 / 2, e1(v, L, G, nu, t) + alpha * nu
    )


@step(
    "z3",
    "theorem-e-prime-paper",
    "sharper",
    "theorem-e-prime",
    rf"{NU} $\Rightarrow$ (E1) $\pm\,\alpha\nu\ge v\pm\alpha G-(G+\alpha L)t-Lt^2$, the bound of "
    rf"Theorem 8",
    r"$\tfrac L4t^2$ for $Lt^2$",
)
def theorem_e_prime_paper(z: Any, sound: bool) -> Claim:
    v, L, G, nu, t, alpha, hypotheses = known(z)
    fall = (G + alpha * L) * t + L * t**2 / (1 if sound else 4)
    return hypotheses, z.And(
        *(e1(v, L, G, nu, t) + sign * alpha * nu >= v + sign * alpha * G - fall for sign in (1, -1))
    )


@step(
    "sympy",
    "theorem-e-prime-limit",
    "sharper",
    "theorem-e-prime",
    r"$L\downarrow0,\ G>0$: the roots of $\Psi_-$ and of the first and third formula of $\Psi_+$ "
    r"tend to $m_-/G$, $m_+/G$, $m_+/G$",
    r"$\alpha L$ without $G$ in $B$",
)
def theorem_e_prime_limit(sp: Any, sound: bool) -> Claim:
    alpha, L, G, m = sp.symbols("alpha L G m", positive=True)
    B, C = (G if sound else 0) + alpha * L, G - alpha * L
    roots = [
        2 * m / (B + sp.sqrt(B**2 + 2 * L * m)),
        2 * m / (B + sp.sqrt(B**2 - 2 * L * m)),
        (sp.sqrt(C**2 + 2 * L * (m - alpha**2 * L)) - C) / L,
    ]
    return [(sp.limit(root, L, 0, "+"), m / G) for root in (roots if sound else roots[:1])]
