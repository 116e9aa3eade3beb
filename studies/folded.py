"""What is kept of a program's parts: joined, and estimates in place of lists."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from studies.study import estimate


def joined(parts: Sequence[Any]) -> Any:
    """Results of one form as one: lists one after the other, mappings name by name; of anything else the first."""
    first = parts[0]
    if isinstance(first, Mapping):
        return {name: joined([part[name] for part in parts]) for name in first}
    return [one for part in parts for one in part] if isinstance(first, list) else first


def estimated(value: Any, whole: Collection[str] = ()) -> Any:
    """Estimates in place of lists, one for each; what is called as in ``whole`` stays as it is."""
    if isinstance(value, Mapping):
        return {name: one if name in whole else estimated(one, whole) for name, one in value.items()}
    return estimate(value) if isinstance(value, list) else value
