"""Machine-checked steps of the sharper certificates: Theorems A, B, E, E', G, H, K, M and the
hypothesis margin.

Notation as in the chapter: R = s g(x)/||a||_* or s h(x)/K, nb = R_nb, t = ||delta||; c = +1 where
the oracle's label at x + delta is s, else -1.
"""

from operator import le, lt

from lbrs.proofs.check import step

FLIP = r"$c=\pm1$ is $s\,\hat y(x+\delta)$"
NU = r"$L>0,\ G,\nu,t,\alpha\ge0,\ |\nu-G|\le Lt$"


def low(z, a, b):
    """min{a, b} as a z3 term."""
    return z.If(a <= b, a, b)


def high(z, *terms):
    """max of z3 terms."""
    largest = terms[0]
    for term in terms[1:]:
        largest = z.If(term >= largest, term, largest)
    return largest


@step(
    "z3",
    "theorem-a-bisector",
    "sharper",
    "theorem-a",
    r"$p\ge\tfrac D2,\ p\le nt,\ n>0\ \Rightarrow\ t\ge\tfrac D{2n}$, for $p=(x_j-x_k)^\top\delta$, $n=\|x_k-x_j\|_*$",
    r"$t>$ for $t\ge$",
)
def theorem_a_bisector(z, sound):
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
def theorem_a_order(z, sound):
    i1, i2, k1, k2 = z.Reals("b_i1 b_i2 b_k1 b_k2")
    return [], (le if sound else lt)(low(z, i1, i2), low(z, high(z, i1, k1), high(z, i2, k2)))


def _moved(z):
    """R, alpha, nb, t, the change e of s g/||a||_* with |e| <= t, and c."""
    R, alpha, nb, t, e, c = z.Reals("R alpha nb t e c")
    return R, alpha, nb, t, e, c, [alpha >= 0, t >= 0, z.Abs(e) <= t, z.Or(c == 1, c == -1)]


@step(
    "z3",
    "theorem-b-agree",
    "sharper",
    "theorem-b",
    rf"$|e|\le t,\ (t<R_{{\mathrm{{nb}}}}\Rightarrow c=1),\ t<\min\{{R+\alpha,\max\{{R_{{\mathrm{{nb}}}},R-\alpha\}}\}}\ \Rightarrow\ R+e+\alpha c>0$; "
    rf"{FLIP}",
    r"the flip-safe radius $R+\alpha$ for $R-\alpha$",
)
def theorem_b_agree(z, sound):
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
    rf"$|e|\le t<R-\alpha,\ R>\alpha\ \Rightarrow\ R+e+\alpha c>0$, without any condition on the oracle; {FLIP}",
    r"$t\le R-\alpha$ for $t<R-\alpha$",
)
def theorem_b_disagree(z, sound):
    R, alpha, _, t, e, c, hypotheses = _moved(z)
    return [*hypotheses, alpha < R, (lt if sound else le)(t, R - alpha)], R + e + alpha * c > 0


@step(
    "z3",
    "theorem-b-order",
    "sharper",
    "theorem-b",
    r"$r_B\ge\min\{R_{\mathrm{own}},r\}$ in both cases, for $r=r^\mu_{\mathrm{nghbr}}\le R_{\mathrm{nb}}$",
    r"$r\ge R_{\mathrm{nb}}$ for $r\le R_{\mathrm{nb}}$",
)
def theorem_b_order(z, sound):
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
    r"$\alpha=0,\ R\ge0,\ R_{\mathrm{nb}}\ge0\ \Rightarrow\ \min\{R+\alpha,\max\{R_{\mathrm{nb}},R-\alpha\}\}=R=R-\alpha$",
    r"$\alpha\ge0$ for $\alpha=0$",
)
def theorem_b_alpha0(z, sound):
    R, alpha, nb = z.Reals("R alpha nb")
    return [alpha == 0 if sound else alpha >= 0, R >= 0, nb >= 0], z.And(
        low(z, R + alpha, high(z, nb, R - alpha)) == R, R - alpha == R
    )


@step(
    "sympy",
    "theorem-e-crossing",
    "sharper",
    "theorem-e",
    r"$\int_0^{\tau^*}\!(A-\Lambda\tau)\,d\tau+\int_{\tau^*}^1\!(B-\Lambda(1-\tau))\,d\tau$ $=\tfrac{A+B}2+\tfrac{(A-B)^2}{4\Lambda}-\tfrac\Lambda4$ for "
    r"$\tau^*=\tfrac12+\tfrac{A-B}{2\Lambda}$",
    r"$-\tfrac{(A-B)^2}{4\Lambda}$",
)
def theorem_e_crossing(sp, sound):
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
    r"$|A-B|\le\Lambda,\ \Lambda>0,\ 2\Lambda\tau^*=\Lambda+A-B\ \Rightarrow\ 0\le\tau^*\le1$, and $\tau\le\tau^*\Leftrightarrow A-\Lambda\tau\ge "
    r"B-\Lambda(1-\tau)$",
    r"$0<\tau^*$ for $0\le\tau^*$",
)
def theorem_e_crossing_place(z, sound):
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
    r"$F(A,B)=\tfrac{A+B}2+\tfrac{(A-B)^2}{4\Lambda}$: $\ A\ge A_0,\ B\ge B_0,\ |A-B|\le\Lambda,\ |A_0-B_0|\le\Lambda\ \Rightarrow\ F(A,B)\ge F(A_0,B_0)$",
    r"$|A_0-B_0|\le3\Lambda$",
)
def theorem_e_both_down(z, sound):
    A, B, A0, B0, bend = z.Reals("A B A0 B0 Lambda")
    hypotheses = [
        A >= A0,
        B >= B0,
        bend > 0,
        z.Abs(A - B) <= bend,
        z.Abs(A0 - B0) <= (1 if sound else 3) * bend,
    ]
    return hypotheses, 2 * bend * (A + B) + (A - B) ** 2 >= 2 * bend * (A0 + B0) + (A0 - B0) ** 2


def _e1(v, L, G, nu, t):
    """The right side of (E1)."""
    return v - L * t**2 / 4 - t * (G + nu) / 2 + (nu - G) ** 2 / (4 * L)


@step(
    "sympy",
    "theorem-e-lower-at-G",
    "sharper",
    "theorem-e",
    r"$v+\tfrac{A+B}2+\tfrac{(A-B)^2}{4Lt^2}-\tfrac{Lt^2}4$ at $A=-Gt,\ B=-\nu t$ is the right side of (E1)",
    r"$B=+\nu t$ for $B=-\nu t$",
)
def theorem_e_lower_at_G(sp, sound):
    v, L, G, nu, t = sp.symbols("v L G nu t", positive=True)
    A, B = -G * t, -nu * t if sound else nu * t
    return [(v + (A + B) / 2 + (A - B) ** 2 / (4 * L * t**2) - L * t**2 / 4, _e1(v, L, G, nu, t))]


def _nu(z):
    """v, L, G, nu, t, alpha with what Theorem E knows of them."""
    v, L, G, nu, t, alpha = z.Reals("v L G nu t alpha")
    return (
        v,
        L,
        G,
        nu,
        t,
        alpha,
        [L > 0, G >= 0, nu >= 0, t >= 0, alpha >= 0, nu <= G + L * t, nu >= G - L * t],
    )


@step(
    "z3",
    "theorem-e-psi-minus",
    "sharper",
    "theorem-e",
    rf"{NU} $\Rightarrow$ (E1) $-\,\alpha\nu\ge\Psi_-(t)=v-\alpha G-(G+\alpha L)t-\tfrac L2t^2$",
    r"$\tfrac L4t^2$ for $\tfrac L2t^2$",
)
def theorem_e_psi_minus(z, sound):
    v, L, G, nu, t, alpha, hypotheses = _nu(z)
    return hypotheses, _e1(v, L, G, nu, t) - alpha * nu >= v - alpha * G - (
        G + alpha * L
    ) * t - L * t**2 / (2 if sound else 4)


@step(
    "z3",
    "theorem-e-psi-plus",
    "sharper",
    "theorem-e",
    rf"{NU} $\Rightarrow$ (E1) $+\,\alpha\nu$ is least at $\nu^*=\max\{{0,G-Lt,G+Lt-2\alpha L\}}$, and $|\nu^*-G|\le Lt$",
    r"$G+Lt-\alpha L$ for $G+Lt-2\alpha L$",
)
def theorem_e_psi_plus(z, sound):
    v, L, G, nu, t, alpha, hypotheses = _nu(z)
    best = high(z, z.RealVal(0), G - L * t, G + L * t - (2 if sound else 1) * alpha * L)
    return hypotheses, z.And(
        _e1(v, L, G, nu, t) + alpha * nu >= _e1(v, L, G, best, t) + alpha * best,
        best <= G + L * t,
        best >= G - L * t,
    )


def _plus(v, L, G, alpha, t):
    """Psi_+ where nu* is G - L t, G + L t - 2 alpha L, and 0."""
    m = v + alpha * G
    return (
        m - (G + alpha * L) * t + L * t**2 / 2,
        m - alpha**2 * L - (G - alpha * L) * t - L * t**2 / 2,
        v + G**2 / (4 * L) - G * t / 2 - L * t**2 / 4,
    )


@step(
    "sympy",
    "theorem-e-regimes",
    "sharper",
    "theorem-e",
    r"(E1) $+\,\alpha\nu$ at $\nu=G-Lt$, $0$ and $G+Lt-2\alpha L$: the three formulas of $\Psi_+$",
    r"$+\alpha^2L$ for $-\alpha^2L$ in the third",
)
def theorem_e_regimes(sp, sound):
    v, L, G, alpha, t = sp.symbols("v L G alpha t", positive=True)
    early, late, flat = _plus(v, L, G, alpha, t)
    late = late if sound else late + 2 * alpha**2 * L
    return [
        (_e1(v, L, G, nu, t) + alpha * nu, formula)
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
    r"the slopes of $\Psi_\pm$: $-(G+\alpha L)-Lt\le0$; $\ t\le\alpha\Rightarrow-(G+\alpha L)+Lt\le0$; $\ t\ge\alpha\Rightarrow\alpha L-G-Lt\le0$; $\ "
    r"-\tfrac{G+Lt}2\le0$",
    r"$t\ge\alpha$ for $t\le\alpha$",
)
def theorem_e_monotone(z, sound):
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
    r"the ridge $\int_0^t\min\{G+L\tau,\nu+L(t-\tau)\}\,d\tau$ $=\tfrac t2(G+\nu)+\tfrac L4t^2-\tfrac{(\nu-G)^2}{4L}$, its peak at $\tfrac "
    r"t2+\tfrac{\nu-G}{2L}$",
    r"$+\tfrac{(\nu-G)^2}{4L}$",
)
def theorem_e_ridge(sp, sound):
    L, G, nu, t, tau = sp.symbols("L G nu t tau", positive=True)
    peak = t / 2 + (nu - G) / (2 * L)
    area = sp.integrate(G + L * tau, (tau, 0, peak)) + sp.integrate(
        nu + L * (t - tau), (tau, peak, t)
    )
    return [
        (area, t * (G + nu) / 2 + L * t**2 / 4 - (1 if sound else -1) * (nu - G) ** 2 / (4 * L))
    ]


@step(
    "sympy",
    "theorem-e-root-minus",
    "sharper",
    "theorem-e",
    r"$\Psi_-(t)=0$ at $t=2m_-\big/\big(B+\sqrt{B^2+2Lm_-}\big)$, $B=G+\alpha L$",
    r"$4Lm_-$ for $2Lm_-$",
)
def theorem_e_root_minus(sp, sound):
    B, L, m = sp.symbols("B L m", positive=True)
    t = 2 * m / (B + sp.sqrt(B**2 + (2 if sound else 4) * L * m))
    return [(B * t + L * t**2 / 2, m)]


@step(
    "sympy",
    "theorem-e-root-plus-1",
    "sharper",
    "theorem-e",
    r"first formula of $\Psi_+$: $\ Bt-\tfrac L2t^2=m_+$ at $t=2m_+\big/\big(B+\sqrt{B^2-2Lm_+}\big)$",
    r"$+2Lm_+$ for $-2Lm_+$",
)
def theorem_e_root_plus_1(sp, sound):
    B, L, m = sp.symbols("B L m", positive=True)
    t = 2 * m / (B + sp.sqrt(B**2 + (-2 if sound else 2) * L * m))
    return [(B * t - L * t**2 / 2, m)]


@step(
    "sympy",
    "theorem-e-root-plus-2",
    "sharper",
    "theorem-e",
    r"second formula ($\nu^*=0$): $\ \tfrac G2t+\tfrac L4t^2=v+\tfrac{G^2}{4L}$ at $t=\big(\sqrt{2G^2+4Lv}-G\big)/L$",
    r"$G^2$ for $2G^2$",
)
def theorem_e_root_plus_2(sp, sound):
    v, L, G = sp.symbols("v L G", positive=True)
    t = (sp.sqrt((2 if sound else 1) * G**2 + 4 * L * v) - G) / L
    return [(sp.expand(G * t / 2 + L * t**2 / 4), v + G**2 / (4 * L))]


@step(
    "sympy",
    "theorem-e-root-plus-3",
    "sharper",
    "theorem-e",
    r"third formula: $\ Ct+\tfrac L2t^2=m_+-\alpha^2L$ at $t=\big(\sqrt{C^2+2L(m_+-\alpha^2L)}-C\big)/L$, $C=G-\alpha L$",
    r"$+\alpha^2L$ under the root",
)
def theorem_e_root_plus_3(sp, sound):
    C, L, m, alpha = sp.symbols("C L m alpha", positive=True)
    t = (sp.sqrt(C**2 + 2 * L * (m - (1 if sound else -1) * alpha**2 * L)) - C) / L
    return [(sp.expand(C * t + L * t**2 / 2), m - alpha**2 * L)]


@step(
    "z3",
    "theorem-e-ratio",
    "sharper",
    "theorem-e",
    r"$Bx+\tfrac L2x^2=m,\ Br+Lr^2=m,\ x,r>0,\ B\ge0,\ L>0\ \Rightarrow\ r\le x,\ x^2\le2r^2$: the ratio $\rho_-/r^\mu_{\mathrm{bdry}}$ is in $[1,\sqrt2]$",
    r"$x^2<2r^2$ for $x^2\le2r^2$",
)
def theorem_e_ratio(z, sound):
    B, L, x, r = z.Reals("B L x r")
    return [B * x + L * x * x / 2 == B * r + L * r * r, x > 0, r > 0, B >= 0, L > 0], z.And(
        r <= x, (le if sound else lt)(x * x, 2 * r * r)
    )


@step(
    "z3",
    "theorem-e-prime-agree",
    "sharper",
    "theorem-e-prime",
    rf"$p_\pm>0$ for $t<\rho_\pm$, $\ h\ge p_+$ if $c=1$, $\ h\ge p_-$ if $c=-1$, $\ (t<R_{{\mathrm{{nb}}}}\Rightarrow c=1),\ "
    rf"t<\min\{{\rho_+,\max\{{R_{{\mathrm{{nb}}}},\rho_-\}}\}}\ \Rightarrow\ h>0$; {FLIP}",
    r"$\max$ for $\min$",
)
def theorem_e_prime_agree(z, sound):
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
    rf"{NU} $\Rightarrow$ (E1) $+\,\alpha\nu\ge\Psi_-(t)$, and so $\Psi_+\ge\Psi_-$ and $\rho_+\ge\rho_-$",
    r"$>$ for $\ge$",
)
def theorem_e_prime_order(z, sound):
    v, L, G, nu, t, alpha, hypotheses = _nu(z)
    return hypotheses, (le if sound else lt)(
        v - alpha * G - (G + alpha * L) * t - L * t**2 / 2, _e1(v, L, G, nu, t) + alpha * nu
    )


@step(
    "z3",
    "theorem-e-prime-paper",
    "sharper",
    "theorem-e-prime",
    rf"{NU} $\Rightarrow$ (E1) $\pm\,\alpha\nu\ge v\pm\alpha G-(G+\alpha L)t-Lt^2$, the bound of Theorem 8",
    r"$\tfrac L4t^2$ for $Lt^2$",
)
def theorem_e_prime_paper(z, sound):
    v, L, G, nu, t, alpha, hypotheses = _nu(z)
    fall = (G + alpha * L) * t + L * t**2 / (1 if sound else 4)
    return hypotheses, z.And(
        *(
            _e1(v, L, G, nu, t) + sign * alpha * nu >= v + sign * alpha * G - fall
            for sign in (1, -1)
        )
    )


@step(
    "sympy",
    "theorem-e-prime-limit",
    "sharper",
    "theorem-e-prime",
    r"$L\downarrow0,\ G>0$: the roots of $\Psi_-$ and of the first and third formula of $\Psi_+$ tend to $m_-/G$, $m_+/G$, $m_+/G$",
    r"$\alpha L$ without $G$ in $B$",
)
def theorem_e_prime_limit(sp, sound):
    alpha, L, G, m = sp.symbols("alpha L G m", positive=True)
    B, C = (G if sound else 0) + alpha * L, G - alpha * L
    roots = [
        2 * m / (B + sp.sqrt(B**2 + 2 * L * m)),
        2 * m / (B + sp.sqrt(B**2 - 2 * L * m)),
        (sp.sqrt(C**2 + 2 * L * (m - alpha**2 * L)) - C) / L,
    ]
    return [(sp.limit(root, L, 0, "+"), m / G) for root in (roots if sound else roots[:1])]


def _lipschitz(z):
    """v = s h(x), w = s h(x + delta) with |w - v| <= K t, alpha, nb, t, c."""
    v, w, K, alpha, nb, t, c = z.Reals("v w K alpha nb t c")
    return (
        v,
        w,
        K,
        alpha,
        nb,
        t,
        c,
        [K > 0, alpha >= 0, t >= 0, z.Abs(w - v) <= K * t, z.Or(c == 1, c == -1)],
    )


@step(
    "z3",
    "theorem-h-agree",
    "sharper",
    "theorem-h",
    rf"$|w-v|\le Kt,\ K>0,\ R=\tfrac vK,\ (t<R_{{\mathrm{{nb}}}}\Rightarrow c=1),\ t<\min\{{R+\alpha,\max\{{R_{{\mathrm{{nb}}}},R-\alpha\}}\}}\ "
    rf"\Rightarrow\ w+\alpha Kc>0$; {FLIP}",
    r"without $(t<R_{\mathrm{nb}}\Rightarrow c=1)$",
)
def theorem_h_agree(z, sound):
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
def theorem_h_disagree(z, sound):
    v, w, K, alpha, _, t, c, hypotheses = _lipschitz(z)
    return [*hypotheses, (lt if sound else le)(t, v / K - alpha)], w + alpha * K * c > 0


@step(
    "z3",
    "theorem-k-count",
    "sharper",
    "theorem-k",
    r"$u+w=2q-1,\ u\ge q\ \Rightarrow\ w\le q-1$, for the numbers $u,w$ of neighbours with either label among $k=2q-1$",
    r"$2q$, an even $k$, for $2q-1$",
)
def theorem_k_count(z, sound):
    u, w, q = z.Ints("u w q")
    return [u + w == 2 * q - (1 if sound else 0), u >= q, w >= 0, q >= 1], w <= q - 1


@step(
    "z3",
    "theorem-m-margin",
    "sharper",
    "theorem-m",
    r"$|e|\le Kt,\ K>0,\ t<\tfrac mK+\alpha b,\ b\in\{-1,0,1\}\ \Rightarrow\ m+e+\alpha Kb>0$, for $m=h_s-h_c$ at $x$, $b=1[s=k']-1[c=k']$",
    r"$t\le$ for $t<$",
)
def theorem_m_margin(z, sound):
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
    r"two classes, $R_{\mathrm{nb}}\ge0$: agreement, $R+\alpha>0$: $\min\{\max\{0,R+\alpha\},\max\{R_{\mathrm{nb}},R-\alpha\}\}$ is Theorem H's "
    r"radius; disagreement, $R-\alpha>0$: $\min\{\max\{0,R-\alpha\},\max\{R_{\mathrm{nb}},R+\alpha\}\}$ $=R-\alpha$",
    r"$R+\alpha$ for $R-\alpha$ beside $R_{\mathrm{nb}}$",
)
def theorem_m_two_classes(z, sound):
    R, alpha, nb = z.Reals("R alpha nb")
    zero, safe = z.RealVal(0), R - alpha if sound else R + alpha
    agree = low(z, high(z, zero, R + alpha), high(z, nb, safe)) == low(
        z, R + alpha, high(z, nb, R - alpha)
    )
    disagree = low(z, high(z, zero, R - alpha), high(z, nb, R + alpha)) == R - alpha
    return [alpha >= 0, nb >= 0], z.And(
        z.Implies(R + alpha > 0, agree), z.Implies(R - alpha > 0, disagree)
    )


def _density(sp):
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
def theorem_g_slope(sp, sound):
    Z, density = _density(sp)
    return [(sp.integrate(Z * density, (Z, 0, sp.oo)), 1 / sp.sqrt((2 if sound else 1) * sp.pi))]


@step(
    "sympy",
    "theorem-g-constant",
    "sharper",
    "theorem-g",
    r"$\tfrac d{dz}\big({-z\varphi(z)}\big)=(z^2-1)\varphi(z)$ and $z\varphi(z)\to0$, so $E[(Z^2-1)_+]=2\int_1^\infty(z^2-1)\,\varphi(z)\,dz$ $=2\varphi(1)$",
    r"$\varphi(1)$ for $2\varphi(1)$",
)
def theorem_g_constant(sp, sound):
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
    r"$\rho_j\ge\rho_i\ge0,\ 0<n\le\rho_i+\rho_j\ \Rightarrow\ \tfrac{\rho_j^2-\rho_i^2}{2n}\ge\tfrac{\rho_j-\rho_i}2$",
    r"$n\ge\rho_i+\rho_j$ for $n\le\rho_i+\rho_j$",
)
def hypothesis_margin(z, sound):
    i, j, n = z.Reals("rho_i rho_j n")
    return [i >= 0, j >= i, n > 0, n <= i + j if sound else n >= i + j], (j * j - i * i) / (
        2 * n
    ) >= (j - i) / 2
