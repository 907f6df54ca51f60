"""The documentation site: ``python -m sphinx docs docs/_build``, from the repository's root.

The build runs every example of the pages and of the docstrings, and draws the pictures. Whatever Sphinx warns
of is an error, and so is an example that gives something else.
"""

import doctest
import importlib
import os
import runpy
import sys
from pathlib import Path

from sphinx.errors import SphinxError

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "images")]
os.environ.setdefault("MPLBACKEND", "agg")

import tapegrad  # noqa: E402

project = "tapegrad"
author = "the tapegrad developers"
version = release = tapegrad.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx_design"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["colon_fence"]
autosummary_generate = False
myst_heading_anchors = 3
autodoc_typehints = "none"  # numpydoc's sections have the types, in words
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
highlight_language = "none"
pygments_style = "a11y-high-contrast-light"

html_theme = "pydata_sphinx_theme"
html_title = "tapegrad"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 3,
    "show_prev_next": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
    "back_to_top_button": False,
}

# Pages that stand in the repository's root, for readers there; the site has them under these names.
ELSEWHERE = {
    "../README.md": "readme.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../CHANGELOG.md": "changelog.md",
}
# The same, as links of the README, which the site includes.
NEIGHBOURS = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def link_within_the_site(app, name, source):
    """Links to the repository's root lead to the site's own pages."""
    for target, page in ELSEWHERE.items():
        source[0] = source[0].replace(f"]({target}", f"]({page}")


def link_includes_within_the_site(app, path, name, source):
    """The same in what is included from the repository's root."""
    for target, page in NEIGHBOURS.items():
        source[0] = source[0].replace(f"]({target}", f"](docs/{page}")
    source[0] = source[0].replace("[MIT licence](LICENSE)", "MIT licence")


def run_examples(app):
    """Every example of the pages and of the public modules, whose output must be as shown."""
    if app.builder.name != "html":
        return
    pages = [*sorted(HERE.glob("*.md")), HERE.parent / "README.md"]
    failed = sum(
        doctest.testfile(str(page), module_relative=False, optionflags=OPTIONS, encoding="utf-8").failed
        for page in pages
    )
    for name in ("mle.fit", "function.trace", "loops.functions", "function.traced"):
        module = importlib.import_module(f"tapegrad.{name}")
        failed += doctest.testmod(module, optionflags=OPTIONS).failed
    if failed:
        raise SphinxError(f"{failed} examples give something else than what is shown")


def draw_pictures(app, error):
    """The pictures of the pages, as this build draws them."""
    if error is None and app.builder.name == "html":
        import draw

        draw.draw(Path(app.outdir) / "_images")


def show_a_tape(app, error):
    """The tape that the page on the viewer has within it."""
    if error is None and app.builder.name == "html":
        model = runpy.run_path(str(HERE.parent / "examples" / "garch.py"))["loglik"]
        start = {"mu": 0.0, "omega": 0.1, "alpha": 0.1, "beta": 0.8}
        tapegrad.trace(model, start).show(start, Path(app.outdir) / "_static" / "tape.html")


def fail_on_warnings(app, error):
    """A warning of Sphinx is an error."""
    if error is None and app._warncount:
        raise SphinxError(f"Sphinx warned {app._warncount} times, see above")


def setup(app):
    """Called by Sphinx."""
    app.connect("builder-inited", run_examples)
    app.connect("source-read", link_within_the_site)
    app.connect("include-read", link_includes_within_the_site)
    app.connect("build-finished", draw_pictures)
    app.connect("build-finished", show_a_tape)
    app.connect("build-finished", fail_on_warnings)
