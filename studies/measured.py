"""What ``critpath show --json`` says of images, as small tables of estimates; differences of two estimates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from math import hypot, isnan, nan
from typing import Any

from studies.study import Estimate, both

DIGITS = 5
"""Significant digits that are kept."""

Table = dict[str, Any]
"""``model``, ``n`` images, ``stages`` (randomisation), ``places`` of the curves; by method ``counts`` (images that have
the first number), ``columns`` and ``curves``, which are by name an estimate [mean, low, high] and a list of them, and
``to_random``, the first column less that of random maps (paired)."""


BY_METHOD = ("counts", "columns", "curves", "to_random")
"""The parts of a table that have one entry a method."""


def tables(run: Mapping[str, Any]) -> dict[str, Table]:
    """The tables of a run by "evaluation/metric"."""
    return {f"{table['evaluation']}/{table['metric']}": _table(table) for table in run["tables"]}


def column(table: Table, method: str, name: str) -> Estimate:
    """One number of a method."""
    mean, low, high = table["columns"][method][name]
    return {"mean": mean, "low": low, "high": high, "n": table["counts"][method]}


def curve(table: Table, method: str, name: str) -> list[Estimate]:
    """A method's curve over ``places``."""
    found = table["curves"][method][name]
    return [{"mean": mean, "low": low, "high": high, "n": table["n"]} for mean, low, high in found]


def gap(one: Estimate, other: Estimate) -> Estimate:
    """One mean less the other, its interval as if they were of different images.

    Both are of the same images. Where an image that is hard for one method is hard for the other, the interval is
    wider than a paired one. It keeps the two sides of bootstrap intervals apart; ``studies.differences`` has the
    symmetric one of Student's t.
    """
    a, b = ends(one), ends(other)
    mean, under, over = a[0] - b[0], hypot(a[0] - a[1], b[2] - b[0]), hypot(a[2] - a[0], b[0] - b[1])
    return estimated(mean, mean - under, mean + over, one["n"])


def ends(value: Estimate) -> tuple[float, float, float]:
    """Mean, low and high as numbers, NaN where there is none."""
    mean, low, high = (value[part] for part in ("mean", "low", "high"))
    return number(mean), number(low), number(high)


def number(value: float | None) -> float:
    """NaN for what is not known."""
    return nan if value is None else float(value)


def estimated(mean: float, low: float, high: float, n: float | int | None) -> Estimate:
    """The opposite of ``ends``."""
    known = [None if isnan(value) else value for value in (mean, low, high)]
    return {"mean": known[0], "low": known[1], "high": known[2], "n": n}


def count(found: Sequence[bool | None]) -> str:
    """How many are true: "2 of 3"."""
    return f"{sum(1 for one in found if one)} of {len(found)}"


def every(found: Sequence[bool | None]) -> bool | None:
    """Whether all of several are true: one that is false decides, one that is not decided leaves it open."""
    return reduce(both, found) if found else None


def _table(table: Mapping[str, Any]) -> Table:
    rows = table["rows"]
    columns = {row["method"]: dict(zip(table["columns"], _several(row["values"]), strict=True)) for row in rows}
    curves: dict[str, dict[str, Any]] = {method: {} for method in columns}
    for figure in table["figures"]:
        for one in figure["curves"]:
            curves[one["method"]][figure["y_title"]] = _several(one["values"])
    against = {row["method"]: _several([row["to_reference"]])[0] for row in rows if row["to_reference"]}
    counts = {row["method"]: row["n"] for row in rows}
    found = {"n": max(counts.values()), "counts": counts, "columns": columns, "curves": curves, "to_random": against}
    places = table["figures"][0]["places"] if table["figures"] else []
    return {"model": table["model"], **found, "places": places, "stages": _stages(table["notes"])}


def _several(values: Iterable[Mapping[str, Any]]) -> list[list[float | None]]:
    return [[_short(value[part]) for part in ("mean", "low", "high")] for value in values]


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def _stages(notes: Sequence[str]) -> list[str]:
    """The names of the stages, from the note "Stages: 0 original, 1 fc."."""
    told = next((note for note in notes if note.startswith("Stages: ")), "Stages: .")
    return [part.split(" ", 1)[1] for part in told[8:-1].split(", ") if part]
