"""Where each numbered item of the paper stands: in the book, in the code and in the tests."""

from collections.abc import Iterable
from dataclasses import dataclass

from lbrs.pages.text import Markdown, table

TITLES = {
    "book/smoothing": "Randomized smoothing",
    "book/limits": "The limits of smoothing",
    "book/linear": "Linear classifiers",
    "book/nonlinear": "Nonlinear classifiers",
    "book/sharper": "Sharper certificates",
    "notebooks/spiral": "The spiral",
    "notebooks/mnist": "MNIST",
    "notebooks/cifar10": "CIFAR-10",
}


@dataclass(frozen=True)
class Item:
    """A numbered item: its name, what it says, its `page`, the `function` of lbrs (module:name) and
    the `test` (file::function)."""

    name: str
    says: str
    page: str
    function: str
    test: str

    @property
    def label(self) -> str:
        """Its label on the page: paper-eq-6 for Inequality (6), theorem-e-prime for Theorem E',
        none for a figure."""
        kind, _, number = self.name.lower().partition(" ")
        if kind == "figure":
            return ""
        if number.startswith("("):
            return f"paper-eq-{number[1:-1]}"
        return f"{kind}-{number}".replace("'", "-prime")


PAPER = (
    Item(
        "Theorem 1",
        "the radius of normal smoothing",
        "book/smoothing",
        "certificates:theorem1",
        "test_certificates.py::test_theorem_1_is_the_formula_of_the_paper_for_two_classes",
    ),
    Item(
        "Definition 2",
        "Lipschitz in a pair of norms",
        "book/limits",
        "scores.lipschitz:LipschitzScore",
        "scores/test_lipschitz.py::test_an_understated_constant_is_found_by_the_attack",
    ),
    Item(
        "Proposition 3",
        "smoothing keeps the Lipschitz constant",
        "book/limits",
        "normal:NormalSmoothing",
        "test_statements.py::test_smoothing_with_one_measure_keeps_every_lipschitz_constant",
    ),
    Item(
        "Definition 4",
        "biased and unbiased measures",
        "book/limits",
        "smoothing:LocallyBiased",
        "test_smoothing.py::test_smoothed_linear_score_is_the_mean_under_a_biased_measure",
    ),
    Item(
        "Proposition 5",
        "unbiased smoothing leaves a linear classifier as it is",
        "book/limits",
        "normal:NormalSmoothing",
        "test_smoothing.py::test_normal_smoothing_of_an_affine_score_leaves_its_sign",
    ),
    Item(
        "Equation (1)",
        "generalized smoothing",
        "book/linear",
        "smoothing:LocallyBiased",
        "test_smoothing.py::test_smoothed_linear_score_is_the_mean_under_a_biased_measure",
    ),
    Item(
        "Equation (2)",
        "only the mean of the measure matters to a linear score",
        "book/linear",
        "smoothing:LocallyBiased",
        "test_statements.py::test_a_linear_score_sees_only_the_mean_of_the_measure",
    ),
    Item(
        "Equation (3)",
        "the optimal bias, with the true class known",
        "book/linear",
        "norms.base:Norm.maximizer",
        "test_smoothing.py::test_no_measure_with_a_mean_of_length_alpha_gives_more",
    ),
    Item(
        "Equation (4)",
        "the smoothed linear score with the nearest-neighbour oracle",
        "book/linear",
        "smoothing:LocallyBiased.score",
        "test_smoothing.py::test_equation_5_is_equation_4_for_a_linear_score",
    ),
    Item(
        "Theorem 6",
        "the radius for linear scores",
        "book/linear",
        "certificates:theorem6",
        "test_certificates.py::test_certificate_of_a_linear_score_is_theorem_6_of_the_paper",
    ),
    Item(
        "Equation (5)",
        "the smoothed score of a nonlinear classifier",
        "book/nonlinear",
        "smoothing:LocallyBiased.score",
        "test_smoothing.py::test_smoothed_score_is_equation_5",
    ),
    Item(
        "Assumption 7",
        "a Lipschitz gradient",
        "book/nonlinear",
        "curvature:gradient_lipschitz",
        "test_curvature.py::test_no_pair_of_points_turns_the_gradient_faster",
    ),
    Item(
        "Theorem 8",
        "the radius for smooth scores",
        "book/nonlinear",
        "certificates:theorem8",
        "test_certificates.py::test_certificate_of_a_smooth_score_is_theorem_8_of_the_paper",
    ),
    Item(
        "Inequality (6)",
        "the last step of both proofs",
        "book/linear",
        "certificates:theorem6",
        "test_statements.py::test_inside_the_radius_the_smoothed_score_changes_by_less_than_itself",
    ),
    Item(
        "Figure 1",
        "the regions on the spiral",
        "notebooks/spiral",
        "pages.spiral:regions",
        "pages/test_drawing.py::test_the_raster_of_regions_is_the_classifier",
    ),
    Item(
        "Figure 2",
        "radius and accuracy on the spiral",
        "notebooks/spiral",
        "pages.spiral:radii",
        "pages/test_drawing.py::test_curves_are_those_of_the_record",
    ),
    Item(
        "Figure 3",
        "MNIST, over the smoothing parameter",
        "notebooks/mnist",
        "pages.images:over_smoothing",
        "pages/test_drawing.py::test_curves_are_those_of_the_record",
    ),
    Item(
        "Figure 4",
        "MNIST, over the attack radius",
        "notebooks/mnist",
        "pages.images:over_radius",
        "pages/test_drawing.py::test_curves_are_those_of_the_record",
    ),
    Item(
        "Figure 5",
        "CIFAR-10, over the smoothing parameter",
        "notebooks/cifar10",
        "pages.images:over_smoothing",
        "pages/test_drawing.py::test_curves_are_those_of_the_record",
    ),
    Item(
        "Figure 6",
        "CIFAR-10, over the attack radius",
        "notebooks/cifar10",
        "pages.images:over_radius",
        "pages/test_drawing.py::test_curves_are_those_of_the_record",
    ),
)

BEYOND = (
    Item(
        "Lemma 0",
        "the distance to a half-space",
        "book/linear",
        "norms.base:Norm.dual",
        "test_norms.py::test_dual_norm_is_the_largest_pairing_over_the_unit_sphere",
    ),
    Item(
        "Proposition L",
        "who decides at which bias",
        "book/linear",
        "paths:accuracy_path",
        "test_paths.py::test_the_accuracy_path_is_the_accuracy_at_every_alpha",
    ),
    Item(
        "Theorem A",
        "how long the oracle keeps its label",
        "book/sharper",
        "oracles.nearest:NearestNeighborOracle.radius",
        "test_sharp.py::test_neighbour_radius_is_that_of_theorems_a_and_k_from_below",
    ),
    Item(
        "Theorem B",
        "linear scores, with attention to signs",
        "book/sharper",
        "certificates:theorem_h",
        "test_sharp.py::test_where_the_base_overrules_the_oracle_the_neighbours_do_not_matter",
    ),
    Item(
        "Theorem C",
        "linear scores, exactly",
        "book/sharper",
        "exact.cells:exact_radii",
        "exact/test_cells.py::test_radius_agrees_with_a_grid_of_the_plane",
    ),
    Item(
        "Theorem E",
        "the best bounds for a Lipschitz gradient",
        "book/sharper",
        "certificates:radius_against",
        "test_sharp.py::test_against_is_attained_by_a_ridge_function_with_this_constant",
    ),
    Item(
        "Theorem E'",
        "smooth scores, with attention to signs",
        "book/sharper",
        "certificates:theorem_e",
        "scores/test_gaussian.py::"
        "test_with_the_truth_known_it_is_theorem_e_and_an_attack_inside_fails",
    ),
    Item(
        "Theorem H",
        "scores that are Lipschitz only",
        "book/sharper",
        "certificates:theorem_h",
        "scores/test_lipschitz.py::test_no_attack_breaks_a_kinked_score",
    ),
    Item(
        "Theorem K",
        "an oracle of several neighbours",
        "book/sharper",
        "oracles.nearest:NearestNeighborOracle.radius",
        "test_sharp.py::test_neighbour_radius_is_that_of_theorems_a_and_k_from_below",
    ),
    Item(
        "Theorem M",
        "several classes",
        "book/sharper",
        "certificates:theorem_m",
        "test_multiclass.py::test_theorem_m_is_the_formula",
    ),
    Item(
        "Theorem G",
        "noise makes a score smooth",
        "book/sharper",
        "certificates:theorem_g",
        "scores/test_gaussian.py::test_the_constants_are_attained_by_a_half_line_and_by_a_slab",
    ),
)


def overview(items: Iterable[Item] = PAPER) -> Markdown:
    """The table of `items`: what it is, where the book has it, which function computes it, which
    test holds it to its word, and under which names it is proved in Coq."""
    rows = [
        [f"**{item.name}**: {item.says}", _place(item), _code(item), _tested(item), _proved(item)]
        for item in items
    ]
    return table(["item", "page", "function", "test", "in Coq"], rows)


def _place(item: Item) -> str:
    """A link to the item; an equation has another number in the book, which the link shows."""
    title = TITLES[item.page]
    if not item.label:
        return f"{{doc}}`{title} <../{item.page}>`"
    if item.label.startswith("paper-eq-"):
        return f"{{doc}}`{title} <{item.page.removeprefix('book/')}>`, there {{eq}}`{item.label}`"
    return f"{{prf:ref}}`{title} <{item.label}>`"


def _code(item: Item) -> str:
    return f"{{py:obj}}`{item.function.partition(':')[2]} <lbrs.{item.function.replace(':', '.')}>`"


def _tested(item: Item) -> str:
    file, _, test = item.test.partition("::")
    return f"`{file}`: {test.removeprefix('test_').replace('_', ' ')}"


def _proved(item: Item) -> str:
    return f"{{proved}}`{item.label}`" if item.label else ""
