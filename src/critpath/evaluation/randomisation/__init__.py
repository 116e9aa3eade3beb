"""Whether maps depend on what a network has learned: its parameters randomised, the maps compared."""

from critpath.evaluation.randomisation.check import (
    Randomisation,
    UnmovedMapsWarning,
    parameter_randomisation,
    randomised,
)
from critpath.evaluation.randomisation.coverage import Coverage, Covered
from critpath.evaluation.randomisation.drawing import Change
from critpath.evaluation.randomisation.mprt import Complexity, efficient_mprt, entropy, smooth_mprt, smoothed
from critpath.evaluation.randomisation.stages import Stage

__all__ = [
    "Change",
    "Complexity",
    "Coverage",
    "Covered",
    "Randomisation",
    "Stage",
    "UnmovedMapsWarning",
    "efficient_mprt",
    "entropy",
    "parameter_randomisation",
    "randomised",
    "smooth_mprt",
    "smoothed",
]
