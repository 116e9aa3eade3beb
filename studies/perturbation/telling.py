"""How numbers of the study are told in a claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import log

from studies.measured import Table, ends, estimated
from studies.perturbation import published
from studies.perturbation.names import NAMES, NETWORKS, area
from studies.study import Estimate, shown

TINY = 1e-9
"""Stands for an area of 0."""

Lerf = Mapping[str, Table]
"""Tables of one metric by network; ``accuracy`` is in the table where it is known."""

Found = Mapping[tuple[str, str], bool | None]
"""By network and method, whether something is so; None where it is not decided."""


def networks_with(lerf: Lerf, networks: Iterable[str], *methods: str) -> list[str]:
    return [name for name in networks if name in lerf and all(m in lerf[name]["columns"] for m in methods)]


def called(name: str, table: Table) -> str:
    """A network, on how many images it was measured, and how accurate it is where the study trained it."""
    known = table.get("accuracy")
    return f"{NETWORKS[name]} (n = {table['n']}" + ("" if known is None else f", {100 * known:.1f} % accurate") + ")"


def areas_told(lerf: Lerf, networks: Iterable[str], methods: Sequence[str], digits: int = 4) -> str:
    """A line a network."""
    return "<br>".join(
        f"{called(name, lerf[name])}: "
        + ", ".join(
            f"{NAMES[m]} {shown(area(lerf[name], m), digits)}" for m in methods if m in lerf[name]["columns"]
        )
        for name in networks
    )  # fmt: skip


def deciding(found: Found, lerf: Lerf, yes: str, no: str) -> str:
    """Which methods and networks decide a claim and which way, and how many comparisons decide nothing: three lines."""
    sides = [f"certainly {word}: {_where(found, lerf, side)}" for word, side in ((yes, True), (no, False))]
    open_ = sum(1 for one in found.values() if one is None)
    return "<br>" + "<br>".join([*sides, f"not decided: {open_} of {len(found)} comparisons"])


def _where(found: Found, lerf: Lerf, side: bool) -> str:
    """The methods of a side, by network."""
    methods: dict[str, list[str]] = {}
    for (name, method), one in found.items():
        if one is side:
            methods.setdefault(name, []).append(method)
    return "; ".join(f"{', '.join(told)} on {called(name, lerf[name])}" for name, told in methods.items()) or "none"


def published_areas(data: str, methods: Sequence[str]) -> str:
    return ", ".join(f"{NAMES[m].split(' (')[0]} {published.TABLE_2[data][m]:g}" for m in methods)


def relative(value: Estimate, number: float) -> Estimate:
    middle, low, high = (end / number - 1 for end in ends(value))
    return estimated(middle, low, high, value["n"])


def nearer(one: Estimate, other: Estimate, number: float) -> bool | None:
    """Whether one mean is nearer to a number than the other, by their ratio to it; None where the intervals overlap."""
    (a, a_low, a_high), (b, b_low, b_high) = ends(one), ends(other)
    if not (a_high < b_low or b_high < a_low):
        return None
    return abs(log(max(a, TINY) / number)) < abs(log(max(b, TINY) / number))


def shares_where(found: Sequence[bool | None], wanted: bool) -> str:
    chosen = [
        f"{100 * share:g}" for share, yes in zip(published.MORE, found, strict=True) if yes is wanted
    ]  # fmt: skip
    return f"{', '.join(chosen)} %" if chosen else "none"


def named(methods: Sequence[str]) -> str:
    return ", ".join(NAMES[m] for m in methods)


def listed(words: Sequence[str]) -> str:
    return ", ".join(words) or "none"
