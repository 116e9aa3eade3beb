"""Figures 1 to 4: filters of ResNet-18 that have high conductance for photographs of many classes, and what they see.

Parts: "early" (28 x 28 positions, as mixed3a of the paper) and "middle" (14 x 14, as mixed4c).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from critpath.attribution import conductance_maps
from critpath.evaluation.channels import channel_features
from critpath.evaluation.seeds import derived
from critpath.network import Network
from critpath.targets import Channel
from studies.conductance_images.subjects import photographs_of, preprocess_of
from studies.networks import resnet18

SITES: Mapping[str, str] = {"early": "layer2.0.relu#1", "middle": "layer3.0.relu#1"}

PAIRS: Mapping[str, tuple[int, int]] = {"cheeseburger, bagel": (933, 931), "meerkat, titi": (299, 380)}
"""Classes of figures 3 and 4: a filter that matters for the first, seen in an image of the second."""

TOP, CROSSING, STRONGEST = 10, 0.1, 5
"""A filter crosses classes if it is among the 10 of largest conductance for a tenth of the photographs."""

CELLS, SIDE, SHOWN, WINDOW, AT_ONCE = 28, 48, 6, 33, 50

DIGITS = 4
"""Of what is kept."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Photographs ``x`` [n, 3, H, W] as inputs, ``pixels`` in [0, 1], ``classes``, and ``conductance`` [n, filters]."""

    net: Network
    site: str
    x: Tensor
    pixels: Tensor
    classes: list[int]
    conductance: Tensor


def parts(**_: Any) -> list[str]:
    return list(SITES)


def run(part: str, *, photographs: int, held_out: int, others: int, points: int, seed: int = 0) -> dict[str, Any]:
    """``held_out`` of the photographs say what a filter sees, found on the rest; ``others`` are its comparison."""
    seen = _seen(SITES[part], photographs, points, seed)
    crossing = crossing_filters(seen.conductance)
    facts = {"site": seen.site, "filters": seen.conductance.shape[1], "photographs": len(seen.x), "top": TOP}
    chosen = _candidates(seen, crossing[0], held_out)
    return {
        **facts,
        "shared": _shared(seen.conductance, crossing[1]),
        "half": _rounded(share_for_half(seen.conductance)),
        "pairs": {name: _pair(seen, *classes) for name, classes in PAIRS.items()},
        **_sights(seen, chosen, crossing[0], held_out, others, points, seed),
    }


def _seen(site: str, number: int, points: int, seed: int) -> Seen:
    loaded = resnet18()
    preprocess, net = preprocess_of(loaded), Network(loaded.model, only=[site])
    classes = drawn_classes(number, seed)
    x = photographs_of(classes, preprocess)
    found = channel_features(net, x, methods=("conductance",), points=points, rule="trapezoid")
    return Seen(net, site, x, preprocess.pixels(x), classes, found.importances["conductance"].double())


def drawn_classes(number: int, seed: int) -> list[int]:
    """Classes of some photographs: those of ``PAIRS``, and others drawn by ``seed``."""
    named = [one for pair in PAIRS.values() for one in pair]
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(derived(seed, "classes"))).tolist()
    return [*named, *(one for one in order if one not in named)][:number]


def crossing_filters(conductance: Tensor) -> tuple[list[int], Tensor]:
    """Filters among the top of a share ``CROSSING`` of the images, the most frequent first; and that share for all."""
    share = tops(conductance).mean(dim=0)
    order = share.argsort(descending=True, stable=True)
    return order[: int((share >= CROSSING).sum())].tolist(), share


def tops(conductance: Tensor) -> Tensor:
    """1 for the ``TOP`` filters of largest conductance of an image, 0 for others [n, filters]."""
    return torch.zeros_like(conductance).scatter_(1, conductance.topk(TOP, dim=1).indices, 1.0)


def share_for_half(conductance: Tensor) -> Tensor:
    """The share of filters that make up half of the sum of |conductance| over filters, for each image [n]."""
    sizes = conductance.abs().sort(dim=1, descending=True).values.cumsum(dim=1)
    return ((sizes < sizes[:, -1:] / 2).sum(dim=1) + 1) / conductance.shape[1]


def redness(pixels: Tensor) -> Tensor:
    """Red above the mean of green and blue [n, H, W]."""
    return (pixels[:, 0] - pixels[:, 1:].mean(dim=1)).clamp(min=0)


def glare(pixels: Tensor) -> Tensor:
    """Whiteness, the least of the three colours, above its mean in a window around [n, H, W]."""
    white = pixels.amin(dim=1)
    around = F.avg_pool2d(white.unsqueeze(1), WINDOW, 1, WINDOW // 2, count_include_pad=False).squeeze(1)
    return (white - around).clamp(min=0)


def brightness(pixels: Tensor) -> Tensor:
    """The mean of the three colours [n, H, W]."""
    return pixels.mean(dim=1)


PROPERTIES = {"red": redness, "glare": glare, "bright": brightness}


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's over the last two dimensions; 0 where one is constant."""
    a, b = (v.double() - v.double().mean(dim=(-2, -1), keepdim=True) for v in (a, b))
    scale = (a.square().sum(dim=(-2, -1)) * b.square().sum(dim=(-2, -1))).sqrt()
    return torch.where(scale > 0, (a * b).sum(dim=(-2, -1)) / scale.where(scale > 0, 1), 0.0)


def _candidates(seen: Seen, crossing: Sequence[int], held_out: int) -> dict[str, int]:
    """For each property the crossing filter whose activation follows it best, on photographs not held out."""
    totals = {name: torch.zeros(len(crossing), dtype=torch.float64) for name in PROPERTIES}
    for first in range(held_out, len(seen.x), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        activation = seen.net.run(seen.x[some], graph=False).values()[seen.site][:, list(crossing)]
        for name, of in PROPERTIES.items():
            wanted = F.adaptive_avg_pool2d(of(seen.pixels[some]).unsqueeze(1), activation.shape[-1])
            totals[name] += correlation(activation, wanted).sum(dim=0)
    return {name: crossing[int(total.argmax())] for name, total in totals.items()}


def _sights(
    seen: Seen, chosen: Mapping[str, int], crossing: Sequence[int], held_out: int, others: int, points: int, seed: int
) -> dict[str, Any]:
    """Correlations of equation 2's maps with the properties on photographs held out, and some maps."""
    rest = [one for one in crossing if one not in chosen.values()]
    order = torch.randperm(len(rest), generator=torch.Generator().manual_seed(derived(seed, "others"))).tolist()
    units = list(dict.fromkeys([*chosen.values(), *(rest[i] for i in order[:others])]))
    x = seen.x[:held_out]
    maps = conductance_maps(seen.net, x, [Channel(seen.site, unit) for unit in units], points=points).maps
    flat = torch.as_tensor(maps).sum(dim=2).abs()  # [units, images, H, W]
    wanted = {name: F.adaptive_avg_pool2d(of(seen.pixels[:held_out]), CELLS) for name, of in PROPERTIES.items()}
    cells = F.adaptive_avg_pool2d(flat, CELLS)
    found = {name: correlation(cells, values.unsqueeze(0)) for name, values in wanted.items()}
    return {
        "chosen": dict(chosen),
        "units": units,
        "correlation": {name: [_rounded(row) for row in values] for name, values in found.items()},
        "pictures": {name: _pictures(seen, unit, flat[units.index(unit)]) for name, unit in chosen.items()},
    }


def _pictures(seen: Seen, unit: int, maps: Tensor) -> dict[str, Any]:
    """Maps of the held-out photographs of largest conductance: min(|map| / 99th percentile, 1), small, as base64."""
    best = seen.conductance[: len(maps), unit].topk(min(SHOWN, len(maps))).indices.tolist()
    small = [F.adaptive_avg_pool2d(scaled(maps[i]).unsqueeze(0), SIDE).squeeze(0) for i in best]
    return {"classes": [seen.classes[i] for i in best], "side": SIDE, "maps": [as_text(one) for one in small]}


def scaled(values: Tensor) -> Tensor:
    """Absolute values by their 99th percentile, at most 1."""
    return (values / values.flatten().quantile(0.99).clamp(min=torch.finfo(values.dtype).tiny)).clamp(max=1)


def as_text(grey: Tensor) -> str:
    """A picture with values in [0, 1] as base64 of its bytes, row by row."""
    return base64.b64encode(bytes((grey * 255).round().to(torch.uint8).flatten().tolist())).decode()


def _shared(conductance: Tensor, share: Tensor) -> dict[str, Any]:
    """How often filters are among the top of a photograph, the most frequent first, and what pairs have in common."""
    common = tops(conductance) @ tops(conductance).T
    pairs = (common.sum(dim=1) - TOP) / (len(common) - 1) / TOP
    order = share.argsort(descending=True, stable=True)[:TOP]
    return {
        "most": {str(i): round(float(share[i]), DIGITS) for i in order.tolist()},
        "crossing": int((share >= CROSSING).sum()),
        "common": _rounded(pairs),
        "chance": round(TOP / conductance.shape[1], DIGITS),
    }


def _pair(seen: Seen, first: int, second: int) -> dict[str, Any]:
    """The strongest filters of one photograph: which share of the others has less of them than the second has."""
    rows = [seen.classes.index(one) for one in (first, second)]
    strongest = seen.conductance[rows[0]].topk(STRONGEST).indices
    values = seen.conductance[:, strongest]
    rest = [i for i in range(len(values)) if i not in rows]
    below = (values[rest] < values[rows[1]]).double().mean(dim=0)
    best = [[seen.classes[i] for i in column.topk(4).indices.tolist()] for column in values.T]
    return {"filters": strongest.tolist(), "below": _rounded(below), "best": best}


def _rounded(values: Tensor) -> list[float]:
    return [round(value, DIGITS) for value in values.tolist()]
