"""Tensors as what a page shows: maps, pictures, and the names of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from critpath.attribution.pathway_average import SPARSITIES, averaged
from critpath.attribution.tokens import check_moves
from critpath.errors import MismatchError, NumericalError
from critpath.network import ModelInput, tensors_of, tokens_of
from critpath.neurons import NeuronValues
from critpath.report.content import Map, Picture
from critpath.response import Response
from critpath.selection import select

SMOOTHED = 1 / 28
"""Standard deviation of the smoothing of an image's map, as a share of its shorter side: 8 of 224 pixels."""


def leading(response: Response, gradients: Sequence[Tensor | None]) -> Tensor:
    """Of what belongs to everything that moves, that of the first floating-point input: this a page shows."""
    check_moves(response)
    return next(gradient for gradient in gradients if gradient is not None)


def holds_text(x: ModelInput) -> bool:
    """Whether an input is tokens, with masks and the like beside them."""
    floats = any(tensor.is_floating_point() for tensor in tensors_of(x))
    return tokens_of(x) is not None and (not floats or (isinstance(x, Mapping) and "input_ids" in x))


def shown_map(response: Response, gradient: Tensor) -> Map:
    """A map of one sample for the page: signed by tokens for a text, magnitudes for other inputs."""
    if holds_text(response.x):
        return np.asarray(gradient[0].detach().float().cpu().flatten().numpy(), dtype=np.float32)
    return as_map(gradient)


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
        return leading(response, averaged(response, paths, "zeroed", times_input=True, blur=blur))
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
