"""Evaluations that train: ROAR and KAR, from nothing for every share; F-Fidelity, once for every explanation."""

from critpath.evaluation.retraining.curve import RoarCurve, roar_area
from critpath.evaluation.retraining.degrade import Maps, channel_means, degraded, maps_of, random_maps
from critpath.evaluation.retraining.fidelity import Fidelity, f_fidelity, fidelity_model, fine_tuning
from critpath.evaluation.retraining.recipe import Fitted, Recipe, Train, papers_recipe
from critpath.evaluation.retraining.resnet8 import ResNet8
from critpath.evaluation.retraining.roar import Retraining, curves_of, retrained_accuracy, roar
from critpath.evaluation.retraining.split import Split, accuracy_of, predicted_classes, train_and_validation
from critpath.evaluation.retraining.student import Estimate, t_estimate

__all__ = [
    "Estimate",
    "Fidelity",
    "Fitted",
    "Maps",
    "Recipe",
    "ResNet8",
    "Retraining",
    "RoarCurve",
    "Split",
    "Train",
    "accuracy_of",
    "channel_means",
    "curves_of",
    "degraded",
    "f_fidelity",
    "fidelity_model",
    "fine_tuning",
    "maps_of",
    "papers_recipe",
    "predicted_classes",
    "random_maps",
    "retrained_accuracy",
    "roar",
    "roar_area",
    "t_estimate",
    "train_and_validation",
]
