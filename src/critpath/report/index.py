"""A table of links to several pages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from critpath.report import figures, words
from critpath.report.content import Content
from critpath.report.templates import fill

THUMBNAIL_SIDE = 96


@dataclass(frozen=True)
class IndexEntry:
    """One row: the page's path relative to the index, and what it shows.

    ``kept`` and ``random`` are shares of the response kept at the main ``sparsity`` by the pathway and
    by random sets of its size (mean); ``thumbnail`` is a data URI or empty.
    """

    href: str
    title: str
    predicted: str
    target: str
    sparsity: float
    kept: float
    random: float
    thumbnail: str = ""

    @property
    def link(self) -> str:
        """``href`` as a relative URL: no part of it can be read as a scheme or a query."""
        return quote(self.href, safe="/")


def index_entry(content: Content, href: str) -> IndexEntry:
    """The row of a page that was, or will be, saved at ``href`` relative to the index."""
    level = content.levels[content.main_level]
    random = words.finite(words.ratio(value, content.response) for value in level.kept.random)
    return IndexEntry(
        href=href,
        title=content.title,
        predicted=content.predictions[0].label if content.predictions else words.MISSING,
        target=content.target,
        sparsity=level.requested,
        kept=words.ratio(level.kept.pathway, content.response),
        random=words.mean(random),
        thumbnail=_thumbnail(content),
    )


def render_index(entries: Iterable[IndexEntry], title: str = "Critical pathways") -> str:
    """One self-contained HTML page that links to several others.

    Raises :class:`MissingDependencyError` where jinja2 is not installed.
    """
    return fill("index.html", entries=tuple(entries), title=title)


def _thumbnail(content: Content) -> str:
    values = content.levels[content.main_level].map
    if values.ndim != 2:
        return ""
    if content.picture is None:
        return figures.map_uri(values, THUMBNAIL_SIDE)
    return figures.overlay_uri(content.picture, values, THUMBNAIL_SIDE)
