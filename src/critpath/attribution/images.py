"""Maps over an image: which input it is, and from a map of another size to one shaped like it."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from critpath.attribution.family import InputMaps
from critpath.errors import InputError, OptionError
from critpath.neurons import Site, wide
from critpath.response import Response


def image_of(response: Response, method: str) -> Tensor:
    """The only floating-point input, [n, C, H, W], at least float32. Raises InputError where it is no image."""
    floats = [leaf for leaf in response.run.inputs if leaf is not None]
    if len(floats) != 1 or floats[0].dim() != 4 or len(floats[0]) != response.run.batch:
        shapes = ", ".join(str(list(leaf.shape)) for leaf in floats)
        found = f"its floating-point tensors are {shapes}" if floats else "it holds tokens"
        raise InputError(
            f"{method} makes a map over an image, [batch, channels, height, width], and the input is no single image: "
            f"{found}"
        )
    return wide(floats[0].detach())


def over_image(response: Response, values: Tensor) -> InputMaps:
    """[n, h, w] brought to the image's size (bilinear, align_corners=False), the same for each of its channels."""
    leaf = next(leaf for leaf in response.run.inputs if leaf is not None)
    found = F.interpolate(values.unsqueeze(1), size=leaf.shape[-2:], mode="bilinear", align_corners=False)
    map_ = found.to(leaf).expand_as(leaf).contiguous()
    return (*(None if leaf is None else map_ for leaf in response.run.inputs), *(None for _ in response.run.lookups))


def is_spatial(site: Site) -> bool:
    """Whether a site has channels over more than one position of a plane."""
    return len(site.shape) == 3 and prod(site.shape) > site.channels


def planes(site: Site, values: Tensor) -> Tensor:
    """[n, *shape] of a spatial site as [n, channels, height, width], at least float32."""
    return wide(values).movedim(site.channel_dim + 1, 1)


def spatial_site(response: Response, name: str) -> Site:
    """The site of this name. Raises OptionError where it is not spatial, MismatchError where there is none."""
    site = response.space[name]
    if not is_spatial(site):
        raise OptionError(
            f"site {name} has the shape {list(site.shape)} for a sample: no channels over two spatial dimensions, so "
            "no map can be made of it; choose another site"
        )
    return site


def spatial_cuts(response: Response, method: str) -> list[Site]:
    """The spatial sites that every route from the image to the response passes, in order; one at least.

    Raises InputError where there is none.
    """
    cuts = response.run.cuts(response.value)
    found = [site for site, cut in zip(response.space, cuts, strict=True) if cut and is_spatial(site)]
    if not found:
        raise InputError(
            f"{method} needs an activation with channels over two spatial dimensions that everything passes, and the "
            "network has none for this response: name a site with site=..., or make the output of a module one with "
            "Network(model, also=[...])"
        )
    return found


def blurred(images: Tensor, deviation: float) -> Tensor:
    """[n, C, H, W] smoothed by a Gaussian of this standard deviation in pixels; the border's values go on beyond it."""
    radius = int(4 * deviation + 0.5)
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / deviation) ** 2)
    kernel = (weights / weights.sum()).to(images.dtype)
    flat = F.pad(images.flatten(0, 1).unsqueeze(1), (radius,) * 4, mode="replicate")
    across = F.conv2d(flat, kernel.view(1, 1, 1, -1))
    return F.conv2d(across, kernel.view(1, 1, -1, 1)).view_as(images)
