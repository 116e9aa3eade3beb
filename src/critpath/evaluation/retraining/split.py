"""Labelled images in parts: to train on, to choose the checkpoint by, to report on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from critpath.errors import InputError, MismatchError, NumericalError
from critpath.evaluation.values import Model
from critpath.options import check_number

AT_ONCE = 512
"""Images in one forward pass where nothing is trained."""


class Split(NamedTuple):
    """Images [n, C, H, W], floating point, and their classes [n]."""

    x: Tensor
    y: Tensor


def checked_split(name: str, split: Split) -> Split:
    """The part with its classes as int64, where the images are. Raises InputError for what is no ``Split``."""
    x, y = split
    if x.dim() != 4 or not x.is_floating_point() or not len(x):
        raise InputError(
            f"the {name} images are {list(x.shape)} {_dtype(x)}; give real ones, [n, channels, height, width]"
        )
    if y.shape != x.shape[:1] or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise InputError(f"the {name} classes are {list(y.shape)} {_dtype(y)}; give integers [{len(x)}], one an image")
    if int(y.min()) < 0:
        raise InputError(f"a {name} class is {int(y.min())}; classes count from 0")
    return Split(x, y.to(x.device, torch.int64))


def checked_splits(**parts: Split) -> tuple[Split, ...]:
    """Several parts, checked, whose images have one shape and type. Raises InputError, MismatchError."""
    checked = tuple(checked_split(name, part) for name, part in parts.items())
    kinds = {name: f"{list(p.x.shape[1:])} {_dtype(p.x)}" for name, p in zip(parts, checked, strict=True)}
    if len(set(kinds.values())) > 1:
        told = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
        raise MismatchError(f"the parts hold different images: {told}")
    return checked


def train_and_validation(x: Tensor, y: Tensor, share: float = 1 / 8) -> tuple[Split, Split]:
    """The last ``share`` of every class, in index order, to validate with; the rest to train on.

    The papers' split of CIFAR-10, 43,750 to 6,250. Of n images of a class, floor(share n) are for validation; both
    parts keep the order of the indices. Raises InputError where a part would be empty.
    """
    check_number("share", share, 0, 1, above=True, below=True)
    x, y = checked_split("training", Split(x, y))
    last = torch.zeros(len(y), dtype=torch.bool, device=y.device)
    for label in torch.bincount(y).nonzero().flatten():
        members = (y == label).nonzero().flatten()
        last[members[len(members) - int(share * len(members) + 1e-9) :]] = True
    if not last.any() or last.all():
        raise InputError(
            f"a share of {share:g} of {len(y)} images leaves {int(last.sum())} to validate with; give more"
        )
    return Split(x[~last], y[~last]), Split(x[last], y[last])


def predicted_classes(model: Model, x: Tensor, at_once: int = AT_ONCE) -> Tensor:
    """The class of the largest score [n]. Raises InputError for other than [n, classes], NumericalError for NaN."""
    with torch.no_grad():
        return torch.cat([_classes(model(part)) for part in torch.split(x, at_once)])


def accuracy_of(model: Model, split: Split, at_once: int = AT_ONCE) -> float:
    """Share of the images that a model gives their class."""
    right = predicted_classes(model, split.x, at_once) == split.y.to(split.x.device)
    return float(right.double().mean())


def _classes(scores: Tensor) -> Tensor:
    if scores.dim() != 2:
        raise InputError(f"the model gives {list(scores.shape)}; evaluations take class scores [n, classes]")
    if not torch.isfinite(scores).all():
        raise NumericalError("the class scores hold NaN or infinity; where the model was just trained, it diverged")
    return scores.argmax(dim=1)


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
