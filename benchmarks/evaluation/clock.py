"""The clock: rounds of several calls in turn, and ratios of what they took in the same round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch

Calls = Mapping[str, Callable[[], object]]
Round = Mapping[str, float]


def seconds(call: Callable[[], object], device: str) -> float:
    """What a call takes: processor time of one thread on the CPU, which other programs disturb least, else by the wall.

    A GPU is waited for.
    """
    alone = device == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    _finish(device)
    start = clock()
    call()
    _finish(device)
    return clock() - start


def rounds_of(calls: Calls, rounds: int, device: str) -> list[Round]:
    """Each call once to warm up, then all in turn, ``rounds`` times."""
    for call in calls.values():
        call()
    return [{name: seconds(call, device) for name, call in calls.items()} for _ in range(rounds)]


def median(table: Sequence[Round], name: str) -> float:
    """Median seconds of a call."""
    return statistics.median(row[name] for row in table)


def ratio(table: Sequence[Round], name: str, to: str) -> float:
    """Median over the rounds of what a call took against another in the same round."""
    return statistics.median(row[name] / row[to] for row in table)


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
