"""The study's maps to look at: methods before and after randomisation, and the pathway gradient by sparsity.

A part is a photograph and what is shown of it: "0.methods", "0.randomised", "0.sparsities". A map is told as the
largest |value| of each cell of a grid, in 255 steps of the map's largest.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

import critpath as cp
from critpath.evaluation.randomisation import randomised
from critpath.zoo.data import selected
from studies.data import photographs
from studies.networks import resnet50

METHODS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "gradient": ("gradient", {}),
    "input-mct": ("input_gradient", {}),
    "input-intgrad": ("integrated_gradients", {"points": 8}),
    "gbp": ("guided_backprop", {}),
    "rectgrad": ("rectgrad", {}),
    "gradcam": ("gradcam", {}),
    "neuron-mct": ("pathway_gradient", {"sparsity": 0.7}),
    "prunegrad": ("prunegrad", {"sparsity": 0.7}),
    "prunegrad-mid": ("prunegrad_mid", {"sparsity": 0.7}),
}
SPARSITIES = (0.0, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99)
KINDS = ("methods", "randomised", "sparsities")
SIDE = 48
"""Cells of the grid along a side."""
TOP = 0.1
"""Of a map's pixels, those whose share of its sum is told."""


def parts(count: int = 2, seed: int = 0) -> list[str]:
    return [f"{number}.{kind}" for number in range(count) for kind in KINDS]


def run(part: str, count: int = 2, seed: int = 0) -> dict[str, Any]:
    """By method, or by sparsity: ``map``, and ``concentration``, the share of Σ|map| in a tenth of the pixels."""
    number, kind = part.split(".")
    x, target = _photograph(int(number), seed)
    if kind == "randomised":
        with randomised(_network().model, x, seed=seed):
            return _methods(x, target)
    return _methods(x, target) if kind == "methods" else _sparsities(x, target)


def picture(told: str) -> NDArray[np.uint8]:
    """The grid [side, side] of a map that was told."""
    cells = np.frombuffer(b64decode(told), np.uint8)
    side = round(len(cells) ** 0.5)
    return cells.reshape(side, side)


@cache
def _network() -> cp.Network:
    return cp.Network(resnet50().model)


@cache
def _photograph(number: int, seed: int) -> tuple[Tensor, Tensor]:
    """One of the photographs [1, 3, 224, 224], in the order of the plan, and the class predicted."""
    data = selected(photographs(), shuffle=seed)
    x, _ = data.inputs([number], resnet50().preprocess)
    with torch.no_grad():
        return x, _network().model(x).argmax(dim=1)


def _methods(x: Tensor, target: Tensor) -> dict[str, Any]:
    return {
        name: _told(cp.attribute(_network(), x, method, target=target, **options))
        for name, (method, options) in METHODS.items()
    }


def _sparsities(x: Tensor, target: Tensor) -> dict[str, Any]:
    """Of NeuronMCT's pathway, other neurons frozen."""
    scores = cp.score(_network(), x, "taylor", target=target)
    pathways = {f"{sparsity:g}": cp.select(scores, sparsity=sparsity) for sparsity in SPARSITIES}
    return {
        name: _told(cp.attribute(_network(), x, "pathway_gradient", target=target, pathway=pathway))
        for name, pathway in pathways.items()
    }


def _told(maps: Tensor) -> dict[str, Any]:
    """[1, 3, height, width]"""
    sizes = maps.detach().abs().amax(dim=1)
    cells = F.adaptive_max_pool2d(sizes, SIDE)[0]
    scaled = (255 * cells / cells.max().clamp(min=1e-30)).round().to(torch.uint8)
    ranked = sizes.flatten().sort(descending=True).values.double()
    top = ranked[: round(TOP * len(ranked))].sum() / ranked.sum().clamp(min=1e-30)
    return {"map": b64encode(scaled.numpy().tobytes()).decode(), "concentration": round(float(top), 4)}
