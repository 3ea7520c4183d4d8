"""Machine-checked steps of the paper's own proofs: Theorems 1, 6 and 8, Propositions 5 and L.

A norm is a real number here; what a step uses of it (|p| <= n t for a pairing p of vectors with
dual norms n and t, or a triangle inequality) is a hypothesis.
"""

from operator import le, lt

from lbrs.proofs.check import step


@step(
    "z3",
    "theorem1-lipschitz-step",
    "smoothing",
    "theorem-1",
    r"$|a'-a|\le t,\ |b'-b|\le t,\ a>b,\ 0\le t<\tfrac{a-b}2\ \Rightarrow\ a'>b'$, for $a,b=\sigma\Phi^{-1}(g_y),\sigma\Phi^{-1}(g_{y'})$ at $x$ and $a',b'$ "
    r"at $x+\delta$",
    r"$t\le$ for $t<$",
)
def theorem1_lipschitz_step(z, sound):
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
    r"$\sum_i w_i(a(x+e_i)+b)=ax+b+a\sum_i w_ie_i$ for three atoms with $\sum_iw_i=1$, in each coordinate",
    "the sign of the last sum",
)
def proposition5_affine(sp, sound):
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
    r"$w^\top\delta\ge c,\ w^\top\delta\le nt,\ n>0,\ t\ge0\ \Rightarrow\ t\ge\max\{c,0\}/n$, for $n=\|w\|_*$, $t=\|\delta\|$",
    r"$t>$ for $t\ge$",
)
def lemma_0_bound(z, sound):
    p, c, n, t = z.Reals("p c n t")
    bound = z.If(c > 0, c, 0) / n
    return [p >= c, p <= n * t, n > 0, t >= 0], (le if sound else lt)(bound, t)


@step(
    "sympy",
    "difference-of-squares",
    "linear",
    "theorem-6",
    r"$\rho(x+\delta,x_j)^2-\rho(x+\delta,x_i)^2$ $=\rho(x,x_j)^2-\rho(x,x_i)^2+2(x_i-x_j)^\top\delta$, in each coordinate",
    "the sign of the last term",
)
def difference_of_squares(sp, sound):
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
    r"$|p|\le nt,\ n,D>0,\ 0\le t<\tfrac{D}{2n}\ \Rightarrow\ D+2p>0$, for $p=(x_i-x_j)^\top\delta$, $n=\|x_i-x_j\|_*$, $t=\|\delta\|$, "
    r"$D=\rho(x,x_j)^2-\rho(x,x_i)^2$",
    r"$t\le$ for $t<$, as the paper has it",
)
def bisector_distance(z, sound):
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
def theorem6_strictness(z, sound):
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
def theorem6_last_step(z, sound):
    h, m = z.Reals("h m")
    return [(lt if sound else le)(z.Abs(h - m), z.Abs(m)), m != 0], h * m > 0


@step(
    "z3",
    "agreement-gains-alpha",
    "linear",
    "theorem-6",
    r"$yg\ge0,\ y=\pm1,\ n>0,\ \alpha\ge0\ \Rightarrow\ \tfrac{|g+\alpha yn|}n=\tfrac{|g|}n+\alpha$, for $n=\|a\|_*$, $y=\hat y(x)$",
    r"$yg\le0$ for $yg\ge0$",
)
def agreement_gains_alpha(z, sound):
    g, y, n, alpha = z.Reals("g y n alpha")
    return [y * g >= 0 if sound else y * g <= 0, z.Or(y == 1, y == -1), n > 0, alpha >= 0], z.Abs(
        g + alpha * y * n
    ) / n == z.Abs(g) / n + alpha


@step(
    "z3",
    "selector-sign",
    "linear",
    "proposition-l",
    r"$y=\pm1,\ G>0,\ \alpha\ge0$: $\ |g|<\alpha G\Rightarrow y(g+\alpha yG)>0$, and $|g|>\alpha G\Rightarrow g(g+\alpha yG)>0$",
    r"$|g|\le\alpha G$ for $|g|<\alpha G$",
)
def selector_sign(z, sound):
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
def tanh_link(sp, sound):
    g, G = sp.symbols("g G", positive=True)
    return [
        (
            (sp.tanh(g) / (sp.diff(sp.tanh(g), g) * G)).rewrite(sp.exp),
            (sp.sinh((2 if sound else 1) * g) / (2 * G)).rewrite(sp.exp),
        )
    ]


@step(
    "z3",
    "reverse-triangle",
    "nonlinear",
    "theorem-8",
    r"$u\le v+w,\ v\le u+w\ \Rightarrow\ |u-v|\le w$, for $u=\|\nabla g(x+\delta)\|_*$, $v=\|\nabla g(x)\|_*$, $w=\|\nabla g(x+\delta)-\nabla g(x)\|_*$",
    r"$<w$ for $\le w$",
)
def reverse_triangle(z, sound):
    u, v, w = z.Reals("u v w")
    return [u >= 0, v >= 0, w >= 0, u <= v + w, v <= u + w], (le if sound else lt)(z.Abs(u - v), w)


@step(
    "z3",
    "theorem8-collected-terms",
    "nonlinear",
    "theorem-8",
    r"$|p|\le Gt,\ |q|\le Lt^2,\ |c|\le Lt,\ y=\pm1,\ \alpha,L,G,t\ge0\ \Rightarrow\ |p+q+\alpha yc|\le(\alpha L+G)t+Lt^2$",
    r"$-\alpha L$ for $\alpha L$",
)
def theorem8_collected_terms(z, sound):
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
def theorem8_quadratic_root(sp, sound):
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
def theorem8_stable_form(sp, sound):
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
def theorem8_limit(sp, sound):
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
    r"$Lr^2+Br=m,\ L,m>0,\ B\ge0,\ 0\le t<r,\ |e|\le Bt+Lt^2\ \Rightarrow\ |e|<m$, for $e=g^\mu(x+\delta)-g^\mu(x)$, $m=|g^\mu(x)|$",
    r"$t\le r$ for $t<r$",
)
def theorem8_last_step(z, sound):
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
    r"$\int_0^1L\,\tau t\cdot t\,d\tau=\tfrac L2t^2$: along the segment half of the mean-value bound $Lt^2$",
    r"$Lt^2$ for $\tfrac L2t^2$",
)
def descent_lemma(sp, sound):
    L, t, tau = sp.symbols("L t tau", positive=True)
    return [(sp.integrate(L * tau * t * t, (tau, 0, 1)), L * t**2 / (2 if sound else 1))]
