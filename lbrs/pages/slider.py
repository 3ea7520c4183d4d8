"""A figure to play with: the spiral for many alphas, drawn beforehand, and a slider that needs no library."""

import html
import io
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from lbrs.certificates import Certificate
from lbrs.experiments import data, spiral
from lbrs.experiments.configs import SpiralConfig
from lbrs.norms import L2
from lbrs.pages.drawing import COLORS
from lbrs.scores.linear import LinearScore
from lbrs.smoothing import LocallyBiased

ALPHAS = (
    0.0,
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.8,
    1.0,
    1.25,
    1.5,
    1.75,
    2.0,
    2.5,
    3.0,
    4.0,
    5.0,
    6.0,
    7.0,
    8.5,
    10.0,
)
"""Lengths of the bias from the line to the nearest neighbour, close to each other where much changes."""

MARKED = (7, 34, 4, 17, 14)
"""Test points of the default spiral with seed 0 whose balls tell different stories: one gains, three change sides, one loses."""

SIDE = 11.5
RIGHT, WRONG = "#0b5d3b", "#b3261e"
BODY = """<figure class="lbrs-slider" id="{name}">
<img class="lbrs-frame" src="{src}" alt="{alt}" width="{width}" height="{height}">
<div class="lbrs-control">
<label for="{name}-alpha">Bias &#945;</label>
<input type="range" id="{name}-alpha" min="0" max="{last}" step="1" value="0" autocomplete="off">
</div>
<p class="lbrs-numbers"><output for="{name}-alpha">{text}</output></p>
<noscript><p>The slider needs JavaScript. Without it you see the first picture, for &#945; = {first}.</p></noscript>
<script type="application/json">{frames}</script>
<script>
(() => {{
  const figure = document.getElementById("{name}"), image = figure.querySelector("img"), slider = figure.querySelector("input");
  const told = figure.querySelector("output"), frames = JSON.parse(figure.querySelector("script").textContent);
  const show = () => {{
    const frame = frames[slider.value];
    image.src = frame.src; image.alt = frame.alt; told.textContent = frame.text; slider.setAttribute("aria-valuetext", frame.value);
  }};
  slider.addEventListener("input", show);
  show();
}})();
</script>
</figure>"""


@dataclass(frozen=True)
class Frame:
    """One picture: the bias `alpha`, what it shows in words (`alt`), the numbers beneath (`text`), and the `png` of `size` (width, height)."""

    alpha: float
    alt: str
    text: str
    png: bytes
    size: tuple[int, int]

    @property
    def src(self) -> str:
        """The picture as an address that holds it."""
        return "data:image/png;base64," + b64encode(self.png).decode()


@dataclass(frozen=True)
class Slider:
    """Frames behind one another, and a range input that picks one; `name` is its id on the page."""

    name: str
    frames: Sequence[Frame]

    def __repr__(self) -> str:
        return f"{len(self.frames)} pictures of the spiral, alpha from {self.frames[0].alpha:g} to {self.frames[-1].alpha:g}"

    def _repr_html_(self) -> str:
        first, told = (
            self.frames[0],
            [
                {
                    "src": frame.src,
                    "alt": frame.alt,
                    "text": frame.text,
                    "value": f"α = {frame.alpha:g}",
                }
                for frame in self.frames
            ],
        )
        return BODY.format(
            name=self.name,
            src=first.src,
            alt=html.escape(first.alt),
            text=html.escape(first.text),
            width=first.size[0],
            height=first.size[1],
            last=len(self.frames) - 1,
            first=f"{first.alpha:g}",
            frames=json.dumps(told).replace("<", "\\u003c"),
        )


def spiral_slider(
    alphas: Sequence[float] = ALPHAS,
    *,
    config: SpiralConfig | None = None,
    seed: int = 0,
    marked: Sequence[int] = MARKED,
    exact_points: int = 25,
) -> Slider:
    """Decision regions, the sharp l2 balls of `marked` test points, accuracy and average radii on the spiral, for each of `alphas`.

    The accuracy is that on all test points. The three average radii (Theorem 6, Theorem B and exact) are over the first `exact_points` test points,
    because exact radii take long. Parameters: `config`, the choices of the spiral, its defaults if None; `seed` >= 0; `marked`, indices of test points.
    """
    config = config or SpiralConfig()
    task = data.spiral(
        seed,
        train_points=config.train_points,
        reference_points=config.reference_points,
        test_points=config.test_points,
        turns=config.turns,
        jitter=config.jitter,
    )
    score, oracle = spiral.classifier(config, task, "cpu")
    model, some = LocallyBiased(score, oracle, 0.0, L2), task.test_x[:exact_points]
    regions = spiral.regions(score, oracle, alphas, SIDE, config.raster)
    paths = zip(
        alphas,
        regions["bits"],
        model.certify_path(task.test_x, alphas, "sharp"),
        model.certify_path(some, alphas, "paper"),
        strict=True,
    )
    frames = []
    for alpha, bits, sharp, paper in paths:
        exact = LocallyBiased(score, oracle, alpha, L2).certify(some, "exact")
        radii = [certificate.radius.mean().item() for certificate in (paper, exact)]
        accuracy, average = sharp.accuracy(task.test_y), sharp.radius[:exact_points].mean().item()
        text = (
            f"α = {alpha:g}: accuracy {accuracy:.3f}. Average radius of {len(some)} test points: "
            f"{radii[0]:.2f} by Theorem 6, {average:.2f} by Theorem B, {radii[1]:.2f} exactly."
        )
        png, size = _draw(config, task, score, bits, sharp, marked)
        frames.append(Frame(alpha, _words(task, alpha, accuracy, sharp, marked), text, png, size))
    return Slider("lbrs-spiral", frames)


def _letters(marked: Sequence[int]) -> list[tuple[str, int]]:
    return [(chr(ord("A") + place), index) for place, index in enumerate(marked)]


def _words(
    task: data.BinaryTask, alpha: float, accuracy: float, found: Certificate, marked: Sequence[int]
) -> str:
    """The picture in words."""
    balls = [
        f"{letter} {found.radius[index]:.2f} ({'right' if found.prediction[index] == task.test_y[index] else 'wrong'})"
        for letter, index in _letters(marked)
    ]
    return (
        f"Decision regions on the spiral for alpha {alpha:g}, right on {accuracy:.1%} of the test points. "
        f"Radii of the balls around the marked points: {', '.join(balls)}."
    )


def _draw(
    config: SpiralConfig,
    task: data.BinaryTask,
    score: LinearScore,
    bits: str,
    found: Certificate,
    marked: Sequence[int],
) -> tuple[bytes, tuple[int, int]]:
    """The picture for one alpha as a PNG of few colours, and its width and height."""
    with plt.rc_context({"font.size": 9, "font.family": "DejaVu Sans"}):
        figure, ax = plt.subplots(figsize=(5.2, 5.2), dpi=125)
        raster = np.array([int(bit) for bit in f"{int(bits, 16):0{config.raster**2}b}"]).reshape(
            config.raster, config.raster
        )
        ax.imshow(
            raster,
            origin="lower",
            extent=(-SIDE, SIDE, -SIDE, SIDE),
            cmap="gray",
            vmin=-6,
            vmax=1,
            interpolation="nearest",
        )
        x, y = (
            task.test_x.numpy()[: len(task.test_x) // 2],
            task.test_y.numpy()[: len(task.test_y) // 2],
        )
        for label, marker, color in ((1, "o", COLORS[1]), (-1, "^", COLORS[0])):
            ax.scatter(*x[y == label].T, s=7, marker=marker, color=color, linewidths=0)
        (a1, a2), t = score.weight.tolist(), np.array([-SIDE, SIDE])
        ax.plot(
            *(
                (t, -(score.bias + a1 * t) / a2)
                if abs(a2) > abs(a1)
                else (-(score.bias + a2 * t) / a1, t)
            ),
            color="black",
            linewidth=2,
        )
        for letter, index in _letters(marked):
            _ball(
                ax,
                letter,
                task.test_x[index].tolist(),
                found.radius[index].item(),
                bool(found.prediction[index] == task.test_y[index]),
            )
        ax.set(xlim=(-SIDE, SIDE), ylim=(-SIDE, SIDE), xlabel="$x_1$", ylabel="$x_2$")
        figure.subplots_adjust(left=0.1, right=0.985, bottom=0.09, top=0.985)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", metadata={"Software": None})
        plt.close(figure)
    picture, small = Image.open(stream).convert("RGB"), io.BytesIO()
    picture.quantize(32, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        small, format="PNG", optimize=True
    )
    return small.getvalue(), picture.size


def _ball(ax: Axes, letter: str, center: Sequence[float], radius: float, right: bool) -> None:
    """A marked point with its letter and its ball: solid where the decision is right, dashed where it is wrong."""
    color = RIGHT if right else WRONG
    ax.add_patch(
        plt.Circle(
            center, radius, fill=False, color=color, linewidth=2, linestyle="-" if right else "--"
        )
    )
    ax.plot(*center, marker="s" if right else "X", markersize=6, color=color)
    ax.annotate(
        letter,
        center,
        xytext=(5, 4),
        textcoords="offset points",
        fontweight="bold",
        fontsize=11,
        color=color,
        bbox={
            "boxstyle": "round,pad=0.1",
            "facecolor": "white",
            "edgecolor": "none",
            "alpha": 0.85,
        },
    )
