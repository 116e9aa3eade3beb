"""The page of a run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from critpath.errors import InputError
from critpath.files import writable
from critpath.report import run_charts as charts
from critpath.report import run_words as said
from critpath.report.comparison_charts import LineChart
from critpath.report.data import script_json
from critpath.report.output import write
from critpath.report.run_content import Figure, MetricTable, RunContent
from critpath.report.templates import fill

WIDE, NARROW = 520, 340
"""Widths of the charts in pixels: one of two, and on a narrow page."""

LISTED = 200
"""Failures on the page; the exports have all."""


@dataclass(frozen=True)
class FigureView:
    """A figure, wide and narrow."""

    figure: Figure
    charts: tuple[LineChart | None, LineChart | None]


@dataclass(frozen=True)
class TableView:
    """A table with its figures."""

    table: MetricTable
    intervals: tuple[charts.IntervalChart | None, charts.IntervalChart | None]
    figures: tuple[FigureView, ...]


def render_run(content: RunContent) -> str:
    """One self-contained HTML page; it makes no request of any kind.

    Raises :class:`InputError` where the content contradicts itself and
    :class:`MissingDependencyError` where jinja2 is not installed.
    """
    _check(content)
    chosen = charts.styles(content)
    return fill(
        "run.html",
        content=content,
        said=said,
        data=script_json(content),
        styles=chosen,
        views=[_view(table, chosen) for table in content.tables],
        listed=LISTED,
    )


def save_run(content: RunContent, path: str | os.PathLike[str]) -> Path:
    """Render the page and write it to ``path``, whole or not at all. Raises StorageError."""
    writable(path)
    return write(render_run(content), path)


def _view(table: MetricTable, chosen: dict[str, str]) -> TableView:
    intervals = [charts.interval_chart(table, chosen, width) for width in (WIDE, NARROW)]
    figures = [
        FigureView(figure, (charts.curve_chart(figure, chosen, WIDE), charts.curve_chart(figure, chosen, NARROW)))
        for figure in table.figures
        if charts.drawn(figure)
    ]
    return TableView(table, (intervals[0], intervals[1]), tuple(figures))


def _check(content: RunContent) -> None:
    """What the page relies on: as many numbers as columns, places and names."""
    for table in content.tables:
        for row in table.rows:
            if len(row.values) != len(table.columns):
                raise InputError(
                    f"{table.title}: {row.method} has {len(row.values)} numbers for {len(table.columns)} columns."
                )
        for figure in table.figures:
            _check_figure(table, figure)
    for agreement in content.agreements:
        if [len(row) for row in agreement.values] != [len(agreement.names)] * len(agreement.names):
            raise InputError(f"{agreement.title}: the table has to be {len(agreement.names)} by as many.")


def _check_figure(table: MetricTable, figure: Figure) -> None:
    if len(figure.labels) != len(figure.places):
        raise InputError(f"{table.title}: {len(figure.labels)} labels for {len(figure.places)} places.")
    for curve in figure.curves:
        if len(curve.values) != len(figure.places):
            raise InputError(f"{table.title}: {curve.method} has {len(curve.values)} values, not {len(figure.places)}.")
