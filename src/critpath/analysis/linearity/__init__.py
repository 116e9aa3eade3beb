"""How far around an input a network, or its frozen pathway, is linear."""

from critpath.analysis.linearity.checks import LinearityCheck, check_linear
from critpath.analysis.linearity.radius import linear_radius
from critpath.analysis.linearity.result import CURVE, Decider, LinearRadius
from critpath.analysis.linearity.stability import (
    GradientStability,
    RadiusOverSparsity,
    gradient_stability,
    radius_over_sparsity,
)

__all__ = [
    "CURVE",
    "Decider",
    "GradientStability",
    "LinearRadius",
    "LinearityCheck",
    "RadiusOverSparsity",
    "check_linear",
    "gradient_stability",
    "linear_radius",
    "radius_over_sparsity",
]
