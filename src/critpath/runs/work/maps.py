"""Maps of a method over a chunk of images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from critpath.errors import MismatchError
from critpath.evaluation.removal import reduced
from critpath.evaluation.values import explained
from critpath.runs.shard import Shard
from critpath.runs.task import Task
from critpath.runs.work.bench import Bench, Images
from critpath.runs.work.rows import rowwise


def maps(bench: Bench, task: Task, read: Callable[[str], Shard]) -> Shard:
    """``maps`` float32 [n, c, H, W] for the class that the model predicts; ``images``, ``target`` and ``labels`` [n].

    c is 1 where the plan keeps maps reduced. Where no image of the chunk could be used there are no maps.
    """
    images = images_of(bench, task)
    explain = bench.explain(task.facts["model"], task.facts["method"])
    keep = reduced if bench.plan.maps == "reduced" else _as_they_are
    found, failed = rowwise(
        lambda x, target: {"maps": keep(explained(explain, x, target)).float()}, (images.x, images.target), images.bad
    )
    known = {"images": images.numbers, "target": images.target.cpu(), "labels": images.labels}
    facts = {"failures": images.failures({**images.bad, **failed}), "ids": list(images.ids)}
    return Shard({**known, **found}, facts)


def images_of(bench: Bench, task: Task) -> Images:
    """The images that a task is about."""
    facts = task.facts
    return bench.images(facts["model"], facts["data"], facts["first"], facts["stop"])


def given_maps(shard: Shard, images: Images) -> tuple[Tensor | None, dict[int, str]]:
    """The maps of a shard, on the images' device, and the rows that have none. Raises MismatchError."""
    if not torch.equal(shard.tensors["images"], images.numbers):
        raise MismatchError("the maps are of other images than the task")
    if "maps" not in shard.tensors:
        return None, dict.fromkeys(range(len(images.numbers)), "no map")
    values = shard.tensors["maps"].to(images.target.device)
    missing = values.isnan().flatten(1).any(dim=1).nonzero().flatten().tolist()
    return values, {**images.bad, **dict.fromkeys(missing, "no map")}


def _as_they_are(values: Tensor) -> Tensor:
    return values
