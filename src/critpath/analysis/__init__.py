"""From pathways to numbers."""

from critpath.analysis.adversary import fgsm, pgd
from critpath.analysis.classes import ClassPathways, class_pathways
from critpath.analysis.compare import compare_finders
from critpath.analysis.comparison import AtSparsity, FinderComparison, merged
from critpath.analysis.cuts import pathways_at
from critpath.analysis.faithfulness import ABLATIONS, Faithfulness, default_sizes, faithfulness
from critpath.analysis.linearity import (
    CURVE,
    Decider,
    GradientStability,
    LinearityCheck,
    LinearRadius,
    RadiusOverSparsity,
    check_linear,
    gradient_stability,
    linear_radius,
    radius_over_sparsity,
)
from critpath.analysis.overlap import Overlap, overlap
from critpath.analysis.reach import Reaching, connected_share, find_reach, find_reaches, reaches_input
from critpath.analysis.shares import base_dead_share, dead_share, nesting, site_dead_share
from critpath.analysis.shift import AdversarialShift, adversarial_shift
from critpath.analysis.similarity import ClassSimilarity, class_similarity
from critpath.analysis.sizes import Ranked, at_equal_size, resized
from critpath.analysis.sketch import Nearest, Sketch, nearest, sketch
from critpath.intervals import bootstrap_interval

__all__ = [
    "ABLATIONS",
    "CURVE",
    "AdversarialShift",
    "AtSparsity",
    "ClassPathways",
    "ClassSimilarity",
    "Decider",
    "Faithfulness",
    "FinderComparison",
    "GradientStability",
    "LinearRadius",
    "LinearityCheck",
    "Nearest",
    "Overlap",
    "RadiusOverSparsity",
    "Ranked",
    "Reaching",
    "Sketch",
    "adversarial_shift",
    "at_equal_size",
    "base_dead_share",
    "bootstrap_interval",
    "check_linear",
    "class_pathways",
    "class_similarity",
    "compare_finders",
    "connected_share",
    "dead_share",
    "default_sizes",
    "faithfulness",
    "fgsm",
    "find_reach",
    "find_reaches",
    "gradient_stability",
    "linear_radius",
    "merged",
    "nearest",
    "nesting",
    "overlap",
    "pathways_at",
    "pgd",
    "radius_over_sparsity",
    "reaches_input",
    "resized",
    "site_dead_share",
    "sketch",
]
