"""Superpixels: segments of an image that are removed as one."""

from __future__ import annotations

import torch
from torch import Tensor

from critpath.errors import InputError, MissingDependencyError
from critpath.options import check_count, check_number, check_type

SEGMENTS = 50
"""How many are looked for."""


def superpixels(x: Tensor, segments: int = SEGMENTS, compactness: float = 10.0) -> Tensor:
    """About this many segments of each image [n, C, H, W] by SLIC: their numbers from 0, int64 [n, H, W].

    Each image is brought to [0, 1] first; larger ``compactness`` gives squarer segments. Achanta et al. 2012, by
    scikit-image, on the CPU. Raises OptionError, InputError, MissingDependencyError.
    """
    check_type("x", x, Tensor)
    check_count("segments", segments, 1)
    check_number("compactness", compactness, 0, above=True)
    if x.dim() != 4:
        raise InputError(f"the inputs are {list(x.shape)}; give images [n, channels, height, width]")
    found = [_slic(image, segments, compactness) for image in x.detach().cpu().double()]
    return torch.stack(found).to(x.device) if found else x.new_zeros((0, *x.shape[2:]), dtype=torch.int64)


def numbered(segments: Tensor) -> tuple[Tensor, Tensor]:
    """Segments [n, H, W] numbered from 0 without gaps, in each image, and how many there are [n]."""
    images = [image.unique(return_inverse=True) for image in segments]
    numbers = torch.stack([inverse for _, inverse in images])
    return numbers, torch.tensor([len(values) for values, _ in images], device=segments.device)


def segment_means(scores: Tensor, numbers: Tensor, units: Tensor) -> Tensor:
    """Mean scores [n, most segments] of segments, from those of pixels [n, pixels]; NaN where an image has no more.

    Float64, summed on the CPU: sums on a GPU depend on chance in their last bits, and an order would too.
    """
    values, at = scores.cpu().double(), numbers.cpu()
    zeros = torch.zeros(len(values), int(units.max()), dtype=torch.float64)
    total, count = zeros.scatter_add(1, at, values), zeros.scatter_add(1, at, torch.ones_like(values))
    return (total / count).to(scores.device)


def _slic(image: Tensor, segments: int, compactness: float) -> Tensor:
    try:
        from skimage.segmentation import slic
    except ImportError as error:
        raise MissingDependencyError("scikit-image", "evaluation", "Finding superpixels") from error
    low, high = image.aminmax()
    scaled = (image - low) / (high - low).clamp_min(torch.finfo(image.dtype).tiny)
    pixels = scaled.permute(1, 2, 0).contiguous().numpy()
    found = slic(pixels, segments, compactness, channel_axis=-1, convert2lab=len(image) == 3, start_label=0)
    return torch.from_numpy(found).long()
