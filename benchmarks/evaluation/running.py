"""Runs: what of their time is neither the method nor the metric, and Ray against one process."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

from critpath.runs.checks import read_plan
from critpath.runs.execute import Outcome, execute
from critpath.runs.fold import fold
from critpath.runs.folder import RunFolder, create_run
from critpath.runs.plan import Plan
from critpath.runs.progress import Silent
from critpath.runs.task import Task
from critpath.runs.tasks import tasks_of
from critpath.runs.work import bench, measures, workshop

Row = dict[str, Any]

OURS = ("method", "metric")
"""What a run is for."""


@dataclass(eq=False)
class Stopwatch:
    """Seconds by what they were spent on; of a part within another only in its own."""

    spent: dict[str, float] = field(default_factory=dict)
    inside: list[float] = field(default_factory=lambda: [0.0])

    def timed(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time added up."""

        def call(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            self.inside.append(0.0)
            try:
                return function(*args, **options)
            finally:
                taken = time.perf_counter() - start
                self.spent[what] = self.spent.get(what, 0.0) + taken - self.inside.pop()
                self.inside[-1] += taken

        return call


@contextmanager
def watched() -> Iterator[Stopwatch]:
    """Inside, the parts of a run in this process are timed."""
    watch = Stopwatch()
    parts: Sequence[tuple[str, Any, str]] = (
        ("method", import_module("critpath.runs.work.maps"), "explained"),
        ("images", bench.Bench, "_images"),
        ("prediction", bench, "_predicted"),
        ("models", bench, "loaded"),
        ("writing", RunFolder, "write"),
    )
    with ExitStack() as stack:
        for what, owner, name in parts:
            stack.enter_context(patch.object(owner, name, watch.timed(what, getattr(owner, name))))
        timed = {name: watch.timed("metric", function) for name, function in measures.MEASURES.items()}
        stack.enter_context(patch.dict(measures.MEASURES, timed))  # type: ignore[arg-type]
        yield watch


@dataclass(frozen=True, eq=False)
class Ready:
    """A run that can begin."""

    plan: Plan
    folder: RunFolder
    tasks: tuple[Task, ...]

    def execute(self, **how: Any) -> Outcome:
        return execute(self.tasks, self.folder, workshop, self.plan.resolved(), threads=self.plan.threads, **how)


def ready(text: str, place: Path) -> Ready:
    """The run of a plan, in a new folder."""
    place.mkdir(parents=True)
    file = place / "plan.yaml"
    file.write_text(text)
    plan = read_plan(file)
    return Ready(plan, create_run(place / "run", text, plan.resolved()), tasks_of(plan))


def overhead(text: str) -> Row:
    """One run from its plan to its fold: seconds of each part, and the share that is not method or metric."""
    with tempfile.TemporaryDirectory() as place, watched() as watch:
        start = time.perf_counter()
        run = ready(text, Path(place) / "one")
        begun = time.perf_counter()
        outcome = run.execute()
        done = time.perf_counter()
        fold(run.folder.root)
        end = time.perf_counter()
    _check(outcome)
    return overhead_row(watch.spent, begun - start, done - begun, end - done, len(run.tasks))


def overhead_row(spent: dict[str, float], plan: float, work: float, folding: float, tasks: int) -> Row:
    """``share``: all but methods and metrics, over all, from reading the plan to the fold."""
    total = plan + work + folding
    return {
        "seconds": total,
        "share": 1 - sum(spent.get(what, 0.0) for what in OURS) / total,
        "share_of_execute": 1 - sum(spent.get(what, 0.0) for what in OURS) / work,
        "parts": {"plan": plan, **spent, "rest": work - sum(spent.values()), "fold": folding},
        "tasks": tasks,
    }


class Marks(Silent):
    """When the first task began and the last ended."""

    def __init__(self) -> None:
        self.first: float | None = None
        self.last = 0.0

    def finished(self, task: Task, seconds: float) -> None:
        self.last = time.perf_counter()
        self.first = self.first if self.first is not None else self.last - seconds


ENGINES: dict[str, Row] = {
    "one process": {},
    "Ray, 1 worker": {"engine": "ray", "workers": 1},
    "Ray, 2 workers": {"engine": "ray", "workers": 2},
}


def engines(text: str, rounds: int) -> list[Row]:
    """The same run by each engine in turn: seconds before the first task, of the work and after it; equal bits."""
    table = [{name: _by(text, how) for name, how in ENGINES.items()} for _ in range(rounds)]
    return [engine_row(name, table) for name in ENGINES]


def engine_row(name: str, table: Sequence[dict[str, Row]]) -> Row:
    """Medians over the rounds; ``speed`` is the one process' work over this engine's, in the same round."""
    first = next(iter(table[0]))
    speeds = [row[first]["work"] / row[name]["work"] for row in table]
    return {
        "engine": name,
        **{part: _middle([row[name][part] for row in table]) for part in ("start", "work", "end")},
        "speed": _middle(speeds),
        "same_bits": all(row[name]["digest"] == table[0][first]["digest"] for row in table),
        "tasks": table[0][name]["tasks"],
        "rounds": len(table),
    }


def _by(text: str, how: Row) -> Row:
    marks = Marks()
    with tempfile.TemporaryDirectory() as place:
        run = ready(text, Path(place) / "one")
        start = time.perf_counter()
        outcome = run.execute(watch=marks, **how)
        end = time.perf_counter()
        _check(outcome)
        digest = digest_of(run.folder)
    assert marks.first is not None
    parts = {"start": marks.first - start, "work": marks.last - marks.first, "end": end - marks.last}
    return {**parts, "digest": digest, "tasks": len(run.tasks)}


def digest_of(folder: RunFolder) -> str:
    """sha256 over the names and bytes of all shards."""
    total = sha256()
    for name in folder.names():
        total.update(name.encode() + folder.path(name).read_bytes())
    return total.hexdigest()


def _check(outcome: Outcome) -> None:
    if not outcome.complete or outcome.image_failures:
        raise SystemExit(f"the run did not come to its end: {outcome}")


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
