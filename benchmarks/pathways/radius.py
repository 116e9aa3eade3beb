"""What the radius of local linearity costs, and how near the estimate comes to exact distances."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

import critpath as cp
from critpath.analysis.linearity import linear_radius
from critpath.analysis.linearity.distances import confirmed, estimated
from critpath.analysis.linearity.geometry import geometry
from critpath.pathway import Pathway

Row = dict[str, Any]


def costs(model: nn.Module, x: Tensor, name: str, sparsity: float = 0.9, **options: Any) -> list[Row]:
    """The radius of one photograph, of the network and of its pathway: one row each, cost in plain forward passes."""
    net = cp.Network(model)
    pathway = cp.find_pathway(net, x, "taylor", sparsity)
    return [_row(net, x, name, of, kept, options) for of, kept in (("network", None), ("pathway", pathway))]


def _row(net: cp.Network, x: Tensor, name: str, of: str, pathway: Pathway | None, options: Row) -> Row:
    before = _forward(net.model, x)
    start = time.perf_counter()
    found = linear_radius(net, x, pathway=pathway, **options)
    seconds = time.perf_counter() - start
    plain = statistics.median([before, _forward(net.model, x)])
    return {
        "network": name,
        "of": of,
        "boundaries": int(found.boundaries[0]),
        "ties": int(found.ties[0]),
        "radius": float(found.radius[0]),
        "decided by": str(found.deciders[0]),
        "products": found.products,
        "gradients": found.gradients,
        "missed": float(found.missed[0]),
        "seconds": seconds,
        "forward passes": seconds / plain,
    }


def sampled_errors(net: cp.Network, x: Tensor, each: int = 8, directions: int = 64, seed: int = 0) -> Row:
    """Estimated against exact distances of ``each`` random boundaries at every site, of one photograph.

    Relative errors: standard deviation, mean and largest; ``nearest exact`` is the smallest exact distance among
    those sampled, which no radius may exceed.
    """
    place = geometry(net, x, ties=False)
    distances, _ = estimated(place, directions, 2, seed)
    estimates = torch.cat(distances, dim=1)[0].double()
    generator, chosen, first = torch.Generator().manual_seed(seed), [], 0
    for item, part in zip(place.found.items, distances, strict=True):
        finite = torch.isfinite(part[0]).nonzero()[:, 0]
        chosen += (first + finite[torch.randperm(len(finite), generator=generator)[:each]]).tolist()
        first += item.size
    margins, one = place.found.margins()[0].abs().double(), torch.tensor([0])
    norms = torch.stack([place.norms(place.found.gradients(torch.tensor([n]), one))[0] for n in chosen])
    exact = margins[chosen] / norms
    errors = estimates[chosen] / exact - 1
    return {
        "sampled": len(chosen),
        "standard deviation": float(errors.std()),
        "mean": float(errors.mean()),
        "largest": float(errors.abs().max()),
        "nearest exact": float(exact.min()),
    }


def first_site(net: cp.Network, x: Tensor, weight: Tensor, name: str, **convolution: Any) -> Row:
    """The nearest boundary of the first site alone: as the estimate finds it, and exact over all its neurons."""
    whole = geometry(net, x, ties=False)
    place = replace(whole, found=replace(whole.found, items=whole.found.items[:1]), counted=whole.counted[:1])
    distances, ties = estimated(place, 64, 2, 0)
    found = confirmed(place, distances, ties, 64, 0.99, 200)
    exact = first_site_exact(net, x, weight, **convolution)
    return {
        "network": name,
        "neurons": place.found.size,
        "estimate": float(found.distance[0]),
        "exact": exact,
        "difference": float(found.distance[0]) / exact - 1,
        "gradients": found.gradients,
    }


def first_site_exact(net: cp.Network, x: Tensor, weight: Tensor, **convolution: Any) -> float:
    """The radius of the first site alone, all of it exact: its gradients are the filters inside the picture.

    ``weight`` [out, in, kh, kw] is the first convolution's, with a batch norm after it folded in; ``convolution`` are
    its stride and padding. Networks without bounds other than 0 at that site.
    """
    z = net.boundaries(x).items[0].margins().double().reshape(net.sites(x).sites[0].shape)
    inside = torch.ones(1, *x.shape[1:], dtype=torch.float64)
    norms = torch.nn.functional.conv2d(inside, weight.double().square(), **convolution)[0].sqrt()
    distances = z.abs() / norms
    return float(distances[distances > 0].min())


def _forward(model: nn.Module, x: Tensor, rounds: int = 5) -> float:
    def once() -> None:
        with torch.no_grad():
            model(x)

    once()
    return statistics.median(_seconds(once) for _ in range(rounds))


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
