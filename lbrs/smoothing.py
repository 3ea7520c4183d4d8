"""The locally biased classifier."""

from collections.abc import Iterable
from functools import cached_property, partial
from typing import cast

import torch
from torch import Tensor

from lbrs._checks import ArrayLike, batch, fraction, number, radii
from lbrs.attacks.logits import BiasedLogits
from lbrs.certificate import Certificate
from lbrs.norms import L2, Norm, as_norm
from lbrs.oracles.nearest import NearestNeighborOracle
from lbrs.plane.bias import Bias, Length, as_length, pull, refuse_bias
from lbrs.plane.slack import least_gap, oracle_slack
from lbrs.rounding import round_down
from lbrs.scores.base import Local, Score, select
from lbrs.scores.linear import LinearScore

BOUNDS = ("sharp", "paper", "exact")


class LocallyBiased:
    r"""Locally biased randomized smoothing: f^mu = sign g^mu.

    .. math:: g^\mu(x) = g(x) + \alpha\,\hat y(x)\,\|\nabla g(x)\|_*

    Source: equations (3) and (4), :doc:`linear`, and (5), :doc:`nonlinear`.

    Parameters:
        score: the base score g.
        oracle: the direction oracle yhat.
        alpha: >= 0, the length of the bias, in the units of x; or a ``Bias``, which follows how
            certain the oracle is, for scores whose margin is 1-Lipschitz: ``LinearScore``,
            ``LipschitzScore`` and ``CohenScore`` (:prf:ref:`Theorem U <theorem-u>`). With it a
            prediction needs the oracle's radius, too. In lp norms, and for an
            oracle without a metric of its own.
        norm: the threat norm; its dual measures the gradient.

    Attributes:
        base: the base score g; the method ``score`` gives g^mu.

    Raises:
        ValueError, TypeError: naming the argument.

    >>> oracle = NearestNeighborOracle([[0.0, 0.0], [4.0, 0.0]], [1, -1])
    >>> model = LocallyBiased(LinearScore([1.0, 0.0], -1.5), oracle, alpha=1.0)
    >>> model.predict([[1.0, 0.0]]), model.certify([[1.0, 0.0]]).radius
    (tensor([1]), tensor([0.5000], dtype=torch.float64))
    """

    def __init__(
        self, score: Score, oracle: NearestNeighborOracle, alpha: Length, norm: Norm = L2
    ) -> None:
        if not isinstance(score, Score):
            raise TypeError(
                f"score must be a Score, got {type(score).__name__}; "
                "wrap a torch callable as Score(function)"
            )
        if not isinstance(oracle, NearestNeighborOracle):
            given = type(oracle).__name__
            raise TypeError(f"oracle must be a NearestNeighborOracle, got {given}")
        score.check_shape(oracle.shape)
        self.norm = as_norm("norm", norm, oracle.shape)
        if score.only_norm not in (None, self.norm):
            kind = type(score).__name__
            raise ValueError(f"norm must be {score.only_norm} for a {kind}, got {self.norm}")
        self.base = score
        self.oracle = oracle
        self.alpha = as_length("alpha", alpha)
        refuse_bias(self.alpha, self.norm, oracle.metric)
        if isinstance(alpha, Bias) and score.steep:
            raise ValueError(
                f"alpha must be a number for a {type(score).__name__}, whose margin need not be "
                f"1-Lipschitz, got {alpha}"
            )

    def __repr__(self) -> str:
        alpha = self.alpha if isinstance(self.alpha, Bias) else f"{self.alpha:g}"
        return f"LocallyBiased({self.base}, {self.oracle}, alpha={alpha}, norm={self.norm})"

    def to(self, device: torch.device | str) -> "LocallyBiased":
        """The same classifier on `device`; this one stays as it is."""
        return LocallyBiased(self.base.to(device), self.oracle.to(device), self.alpha, self.norm)

    def score(self, x: ArrayLike) -> Tensor:
        """g^mu(x) for `x` (n, *shape), as float64 (n,)."""
        x = batch("x", x, self.oracle.shape)
        first = self.base.linearize(x, self.norm)
        toward, length = self._pull(x, self.oracle.label(x).to(first.value))
        return first.value + length * toward * first.slope

    def predict(self, x: ArrayLike) -> Tensor:
        """f^mu(x) for `x` (n, *shape), as int64 (n,) in {-1, +1}: the oracle's label where
        alpha > abs(g)/||grad g||_*, else sign g.

        This is sign g^mu(x), without its overflow and underflow; where g^mu(x) = 0 it is sign g(x),
        and +1 if g(x) = 0 too. It indexes a list: ``["abstains", "positive", "negative"][label]``.
        """
        return self.decide(x)[1]

    def decide(self, x: ArrayLike) -> tuple[Tensor, Tensor]:
        """The oracle's label yhat(x) and f^mu(x), float64 (n,) and int64 (n,), for `x`
        (n, *shape)."""
        x = batch("x", x, self.oracle.shape)
        first, label = self.base.linearize(x, self.norm), self.oracle.label(x)
        return label, select(first, *self._pull(x, label.to(first.value)))

    def _pull(self, x: Tensor, label: Tensor) -> tuple[Tensor, float | Tensor]:
        """`pull` at `x` (n, *shape); the oracle's radius is asked for where it matters."""
        if not isinstance(self.alpha, Bias):
            return label, self.alpha
        return pull(label, self.oracle.radius(x, self.norm).to(label), self.alpha)

    def as_module(self, kind: str = "link") -> BiasedLogits:
        r"""f^mu as a torch module: points (n, *shape) in [0, 1] or any other range, to two logits
        (n, 2) in the order (-1, +1), in the points' type and on their device.

        Class 1 is +1. The argmax is ``predict`` at every point. Gradients pass through the base
        score, the norm of its gradient (so that they need its second derivatives) and the link; the
        oracle's label is piecewise constant. Moving the module moves no weights, and autograd adds
        to the gradients of the base network's weights as any attack does: it is the same network.

        - ``"link"``: what an attacker must use (:prf:ref:`Lemma Q <lemma-q>`). With the output u
          of the base network, g = psi(u), the difference of the logits is

          .. math:: F(x) = u(x) + \hat y(x)\,t\big(\alpha\|\nabla u(x)\|_*\big),
             \qquad \frac{\psi(t(c))}{\psi'(t(c))} = c

          with t = asinh for a ``ProbabilityMargin`` and t(c) = c where g = u. It has the sign of
          g^mu wherever g^mu is not 0, but does not saturate.
        - ``"score"``: the difference is g^mu(x) itself. Where tanh saturates its gradient vanishes,
          so that an attack stops early and robustness is overstated: the page *Use it with…* runs
          the same attack on both.
        - ``"decision"``: the prediction alone, without a gradient, for attacks that need none.

        Parameters:
            kind: "link", "score" or "decision"; only the last for scores from random draws, and
                for a ``Bias``, which depends on the oracle's radius.

        >>> oracle = NearestNeighborOracle([[0.0, 0.0], [4.0, 0.0]], [1, -1])
        >>> model = LocallyBiased(LinearScore([1.0, 0.0], -1.5), oracle, alpha=1.0)
        >>> model.as_module()(torch.tensor([[1.0, 0.0]])).tolist()
        [[-0.25, 0.25]]
        """
        if isinstance(self.alpha, Bias) and kind in ("link", "score"):
            raise ValueError(f"kind must be 'decision' for a Bias, got {kind!r}")
        return BiasedLogits(self, kind)

    def certify(
        self, x: ArrayLike, bound: str = "sharp", confidence: float | None = None
    ) -> Certificate:
        """A certificate: f^mu is constant on the open ``norm`` ball of the radius around each
        point.

        - ``"sharp"``: :prf:ref:`Theorem B <theorem-b>` for a ``LinearScore``,
          :prf:ref:`H <theorem-h>` for a ``LipschitzScore`` or ``CohenScore``,
          :prf:ref:`E' <theorem-e-prime>` and :prf:ref:`G <theorem-g>` for a ``GaussianScore``, else
          E', with the neighbour term of :prf:ref:`Theorem A <theorem-a>`, or of
          :prf:ref:`Theorem K <theorem-k>` for a k-NN oracle. The base classifier's own radius at
          alpha = 0, and :prf:ref:`U <theorem-u>` for a ``Bias``. It holds for f^mu as computed in
          floating point: for a ``LinearScore`` all rounding errors are bounded, for another score
          those of g and its gradient are taken to be at most its ``rounding``. For a
          ``LinearScore`` it is never below the paper's radius, for another score not but for this
          allowance.
        - ``"paper"``: :prf:ref:`Theorem 6 <theorem-6>` for a ``LinearScore``, safe from rounding in
          the same way; else :prf:ref:`Theorem 8 <theorem-8>`, in plain floating-point arithmetic.
        - ``"exact"``: :prf:ref:`Theorem C <theorem-c>`, for a ``LinearScore`` and a 1-NN oracle in
          l1, l2 or linf: no larger radius is true, but for rounding, where a nearest polyhedron has
          interior (else it is a lower bound). It solves optimisation problems, point by point.
          ``lbrs.exact.cells.exact_radii`` gives the witnesses too.

        With local constants L_R (see ``Score``), "sharp" is the largest min{R, radius for L_R} over
        the R that a search tries, and "paper" takes R = r_nghbr, as Section 4 does.

        Parameters:
            x: points (n, *shape).
            bound: "sharp", "paper" or "exact".
            confidence: in (0, 1), 0.999 by default, with which a certificate from random draws
                (``CohenScore``, ``GaussianScore``) holds at each point. None for other scores,
                whose certificates are deterministic.

        Raises:
            ValueError: for a bound or a confidence that the score has no use for, and for a score
                without a gradient-Lipschitz constant.
        """
        self._check_bound(bound)
        if confidence is not None:
            confidence = self._confidence(confidence)
        x = batch("x", x, self.oracle.shape)
        if bound == "exact":
            return self._exact(x)
        return self.base.certify_biased(self.local(x, bound), self.alpha, bound, confidence)

    def certify_path(
        self,
        x: ArrayLike,
        alphas: Iterable[Length],
        bound: str = "sharp",
        neighbor: ArrayLike | None = None,
    ) -> list[Certificate]:
        """The certificates of ``certify`` for each of `alphas`, with one evaluation of the score
        and one search of the oracle for all.

        Random scores draw anew for each alpha; ``cohen_certificate`` does not.

        Parameters:
            x: points (n, *shape).
            alphas: numbers >= 0, or ``Bias`` where the score takes one.
            bound: "sharp" or "paper".
            neighbor: (n,), the oracle's radius in this norm for this bound, where it is known.
        """
        if bound not in ("sharp", "paper"):
            raise ValueError(f"bound must be 'sharp' or 'paper' along a path, got {bound!r}")
        self._check_bound(bound)
        local = self.local(batch("x", x, self.oracle.shape), bound, neighbor)
        lengths = [as_length("alpha", alpha) for alpha in alphas]
        return [self.base.certify_biased(local, alpha, bound) for alpha in lengths]

    def local(self, x: Tensor, bound: str, neighbor: ArrayLike | None = None) -> Local:
        """What certificates at `x` (n, *shape) rest on, whatever alpha is."""
        first, L = self.base.first_order(x, self.norm)
        label = self.oracle.label(x).to(self.base.device, torch.float64)
        if neighbor is None:
            neighbor = self.oracle.radius(x, self.norm, bound)
        neighbor = radii("neighbor", neighbor, len(x)).to(label)
        slack = partial(self._slack, x, neighbor)
        return Local(x, self.norm, label, neighbor, first, L, slack)

    def _slack(self, x: Tensor, radius: Tensor, reach: Tensor) -> Tensor:
        """`oracle_slack` of this oracle (n,)."""
        return oracle_slack(self.oracle.points, self._gap, x, self.norm, radius, reach)

    @cached_property
    def _gap(self) -> float:
        return least_gap(self.oracle.points, self.oracle.labels, self.norm)

    def _check_bound(self, bound: str) -> None:
        if bound not in BOUNDS:
            told = ", ".join(map(repr, BOUNDS))
            raise ValueError(f"bound must be one of {told}, got {bound!r}")
        if bound != "sharp" and isinstance(self.alpha, Bias):
            raise ValueError(f"bound must be 'sharp' for a Bias, got {bound!r}")
        if bound == "paper" and bound not in self.base.bounds:
            raise ValueError(
                f"bound must be 'sharp' for a {type(self.base).__name__}: "
                f"the paper has no theorem for it, got {bound!r}"
            )

    def _confidence(self, confidence: float) -> float:
        if not self.base.random:
            raise ValueError(
                f"confidence must be None for a {type(self.base).__name__}, whose certificates are "
                f"deterministic, got {confidence!r}"
            )
        return fraction("confidence", confidence)

    def _exact(self, x: Tensor) -> Certificate:
        from lbrs.exact.cells import exact_radii

        linear = cast(LinearScore, self.base)  # exact_radii refuses any other
        found = exact_radii(linear, self.oracle, number("alpha", self.alpha, low=0), self.norm, x)
        radius = torch.maximum(round_down(found.radius), self.certify(x).radius)
        told = "Theorem C", "g is affine"
        return Certificate(found.prediction, radius, self.norm, "deterministic", *told)
