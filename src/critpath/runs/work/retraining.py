"""Networks that are trained for an evaluation: retrained on degraded images, or fine-tuned once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import nan
from typing import Any

import torch
from torch import Tensor

from critpath.errors import InputError
from critpath.evaluation.retraining.degrade import Maps, random_maps
from critpath.evaluation.retraining.fidelity import fidelity_model, fine_tuning
from critpath.evaluation.retraining.recipe import Recipe
from critpath.evaluation.retraining.roar import Retraining, retrained_accuracy
from critpath.evaluation.retraining.split import Split, train_and_validation
from critpath.runs.plan import Evaluation
from critpath.runs.shard import Shard
from critpath.runs.task import Task
from critpath.runs.tasks import SPLITS, drawn, splits_of
from critpath.runs.trials import REMOVAL, recipe_of
from critpath.runs.work.bench import Bench
from critpath.runs.work.common import with_map
from critpath.runs.work.means import with_mean
from critpath.zoo.python_file import call_python

Part = tuple[Split, Tensor | None]
"""Labelled images, and their maps [n, c, H, W] where they are degraded."""

MapsOf = Callable[[Split, str], Mapping[int, Tensor]]
"""Maps [c, H, W] by number of the images of a data set, given with its name."""


def retraining(bench: Bench, task: Task, read: Callable[[str], Shard]) -> Shard:
    """``accuracy`` and ``validation_accuracy`` [] of one network, on images of which every method has a map.

    ``facts["left_out"]`` counts the others of each part. NaN for a method that has too few maps.
    """
    facts = task.facts
    evaluation, options = _evaluation(bench, task), bench.plan.metrics[facts["metric"]].options
    common = read(task.needs[0])
    known = {"kind": "roar", "options": dict(options), "left_out": common.facts["left_out"], "failures": []}
    if message := common.facts["dropped"].get(facts["method"]):
        nothing = Retraining(nan, nan, None, facts["share"], facts["seed"], options["keep"])
        return _shard(nothing, {**known, "dropped": message, "warnings": [message]})
    parts = _parts(bench, evaluation, common.tensors, _maps(bench, task, read))
    (train, _), (validation, _), (test, _) = parts
    filled = with_mean(bench, evaluation, options)
    removal = {name: filled[name] for name in REMOVAL}
    found = retrained_accuracy(
        train, validation, test, _maps_of(parts), facts["share"], facts["seed"],
        _recipe(bench, evaluation, options, train), keep=options["keep"], **removal,
    )  # fmt: skip
    return _shard(found, {**known, "mean": filled["mean"]})


def same(bench: Bench, task: Task, read: Callable[[str], Shard]) -> Shard:
    """The result of another task, which trained the same network."""
    first, entry = read(task.needs[0]), bench.plan.metrics[task.facts["metric"]]
    own = {"metric": task.facts["metric"], "options": dict(entry.options)}
    return Shard(first.tensors, {**first.facts, **own})


def tuning(bench: Bench, task: Task, read: Callable[[str], Shard]) -> Shard:
    """The weights of the model, fine-tuned on images with random pixels masked."""
    evaluation = _evaluation(bench, task)
    options = with_mean(bench, evaluation, bench.plan.metrics[task.facts["metric"]].options)
    parts = _parts(bench, evaluation)
    model = bench.model(evaluation.model).model
    found = fidelity_model(
        model, parts[0][0], parts[1][0], fine_tuning(model, **options["tuning"]), options["max_share"],
        options["seed"], fill=options["fill"], mean=options["mean"],
    )  # fmt: skip
    weights = {name: t.clone(memory_format=torch.contiguous_format) for name, t in found.state_dict().items()}
    return Shard(weights, {"kind": "f_fidelity", "failures": []})


def _evaluation(bench: Bench, task: Task) -> Evaluation:
    return next(e for e in bench.plan.evaluations if e.name == task.facts["evaluation"])


def _parts(
    bench: Bench, evaluation: Evaluation, common: Mapping[str, Tensor] | None = None, maps: MapsOf | None = None
) -> list[Part]:
    """Training, validation and test part: their images that are ``common``, or all, with ``maps`` of them if given."""
    found = []
    for part in SPLITS:
        if name := splits_of(evaluation)[part]:
            split, numbers = bench.split(evaluation.model, name)
            for chosen in _divided(bench, name) if (part, evaluation.validation) == ("train", None) else [numbers]:
                wanted = chosen if common is None else chosen[torch.isin(chosen, common[part])]
                found.append(_at(split, numbers, wanted, None if maps is None else maps(split, name)))
    return found


def _divided(bench: Bench, name: str) -> list[Tensor]:
    """Numbers of the images to train on, and to validate with: the same, whichever of them cannot be used."""
    labels = bench.data(name).labels
    assert labels is not None
    numbers = torch.arange(len(labels), dtype=torch.float64).view(-1, 1, 1, 1)
    return [part.x.flatten().long() for part in train_and_validation(numbers, labels.cpu())]


def _at(split: Split, numbers: Tensor, wanted: Tensor, maps: Mapping[int, Tensor] | None) -> Part:
    """The images of these numbers, as far as they can be read, with their maps."""
    rows = torch.isin(numbers, wanted).nonzero().flatten()
    if not len(rows):
        raise InputError("no image of a part can be read and has a map of every method, so no network can be trained")
    at = rows.to(split.x.device)
    chosen = Split(split.x[at], split.y[at])
    if maps is None:
        return chosen, None
    return chosen, torch.stack([maps[number] for number in numbers[rows].tolist()]).to(split.x.device)


def _maps(bench: Bench, task: Task, read: Callable[[str], Shard]) -> MapsOf | None:
    """Where maps [c, H, W] of a part's images are to be had, by number; None for unmodified images."""
    method, needs = task.facts["method"], task.needs[1:]
    if not method:
        return None
    if drawn(bench.plan, method):
        return lambda split, name: _drawn(bench, task, split, name)
    collected = bench.keep("maps", needs, lambda: _collected(read(name) for name in needs))
    return lambda split, name: collected[name]


def _drawn(bench: Bench, task: Task, split: Split, name: str) -> dict[int, Tensor]:
    """Random maps, others for every seed."""
    _, numbers = bench.split(task.facts["model"], name)
    return dict(zip(numbers.tolist(), random_maps(split.x, task.facts["seed"]), strict=True))


def _collected(shards: Iterable[Shard]) -> dict[str, dict[int, Tensor]]:
    """Maps by data set and number, of the images that have one."""
    found: dict[str, dict[int, Tensor]] = {}
    for shard in shards:
        there, known = found.setdefault(shard.facts["data"], {}), set(with_map(shard).tolist())
        rows = zip(shard.tensors["images"].tolist(), shard.tensors.get("maps", ()), strict=False)
        there.update((number, values) for number, values in rows if number in known)
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
