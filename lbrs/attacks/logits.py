"""Smoothed classifiers as torch modules, which give attack toolboxes the logits they ask for."""

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from lbrs._checks import integer, number
from lbrs.scores.classes import biased

if TYPE_CHECKING:
    from lbrs.multiclass import MulticlassLocallyBiased
    from lbrs.normal import NormalSmoothing
    from lbrs.smoothing import LocallyBiased

KINDS = ("link", "score", "decision")


class Logits(nn.Module):
    """Maps (n, *shape) to logits (n, C) in the type and on the device of the input; their argmax is
    the classifier's prediction.

    The module holds no weights of its own: the classifier stays where it is, in its own types, and
    points are brought there.

    Parameters:
        model: the smoothed classifier.
        kind: "link", "score" or "decision", see ``LocallyBiased.as_module``.
    """

    kinds: ClassVar[tuple[str, ...]] = KINDS

    def __init__(self, kind: str) -> None:
        super().__init__()
        if kind not in self.kinds:
            told = ", ".join(map(repr, self.kinds))
            raise ValueError(f"kind must be one of {told}, got {kind!r}")
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """The logits (n, C) at `x` (n, *shape)."""
        if not isinstance(x, Tensor) or not x.is_floating_point():
            given = f"dtype {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"x must be a floating-point torch tensor, got {given}")
        return settled(*self.logits(x), x)

    def logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, C) at `x`, differentiable, and the prediction (n,) in 0..C-1."""
        raise NotImplementedError


class BiasedLogits(Logits):
    """The two logits of a `LocallyBiased`, in the order -1, +1: -F/2 and F/2."""

    def __init__(self, model: "LocallyBiased", kind: str = "link") -> None:
        super().__init__(kind)
        if model.base.random and kind != "decision":
            raise ValueError(
                f"kind must be 'decision' for a {type(model.base).__name__}, which is known through"
                f" draws only, got {kind!r}; attack NormalSmoothing(...).as_module() instead"
            )
        self.model = model

    def extra_repr(self) -> str:
        """What is attacked, and as what."""
        return f"{self.model}, kind={self.kind!r}"

    def logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `Logits.logits`."""
        label, prediction = self.model.decide(x)
        margin = prediction.double() if self.kind == "decision" else self._margins(x, label)
        return in_two(margin), (prediction + 1) // 2

    def _margins(self, x: Tensor, label: Tensor) -> Tensor:
        base, follow = self.model.base, torch.is_grad_enabled()
        with torch.enable_grad():
            here = x.to(base.device, base.dtype)
            here = here if here.requires_grad else here.detach().requires_grad_()
            parts = base.batches(here)
            labels = label.to(here.device, torch.float64).split(max(1, len(parts[0])))
            margins = [self._margin(*pair) for pair in zip(parts, labels, strict=True)]
        found = torch.cat(margins)
        return found if follow else found.detach()

    def _margin(self, x: Tensor, label: Tensor) -> Tensor:
        base, alpha = self.model.base, number("alpha", self.model.alpha, low=0)
        u, length = base.traced(x, self.model.norm)
        if self.kind == "link":
            return u + label * base.link.turn(alpha * length)
        return base.link.value(u) + alpha * label * base.link.rate(u) * length


class ClassLogits(Logits):
    """The biased scores S_c of a `MulticlassLocallyBiased`."""

    def __init__(self, model: "MulticlassLocallyBiased", kind: str = "link") -> None:
        super().__init__(kind)
        self.model = model

    def extra_repr(self) -> str:
        """What is attacked, and as what."""
        return f"{self.model}, kind={self.kind!r}"

    def logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `Logits.logits`."""
        prediction = self.model.predict(x)
        if self.kind == "decision":
            return nn.functional.one_hot(prediction, self.model.classes).double(), prediction
        base, alpha = self.model.base, number("alpha", self.model.alpha, low=0)
        h = torch.cat([base.evaluate(part).double() for part in base.batches(x)])
        return biased(h, self.model.oracle.label(x), alpha * self.model.lipschitz)[0], prediction


class NoisyLogits(Logits):
    """The two logits of a `NormalSmoothing`, from new draws at each call, in the order -1, +1."""

    def __init__(
        self, model: "NormalSmoothing", kind: str = "link", draws: int = 64, seed: int | None = None
    ) -> None:
        super().__init__(kind)
        self.model, self.draws = model, integer("draws", draws, low=1)
        self.seed = None if seed is None else integer("seed", seed, low=0)

    def extra_repr(self) -> str:
        """What is attacked, and as what."""
        return f"{self.model}, kind={self.kind!r}, draws={self.draws}, seed={self.seed}"

    def logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `Logits.logits`; of kind "link" and "score" the prediction is that of the draws."""
        if self.kind == "decision":
            prediction = self.model.predict(x)
            return in_two(prediction.double()), (prediction + 1) // 2
        u, link = self._draws(x), self.model.base.link
        margin = link.average(u) if self.kind == "link" else link.value(u).mean(1)
        return in_two(margin), (margin.detach() >= 0).long()

    def _draws(self, x: Tensor) -> Tensor:
        """The base network's output (n, draws) at noisy copies of `x`."""
        base = self.model.base
        base.raw(x[:1].detach())
        here = x.to(base.device, base.dtype)
        generator = self.model.generator
        if self.seed is not None:
            generator = torch.Generator(base.device).manual_seed(self.seed)
        shape = len(x), self.draws, *x.shape[1:]
        noise = torch.randn(shape, generator=generator, dtype=here.dtype, device=here.device)
        noisy = (here[:, None] + self.model.sigma * noise).flatten(0, 1)
        parts = [base.evaluate(part) for part in base.batches(noisy)]
        return torch.cat(parts).double().reshape(len(x), self.draws)


def in_two(margin: Tensor) -> Tensor:
    """Two logits (n, 2) whose difference is `margin` (n,)."""
    return torch.stack([-margin / 2, margin / 2], 1)


def settled(logits: Tensor, prediction: Tensor, x: Tensor) -> Tensor:
    """`logits` (n, C) in the type and on the device of `x`, the argmax being `prediction` (n,) also
    where rounding to this type makes a tie or hides a sign; gradients are not changed by that."""
    kind = torch.finfo(x.dtype)
    cast = logits.clamp(-kind.max / 8, kind.max / 8).to(x)
    prediction = prediction.to(x.device)[:, None]
    top = cast.detach().amax(1, keepdim=True)
    above = top + (2 * kind.eps * top.abs()).clamp(min=kind.tiny)
    wrong = cast.argmax(1, keepdim=True) != prediction
    lift = torch.where(wrong, above - cast.detach().gather(1, prediction), 0.0)
    return cast.scatter_add(1, prediction, lift)
