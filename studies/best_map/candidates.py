"""Maps that are compared: registered methods with options, and maps of where in the network a pathway runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from critpath.attribution import ATTRIBUTIONS
from critpath.contributions import neuron_scores
from critpath.response import Response
from critpath.selection import connected_part, select

Maps = Callable[[Response], Tensor]
"""From a response to maps [n, c, H, W]."""


@dataclass(frozen=True)
class Method:
    """A registered method with its options."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def __call__(self, response: Response) -> Tensor:
        (found,) = ATTRIBUTIONS[self.name].function(response, **self.options)
        return found.detach()


@dataclass(frozen=True)
class Places:
    """Where the pathway runs: scores of its neurons, summed over channels, at the image's size, averaged over sites.

    ``positive`` takes the positive part of the signed sum at a position (LayerCAM's, over the pathway's neurons),
    else the sum of |scores|; ``late`` is the share of spatial sites, from the last one back, that are averaged.
    """

    sparsity: float
    positive: bool = False
    late: float = 1.0

    def __call__(self, response: Response) -> Tensor:
        scores = neuron_scores(response, "taylor")
        keep = select(scores, self.sparsity).keep
        size = _image(response).shape[-2:]
        pairs = [(s * k) for s, k in zip(scores.tensors, keep.tensors, strict=True) if s.dim() == 4]
        chosen = pairs[-max(1, round(self.late * len(pairs))) :]
        return sum(_share(_up(_positions(part, self.positive), size)) for part in chosen)


@dataclass(frozen=True)
class Product:
    """The geometric mean of two maps, each of which sums to 1."""

    one: Maps
    other: Maps

    def __call__(self, response: Response) -> Tensor:
        a, b = (_share(made(response).abs().mean(dim=1, keepdim=True)) for made in (self.one, self.other))
        return (a * b).sqrt()


@dataclass(frozen=True)
class Connected:
    """The blurred gradient of the connected part of the pathway."""

    sparsity: float
    blur: float

    def __call__(self, response: Response) -> Tensor:
        path = connected_part(response.net, response.x, select(neuron_scores(response, "taylor"), self.sparsity))
        (found,) = response.run.input_gradients(response.value, keep=path.keep)
        return blurred(found, self.blur)


def blurred(maps: Tensor, deviation: float) -> Tensor:
    """|maps| summed over channels and smoothed, as ``pathway_average`` does: [n, 1, H, W]."""
    from critpath.attribution.images import blurred as smooth

    return smooth(maps.abs().sum(dim=1, keepdim=True), deviation)


def average(sparsities: Sequence[float], mode: str, blur: float, **options: Any) -> Method:
    given = {"sparsities": tuple(sparsities), "mode": mode, "blur": blur, **options}
    return Method("pathway_average", given)


SEVERAL = (0.5, 0.7, 0.8, 0.9, 0.95)
CONTROLS: dict[str, Maps] = {
    "random": Method("random"),
    "edges": Method("edges"),
    "gradient": Method("gradient"),
    "input x gradient": Method("input_gradient"),
    "Grad-CAM": Method("gradcam"),
    "pathway gradient .7": Method("pathway_gradient", {"sparsity": 0.7}),
    "pathway gradient .9": Method("pathway_gradient", {"sparsity": 0.9}),
    "PruneGrad .9": Method("prunegrad", {"sparsity": 0.9}),
}
"""What is compared with, and the papers' own maps."""

CANDIDATES: dict[str, Maps] = {
    **{f"frozen .7, blur {b}": average((0.7,), "frozen", b) for b in (4, 6, 8)},
    **{f"frozen .9, blur {b}": average((0.9,), "frozen", b) for b in (4, 8)},
    "frozen .98, blur 8": average((0.98,), "frozen", 8),
    "frozen .7 of magnitude, blur 6": average((0.7,), "frozen", 6, finder="magnitude"),
    "zeroed .7, blur 6": average((0.7,), "zeroed", 6),
    **{f"zeroed .9, blur {b}": average((0.9,), "zeroed", b) for b in (4, 8)},
    "zeroed .98, blur 4": average((0.98,), "zeroed", 4),
    **{f"several frozen, blur {b}": average(SEVERAL, "frozen", b) for b in (4, 8)},
    **{f"several zeroed, blur {b}": average(SEVERAL, "zeroed", b) for b in (4, 8)},
    "several zeroed x input, blur 8": average(SEVERAL, "zeroed", 8, times_input=True),
    "PruneGrad-Mid .7": Method("prunegrad_mid", {"sparsity": 0.7}),
    "PruneGrad-Mid .9": Method("prunegrad_mid", {"sparsity": 0.9}),
    **{f"places .7, {share}": Places(0.7, late=value) for share, value in (("all", 1), ("late half", 0.5))},
    "places .9, all": Places(0.9),
    **{
        f"positive places .7, {share}": Places(0.7, True, value)
        for share, value in (("all", 1), ("late half", 0.5), ("last fifth", 0.2))
    },
    "positive places .9, last fifth": Places(0.9, True, 0.2),
    "frozen .7, blur 6, at places .7": Product(average((0.7,), "frozen", 6), Places(0.7, True, 0.2)),
    "several zeroed, blur 4, at places .7": Product(average(SEVERAL, "zeroed", 4), Places(0.7, True, 0.2)),
    "gradient, blur 6": average((0.0,), "frozen", 6),
}
"""Maps of a pathway, and the blurred gradient, which has no pathway."""

COSTLY: dict[str, Maps] = {
    "frozen .7 of intgrad, blur 6": average((0.7,), "frozen", 6, finder="intgrad"),
    "connected .7, blur 6": Connected(0.7, 6),
}
"""Candidates that take many passes: tried on fewer photographs."""

SECOND_ROUND: dict[str, Maps] = {
    **{
        name: CANDIDATES[name]
        for name in (
            "several zeroed, blur 4",
            "several zeroed x input, blur 8",
            "several frozen, blur 4",
            "frozen .7, blur 4",
            "frozen .9, blur 4",
            "places .7, all",
            "places .9, all",
            "positive places .7, all",
            "PruneGrad-Mid .9",
        )
    },
    "several zeroed, blur 4, at places .9": Product(average(SEVERAL, "zeroed", 4), Places(0.9)),
    **{name: CONTROLS[name] for name in ("Grad-CAM", "gradient", "PruneGrad .9", "pathway gradient .9")},
}
"""The best ones of the first round on 20 photographs, and what they are compared with, for more photographs."""


def _image(response: Response) -> Tensor:
    return next(leaf for leaf in response.run.inputs if leaf is not None)


def _positions(scores: Tensor, positive: bool) -> Tensor:
    """[n, 1, h, w]"""
    return scores.sum(dim=1, keepdim=True).relu() if positive else scores.abs().sum(dim=1, keepdim=True)


def _up(maps: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def _share(maps: Tensor) -> Tensor:
    """Each map divided by its sum; a map of zeros stays one."""
    total = maps.sum(dim=(1, 2, 3), keepdim=True)
    return maps / total.where(total > 0, 1)
