"""The work of a run: what is done for each kind of task."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from critpath.memory import limited_to
from critpath.runs.folder import versions
from critpath.runs.plan import plan_of
from critpath.runs.shard import Shard
from critpath.runs.task import Perform, Task
from critpath.runs.work.bench import Bench
from critpath.runs.work.common import common
from critpath.runs.work.features import importances, selection
from critpath.runs.work.maps import maps
from critpath.runs.work.measures import agreement, measure
from critpath.runs.work.programs import program
from critpath.runs.work.retraining import retraining, same, tuning

__all__ = ["workshop"]

Read = Callable[[str], Shard]

WORK: Mapping[str, Callable[[Bench, Task, Read], Shard]] = {
    "maps": maps,
    "measure": measure,
    "agreement": agreement,
    "common": common,
    "importances": importances,
    "selection": selection,
    "tuning": tuning,
    "retraining": retraining,
    "same": same,
    "program": program,
}
"""By a task's kind."""


def workshop(resolved: Mapping[str, Any], device: str) -> Perform:
    """What does the tasks of a resolved plan on a device: models, data and explainers are made once and kept.

    Sets torch's number of threads and the limit on memory to the plan's, because sums depend on them. Images that
    cannot be read, and those for which a method or metric raises, are listed in the shard's ``facts["failures"]``, and
    their rows are NaN; warnings of critpath are in ``facts["warnings"]``, what did the work in ``facts["made"]``.
    """
    plan = plan_of(resolved)
    torch.set_num_threads(plan.threads)
    bench, made = Bench(plan, device), made_with(device)

    def perform(task: Task, read: Read) -> Shard:
        with warnings.catch_warnings(record=True) as caught, limited_to(plan.memory):
            warnings.simplefilter("always")
            shard = WORK[task.kind](bench, task, read)
        names = {name: value for name, value in task.facts.items() if name != "depends"}
        return replace(shard, facts={**names, "warnings": _told(caught), "made": made, **shard.facts})

    return perform


def made_with(device: str) -> dict[str, str]:
    """What the last bits of a number may depend on besides the plan: the kind of device, and versions."""
    place = torch.device(device)
    name = f" ({torch.cuda.get_device_name(place)})" if place.type == "cuda" else ""
    return {"device": f"{place.type}{name}", **{name: versions()[name] for name in ("critpath", "torch", "numpy")}}


def _told(caught: list[warnings.WarningMessage]) -> list[str]:
    """critpath's own warnings, each once; others are shown as ever."""
    own = [w for w in caught if w.category.__module__.partition(".")[0] == "critpath"]
    for warning in caught:
        if warning not in own:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return list(dict.fromkeys(str(warning.message) for warning in own))
