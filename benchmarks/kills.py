"""`kill -9` at random moments of `lbrs run`, `sweep`, `build` and `fetch`.

    python benchmarks/kills.py --kills 52 --seed 0

prints, for each command, how often it was killed at work, whether the old or the new website stood
then, and every mistake of the next call: one that fails, a record or page that differs from an
undisturbed one, a file or a process that is left. None may.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from killed_project import FETCH, PLACES, lay, mirror, rewrite

COMMAND = "from lbrs.cli import app\nif __name__ == '__main__': app()"
LEFT = re.compile(r"\.(.+-[a-z0-9_]{8}|html-(new|old))|lbrs-kernel-.*|.*\.pt")
"""The names of what only a command at work may have in its folders."""
PATIENCE = 600
GRACE = 10


@dataclass(frozen=True)
class Command:
    """A command, and what lies in the project before it begins."""

    name: str
    arguments: tuple[str, ...]
    code: str = COMMAND
    prepare: Callable[[Path], object] = lambda root: None


@dataclass
class Trials:
    """What came out of killing a command: `sites` counts what stood after each kill."""

    command: str
    killed: int = 0
    ended: int = 0
    sites: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Stand:
    """A project in `folder`, its undisturbed results, and the processes that work in it."""

    def __init__(self, folder: Path, address: str) -> None:
        self.root, self.token = folder / "project", str(folder)
        self.places = {name: folder / place for name, place in PLACES.items()}
        self.environment = os.environ | {
            "LBRS_DATA": str(self.places["data"]),
            "LBRS_MIRROR": address,
            "LBRS_TRIAL": self.token,
            "TMPDIR": str(folder / "tmp"),
        }
        self.before = folder / "before"
        lay(self.root)
        for place in (*self.places.values(), folder / "tmp"):
            place.mkdir(parents=True, exist_ok=True)

    def start(self, command: Command) -> subprocess.Popen[str]:
        """The command at work, in a session of its own."""
        return subprocess.Popen(
            [sys.executable, "-c", command.code, *command.arguments],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: Command) -> str:
        """The command to its end; returns what it said if it failed."""
        with self.start(command) as process:
            told, _ = process.communicate(timeout=PATIENCE)
        return f"exit {process.returncode}: {told}" if process.returncode else ""

    def keep(self) -> None:
        """What lies there now is what each trial begins with."""
        shutil.copytree(self.root / "_build", self.before)

    def reset(self, command: Command) -> None:
        """As it was kept, and what the command is to change."""
        for place in (self.root / "_build", *self.places.values()):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
        if self.before.exists():
            shutil.copytree(self.before, self.root / "_build", dirs_exist_ok=True)
        command.prepare(self.root)

    def results(self) -> dict[str, object]:
        """Everything that a reader finds, but for the time that it took."""
        found: dict[str, object] = {"site": self.site()}
        for path in sorted((self.root / "_build/records").glob("*.json")):
            found[path.name] = json.loads(path.read_text()) | {"wall_time": 0}
        for path in sorted(self.places["data"].rglob("*")):
            if path.is_file():
                found[path.name] = path.read_bytes()
        return found

    def site(self) -> dict[str, str]:
        """The pages of the website that stands."""
        folder = self.root / "_build/html"
        pages = sorted(folder.rglob("*.html"))
        return {page.relative_to(folder).as_posix(): timeless(page.read_text()) for page in pages}

    def left(self) -> list[str]:
        """The files and processes that should not be there any more."""
        folders = (self.root, self.places["data"], Path(self.environment["TMPDIR"]))
        files = (path for folder in folders for path in folder.rglob("*"))
        names = [str(path) for path in files if LEFT.fullmatch(path.name)]
        end = time.monotonic() + GRACE
        while (living := self.living()) and time.monotonic() < end:
            time.sleep(0.2)
        return names + living

    def living(self) -> list[str]:
        """The processes that the commands started."""
        return [name for process in psutil.process_iter() if (name := self._own(process))]

    def _own(self, process: psutil.Process) -> str:
        """What the process does, if it is one of these."""
        try:
            own = process.environ().get("LBRS_TRIAL") == self.token
            return f"process {process.pid}: {process.cmdline()[:4]}" if own else ""
        except (psutil.Error, OSError):
            return ""


def timeless(page: str) -> str:
    """A page without what it says about the time that something took."""
    return re.sub(r"Wall time \d+ s", "Wall time", page)


def kill(stand: Stand, command: Command, after: float, whole_group: bool) -> bool:
    """Start the command and kill it later, alone or with all of its processes; returns whether it
    was still at work."""
    process = stand.start(command)
    time.sleep(after)
    at_work = process.poll() is None
    if at_work:
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)
    if process.stdout:
        process.stdout.close()
    return at_work


def trials(stand: Stand, command: Command, kills: int, seed: int) -> Trials:
    """Kill the command so often, each time from the same state, and look at the next call."""
    draw, done = random.Random(f"{seed} {command.name}"), Trials(command.name)
    stand.reset(command)
    old, start = stand.site(), time.monotonic()
    done.wrong += filter(None, [stand.run(command)])
    length, undisturbed = time.monotonic() - start, stand.results()
    for _ in range(kills):
        stand.reset(command)
        after, whole_group = draw.uniform(0, length), draw.random() < 0.5
        at_work = kill(stand, command, after, whole_group)
        done.killed, done.ended = done.killed + at_work, done.ended + (not at_work)
        stands = stand.site()
        kind = "old" if stands == old else "new" if stands == undisturbed["site"] else "broken"
        done.sites[kind] += 1
        wrong = [f"the site is {kind}"] if kind == "broken" else []
        wrong += filter(None, [stand.run(command)])
        wrong += [f"{key} differs" for key in _differing(stand.results(), undisturbed)]
        done.wrong += [f"after {after:.2f} s: {what}" for what in wrong + stand.left()]
    return done


def _differing(found: dict[str, object], expected: dict[str, object]) -> list[str]:
    """What is in one of them only, or not the same."""
    common = found.keys() & expected.keys()
    return [*(found.keys() ^ expected.keys()), *(k for k in common if found[k] != expected[k])]


@contextmanager
def stands() -> Iterator[Stand]:
    """A project in a temporary folder, with a website, and a mirror of a data set."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        stand = Stand(Path(folder).resolve(), stack.enter_context(mirror()))
        if failed := stand.run(Command("build", ("build",))):
            raise RuntimeError(failed)
        stand.keep()
        yield stand


def commands() -> list[Command]:
    """The four, each with all of its work before it."""
    return [
        Command("run", ("run", "--seed", "1")),
        Command("sweep", ("sweep", "digits", "--seeds", "2-3", "--workers", "2")),
        Command("build", ("build",), prepare=rewrite),
        Command("fetch", ("fetch", "mnist"), FETCH),
    ]


def main() -> int:
    """Print a line for each command, then what was wrong; returns how much that is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=52, help="of all commands together")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    asked, wrong = parser.parse_args(), []
    with stands() as stand:
        for command in commands():
            done = trials(stand, command, -(-asked.kills // 4), asked.seed)
            sites = ", ".join(f"{name} {count}" for name, count in sorted(done.sites.items()))
            print(
                f"{done.command:6} killed at work {done.killed}, after its end {done.ended}; "
                f"site: {sites}; wrong: {len(done.wrong)}",
                flush=True,
            )
            wrong += [f"{done.command} {what}" for what in done.wrong]
    print("\n".join(wrong))
    return len(wrong)


if __name__ == "__main__":
    sys.exit(bool(main()))
