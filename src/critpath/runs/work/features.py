"""Feature selection: importances of channels chunk by chunk, then classifiers on the channels that count most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from math import comb
from typing import Any

import torch
from torch import Tensor

from critpath.errors import InputError
from critpath.evaluation.channels import channel_features
from critpath.evaluation.feature_selection import compare_selection, enough_images, known_images, label_sets
from critpath.runs.shard import Shard
from critpath.runs.task import Task
from critpath.runs.trials import SELECTION
from critpath.runs.work.bench import Bench
from critpath.runs.work.maps import images_of
from critpath.runs.work.rows import Values, rowwise

PREFIX = "importance."


def importances(bench: Bench, task: Task, read: Callable[[str], Shard]) -> Shard:
    """``importance.METHOD`` and ``features`` float32 [n, channels], ``images`` and ``labels`` [n].

    ``facts["sites"]``: [site, channels] in order.
    """
    images, asked = images_of(bench, task), task.facts
    net = bench.network(task.facts["model"])
    sites: list[list[Any]] = []

    def values(x: Tensor, target: Tensor) -> Values:
        found = channel_features(net, x, asked["sites"], asked["methods"], target, memory=bench.plan.memory)
        sites[:] = [[name, len(list(group))] for name, group in groupby(found.sites)]
        return {"features": found.features.float(), **{PREFIX + m: v.float() for m, v in found.importances.items()}}

    found, failed = rowwise(values, (images.x, images.target), images.bad)
    known = {"images": images.numbers, "labels": images.labels}
    return Shard({**known, **found}, {"sites": sites, "failures": images.failures({**images.bad, **failed})})


def selection(bench: Bench, task: Task, read: Callable[[str], Shard]) -> Shard:
    """``accuracy`` float64 [methods, sets, counts]; ``facts`` name the methods, with random channels, and the sets."""
    options = bench.plan.metrics[task.facts["metric"]].options
    shards = [shard for shard in map(read, task.needs) if "features" in shard.tensors]
    if not shards:
        raise InputError(f"no image of {task.facts['data']} could be used")
    labels, features = _joined(shards, "labels"), _joined(shards, "features")
    given = {method: _joined(shards, PREFIX + method) for method in options["methods"]}
    usable = _usable(labels, known_images(features, *given.values()))
    sets = _label_sets(labels[usable], options)
    rows = {method: values[usable] for method, values in given.items()}
    found = compare_selection(
        rows, features[usable], labels[usable], sets, options["counts"], **{name: options[name] for name in SELECTION}
    )
    facts: dict[str, Any] = {"kind": "feature_selection", "options": dict(options), "failures": []}
    facts |= {"methods": list(found.methods), "sets": [list(s) for s in found.sets], "counts": list(found.counts)}
    facts["left_out_labels"] = sorted(set(labels[labels >= 0].tolist()) - set(labels[usable].tolist()))
    return Shard({"accuracy": found.accuracy}, {**facts, "images": len(usable)})


def _usable(labels: Tensor, known: Tensor) -> Tensor:
    """Numbers of the images that every method knows and whose label has two such images or more."""
    rows = ((labels >= 0) & known).nonzero().flatten()
    return rows[enough_images(labels[rows])]


def _label_sets(labels: Tensor, options: Mapping[str, Any]) -> tuple[tuple[int, ...], ...]:
    """As many sets as there are of these labels, at most those asked for."""
    there = len(set(labels.tolist()))
    if there < options["size"]:
        raise InputError(
            f"feature selection tells sets of {options['size']} labels apart, and {there} labels have two images or "
            "more that can be used: give more images, or a smaller size"
        )
    return label_sets(labels, min(options["sets"], comb(there, options["size"])), options["size"], options["seed"])


def _joined(shards: Sequence[Shard], name: str) -> Tensor:
    return torch.cat([shard.tensors[name] for shard in shards])
