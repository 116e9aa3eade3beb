"""A finished page into a file, whole or not at all, or into a notebook."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

from critpath.files import writable, write_whole
from critpath.report.content import Content
from critpath.report.page import render


def save(content: Content, path: str | os.PathLike[str]) -> Path:
    """Render the page and write it to ``path``; see :func:`write`."""
    writable(path)
    return write(render(content), path)


def write(html: str, path: str | os.PathLike[str]) -> Path:
    """Write a page to ``path`` and return it; an older file there is replaced in one step.

    Raises :class:`StorageError` where that is not possible, and then leaves nothing behind.
    """
    return write_whole(path, html.encode("utf-8", "replace"))


def embed(html: str, height: int = 900) -> str:
    """A page as an ``<iframe>`` for notebooks: full width, ``height`` pixels high, no network."""
    return (
        f'<iframe title="critpath report" sandbox="allow-scripts" srcdoc="{escape(html)}" '
        f'style="width:100%;height:{int(height)}px;border:0"></iframe>'
    )
