"""Distances to boundaries: every one exactly, or all estimated together and the nearest ones exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.analysis.linearity.geometry import Geometry
from critpath.network import Boundary
from critpath.neurons import wide

RANKED = 4096
"""Candidates that are put in order; what is farther is bounded together."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """For each sample the nearest boundary's number (-1 for none) and distance, and all distances, exact or estimated.

    ``missed`` [batch] bounds the chance that a nearer one was missed. ``gradients`` is the number of backward passes,
    each for all samples: as many as the sample took that took most. ``ties`` [batch] are boundaries at distance 0.
    """

    number: Tensor
    distance: Tensor
    distances: list[Tensor]
    missed: Tensor
    gradients: int
    ties: Tensor


# ---------------------------------------------------------------------------------------------------- exact
def exactly(place: Geometry, units: int) -> Nearest:
    """|m| / ||grad m|| of every margin m, by backward passes over ``units`` margins at once."""
    pairs = zip(place.found.items, place.counted, strict=True)
    distances, ties = place.only_counted([_distances(place, item, keep, units) for item, keep in pairs])
    joined = torch.cat(distances, dim=1)
    distance, number = joined.min(dim=1)
    nothing = torch.zeros_like(distance)
    return Nearest(_or_none(number, distance), distance, distances, nothing, place.to_take, ties)


def _distances(place: Geometry, item: Boundary, keep: Tensor | None, units: int) -> Tensor:
    """[batch, size], infinite at those that no sample counts."""
    numbers = list(range(item.size)) if keep is None else keep.any(0).nonzero()[:, 0].tolist()
    chunks = [numbers[i : i + units] for i in range(0, len(numbers), units)]
    norms = torch.zeros(item.size, place.batch, dtype=torch.float64, device=item.given.device)
    for chunk in chunks:
        norms[chunk] = place.norms(place.found.every_gradient(item, chunk), leading=2)
    return _ratio(item.margins().double(), norms.T)


def _ratio(margins: Tensor, norms: Tensor) -> Tensor:
    """Distances; infinite where the gradient is zero: such a margin does not depend on the input."""
    return torch.where(norms > 0, margins.abs() / norms, torch.inf)


def _or_none(number: Tensor, distance: Tensor) -> Tensor:
    return torch.where(torch.isfinite(distance), number, -1)


# ------------------------------------------------------------------------------------------------- estimated
def estimated(place: Geometry, directions: int, repeats: int, seed: int) -> tuple[list[Tensor], Tensor]:
    """|m| / n̂ of every margin m, n̂² = mean of (grad m · v)² over Gaussian v; and how many are 0 [batch].

    One tensor [batch, size] for each boundary.
    K n̂² / ||grad m||² is chi-squared with K degrees of freedom. ``repeats`` directions go through at once; the same
    ones are used for every sample.
    """
    sums = [torch.zeros(1, device=item.given.device) for item in place.found.items]
    for drawn in _directions(place, directions, repeats, seed):
        sums = [one + more for one, more in zip(sums, place.found.squares(drawn), strict=True)]
    pairs = zip(place.found.items, sums, strict=True)
    found = [_ratio(item.margins(), (s / directions).sqrt().expand(-1, item.size)) for item, s in pairs]
    return place.only_counted(found)


def _directions(place: Geometry, number: int, at_once: int, seed: int) -> Iterator[list[Tensor]]:
    """Standard normal in the measured units: [repeats, batch, *shape] for each input."""
    generator = torch.Generator().manual_seed(seed)
    leaves = place.found.inputs
    for start in range(0, number, at_once):
        drawn = [[_normal(leaf, generator) for leaf in leaves] for _ in range(min(at_once, number - start))]
        yield [
            (torch.stack(column) / scale).unsqueeze(1).expand(-1, place.batch, *leaf.shape[1:])
            for column, leaf, scale in zip(zip(*drawn, strict=True), leaves, place.scales, strict=True)
        ]


def _normal(leaf: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(leaf.shape[1:], generator=generator, dtype=torch.float64).to(leaf)


def confirmed(
    place: Geometry, distances: list[Tensor], ties: Tensor, directions: int, confidence: float, limit: int
) -> Nearest:
    """Exact distances of candidates, nearest estimate first, until a nearer one is unlikely enough to be left.

    The chance that a margin whose estimated distance is d̂ is nearer than d is at most P(chi²_K < K (d / d̂)²); over
    those not taken they are added up. Each sample ends by itself, after ``limit`` gradients at the latest.
    """
    values, order = _ranked(distances)
    best = torch.full((place.batch,), torch.inf, dtype=torch.float64, device=values.device)
    number = torch.full_like(best, -1, dtype=torch.long)
    missed, rest = torch.ones_like(best), sum(d.shape[1] for d in distances) - values.shape[1]
    open_, most = torch.arange(place.batch, device=values.device), min(limit, values.shape[1])
    for taken in range(most + 1):
        missed[open_] = _missed(best[open_], values[open_, taken:], values[open_, -1], rest, directions)
        open_ = open_[missed[open_] > 1 - confidence]
        if taken == most or len(open_) == 0:
            break
        exact = _exact(place, order[open_, taken], open_)
        nearer = exact < best[open_]
        best[open_] = torch.where(nearer, exact, best[open_])
        number[open_] = torch.where(nearer, order[open_, taken], number[open_])
    return Nearest(number, best, distances, missed, taken, ties)


def _ranked(distances: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The smallest distances [batch, n] in order, and which boundaries they are."""
    found, first = [], 0
    for part in distances:
        smallest, number = part.topk(min(RANKED, part.shape[1]), dim=1, largest=False)
        found.append((smallest.double(), number + first))
        first += part.shape[1]
    values, numbers = (torch.cat(column, dim=1) for column in zip(*found, strict=True))
    smallest, place = values.topk(min(RANKED, values.shape[1]), dim=1, largest=False)
    return smallest, numbers.gather(1, place)


def _missed(best: Tensor, left: Tensor, last: Tensor, rest: int, directions: int) -> Tensor:
    """Chance [batch] that one of those left [batch, n], or of the ``rest`` that lie beyond ``last``, is nearer."""
    beyond = rest * _chance(best, last, directions)
    return (_chance(best.unsqueeze(1), left, directions).sum(1) + beyond).clamp(max=1)


def _chance(distance: Tensor, estimate: Tensor, directions: int) -> Tensor:
    """P(chi²_K < K (d / d̂)²), 0 where the estimate is infinite: then the gradient is zero."""
    ratio = torch.where(torch.isfinite(estimate), distance / estimate, 0.0).nan_to_num(0.0)
    half = torch.full_like(ratio, directions / 2)
    chance: Tensor = torch.special.gammainc(half, half * ratio.square())
    return chance


def _exact(place: Geometry, numbers: Tensor, samples: Tensor) -> Tensor:
    """Exact distances [n] of one margin of each of some samples."""
    norms = place.norms(place.found.gradients(numbers, samples))[samples]
    margins = margins_at(place, numbers, samples).double()
    return _ratio(margins, norms)


def margins_at(place: Geometry, numbers: Tensor, samples: Tensor) -> Tensor:
    """Margins [n], one of each of some samples."""
    found, first = torch.zeros(len(numbers), dtype=torch.float64, device=numbers.device), 0
    for item in place.found.items:
        mine = (numbers >= first) & (numbers < first + item.size)
        if bool(mine.any()):
            found[mine] = wide(item.margins()[samples[mine], numbers[mine] - first]).double()
        first += item.size
    return found
