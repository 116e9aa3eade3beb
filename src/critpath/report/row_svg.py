"""Rows of numbers as SVG files: dots with their intervals, and matrices."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from critpath.errors import OptionError
from critpath.report.axes import Scale, Tick, linear, thin_out, tick_texts
from critpath.report.svg import CONTROL, document, extent, finite_steps, heading, rule, shade, text

ROW = 24
"""Pixels a row of an interval chart."""

CELL = 30
"""Pixels a row of a matrix."""


def intervals_svg(
    rows: Mapping[str, tuple[float, float | None, float | None]],
    x_label: str,
    *,
    title: str = "",
    published: Mapping[str, float] | None = None,
    width: int = 640,
) -> str:
    """A dot and its interval (mean, low, high) in each row, and a hollow mark for what was published.

    Raises OptionError where there is no finite number.
    """
    hollow = published or {}
    known = [v for row in rows.values() for v in row if v is not None]
    steps = finite_steps([*known, *(value for name, value in hollow.items() if name in rows)])
    head, top = heading(title, width)
    left, right, bottom = 24 + max(map(extent, rows)), width - 20.0, top + ROW * len(rows)
    x = linear(steps[0], steps[-1], left, right)
    parts = [*head, *_scale(steps, x, top, bottom), text((left + right) / 2, bottom + 38, x_label)]
    for i, (name, row) in enumerate(rows.items()):
        at = top + ROW * (i + 0.5)
        parts.append(text(left - 12, at + 4, name, "end"))
        parts += _dot(row, x, at, "control" if name == CONTROL else "hue0")
        if name in hollow:
            parts.append(f'<circle class="hollow" cx="{x(hollow[name]):.1f}" cy="{at:.1f}" r="4.5"/>')
    height = int(bottom) + (66 if hollow else 48)
    if hollow:
        parts += _key(left, height - 10.0)
    return document(width, height, parts, title or x_label)


def matrix_svg(
    names_down: Sequence[str],
    names_across: Sequence[str],
    values: Sequence[Sequence[float | None]],
    *,
    title: str = "",
    digits: int = 2,
) -> str:
    """A table of numbers [down, across] whose cells are the darker the larger their number; None stays empty.

    Raises OptionError where the shape does not fit the names, or where there is no finite number.
    """
    if len(values) != len(names_down) or any(len(row) != len(names_across) for row in values):
        shape = f"{len(values)} rows of {sorted({len(row) for row in values})}"
        raise OptionError(f"the matrix has {shape} for {len(names_down)} names down and {len(names_across)} across")
    known = [v for row in values for v in row if v is not None and math.isfinite(v)]
    steps = finite_steps(known)
    wide = max(46.0, *(extent(_said(v, digits)) + 12 for v in known))
    left, deep = 24 + max(map(extent, names_down)), 16 + 0.64 * max(map(extent, names_across))
    over = 0.77 * extent(names_across[-1])
    width = int(left + wide * len(names_across) + max(16.0, over))
    head, top = heading(title, width)
    top += deep
    ends = (min(known), max(known)) if max(known) > min(known) else (steps[0], steps[-1])
    parts = list(head)
    parts += [text(left + wide * (i + 0.4), top - 8, name, "start", turn=-40) for i, name in enumerate(names_across)]
    for j, (name, row) in enumerate(zip(names_down, values, strict=True)):
        parts.append(text(left - 10, top + CELL * (j + 0.5) + 4, name, "end"))
        parts += _cells(row, left, top + CELL * j, wide, ends, digits)
    return document(width, int(top + CELL * len(names_down)) + 16, parts, title or "a matrix")


def _scale(steps: Sequence[float], x: Scale, top: float, bottom: float) -> Iterator[str]:
    texts = tick_texts(steps)
    yield from (rule(x(step), top, x(step), bottom, "zero" if abs(step) < 1e-12 else "grid") for step in steps)
    ticks = [Tick(x(step), said) for step, said in zip(steps, texts, strict=True)]
    for tick in thin_out(ticks, max(map(extent, texts)) + 8):
        yield text(tick.at, bottom + 18, tick.text)


def _dot(row: tuple[float, float | None, float | None], x: Scale, at: float, style: str) -> Iterator[str]:
    mean, low, high = row
    if low is not None and high is not None and math.isfinite(low) and math.isfinite(high):
        yield f'<g class="{style}">{rule(x(low), at, x(high), at, "span")}</g>'
    if math.isfinite(mean):
        yield f'<g class="{style}"><circle cx="{x(mean):.1f}" cy="{at:.1f}" r="4.5"/></g>'


def _key(left: float, at: float) -> Iterator[str]:
    yield f'<g class="hue0"><circle cx="{left:.1f}" cy="{at - 4:.1f}" r="4.5"/></g>'
    yield text(left + 10, at, "measured", "start")
    yield f'<circle class="hollow" cx="{left + 90:.1f}" cy="{at - 4:.1f}" r="4.5"/>'
    yield text(left + 100, at, "published", "start")


def _cells(
    row: Sequence[float | None], left: float, top: float, wide: float, ends: Sequence[float], digits: int
) -> Iterator[str]:
    for i, value in enumerate(row):
        if value is None or not math.isfinite(value):
            continue
        depth = 0.06 + 0.5 * shade(value, ends)
        yield (
            f'<rect class="hue0" fill="currentColor" fill-opacity="{depth:.2f}" x="{left + wide * i:.1f}" '
            f'y="{top:.1f}" width="{wide - 2:.1f}" height="{CELL - 2}"/>'
        )
        yield text(left + wide * (i + 0.5) - 1, top + CELL / 2 + 3, _said(value, digits), style="title small")


def _said(value: float, digits: int) -> str:
    return f"{value + 0.0:.{digits}f}".replace("-", "−")
