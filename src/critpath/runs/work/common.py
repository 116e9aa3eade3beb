"""The images on which all methods of an evaluation are compared by retraining: those of which each has a map."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from critpath.runs.shard import Shard
from critpath.runs.task import Task
from critpath.runs.work.bench import Bench

MOST_FAILED = 0.5
"""A method without a map of more than this share of the images is left out, so that it does not take them from all."""

Mapped = Mapping[str, Mapping[str, Tensor]]
"""Numbers of the images with a map, by method and data set."""


def common(bench: Bench, task: Task, read: Callable[[str], Shard]) -> Shard:
    """Numbers of the images int64 [n], by part: those that can be read and of which every method has a map.

    ``facts["left_out"]`` counts the others of each part; ``facts["dropped"]`` says of methods why they do not count.
    """
    parts: dict[str, str] = {part: data for part, data in task.facts["parts"].items() if data}
    names = list(dict.fromkeys(parts.values()))
    whole = {data: bench.split(task.facts["model"], data)[1] for data in names}
    maps = _mapped(map(read, task.needs), task.facts["methods"], names)
    total = sum(len(numbers) for numbers in whole.values())
    dropped = {m: _message(m, there, total) for m, own in maps.items() if (there := _among(own, whole)) < _least(total)}
    kept = [own for method, own in maps.items() if method not in dropped]
    found = {data: _in_all(whole[data], [own[data] for own in kept]) for data in names}
    left_out = {part: bench.plan.data[data].images - len(found[data]) for part, data in parts.items()}
    facts = {"kind": "common", "left_out": left_out, "dropped": dropped, "failures": []}
    return Shard({part: found[data].clone() for part, data in parts.items()}, facts)


def with_map(shard: Shard) -> Tensor:
    """Numbers of the images of a shard of maps that have one."""
    numbers = shard.tensors["images"]
    if "maps" not in shard.tensors:
        return numbers[:0]
    return numbers[~shard.tensors["maps"].flatten(1).isnan().any(dim=1)]


def _mapped(shards: map[Shard], methods: list[str], names: list[str]) -> Mapped:
    found: dict[str, dict[str, list[Tensor]]] = {method: {data: [] for data in names} for method in methods}
    for shard in shards:
        found[shard.facts["method"]][shard.facts["data"]].append(with_map(shard))
    return {method: {data: torch.cat(parts) for data, parts in own.items()} for method, own in found.items()}


def _in_all(whole: Tensor, sets: list[Tensor]) -> Tensor:
    for one in sets:
        whole = whole[torch.isin(whole, one)]
    return whole


def _among(own: Mapping[str, Tensor], whole: Mapping[str, Tensor]) -> int:
    """How many of the images that can be read have a map."""
    return sum(int(torch.isin(numbers, own[data]).sum()) for data, numbers in whole.items())


def _least(total: int) -> float:
    return (1 - MOST_FAILED) * total


def _message(method: str, there: int, total: int) -> str:
    return (
        f"{method} has maps of {there:,} of {total:,} images, so nothing is retrained on them: with them all methods "
        "would be compared on those images only"
    )
