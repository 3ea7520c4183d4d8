"""The test of the tests: each wrong formula, put into a copy of the package, makes the test named beside it fail."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FAILED = 1  # pytest's exit code for tests that ran and failed; 2 to 5 mean that they did not run
PROBE = '''
"""Says on exit from where the modules of the package came."""
import sys


def pytest_sessionfinish():
    for name in sorted(sys.modules):
        if name == "lbrs" or name.startswith("lbrs."):
            print(f"\\nimported {sys.modules[name].__file__}")
'''


@dataclass(frozen=True)
class Mutation:
    """In lbrs/`module`.py, `new` for `old`; `test` must notice."""

    what: str
    module: str
    old: str
    new: str
    test: str


MUTATIONS = [
    Mutation(
        "Theorem 1: half the radius",
        "certificates",
        "return sigma * torch.special.ndtri(",
        "return sigma / 2 * torch.special.ndtri(",
        "test_certificates.py::test_theorem_1_is_the_formula_of_the_paper_for_two_classes",
    ),
    Mutation(
        "Theorem 6: max for min",
        "certificates",
        "return torch.minimum(boundary, neighbor)",
        "return torch.maximum(boundary, neighbor)",
        "test_certificates.py::test_radius_is_at_least_zero_and_at_most_the_neighbor_term",
    ),
    Mutation(
        "Theorem 8: L for 4 L",
        "certificates",
        "torch.hypot(B, 2 * L**0.5 * size.sqrt())",
        "torch.hypot(B, L**0.5 * size.sqrt())",
        "test_certificates.py::test_radius_of_the_boundary_solves_the_quadratic_equation_of_the_proof",
    ),
    Mutation(
        "Theorem 8: without alpha L",
        "certificates",
        "    B = alpha * L + slope\n    root = torch.hypot",
        "    B = slope\n    root = torch.hypot",
        "test_certificates.py::test_radius_of_the_boundary_solves_the_quadratic_equation_of_the_proof",
    ),
    Mutation(
        "Theorem H: the sign of alpha",
        "certificates",
        "sign_aware(distance + alpha, distance - alpha,",
        "sign_aware(distance - alpha, distance - alpha,",
        "test_sharp.py::test_where_the_base_overrules_the_oracle_the_neighbours_do_not_matter",
    ),
    Mutation(
        "Theorems B, H, E': min for max",
        "certificates",
        "torch.minimum(along, torch.maximum(neighbor, against))",
        "torch.minimum(along, torch.minimum(neighbor, against))",
        "test_sharp.py::test_where_the_base_overrules_the_oracle_the_neighbours_do_not_matter",
    ),
    Mutation(
        "rho_-: the sign of alpha G",
        "certificates",
        "margin = (value - alpha * slope)",
        "margin = (value + alpha * slope)",
        "test_sharp.py::test_against_is_attained_by_a_ridge_function_with_this_constant",
    ),
    Mutation(
        "rho_+: 2 L v for 4 L v",
        "certificates",
        "(2 * slope**2 + 4 * L * value)",
        "(2 * slope**2 + 2 * L * value)",
        "test_sharp.py::test_closed_roots_are_the_roots_of_the_brute_force_minimum",
    ),
    Mutation(
        "Theorem G: half of L",
        "certificates",
        "math.sqrt(2 * math.pi), 2 * math.exp(-0.5)",
        "math.sqrt(2 * math.pi), math.exp(-0.5)",
        "scores/test_gaussian.py::test_the_constants_are_attained_by_a_half_line_and_by_a_slab",
    ),
    Mutation(
        "Theorem M: the sign of the oracle's other class",
        "certificates",
        "(unit[predicted][:, :, None] - unit)",
        "(unit[predicted][:, :, None] + unit)",
        "test_multiclass.py::test_theorem_m_is_the_formula",
    ),
    Mutation(
        "Theorem M: max for min over the classes",
        "certificates",
        "torch.where(other[:, None], reach, torch.inf).amin(2)",
        "torch.where(other[:, None], reach, -torch.inf).amax(2)",
        "test_multiclass.py::test_theorem_m_is_the_formula",
    ),
    Mutation(
        "certified accuracy: >= for >",
        "certificates",
        "(self.radius > radius)",
        "(self.radius >= radius)",
        "test_certificates.py::test_certified_accuracy_counts_right_predictions_with_a_larger_radius",
    ),
    Mutation(
        "the gap in the norm, not its dual",
        "oracles/nearest",
        "self._radius(x[part], norm.dual,",
        "self._radius(x[part], norm,",
        "oracles/test_nearest.py::test_radius_equals_the_formula_of_the_paper[linf]",
    ),
    Mutation(
        "the bisector: without the factor 2",
        "oracles/radii",
        "/ (2 * gap * (1 + loose))",
        "/ (gap * (1 + loose))",
        "test_sharp.py::test_the_example_of_wang_et_al_has_the_bisector_radius",
    ),
    Mutation(
        "Theorem K: (k - 1)/2 of a label suffice",
        "oracles/nearest",
        "quorum = (self.k + 1) // 2",
        "quorum = max(1, (self.k - 1) // 2)",
        "test_sharp.py::test_neighbour_radius_is_that_of_theorems_a_and_k_from_below[l2-3]",
    ),
    Mutation(
        "the dual exponent: p for p/(p - 1)",
        "norms",
        "Norm(self.p / (self.p - 1))",
        "Norm(self.p)",
        "test_norms.py::test_dual_exponents_add_up_to_one",
    ),
    Mutation(
        "f^mu: the oracle wins a tie",
        "scores/base",
        "torch.where(alpha > local.crossing,",
        "torch.where(alpha >= local.crossing,",
        "test_smoothing.py::test_where_score_and_bias_cancel_the_base_decides",
    ),
    Mutation(
        "g^mu: the sign of the bias",
        "smoothing",
        "return local.value + self.alpha * self.oracle.label(x)",
        "return local.value - self.alpha * self.oracle.label(x)",
        "test_smoothing.py::test_smoothed_score_is_equation_5",
    ),
    Mutation(
        "softplus: beta/8 for beta/4",
        "layers/modules",
        "beta / 4,",
        "beta / 8,",
        "test_curvature.py::test_one_unit_is_bounded_exactly[l1]",
    ),
    Mutation(
        "L in l1: without the square",
        "curvature",
        "total += (weights @ J**2).max().item()",
        "total += (weights @ abs(J)).max().item()",
        "test_curvature.py::test_one_unit_is_bounded_exactly[l1]",
    ),
    Mutation(
        "Theorem C: the sign of the weight",
        "exact/cells",
        "self.w = -s * model.w",
        "self.w = s * model.w",
        "exact/test_cells.py::test_radius_agrees_with_a_grid_of_the_plane[l2-free]",
    ),
    Mutation(
        "Theorem C: bisectors at twice the distance",
        "exact/cells",
        "return u, ((u * V).sum(1) - error) / 2",
        "return u, (u * V).sum(1) - error",
        "exact/test_cells.py::test_case_of_wang_et_al",
    ),
    Mutation(
        "Clopper and Pearson: the whole error on each side",
        "scores/cohen",
        'integer("features", features, low=0)) / 2',
        'integer("features", features, low=0))',
        "scores/test_cohen.py::test_the_interval_is_that_of_clopper_and_pearson_and_never_nan",
    ),
    Mutation(
        "Cohen: the sign of the upper end",
        "scores/cohen",
        "torch.where(plus, low, -high)",
        "torch.where(plus, low, high)",
        "scores/test_cohen.py::test_alpha_zero_is_the_certificate_of_cohen_et_al",
    ),
    Mutation(
        "errors where the decision turns: without the gradient's",
        "rounding",
        "alpha * (slope_share + CHOICE) * (1 + there)",
        "0 * there",
        "test_rounding.py::test_no_error_that_is_allowed_breaks_a_smooth_certificate[0.05]",
    ),
    Mutation(
        "errors at x: without",
        "rounding",
        "over = value - share",
        "over = value",
        "test_rounding.py::test_no_error_that_is_allowed_breaks_a_smooth_certificate[0.05]",
    ),
]


def copied(folder: Path) -> Path:
    """A copy of the package in `folder`, next to a pytest plugin that says which package was imported."""
    shutil.copytree(ROOT / "lbrs", folder / "lbrs", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "import_probe.py").write_text(PROBE)
    return folder


def mutate(folder: Path, mutation: Mutation) -> None:
    path = folder / "lbrs" / f"{mutation.module}.py"
    text = path.read_text()
    assert text.count(mutation.old) == 1, (
        f"the text to change must occur once in {path.name}: {mutation.old}"
    )
    path.write_text(text.replace(mutation.old, mutation.new))


def check(folder: Path, *tests: str) -> subprocess.CompletedProcess:
    """Run the tests with the package in `folder`."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-p",
        "import_probe",
        "--rootdir",
        str(ROOT),
        "-c",
        str(ROOT / "pyproject.toml"),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "OMP_NUM_THREADS": "1",
        "PYTEST_ADDOPTS": "",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    return subprocess.run(
        [*command, *(str(ROOT / "tests" / test) for test in tests)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


def assert_imported_from(folder: Path, output: str) -> None:
    found = {
        Path(line.removeprefix("imported "))
        for line in output.splitlines()
        if line.startswith("imported ")
    }
    assert folder / "lbrs" / "__init__.py" in found and all(
        folder / "lbrs" in path.parents for path in found
    ), found


def attempt(folder: Path, mutation: Mutation | None) -> subprocess.CompletedProcess:
    """Run the mutation's test on a mutated copy, or, given None, all tests of the table on a true one."""
    copied(folder)
    if mutation is None:
        return check(folder, *sorted({mutation.test for mutation in MUTATIONS}))
    mutate(folder, mutation)
    return check(folder, mutation.test)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Iterator[dict[Mutation | None, tuple[Path, Future]]]:
    """The folder and the run of each mutation and of the true package, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        folders = {mutation: tmp_path_factory.mktemp("package") for mutation in (None, *MUTATIONS)}
        yield {
            mutation: (folder, pool.submit(attempt, folder, mutation))
            for mutation, folder in folders.items()
        }
        pool.shutdown(cancel_futures=True)


def test_the_package_as_it_is_passes_the_tests_of_the_table(runs):
    folder, run = runs[None]
    result = run.result()
    assert result.returncode == 0, result.stdout + result.stderr
    assert_imported_from(folder, result.stdout)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what)
def test_a_wrong_formula_is_noticed(runs, mutation):
    folder, run = runs[mutation]
    result = run.result()
    assert result.returncode == FAILED, result.stdout + result.stderr
    assert_imported_from(folder, result.stdout)
    assert " failed" in result.stdout and " error" not in result.stdout.splitlines()[-1]


def test_every_file_with_formulas_is_mutated():
    assert len(MUTATIONS) >= 12 and len({mutation.what for mutation in MUTATIONS}) == len(MUTATIONS)
    assert {mutation.module for mutation in MUTATIONS} == {
        "certificates",
        "oracles/nearest",
        "oracles/radii",
        "norms",
        "smoothing",
        "layers/modules",
        "curvature",
        "exact/cells",
        "scores/cohen",
        "scores/base",
        "rounding",
    }
