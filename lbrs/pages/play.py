"""The playground: what it starts from, a first picture for those without JavaScript, and its place
on a page. The rest is `book/_static/play.js`, and its mathematics `play-math.js`."""

import html
import io
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from lbrs.pages.drawing import COLORS, Look, hyperplane, scatter, shade

ALT = (
    "A line parts the plane into two shaded regions, bent around circles and triangles. "
    "An arrow starts at a star; the circle around the star is where its label cannot change."
)
BODY = """<figure class="lbrs-play" id="{name}">
<img class="lbrs-first" src="{src}" alt="{alt}" width="480" height="480">
<div class="lbrs-stage"></div>
<noscript><p>The playground needs JavaScript. Without it you see its first picture.</p></noscript>
<script type="application/json">{presets}</script>
</figure>
<script src="../_static/play-math.js"></script>
<script src="../_static/play.js"></script>"""


@dataclass(frozen=True)
class Playground:
    """A playground on a page; `name` is its id there, `presets` what it starts from, and `picture`
    its first picture, an SVG."""

    name: str
    presets: Sequence[Mapping[str, Any]]
    picture: bytes

    def __repr__(self) -> str:
        return "a playground: " + ", ".join(one["name"] for one in self.presets)

    def _repr_html_(self) -> str:
        src = "data:image/svg+xml;base64," + b64encode(self.picture).decode()
        told = json.dumps(_rounded(list(self.presets)), separators=(",", ":"))
        return BODY.format(
            name=self.name,
            src=src,
            alt=html.escape(ALT),
            presets=told.replace("<", "\\u003c"),
        )


def playground(presets: Sequence[Mapping[str, Any]], first: Mapping[str, Any]) -> Playground:
    """The playground of `lbrs.experiments.spiral.presets`, and of its `idea` as first picture."""
    return Playground("lbrs-play", presets, _svg(_draw(first)))


def _rounded(value: Any) -> Any:
    """Numbers with four decimals; names as they are."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return (
        {key: _rounded(part) for key, part in value.items()} if isinstance(value, dict) else value
    )


def _draw(results: Mapping[str, Any]) -> Figure:
    """The locally biased classifier of `lbrs.experiments.spiral.idea`: regions, points and ball."""
    regions, side = results["regions"], results["regions"]["side"]
    figure, ax = plt.subplots(figsize=(4.8, 4.8))
    figure.subplots_adjust(0, 0, 1, 1)
    shade(ax, regions, len(results["radius"]) - 1)
    hyperplane(ax, results["weight"], results["bias"], side)
    points, labels = np.array(results["points"]), np.array(results["labels"])
    for label, marker, color in ((1, "o", COLORS[1]), (-1, "^", COLORS[0])):
        look: Look = {"s": 80, "marker": marker, "color": color, "edgecolors": "white"}
        scatter(ax, points[labels == label], look)
    x, alpha = np.array(results["x"]), regions["alpha"][-1]
    ring: Look = {"fill": False, "linewidth": 2.6, "color": "#0b5d3b"}
    ax.add_patch(Circle((x[0], x[1]), results["radius"][-1], **ring))
    ax.plot(*x, marker="*", markersize=17, color="black")
    end = x + alpha * np.array(results["bias_direction"])
    arrow = {"arrowstyle": "-|>", "linewidth": 2, "color": "black"}
    ax.annotate("", xy=tuple(end), xytext=tuple(x), arrowprops=arrow)
    ax.set(xlim=(-side, side), ylim=(-side, side))
    ax.set_axis_off()
    return figure


def _svg(figure: Figure) -> bytes:
    """A figure as an SVG that is the same each time; the figure is closed."""
    stream = io.BytesIO()
    with plt.rc_context({"svg.hashsalt": "lbrs", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return stream.getvalue()
