"""Where the tasks of a run are done: in this process, or by workers of Ray."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from critpath.errors import OptionError
from critpath.registry import check_known
from critpath.runs.engine.local import run_here
from critpath.runs.engine.rayed import run_on_ray
from critpath.runs.engine.work import Died, Done, Engine, Event, Failed, Resources, Work, blocked_by

__all__ = [
    "ENGINES",
    "Died",
    "Done",
    "Event",
    "Failed",
    "Resources",
    "Work",
    "blocked_by",
    "engine_named",
    "machine_devices",
    "resources",
]

ENGINES: dict[str, Engine] = {"local": run_here, "ray": run_on_ray}


def engine_named(name: str) -> Engine:
    """Raises OptionError for a name that is not known."""
    check_known("engine", name, tuple(ENGINES))
    return ENGINES[name]


def resources(
    address: str | None = None,
    workers: int | None = None,
    devices: Sequence[str] | None = None,
    threads: int | None = None,
    *,
    many: bool = False,
) -> Resources:
    """A worker per device; ``workers`` alone are on the CPU, with one device all on that one.

    Where neither is given that is one worker on the CPU, or with ``many`` all of this machine's devices.
    Raises OptionError where both are given and differ, or where a cluster is used and neither is given.
    """
    for name, number in (("workers", workers), ("threads", threads)):
        if number is not None and number < 1:
            raise OptionError(f"{name}={number}: it takes 1 or more, or None")
    if address is not None and workers is None and not devices:
        raise OptionError("a cluster takes workers=, the number of workers, and devices=('cuda',) for a GPU in each")
    chosen = tuple(devices or (machine_devices() if many and workers is None else ("cpu",)))
    if len(chosen) == 1:
        return Resources(chosen * (workers or 1), threads, address)
    if workers not in (None, len(chosen)):
        raise OptionError(f"{workers} workers and {len(chosen)} devices: a worker has one device, give one of the two")
    return Resources(chosen, threads, address)


def machine_devices() -> tuple[str, ...]:
    """Every GPU of this machine, or else a CPU for each core that this process may use."""
    if torch.cuda.is_available():
        return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ("cpu",) * cores
