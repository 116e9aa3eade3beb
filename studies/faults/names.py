"""The order of what the study's results hold by name: a run gives names sorted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ORDER = (
    "Gradient", "GBP", "GradCAM", "InputMCT", "InputIntGrad", "NeuronMCT", "NeuronMCT, zeroed", "NeuronMCT, frozen",
    "NeuronIntGrad", "random",
    "right", "class re-picked", "std 0.01", "order of steps",
    "fc", "linear", "layer4", "layer3", "layer2", "layer1", "conv1 + bn1",
    "alphas", "calls", "alphas and calls",
    "response", "died", "class", "spearman", "cosine",
    "CIFAR-10", "Birdsnap", "ImageNet",
)  # fmt: skip
"""Methods, versions of the sanity check, its stages from the output down, faults, measures, data sets."""


def arranged(value: Any) -> Any:
    """Mappings, all the way down, with the names of ``ORDER`` in that order, before others as they come."""
    if not isinstance(value, Mapping):
        return value
    names = sorted(value, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
    return {name: arranged(value[name]) for name in names}
