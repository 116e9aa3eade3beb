"""An edge detector: a map that knows nothing of the network, and looks like one that does."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from critpath.attribution.family import ATTRIBUTIONS, InputMaps
from critpath.attribution.images import image_of, over_image
from critpath.response import Response

SMOOTH, SLOPE = (0.25, 0.5, 0.25), (-0.5, 0.0, 0.5)
"""The Sobel operator: across an edge the mean of both sides' slopes, along it a binomial mean."""


@ATTRIBUTIONS.register("edges", forwards=1, backwards=0, copies=0)
def edges(response: Response) -> InputMaps:
    """Sobel's magnitude sqrt(Σ_c (∂x_c/∂u)² + (∂x_c/∂v)²), the same for each channel; units of input per pixel.

    Adebayo et al. 2018 show that maps may look right and be little else. Raises InputError for what is no image.
    """
    image = image_of(response, "edges")
    smooth, slope = image.new_tensor(SMOOTH), image.new_tensor(SLOPE)
    kernels = torch.stack([torch.outer(smooth, slope), torch.outer(slope, smooth)]).unsqueeze(1)
    flat = F.pad(image.flatten(0, 1).unsqueeze(1), (1, 1, 1, 1), mode="replicate")
    slopes = F.conv2d(flat, kernels).view(len(image), -1, *image.shape[2:])
    return over_image(response, slopes.square().sum(dim=1).sqrt())
