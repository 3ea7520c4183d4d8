"""Certified radii on images, on tiny parameters: the record repeats, continues,
and holds what certifying each image directly gives."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from tiny import CERTIFIED as TINY

from lbrs import L2, LINF, LocallyBiased, NearestNeighborOracle
from lbrs.experiments import data, stages
from lbrs.experiments.certified import Certification
from lbrs.experiments.configs import CertifiedConfig
from lbrs.experiments.records import find_curve
from lbrs.experiments.running import run
from lbrs.experiments.stages import Stages, generator
from lbrs.pages import certified, cohen
from lbrs.pages import text as report
from lbrs.scores.cohen import CohenScore
from lbrs.verification import verify

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
PAGES = [certified.limits, cohen.limits, certified.attacks]
FIGURES = [certified.accuracy, certified.average_radius, cohen.accuracy]


def make(folder, seed=0):
    return run(TINY, run="certified-digits", profile="quick", seed=seed, folder=folder / "records")


def content(record):
    return dataclasses.asdict(dataclasses.replace(record, wall_time=0.0))


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return make(tmp_path_factory.mktemp("certified"))


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    task = data.images("digits", 0, reference_points=2, test_points=20)
    return Certification(TINY, task, 0, CPU, Stages(tmp_path_factory.mktemp("bench"), ["bench"]))


@pytest.fixture(params=[L2, LINF], ids=str)
def norm(request):
    return request.param


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def curves_of(record, norm, **key):
    return [
        curve
        for curve in record.results["norms"][str(norm)]["curves"]
        if all(curve.get(name) == value for name, value in key.items())
    ]


def oracle_of(bench, N):
    """The nearest neighbour among the first N/2 training images of each label."""
    rows = torch.cat([(bench.y == label).nonzero().flatten()[: N // 2] for label in (1, -1)])
    return NearestNeighborOracle(bench.x[rows], bench.y[rows])


def holds(curve, certificate, radii, y):
    """Whether a curve is what the certificate says, up to the five decimals that a record keeps."""
    average = (certificate.radius * (certificate.prediction == y)).mean().item()
    return curve["certified"] == pytest.approx(
        [certificate.accuracy(y, radius) for radius in radii], abs=1e-5
    ) and curve["average"] == pytest.approx(average, abs=1e-5)


def test_two_runs_with_one_seed_agree_and_another_seed_differs(record, tmp_path):
    assert content(make(tmp_path / "again")) == content(record)
    assert make(tmp_path / "other", seed=1).results != record.results
    assert record.test_points == 20 and record.results["train_points"] == 60


def test_a_stopped_run_continues_and_ends_with_the_same_record(record, tmp_path, monkeypatch):
    computed, finish = [], stages.write_file

    def stop_late(path, write):
        finish(path, write)
        computed.append(path.name)
        if len(computed) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stages, "write_file", stop_late)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path)
    assert computed == [
        "smooth-l2.pt",
        "smooth-linf.pt",
        "noisy-0.1.pt",
        "noisy-0.3.pt",
        "counts-0.1.pt",
    ]
    monkeypatch.setattr(
        stages, "write_file", lambda path, write: (finish(path, write), computed.append(path.name))
    )
    assert content(make(tmp_path)) == content(record)
    assert computed[5:] == ["counts-0.3.pt", "curves-l2.pt", "curves-linf.pt"]
    assert not any((tmp_path / "partial").iterdir())


@pytest.mark.parametrize(("method", "bound"), [("sharp", "sharp"), ("theorem8", "paper")])
@pytest.mark.parametrize("place", [1, 3])
def test_curves_are_those_of_certifying_directly(record, bench, norm, method, bound, place):
    values = record.results["norms"][str(norm)]
    score, alpha = bench.base(norm), values["alpha"][place]
    for N in (10, 60):
        certificate = LocallyBiased(score, oracle_of(bench, N), alpha, norm).certify(
            bench.test_x, bound
        )
        assert holds(
            find_curve(values["curves"], method=method, N=N, alpha=alpha),
            certificate,
            values["radii"],
            bench.test_y,
        )


def test_curves_of_cohens_smoothing_are_those_of_certifying_directly(record, bench):
    values, sigma, alpha = record.results["norms"]["l2"], 0.3, 0.5
    network = bench.noisy_network(sigma)
    network.load_state_dict(bench.noisy(sigma))
    score = CohenScore(
        network.eval(), sigma, TINY.samples, generator("cpu", 0, "noisy", sigma, "draws")
    )
    certificate = LocallyBiased(score, oracle_of(bench, 10), alpha).certify(
        bench.test_x, confidence=TINY.confidence
    )
    assert holds(
        find_curve(values["curves"], method="cohen", sigma=sigma, N=10, alpha=alpha),
        certificate,
        values["radii"],
        bench.test_y,
    )


def test_the_nearest_neighbour_is_certified_by_its_own_radius(record, bench, norm):
    values, oracle = record.results["norms"][str(norm)], oracle_of(bench, 10)
    right = oracle.label(bench.test_x) == bench.test_y
    radius = oracle.radius(bench.test_x, norm)
    expected = [(right & ((radius > r) | (r == 0))).double().mean().item() for r in values["radii"]]
    assert find_curve(values["curves"], method="nearest", N=10)["certified"] == pytest.approx(
        expected, abs=1e-5
    )


def test_every_method_has_a_curve_for_each_number_of_reference_points_and_alpha(record, norm):
    values = record.results["norms"][str(norm)]
    assert len(values["radii"]) == TINY.radius_points and len(curves_of(record, norm)) == 1 + 3 * (
        2 * 4 + 1 + 2 * 4
    )
    for curve in values["curves"]:
        assert (
            len(curve["certified"]) == TINY.radius_points
            and 0 <= min(curve["certified"]) <= max(curve["certified"]) <= 1
        )
        assert (np.diff(curve["certified"]) <= 0).all() and curve["average"] >= 0


def test_without_a_bias_the_sharp_certificate_is_the_networks_own(record, bench, norm):
    (base,) = curves_of(record, norm, method="base")
    for curve in curves_of(record, norm, method="sharp", alpha=0.0):
        assert curve["certified"] == base["certified"] and curve["average"] == base["average"]
    predicted = torch.where(bench.base(norm).value(bench.test_x) >= 0, 1.0, -1.0)
    assert base["certified"][0] == (predicted == bench.test_y).double().mean().item()


def test_theorem_8_never_certifies_more(record, norm):
    gained = 0.0
    for paper in curves_of(record, norm, method="theorem8"):
        (sharp,) = curves_of(record, norm, method="sharp", N=paper["N"], alpha=paper["alpha"])
        assert (
            np.array(paper["certified"]) <= np.array(sharp["certified"]) + 1e-9
        ).all() and paper["average"] <= sharp["average"] + 1e-5
        assert paper["certified"][0] == sharp["certified"][0]
        gained += sharp["average"] - paper["average"]
    assert gained > 0


def test_linf_radii_of_cohens_smoothing_are_those_of_l2_scaled_down(record):
    for sigma in TINY.sigmas:
        l2, linf = (
            curves_of(record, norm, method="cohen", N=60, sigma=sigma, alpha=0.0)[0]
            for norm in (L2, LINF)
        )
        assert (
            linf["average"] == pytest.approx(l2["average"] / 8, abs=1e-5)
            and linf["certified"][0] == l2["certified"][0]
        )


def test_no_certificate_is_broken(record, bench, norm):
    attacks = record.results["norms"][str(norm)]["attacks"]
    assert attacks["broken"] == 0 and attacks["points"] == 4 and 0 < attacks["tightness"] <= 1
    model = LocallyBiased(
        bench.base(norm),
        oracle_of(bench, 10),
        record.results["norms"][str(norm)]["alpha"][-1],
        norm,
    )
    result = verify(
        model,
        bench.test_x,
        model.certify(bench.test_x),
        probes=4,
        generator=torch.Generator().manual_seed(0),
    )
    assert not result.broken.any()


@pytest.mark.parametrize(
    "figure", FIGURES, ids=lambda figure: f"{figure.__module__}.{figure.__name__}"
)
def test_every_axis_is_labelled_and_the_figure_names_profile_seed_and_points(record, figure):
    assert figure(record)
    drawn = plt.gcf()
    assert all(ax.get_xlabel() for ax in drawn.axes) and drawn.axes[0].get_ylabel()
    assert "profile quick · seed 0 · 20 test points" in [text.get_text() for text in drawn.texts]


def test_the_lines_of_the_figures_are_the_curves_of_the_record(record):
    certified.accuracy(record)
    values, (last, first) = record.results["norms"]["linf"], (plt.gcf().axes[-1], plt.gcf().axes[0])
    assert (
        "60" in last.get_title()
        and "4" in first.get_title()
        and last.lines[0].get_xdata() == pytest.approx(values["radii"])
    )
    for line, key in zip(
        last.lines[:3],
        (
            {"method": "base"},
            {"method": "nearest", "N": 60},
            {"method": "sharp", "N": 60, "alpha": 0.01},
        ),
        strict=True,
    ):
        assert line.get_ydata() == pytest.approx(find_curve(values["curves"], **key)["certified"])
    cohen.accuracy(record)
    lines = plt.gcf().axes[1].lines
    assert lines[0].get_ydata() == pytest.approx(
        curves_of(record, L2, method="cohen", sigma=0.3, N=60, alpha=0.0)[0]["certified"]
    )


def test_the_average_radii_drawn_are_those_of_the_record(record):
    certified.average_radius(record)
    for ax, norm in zip(plt.gcf().axes, (L2, LINF), strict=True):
        drawn = [tuple(np.round(np.asarray(line.get_ydata(), float), 5)) for line in ax.lines]
        for method in ("sharp", "theorem8"):
            for N in (4, 10, 60):
                assert (
                    tuple(curve["average"] for curve in curves_of(record, norm, method=method, N=N))
                    in drawn
                )


def test_tables_and_sentences_hold_the_numbers_of_the_record(record):
    reading, biased, attack = (str(page(record)) for page in PAGES)
    for norm in (L2, LINF):
        numbers = str(certified.numbers(record, str(norm)))
        (base,), (sharp,) = (
            curves_of(record, norm, method="base"),
            curves_of(
                record,
                norm,
                method="sharp",
                N=60,
                alpha=record.results["norms"][str(norm)]["alpha"][1],
            ),
        )
        assert f"{base['average']:.4g}" in numbers and f"{sharp['average']:.4g}" in numbers
        assert (
            f"{base['certified'][0]:.3f}" in reading and f"{sharp['certified'][2]:.3f}" in numbers
        )
        assert f"{record.results['norms'][str(norm)]['L']:.4g}" in attack
    for sigma in TINY.sigmas:
        (plain,) = curves_of(record, L2, method="cohen", sigma=sigma, N=60, alpha=0.0)
        assert f"{plain['certified'][0]:.3f}" in biased and rf"\sigma = {sigma:g}" in biased
    assert "nan" not in numbers + reading + biased + attack


def test_every_row_of_a_table_has_the_columns_of_its_header(record):
    for text in (
        *(certified.numbers(record, norm) for norm in ("l2", "linf")),
        certified.attacks(record),
        report.choices(record),
    ):
        rows = str(text).splitlines()
        assert len({line.count("|") for line in rows}) == 1 and len(rows) > 5


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"epochs": 0},
        {"noisy_epochs": -1},
        {"radius_points": 0},
        {"samples": 0},
        {"attacked": 0},
        {"samples": 10.5},
        {"train_points": 1},
        {"learning_rate": 0.0},
        {"margin": 0.0},
        {"linf_margin": -1.0},
        {"temperature": float("nan")},
        {"radii_max": float("inf")},
        {"linf_radii_max": 0.0},
        {"confidence": 1.0},
        {"confidence": 0.0},
        {"confidence": "high"},
        {"sigmas": (0.1, 0.0)},
        {"sigmas": (float("nan"),)},
        {"reference_points": (1,)},
        {"reference_points": (4.5,)},
        {"alphas": (0.1, 0.2, 0.3, 0.4)},
        {"alphas": (0.0, 0.1, 0.2)},
        {"alphas": (0.0, -0.1, 0.2, 0.3)},
        {"alphas": (0.0, 0.1, 0.2, float("inf"))},
        {"linf_alphas": (0.0, 0.1)},
        {"linf_alphas": (1.0, 2.0, 3.0, 4.0)},
    ],
    ids=str,
)
def test_bad_choices_are_named(change):
    with pytest.raises((ValueError, TypeError), match=rf"^{next(iter(change))}\b"):
        CertifiedConfig(**change)


def test_every_choice_says_what_it_is():
    assert all(
        len(field.metadata["says"]) > 10
        and f"`{field.name}`" in report.choices_of(CertifiedConfig())
        for field in dataclasses.fields(CertifiedConfig)
    )
