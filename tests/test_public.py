"""What the README, the book and the notebooks write of `lbrs` is there after `import lbrs` alone,
and what is public can be copied."""

import ast
import copy
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lbrs
from lbrs import (
    L1,
    L2,
    LINF,
    AffineScores,
    Certificate,
    ClassOracle,
    ClassScores,
    CohenScore,
    GaussianScore,
    LinearScore,
    LipschitzScore,
    LocallyBiased,
    MulticlassLocallyBiased,
    NearestNeighborOracle,
    Norm,
    NormalSmoothing,
    ProbabilityMargin,
    Score,
)

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "book").glob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.md")),
]
MODULES = sorted(path.stem for path in (ROOT / "lbrs").glob("[a-z]*.py"))
BLOCK = re.compile(r"^```(.*?)\n(.*?)^```", re.MULTILINE | re.DOTALL)
DIRECTIVE = re.compile(r"automodule:: (lbrs(?:\.\w+)+)")
SPAN = re.compile(r"`([^`\n]+)`")
CODE = ("python", "{code-cell}", "{code-block} python")


def names_of_code(text: str) -> set[str]:
    """`a.b` for each `from a import b`, `import a.b` and attribute chain that begins with lbrs in
    Python code."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lbrs":
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("lbrs.")}
        elif isinstance(node, ast.Attribute):
            chain = ast.unparse(node)
            found |= {chain} if re.fullmatch(r"lbrs(\.\w+)+", chain) else set()
    return found


def names_of_span(text: str) -> set[str]:
    """`lbrs.a.b`, also where a span begins with a module: `curvature.smooth_score(...)`; `from lbrs
    import b`."""
    found = set(re.findall(r"\blbrs(?:\.[A-Za-z]\w*)+", text))
    imported = re.fullmatch(r"from (lbrs[\w.]*) import ([\w, ]+)", text)
    if imported:
        found |= {f"{imported[1]}.{name.strip()}" for name in imported[2].split(",")}
    alone = re.match(r"([a-z]\w*)((?:\.[A-Za-z]\w*)+)", text)
    if alone and alone[1] in MODULES and alone[2] not in (".py", ".md", ".yml"):
        found.add(f"lbrs.{alone[1]}{alone[2]}")
    return found


def names_of_page(text: str) -> set[str]:
    found = set(DIRECTIVE.findall(text))
    for kind, body in BLOCK.findall(text):
        if kind.strip().startswith(CODE):
            body = re.sub(r"\A---\n.*?^---\n|^:[^\n]*\n", "", body, flags=re.MULTILINE | re.DOTALL)
            found |= names_of_code(
                "\n".join("" if line.startswith(("%", "!")) else line for line in body.split("\n"))
            )
    return found.union(*map(names_of_span, SPAN.findall(BLOCK.sub("", text))))


WRITTEN = {path: names_of_page(path.read_text(encoding="utf-8")) for path in PAGES}


def python(code: str) -> str:
    run = subprocess.run(
        [sys.executable, "-W", "error::ImportWarning", "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_pages_are_read_for_what_they_write():
    text = """a `lbrs.verify(m)` and `curvature.smooth_score(n)`, `report.py`
```bash
lbrs.no
```
```python
from lbrs.exact.cells import (a,
 b)
lbrs.c.d(1)
```
"""
    assert names_of_page(text) == {
        "lbrs.verify",
        "lbrs.curvature.smooth_score",
        "lbrs.exact.cells.a",
        "lbrs.exact.cells.b",
        "lbrs.c",
        "lbrs.c.d",
    }
    assert names_of_page(
        "```{code-cell} ipython3\n:tags: [a]\n\n%matplotlib\nfrom lbrs import L2\n```"
    ) == {"lbrs.L2"}
    assert names_of_span("from lbrs.norms import L1, L2") >= {"lbrs.norms.L1", "lbrs.norms.L2"}
    found = set().union(*WRITTEN.values())
    assert (
        len(found) > 60
        and {
            "lbrs.verify",
            "lbrs.curvature.smooth_score",
            "lbrs.curvature.CertifiedLoss",
            "lbrs.certificates.theorem8",
            "lbrs.exact.cells.exact_radii",
            "lbrs.experiments.records.published_folder",
            "lbrs.L2",
            "lbrs.experiments.data",
        }
        <= found
    )
    assert "lbrs.curvature.smooth_score" in WRITTEN[ROOT / "README.md"]


def test_every_name_that_the_pages_write_works_after_one_import():
    names = sorted(set().union(*WRITTEN.values()))
    code = f"""
import lbrs
from functools import reduce
for name in {names!r}:
    try:
        reduce(getattr, name.split(".")[1:], lbrs)
    except AttributeError as error:
        print(name, error)
"""
    assert python(code) == ""


@pytest.mark.parametrize(
    "name",
    [
        "curvature.smooth_score",
        "cohen_certificate",
        "ClassOracle",
        "exact",
        "certificates.theorem8",
    ],
)
def test_a_name_works_as_the_first_one(name):
    assert (
        python(f"import lbrs; print(lbrs.{name}.__name__.split('.')[-1])")
        == name.split(".")[-1] + "\n"
    )


def test_the_names_are_loaded_when_they_are_used_and_not_before():
    code = """import sys, lbrs
names = dir(lbrs)
hasattr(lbrs, "nothing")
print("torch" in sys.modules, len(names))
lbrs.L2
print("torch" in sys.modules)
"""
    first, second = python(code).splitlines()
    assert first.startswith("False ") and second == "True" and int(first.split()[1]) > len(MODULES)


def test_every_public_name_is_listed_once_and_is_the_one_of_its_module():
    assert set(lbrs.__all__) == set(lbrs._HOMES) and len(lbrs.__all__) == len(set(lbrs.__all__))
    assert {"cohen_certificate", "ClassOracle"} < set(lbrs.__all__) and set(lbrs.__all__) <= set(
        dir(lbrs)
    )
    for name in lbrs.__all__:
        module = getattr(lbrs, lbrs._HOMES[name])
        assert getattr(module, name) is getattr(lbrs, name)
        assert getattr(getattr(lbrs, name), "__module__", module.__name__) == module.__name__


def test_every_module_is_an_attribute_and_nothing_else_is():
    assert set(MODULES) <= set(dir(lbrs))
    for name in MODULES:
        assert getattr(lbrs, name).__name__ == f"lbrs.{name}"
    for name in ("nothing", "Curvature", "smooth_score", "__nothing__", "os"):
        with pytest.raises(AttributeError, match=rf"^module 'lbrs' has no attribute '{name}'$"):
            getattr(lbrs, name)


POINTS, LABELS, X = [[0.0, 0.5], [2.0, -1.0], [1.0, 1.5]], [1, -1, -1], [[0.3, 0.1], [1.4, 0.2]]


def network(last: int = 1) -> torch.nn.Module:
    torch.manual_seed(0)
    return (
        torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, last))
        .double()
        .eval()
    )


def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


ORACLE = NearestNeighborOracle(POINTS, LABELS)
CLASSES = ClassOracle(POINTS, [0, 1, 2])
OBJECTS = {
    "linear score": lambda: LinearScore([1.0, -1.0], 0.5),
    "score of a module": lambda: Score(network(), 50.0),
    "score of a function of torch": lambda: Score(torch.sin),
    "Lipschitz score": lambda: LipschitzScore(network(), 9.0),
    "margin": lambda: ProbabilityMargin(network(), 50.0),
    "oracle": lambda: NearestNeighborOracle(POINTS, LABELS),
    "oracle of 3 neighbours": lambda: NearestNeighborOracle(POINTS, LABELS, 3),
    "oracle of classes": lambda: ClassOracle(POINTS, [0, 1, 2]),
    "biased linear": lambda: LocallyBiased(LinearScore([1.0, -1.0], 0.5), ORACLE, 0.5, LINF),
    "biased module": lambda: LocallyBiased(Score(network(), 50.0), ORACLE, 0.5),
    "biased Lipschitz": lambda: LocallyBiased(LipschitzScore(network(), 9.0), ORACLE, 0.5, Norm(3)),
    "linear classes": lambda: MulticlassLocallyBiased(
        AffineScores([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0, 0, 0.5]), CLASSES, 0.5, L1
    ),
    "classes of a module": lambda: MulticlassLocallyBiased(
        ClassScores(network(3), 9.0), CLASSES, 0.5
    ),
    "normal smoothing": lambda: NormalSmoothing(ProbabilityMargin(network()), 0.5, 20, random()),
    "biased Cohen": lambda: LocallyBiased(CohenScore(network(), 0.5, 50, random()), ORACLE, 0.5),
    "biased Gaussian": lambda: LocallyBiased(
        GaussianScore(ProbabilityMargin(network()), 0.5, 50, random()), ORACLE, 0.5
    ),
}
RANDOM = ("normal smoothing", "biased Cohen", "biased Gaussian")
"""What draws anew at each call: only a copy made before gives the same answers."""
COPIES = {"pickle": lambda value: pickle.loads(pickle.dumps(value)), "deepcopy": copy.deepcopy}


def answers(value: object) -> list[torch.Tensor]:
    """What an object of any public kind says of the points X."""
    if hasattr(value, "certify"):
        certificate = value.certify(X)
        return [certificate.prediction, certificate.radius]
    if isinstance(value, NearestNeighborOracle):
        return [value.label(X), value.radius(X, L2)]
    return (
        [value.radii(X, L2, 3)]
        if isinstance(value, ClassOracle)
        else [value.value(X)]
        if value.function is not torch.sin
        else []
    )


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("kind", OBJECTS)
def test_a_copy_answers_as_the_original_does_before_and_after_it_was_used(kind, copied):
    original = OBJECTS[kind]()
    new = COPIES[copied](original)
    first = answers(original)
    used = COPIES[copied](original)
    assert type(new) is type(used) is type(original)
    for other in (new,) if kind in RANDOM else (new, used):
        for mine, theirs in zip(first, answers(other), strict=True):
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("norm", [L1, L2, LINF, Norm(1.001), Norm(1.001).dual], ids=str)
def test_norms_and_certificates_are_copied_whole(norm, copied):
    new = COPIES[copied](norm)
    assert (
        new == norm
        and new.p == norm.p
        and hash(new) == hash(norm)
        and lbrs.norms.as_norm("norm", new) is new
    )
    certificate = Certificate(
        torch.tensor([1.0, -1.0]),
        torch.tensor([0.5, 2.0]),
        norm,
        "probabilistic",
        "Theorem 1",
        "a",
        0.9,
    )
    new = COPIES[copied](certificate)
    assert torch.equal(new.radius, certificate.radius) and torch.equal(
        new.prediction, certificate.prediction
    )
    assert (new.norm, new.kind, new.source, new.assumption, new.confidence, new.classes) == (
        norm,
        "probabilistic",
        "Theorem 1",
        "a",
        0.9,
        None,
    )
    new.radius[0] = 7.0
    assert certificate.radius[0] == 0.5


def test_a_pickled_norm_goes_through_the_door_again():
    with pytest.raises(ValueError, match="^p must be"):
        pickle.loads(
            pickle.dumps(Norm(3)).replace(
                b"G@\x08\x00\x00\x00\x00\x00\x00", b"G?\xe0\x00\x00\x00\x00\x00\x00"
            )
        )
