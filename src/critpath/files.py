"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from critpath.errors import StorageError

PARTIAL = re.compile(r"\.critpath-[0-9a-f]{12}\.tmp")
"""Temporary names; a file that bears one was left by a writer that was killed, or is being written."""


def write_whole(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write a file and return its path; an older one is replaced in one step, and links are followed.

    The bytes go to a temporary name in the same folder, are flushed to disk, and renamed; the folder is
    flushed too. Raises StorageError where that is not possible, and then leaves nothing behind.
    """
    target = writable(path)
    partial = target.with_name(f".critpath-{secrets.token_hex(6)}.tmp")
    try:
        _write_durably(partial, data)
        os.replace(partial, target)
        _flush_folder(target.parent)
    except OSError as error:
        raise _refusal(path, _reason(error)) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return Path(path)


def remove_partials(folder: str | os.PathLike[str]) -> int:
    """Delete what killed writers left in a folder, and return how many files that were.

    Only for a folder in which nobody writes. What cannot be deleted stays.
    """
    removed = 0
    for path in Path(folder).iterdir():
        if PARTIAL.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            with suppress(OSError):
                path.unlink()
                removed += 1
    return removed


def writable(path: str | os.PathLike[str]) -> Path:
    """The file behind ``path``, links followed, checked before any work is done. Raises StorageError."""
    target = Path(os.path.realpath(path))
    if os.path.isdir(target):
        raise _refusal(path, "it is a folder; name a file in it.")
    if not os.path.isdir(target.parent):
        raise _refusal(path, "its folder does not exist; create it first.")
    if os.path.exists(target) and not os.path.isfile(target):
        raise _refusal(path, "it is not a regular file.")
    if not os.access(target.parent, os.W_OK):
        raise _refusal(path, "its folder may not be written to (permission denied).")
    return target


def _refusal(path: str | os.PathLike[str], reason: str) -> StorageError:
    return StorageError(f"Cannot write {os.fspath(path)!r}: {reason}")


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _flush_folder(path: Path) -> None:
    """So that the new name survives a loss of power, where the system can open a folder."""
    with suppress(OSError):
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "its folder may not be written to (permission denied)."
    return f"{error.strerror or error}."
