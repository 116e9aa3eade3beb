"""Networks that are trained for an evaluation: retrained on degraded images, or fine-tuned once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from critpath.evaluation.retraining.degrade import Maps
from critpath.evaluation.retraining.fidelity import fidelity_model, fine_tuning
from critpath.evaluation.retraining.recipe import Recipe
from critpath.evaluation.retraining.roar import Retraining, retrained_accuracy
from critpath.evaluation.retraining.split import Split, train_and_validation
from critpath.runs.plan import Evaluation
from critpath.runs.shard import Shard
from critpath.runs.task import Task
from critpath.runs.tasks import SPLITS, splits_of
from critpath.runs.trials import REMOVAL, recipe_of
from critpath.runs.work.bench import Bench
from critpath.zoo.python_file import call_python

Part = tuple[Split, Tensor | None]
"""Labelled images, and their maps [n, c, H, W] where they are degraded."""


def retraining(bench: Bench, task: Task, read: Callable[[str], Shard]) -> Shard:
    """``accuracy`` and ``validation_accuracy`` [] of one network; ``facts["left_out"]`` images have no map."""
    facts = task.facts
    evaluation, options = _evaluation(bench, task), bench.plan.metrics[facts["metric"]].options
    parts, left_out = _parts(bench, evaluation, task, read)
    (train, _), (validation, _), (test, _) = parts
    removal = {name: options[name] for name in REMOVAL if options[name] is not None}
    found = retrained_accuracy(
        train, validation, test, _maps_of(parts), facts["share"], facts["seed"],
        _recipe(bench, evaluation, options, train), keep=options["keep"], **removal,
    )  # fmt: skip
    return _shard(found, {"kind": "roar", "options": dict(options), "left_out": left_out, "failures": []})


def same(bench: Bench, task: Task, read: Callable[[str], Shard]) -> Shard:
    """The result of another task, which trained the same network."""
    first, entry = read(task.needs[0]), bench.plan.metrics[task.facts["metric"]]
    own = {"metric": task.facts["metric"], "options": dict(entry.options)}
    return Shard(first.tensors, {**first.facts, **own})


def tuning(bench: Bench, task: Task, read: Callable[[str], Shard]) -> Shard:
    """The weights of the model, fine-tuned on images with random pixels masked."""
    evaluation, options = _evaluation(bench, task), bench.plan.metrics[task.facts["metric"]].options
    parts, left_out = _parts(bench, evaluation, task, read)
    model = bench.model(evaluation.model).model
    found = fidelity_model(
        model, parts[0][0], parts[1][0], fine_tuning(model, **options["tuning"]), options["max_share"],
        options["seed"], fill=options["fill"], mean=options["mean"],
    )  # fmt: skip
    weights = {name: t.clone(memory_format=torch.contiguous_format) for name, t in found.state_dict().items()}
    return Shard(weights, {"kind": "f_fidelity", "left_out": left_out, "failures": []})


def _evaluation(bench: Bench, task: Task) -> Evaluation:
    return next(e for e in bench.plan.evaluations if e.name == task.facts["evaluation"])


def _parts(
    bench: Bench, evaluation: Evaluation, task: Task, read: Callable[[str], Shard]
) -> tuple[list[Part], dict[str, int]]:
    """Training, validation and test part, and how many images of each were left out."""
    degraded = _degraded(bench, task, read)
    found: list[Part] = []
    left_out: dict[str, int] = {}
    for part in SPLITS:
        if name := splits_of(evaluation)[part]:
            split, numbers = bench.split(evaluation.model, name)
            one = (split, None) if degraded is None else _with_maps(split, numbers, degraded[name])
            left_out[part] = bench.plan.data[name].images - len(one[0].x)
            found.append(one)
    if evaluation.validation is None:
        found[:1] = _divided(found[0])
    return found, left_out


def _degraded(bench: Bench, task: Task, read: Callable[[str], Shard]) -> dict[str, dict[int, Tensor]] | None:
    """Maps [c, H, W] of images by data set and number, of those that have one; None for unmodified images."""
    if not task.needs:
        return None
    return bench.keep("maps", task.needs, lambda: _collected(read(name) for name in task.needs))


def _collected(shards: Any) -> dict[str, dict[int, Tensor]]:
    found: dict[str, dict[int, Tensor]] = {}
    for shard in shards:
        there = found.setdefault(shard.facts["data"], {})
        for number, values in zip(shard.tensors["images"].tolist(), shard.tensors.get("maps", ()), strict=False):
            if not values.isnan().any():
                there[number] = values
    return found


def _with_maps(split: Split, numbers: Tensor, maps: Mapping[int, Tensor]) -> Part:
    """The images that have a map, with their maps."""
    rows = [row for row, number in enumerate(numbers.tolist()) if number in maps]
    values = torch.stack([maps[int(numbers[row])] for row in rows]).to(split.x.device)
    return Split(split.x[rows], split.y[rows]), values


def _divided(part: Part) -> list[Part]:
    """A training part as one to train on and one to validate with."""
    split, maps = part
    numbers = torch.arange(len(split.y), dtype=torch.float64).view(-1, 1, 1, 1)
    found = []
    for chosen in train_and_validation(numbers, split.y.cpu()):
        rows = chosen.x.flatten().long()
        at = rows.to(split.x.device)
        found.append((Split(split.x[at], split.y[at]), None if maps is None else maps[at]))
    return found


def _maps_of(parts: list[Part]) -> Maps | None:
    train, validation, test = (maps for _, maps in parts)
    return None if train is None or validation is None or test is None else (train, validation, test)


def _recipe(bench: Bench, evaluation: Evaluation, options: Mapping[str, Any], train: Split) -> Recipe:
    """The plan's recipe; the network has an output for every class of the data."""
    sources = [bench.data(name) for name in splits_of(evaluation).values() if name]
    classes = max(int(source.labels.max()) + 1 for source in sources if source.labels is not None)
    spec = options["recipe"].get("model")
    make = None if spec is None else lambda: call_python(spec, purpose="build an untrained model without arguments")
    return recipe_of(options["recipe"], classes, train.x.shape[1], make)


def _shard(found: Retraining, facts: dict[str, Any]) -> Shard:
    values = {"accuracy": found.accuracy, "validation_accuracy": found.validation_accuracy}
    tensors = {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}
    return Shard(
        tensors, {**facts, "share": found.share, "seed": found.seed, "keep": found.keep, "epochs": found.epochs}
    )
