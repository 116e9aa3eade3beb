"""Lines over an axis, each with the band of its interval, as an SVG file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from critpath.errors import OptionError
from critpath.report.axes import Scale, Tick, linear, points, stretches, thin_out, tick_texts
from critpath.report.svg import document, extent, finite_steps, heading, rule, styles, text

Known = Sequence[float | None]
"""Numbers, None (or NaN) where there is none."""


@dataclass(frozen=True)
class Series:
    """One line: ``mean`` over ``x``, with the ends of its intervals if they are known.

    Raises OptionError where the lengths differ.
    """

    x: Sequence[float]
    mean: Known
    low: Known | None = None
    high: Known | None = None
    dashed: bool = False

    def __post_init__(self) -> None:
        lengths = [len(part) for part in (self.x, self.mean, self.low, self.high) if part is not None]
        if len(set(lengths)) > 1 or (self.low is None) != (self.high is None):
            raise OptionError(
                f"a series has x, mean, low and high of one length, low and high together; these are of {lengths}"
            )


@dataclass(frozen=True)
class _Frame:
    """Where a chart is drawn, in pixels."""

    left: float
    right: float
    top: float
    bottom: float


def lines_svg(
    series: Mapping[str, Series],
    x_label: str,
    y_label: str,
    *,
    title: str = "",
    ticks: Sequence[str] | None = None,
    y_limits: tuple[float, float] | None = None,
    width: int = 640,
    height: int = 360,
) -> str:
    """Lines with their intervals and a legend, as standalone SVG.

    ``ticks`` are the labels of all places x that occur, in increasing order; without them x has numbers. Lines that
    leave ``y_limits`` are cut off. Raises OptionError where there is no number, or where the labels do not fit x.
    """
    places = sorted({x for one in series.values() for x in one.x})
    x_steps = finite_steps(places) if ticks is None else places
    labels = tick_texts(x_steps) if ticks is None else _labels(ticks, places)
    y_steps = finite_steps(_all_values(series.values()) if y_limits is None else y_limits)
    chosen = dict(zip(series, styles(list(series), [one.dashed for one in series.values()]), strict=True))
    head, top = heading(title, width)
    key, top = _legend(chosen, width, top)
    turned = ticks is not None and sum(extent(label) + 8 for label in labels) > width - 80
    frame = _frame(labels, turned, width, height, top)
    x = linear(x_steps[0], x_steps[-1], frame.left + 8, frame.right - 8)
    y = linear(*(y_limits or (y_steps[0], y_steps[-1])), frame.bottom, frame.top)
    at = [Tick(x(place), label) for place, label in zip(x_steps, labels, strict=True)]
    axes = (*_y_axis(y_steps, y, frame, y_label), *_x_axis(at, turned, frame, x_label, height))
    parts = (*head, *key, *axes, *_lines(series, chosen, x, y, frame))
    return document(width, height, parts, title or f"{y_label} over {x_label}")


def _frame(labels: Sequence[str], turned: bool, width: int, height: int, top: float) -> _Frame:
    """With room for labels that are turned."""
    left = max(58.0, 0.77 * extent(labels[0])) if turned else 58.0
    deep = min(0.64 * max(map(extent, labels)), 120) if turned else 8.0
    return _Frame(left, width - 16.0, top, height - 40.0 - deep)


def _all_values(series: Iterable[Series]) -> Iterator[float]:
    for one in series:
        for values in (one.mean, one.low or (), one.high or ()):
            yield from (value for value in values if value is not None)


def _labels(ticks: Sequence[str], places: Sequence[float]) -> Sequence[str]:
    if len(ticks) != len(places) or not places:
        raise OptionError(f"there are {len(ticks)} ticks for {len(places)} places on the x axis: one label for each")
    return ticks


def _legend(chosen: Mapping[str, str], width: int, top: float) -> tuple[list[str], float]:
    """The names, in as many rows as they take, and where the chart begins below them."""
    parts: list[str] = []
    left = 58.0
    for name, style in chosen.items():
        if left > 58 and left + 34 + extent(name) > width - 8:
            left, top = 58.0, top + 18
        line = f'<polyline points="{left:.1f},{top + 4:.1f} {left + 22:.1f},{top + 4:.1f}"/>'
        parts += [f'<g class="{style}">{line}</g>', text(left + 28, top + 8, name, "start")]
        left += 44 + extent(name)
    return parts, top + 22


def _y_axis(steps: Sequence[float], y: Scale, frame: _Frame, label: str) -> Iterator[str]:
    for step, said in zip(steps, tick_texts(steps), strict=True):
        if frame.top - 0.5 <= y(step) <= frame.bottom + 0.5:
            yield rule(frame.left, y(step), frame.right, y(step), "zero" if abs(step) < 1e-12 else "grid")
            yield text(frame.left - 8, y(step) + 4, said, "end")
    yield text(14, (frame.top + frame.bottom) / 2, label, turn=-90)


def _x_axis(ticks: Sequence[Tick], turned: bool, frame: _Frame, label: str, height: int) -> Iterator[str]:
    widest = max((extent(tick.text) for tick in ticks), default=0.0)
    for tick in thin_out(ticks, 13.0 if turned else widest + 8):
        if turned:
            yield text(tick.at + 4, frame.bottom + 14, tick.text, "end", turn=-40)
        else:
            yield text(tick.at, frame.bottom + 18, tick.text)
    yield text((frame.left + frame.right) / 2, height - 8, label)


def _lines(series: Mapping[str, Series], chosen: Mapping[str, str], x: Scale, y: Scale, frame: _Frame) -> Iterator[str]:
    """Bands below lines, all cut off at the frame."""
    width, height = frame.right - frame.left, frame.bottom - frame.top
    box = f"{frame.left:.1f} {frame.top:.1f} {width:.1f} {height:.1f}"
    yield (f'<svg x="{frame.left:.1f}" y="{frame.top:.1f}" width="{width:.1f}" height="{height:.1f}" viewBox="{box}">')
    for name, one in series.items():
        if band := _band(one, x, y):
            yield f'<polygon class="{chosen[name]}" points="{band}"/>'
    for name, one in series.items():
        runs = "".join(_run(run, one) for run in stretches(_places(one, x, y)))
        yield f'<g class="{chosen[name]}">{runs}</g>'
    yield "</svg>"


def _places(one: Series, x: Scale, y: Scale) -> Iterator[tuple[float, float] | None]:
    for place, value in zip(one.x, one.mean, strict=True):
        yield (x(place), y(value)) if _finite(value) else None


def _run(run: Sequence[tuple[float, float]], one: Series) -> str:
    """A stretch, with dots where there are few places."""
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in run if len(one.x) <= 24 or len(run) == 1)
    return f'<polyline points="{points(run)}"/>{dots}'


def _band(one: Series, x: Scale, y: Scale) -> str:
    ends = zip(one.x, one.low or (), one.high or (), strict=False)
    known = [(x(place), y(low), y(high)) for place, low, high in ends if _finite(low) and _finite(high)]
    return points([*((at, high) for at, _, high in known), *((at, low) for at, low, _ in reversed(known))])


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
