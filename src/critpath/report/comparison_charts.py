"""Coordinates of the comparison's line charts; the templates draw them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from critpath.report import words
from critpath.report.axes import Scale, Tick, linear, nice_steps, points, stretches, thin_out
from critpath.report.comparison import ComparisonContent, Curves, Estimate, FinderCurve

LOWEST, HIGHEST = -0.5, 1.5
"""Shares of the response beyond these are cut off: one finder's excess would flatten all others."""

HUES = 8
"""Colours before they repeat; a repeated one is drawn dashed."""


@dataclass(frozen=True)
class Line:
    """One finder's line: points in SVG's notation, in runs without a gap, its interval's outline, and its style."""

    name: str
    style: str
    runs: tuple[str, ...]
    band: str


@dataclass(frozen=True)
class LineChart:
    """Lines over one axis, in pixels; ``rules`` are horizontal lines at known values."""

    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    x_title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    rules: tuple[Tick, ...]
    lines: tuple[Line, ...]
    cut: bool


@dataclass(frozen=True)
class _Series:
    name: str
    style: str
    values: tuple[Estimate, ...]


def styles(content: ComparisonContent) -> dict[str, str]:
    """The CSS class of each finder's line; controls have their own."""
    found: dict[str, str] = {}
    for finder in content.finders:
        drawn = sum(not style.startswith("control") for style in found.values())
        dashed = " dashed" if drawn >= HUES else ""
        controls = len(found) - drawn
        found[finder.name] = f"control{controls % 2}" if finder.control else f"hue{drawn % HUES}{dashed}"
    return found


def curve_chart(
    content: ComparisonContent, curves: Curves, part: Callable[[FinderCurve], tuple[Estimate, ...]], width: int
) -> LineChart:
    """Response kept, or lost, over the logarithm of the share of neurons."""
    chosen = styles(content)
    series = [_Series(curve.finder, chosen[curve.finder], part(curve)) for curve in curves.finders]
    places = [math.log10(size) for size in curves.sizes]
    ticks = [10.0**power for power in range(math.floor(places[0]), 1)] if places else []
    shown = [(math.log10(tick), words.percent(tick)) for tick in ticks if math.log10(tick) >= places[0] - 1e-9]
    return _chart(series, places, shown, "share of neurons (logarithmic)", width, 300, clip=(LOWEST, HIGHEST))


def site_chart(content: ComparisonContent, width: int) -> LineChart | None:
    """Jaccard with the first finder at every site; None where there is no other finder."""
    if not content.site_overlap or not content.sites:
        return None
    chosen = styles(content)
    series = [
        _Series(row.finder, chosen[row.finder], tuple(Estimate(value) for value in row.jaccard))
        for row in content.site_overlap
    ]
    places = [float(i) for i in range(1, len(content.sites) + 1)]
    ticks = [(place, f"{place:.0f}") for place in places if place == 1 or place % 5 == 0]
    return _chart(series, places, ticks, "site, from input to output", width, 300, clip=(0.0, 1.0), share=False)


def _chart(
    series: Sequence[_Series],
    places: Sequence[float],
    ticks: Sequence[tuple[float, str]],
    x_title: str,
    width: int,
    height: int,
    clip: tuple[float, float],
    share: bool = True,
) -> LineChart:
    left, right, top, bottom = 48.0, width - 14.0, 14.0, height - 46.0
    means = words.finite(value.mean for one in series for value in one.values)
    steps = nice_steps([0.0, 1.0, *(min(max(mean, clip[0]), clip[1]) for mean in means)])
    x = linear(places[0], places[-1], left + 8, right - 8)
    y = linear(steps[0], steps[-1], bottom, top)
    return LineChart(
        width, height, left, right, top, bottom, x_title,
        x_ticks=thin_out([Tick(x(place), text) for place, text in ticks], 36),
        y_ticks=tuple(Tick(y(v), words.percent(round(v, 9)) if share else f"{v:.1f}") for v in steps),
        rules=(Tick(y(0.0), "0"), *([Tick(y(1.0), "100%")] if share else [])),
        lines=tuple(_line(one, places, x, y, (steps[0], steps[-1])) for one in series),
        cut=any(not steps[0] <= mean <= steps[-1] for mean in means),
    )  # fmt: skip


def _line(series: _Series, places: Sequence[float], x: Scale, y: Scale, limits: tuple[float, float]) -> Line:
    known = zip(places, series.values, strict=True)
    runs = stretches((x(p), y(_within(v.mean, limits))) if math.isfinite(v.mean) else None for p, v in known)
    return Line(series.name, series.style, tuple(map(points, runs)), _band(series, places, x, y, limits))


def _band(series: _Series, places: Sequence[float], x: Scale, y: Scale, limits: tuple[float, float]) -> str:
    known = [
        (x(place), y(_within(value.low, limits)), y(_within(value.high, limits)))
        for place, value in zip(places, series.values, strict=True)
        if math.isfinite(value.low) and math.isfinite(value.high)
    ]
    return points([*((at, high) for at, _, high in known), *((at, low) for at, low, _ in reversed(known))])


def _within(value: float, limits: tuple[float, float]) -> float:
    """Just outside the frame at most, so that a line that leaves it is seen to leave."""
    reach = 0.05 * (limits[1] - limits[0])
    return min(max(value, limits[0] - reach), limits[1] + reach)
