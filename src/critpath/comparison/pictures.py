"""Pictures decoded from every finder's pathway of one input."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from math import nan
from typing import Any

import numpy as np
from torch import Tensor

from critpath.comparison.plan import Plan
from critpath.decoding import Decoded, decode
from critpath.errors import CritpathError
from critpath.explanation.views import as_picture
from critpath.network import ModelInput, Network
from critpath.pathway import Pathway, SearchWarning
from critpath.report import DecodedImage, DecodedPicture
from critpath.response import Response, respond
from critpath.selection import find_in_response
from critpath.targets import TargetLike


def decoded_image(
    net: Network,
    x: ModelInput,
    target: TargetLike,
    plan: Plan,
    title: str,
    objective: str,
    steps: int,
    normalise: Any,
    tell: Callable[[str], None],
) -> DecodedImage:
    """The whole network, all its active neurons, and every finder's pathway: a picture each, all by one seed."""
    response = respond(net, x, target)
    pictures = []
    for name, find in _pathways(response, plan):
        tell(f"{title}: decoding {name}")
        pictures.append(_picture(response, name, find, steps, normalise, plan.seed))
    return DecodedImage(title, objective, tuple(pictures))


Find = Callable[[], Pathway | None]


def _pathways(response: Response, plan: Plan) -> Iterator[tuple[str, Find]]:
    yield "whole network", lambda: None
    yield "all active neurons", lambda: find_in_response(response, "active", plan.sparsity)
    for finder in plan.finders:
        yield (
            finder,
            lambda finder=finder: find_in_response(  # type: ignore[misc]
                response, plan.finders[finder], plan.sparsity, **plan.options_of(finder)
            ),
        )


def _picture(response: Response, name: str, find: Find, steps: int, normalise: Any, seed: int) -> DecodedPicture:
    """The picture, or why there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SearchWarning)
            made = _decoded(response, find(), steps, normalise, seed)
    except CritpathError as error:
        return DecodedPicture(name, nan, None, str(error))
    return DecodedPicture(name, float(made.value[0]), as_pixels(made.images))


def _decoded(response: Response, pathway: Pathway | None, steps: int, normalise: Any, seed: int) -> Decoded:
    like = response.x if isinstance(response.x, Tensor) else None
    return decode(
        response.net, pathway, response, normalise=normalise, steps=steps, seed=seed, like=like
    )  # fmt: skip


def as_pixels(images: Tensor) -> Any:
    """The first of [pictures, channels, H, W] in [0, 1] as RGB [H, W, 3] of uint8."""
    if images.shape[1] not in (1, 3):
        return as_picture(images[:1])
    colours = images[0].detach().float().cpu().expand(3, -1, -1)
    return np.asarray((colours.clamp(0, 1).permute(1, 2, 0) * 255).round().numpy(), dtype=np.uint8)
