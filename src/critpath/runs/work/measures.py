"""Metrics of a method's maps over a chunk of images, and how far methods agree there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from critpath.evaluation.agreement import map_agreement
from critpath.evaluation.perturbation import Perturbation, deletion, insertion, pixel_perturbation
from critpath.evaluation.randomisation import efficient_mprt, parameter_randomisation, smooth_mprt
from critpath.evaluation.randomisation.coverage import Coverage
from critpath.evaluation.retraining.fidelity import f_fidelity
from critpath.evaluation.values import Explain
from critpath.runs.shard import Shard
from critpath.runs.task import Task
from critpath.runs.trials import FEWEST
from critpath.runs.work.bench import Bench, scores_of
from critpath.runs.work.maps import given_maps, images_of
from critpath.runs.work.means import with_mean
from critpath.runs.work.rows import Values, rowwise

Options = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Subject:
    """What is measured: a model with an explanation of it; ``facts`` collects what the values mean."""

    model: nn.Module
    explain: Explain
    options: Options
    facts: dict[str, Any] = field(default_factory=dict)


def measure(bench: Bench, task: Task, read: Callable[[str], Shard]) -> Shard:
    """``images`` [n] and a float64 tensor [n, ...] for each value of the metric; see ``MEASURES``."""
    names, images = task.facts, images_of(bench, task)
    entry = bench.plan.metrics[names["metric"]]
    maps, bad = given_maps(read(task.needs[0]), images)
    explain = bench.explain(names["model"], names["method"])
    model = _tuned(bench, names["model"], read, task.needs[1]) if task.needs[1:] else bench.model(names["model"]).model
    subject = Subject(model, explain, _options(bench, task))
    function = MEASURES[entry.metric]
    found, failed = (
        rowwise(lambda x, y, m: function(subject, x, y, m), (images.x, images.target, maps), bad)
        if maps is not None
        else ({}, {})
    )
    values = {name: tensor.double() for name, tensor in found.items()}
    coverage = subject.facts.pop("coverage", None)
    told: dict[str, Any] = {"coverage": str(coverage)} if isinstance(coverage, Coverage) and names["chunk"] == 0 else {}
    if "mean" in subject.options:
        told["mean"] = subject.options["mean"]
    facts = {"kind": entry.metric, "options": dict(entry.options), **subject.facts, **told}
    return Shard({"images": images.numbers, **values}, {**facts, "failures": images.failures(failed)})


def _options(bench: Bench, task: Task) -> Options:
    """The metric's, with the data's mean where they have one to fill with."""
    options = bench.plan.metrics[task.facts["metric"]].options
    if "mean" not in options:
        return options
    evaluation = next(e for e in bench.plan.evaluations if e.name == task.facts["evaluation"])
    return with_mean(bench, evaluation, options)


def agreement(bench: Bench, task: Task, read: Callable[[str], Shard]) -> Shard:
    """``spearman`` [n, pairs] of methods' maps; ``facts["pairs"]`` names them. NaN where one has no map."""
    images = images_of(bench, task)
    entry = bench.plan.metrics[task.facts["metric"]]
    shards = [read(name) for name in task.needs]
    methods = [shard.facts["method"] for shard in shards]
    found = {method: given_maps(shard, images)[0] for method, shard in zip(methods, shards, strict=True)}
    pairs = list(combinations(range(len(methods)), 2))
    facts: dict[str, Any] = {"kind": entry.metric, "options": dict(entry.options), "failures": []}
    facts["pairs"] = [[methods[a], methods[b]] for a, b in pairs]
    like = next((maps for maps in found.values() if maps is not None), None)
    if like is None or not pairs:
        return Shard({"images": images.numbers}, facts)
    given = {method: torch.zeros_like(like) if maps is None else maps.nan_to_num(0.0) for method, maps in found.items()}
    values = map_agreement(given, **entry.options, resamples=FEWEST).values
    return Shard({"images": images.numbers, "spearman": torch.stack([values[a, b] for a, b in pairs], dim=1)}, facts)


def _perturbed(function: Callable[..., Perturbation]) -> Callable[[Subject, Tensor, Tensor, Tensor], Values]:
    def values(subject: Subject, x: Tensor, target: Tensor, maps: Tensor) -> Values:
        found = function(scores_of(subject.model), x, target, maps, **subject.options)
        subject.facts["shares"] = list(found.shares)
        return {"start": found.start, "curve": found.curve}

    return values


def _randomisation(subject: Subject, x: Tensor, target: Tensor, maps: Tensor) -> Values:
    found = parameter_randomisation(
        subject.model, subject.explain, x, target, original=maps, **_staged(subject.options)
    )
    subject.facts.update(stages=list(found.stages), coverage=found.coverage)
    return found.values


def _smoothed(subject: Subject, x: Tensor, target: Tensor, maps: Tensor) -> Values:
    found = smooth_mprt(subject.model, subject.explain, x, target, **_staged(subject.options))
    subject.facts.update(stages=list(found.stages), coverage=found.coverage)
    return found.values


def _complexity(subject: Subject, x: Tensor, target: Tensor, maps: Tensor) -> Values:
    found = efficient_mprt(subject.model, subject.explain, x, target, original=maps, **subject.options)
    subject.facts["coverage"] = found.coverage
    return {"value": found.value, "original": found.original, "randomised": found.randomised}


def _fidelity(subject: Subject, x: Tensor, target: Tensor, maps: Tensor) -> Values:
    options = {name: value for name, value in subject.options.items() if name != "tuning"}
    found = f_fidelity(scores_of(subject.model), x, target, maps, **options)
    subject.facts["shares"] = list(found.shares)
    return {"start": found.start, "plus": found.plus, "minus": found.minus, "gap": found.gap}


MEASURES: Mapping[str, Callable[[Subject, Tensor, Tensor, Tensor], Values]] = {
    "pixel_perturbation": _perturbed(pixel_perturbation),
    "deletion": _perturbed(deletion),
    "insertion": _perturbed(insertion),
    "parameter_randomisation": _randomisation,
    "smooth_mprt": _smoothed,
    "efficient_mprt": _complexity,
    "f_fidelity": _fidelity,
}
"""Values of a metric: of inputs [n, C, H, W], classes [n] and maps [n, c, H, W], float64 [n, ...] by name."""


def _staged(options: Options) -> dict[str, Any]:
    """With patterns of stages that can be hashed."""
    stages = tuple(tuple(p) if isinstance(p, list) else p for p in options["stages"])
    return {**options, "stages": stages}


def _tuned(bench: Bench, name: str, read: Callable[[str], Shard], need: str) -> nn.Module:
    """The model with the weights of a shard."""
    return bench.keep("tuned", (name, need), lambda: _with_weights(bench.model(name).model, read(need)))


def _with_weights(model: nn.Module, shard: Shard) -> nn.Module:
    copy = deepcopy(model)
    copy.load_state_dict(dict(shard.tensors))
    return copy.eval()
