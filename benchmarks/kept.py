"""What benchmark programs share: sections by name, results kept in a file, huge pages on Linux."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

HUGE_PAGES = "glibc.malloc.hugetlb=1"
Section = TypeVar("Section")


def chosen(names: str, known: Mapping[str, Section]) -> dict[str, Section]:
    """The sections named, by commas, in their own order; all where none is named."""
    wanted = [name.strip() for name in names.split(",") if name.strip()] or list(known)
    if unknown := sorted(set(wanted) - set(known)):
        sys.exit(f"no section is called {unknown[0]!r}; there are {', '.join(known)}")
    return {name: section for name, section in known.items() if name in wanted}


def read(file: Path | None) -> dict[str, Any]:
    """The results in a file, empty where there is none."""
    return json.loads(file.read_text()) if file and file.is_file() else {}


def write(file: Path | None, results: dict[str, Any]) -> None:
    """The results to a file, if one is given; its folder is made."""
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(compact(results))


def compact(results: dict[str, Any]) -> str:
    """JSON with lists of numbers on one line each, floats of 5 digits."""
    text = json.dumps(_rounded(results), indent=1)
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), text) + "\n"


def with_huge_pages() -> None:
    """Start the program again with huge pages, unless GLIBC_TUNABLES is set: first touches of memory cost nothing."""
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "GLIBC_TUNABLES": HUGE_PAGES})


def _rounded(of: Any) -> Any:
    if isinstance(of, dict):
        return {key: _rounded(value) for key, value in of.items()}
    if isinstance(of, (list, tuple)):
        return [_rounded(value) for value in of]
    return float(f"{of:.5g}") if isinstance(of, float) else of
