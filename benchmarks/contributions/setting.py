"""What is measured, how large, and the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

Result = TypeVar("Result")


@dataclass(frozen=True)
class Sizes:
    """How large the measurements of one network are.

    Attributes
    ----------
    photographs
        On how many errors are measured. All else uses the first.
    intgrad_reference
        Points of the trapezoid that is taken for the exact integrated gradients of its sites.
    map_points
        Points of the maps of equation 2.
    """

    photographs: int
    intgrad_reference: int
    map_points: int


@dataclass(frozen=True)
class Setting:
    """How large each measurement is.

    Attributes
    ----------
    networks
        By their names in ``studies/networks.py``.
    counts
        Points of a line at which errors are measured.
    reference
        Points of the trapezoid that is taken for the exact conductance.
    every
        Captum is looped over each ``every``-th site; its time is multiplied by sites / measured sites.
    budget
        The most points that ``tolerance=0.05`` may take.
    smooth_reference, smooth_check
        Gauss points of the float64 reference on the GELU network, and points of the trapezoid it is checked with.
    sentences
        On how many sentences (or images) that is done.
    intgrad_steps
        Captum's ``n_steps``; the last is the one to match.
    neurons, captum_neurons, channels
        Maps that are made; how many of them Captum makes; and maps of channels.
    memory_network, limits
        Whose peak memory is measured, and under which limits.
    rounds
        How often our own calls are timed.
    """

    networks: dict[str, Sizes]
    counts: tuple[int, ...] = (8, 16, 32, 64)
    reference: int = 2049
    every: int = 4
    budget: int = 512
    smooth_reference: int = 128
    smooth_check: int = 513
    sentences: int = 3
    intgrad_steps: tuple[int, ...] = (12, 25, 50)
    neurons: int = 100
    captum_neurons: int = 5
    channels: int = 32
    memory_network: str = "resnet50"
    limits: tuple[str, ...] = ("1GiB", "2GiB", "4GiB")
    batches: tuple[int, ...] = (1, 2, 4)
    rounds: int = 3


FULL = Setting({"squeezenet1_1": Sizes(3, 512, 16), "resnet50": Sizes(2, 256, 8)})
QUICK = Setting(
    {"squeezenet1_1": Sizes(1, 65, 4)}, reference=129, every=12, budget=64, smooth_reference=48, smooth_check=65,
    sentences=1, intgrad_steps=(6, 12), neurons=8, captum_neurons=2, channels=8, memory_network="squeezenet1_1",
    limits=("1GiB",), batches=(1, 2), rounds=1,
)  # fmt: skip


def timed(call: Callable[[], Result], device: str) -> tuple[float, Result]:
    """Seconds that a call takes on a device, and what it returns."""
    _finish(device)
    start = time.perf_counter()
    result = call()
    _finish(device)
    return time.perf_counter() - start, result


def scaled(seconds: list[float], sites: int) -> float:
    """The time for all sites, from the times of those that were measured."""
    return sum(seconds) * sites / len(seconds)


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
