"""Faults that change maps, or how maps are used: zeroed for frozen, signed ranks, 8 bits, one point too many."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

import critpath as cp
from critpath.audit import eight_bit, summed_gradients
from critpath.evaluation.removal import pixel_scores, reduced, removal_order
from critpath.evaluation.similarity import spearman_abs
from critpath.response import respond
from studies.faults.subjects import Subject

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "Gradient": ("gradient", {}),
    "GBP": ("guided_backprop", {}),
    "GradCAM": ("gradcam", {}),
    "InputMCT": ("input_gradient", {}),
    "NeuronMCT, zeroed": ("prunegrad", {"sparsity": 0.9}),
    "NeuronMCT, frozen": ("pathway_gradient", {"sparsity": 0.9}),
    "random": ("random", {}),
}
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)


def measured(subject: Subject) -> dict[str, Any]:
    """All that is done to the maps of every method."""
    maps = {name: _maps(subject, method, options) for name, (method, options) in METHODS.items()}
    return {
        "lerf": {name: _areas(subject, m) for name, m in maps.items()},
        "eight bits": {name: _cut(m) for name, m in maps.items()},
        "zeroed": _zeroed(subject, maps["NeuronMCT, zeroed"], maps["NeuronMCT, frozen"]),
    }


def summed(subject: Subject) -> dict[str, Any]:
    """Integrated gradients of 51 gradients over 50, beside the right ones."""
    response = respond(subject.net, subject.x, subject.target)
    wrong = summed_gradients(response)
    right = cp.attribute(subject.net, subject.x, "integrated_gradients", subject.target)
    start = respond(subject.net, torch.zeros_like(subject.x), subject.target, graph=False).value
    change = (response.value - start).detach()
    sums = {f"sum, {n}": m.flatten(1).sum(dim=1) / change for n, m in (("released", wrong), ("right", right))}
    areas = {"lerf, released": _area(subject, wrong, "max_abs"), "lerf, right": _area(subject, right, "max_abs")}
    gone = areas["lerf, released"] - areas["lerf, right"]
    return {**sums, **areas, "lerf, change": gone, "spearman": spearman_abs(reduced(wrong), reduced(right))}


def _maps(subject: Subject, method: str, options: dict[str, Any]) -> Tensor:
    return torch.as_tensor(cp.attribute(subject.net, subject.x, method, subject.target, **options))


def _areas(subject: Subject, maps: Tensor) -> dict[str, Tensor]:
    """LeRF by the largest absolute value of the channels, and by the largest signed one, as released."""
    right, released = (_area(subject, maps, reduce) for reduce in ("max_abs", "max"))
    return {"right": right, "released": released, "change": released - right}


def _area(subject: Subject, maps: Tensor, reduce: str) -> Tensor:
    model = subject.net.model
    return cp.pixel_perturbation(model, subject.x, subject.target, maps, reduce=reduce, batch=50).area()


def _cut(maps: Tensor) -> dict[str, Any]:
    """Maps in 256 levels: how many pixels are tied, and which others ROAR would remove.

    ``same``: Jaccard of the pixels removed by float and 8-bit maps at each share; ``by place``: the same of the 8-bit
    map with its ties broken by position and at random, where 1 says that ties decide nothing.
    """
    scores = pixel_scores(maps).unsqueeze(1)
    levels = eight_bit(scores)
    orders = [removal_order(m, order="morf", reduce="max") for m in (scores, levels)]
    drawn = removal_order(levels, order="morf", reduce="max", ties="random")
    exact, cut, mixed = (order.masks(SHARES).flatten(2) for order in (*orders, drawn))
    return {
        "levels": torch.tensor([len(set(one.flatten().tolist())) for one in levels]).double(),
        "tied": torch.stack([_tied(one) for one in levels]),
        "same": {str(s): values for s, values in zip(SHARES, _jaccard(exact, cut).T, strict=True)},
        "by place": {str(s): values for s, values in zip(SHARES, _jaccard(mixed, cut).T, strict=True)},
    }


def _tied(levels: Tensor) -> Tensor:
    """The share of pixels whose level more than 1 % of all have."""
    counts = levels.long().flatten().bincount().double()
    return torch.as_tensor(counts[counts > 0.01 * levels.numel()].sum() / levels.numel())


def _jaccard(a: Tensor, b: Tensor) -> Tensor:
    """Of booleans [n, shares, pixels]: [n, shares]."""
    return (a & b).sum(dim=2) / (a | b).sum(dim=2)


def _zeroed(subject: Subject, zeroed: Tensor, frozen: Tensor) -> dict[str, Tensor]:
    """What zeroing does to a pathway of 10 %, beside freezing the rest at its values."""
    response = respond(subject.net, subject.x, subject.target)
    path = cp.find_pathway(subject.net, subject.x, "taylor", 0.9, subject.target)
    alone = response.pruned(path, graph=False)
    kept = response.keeps_class(alone)
    assert kept is not None
    gradient = _maps(subject, "gradient", {})
    return {
        "response": (alone.value / response.value).detach(),
        "died": cp.dead_share(path, alone.run.values()),
        "class": kept.double(),
        "cosine": _cosine(zeroed, frozen),
        "cosine to the gradient, zeroed": _cosine(zeroed, gradient),
        "cosine to the gradient, frozen": _cosine(frozen, gradient),
        "spearman": spearman_abs(reduced(zeroed), reduced(frozen)),
    }


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return cosine_similarity(a.flatten(1), b.flatten(1))
