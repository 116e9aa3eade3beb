"""A made-up run: a plan of every metric, and shards with random numbers in the formats of a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import torch

from critpath.runs.fold import is_result
from critpath.runs.folder import RunFolder, create_run
from critpath.runs.kinds import KINDS
from critpath.runs.plan import DataEntry, Evaluation, MethodEntry, MetricEntry, ModelEntry, Plan
from critpath.runs.shard import Shard, shard_bytes
from critpath.runs.task import Task, digests
from critpath.runs.tasks import tasks_of

METHODS = ("gradient", "mine", "random", "edges")
IMAGES, BATCH, SIDE = 11, 4, 6
SHARES = [0.1, 0.2, 0.4]
SETS, COUNTS = 7, [2, 5]

METRICS = {
    "lerf": MetricEntry("pixel_perturbation", {"order": "lerf", "shares": SHARES, "fill": "mean", "insertion": False}),
    "morf": MetricEntry("pixel_perturbation", {"order": "morf", "shares": SHARES, "fill": "mean", "insertion": False}),
    "sanity": MetricEntry("parameter_randomisation", {"mode": "cascading"}),
    "emprt": MetricEntry("efficient_mprt", {}),
    "fidelity": MetricEntry("f_fidelity", {"shares": SHARES, "samples": 2, "tuning": {"epochs": 1}}),
    "roar": MetricEntry("roar", {"shares": [0.3, 0.7], "seeds": [0, 1, 2], "keep": False, "recipe": {"epochs": 1}}),
    "features": MetricEntry("feature_selection", {"counts": COUNTS}),
    "agreement": MetricEntry("map_agreement", {}),
}


def make_plan(metrics: Iterable[str] = METRICS, methods: tuple[str, ...] = METHODS, images: int = IMAGES) -> Plan:
    data = DataEntry("digits", "all", images=images, labelled=True, digest="d" * 64)
    named = {name: _whole(METRICS[name]) for name in metrics}
    return Plan(
        {"net": ModelEntry("digits")},
        {"digits": data},
        {name: MethodEntry("gradient" if name == "mine" else name) for name in methods},
        named,
        (Evaluation("toy", "net", "digits", tuple(named), methods, "digits", None, "digits"),),
        batch=BATCH,
    )


def _whole(entry: MetricEntry) -> MetricEntry:
    """With the defaults of all other options, as a plan that was read has them."""
    return MetricEntry(entry.metric, {**KINDS[entry.metric].options, **entry.options})


def make_run(root: Path, plan: Plan | None = None, keep: Callable[[Task], bool] = lambda task: True) -> RunFolder:
    """A folder with a shard for each task that is kept."""
    plan = plan or make_plan()
    folder = create_run(root, "version: 1\n", plan.resolved())
    tasks = tasks_of(plan)
    known = digests(tasks)
    for task in filter(keep, tasks):
        folder.write(task.name, shard_bytes(shard_of(plan, task), known[task.name]))
    return folder


def shard_of(plan: Plan, task: Task) -> Shard:
    """Numbers that depend on the task's name alone."""
    draw = torch.Generator().manual_seed(sum(map(ord, task.name)))
    facts = {
        name: task.facts[name] for name in ("evaluation", "model", "data", "metric", "method") if name in task.facts
    }
    if task.kind == "maps":
        images = _images(task)
        maps = torch.randn(len(images), 1, SIDE, SIDE, generator=draw)
        failures = [[6, "the maps hold NaN"]] if task.facts["method"] == "mine" and 6 in images else []
        return Shard(
            {"images": images, "maps": maps},
            {**facts, "ids": [f"{i}.png" for i in images.tolist()], "failures": failures},
        )
    if not is_result(task):
        return Shard({"x": torch.zeros(1)}, facts)
    kind = plan.metrics[task.facts["metric"]].metric
    tensors, more = VALUES[kind](task, draw)
    options = plan.metrics[task.facts["metric"]].options
    return Shard(tensors, {**facts, "kind": kind, "options": dict(options), "warnings": [], "failures": [], **more})


def _images(task: Task) -> torch.Tensor:
    return torch.arange(task.facts["first"], task.facts["stop"])


def _rand(draw: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=draw, dtype=torch.float64)


Made = tuple[dict[str, torch.Tensor], Mapping[str, Any]]


def _perturbation(task: Task, draw: torch.Generator) -> Made:
    images = _images(task)
    level = METHODS.index(task.facts["method"]) if task.facts["method"] in METHODS else 0
    curve = 0.9 - 0.1 * (1 + level) * _rand(draw, len(images), len(SHARES))
    start = 0.9 + 0.05 * _rand(draw, len(images))
    if task.facts["method"] == "mine" and 6 in images:
        at = images.tolist().index(6)
        curve[at] = start[at] = torch.nan
    return {"images": images, "start": start, "curve": curve}, {"shares": SHARES}


def _randomisation(task: Task, draw: torch.Generator) -> Made:
    images = _images(task)
    values = {name: _rand(draw, len(images), 3, 2) for name in ("ssim", "spearman")}
    told = {"coverage": "1 of 2 parameters changed, 12 of 16 numbers\n  0.weight  parameter"}
    facts = {"stages": ["original", "2", "0"], **(told if task.facts["chunk"] == 0 else {})}
    return {"images": images, **values}, facts


def _emprt(task: Task, draw: torch.Generator) -> Made:
    images = _images(task)
    return {
        "images": images,
        "value": _rand(draw, len(images)),
        "original": _rand(draw, len(images)),
        "randomised": _rand(draw, len(images), 2),
    }, {}


def _fidelity(task: Task, draw: torch.Generator) -> Made:
    images = _images(task)
    values = {name: _rand(draw, len(images), len(SHARES)) for name in ("plus", "minus")}
    values["gap"] = (values["plus"] - values["minus"]).mean(dim=1)
    return {"images": images, "start": _rand(draw, len(images)), **values}, {"shares": SHARES}


def _retraining(task: Task, draw: torch.Generator) -> Made:
    return {"accuracy": _rand(draw).squeeze()}, {}


def _features(task: Task, draw: torch.Generator) -> Made:
    names = ["activation", "influence", "random"]
    return {"accuracy": _rand(draw, len(names), SETS, len(COUNTS))}, {
        "methods": names,
        "counts": COUNTS,
        "images": IMAGES,
    }


def _agreement(task: Task, draw: torch.Generator) -> Made:
    images, pairs = _images(task), list(combinations(METHODS, 2))
    return {"images": images, "spearman": _rand(draw, len(images), len(pairs))}, {"pairs": [list(p) for p in pairs]}


VALUES = {
    "pixel_perturbation": _perturbation,
    "parameter_randomisation": _randomisation,
    "efficient_mprt": _emprt,
    "f_fidelity": _fidelity,
    "roar": _retraining,
    "feature_selection": _features,
    "map_agreement": _agreement,
}
