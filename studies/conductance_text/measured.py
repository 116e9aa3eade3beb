"""Estimates from the kept results: each is over the networks, which were trained from different seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from studies.study import Estimate, estimate, shown

Results = Mapping[str, Any]
Part = Mapping[str, Any]

OTHERS = ("activation", "gradient_activation", "influence")
"""The methods that conductance is compared with."""

KINDS = {"questions": "with dropout", "undropped": "without"}
"""The networks that tell types of questions apart, by how they were trained."""

SPLIT = "0.5"
"""The share of questions that choose filters which table 2 agrees with."""


def networks(results: Results, name: str) -> list[Part]:
    """The parts of one kind, in the order of their seeds."""
    return [results[name][seed] for seed in sorted(results[name], key=int)]


def over_networks(results: Results, value: Callable[[Part], float | None], name: str = "sentiment") -> Estimate:
    """The mean of something over the networks, with its interval."""
    return estimate([value(part) for part in networks(results, name)])


def share(results: Results, phrase: str, count: str, method: str = "conductance", how: str = "own") -> Estimate:
    """Of the first sentences of a phrase, those with a negation."""
    return over_networks(results, lambda part: of_phrase(part, phrase)[how][method][count])


def share_by_both(results: Results, phrase: str, count: str) -> Estimate:
    """That share by conductance at the filters for which both words of the pattern count."""
    return over_networks(results, lambda part: of_phrase(part, phrase)["both"][count])


def share_above(results: Results, phrase: str, count: str, control: str) -> Estimate:
    """That share by conductance less that of a control: "base", "random", or another phrase."""
    return over_networks(
        results, lambda part: of_phrase(part, phrase)["own"]["conductance"][count] - _control(part, control, count)
    )


def share_above_method(results: Results, phrase: str, count: str, method: str, how: str) -> Estimate:
    """That share by conductance less that of another method, at its "own" filters or at the "same"."""

    def difference(part: Part) -> float:
        rows = of_phrase(part, phrase)[how]
        return float(rows["conductance"][count] - rows[method][count])

    return over_networks(results, difference)


def _control(part: Part, control: str, count: str) -> float:
    found = part["zero"]
    if control == "base":
        return float(found["base"]["negation"])
    if control == "random":
        return float(found["random"][count])
    return float(of_phrase(part, control)["own"]["conductance"][count])


def of_phrase(part: Part, phrase: str, baseline: str = "zero") -> Part:
    """What a network does with a phrase."""
    found: Part = part[baseline]["phrases"][phrase]
    return found


def overlap(part: Part, one: str, other: str) -> float:
    """Share of the three filters of a phrase that are among those of another."""
    first, second = (set(of_phrase(part, phrase)["filters"]["conductance"]) for phrase in (one, other))
    return len(first & second) / len(first)


def lost(part: Part, phrase: str, kind: str, method: str | None = "conductance") -> float:
    """Share of what "not" does to the margin of such adjectives that is gone without a phrase's filters.

    Without random filters where ``method`` is None.
    """
    whole = part["understood"][kind]["shift"]
    without = part["without_random"] if method is None else of_phrase(part, phrase)["without"][method]
    return 1 - float(without[kind]["shift"]) / float(whole)


def accuracy(part: Part, method: str, split: str = SPLIT, variant: str = "predicted") -> list[float]:
    """Held-out accuracy at each number of filters."""
    found: list[float] = part[variant][split]["accuracy"][method]
    return found


def cell(results: Results, name: str, method: str, place: int, split: str = SPLIT) -> Estimate:
    """Accuracy at one number of filters."""
    return over_networks(results, lambda part: accuracy(part, method, split)[place], name)


def differences(results: Results, name: str, method: str, split: str = SPLIT) -> list[Estimate]:
    """Conductance less another method at each number of filters, and last of the mean over them."""
    rows = [
        [c - m for c, m in zip(accuracy(part, "conductance", split), accuracy(part, method, split), strict=True)]
        for part in networks(results, name)
    ]
    return [estimate(column) for column in zip(*(([*row, fmean(row)]) for row in rows), strict=True)]


def above(value: Estimate, limit: float = 0.0) -> bool:
    """Whether the whole interval is above."""
    return value["low"] is not None and value["low"] > limit


def below(value: Estimate, limit: float = 0.0) -> bool:
    """Whether the whole interval is below."""
    return value["high"] is not None and value["high"] < limit


def lines(values: Mapping[str, str]) -> str:
    """Several measurements in one cell of a table."""
    return "<br>".join(f"{name}: {value}" for name, value in values.items())


def counted(flags: Sequence[bool]) -> str:
    """ "3 of 5" """
    return f"{sum(flags)} of {len(flags)}"


def percent(value: Estimate) -> str:
    return shown(value, percent=True)


def points(value: Estimate) -> str:
    """A difference in percentage points."""
    if value["mean"] is None:
        return "n/a"
    ends = "" if value["low"] is None else f" [{100 * value['low']:+.1f}, {100 * (value['high'] or 0):+.1f}]"
    return f"{100 * value['mean']:+.1f}{ends}"
