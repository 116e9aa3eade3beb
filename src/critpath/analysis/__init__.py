"""From pathways to numbers."""

from critpath.analysis.overlap import Overlap, overlap
from critpath.analysis.reach import Reaching, find_reach, reaches_input

__all__ = ["Overlap", "Reaching", "find_reach", "overlap", "reaches_input"]
