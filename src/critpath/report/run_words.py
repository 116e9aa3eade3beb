"""What a run found, in words; every sentence is made from the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from critpath.report import words
from critpath.report.comparison import Estimate
from critpath.report.comparison_words import listed
from critpath.report.run_content import CHECKS, MethodRow, MetricTable, RunContent

DIRECTION = {"lower": "lower is better", "higher": "higher is better", "neither": "no direction is better"}


def number(value: float) -> str:
    """Three significant digits: ``0.0467``, ``−12.3``."""
    if not math.isfinite(value):
        return words.MISSING
    if value and not 1e-4 <= abs(value) < 1e5:
        return f"{value:.2e}".replace("-", "−")
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{digits}f}".replace("-", "−")


def known(estimate: Estimate | None) -> bool:
    """Whether there is an interval."""
    return estimate is not None and math.isfinite(estimate.low) and math.isfinite(estimate.high)


def interval(estimate: Estimate | None) -> str:
    """``0.012 to 0.034``."""
    if estimate is None or not known(estimate):
        return words.MISSING
    return f"{number(estimate.low)} to {number(estimate.high)}"


def signed(value: float) -> str:
    return f"+{number(value)}" if value > 0 else number(value)


def difference(estimate: Estimate | None) -> str:
    """``−0.012``, n/a where there is none."""
    return words.MISSING if estimate is None else signed(estimate.mean)


def verdict(table: MetricTable, estimate: Estimate | None) -> str:
    """``better``, ``worse``, ``tie``, or nothing where it cannot be said."""
    found = table.verdict(estimate)
    return "" if found == "unknown" else found


def heading(table: MetricTable, tables: Sequence[MetricTable]) -> str:
    """The table's title, with the evaluation's name where there are several."""
    several = len({one.evaluation for one in tables}) > 1
    return f"{table.title}: {table.evaluation}" if several else table.title


def units(table: MetricTable) -> str:
    """``12 images``, ``11 to 12 images``: how many there are over the methods."""
    counts = sorted({row.n for row in table.rows})
    if not counts:
        return f"0 {table.unit}s"
    low = f"{counts[0]:,} to " if len(counts) > 1 else ""
    return low + words.count(counts[-1], table.unit)


def state(content: RunContent) -> str:
    """How much of the run is there."""
    if not content.total:
        return "The run holds no task."
    if content.done == content.total:
        return f"The run is complete: {words.count(content.total, 'task')}."
    return (
        f"The run is not complete: {content.done:,} of {words.count(content.total, 'task')} are there, and all numbers "
        "are of these."
    )


def no_failure(content: RunContent) -> str:
    """What is said where no failure is recorded."""
    missing = content.total - content.done
    if not missing:
        return "Nothing failed."
    return f"No failure is recorded, but {words.count(missing, 'task')} of {content.total:,} are not there."


def finding(table: MetricTable) -> str:
    """Which method does best, which cannot be told apart from it, and which are no better than the reference."""
    best = table.best
    if best is None:
        return "There is no number yet." if not table.ranked else "This metric ranks no method."
    return f"{_leader(table, best)}{_ties(table, best)}.{_control(table, best)}{_no_better(table)}{_few(table)}"


def _leader(table: MetricTable, best: MethodRow) -> str:
    control = ", a control," if best.control else ""
    bounds = f" (95 % interval {interval(best.main)})" if known(best.main) else ""
    return f"{best.method}{control} does best with {number(best.main.mean)}{bounds}"


def _ties(table: MetricTable, best: MethodRow) -> str:
    others = [row for row in table.ranked if row is not best and table.enough(row)]
    if not others:
        return ""
    tied = [row.method for row in others if table.verdict(row.to_best) == "tie"]
    unknown = [row.method for row in others if table.verdict(row.to_best) == "unknown"]
    if unknown:
        return f"; with so few {table.unit}s its lead has no interval"
    if not tied:
        return ", ahead of every other method"
    return f"; the difference from {listed(tied)} is not distinguishable from zero"


def _no_better(table: MetricTable) -> str:
    """Methods that do not beat the reference, which a method has to."""
    verdicts = {row.method: table.verdict(row.to_reference) for row in table.rows if not row.control}
    worse = [method for method, found in verdicts.items() if found == "worse"]
    tied = [method for method, found in verdicts.items() if found == "tie"]
    found = [f"Worse than {table.reference}: {listed(worse)}."] if worse else []
    found += [f"Not distinguishable from {table.reference}: {listed(tied)}."] if tied else []
    return "".join(f" {sentence}" for sentence in found)


def _control(table: MetricTable, best: MethodRow) -> str:
    """What a control in the first place means."""
    if not best.control or table.kind in CHECKS:
        return ""
    return f" No method does better than chance here, so at these settings {table.metric} tells none of them apart."


def _few(table: MetricTable) -> str:
    """Methods that have no number on most units, which the others have."""
    few = [f"{row.method} ({row.n:,})" for row in table.ranked if not table.enough(row)]
    return f" Ranked last, for too few {table.unit}s with a number: {listed(few)}." if few else ""


def columns(parts: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """The names under which the parts of a program give a number, an estimate, a truth value or a short text."""
    names = dict.fromkeys(name for result in parts.values() for name in result)
    return tuple(name for name in names if any(cell(result.get(name)) for result in parts.values()))


def cell(value: object) -> str:
    """``0.31``, ``0.31 (0.28 to 0.34)`` of a mapping of mean, low and high, short text as it is; "" of other values."""
    match value:
        case bool() | str():
            return str(value) if len(str(value)) <= 40 else ""
        case int():
            return f"{value:,}".replace("-", "−")
        case float():
            return number(value)
        case {"mean": int() | float() as mean, "low": int() | float() as low, "high": int() | float() as high}:
            return f"{number(mean)} ({number(low)} to {number(high)})"
        case {"mean": int() | float() as mean}:
            return number(mean)
    return ""


def capital(text: str) -> str:
    """With a capital first letter."""
    return text[:1].upper() + text[1:]


def overall(content: RunContent) -> str:
    """Which methods lead beyond doubt, in how many rankings none does, and which map moves least when parameters do."""
    ranked = [table for table in content.tables if table.best is not None and table.kind not in CHECKS]
    if not ranked and content.programs and not content.tables:
        return ""
    if not ranked:
        return "No metric ranks the methods yet."
    clear = [table.best.method for table in ranked if table.best is not None and _is_clear(table)]
    leads = [f"{method} in {clear.count(method)}" for method in dict.fromkeys(clear)]
    undecided = len(ranked) - len(clear)
    told = [f"ahead of every other method is {listed(leads)}"] if clear else []
    told += [f"in {undecided:,} the first place is shared, by the intervals of the differences"] if undecided else []
    return f"Of {words.count(len(ranked), 'ranking')}, {', and '.join(told)}.{_least_moved(content)}"


def _least_moved(content: RunContent) -> str:
    """The method that is no control and whose map stays most similar when parameters are randomised."""
    tables = [table for table in content.tables if table.kind == "parameter_randomisation"]
    rows = [row for row in tables[0].ranked if not row.control] if tables else []
    if not rows:
        return ""
    return (
        f" Parameter randomisation, which a map has to pass, moves {rows[-1].method} least ({tables[0].columns[0]} "
        f"{number(rows[-1].main.mean)}) and {rows[0].method} most ({number(rows[0].main.mean)})."
    )


def _is_clear(table: MetricTable) -> bool:
    return all(table.verdict(row.to_best) == "worse" for row in table.ranked[1:] if table.enough(row))
