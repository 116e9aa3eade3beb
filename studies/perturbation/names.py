"""What networks and methods of the study are called, and which of them the papers have."""

from __future__ import annotations

from studies.measured import Table, column, curve
from studies.study import Estimate

NETWORKS = {
    "resnet8": "ResNet-8, CIFAR-10",
    "resnet20": "ResNet-20, CIFAR-10",
    "resnet56": "ResNet-56, CIFAR-10",
    "resnet50": "ResNet-50, ImageNet",
}
"""By the evaluation's name."""

PUBLISHED = {"resnet8": "cifar10", "resnet20": "cifar10", "resnet56": "cifar10", "resnet50": "imagenet"}
"""The published data set to set beside a network; P's is a ResNet-8 for CIFAR-10."""

NAMES = {
    "gradient": "Gradient",
    "gbp": "GBP",
    "gradcam": "GradCAM",
    "input-mct": "InputMCT",
    "input-intgrad": "InputIntGrad",
    "neuron-mct": "NeuronMCT (frozen)",
    "neuron-intgrad": "NeuronIntGrad (frozen)",
    "prunegrad": "PruneGrad (zeroed)",
    "prunegrad-90": "PruneGrad, 90 %",
    "prunegrad-mid": "PruneGrad-Mid",
    "prune-pgd": "PrunePGD",
    "rectgrad": "RectGrad",
    "edges": "edges (no network)",
    "random": "random",
}

CHEAPER = {"input-intgrad-8": "input-intgrad", "prune-pgd-10": "prune-pgd"}
"""Methods with fewer steps on the large network: they are shown under the name of the whole."""

TABLE_2 = ("gradient", "gbp", "gradcam", "input-mct", "input-intgrad", "neuron-mct", "neuron-intgrad")
MEASURED = (*TABLE_2, "prunegrad")
"""What stands for them here."""
OTHERS = ("gradient", "gbp", "gradcam", "input-mct", "input-intgrad")
"""Of P's seven methods, those of others."""
OF_PG = (*OTHERS, "rectgrad")
"""What PG compares with."""

AREA = "area as published"
CHANGE = "mean change of the response"


AS_PUBLISHED = {"prunegrad": "neuron-mct"}
"""What P's released code computes under another name."""


def readings(method: str) -> tuple[str, ...]:
    """What stands for a method of P: for NeuronMCT the gradient as P defines it, and as its released code has it."""
    return (method, *(own for own, name in AS_PUBLISHED.items() if name == method))


def area(table: Table, method: str) -> Estimate:
    """Under the change of the response, from 0 to the last share."""
    return column(table, method, AREA)


def change(table: Table, method: str) -> list[Estimate]:
    """The change of the response, from share 0 on."""
    return curve(table, method, CHANGE)
