"""The spiral with a slider: every picture is there with its words, and the numbers are those of the
certificates."""

import io
import json
import re

import pytest
from PIL import Image

from lbrs import L2, LocallyBiased
from lbrs.experiments import data
from lbrs.experiments.configs import SpiralConfig
from lbrs.experiments.spiral import ALPHAS, along_alpha, classifier
from lbrs.pages.slider import Slider, spiral_slider

CONFIG = SpiralConfig(train_points=60, reference_points=30, test_points=40, raster=20)
CHOSEN = (0.0, 1.0, 5.0)


@pytest.fixture(scope="module")
def slider() -> Slider:
    return spiral_slider(along_alpha(CHOSEN, config=CONFIG, marked=(0, 1), exact_points=4))


def test_the_default_has_at_least_fifteen_alphas_from_the_line_to_the_end_of_the_range():
    assert (
        len(ALPHAS) >= 15
        and list(ALPHAS) == sorted(set(ALPHAS))
        and (ALPHAS[0], ALPHAS[-1]) == (0.0, SpiralConfig().alpha_max)
    )


def test_the_numbers_beneath_the_pictures_are_those_of_the_certificates(slider):
    task = data.spiral(
        0,
        train_points=60,
        reference_points=30,
        test_points=40,
        turns=CONFIG.turns,
        jitter=CONFIG.jitter,
    )
    score, oracle = classifier(CONFIG, task, "cpu")
    for alpha, frame in zip(CHOSEN, slider.frames, strict=True):
        model = LocallyBiased(score, oracle, alpha, L2)
        radii = [
            model.certify(task.test_x[:4], bound).radius.mean().item()
            for bound in ("paper", "sharp", "exact")
        ]
        told = [float(number) for number in re.findall(r"\d+\.\d{2,3}", frame.text)]
        assert told == [
            round(model.certify(task.test_x).accuracy(task.test_y), 3),
            *(float(f"{radius:.2f}") for radius in radii),
        ]
        assert (
            f"alpha {alpha:g}" in frame.alt
            and f"A {model.certify(task.test_x[:1]).radius.item():.2f}" in frame.alt
        )


def test_the_pictures_are_small_and_differ(slider):
    assert (
        len({frame.png for frame in slider.frames})
        == len({frame.alt for frame in slider.frames})
        == len(CHOSEN)
    )
    for frame in slider.frames:
        assert Image.open(io.BytesIO(frame.png)).size == frame.size and len(frame.png) < 40_000


def test_the_page_holds_all_of_it_and_asks_for_nothing(slider):
    page = slider._repr_html_()
    frames = json.loads(
        re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL).group(1)
    )
    assert [frame["text"] for frame in frames] == [frame.text for frame in slider.frames]
    assert all(
        frame["src"].startswith("data:image/png;base64,") and frame["alt"] for frame in frames
    )
    assert frames[0]["src"] in page.split("<script")[0]
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids)) and re.search(r'<label for="([^"]*)"', page).group(1) in ids
    assert not re.search(r"https?://|src=\"(?!data:)", page)


def test_it_is_the_same_each_time_and_prints_in_words(slider):
    again = spiral_slider(along_alpha(CHOSEN, config=CONFIG, marked=(0, 1), exact_points=4))
    assert again._repr_html_() == slider._repr_html_()
    assert repr(slider) == "3 pictures of the spiral, alpha from 0 to 5"
