"""A part of a program of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from time import perf_counter
from typing import Any

import torch

from critpath.runs.programs import RUN, checked_result
from critpath.runs.shard import Shard
from critpath.runs.task import Task
from critpath.runs.work.bench import Bench
from critpath.zoo.python_file import python_function

DEVICE = "device"
"""What a program is given without the plan's saying so, if it takes it."""


def program(bench: Bench, task: Task, read: Callable[[str], Shard]) -> Shard:
    """What a part gave, in ``facts["result"]``, and the seconds it took; torch's generator begins at its seed."""
    entry, part = bench.plan.programs[task.facts["program"]], task.facts["part"]
    spec = f"{entry.python}:run"
    run = bench.keep("program", spec, lambda: python_function(spec, RUN))
    start = perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(bench.plan.seed)
        found = run(part, **_options(run, entry.options, bench.device))
    result = checked_result(found, f"{spec}, part {part!r},")
    return Shard({}, {"result": result, "seconds": round(perf_counter() - start, 3), "failures": []})


def _options(run: Callable[..., Any], options: Mapping[str, Any], device: str) -> dict[str, Any]:
    takes = signature(run).parameters
    return {**({DEVICE: device} if DEVICE in takes else {}), **options}
