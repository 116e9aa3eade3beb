"""Names on the page, and how differences and verdicts are said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studies.conductance_images.subjects import SUBJECTS
from studies.study import Estimate, above, joint, shown

NAMES = {"resnet20": "ResNet-20", "resnet56": "ResNet-56", "resnet18": "ResNet-18", "squeezenet": "SqueezeNet 1.1"}

ROWS = {
    "activation": "activations",
    "gradient_activation": "gradient × activation",
    "influence": "influence",
    "conductance": "conductance",
    "random": "random filters",
    "F ratio": "F ratio (looks at the task)",
}

FOUR = tuple(ROWS)[:4]


def published_protocol(results: Mapping[str, Any]) -> dict[str, Any]:
    """By network: the part with the line from the mean colour and the predicted class."""
    parts = results["selection"]
    return {name: parts[f"{name}.zero"] for name in NAMES if f"{name}.zero" in parts}


def verdict_of(differences: Sequence[Estimate]) -> str:
    """Of differences that the claim says are above 0, by their intervals: ``studies.study.joint``."""
    return joint([above(one, 0) for one in differences])


def stages_of(network: str) -> list[str]:
    """In the order of the network."""
    return list(SUBJECTS[network].stages)


def percent(share: float) -> str:
    """A share as text."""
    return f"{100 * share:.0f} %"


def signed(value: Estimate) -> str:
    """A difference with its sign."""
    return ("+" if (value["mean"] or 0) > 0 else "") + shown(value)
