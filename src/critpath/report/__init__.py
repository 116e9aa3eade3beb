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
    TopUnit,
)
from critpath.report.index import IndexEntry, index_entry, render_index
from critpath.report.output import embed, save, write
from critpath.report.page import render

__all__ = [
    "ComparedLevel",
    "ComparisonContent",
    "Content",
    "Curves",
    "DecodedImage",
    "DecodedPicture",
    "Estimate",
    "Finder",
    "FinderCurve",
    "FinderRow",
    "IndexEntry",
    "Kept",
    "Pair",
    "Photograph",
    "Prediction",
    "Reach",
    "SiteOverlap",
    "SiteRow",
    "SparsityLevel",
    "TopUnit",
    "embed",
    "index_entry",
    "render",
    "render_comparison",
    "render_index",
    "save",
    "save_comparison",
    "write",
]
