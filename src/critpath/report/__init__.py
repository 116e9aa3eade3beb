"""Reports: plain values -> one self-contained HTML page. Loads no model and no torch."""

from critpath.report.comparison import (
    ComparedLevel,
    ComparisonContent,
    Curves,
    DecodedImage,
    DecodedPicture,
    Estimate,
    Finder,
    FinderCurve,
    FinderRow,
    Pair,
    Photograph,
    SiteOverlap,
)
from critpath.report.comparison_page import render_comparison, save_comparison
from critpath.report.content import (
    Content,
    Kept,
    Prediction,
    Reach,
    SiteRow,
    SparsityLevel,
    Token,
    TopUnit,
)
from critpath.report.index import IndexEntry, index_entry, render_index
from critpath.report.line_svg import Series, lines_svg
from critpath.report.output import embed, save, write
from critpath.report.page import render
from critpath.report.picture_grid import picture_grid
from critpath.report.row_svg import intervals_svg, matrix_svg
from critpath.report.run_content import (
    CHECKS,
    AgreementTable,
    Better,
    Failure,
    Figure,
    MethodCurve,
    MethodRow,
    MetricTable,
    Part,
    Randomised,
    RunContent,
)
from critpath.report.run_page import render_run, save_run
from critpath.report.svg import panels_svg

__all__ = [
    "CHECKS",
    "AgreementTable",
    "Better",
    "ComparedLevel",
    "ComparisonContent",
    "Content",
    "Curves",
    "DecodedImage",
    "DecodedPicture",
    "Estimate",
    "Failure",
    "Figure",
    "Finder",
    "FinderCurve",
    "FinderRow",
    "IndexEntry",
    "Kept",
    "MethodCurve",
    "MethodRow",
    "MetricTable",
    "Pair",
    "Part",
    "Photograph",
    "Prediction",
    "Randomised",
    "Reach",
    "RunContent",
    "Series",
    "SiteOverlap",
    "SiteRow",
    "SparsityLevel",
    "Token",
    "TopUnit",
    "embed",
    "index_entry",
    "intervals_svg",
    "lines_svg",
    "matrix_svg",
    "panels_svg",
    "picture_grid",
    "render",
    "render_comparison",
    "render_index",
    "render_run",
    "save",
    "save_comparison",
    "save_run",
    "write",
]
