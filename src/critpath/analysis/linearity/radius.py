"""The largest l2 ball around an input in which a network's activation pattern is constant."""

from __future__ import annotations

import torch

from critpath.analysis.linearity.distances import Nearest, confirmed, estimated, exactly, margins_at
from critpath.analysis.linearity.geometry import Geometry, Scale, geometry
from critpath.analysis.linearity.result import Decider, LinearRadius, shares_below
from critpath.memory import limit_of, rows_at_once
from critpath.network import ModelInput, Network
from critpath.options import check_choice, check_count, check_number
from critpath.pathway import Pathway
from critpath.targets import TargetLike

METHODS = ("auto", "exact", "estimate")

SMALL = 4096
"""Boundaries of one sample up to which every distance is computed exactly, by default."""

LARGE = 2**23
"""Boundaries whose tangents go through a CPU at once without loss."""


def linear_radius(
    net: Network,
    x: ModelInput,
    target: TargetLike = None,
    pathway: Pathway | None = None,
    *,
    method: str = "auto",
    directions: int = 64,
    confidence: float = 0.99,
    candidates: int = 200,
    pools: bool = True,
    ties: bool = True,
    scale: Scale = None,
    seed: int = 0,
    memory: str | int | None = None,
) -> LinearRadius:
    """The radius min |m| / ||grad m||₂ over boundaries with grad m ≠ 0 (Lee et al. 2019; P, section 4), per sample.

    m is how far a pre-activation lies from its kink, or by how much an element wins over another in max pooling
    (``pools``; the papers leave these out). With a ``pathway`` it is that of the frozen network: all other neurons are
    constants, at their values on x, and only the pathway's neurons can flip.

    Parameters
    ----------
    method
        "exact": one gradient for every boundary. "estimate": gradient norms of all boundaries by ``directions``
        forward-mode products with random directions, then exact gradients of the nearest, until the chance that a
        nearer one was missed is at most 1 - ``confidence``, or ``candidates`` gradients were taken. "auto": exact
        where no sample has more than 4096 boundaries.
    ties
        Whether boundaries count on which the input lies exactly: then the radius is 0. Equal neighbours in a flat part
        of a picture make ties in max pooling; ``LinearRadius.ties`` says how many were found.
    scale
        What one unit of the input is worth in the units of the radius: a number, one for each channel (the standard
        deviations of the preprocessing give a radius in pixel values), or a tensor like one sample.
    target
        Only checked: the pattern is that of all neurons, whatever the response.

    Raises
    ------
    UnsupportedModelError
        Where the network is not piecewise linear, naming what bends it.
    InputError, MismatchError, OptionError, TargetError
    """
    _check(method, directions, confidence, candidates, seed)
    place = geometry(net, x, pathway, target, scale, pools, ties)
    exact = method == "exact" or (method == "auto" and place.most <= SMALL)
    if exact:
        found = exactly(place, _units(net, x, memory))
    else:
        repeats = _repeats(place, rows_at_once(net, x, memory))
        distances, on_it = estimated(place, directions, repeats, seed)
        found = confirmed(place, distances, on_it, directions, confidence, candidates)
    return _result(place, found, exact, 0 if exact else directions, confidence, pathway is not None, pools)


def _result(
    place: Geometry, found: Nearest, exact: bool, products: int, confidence: float, frozen: bool, pools: bool
) -> LinearRadius:
    curve, counts = shares_below(found.distances)
    some = torch.nonzero(found.number >= 0)[:, 0]
    margins = torch.zeros_like(found.distance, dtype=torch.float64)
    margins[some] = margins_at(place, found.number[some], some)
    return LinearRadius(
        radius=found.distance.double(),
        deciders=tuple(_decider(place, int(n), i) for i, n in enumerate(found.number)),
        normal=place.normals(place.found.gradients(found.number[some], some), margins),
        curve=curve,
        boundaries=counts,
        ties=found.ties,
        method="exact" if exact else "estimate",
        confidence=confidence,
        missed=found.missed.double(),
        resolution=place.resolution(),
        frozen=frozen,
        counts_pools=pools,
        counts_ties=place.ties,
        products=products,
        gradients=found.gradients,
    )


def _decider(place: Geometry, number: int, sample: int) -> Decider | None:
    if number < 0:
        return None
    item, margin = place.found.locate(number)
    if not item.pool:
        return Decider(item.name, "site", _coordinates(margin, item.shape), None, number)
    return Decider(item.name, "pool", *item.competitors(margin, sample), number)


def _coordinates(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), shape))


def _repeats(place: Geometry, rows: int) -> int:
    """Directions at once; on a CPU fewer where their tangents are large, as fresh memory is what takes time."""
    few = max(2, LARGE // place.found.size) if place.found.inputs[0].device.type == "cpu" else rows
    return max(1, min(rows, few) // place.batch)


def _units(net: Network, x: ModelInput, memory: str | int | None) -> int:
    """Gradients that may be taken at once."""
    rows_at_once(net, x, memory)
    device = net.device(x)
    return max(1, min(256, limit_of(memory, device) // (4 * net.footprint(x))))


def _check(method: str, directions: int, confidence: float, candidates: int, seed: int) -> None:
    check_choice("method", method, METHODS)
    check_count("directions", directions, 1)
    check_count("candidates", candidates, 1)
    check_count("seed", seed, 0)
    check_number("confidence", confidence, 0, 1, above=True, below=True)
