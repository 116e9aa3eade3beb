"""Data sets from which every image has lost what its map says."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor

from critpath.attribution.inputs import normal
from critpath.draws import sample_generators
from critpath.errors import InputError
from critpath.evaluation.fills import Fill
from critpath.evaluation.removal import remove
from critpath.evaluation.retraining.split import AT_ONCE, Split, predicted_classes
from critpath.evaluation.values import Explain, Model, explained

Maps: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Maps of the training, validation and test images, each [n, 1 or C, H, W] or [n, H, W]."""


def degraded(
    split: Split,
    maps: Tensor,
    share: float,
    keep: bool = False,
    *,
    mean: Fill = 0.0,
    unit: str = "pixel",
    fill: Fill = "mean",
    reduce: str = "max_abs",
    ties: str = "stable",
    seed: int = 0,
) -> Split:
    """A part whose images are without their most relevant ``share`` (ROAR), or with ``keep`` without all else (KAR).

    Options as for ``remove``; ``mean``, in the inputs' units, is what stands there for ``fill="mean"``. Raises
    OptionError, InputError, NumericalError.
    """
    if len(maps) != len(split.x):
        raise InputError(f"there are {len(maps)} maps for {len(split.x)} images; give one an image")
    parts = zip(torch.split(split.x, AT_ONCE), torch.split(maps, AT_ONCE), strict=True)
    options: dict[str, Any] = {"unit": unit, "fill": fill, "mean": mean, "reduce": reduce, "ties": ties, "seed": seed}
    return Split(torch.cat([remove(x, m, share, order="morf", keep=keep, **options) for x, m in parts]), split.y)


def channel_means(x: Tensor) -> Tensor:
    """Mean of every channel [C] over images [n, C, H, W], summed in float64."""
    return x.double().mean(dim=(0, 2, 3))


def maps_of(model: Model, explain: Explain, *splits: Split, at_once: int = 64) -> tuple[Tensor, ...]:
    """Maps of every part for the class that ``model``, which was trained on the unmodified images, predicts."""
    return tuple(
        torch.cat([explained(explain, x, predicted_classes(model, x)) for x in torch.split(split.x, at_once)])
        for split in splits
    )


def random_maps(x: Tensor, seed: int) -> Tensor:
    """Random maps shaped like the images, which are those of the attribution method ``random`` by this seed."""
    (maps,) = normal([x], sample_generators([x], seed, "random map"))
    assert maps is not None
    return maps
