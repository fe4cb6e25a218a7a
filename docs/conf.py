"""Configuration of Sphinx: `make docs` builds the pages with warnings as errors."""

from __future__ import annotations

from importlib.metadata import version as _version

project = "asd-edge"
author = "the asd-edge authors"
copyright = "the asd-edge authors, MIT licence"
release = version = _version("asd-edge")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = True

smartquotes = False

# `-n` is about pages, anchors and terms. Types in signatures are not all public.
nitpick_ignore_regex = [("py:.*", ".*")]

html_theme = "furo"
html_title = "asd-edge"
templates_path: list[str] = []
html_static_path = ["_static"]
html_css_files = ["narrow.css"]
