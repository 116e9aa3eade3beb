"""The work of a run: what is done for each kind of task."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from critpath.runs.plan import plan_of
from critpath.runs.shard import Shard
from critpath.runs.task import Perform, Task
from critpath.runs.work.bench import Bench
from critpath.runs.work.features import importances, selection
from critpath.runs.work.maps import maps
from critpath.runs.work.measures import agreement, measure
from critpath.runs.work.retraining import retraining, same, tuning

__all__ = ["workshop"]

Read = Callable[[str], Shard]

WORK: Mapping[str, Callable[[Bench, Task, Read], Shard]] = {
    "maps": maps,
    "measure": measure,
    "agreement": agreement,
    "importances": importances,
    "selection": selection,
    "tuning": tuning,
    "retraining": retraining,
    "same": same,
}
"""By a task's kind."""


def workshop(resolved: Mapping[str, Any], device: str) -> Perform:
    """What does the tasks of a resolved plan on a device: models, data and explainers are made once and kept.

    Sets torch's number of threads to the plan's, because sums depend on it. Images that cannot be read, and those
    for which a method or metric raises, are listed in the shard's ``facts["failures"]``, and their rows are NaN;
    warnings of critpath are in ``facts["warnings"]``.
    """
    plan = plan_of(resolved)
    torch.set_num_threads(plan.threads)
    bench = Bench(plan, device)

    def perform(task: Task, read: Read) -> Shard:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            shard = WORK[task.kind](bench, task, read)
        names = {name: value for name, value in task.facts.items() if name != "depends"}
        return replace(shard, facts={**names, "warnings": _told(caught), **shard.facts})

    return perform


def _told(caught: list[warnings.WarningMessage]) -> list[str]:
    """critpath's own warnings, each once; others are shown as ever."""
    own = [w for w in caught if w.category.__module__.partition(".")[0] == "critpath"]
    for warning in caught:
        if warning not in own:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return list(dict.fromkeys(str(warning.message) for warning in own))
