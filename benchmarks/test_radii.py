"""Neighbour radii in units of one product of the test images with the reference points."""

import pytest
from measuring import Prepared, interleaved

from lbrs import L1, L2, LINF, NearestNeighborOracle
from lbrs.experiments import data

CALLS = {
    "label": lambda oracle, x: oracle.label(x),
    "l2": lambda oracle, x: oracle.radius(x, L2),
    "linf": lambda oracle, x: oracle.radius(x, LINF),
    "l1": lambda oracle, x: oracle.radius(x, L1),
}


@pytest.mark.benchmark(group="radii")
def test_first_radii_in_units_of_one_matrix_product(benchmark, sizes):
    contenders: dict[str, Prepared] = {}
    for N in sizes.radii_references:
        task = data.images("mnist", 0, reference_points=N, test_points=sizes.radii_points)
        x, points = task.test_x.double().flatten(1), task.reference_x.double().flatten(1)
        contenders[f"product {N}"] = lambda turn, x=x, points=points: lambda: x @ points.T
        for name, call in CALLS.items():

            def prepare(turn, call=call, x=x, points=points, labels=task.reference_y):
                oracle = NearestNeighborOracle(points, labels)
                return lambda: call(oracle, x)

            contenders[f"{name} {N}"] = prepare
    seconds = interleaved(benchmark, contenders, sizes.radii_rounds, warm=False)
    methods = {
        name: [seconds[f"{name} {N}"] for N in sizes.radii_references]
        for name in ("product", *CALLS)
    }
    benchmark.extra_info.update(
        dataset="mnist",
        N=sizes.radii_references,
        points=len(x),
        features=x.shape[1],
        seconds=methods,
    )
