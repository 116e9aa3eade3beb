"""Is it as the radius says: nothing flips inside, and just outside the one neuron does?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from critpath.analysis.linearity.geometry import Geometry, Scale, geometry, moved
from critpath.analysis.linearity.result import Decider, LinearRadius
from critpath.errors import MismatchError
from critpath.network import Boundaries, ModelInput, Network, map_tensors
from critpath.options import check_count, check_number, check_type
from critpath.pathway import Pathway
from critpath.response import Response, respond
from critpath.targets import TargetLike

INSIDE, OUTSIDE = 0.99, 1.001
"""Shares of the radius at which points are taken: inside the ball, and just outside along the deciding normal."""


@dataclass(frozen=True, eq=False)
class LinearityCheck:
    """What was found at points inside the ball, and just outside it; everything is [batch].

    ``flips_inside``: boundaries crossed at any of the ``points`` inside. ``gradient_error``: the largest relative
    change of the gradient of the response there, ||Δg|| / ||g||. ``linear_error``: the largest departure from the
    tangent, |Φ(y) - Φ(x) - g·(y - x)|, relative to |Φ(x)| + ||g|| r.
    ``decider_flips``: whether the deciding boundary is crossed just outside, along its
    normal; ``others_flip``: how many others are. ``resolved``: whether the ball is large enough to be walked in the
    input's precision; where it is not, the other figures tell of rounding. Without any boundary there is nothing to
    flip outside.
    """

    points: int
    tolerance: float
    flips_inside: Tensor
    gradient_error: Tensor
    linear_error: Tensor
    decider_flips: Tensor
    others_flip: Tensor
    resolved: Tensor

    @property
    def holds(self) -> Tensor:
        """Whether all is as the radius says: booleans [batch]; False also where it cannot be resolved.

        A boundary at the same distance may flip outside in place of the deciding one. Where ties are left out, the
        gradient may change with them.
        """
        inside = (self.flips_inside == 0) & (self.gradient_error <= self.tolerance)
        outside = self.decider_flips | (self.others_flip > 0)
        return inside & (self.linear_error <= self.tolerance) & outside & self.resolved

    def __str__(self) -> str:
        return "\n".join(self._line(i) for i in range(len(self.holds)))

    def _line(self, i: int) -> str:
        if not self.resolved[i]:
            return (
                f"sample {i}: the ball is smaller than the input's precision resolves: run it in float64, or where "
                "the radius is 0, as the input lies on a boundary, leave those out (linear_radius(..., ties=False))"
            )
        return (
            f"sample {i}: {'holds' if self.holds[i] else 'HOLDS NOT'}; inside, {int(self.flips_inside[i])} flips at "
            f"{self.points} points, gradient within {float(self.gradient_error[i]):.1g}, linear within "
            f"{float(self.linear_error[i]):.1g}; outside, the deciding boundary "
            f"{'flips' if self.decider_flips[i] else 'does not flip'} and {int(self.others_flip[i])} others"
        )


def check_linear(
    net: Network,
    x: ModelInput,
    radius: LinearRadius,
    pathway: Pathway | None = None,
    *,
    target: TargetLike = None,
    scale: Scale = None,
    directions: int = 8,
    seed: int = 0,
    tolerance: float | None = None,
) -> LinearityCheck:
    """Walk from x to 0.99 of the radius along random directions and both ways along the normal, and see.

    ``pathway`` and ``scale`` are those that the radius was computed with; ``tolerance`` is for the relative errors,
    by default the square root of the input's rounding unit. Three forward passes and a backward one for each point.
    Raises MismatchError where the radius is of another batch, or of the network where a pathway is given.
    """
    _check(radius, pathway, directions, seed, tolerance)
    place = geometry(net, x, pathway, target, scale, radius.counts_pools, radius.counts_ties)
    if len(radius.radius) != place.batch:
        raise MismatchError(f"a radius of {len(radius.radius)} samples, an input of {place.batch}")
    steps = torch.where(torch.isfinite(radius.radius), radius.radius, 1.0)
    points = [moved(x, way, INSIDE * steps) for way in _ways(place, radius, directions, seed)]
    plain = respond(net, x, target)
    first = plain.rerun(place.rule)
    errors = [_errors(place, first, replace(plain, x=y).rerun(place.rule), steps) for y in points]
    flips = torch.stack([_flips(place, y)[0] for y in points])
    outside, decided = _flips(place, moved(x, radius.normal, OUTSIDE * steps), radius.deciders)
    nothing = torch.tensor([decider is None for decider in radius.deciders], device=decided.device)
    return LinearityCheck(
        points=len(points),
        tolerance=torch.finfo(place.found.inputs[0].dtype).eps ** 0.5 if tolerance is None else tolerance,
        flips_inside=flips.sum(0),
        gradient_error=torch.stack([gradient for gradient, _ in errors]).amax(0),
        linear_error=torch.stack([linear for _, linear in errors]).amax(0),
        decider_flips=(decided > 0) | nothing,
        others_flip=outside - decided,
        resolved=radius.resolved,
    )


def _ways(place: Geometry, radius: LinearRadius, directions: int, seed: int) -> list[ModelInput]:
    """Unit steps: random ones, the same for every sample, and both ways along the normal."""
    generator = torch.Generator().manual_seed(seed)
    ways = [radius.normal, map_tensors(radius.normal, lambda way: -way)]
    ones = torch.ones(place.batch, dtype=torch.float64, device=place.found.inputs[0].device)
    for _ in range(directions):
        drawn = [torch.randn(leaf.shape[1:], generator=generator, dtype=torch.float64) for leaf in place.found.inputs]
        pairs = zip(drawn, place.found.inputs, strict=True)
        ways.append(place.normals([d.to(leaf).expand_as(leaf) for d, leaf in pairs], ones))
    return ways


def _errors(place: Geometry, first: Response, other: Response, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Relative change of the gradient, and relative departure from the tangent: [batch] each."""
    here, there = _gradient(first, place), _gradient(other, place)
    pairs = zip(_inputs(first, place), _inputs(other, place), here, strict=True)
    tangent = sum((((y - x) * g).flatten(1).sum(1) for x, y, g in pairs), torch.zeros(()).double())
    scaled = place.norms(here)
    change = place.norms([a - b for a, b in zip(here, there, strict=True)]) / scaled.clamp(min=1e-300)
    size = first.value.detach().double().abs() + scaled * steps.to(scaled.device)
    departure = (other.value - first.value).detach().double() - tangent
    return change, departure.abs() / size.clamp(min=1e-300)


def _inputs(response: Response, place: Geometry) -> list[Tensor]:
    leaves = [response.run.inputs[number] for number in place.found.moving]
    return [leaf.detach().double() for leaf in leaves if leaf is not None]


def _gradient(response: Response, place: Geometry) -> list[Tensor]:
    found = response.run.input_gradients(response.value)
    gradients = [found[number] for number in place.found.moving]
    return [gradient.double() for gradient in gradients if gradient is not None]


def _flips(place: Geometry, y: ModelInput, deciders: tuple[Decider | None, ...] = ()) -> tuple[Tensor, Tensor]:
    """How many neurons or windows that count are crossed between x and y, and how many by deciders: [batch] each."""
    there = place.found.net.boundaries(y, place.rule)
    crossed = [_crossed(place, there, number) for number in range(len(place.found.items))]
    decided = torch.zeros(place.batch, dtype=torch.long, device=crossed[0].device)
    for sample, decider in enumerate(deciders):
        if decider is not None:
            decided[sample] = _by_decider(place, there, decider, sample)
    return torch.stack([c.sum(1) for c in crossed]).sum(0), decided


def _crossed(place: Geometry, there: Boundaries, number: int) -> Tensor:
    item = place.found.items[number]
    changed, keep = item.crossed(there.items[number], place.ties), place.counted[number]
    return changed if keep is None else changed & keep


def _by_decider(place: Geometry, there: Boundaries, decider: Decider, sample: int) -> int:
    item, margin = place.found.locate(decider.number)
    other, _ = there.locate(decider.number)
    return int(item.crossed_by(other, margin, sample).sum())


def _check(radius: LinearRadius, pathway: Pathway | None, directions: int, seed: int, tolerance: float | None) -> None:
    check_type("radius", radius, LinearRadius, "linear_radius(net, x) gives one")
    check_count("directions", directions, 0)
    check_count("seed", seed, 0)
    if tolerance is not None:
        check_number("tolerance", tolerance, 0)
    if radius.frozen != (pathway is not None):
        of = "a pathway's frozen network" if radius.frozen else "the network"
        raise MismatchError(f"the radius is that of {of}; give the pathway that it was computed with, and no other")
