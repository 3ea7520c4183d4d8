"""One thread for every comparison, trained networks kept in _build, and what the summary needs
beside the times."""

import os
from dataclasses import replace
from importlib.metadata import version

import pytest
import torch
from measuring import FULL, TINY, Sizes

from lbrs.experiments import data
from lbrs.experiments.images import Bench
from lbrs.experiments.plan import configure
from lbrs.experiments.records import find_project, versions
from lbrs.experiments.runs import load_runs
from lbrs.experiments.stages import Stages

THREADS = 1


def pytest_addoption(parser):
    parser.addoption(
        "--tiny", action="store_true", help="measure next to nothing, to see whether it works"
    )


def pytest_benchmark_update_json(config, benchmarks, output_json):
    libraries = {
        name: version(name) for name in ("adversarial-robustness-toolbox", "pytest-benchmark")
    }
    size = (TINY if config.getoption("--tiny") else FULL).name
    output_json["lbrs"] = {
        "size": size,
        "threads": THREADS,
        "cpus": os.cpu_count(),
        "versions": versions() | libraries,
    }


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(THREADS)


@pytest.fixture(scope="session")
def sizes(pytestconfig) -> Sizes:
    """How much is measured."""
    return TINY if pytestconfig.getoption("--tiny") else FULL


@pytest.fixture(scope="session")
def trained(sizes):
    """trained(name): the network of the image run `name` at profile paper with some of its test
    images; trained by all cores, then kept."""

    def trained(name: str) -> Bench:
        if name not in found:
            root = find_project()
            config = configure(load_runs(root)[name], "paper", sizes.network)
            config = replace(config, test_points=sizes.sequential_points[name])
            task = data.images(
                config.dataset,
                0,
                positive=config.positive,
                reference_points=config.reference_points,
                test_points=config.test_points,
            )
            torch.set_num_threads(os.cpu_count())
            stages = Stages(
                root / "_build/benchmarks", [sizes.name, name], title=f"{sizes.name}-{name}"
            )
            found[name] = Bench(config, task, 0, torch.device("cpu"), stages)
            torch.set_num_threads(THREADS)
        return found[name]

    found: dict[str, Bench] = {}
    return trained
