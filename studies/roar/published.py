"""What was published for remove and retrain on CIFAR-10: P, table 1 and figure 6d, whose curves PG's figure 5a has."""

from __future__ import annotations

NAMES = {
    "gradient": "Gradient",
    "gbp": "GBP",
    "gradcam": "GradCAM",
    "input-mct": "InputMCT",
    "input-intgrad": "InputIntGrad",
    "neuron-mct": "NeuronMCT",
    "neuron-intgrad": "NeuronIntGrad",
    "prunegrad": "PruneGrad",
    "prunegrad-mid": "PruneGrad-Mid",
    "random": "random",
}

BASE = 0.8436
"""Accuracy of networks trained on the images as they are."""

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)

ACCURACIES = {
    "gradient": (0.7910, 0.8110, 0.8281, 0.8226, 0.7550),
    "gbp": (0.7924, 0.7683, 0.7802, 0.7836, 0.7478),
    "gradcam": (0.7465, 0.6999, 0.6327, 0.5803, 0.4758),
    "input-mct": (0.7922, 0.7985, 0.8254, 0.8158, 0.7447),
    "input-intgrad": (0.8080, 0.8198, 0.8337, 0.8323, 0.8090),
    "neuron-mct": (0.7443, 0.6780, 0.6548, 0.5787, 0.4439),
    "neuron-intgrad": (0.7511, 0.6733, 0.6171, 0.5690, 0.4798),
}
"""After retraining, at the shares removed; the numbers behind the figure, as the authors released them."""

AREAS = {
    "gradient": 0.728,
    "gbp": 0.702,
    "gradcam": 0.584,
    "input-mct": 0.723,
    "input-intgrad": 0.741,
    "neuron-mct": 0.580,
    "neuron-intgrad": 0.574,
}
"""Table 1: areas from share 0 to 0.9, not divided by that range."""
