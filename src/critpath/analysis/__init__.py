"""From pathways to numbers."""

from critpath.analysis.overlap import Overlap, overlap

__all__ = ["Overlap", "overlap"]
