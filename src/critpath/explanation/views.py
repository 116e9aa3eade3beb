"""Tensors as what a page shows: maps, pictures, and the names of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from critpath.errors import InputError
from critpath.report.content import Map, Picture
from critpath.response import Response


def leading(tensors: tuple[Tensor | None, ...]) -> Tensor:
    """The first floating-point one of an input's parts: that is the one a page shows."""
    found = next((tensor for tensor in tensors if tensor is not None), None)
    if found is None:
        raise InputError(
            "the input holds integers only (tokens?), which have no gradient to show: give the model its embeddings"
        )
    return found


def as_map(gradient: Tensor) -> Map:
    """|gradient| of one sample: summed over channels to [H, W] for images, flattened otherwise."""
    magnitude = gradient[0].detach().abs().float().cpu()
    shown = magnitude.sum(dim=0) if magnitude.dim() == 3 else magnitude.flatten()
    return np.asarray(shown.numpy(), dtype=np.float32)


def as_picture(x: Tensor) -> Picture | None:
    """An input [1, C, H, W] as RGB, its range stretched to 0..255; None for inputs that are no image."""
    if x.dim() != 4:
        return None
    sample = x[0].detach().float().cpu()
    colours = sample if len(sample) == 3 else sample.mean(dim=0, keepdim=True).expand(3, -1, -1)
    low, high = float(colours.min()), float(colours.max())
    scaled = (colours - low) / ((high - low) or 1.0)
    return np.asarray((scaled.permute(1, 2, 0) * 255).round().numpy(), dtype=np.uint8)


def class_name(index: int, classes: Sequence[str] | None) -> str:
    """The name of a class, or its number."""
    return classes[index] if classes is not None and 0 <= index < len(classes) else f"class {index}"


def scalar(response: Response) -> float:
    """The response of the one sample."""
    return float(response.value.detach()[0])
