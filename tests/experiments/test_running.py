"""The pipeline on tiny parameters: it repeats, it continues where it was stopped,
and its limits are what they must be."""

import dataclasses
import errno
import io
import os
import pty
import sys

import numpy as np
import pytest
import torch
from tiny import TINY

from lbrs.experiments import data, records, stages
from lbrs.experiments.configs import ImagesConfig, SpiralConfig
from lbrs.experiments.plan import Task
from lbrs.experiments.running import Outcome, run, run_or_published
from lbrs.experiments.stages import Stages
from lbrs.pages import text


@pytest.fixture(params=TINY)
def tiny(request):
    return request.param, TINY[request.param]


def content(record):
    return dataclasses.asdict(dataclasses.replace(record, wall_time=0.0))


def test_two_runs_with_one_seed_agree_and_another_seed_differs(tiny, tmp_path):
    name, config = tiny
    first, again, other = (
        run(config, run=name, profile="quick", seed=seed, folder=tmp_path / str(i) / "records")
        for i, seed in enumerate((0, 0, 1))
    )
    assert content(first) == content(again)
    assert first.results != other.results
    assert first.test_points == config.test_points and first.wall_time > 0
    assert first == run(
        config, run=name, profile="quick", seed=0, folder=tmp_path / "0" / "records"
    )


def test_a_stopped_run_continues_and_ends_with_the_same_record(tiny, tmp_path, monkeypatch):
    name, config = tiny
    whole = run(config, run=name, profile="quick", seed=0, folder=tmp_path / "a" / "records")
    computed, finish = [], stages.write_file

    def stop_late(path, write):
        finish(path, write)
        computed.append(path.name)
        if len(computed) == (1 if name == "spiral" else 4):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stages, "write_file", stop_late)
        with pytest.raises(KeyboardInterrupt):
            run(config, run=name, profile="quick", seed=0, folder=tmp_path / "b" / "records")
    before = list(computed)
    monkeypatch.setattr(
        stages, "write_file", lambda path, write: (finish(path, write), computed.append(path.name))
    )
    again = run(config, run=name, profile="quick", seed=0, folder=tmp_path / "b" / "records")
    assert content(again) == content(whole)
    assert len(set(computed)) == len(computed) and set(before) <= set(computed)
    assert not any((tmp_path / "b" / "partial").iterdir())


def test_stages_of_other_choices_or_other_code_are_not_reused(tmp_path, monkeypatch):
    assert Stages(tmp_path, ["a"])("x", lambda: 1) == 1
    assert Stages(tmp_path, ["a"])("x", lambda: 2) == 1
    assert Stages(tmp_path, ["b"])("x", lambda: 3) == 3
    monkeypatch.setattr(stages, "sources_hash", lambda: "changed")
    assert Stages(tmp_path, ["a"])("x", lambda: 4) == 4


def test_what_a_run_that_was_killed_after_its_record_left_is_removed(tmp_path, monkeypatch):
    config, asked = TINY["spiral"], {"run": "spiral", "profile": "quick", "seed": 0}
    with monkeypatch.context() as patched:
        patched.setattr(Stages, "clear", lambda self: None)
        first = run(config, **asked, folder=tmp_path / "records")
    (kept,) = (tmp_path / "partial").iterdir()
    other = kept.with_name("spiral-quick-0-0123456789abcdef")
    other.mkdir()
    again = run(config, **asked, folder=tmp_path / "records")
    assert again.wall_time == pytest.approx(first.wall_time)
    assert list((tmp_path / "partial").iterdir()) == [other]


def test_the_ends_of_the_alpha_path_are_the_network_and_the_nearest_neighbour(tmp_path):
    record = run(TINY["digits"], run="digits", profile="quick", seed=0, folder=tmp_path / "records")
    assert record.results["limits"]["alpha_zero"] == record.results["limits"]["alpha_infinity"] == 0
    for entry in record.results["sets"]:
        first, last = records.accuracy_at(entry["lbrs"], [0.0, 1e300], record.test_points)
        recorded = entry["cnn"], entry["normal"][0], entry["nearest"]
        assert recorded == pytest.approx((first, first, last), rel=1e-6)
    for values in record.results["attacks"].values():
        assert values["radius"][0] == 0 and values["cnn"][0] == record.results["sets"][0]["cnn"]


def test_the_spiral_begins_below_the_radius_of_the_svm_and_ends_at_the_nearest_neighbour(
    tmp_path,
):
    results = run(
        TINY["spiral"], run="spiral", profile="quick", seed=0, folder=tmp_path / "records"
    ).results
    grid, slack, curves = (
        np.linspace(0, TINY["spiral"].alpha_max, 40),
        2 * TINY["spiral"].tolerance,
        {},
    )
    for norm, values in results["norms"].items():
        curve = {
            name: np.interp(grid, line["alpha"], line["value"])
            for name, line in values.items()
            if isinstance(line, dict)
        }
        assert (
            curve["radius"][0]
            <= values["base_radius"]
            == pytest.approx(curve["sharp_radius"][0], rel=1e-6)
        )
        assert values["base_true_radius"] == pytest.approx(curve["sharp_true_radius"][0], rel=1e-6)
        assert (curve["sharp_radius"] >= curve["radius"] - slack).all() and (
            curve["true_radius"] <= curve["radius"] + slack
        ).all()
        curves[norm] = curve
    ends = records.accuracy_at(
        results["accuracy"], [0.0, TINY["spiral"].alpha_max], TINY["spiral"].test_points
    )
    assert results["nearest_alpha"] < TINY["spiral"].alpha_max and ends[-1] == results["nearest"]
    assert (curves["l2"]["radius"] >= curves["linf"]["radius"] - slack).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"profile": "fast"}, "profile"),
        ({"seed": -1}, "seed"),
        ({"device": "tpu"}, "device"),
        ({"device": 0}, "device"),
    ],
)
def test_bad_arguments_are_named_before_any_work(change, named, tmp_path):
    given = {
        "run": "spiral",
        "profile": "quick",
        "seed": 0,
        "folder": tmp_path / "records",
        **change,
    }
    with pytest.raises((ValueError, TypeError), match=named):
        run(TINY["spiral"], **given)
    assert not (tmp_path / "records").exists()


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (SpiralConfig, {"turns": 0.0}),
        (SpiralConfig, {"alpha_max": 0.0}),
        (SpiralConfig, {"raster": 0}),
        (SpiralConfig, {"shown_alphas": (-1.0,)}),
        (SpiralConfig, {"exact_points": 0}),
        (SpiralConfig, {"exact_alphas": (-1.0,)}),
        (SpiralConfig, {"exact_radii": (float("nan"),)}),
        (ImagesConfig, {"alpha": -1.0}),
        (ImagesConfig, {"samples": 0}),
        (ImagesConfig, {"error": float("nan")}),
        (ImagesConfig, {"radii": (float("inf"),)}),
        (ImagesConfig, {"noise": "none"}),
    ],
)
def test_bad_choices_are_named(kind, change):
    assert change.keys() <= {field.name for field in dataclasses.fields(kind)}
    assert change.keys() <= {field.name for field in dataclasses.fields(kind)}
    with pytest.raises((ValueError, TypeError), match=next(iter(change))):
        kind(**change)


def test_every_choice_says_what_it_is():
    for kind in (SpiralConfig, ImagesConfig):
        assert all(len(field.metadata["says"]) > 10 for field in dataclasses.fields(kind))
        assert all(
            f"`{field.name}`" in text.choices_of(kind()) for field in dataclasses.fields(kind)
        )


def test_without_data_the_published_record_is_shown_with_the_reason(monkeypatch, tmp_path):
    (tmp_path / "book" / "records").mkdir(parents=True)
    published = run(
        TINY["digits"], run="mnist", profile="paper", seed=0, folder=tmp_path / "book" / "records"
    )

    def missing(*arguments, **choices):
        raise data.DataError("no data in /folder. Remedy: `lbrs fetch mnist`")

    monkeypatch.setattr(data, "images", missing)
    monkeypatch.setattr(records, "find_project", lambda: tmp_path)
    outcome = run_or_published(Task("mnist", "quick", 5, ImagesConfig()))
    assert (
        not outcome.rerun
        and outcome.record.name == published.name == "mnist-paper-0.json"
        and outcome.record.results["sigma"] == published.results["sigma"]
    )
    assert "Not re-run here" in outcome.sentence and "lbrs fetch mnist" in outcome.sentence
    with pytest.raises(data.DataError):
        run_or_published(Task("unpublished", "quick", 0, ImagesConfig()))
    with pytest.raises(data.DataError):
        run_or_published(Task("mnist", "quick", 5, ImagesConfig(epochs=3), {"epochs": 3}))


def test_an_outcome_shows_as_a_sentence_and_as_data(tmp_path):
    record = run(TINY["spiral"], run="spiral", profile="quick", seed=0, folder=tmp_path / "records")
    bundle = Outcome(record, True)._repr_mimebundle_()
    assert bundle["application/vnd.lbrs.outcome+json"] == {
        "run": "spiral",
        "rerun": True,
        "reason": "",
    }
    assert "profile *quick*, seed 0, 50 test points. Wall time" in bundle["text/markdown"]


def test_generators_differ_by_purpose_and_repeat():
    draws = [
        torch.rand(3, generator=stages.generator("cpu", *names)).tolist()
        for names in ((0, "a"), (0, "a"), (0, "b"), (1, "a"))
    ]
    assert draws[0] == draws[1] and len({tuple(d) for d in draws}) == 3


@pytest.mark.parametrize("torn", ["empty", "half", "zeros", "text", "another"])
def test_a_stage_that_is_not_whole_is_computed_again(tmp_path, torn):
    Stages(tmp_path, ["a"])("x", lambda: [1, 2, 3])
    (path,) = tmp_path.rglob("x.pt")
    whole = path.read_bytes()
    if torn == "another":
        torch.save({"values": 1}, path)
    else:
        half = whole[: len(whole) // 2]
        path.write_bytes({"empty": b"", "half": half, "zeros": bytes(99), "text": b"x\n"}[torn])
    assert Stages(tmp_path, ["a"])("x", lambda: [4]) == [4]
    assert Stages(tmp_path, ["a"])("x", lambda: pytest.fail("computed again")) == [4]


@pytest.mark.parametrize("terminal", ["absent", "folder", "fifo", "full", "/dev/full", "/dev/null"])
def test_a_progress_bar_never_fails_anything(tmp_path, monkeypatch, terminal):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setenv("LBRS_PROGRESS", str(tmp_path / terminal))
    assert list(Stages(tmp_path, ["a"]).progress(range(3))) == [0, 1, 2]
    assert not (tmp_path / "absent").exists()


class Broken(io.StringIO):
    """A terminal that went away."""

    def write(self, text):
        raise OSError(errno.EIO, "Input/output error")

    def flush(self):
        raise OSError(errno.EIO, "Input/output error")

    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [None, Broken(), io.StringIO()], ids=["none", "gone", "plain"])
def test_a_bar_on_standard_error_never_fails_anything(tmp_path, monkeypatch, stream):
    monkeypatch.delenv("LBRS_PROGRESS", raising=False)
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(Stages(tmp_path, ["a"]).progress(range(3))) == [0, 1, 2]


def test_a_bar_is_drawn_on_the_terminal_that_is_named(tmp_path, monkeypatch):
    reader, writer = pty.openpty()
    monkeypatch.setenv("LBRS_PROGRESS", os.ttyname(writer))
    assert list(Stages(tmp_path, ["a"], "bar").progress(range(3))) == [0, 1, 2]
    assert b"3/3" in os.read(reader, 10_000)
    os.close(writer)
    os.close(reader)


def test_an_error_within_a_bar_is_not_lost(tmp_path, monkeypatch):
    monkeypatch.setenv("LBRS_PROGRESS", "/dev/null")
    with pytest.raises(OSError, match="of the work"):
        for _ in Stages(tmp_path, ["a"]).progress(range(3)):
            raise OSError("of the work")
    with pytest.raises(OSError, match="of the items"):
        list(Stages(tmp_path, ["a"]).progress(_failing()))


def _failing():
    yield 1
    raise OSError("of the items")
