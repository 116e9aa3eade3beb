"""The HTML templates beside this module, filled with values; everything is escaped by default."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from critpath.errors import MissingDependencyError
from critpath.report import words

if TYPE_CHECKING:
    from jinja2 import Environment


def fill(template: str, **values: Any) -> str:
    """The template with its style and script inlined.

    Raises :class:`MissingDependencyError` where jinja2 is not installed.
    """
    page = _environment().get_template(template)
    return page.render(style=_read("style.css"), script=_read("script.js"), **values)


@cache
def _environment() -> Environment:
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
    except ImportError as error:
        raise MissingDependencyError("jinja2", "report", "Writing a report") from error
    environment = Environment(
        loader=FunctionLoader(_read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["words"] = words
    for shown in (words.number, words.percent, words.sparsity, words.extent):
        environment.filters[shown.__name__] = shown
    return environment


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
