"""Coordinates of the figures of a run's page; the templates draw them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from critpath.report import run_words as said
from critpath.report import words
from critpath.report.axes import Scale, Tick, linear, points, steps_around, stretches, thin_out, tick_texts
from critpath.report.comparison import Estimate
from critpath.report.comparison_charts import HUES, Line, LineChart
from critpath.report.run_content import Figure, MethodCurve, MetricTable, RunContent

ROW = 24
"""Pixels a row of the interval chart."""


@dataclass(frozen=True)
class Mark:
    """One method's mean and interval in pixels; ``low`` and ``high`` are the mean where there is no interval."""

    method: str
    style: str
    y: float
    at: float
    low: float
    high: float


@dataclass(frozen=True)
class IntervalChart:
    """Means and intervals of all methods, a row each; ``band`` is the reference's interval."""

    width: int
    height: int
    left: float
    right: float
    bottom: float
    ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    band: tuple[float, float] | None


def styles(content: RunContent) -> dict[str, str]:
    """The CSS class of each method, the same in every figure; controls have their own."""
    found: dict[str, str] = {}
    for method, control in _methods(content):
        if method not in found:
            drawn = sum(not style.startswith("control") for style in found.values())
            dashed = " dashed" if drawn >= HUES else ""
            found[method] = f"control{(len(found) - drawn) % 2}" if control else f"hue{drawn % HUES}{dashed}"
    return found


def _methods(content: RunContent) -> Iterator[tuple[str, bool]]:
    for table in content.tables:
        yield from ((row.method, row.control) for row in table.rows)
        yield from ((curve.method, curve.control) for figure in table.figures for curve in figure.curves)


def interval_chart(table: MetricTable, chosen: dict[str, str], width: int) -> IntervalChart | None:
    """The first column of a table, the best method on top; None where there is no number."""
    rows = table.ranked
    if not rows:
        return None
    left, right = (150.0, width - 20.0) if width > 400 else (136.0, width - 20.0)
    steps = steps_around([end for row in rows for end in _ends(row.main)])
    x = linear(steps[0], steps[-1], left, right)
    bottom = 10.0 + ROW * len(rows)
    marks = [
        Mark(row.method, chosen[row.method], 10.0 + ROW * (i + 0.5), x(row.main.mean), *map(x, _ends(row.main)))
        for i, row in enumerate(rows)
    ]
    reference = next((mark for mark in marks if mark.method == table.reference), None)
    return IntervalChart(
        width, int(bottom) + 30, left, right, bottom,
        ticks=thin_out([Tick(x(step), text) for step, text in zip(steps, tick_texts(steps), strict=True)], 52),
        marks=tuple(marks),
        band=None if reference is None else (reference.low, reference.high),
    )  # fmt: skip


def curve_chart(figure: Figure, chosen: dict[str, str], width: int, height: int = 280) -> LineChart | None:
    """The lines of a figure with their intervals; None where there is no number."""
    ends = [end for curve in figure.curves for value in curve.values for end in _ends(value) if math.isfinite(end)]
    if not ends or not figure.places:
        return None
    left, right, top, bottom = 54.0, width - 14.0, 14.0, height - 46.0
    steps = steps_around(ends)
    x = linear(figure.places[0], figure.places[-1], left + 8, right - 8)
    y = linear(steps[0], steps[-1], bottom, top)
    ticks = [Tick(x(place), label) for place, label in zip(figure.places, figure.labels, strict=True)]
    apart = max((len(label) for label in figure.labels), default=1) * 6.6 + 8
    return LineChart(
        width, height, left, right, top, bottom, figure.x_title,
        x_ticks=thin_out(ticks, apart),
        y_ticks=tuple(Tick(y(step), text) for step, text in zip(steps, tick_texts(steps), strict=True)),
        rules=tuple(Tick(y(step), "0") for step in steps if step == 0),
        lines=tuple(_line(curve, chosen[curve.method], figure.places, x, y) for curve in figure.curves),
        cut=False,
    )  # fmt: skip


def _ends(value: Estimate) -> tuple[float, float]:
    return (value.low, value.high) if said.known(value) else (value.mean, value.mean)


def _line(curve: MethodCurve, style: str, places: Sequence[float], x: Scale, y: Scale) -> Line:
    values = zip(places, curve.values, strict=True)
    runs = stretches((x(place), y(value.mean)) if math.isfinite(value.mean) else None for place, value in values)
    return Line(curve.method, style, tuple(map(points, runs)), _band(curve.values, places, x, y))


def _band(values: Sequence[Estimate], places: Sequence[float], x: Scale, y: Scale) -> str:
    known = [(x(p), y(v.low), y(v.high)) for p, v in zip(places, values, strict=True) if said.known(v)]
    return points([*((at, high) for at, _, high in known), *((at, low) for at, low, _ in reversed(known))])


def drawn(figure: Figure) -> int:
    """How many of its lines have a number."""
    return sum(bool(words.finite(value.mean for value in curve.values)) for curve in figure.curves)
