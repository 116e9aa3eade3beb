"""Intermediate results of a run that goes on, for its display."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from critpath.errors import CritpathError
from critpath.runs.fold import is_result, metric_facts
from critpath.runs.folder import RunFolder, open_run
from critpath.runs.measures import groups
from critpath.runs.plan import plan_of
from critpath.runs.readings import measures
from critpath.runs.results import Results, joined, result_of
from critpath.runs.task import digests
from critpath.runs.tasks import tasks_of


def live_summary(folder: str | os.PathLike[str]) -> Sequence[tuple[str, str]]:
    """The best method of each metric so far, as (metric, words); every shard is read once in a process.

    Empty where nothing can be said.
    """
    try:
        return tuple(_leaders(_live(os.path.realpath(folder)).now()))
    except CritpathError:
        return ()


@dataclass(eq=False)
class Live:
    """The results of a run that goes on: ``now`` reads the shards that are new; one that is damaged, or of another
    plan, is passed over until it has been done again."""

    folder: RunFolder
    digests: Mapping[str, str]
    left: dict[str, Mapping[str, Any]]
    results: Results = field(default_factory=lambda: Results({}))

    def now(self) -> Results:
        names = [name for name in self.folder.names() if name in self.left]
        shards = {name: self.folder.found(name, self.digests[name]) for name in names}
        there = [result_of(shard, self.left.pop(name), name) for name, shard in shards.items() if shard is not None]
        self.results = joined((self.results, *there))
        return self.results


@lru_cache(maxsize=4)
def _live(folder: str) -> Live:
    run = open_run(folder)
    plan = plan_of(run.facts)
    tasks = tasks_of(plan)
    return Live(run, digests(tasks), {t.name: metric_facts(plan, t.facts) for t in tasks if is_result(t)})


def _leaders(results: Results) -> Iterator[tuple[str, str]]:
    """Only methods that have all images that any has are compared: others may have had easier ones."""
    for measure in measures(groups(results)):
        main = next(iter(measure.columns.values()))
        most = max((int((~values.isnan()).sum()) for values in main.values()), default=0)
        means = {m: float(v.nanmean()) for m, v in main.items() if most and int((~v.isnan()).sum()) == most}
        if means and measure.better != "neither":
            best = (min if measure.better == "lower" else max)(means, key=means.__getitem__)
            name = f"{measure.group.evaluation}, {measure.group.metric}"
            yield name, f"best so far {best}, {means[best]:.4g} ({most} {measure.unit}s)"
