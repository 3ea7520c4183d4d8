"""A figure to play with: the spiral for many alphas, drawn beforehand, and a slider that needs no
library."""

import html
import io
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

from lbrs.pages.drawing import COLORS, Look, raster_of, scatter

RIGHT, WRONG = "#0b5d3b", "#b3261e"
BODY = """<figure class="lbrs-slider" id="{name}">
<img class="lbrs-frame" src="{src}" alt="{alt}" width="{width}" height="{height}">
<div class="lbrs-control">
<label for="{name}-alpha">Bias &#945;</label>
<input type="range" id="{name}-alpha" min="0" max="{last}" step="1" value="0" autocomplete="off">
</div>
<p class="lbrs-numbers"><output for="{name}-alpha">{text}</output></p>
<noscript><p>{without}</p></noscript>
<script type="application/json">{frames}</script>
<script>
(() => {{
  const figure = document.getElementById("{name}");
  const image = figure.querySelector("img"), slider = figure.querySelector("input");
  const told = figure.querySelector("output");
  const frames = JSON.parse(figure.querySelector("script").textContent);
  const show = () => {{
    const frame = frames[slider.value];
    image.src = frame.src;
    image.alt = frame.alt;
    told.textContent = frame.text;
    slider.setAttribute("aria-valuetext", frame.value);
  }};
  slider.addEventListener("input", show);
  show();
}})();
</script>
</figure>"""
WITHOUT = (
    "The slider needs JavaScript. Without it you see the first picture, for &#945; = {alpha:g}."
)


@dataclass(frozen=True)
class Frame:
    """One picture: the bias `alpha`, what it shows in words (`alt`), the numbers beneath (`text`),
    and the `png` of `size` (width, height)."""

    alpha: float
    alt: str
    text: str
    png: bytes
    size: tuple[int, int]

    @property
    def src(self) -> str:
        """The picture as an address that holds it."""
        return "data:image/png;base64," + b64encode(self.png).decode()

    @property
    def told(self) -> dict[str, str]:
        """What the page keeps of it."""
        value = f"α = {self.alpha:g}"
        return {"src": self.src, "alt": self.alt, "text": self.text, "value": value}


@dataclass(frozen=True)
class Slider:
    """Frames behind one another, and a range input that picks one; `name` is its id on the page."""

    name: str
    frames: Sequence[Frame]

    def __repr__(self) -> str:
        first, last = self.frames[0].alpha, self.frames[-1].alpha
        return f"{len(self.frames)} pictures of the spiral, alpha from {first:g} to {last:g}"

    def _repr_html_(self) -> str:
        first = self.frames[0]
        return BODY.format(
            name=self.name,
            src=first.src,
            alt=html.escape(first.alt),
            text=html.escape(first.text),
            width=first.size[0],
            height=first.size[1],
            last=len(self.frames) - 1,
            without=WITHOUT.format(alpha=first.alpha),
            frames=json.dumps([frame.told for frame in self.frames]).replace("<", "\\u003c"),
        )


def spiral_slider(results: Mapping[str, Any]) -> Slider:
    """The pictures of `lbrs.experiments.spiral.along_alpha`, with their numbers beneath them."""
    return Slider("lbrs-spiral", list(_frames(results)))


def _frames(results: Mapping[str, Any]) -> Iterator[Frame]:
    bits = results["regions"]["bits"]
    for picture, raster in zip(results["pictures"], bits, strict=True):
        png, size = _png(_draw(results, picture, raster))
        text = _numbers(results, picture)
        yield Frame(picture["alpha"], _words(picture), text, png, size)


def _numbers(results: Mapping[str, Any], picture: Mapping[str, Any]) -> str:
    """The line beneath a picture."""
    average = picture["average"]
    return (
        f"α = {picture['alpha']:g}: accuracy {picture['accuracy']:.3f}. "
        f"Average radius of {results['averaged']} test points: "
        f"{average['theorem6']:.2f} by Theorem 6, {average['theorem_b']:.2f} by Theorem B, "
        f"{average['exact']:.2f} exactly."
    )


def _marked(picture: Mapping[str, Any]) -> Iterator[tuple[str, float, bool]]:
    """Letter, radius and whether the decision is right, for each marked point."""
    pairs = zip(picture["radius"], picture["right"], strict=True)
    for place, (radius, right) in enumerate(pairs):
        yield chr(ord("A") + place), radius, right


def _words(picture: Mapping[str, Any]) -> str:
    """The picture in words."""
    balls = ", ".join(
        f"{letter} {radius:.2f} ({'right' if right else 'wrong'})"
        for letter, radius, right in _marked(picture)
    )
    return (
        f"Decision regions on the spiral for alpha {picture['alpha']:g}, right on "
        f"{picture['accuracy']:.1%} of the test points. "
        f"Radii of the balls around the marked points: {balls}."
    )


def _draw(results: Mapping[str, Any], picture: Mapping[str, Any], bits: str) -> Figure:
    """The picture for one alpha."""
    side, raster = results["regions"]["side"], results["regions"]["raster"]
    square = (-side, side)
    with plt.rc_context({"font.size": 9, "font.family": "DejaVu Sans"}):
        figure, ax = plt.subplots(figsize=(5.2, 5.2), dpi=125)
        shades: Look = {"cmap": "gray", "vmin": -6, "vmax": 1, "interpolation": "nearest"}
        ax.imshow(raster_of(bits, raster), origin="lower", extent=(*square, *square), **shades)
        x, y = np.array(results["test"]["x"]), np.array(results["test"]["y"])
        for label, marker, color in ((1, "o", COLORS[1]), (-1, "^", COLORS[0])):
            look = {"s": 7, "marker": marker, "color": color, "linewidths": 0}
            scatter(ax, x[y == label], look)
        ax.plot(*_line(**results["svm"], side=side), color="black", linewidth=2)
        for center, (letter, radius, right) in zip(
            results["marked"], _marked(picture), strict=True
        ):
            _ball(ax, letter, center, radius, right)
        ax.set(xlim=square, ylim=square, xlabel="$x_1$", ylabel="$x_2$")
        figure.subplots_adjust(left=0.1, right=0.985, bottom=0.09, top=0.985)
    return figure


def _line(weight: Sequence[float], bias: float, side: float) -> tuple[Any, Any]:
    """The SVM's boundary from one side of the square to the other."""
    (a1, a2), t = weight, np.array([-side, side])
    if abs(a2) > abs(a1):
        return t, -(bias + a1 * t) / a2
    return -(bias + a2 * t) / a1, t


def _ball(ax: Axes, letter: str, center: Sequence[float], radius: float, right: bool) -> None:
    """A marked point with its letter and its ball: solid where the decision is right, dashed where
    it is wrong."""
    color, marker, dashes = (RIGHT, "s", "-") if right else (WRONG, "X", "--")
    x, y = center
    circle: Look = {"fill": False, "color": color, "linewidth": 2, "linestyle": dashes}
    ax.add_patch(Circle((x, y), radius, **circle))
    ax.plot(x, y, marker=marker, markersize=6, color=color)
    box: Look = {
        "boxstyle": "round,pad=0.1",
        "facecolor": "white",
        "edgecolor": "none",
        "alpha": 0.85,
    }
    font: Look = {"fontweight": "bold", "fontsize": 11, "color": color}
    ax.annotate(letter, (x, y), xytext=(5, 4), textcoords="offset points", bbox=box, **font)


def _png(figure: Figure) -> tuple[bytes, tuple[int, int]]:
    """A figure as a PNG of few colours, and its width and height; the figure is closed."""
    stream, small = io.BytesIO(), io.BytesIO()
    with plt.rc_context({"font.size": 9, "font.family": "DejaVu Sans"}):
        figure.savefig(stream, format="png", metadata={"Software": None})
    plt.close(figure)
    picture = Image.open(stream).convert("RGB")
    few = picture.quantize(32, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(small, format="PNG", optimize=True)
    return small.getvalue(), picture.size
