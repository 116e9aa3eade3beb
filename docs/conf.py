"""Sphinx: Markdown pages, and the reference from the docstrings. Builds without a network."""

import re
from typing import Any

from critpath.version import __version__

project = "critpath"
author = "The critpath developers"
copyright = f"2026, {author}"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"critpath {__version__}"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
python_use_unqualified_type_names = True

default_role = "code"


def keep_signs(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text: the star in [batch, *shape] and the bars in |a| are no markup."""
    for number, line in enumerate(lines):
        escaped = re.sub(r"(`+[^`]*`+)|([*|])", lambda found: found[1] or "\\" + found[2], line)
        lines[number] = re.sub(r"(``[^`]+``)(?=\w)", r"\1\\ ", escaped)


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", keep_signs, priority=400)  # before napoleon
