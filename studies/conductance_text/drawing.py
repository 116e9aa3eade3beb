"""The figures: table 2, shares of negation, and sentences coloured by what reaches the filters from each word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from critpath.report import Series, lines_svg, panels_svg
from critpath.report.svg import document, extent, heading, text
from studies.conductance_text import published
from studies.conductance_text.measured import Results, cell, share
from studies.study import Estimate

LINE, LEFT, RIGHT = 26, 20.0, 820.0
"""Pixels of the figure of sentences: a row, and the ends of its lines."""


def table_2(results: Results) -> str:
    """Published beside measured, with and without dropout."""
    ticks = [str(count) for count in published.COUNTS]
    printed = {published.NAMES[name]: Series(published.COUNTS, row) for name, row in published.TABLE_2.items()}
    kinds = {"measured, trained with dropout": "questions", "measured, without dropout": "undropped"}
    measured = {
        title: {said: _row(results, kind, m) for m, said in published.NAMES.items()} for title, kind in kinds.items()
    }
    return panels_svg(
        [
            lines_svg(
                series,
                "filters",
                "held-out accuracy, %",
                title=title,
                ticks=ticks,
                y_limits=(50, 100),
                width=420,
            )
            for title, series in {"published": printed, **measured}.items()
        ],
        columns=3,
    )


def _row(results: Results, kind: str, method: str) -> Series:
    return _series([cell(results, kind, method, place) for place in range(4)], published.COUNTS)


def negation(results: Results) -> str:
    """Share of sentences with a negation among the first ten to hundred, by method."""
    counts = (10, 20, 50, 100)
    panels = []
    for phrase in ("not good", "not bad"):
        series = {
            said: _series([share(results, phrase, str(k), method) for k in counts], counts)
            for method, said in published.NAMES.items()
            if method != "random"
        }
        label = "first sentences"
        panels.append(lines_svg(series, label, "with a negation, %", title=f"“{phrase}”", y_limits=(0, 100), width=460))
    return panels_svg(panels)


def _series(values: Sequence[Estimate], x: Sequence[float]) -> Series:
    mean, low, high = ([None if v[part] is None else 100 * float(v[part] or 0) for v in values] for part in _PARTS)
    bands = None not in low
    return Series(x, mean, low if bands else None, high if bands else None)


_PARTS = ("mean", "low", "high")


def coloured(blocks: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Sentences under headings, each word on a shade of what it adds (blue) or takes (orange), by equation 2."""
    parts, top = heading("", int(RIGHT))
    for title, sentences in blocks.items():
        top += 1.5 * LINE
        parts.append(text(LEFT, top, title, "start", "title"))
        for one in sentences:
            drawn, top = _sentence(one["words"], one["map"], top + LINE)
            parts += drawn
    return document(int(RIGHT) + 20, int(top) + 20, parts, "sentences coloured by word")


def _sentence(words: Sequence[str], values: Sequence[float], top: float) -> tuple[list[str], float]:
    strongest = max(map(abs, values)) or 1.0
    parts: list[str] = []
    for (left, line, width), word, value in zip(_places(words), words, values, strict=True):
        y = top + line * LINE
        shade = f'fill="currentColor" fill-opacity="{0.55 * abs(value) / strongest:.2f}"'
        box = f'<rect x="{left:.1f}" y="{y - 14:.1f}" width="{width:.1f}" height="19" rx="3" {shade}/>'
        parts += [
            f'<g class="{"hue0" if value >= 0 else "hue1"}">{box}</g>',
            text(left + width / 2, y, word, style="title small"),
        ]
    lines = max(line for _, line, _ in _places(words))
    return parts, top + lines * LINE


def _places(words: Sequence[str]) -> Iterator[tuple[float, int, float]]:
    """Left end, line and width of every word's box."""
    left, line = LEFT, 0
    for word in words:
        width = extent(word) + 8
        if left + width > RIGHT:
            left, line = LEFT + 24, line + 1
        yield left, line, width
        left += width + 3
