"""The page that compares finders."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from critpath.errors import InputError
from critpath.files import writable
from critpath.report import comparison_charts as charts
from critpath.report import comparison_words as said
from critpath.report import figures
from critpath.report.comparison import ComparisonContent, Curves
from critpath.report.data import script_json
from critpath.report.output import write
from critpath.report.templates import fill

THUMBNAIL_SIDE, DECODED_SIDE = 176, 192
"""Pixels of the photographs and of the decoded pictures, at most."""

WIDE, NARROW, WHOLE = 520, 360, 1056
"""Widths of the charts in pixels: one of two, on a narrow page, and across the page."""


@dataclass(frozen=True)
class CurveView:
    """The charts of one ablation: response kept and lost, each wide and narrow."""

    curves: Curves
    kept: tuple[charts.LineChart, charts.LineChart]
    lost: tuple[charts.LineChart, charts.LineChart]


def render_comparison(content: ComparisonContent) -> str:
    """One self-contained HTML page; it makes no request of any kind.

    Raises :class:`InputError` where the content contradicts itself and
    :class:`MissingDependencyError` where jinja2 is not installed.
    """
    _check(content)
    return fill(
        "comparison.html",
        content=content,
        said=said,
        data=script_json(content),
        thumbnails=[
            "" if one.picture is None else figures.picture_uri(one.picture, THUMBNAIL_SIDE)
            for one in content.photographs
        ],
        decoded=[
            ["" if one.picture is None else figures.picture_uri(one.picture, DECODED_SIDE) for one in image.pictures]
            for image in content.decoded
        ],
        styles=charts.styles(content),
        site_charts=(charts.site_chart(content, WHOLE), charts.site_chart(content, NARROW)),
        curve_views=[_curves(content, curves) for curves in content.curves],
    )


def save_comparison(content: ComparisonContent, path: str | os.PathLike[str]) -> Path:
    """Render the page and write it to ``path``, whole or not at all. Raises StorageError."""
    writable(path)
    return write(render_comparison(content), path)


def _curves(content: ComparisonContent, curves: Curves) -> CurveView:
    kept, lost = (
        tuple(charts.curve_chart(content, curves, part, width) for width in (WIDE, NARROW))
        for part in (lambda curve: curve.kept, lambda curve: curve.lost)
    )
    return CurveView(curves, (kept[0], kept[1]), (lost[0], lost[1]))


def _check(content: ComparisonContent) -> None:
    """What the page relies on: finders, a main level, and tables of one size."""
    names = [finder.name for finder in content.finders]
    if not names or content.images < 1:
        raise InputError(f"There are {len(names)} finders and {content.images} images: give at least one of each.")
    if not 0 <= content.main_level < len(content.levels):
        raise InputError(
            f"main_level is {content.main_level}, but there are {len(content.levels)} levels: "
            "give at least one sparsity level and the index of the main one."
        )
    for level in content.levels:
        if [row.finder for row in level.rows] != names:
            raise InputError(f"The rows at sparsity {level.requested} are not those of the finders {', '.join(names)}.")
    if [len(row) for row in content.overlap] != [len(names)] * len(names):
        raise InputError(f"The overlap has to be a table of {len(names)} by {len(names)} finders.")
    _check_lengths(content)


def _check_lengths(content: ComparisonContent) -> None:
    for row in content.site_overlap:
        if len(row.jaccard) != len(content.sites):
            raise InputError(f"{row.finder} has {len(row.jaccard)} values for {len(content.sites)} sites.")
    for curves in content.curves:
        for curve in curves.finders:
            if not len(curve.kept) == len(curve.lost) == len(curves.sizes):
                raise InputError(f"The curves of {curve.finder} do not have one value for each of the sizes.")
