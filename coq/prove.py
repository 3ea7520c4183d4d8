"""Compile the proofs, and say of each theorem on which axioms it rests: `make proofs`."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

HERE = Path(__file__).parent
BUILD = HERE.parent / "_build/coq"

INSTALL = "Coq is missing. On Debian: apt install coq libcoq-coquelicot libcoq-flocq"

AXIOMS = {
    "ClassicalDedekindReals.sig_forall_dec": "real numbers",
    "ClassicalDedekindReals.sig_not_dec": "real numbers",
    "Classical_Prop.classic": "classical logic",
    "FunctionalExtensionality.functional_extensionality_dep": "functional extensionality",
}
"""All axioms that a proof may use, and what they stand for."""


def missing() -> bool:
    """Whether this machine has no Coq."""
    return any(shutil.which(name) is None for name in ("coqc", "coq_makefile", "make"))


def statements() -> list[dict]:
    """The table of the book's theorems and their proofs."""
    return yaml.safe_load((HERE / "statements.yml").read_text(encoding="utf-8"))


def theorems() -> list[str]:
    """All theorems of the table, as File.name."""
    return [name for entry in statements() for name in names(entry)]


def names(entry: dict) -> list[str]:
    """The theorems of one entry; none if it is not proved."""
    return [f"{entry['file']}.{name}" for name in entry.get("coq", ())]


def run(command: list[str], folder: Path) -> str:
    """What a command prints; a RuntimeError with its complaint if it fails."""
    free = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    done = subprocess.run(command, cwd=folder, env=free, capture_output=True, text=True)
    if done.returncode:
        told = done.stderr or done.stdout[-1000:]
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {told}")
    return done.stdout


def compile_all(folder: Path = BUILD) -> None:
    """Compile all files in `folder`, those first on which others build; unchanged ones stay."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted(HERE.glob("*.v"))
    for path in [HERE / "_CoqProject", *sources]:
        copy = folder / path.name
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            shutil.copy(path, copy)
    names = [path.name for path in sources]
    run(["coq_makefile", "-f", "_CoqProject", *names, "-o", "Makefile"], folder)
    run(["make", "--jobs=2"], folder)


def check(path: Path, folder: Path = BUILD) -> str:
    """What Coq prints for one more file, which may use those compiled in `folder`."""
    options = ["-q", "-w", "-ambiguous-paths", "-Q", str(folder), "LBRS"]
    return run(["coqc", *options, path.name], path.parent)


def axioms(names: list[str], folder: Path = BUILD) -> dict[str, set[str]]:
    """The axioms on which each of the theorems rests; a RuntimeError if there is no such one."""
    with ThreadPoolExecutor(2) as pool:
        halves = pool.map(lambda half: _axioms(half, folder), (names[::2], names[1::2]))
    found = {name: used for half in halves for name, used in half.items()}
    return {name: found[name] for name in names}


def _axioms(names: list[str], folder: Path) -> dict[str, set[str]]:
    """As `axioms`, in one process."""
    lines = []
    for name in names:
        lines += [f"From LBRS Require {name.partition('.')[0]}.", "Goal True."]
        lines += [f'idtac "theorem {name}".', "Abort.", f"Print Assumptions {name}."]
    found: dict[str, set[str]] = {}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "Axioms.v"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        printed = check(path, folder)
    for line in printed.splitlines():
        if line.startswith("theorem "):
            used = found.setdefault(line.split()[1], set())
        elif re.match(r"[\w.']+(\s*:|$)", line) and line != "Axioms:":
            used.add(line.split()[0].rstrip(":"))
    return found


def report() -> bool:
    """Print the table with the axioms of each theorem; whether all of them are allowed."""
    used = axioms(theorems())
    for entry in statements():
        told = entry.get("proved") or f"NOT PROVED. {entry['missing']}"
        print(f"\n{entry['theorem']}: {told}")
        for name in names(entry):
            words = {AXIOMS.get(axiom, f"{axiom} (NOT ALLOWED)") for axiom in used[name]}
            print(f"  {name}: {', '.join(sorted(words)) or 'no axioms'}")
    return all(found <= AXIOMS.keys() for found in used.values())


if __name__ == "__main__":
    if missing():
        sys.exit(INSTALL)
    compile_all()
    sys.exit(not report())
