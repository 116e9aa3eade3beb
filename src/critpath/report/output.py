"""A finished page into a file, whole or not at all, or into a notebook."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from html import escape
from pathlib import Path

from critpath.errors import StorageError
from critpath.report.content import Content
from critpath.report.page import render


def save(content: Content, path: str | os.PathLike[str]) -> Path:
    """Render the page and write it to ``path``; see :func:`write`."""
    _target(path)
    return write(render(content), path)


def write(html: str, path: str | os.PathLike[str]) -> Path:
    """Write a page to ``path`` and return it; an older file there is replaced in one step.

    Raises :class:`StorageError` where that is not possible, and then leaves nothing behind.
    """
    target = _target(path)
    partial = target.with_name(f".critpath-{secrets.token_hex(6)}.tmp")
    try:
        _write_durably(partial, html.encode("utf-8", "replace"))
        os.replace(partial, target)
    except OSError as error:
        raise _refusal(path, _reason(error)) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return Path(path)


def embed(html: str, height: int = 900) -> str:
    """A page as an ``<iframe>`` for notebooks: full width, ``height`` pixels high, no network."""
    return (
        f'<iframe title="critpath report" sandbox="allow-scripts" srcdoc="{escape(html)}" '
        f'style="width:100%;height:{int(height)}px;border:0"></iframe>'
    )


def _target(path: str | os.PathLike[str]) -> Path:
    """The file behind ``path``, links followed, checked before any work is done."""
    target = Path(os.path.realpath(path))
    if os.path.isdir(target):
        raise _refusal(path, "it is a folder; name a file in it.")
    if not os.path.isdir(target.parent):
        raise _refusal(path, "its folder does not exist; create it first.")
    if os.path.exists(target) and not os.path.isfile(target):
        raise _refusal(path, "it is not a regular file.")
    return target


def _refusal(path: str | os.PathLike[str], reason: str) -> StorageError:
    return StorageError(f"The report cannot be written to {os.fspath(path)!r}: {reason}")


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "its folder may not be written to (permission denied)."
    return f"{error.strerror or error}."
