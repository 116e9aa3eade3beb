"""Programs of a plan: a Python file whose parts are tasks, and what it may give."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from critpath.errors import OptionError
from critpath.options import shown
from critpath.runs.document import Node, unknown
from critpath.runs.plan import ProgramEntry, file_digest
from critpath.runs.sources import Sources
from critpath.zoo.python_file import python_function

PART = re.compile(r"[a-z0-9._-]{1,60}")
"""What a part may be called."""

LARGEST = 8 * 2**20
"""Bytes of the JSON that a part may give."""

PARTS, RUN = "give the names of its parts, parts(**options)", "compute a part, run(part, **options)"
KEYS = ("python", "options", "files")

ENTRY = "{python: FILE.py, options: {}, files: []}"


def program_entry(node: Node, sources: Sources) -> ProgramEntry:
    """A program's entry, as ``ENTRY`` has it; the file is run to know its parts.

    ``files`` are what it reads, by paths relative to the plan: changed, they make another run. Raises OptionError.
    """
    given = node.mapping(f"a program: {ENTRY}")
    for name, value in given.items():
        if name not in KEYS:
            raise value.error(f"{name!r} is no key of a program; {unknown('it takes', name, KEYS)}")
    if "python" not in given:
        raise node.error("the program says not which file it is: add python: FILE.py, which defines parts and run")
    path, files = sources.program(given["python"])
    options = _options(given["options"]) if "options" in given else {}
    read = [_read(item, sources) for item in given["files"].items("a list of files")] if "files" in given else []
    files.update(read)
    with node.blamed():
        return ProgramEntry(path, options, parts_of(path, options), files=files)


def _read(node: Node, sources: Sources) -> tuple[str, str]:
    """A file that a program reads, and its sha256."""
    path = sources.path(node)
    if not path.is_file():
        raise node.error(f"there is no file {path}")
    return str(path), file_digest(path)


def parts_of(path: str, options: Mapping[str, Any]) -> list[str]:
    """The parts of a program. Raises OptionError for names that no part can have, and what running the file raises."""
    found = python_function(f"{path}:parts", PARTS)(**options)
    names = list(found) if isinstance(found, list | tuple) else []
    if not names:
        raise OptionError(f"parts of {path} gave {shown(found)}; it has to give a list of names, and not an empty one")
    for name in names:
        if not isinstance(name, str) or not PART.fullmatch(name):
            raise OptionError(
                f"parts of {path} gave {shown(name)}; a part's name has 1 to 60 of the characters a-z, 0-9, '.', '_' "
                "and '-'"
            )
    if twice := [name for name in names if names.count(name) > 1]:
        raise OptionError(f"parts of {path} gave {twice[0]!r} twice: a part has a name of its own")
    return names


def checked_result(value: Any, where: str) -> dict[str, Any]:
    """What a part gave, with lists for tuples. Raises OptionError for what is no mapping, no JSON, or too large."""
    if not isinstance(value, Mapping):
        raise OptionError(f"{where} gave {shown(value)}; it has to give a mapping of names to JSON values")
    found: dict[str, Any] = _json(value, where, "")
    if (size := len(json.dumps(found))) > LARGEST:
        raise OptionError(f"{where} gave {size:,} bytes of JSON; the limit is {LARGEST:,}: give what is reported")
    return found


def _json(value: Any, where: str, place: str) -> Any:
    if isinstance(value, Mapping):
        if wrong := [name for name in value if not isinstance(name, str)]:
            raise OptionError(f"{where} gave {place or 'a mapping'} with the key {shown(wrong[0])}: keys are text")
        return {name: _json(part, where, f"{place}.{name}" if place else name) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json(part, where, f"{place}[{i}]") for i, part in enumerate(value)]
    if type(value) in (bool, int, str, type(None)):
        return value
    if type(value) is float and math.isfinite(value):
        return value
    fix = "None stands for a missing number" if isinstance(value, float) else "give numbers, text, lists and mappings"
    raise OptionError(f"{where} gave {place} = {shown(value)} ({type(value).__name__}), which JSON has not: {fix}")


def _options(node: Node) -> dict[str, Any]:
    return {name: value.plain() for name, value in node.mapping("a mapping of options").items()}
