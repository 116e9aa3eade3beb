"""Finders side by side on the same inputs, and the page that shows them."""

from critpath.comparison.compare import FINDERS, PathwayComparison, check_pathways, compare_pathways, step_count
from critpath.comparison.plan import CONTROLS, Progress

__all__ = [
    "CONTROLS",
    "FINDERS",
    "PathwayComparison",
    "Progress",
    "check_pathways",
    "compare_pathways",
    "step_count",
]
