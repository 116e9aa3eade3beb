"""Conductance onto the input: which input features flow to the response through chosen neurons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from critpath.attribution.along import UNITS, add_to, in_their_dtype, integrated, points_of, totals_of
from critpath.attribution.family import ATTRIBUTIONS, InputMaps
from critpath.attribution.tokens import check_moves, over_input
from critpath.baselines import InputBaseline
from critpath.errors import OptionError
from critpath.groups import By, Groups, Unit, groups_of
from critpath.network import ModelInput, Network, gradients_on, map_tensors
from critpath.response import Response, respond
from critpath.targets import Channel, Neuron, TargetLike

POINTS = 32
NAMES = ("channels", "sites")


@dataclass(frozen=True, eq=False)
class UnitMaps:
    """One map over the input for each unit: ``maps`` has the input's structure, tensors [units, batch, ...].

    At tokens they are [units, batch, length], summed over the features of their embeddings.
    """

    names: tuple[str, ...]
    maps: ModelInput

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> ModelInput:
        """The map of one unit, shaped like the input. Raises OptionError for a name that is not here."""
        if name not in self.names:
            raise OptionError(f"no unit is called {name!r}; there are {', '.join(self.names[:8])}")
        return map_tensors(self.maps, lambda maps: maps[self.names.index(name)])


@gradients_on()
def conductance_maps(
    net: Network,
    x: ModelInput,
    through: By | Unit,
    target: TargetLike = None,
    *,
    baseline: InputBaseline = None,
    points: int = POINTS,
    memory: str | int | None = None,
) -> UnitMaps:
    """(x_i - x'_i) ∫ Σ_y ∂Φ/∂y ∂y/∂x_i dα for every unit: what flows from each input value through its neurons y.

    Equation 2 of the conductance paper. ``through`` names the units, as ``by`` does in ``score``: a list of
    ``Channel``, ``Neuron`` and site names, or a mapping of names to them. A unit's map adds up to its
    conductance. Forward passes, and the way back to the site, are shared by all units; each adds a way back
    from the site to the input for every one of the ``points`` (Gauss-Legendre). Several baselines are averaged.

    Raises OptionError, InputError (also where nothing in the input can move), TargetError, NumericalError.
    """
    response = respond(net, x, target)
    _check(response, points)
    if through is None or through == "neurons":
        raise OptionError(f"one map for each of {response.space.neurons:,} neurons: name those that are wanted")
    groups = groups_of(_as_by(through), response.space)
    return UnitMaps(groups.names, over_input(_maps(response, groups, baseline, points, memory), response))


@ATTRIBUTIONS.register("conductance", forwards=POINTS + 1, backwards=POINTS)
def conductance(
    response: Response,
    *,
    through: Unit | Sequence[Unit] | None = None,
    baseline: InputBaseline = None,
    points: int = POINTS,
    memory: str | int | None = None,
) -> InputMaps:
    """The map of ``conductance_maps`` for one unit: a site's name, a ``Channel``, a ``Neuron``, or several together.

    Without ``through``, everything that reaches the response: the integrated gradients of the input.
    """
    _check(response, points)
    if through is None:
        return integrated(response, baseline, points, memory)
    units: list[Unit] = list(through) if isinstance(through, list | tuple) else [cast(Unit, through)]
    found = _maps(response, groups_of({"unit": units}, response.space), baseline, points, memory)
    return tuple(None if maps is None else maps[0] for maps in found)


def _as_by(through: By | Unit) -> By:
    """A single unit as a list of one."""
    single = isinstance(through, Channel | Neuron) or (isinstance(through, str) and through not in NAMES)
    return [cast(Unit, through)] if single else cast(By, through)


def _check(response: Response, points: int) -> None:
    if not isinstance(points, int) or points < 1:
        raise OptionError(f"points is {points!r}; a line needs 1 point or more")
    check_moves(response)


def _maps(
    response: Response, groups: Groups, baseline: InputBaseline, points: int, memory: str | int | None
) -> InputMaps:
    """[units, *its shape] for everything that moves."""
    totals, (positions, members) = totals_of(response, len(groups)), _members(groups, response)
    for run, line, weights, samples in points_of(response, baseline, points, memory, len(groups)):
        gradients = run.site_gradients(response.of_rows(run, samples), positions)
        for first in range(0, len(groups), UNITS):
            chosen = [m[first : first + UNITS].unsqueeze(1).to(g) * g for m, g in zip(members, gradients, strict=True)]
            add_to(totals, first, run.from_sites(positions, chosen), line, weights, samples)
    return tuple(in_their_dtype(totals, response))


def _members(groups: Groups, response: Response) -> tuple[list[int], list[Tensor]]:
    """The sites that units lie in, and for each of these which neurons are members: [units, *shape]."""
    sites = [p for p in range(len(response.space)) if len(groups.columns(p))]
    return sites, [torch.stack([_mask(groups, unit, p) for unit in range(len(groups))]) for p in sites]


def _mask(groups: Groups, unit: int, position: int) -> Tensor:
    mask = groups.mask(unit, position)
    return torch.zeros(groups.space.sites[position].shape, dtype=torch.bool) if mask is None else mask
