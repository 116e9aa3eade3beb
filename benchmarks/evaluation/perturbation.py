"""Pixel perturbation against the bare forward passes that it needs, and against Quantus' PixelFlipping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from critpath.evaluation import pixel_perturbation
from evaluation import peer
from evaluation.clock import median, ratio, rounds_of
from evaluation.subjects import Subject

Row = dict[str, Any]

STEPS = 12
"""Of the comparison with Quantus, over the whole image. It refuses 10: its steps must divide the number of pixels."""

LEVELS = 16
"""Values of a map of many ties."""

WORK: dict[str, Row] = {
    "LeRF, pixels, 1 to 10 %": {"order": "lerf"},
    "MoRF, pixels, random ties": {"order": "morf", "ties": "random"},
    "ROAD, pixels, 1 to 10 %": {"order": "morf", "fill": "linear"},
}
"""Ours alone: ten steps each."""

SAME: Row = {"order": "morf", "unit": "scalar", "fill": 0.0, "shares": tuple(k / STEPS for k in range(1, STEPS + 1))}
"""What Quantus does too, except for the unmodified image, which it leaves out."""

NAME = f"MoRF, scalars, {STEPS} steps to the end"


class Counting:
    """A model that notes how many images each pass has."""

    def __init__(self, model: Callable[[Tensor], Tensor]) -> None:
        self.model = model
        self.passes: list[int] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.passes.append(len(x))
        return self.model(x)


def costs(of: Subject, rounds: int, device: str) -> list[Row]:
    """Images a second of every kind of work, with those of its bare forward passes, and the ratio of the times."""
    maps = of.explain(of.x, of.target)
    rows = [_row(of, name, rounds_of(_calls(of, maps, given), rounds, device), given) for name, given in WORK.items()]
    return [*rows, _same(of, maps, rounds, device)]


def _same(of: Subject, maps: Tensor, rounds: int, device: str) -> Row:
    """The work that Quantus can do, with it if it is there."""
    calls = _calls(of, maps, SAME)
    if not peer.installed():
        return _row(of, NAME, rounds_of(calls, rounds, device), SAME)
    theirs = {"quantus": lambda: _flipped(of, maps, len(of.x))}
    table = rounds_of({**calls, **theirs}, rounds, device)
    return {
        **_row(of, NAME, table, SAME),
        "quantus_images_per_second": len(of.x) / median(table, "quantus"),
        "quantus_times": ratio(table, "quantus", "ours"),
        **differences(of, maps),
    }


def differences(of: Subject, maps: Tensor) -> Row:
    """The largest difference of probabilities between both: by gradients, and by maps of few values, which tie."""
    found = {"difference": maps, "difference_with_ties": tied(maps)}
    ours = {name: pixel_perturbation(of.model, of.x, of.target, m, **SAME).curve.cpu() for name, m in found.items()}
    return {
        **{name: float((ours[name] - _flipped(of, m, len(of.x))).abs().max()) for name, m in found.items()},
        "tied_units": float(1 - _distinct(maps) / maps[0].numel()),
    }


def tied(maps: Tensor) -> Tensor:
    """The maps' absolute values in ``LEVELS`` steps."""
    largest = maps.abs().amax(dim=(1, 2, 3), keepdim=True)
    return (maps.abs() / largest * LEVELS).ceil() / LEVELS


def bare(of: Subject, passes: list[int]) -> Callable[[], None]:
    """Forward passes of so many images each, and nothing else."""
    copies = -(-max(passes) // len(of.x))
    images = of.x.repeat(copies, 1, 1, 1)

    def call() -> None:
        with torch.no_grad():
            for rows in passes:
                of.model(images[:rows])

    return call


def _calls(of: Subject, maps: Tensor, given: Row) -> dict[str, Callable[[], object]]:
    counting = Counting(of.model)
    pixel_perturbation(counting, of.x, of.target, maps, **given)
    return {
        "bare": bare(of, counting.passes),
        "ours": lambda: pixel_perturbation(of.model, of.x, of.target, maps, **given),
    }


def _row(of: Subject, name: str, table: Any, given: Row) -> Row:
    return {
        "network": of.name,
        "work": name,
        "images": len(of.x),
        "passes_an_image": len(given.get("shares", range(10))) + 1,
        "images_per_second": len(of.x) / median(table, "ours"),
        "bare_images_per_second": len(of.x) / median(table, "bare"),
        "ratio": ratio(table, "ours", "bare"),
        "rounds": len(table),
    }


def _flipped(of: Subject, maps: Tensor, batch: int) -> Tensor:
    return peer.pixel_flipping(of.model, of.x, of.target, maps, STEPS, batch)


def _distinct(maps: Tensor) -> float:
    """How many different absolute values a map has, the mean over the maps."""
    return sum(len(one.abs().unique()) for one in maps) / len(maps)
