"""MathJax out of the installed wheel sphinx-mathjax-offline, so that the pages need no network."""

import shutil
from importlib.resources import as_file, files

PARTS = ("tex-chtml.js", "input/tex/extensions", "output/chtml/fonts")


def copy_mathjax(app, exception):
    """Lay what the pages need of MathJax into the built site's _static/mathjax."""
    if exception is not None or app.builder.format != "html":
        return
    with as_file(files("sphinx-mathjax-offline") / "static/mathjax") as wheel:
        for part in PARTS:
            target = app.outdir / "_static/mathjax" / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if (wheel / part).is_dir():
                shutil.copytree(wheel / part, target, dirs_exist_ok=True)
            else:
                shutil.copyfile(wheel / part, target)


def setup(app):
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
