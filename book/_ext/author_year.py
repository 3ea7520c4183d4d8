"""A bibliography whose labels are the authors and the year, as the citations in the text are."""

from pybtex.plugin import register_plugin
from pybtex.style.formatting.plain import Style as PlainStyle
from pybtex.style.labels import BaseLabelStyle


class AuthorYearLabels(BaseLabelStyle):
    """Labels such as "Wang et al. 2018".

    Where two works would share one, the years in the file tell them apart (2020a, 2020b).
    """

    def format_labels(self, sorted_entries):
        return [f"{authors(entry)} {entry.fields['year']}" for entry in sorted_entries]


def authors(entry):
    """The family names: one, two, or the first and "et al."."""
    names = [
        " ".join(map(str, person.rich_prelast_names + person.rich_last_names))
        for person in entry.persons["author"]
    ]
    return (
        " and ".join(names) if len(names) <= 2 and names[-1] != "others" else f"{names[0]} et al."
    )


class AuthorYearStyle(PlainStyle):
    """pybtex's plain style with these labels."""

    default_label_style = "author_year"


def setup(app):
    register_plugin("pybtex.style.labels", "author_year", AuthorYearLabels)
    register_plugin("pybtex.style.formatting", "author_year", AuthorYearStyle)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
