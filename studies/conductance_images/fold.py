"""What is kept of a run: estimates over label sets and over photographs."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from studies.conductance_images.filters import SITES
from studies.conductance_images.selecting import SHUFFLED, is_method
from studies.study import Estimate, estimate

CONDUCTANCE = "conductance"

DIGITS = 4

SHOWN_AT = {"early": "glare", "middle": "red"}
"""Of which filters maps are shown, as in figures 1 and 2."""


def kept_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """``selection``: parts by name; ``points``: quadrature by network; ``filters``: early and middle."""
    given = run["programs"]
    parts = given.get("selection", {})
    return {
        "selection": {name: _selection(part) for name, part in parts.items() if "variants" in part},
        "points": {name.split(".")[0]: _points(part) for name, part in parts.items() if "many" in part},
        "filters": {name: _filters(name, part) for name, part in given.get("filters", {}).items()},
    }


def rounded(values: Sequence[float]) -> Estimate:
    """The estimate with few digits."""
    return {name: round(v, DIGITS) if isinstance(v, float) else v for name, v in estimate(values).items()}


def _selection(part: Mapping[str, Any]) -> dict[str, Any]:
    facts = {name: part[name] for name in ("images", "labels", "filters", "counts")}
    return {**facts, "variants": {name: _variant(found) for name, found in part["variants"].items()}}


def _variant(found: Mapping[str, Any]) -> dict[str, Any]:
    """By row: accuracy for every count, its ``mean`` over counts, and what conductance has ``less`` the row."""
    means = {row: [sum(one) / len(one) for one in sets] for row, sets in found["accuracy"].items()}
    own = means[CONDUCTANCE]
    accuracy = {row: [rounded(column) for column in zip(*sets, strict=True)] for row, sets in found["accuracy"].items()}
    less = {row: _difference(own, values) for row, values in means.items() if row != CONDUCTANCE}
    controls = {row: SHUFFLED.format(row) for row in means if is_method(row) and SHUFFLED.format(row) in means}
    return {
        "accuracy": accuracy,
        "mean": {row: rounded(values) for row, values in means.items()},
        "less": less,
        "less_control": {row: _difference(means[row], means[control]) for row, control in controls.items()},
        "stages": {row: shares for row, shares in found["stages"].items() if is_method(row) or row == "random"},
    }


def _difference(own: Sequence[float], other: Sequence[float]) -> Estimate:
    """Over the same label sets."""
    return rounded([a - b for a, b in zip(own, other, strict=True)])


def _points(part: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: {m: rounded(values) for m, values in part[name].items()} for name in ("error", "same")}
    return {"points": part["points"], "many": part["many"], **found}


def _filters(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    shared, shown = part["shared"], SHOWN_AT[name]
    return {
        **{key: part[key] for key in ("site", "filters", "photographs", "top", "chosen", "units")},
        "half": rounded(part["half"]),
        "shared": {**shared, "common": rounded(shared["common"])},
        "pairs": part["pairs"],
        "sees": {of: _sees(part, of) for of in part["chosen"]},
        "matrix": {
            of: [round(sum(row) / len(row), DIGITS) for row in rows] for of, rows in part["correlation"].items()
        },
        "pictures": {shown: part["pictures"][shown]},
    }


def _sees(part: Mapping[str, Any], of: str) -> dict[str, Any]:
    """How its maps follow a property, and how much better than those of filters that were chosen for nothing."""
    rows, units, chosen = part["correlation"][of], part["units"], part["chosen"]
    own = rows[units.index(chosen[of])]
    others = [row for unit, row in zip(units, rows, strict=True) if unit not in chosen.values()]
    mean = [sum(column) / len(column) for column in zip(*others, strict=True)]
    return {"filter": chosen[of], "own": rounded(own), "others": rounded(mean), "less": _difference(own, mean)}


def greys(text: str, side: int) -> list[list[int]]:
    """The rows of a map that was kept as base64."""
    values = list(base64.b64decode(text))
    return [values[start : start + side] for start in range(0, side * side, side)]


def filter_parts(results: Mapping[str, Any]) -> dict[str, Any]:
    """The parts about filters that are there, in the order of the network."""
    return {name: results["filters"][name] for name in SITES if name in results["filters"]}
