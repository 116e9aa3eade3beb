"""What is explained: from a model's output, or its neurons, to one scalar per sample, the response."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import Tensor

from critpath.errors import TargetError
from critpath.targets.classes import Classes, Logit, Margin, Probability, class_scores
from critpath.targets.hidden import Channel, Direction, Neuron, SiteActivation, row_major
from critpath.targets.target import Combined, Custom, Each, Target

__all__ = [
    "Channel",
    "Classes",
    "Combined",
    "Custom",
    "Direction",
    "Each",
    "Logit",
    "Margin",
    "Neuron",
    "Probability",
    "SiteActivation",
    "Target",
    "TargetLike",
    "as_target",
    "class_scores",
    "row_major",
]

TargetLike: TypeAlias = "Target | Classes | Callable[[Any], Tensor]"


def as_target(target: TargetLike) -> Target:
    """A class (or None, or one class per sample), a Target, or a function of the model's output."""
    if isinstance(target, Target):
        return target
    if callable(target) and not isinstance(target, Tensor):
        return Custom(target)
    if isinstance(target, str):
        raise TargetError(f"the target {target!r} is a string; give the number of a class")
    return Logit(target)
