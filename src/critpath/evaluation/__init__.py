"""Evaluation: how far a map can be trusted, measured on any callable ``explain(x, target) -> map``."""

from critpath.evaluation.agreement import MapAgreement, RankAgreement, map_agreement, rank_agreement
from critpath.evaluation.channels import ChannelFeatures, channel_features
from critpath.evaluation.feature_selection import (
    FeatureSelection,
    compare_selection,
    feature_selection,
    label_sets,
)
from critpath.evaluation.fills import FILLS, NOISE, filled
from critpath.evaluation.perturbation import Perturbation, deletion, insertion, pixel_perturbation
from critpath.evaluation.randomisation import (
    Complexity,
    Coverage,
    Covered,
    Randomisation,
    UnmovedMapsWarning,
    efficient_mprt,
    entropy,
    parameter_randomisation,
    randomised,
    smooth_mprt,
    smoothed,
)
from critpath.evaluation.removal import Order, pixel_scores, reduced, removal_order, remove
from critpath.evaluation.retraining import (
    Fidelity,
    Recipe,
    RoarCurve,
    Split,
    f_fidelity,
    fidelity_model,
    papers_recipe,
    retrained_accuracy,
    roar,
    train_and_validation,
)
from critpath.evaluation.similarity import SIMILARITIES, hog_correlation, spearman, spearman_abs, ssim, ssim_abs
from critpath.evaluation.summary import Row, summarise
from critpath.evaluation.superpixels import superpixels

__all__ = [
    "FILLS",
    "NOISE",
    "SIMILARITIES",
    "ChannelFeatures",
    "Complexity",
    "Coverage",
    "Covered",
    "FeatureSelection",
    "Fidelity",
    "MapAgreement",
    "Order",
    "Perturbation",
    "Randomisation",
    "RankAgreement",
    "Recipe",
    "RoarCurve",
    "Row",
    "Split",
    "UnmovedMapsWarning",
    "channel_features",
    "compare_selection",
    "deletion",
    "efficient_mprt",
    "entropy",
    "f_fidelity",
    "feature_selection",
    "fidelity_model",
    "filled",
    "hog_correlation",
    "insertion",
    "label_sets",
    "map_agreement",
    "papers_recipe",
    "parameter_randomisation",
    "pixel_perturbation",
    "pixel_scores",
    "randomised",
    "rank_agreement",
    "reduced",
    "removal_order",
    "remove",
    "retrained_accuracy",
    "roar",
    "smooth_mprt",
    "smoothed",
    "spearman",
    "spearman_abs",
    "ssim",
    "ssim_abs",
    "summarise",
    "superpixels",
    "train_and_validation",
]
