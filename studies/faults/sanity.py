"""Faults of the parameter randomisation: the class re-picked, another order of steps, another standard deviation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import critpath as cp
from critpath.evaluation.values import Explain
from studies.faults.subjects import Subject

STAGES = {"resnet20": ("layer1", "layer2", "layer3", ("conv1", "bn1")),
          "resnet18": ("layer1", "layer2", "layer3", "layer4", ("conv1", "bn1"))}  # fmt: skip
SIMILARITIES = ("ssim", "spearman", "spearman_abs")
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "Gradient": ("gradient", {}),
    "GBP": ("guided_backprop", {}),
    "NeuronMCT": ("prunegrad", {"sparsity": 0.7}),
    "InputMCT": ("input_gradient", {}),
}


Curves = dict[str, dict[str, dict[str, Tensor]]]
"""By method, stage and similarity: [images]. The first stage is the last layer."""


def measured(subject: Subject, stages: Any) -> dict[str, Curves]:
    """Curves by version; of those with a fault, ``change`` is the difference to the right one."""
    faults: dict[str, dict[str, Any]] = {"class re-picked": {"reselect": True}, "std 0.01": {"std": 0.01}}
    right = _curves(subject, stages, _explainers(subject), {})
    found = {name: _curves(subject, stages, _explainers(subject), options) for name, options in faults.items()}
    found["order of steps"] = _curves(subject, stages, {"InputMCT": _of_pathway(subject)}, {})
    return {"right": right, **{name: _with_change(curves, right) for name, curves in found.items()}}


def _curves(subject: Subject, stages: Any, explain: dict[str, Explain], options: dict[str, Any]) -> Curves:
    return {name: _curve(subject, stages, one, options) for name, one in explain.items()}


def _curve(subject: Subject, stages: Any, explain: Explain, options: dict[str, Any]) -> dict[str, dict[str, Tensor]]:
    found = cp.parameter_randomisation(
        subject.net, explain, subject.x, subject.target, stages=stages, similarities=SIMILARITIES, **options
    )
    after = list(enumerate(found.stages))[1:]
    return {stage: {name: values[:, i, 0] for name, values in found.values.items()} for i, stage in after}


def _with_change(curves: Curves, right: Curves) -> Curves:
    return {
        method: {
            stage: {**values, **{f"{name}, change": v - right[method][stage][name] for name, v in values.items()}}
            for stage, values in stages.items()
        }
        for method, stages in curves.items()
    }


def _explainers(subject: Subject) -> dict[str, Explain]:
    return {name: cp.explainer(subject.net, method, **options) for name, (method, options) in METHODS.items()}


def _of_pathway(subject: Subject) -> Callable[[Tensor, Tensor], Tensor]:
    """InputMCT as the released loop makes it: the image times the map of the pathway in place of the gradient."""
    explain = cp.explainer(subject.net, "prunegrad", sparsity=0.7)

    def product(x: Tensor, target: Tensor) -> Tensor:
        return x * torch.as_tensor(explain(x, target))

    return product
