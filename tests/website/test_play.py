"""The playground in a browser: its numbers are those of lbrs; it takes keys, mouse and finger."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from axe_playwright_python.base import AXE_FILE_PATH
from browsers import launched
from playwright.sync_api import Browser, Page

from lbrs import L1, L2, LINF, LinearScore, LocallyBiased, NearestNeighborOracle
from lbrs.experiments import spiral
from lbrs.pages.play import playground

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "book/_static"
NORMS = {"l1": L1, "l2": L2, "linf": LINF}
PAGE = """<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Playground</title><style>
:root {{ --pst-color-text-muted: #48566b; --pst-color-text-base: #222832;
  --pst-color-primary: #0a7d91; --pst-color-background: #fff }} {css}</style></head>
<body><main><article class="bd-article"><h1>Playground</h1>{body}</article></main></body></html>"""
NUMBERS = "() => [...document.querySelectorAll('.lbrs-panel td')].map(cell => cell.textContent)"
HASH = "() => location.hash"
AXE = """async () => (await axe.run({preload: false})).violations.flatMap(found =>
  found.nodes.map(node => `${found.id}: ${node.target.join(' ')}`))"""
FRAMES = """state => {
  const bits = new Uint8Array(140 * 140);
  lbrsMath.at(state);
  return [...lbrsMath.regions(state, 3, 140, bits)];
}"""
LATER = 600
"""Milliseconds until words and address have followed."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> str:
    """The address of a page with the playground alone."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(STATIC, folder / "_static")
    (folder / "book").mkdir()
    body = playground(spiral.presets(), spiral.idea())._repr_html_()
    css = (STATIC / "lbrs.css").read_text(encoding="utf-8")
    (folder / "book/page.html").write_text(PAGE.format(css=css, body=body), encoding="utf-8")
    return (folder / "book/page.html").as_uri()


@pytest.fixture
def opened(browser, place) -> Iterator[Page]:
    """The page, still, with a complaint as an error at the end."""
    context = browser.new_context(
        viewport={"width": 390, "height": 900}, reduced_motion="reduce", has_touch=True
    )
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda request: (
            request.url.startswith(("file:", "data:")) or complaints.append(request.url)
        ),
    )
    page.goto(place)
    page.wait_for_selector(".lbrs-panel td")
    yield page
    assert not complaints
    context.close()


def configuration(place: int, generator: torch.Generator) -> dict:
    """A random state; some have sixty points, one label, or no bias."""

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    n = 60 if place % 50 == 1 else 2 + place % 11
    points, labels = 1.5 * normal(n, 2), torch.where(normal(n) > 0, 1, -1)
    labels[:2] = torch.tensor([1, -1] if place % 17 else [1, 1])
    if place % 17 == 0:
        labels[:] = 1
    alpha = 0.0 if place % 13 == 0 else normal(1).square().item()
    return {
        "w": normal(2).tolist(),
        "b": normal(1).item(),
        "x": (1.5 * normal(2)).tolist(),
        "points": [[*p, y] for p, y in zip(points.tolist(), labels.tolist(), strict=True)],
        "alpha": alpha,
        "norm": list(NORMS)[place % 3],
    }


def model_of(state: dict) -> LocallyBiased:
    points, labels = [p[:2] for p in state["points"]], [p[2] for p in state["points"]]
    oracle = NearestNeighborOracle(points, labels)
    score = LinearScore(state["w"], state["b"])
    return LocallyBiased(score, oracle, state["alpha"], NORMS[state["norm"]])


def expected(state: dict) -> dict[str, float]:
    """The numbers of the playground, by lbrs."""
    model, x = model_of(state), torch.tensor([state["x"]], dtype=torch.float64)
    norm, local = model.norm, model.base.linearize(x, model.norm)
    label = model.oracle.label(x)
    bias = state["alpha"] * label[:, None] * norm.maximizer(model.base.weight)
    numbers = {
        "g": local.value,
        "smoothed": model.score(x),
        "base": local.base,
        "label": label,
        "prediction": model.predict(x),
        "boundary": model.score(x).abs() / local.slope,
        "neighbor": model.oracle.radius(x, norm, "paper"),
        "oracle": model.oracle.radius(x, norm, "sharp"),
        "theorem6": model.certify(x, "paper").radius,
        "theoremB": model.certify(x, "sharp").radius,
        "exact": model.certify(x, "exact").radius,
    }
    return {name: value.item() for name, value in numbers.items()} | {"bias": bias[0].tolist()}


def test_a_thousand_random_states_have_the_numbers_of_lbrs(browser):
    generator = torch.Generator().manual_seed(0)
    states = [configuration(place, generator) for place in range(1000)]
    page = browser.new_page()
    page.add_script_tag(path=STATIC / "play-math.js")
    found = page.evaluate("states => states.map(state => lbrsMath.at(state))", states)
    page.close()
    for state, numbers in zip(states, found, strict=True):
        for name, value in expected(state).items():
            assert numbers[name] == pytest.approx(value, rel=1e-9, abs=1e-9), (name, state)


def test_the_regions_are_the_decisions_of_lbrs(browser):
    page = browser.new_page()
    page.add_script_tag(path=STATIC / "play-math.js")
    middle = (torch.arange(140, dtype=torch.float64) + 0.5) * 6 / 140 - 3
    grid = torch.stack([middle.repeat(140), -middle.repeat_interleave(140)], dim=1)
    for preset in spiral.presets():
        found = torch.tensor(page.evaluate(FRAMES, preset))
        assert (found == (model_of(preset).predict(grid) > 0)).all()
        assert 0.1 < found.double().mean() < 0.9
    page.close()


def test_the_two_files_are_small_and_ask_for_nothing():
    files = [STATIC / name for name in ("play-math.js", "play.js")]
    assert sum(file.stat().st_size for file in files) <= 25_000
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert not any(word in text for word in ("fetch(", "http", "import ", "XMLHttp", "eval("))


def test_each_preset_does_what_it_says():
    gains, changes, loses, _ = (model_of(preset) for preset in spiral.presets())
    x = [preset["x"] for preset in spiral.presets()]
    before = [LocallyBiased(m.base, m.oracle, 0.0) for m in (gains, changes, loses)]
    at = lambda model, place: model.certify([x[place]], "exact")  # noqa: E731
    assert at(gains, 0).radius - at(before[0], 0).radius == pytest.approx(0.9, abs=1e-9)
    assert at(changes, 1).prediction != at(before[1], 1).prediction
    assert at(loses, 2).prediction == at(before[2], 2).prediction
    assert at(loses, 2).radius < at(before[2], 2).radius - 0.5


def test_keys_move_the_star_and_flip_a_label(opened):
    first = opened.evaluate(NUMBERS)
    opened.locator("canvas").focus()
    opened.keyboard.press("ArrowUp")
    opened.wait_for_timeout(LATER)
    moved, address = opened.evaluate(NUMBERS), opened.evaluate(HASH)
    assert moved != first and address.startswith("#play=l2_0.9_")
    for key in ("n", "n", "f"):
        opened.keyboard.press(key)
    opened.wait_for_timeout(LATER)
    assert opened.evaluate(HASH) != address


def test_a_slider_the_norm_and_a_preset_change_the_numbers(opened):
    found = [opened.evaluate(NUMBERS)]
    opened.get_by_label("Bias").focus()
    opened.keyboard.press("ArrowRight")
    opened.wait_for_timeout(LATER)
    found.append(opened.evaluate(NUMBERS))
    opened.get_by_label("Norm").select_option("linf")
    opened.wait_for_timeout(LATER)
    found.append(opened.evaluate(NUMBERS))
    opened.get_by_label("Start from").select_option("3")
    opened.wait_for_timeout(LATER)
    found.append(opened.evaluate(NUMBERS))
    assert len({tuple(numbers) for numbers in found}) == 4


@pytest.mark.parametrize("by", ["mouse", "finger"])
def test_the_star_is_dragged(opened, by):
    box, state = opened.locator("canvas").bounding_box(), spiral.presets()[0]
    unit = box["width"] / 6
    star = box["x"] + (state["x"][0] + 3) * unit, box["y"] + (3 - state["x"][1]) * unit
    to = star[0] + unit, star[1] - unit
    if by == "mouse":
        opened.mouse.move(*star)
        opened.mouse.down()
        opened.mouse.move(*to, steps=4)
        opened.mouse.up()
    else:
        told = opened.context.new_cdp_session(opened)
        for kind, points in (("Start", [star]), ("Move", [to]), ("End", [])):
            touches = [{"x": x, "y": y} for x, y in points]
            told.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": touches})
    opened.wait_for_timeout(LATER)
    x = [float(part) for part in opened.evaluate(HASH).split("_")[5:7]]
    assert x == pytest.approx([state["x"][0] + 1, state["x"][1] + 1], abs=0.02)


def test_the_address_brings_the_state_back(opened, place):
    opened.get_by_label("Start from").select_option("3")
    opened.wait_for_timeout(LATER)
    first, address = opened.evaluate(NUMBERS), opened.evaluate(HASH)
    opened.goto("about:blank")
    opened.goto(place + address)
    opened.wait_for_selector(".lbrs-panel td")
    assert opened.evaluate(NUMBERS) == first
    opened.goto("about:blank")
    opened.goto(place + "#play=l2_-1_0_0_1")
    opened.wait_for_selector(".lbrs-panel td")
    assert opened.evaluate(NUMBERS) != first


def test_without_scripts_there_is_a_first_picture(browser, place):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(place)
    assert page.locator("img.lbrs-first").is_visible()
    assert page.locator("canvas").count() == 0
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_telephone(opened, theme):
    opened.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    opened.evaluate(AXE_FILE_PATH.read_text())
    assert opened.evaluate("() => document.documentElement.scrollWidth") <= 390
    if theme == "light":
        assert not opened.evaluate(AXE)


def test_motion_is_reduced_where_asked(browser, place):
    """With motion the bias of a preset grows, without it is there at once."""
    for motion, whole in (("reduce", True), ("no-preference", False)):
        context = browser.new_context(reduced_motion=motion)
        page = context.new_page()
        page.goto(place)
        page.wait_for_selector(".lbrs-panel td")
        page.wait_for_timeout(1500)
        chosen = "() => { const s = document.querySelector('select'); s.value = '0';"
        chosen += (
            " s.dispatchEvent(new Event('input')); return document.querySelector('input').value }"
        )
        assert (float(page.evaluate(chosen)) == 0.9) is whole
        context.close()
