"""A finding: a sentence with one number; and whether a claim holds."""

from collections.abc import Iterable
from dataclasses import dataclass

from lbrs.pages.text import Markdown, Spread

HEADER = ["claim", "paper", "here: median (range)", "holds?"]


@dataclass(frozen=True)
class Finding:
    """A sentence, its one number with its range, and the heading under which its figure stands."""

    told: str
    number: str
    heading: str

    @property
    def line(self) -> str:
        """As an item of a list."""
        slug = "".join(
            letter for letter in self.heading.lower() if letter.isalnum() or letter in " -"
        )
        return f"- {self.told}: **{self.number}** ([{self.heading}](#{slug.replace(' ', '-')}))."


def findings(found: Iterable[Finding]) -> Markdown:
    """A list of findings."""
    return Markdown("\n".join(one.line for one in found))


def holds(gaps: Iterable[float]) -> str:
    """Whether a claim that numbers are above zero holds for every seed, for some, or for none."""
    signs = [gap > 0 for gap in gaps]
    if all(signs):
        return "yes"
    return f"for {sum(signs)} of {len(signs)} seeds" if any(signs) else "no"


def moves(found: Spread, up: str, down: str, mixed: str) -> str:
    """The words for a number that is positive for all seeds, negative for all, or neither."""
    return up if found.low > 0 else down if found.high < 0 else mixed
