"""Charts as files of their own: SVG with its style inside, readable on a light and on a dark page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from html import escape

from critpath.errors import OptionError
from critpath.report.axes import linear, steps_around

HUES = 8
"""Colours before they repeat; a repeated one is drawn dashed."""

CONTROL = "random"
"""A series of this name is grey."""

_LIGHT = ["#1d6fb0", "#a8571a", "#7b4fa3", "#1e7f5c", "#b3264a", "#4a5bc4", "#7d6a00", "#0b7f8c"]
_DARK = ["#62b0ec", "#e2a062", "#b893dd", "#5ec29b", "#ef7f9b", "#98a5f5", "#d0bb4e", "#57c4d0"]

_SIZE = re.compile(r'<svg [^>]*?width="(\d+)" height="(\d+)"[^>]*>(.*)</svg>\s*$', re.DOTALL)
_STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)


def _colours(card: str, ink: str, soft: str, line: str, control: str, hues: Sequence[str]) -> str:
    tones = "".join(f".hue{i}{{color:{hue}}}" for i, hue in enumerate(hues))
    return (
        f".card{{fill:{card}}}text{{fill:{soft}}}.title{{fill:{ink}}}.grid{{stroke:{line}}}.zero{{stroke:{soft}}}"
        f".hollow{{fill:{card};stroke:{ink}}}.control{{color:{control}}}{tones}"
    )


STYLE = (
    "text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;font-variant-numeric:tabular-nums}"
    ".title{font-size:14px;font-weight:600}.small{font-size:12px;font-weight:400}"
    "polyline{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}"
    "polygon{fill:currentColor;stroke:none;opacity:.15}circle{fill:currentColor}"
    ".span{stroke:currentColor;stroke-width:2.5}.dashed polyline{stroke-dasharray:6 4}.hollow{stroke-width:1.5}"
    + _colours("#ffffff", "#1c2127", "#59626e", "#dfe2e6", "#8a929c", _LIGHT)
    + "@media (prefers-color-scheme:dark){"
    + _colours("#1c2026", "#e5e8ec", "#a4adb8", "#333a43", "#7d8793", _DARK)
    + "}"
)


def document(width: int, height: int, parts: Iterable[str], label: str) -> str:
    """A standalone SVG of these parts on a card."""
    inside = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(label)}">\n<style>{STYLE}</style>\n'
        f'<rect class="card" width="{width}" height="{height}"/>\n{inside}\n</svg>\n'
    )


def panels_svg(charts: Sequence[str], columns: int = 2) -> str:
    """Several charts in one file, ``columns`` in a row. Raises OptionError for what is no chart of this module."""
    found = [_SIZE.search(chart) for chart in charts]
    if not charts or columns < 1 or any(match is None for match in found):
        raise OptionError(f"panels are made of SVG charts, one at least, in 1 column or more; there are {len(charts)}")
    known = [(int(match[1]), int(match[2]), _STYLE.sub("", match[3])) for match in found if match is not None]
    rows = [known[start : start + columns] for start in range(0, len(known), columns)]
    widths = [max(row[i][0] for row in rows if i < len(row)) for i in range(min(columns, len(known)))]
    heights = [max(height for _, height, _ in row) for row in rows]
    parts = [
        f'<svg x="{sum(widths[:i])}" y="{sum(heights[:j])}" width="{width}" height="{height}">{inside}</svg>'
        for j, row in enumerate(rows)
        for i, (width, height, inside) in enumerate(row)
    ]
    return document(sum(widths), sum(heights), parts, "several charts")


def text(x: float, y: float, said: str, anchor: str = "middle", style: str = "", turn: float = 0.0) -> str:
    """A line of text; ``turn`` in degrees around its anchor."""
    more = f' class="{style}"' if style else ""
    turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}{turned}>{escape(said)}</text>'


def rule(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    """A straight line."""
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def extent(said: str) -> float:
    """About how many pixels a text is wide."""
    return 7.0 * len(said)


def heading(title: str, width: int) -> tuple[list[str], float]:
    """The title, if there is one, and where what is below it begins."""
    return ([text(width / 2, 22, title, style="title")], 34.0) if title else ([], 12.0)


def styles(names: Sequence[str], dashed: Sequence[bool]) -> list[str]:
    """The CSS classes of series in their order; ``random`` is grey, and a hue that comes again is dashed."""
    found, hue = [], 0
    for name, broken in zip(names, dashed, strict=True):
        control = name == CONTROL
        own = "control" if control else f"hue{hue % HUES}"
        found.append(f"{own} dashed" if broken or (not control and hue >= HUES) else own)
        hue += not control
    return found


def finite_steps(values: Iterable[float]) -> list[float]:
    """Round numbers that enclose the values. Raises OptionError where none of them is finite."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        raise OptionError("the chart has no finite number to draw: give one at least")
    return steps_around(known)


def shade(value: float, steps: Sequence[float]) -> float:
    """How strong a colour is between the ends of some steps, 0 to 1."""
    return linear(steps[0], steps[-1], 0.0, 1.0)(value)
