"""Reports: plain values -> one self-contained HTML page. Loads no model and no torch."""

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
    "Content",
    "IndexEntry",
    "Kept",
    "Prediction",
    "Reach",
    "SiteRow",
    "SparsityLevel",
    "TopUnit",
    "embed",
    "index_entry",
    "render",
    "render_index",
    "save",
    "write",
]
