"""Axes of charts in pixels: scales, round steps, ticks, and points in SVG's notation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis, in pixels."""

    at: float
    text: str


Scale = Callable[[float], float]


def linear(low: float, high: float, start: float, end: float) -> Scale:
    if high == low:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def nice_steps(values: Sequence[float]) -> list[float]:
    """Four to eight round numbers that enclose the values."""
    low, high = min(values), max(values)
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def steps_around(values: Sequence[float]) -> list[float]:
    """Round numbers around the values; a lone value gets some room."""
    low, high = min(values), max(values)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    return nice_steps([low, high])


def tick_texts(steps: Sequence[float]) -> list[str]:
    """Evenly spaced numbers with as many decimals as tell them apart."""
    apart = steps[1] - steps[0]
    digits = next((d for d in range(12) if abs(round(apart, d) - apart) < 1e-6 * apart), 12)
    return [f"{step + 0.0:,.{digits}f}".replace("-", "−") for step in steps]


def stretches(places: Iterable[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """Points of a line, cut where one is missing."""
    found: list[list[tuple[float, float]]] = [[]]
    for place in places:
        if place is not None:
            found[-1].append(place)
        elif found[-1]:
            found.append([])
    return [stretch for stretch in found if stretch]


def thin_out(ticks: Sequence[Tick], apart: float = 44.0) -> tuple[Tick, ...]:
    """Drop the labels that would touch their right neighbour; the last one always stays."""
    kept: list[Tick] = []
    for tick in reversed(ticks):
        if not kept or kept[-1].at - tick.at >= apart:
            kept.append(tick)
    return tuple(reversed(kept))


def points(pairs: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)
