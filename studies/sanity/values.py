"""Numbers of the study's tables, and how they are told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from studies.measured import Table, column, curve, ends, estimated
from studies.sanity.names import NAMES, SIMILARITIES, bare, published_means
from studies.study import Estimate, shown

SIX = (1, 4, 10, 14, 17, 18)
"""Of the 18 stages, the six at which dear methods are measured; the networks are the same ones there."""

ANY = tuple(SIMILARITIES)


def mean(table: Table, method: str, key: str) -> Estimate:
    """Of a similarity over all stages."""
    return column(table, method, f"{SIMILARITIES[key]}, mean over stages")


def at_six(table: Table, method: str, key: str) -> Estimate:
    """Of a similarity over the six stages of dear methods, with the means of the stages' ends: a wide interval."""
    line = curve(table, method, f"{SIMILARITIES[key]} with the original map")
    parts = [ends(line[i]) for i in (SIX if len(line) > len(SIX) + 1 else range(1, len(line)))]
    middle, low, high = (fmean(part[i] for part in parts) for i in range(3))
    return estimated(middle, low, high, table["n"])


def less(value: Estimate, number: float) -> Estimate:
    middle, low, high = ends(value)
    return estimated(middle - number, low - number, high - number, value["n"])


def middle(one: Estimate, other: Estimate) -> Estimate:
    middle, low, high = (fmean(pair) for pair in zip(ends(one), ends(other), strict=True))
    return estimated(middle, low, high, one["n"])


def means(table: Table, methods: Sequence[str], keys: Iterable[str]) -> dict[tuple[str, str], Estimate]:
    return {(m, key): mean(table, m, key) for key in keys for m in methods}


def told(values: Mapping[tuple[str, str], Estimate]) -> str:
    """A line a similarity."""
    lines = {key: [(m, v) for (m, k), v in values.items() if k == key] for key in ANY}
    return "<br>".join(
        f"{SIMILARITIES[key]}: " + ", ".join(f"{NAMES[m]} {shown(v)}" for m, v in line)
        for key, line in lines.items()
        if line
    )


def published(methods: Sequence[str], keys: Iterable[str]) -> str:
    """Means over the 18 stages of the published curves."""
    known = published_means()
    return "<br>".join(
        f"{SIMILARITIES[key]}: " + ", ".join(f"{bare(m)} {known[m, key]:.2f}" for m in methods) for key in keys
    )
