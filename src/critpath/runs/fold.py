"""A run's folder -> its results: the fold over the shards that are there."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from safetensors import SafetensorError, safe_open

from critpath.report import Part
from critpath.runs.folder import RunFolder, open_run
from critpath.runs.plan import Plan, plan_of
from critpath.runs.results import Results, joined, result_of
from critpath.runs.shard import Shard
from critpath.runs.task import Task, digests
from critpath.runs.tasks import PROGRAM, tasks_of

RESULTS = ("measure", "agreement", "selection", "retraining", "same")
"""Kinds of tasks whose shards hold numbers of a metric; the others are what these are made from."""

MAPS = "maps"
"""The kind of the tasks that make maps, and the name of their tensor."""

Header = Mapping[str, Any]
"""A shard's facts."""


@dataclass(frozen=True)
class Lost:
    """An image of which a method gave no map, and why."""

    model: str
    data: str
    method: str
    image: int
    message: str


@dataclass(frozen=True, eq=False)
class Folded:
    """A run as far as it is.

    ``parts`` counts tasks with a shard by kind; ``damaged`` are tasks whose file cannot be read, or is another's:
    they are done again when the run is resumed. ``failed`` are tasks that raised and have no shard, with their
    messages. ``lost`` are images without a map, ``names`` those of the images by data set and number. ``made`` is what
    did the work, {"device": {"cpu": tasks}, "torch": {version: tasks}}, as far as shards say it. ``programs`` are the
    facts of their parts, by program and part: ``result``, ``seconds`` and ``warnings``.
    """

    folder: RunFolder
    plan: Plan
    tasks: tuple[Task, ...]
    results: Results
    parts: tuple[Part, ...]
    damaged: tuple[str, ...]
    failed: Mapping[str, str]
    lost: tuple[Lost, ...]
    names: Mapping[str, Mapping[int, str]]
    made: Mapping[str, Mapping[str, int]]
    programs: Mapping[str, Mapping[str, Header]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every task has its shard."""
        return all(part.done == part.total for part in self.parts)


def fold(folder: str | os.PathLike[str]) -> Results:
    """The results of a run, also of one that is not complete: the same bits for any order or number of workers.

    No model is loaded and no data are read. Raises StorageError where the folder holds no run.
    """
    return folded(folder).results


def folded(folder: str | os.PathLike[str]) -> Folded:
    """``fold``, with what is there and what is not. Raises StorageError where the folder holds no run."""
    run = open_run(folder)
    plan = plan_of(run.facts)
    tasks = tuple(tasks_of(plan))
    files, known = set(run.names()), digests(tasks)
    failed = run.failed()
    there = [task for task in tasks if task.name in files]
    shards = {t.name: run.found(t.name, known[t.name]) for t in there if is_result(t) or t.kind == PROGRAM}
    results = [_result(plan, task, shards[task.name]) for task in there if is_result(task)]
    headers = {task.name: _header(run, task, known[task.name]) for task in there if task.name not in shards}
    facts = {**{name: None if shard is None else shard.facts for name, shard in shards.items()}, **headers}
    damaged = {name for name, found in facts.items() if found is None}
    return Folded(
        run,
        plan,
        tasks,
        joined(found for found in results if found is not None),
        _parts(tasks, files - damaged),
        tuple(sorted(damaged)),
        {t.name: failed[t.name] for t in tasks if t.name in failed and t.name not in files - damaged},
        tuple(_lost(tasks, headers)),
        _names(tasks, headers),
        _made(facts.values()),
        _programs(there, facts),
    )


def is_result(task: Task) -> bool:
    """Whether a task's shard holds numbers of a metric, and not what others are made from."""
    return task.kind in RESULTS


def metric_facts(plan: Plan, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a task, with the kind, the options and the seed of its metric."""
    entry = plan.metrics[facts["metric"]]
    return {"seed": entry.options.get("seed", plan.seed), **facts, "kind": entry.metric, "options": entry.options}


def _result(plan: Plan, task: Task, shard: Shard | None) -> Results | None:
    return None if shard is None else result_of(shard, metric_facts(plan, task.facts), task.name)


def _header(run: RunFolder, task: Task, digest: str) -> Header | None:
    """The facts of a shard whose tensors, which may be large, are not read; None where it is not this task's."""
    try:
        with safe_open(run.path(task.name), framework="pt") as file:
            header = json.loads(file.metadata()["critpath"])
        facts = json.loads(header["facts"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError):
        return None
    return facts if header["digest"] == digest and isinstance(facts, dict) else None


def _made(headers: Iterable[Header | None]) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for header in headers:
        made = header.get("made") if header is not None else None
        for what, value in made.items() if isinstance(made, dict) else ():
            found.setdefault(str(what), Counter())[str(value)] += 1
    return {what: dict(sorted(counts.items())) for what, counts in found.items()}


def _programs(tasks: Sequence[Task], facts: Mapping[str, Header | None]) -> dict[str, dict[str, Header]]:
    """The parts that are there, in the order of the plan."""
    found: dict[str, dict[str, Header]] = {}
    for task in tasks:
        if task.kind == PROGRAM and (header := facts[task.name]) is not None:
            found.setdefault(task.facts["program"], {})[task.facts["part"]] = header
    return found


def _parts(tasks: Sequence[Task], there: set[str]) -> tuple[Part, ...]:
    total = Counter(task.kind for task in tasks)
    done = Counter(task.kind for task in tasks if task.name in there)
    return tuple(Part(kind, done[kind], total[kind]) for kind in total)


def _of_maps(tasks: Sequence[Task], headers: Mapping[str, Header | None]) -> Iterator[tuple[Task, Header]]:
    for task in tasks:
        if task.kind == MAPS and (header := headers.get(task.name)) is not None:
            yield task, header


def _lost(tasks: Sequence[Task], headers: Mapping[str, Header | None]) -> Iterator[Lost]:
    for task, header in _of_maps(tasks, headers):
        whose = (str(task.facts[name]) for name in ("model", "data", "method"))
        model, data, method = whose
        for image, message in header.get("failures", ()):
            yield Lost(model, data, method, int(image), str(message))


def _names(tasks: Sequence[Task], headers: Mapping[str, Header | None]) -> dict[str, dict[int, str]]:
    found: dict[str, dict[int, str]] = {}
    for task, header in _of_maps(tasks, headers):
        numbered = enumerate(header.get("ids", ()), int(task.facts["first"]))
        found.setdefault(str(task.facts["data"]), {}).update({number: str(name) for number, name in numbered})
    return found
