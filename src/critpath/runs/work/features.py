"""Feature selection: importances of channels chunk by chunk, then classifiers on the channels that count most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from critpath.errors import InputError
from critpath.evaluation.channels import channel_features
from critpath.evaluation.feature_selection import compare_selection, label_sets
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
    images, options = images_of(bench, task), bench.plan.metrics[task.facts["metric"]].options
    net = bench.network(task.facts["model"])
    sites: list[list[Any]] = []

    def values(x: Tensor, target: Tensor) -> Values:
        found = channel_features(net, x, options["sites"], options["methods"], target)
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
    labels = _joined(shards, "labels")
    known = labels >= 0
    given = {method: _joined(shards, PREFIX + method)[known] for method in options["methods"]}
    sets = label_sets(labels[known], options["sets"], options["size"], options["seed"])
    features = _joined(shards, "features")[known]
    found = compare_selection(
        given, features, labels[known], sets, options["counts"], **{name: options[name] for name in SELECTION}
    )
    facts: dict[str, Any] = {"kind": "feature_selection", "options": dict(options), "failures": []}
    facts |= {"methods": list(found.methods), "sets": [list(s) for s in found.sets], "counts": list(found.counts)}
    return Shard({"accuracy": found.accuracy}, {**facts, "images": int(known.sum())})


def _joined(shards: Sequence[Shard], name: str) -> Tensor:
    return torch.cat([shard.tensors[name] for shard in shards])
