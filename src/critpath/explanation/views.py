"""Tensors as what a page shows: maps, pictures, and the names of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from critpath.attribution.pathway_average import SPARSITIES, averaged
from critpath.errors import InputError, MismatchError, NumericalError
from critpath.neurons import NeuronValues
from critpath.report.content import Map, Picture
from critpath.response import Response
from critpath.selection import select

SMOOTHED = 1 / 28
"""Standard deviation of the smoothing of an image's map, as a share of its shorter side: 8 of 224 pixels."""


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


def averaged_map(response: Response, scores: NeuronValues, scope: str) -> Tensor | None:
    """The default map of an image: |x ⊙ PruneGrad| averaged over sparsities and smoothed; None for other inputs.

    Of the maps of a pathway that were tried it does best (docs, "Which map of a pathway is best?"). None, too, where
    a pruned network is not defined on the input.
    """
    images = [leaf for leaf in response.run.inputs if leaf is not None]
    if len(images) != 1 or images[0].dim() != 4:
        return None
    blur = min(images[0].shape[-2:]) * SMOOTHED
    try:
        paths = (select(scores, sparsity, scope) for sparsity in SPARSITIES)
        return leading(averaged(response, paths, "zeroed", times_input=True, blur=blur))
    except (NumericalError, MismatchError):
        return None


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
