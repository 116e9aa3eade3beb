"""The inputs of a data set that drive a unit most, and the part of each that does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, overload

import torch
from torch import Tensor

from critpath.attribution import attribute
from critpath.attribution.conductance import POINTS
from critpath.baselines import InputBaseline
from critpath.errors import InputError, NumericalError, OptionError
from critpath.memory import rows_at_once
from critpath.network import (
    ModelInput,
    Network,
    Run,
    batch_size,
    gradients_on,
    map_tensors,
    sample_of,
    samples_of,
    tensors_of,
)
from critpath.neurons import Site, rows, wide
from critpath.options import check_count, shown
from critpath.registry import check_known
from critpath.targets import Channel, Each, Neuron, Target

BY = ("mean", "max")
SHARE = 0.8
"""Of what the map holds along each side, the share between the sides of the box."""

ROUNDING = 1e-9

Found: TypeAlias = tuple[float, int, int, ModelInput]
"""An example: minus its value, its number, the position of a channel's maximum (or 0), and the input."""


@dataclass(frozen=True, eq=False)
class TopExamples:
    """The inputs that drive a unit most, the first ones first.

    ``inputs``: the model's input, of n samples. ``values`` [n]; ``indices`` [n]: their numbers in the data, from 0.
    ``positions``: for ``by="max"``, where in the channel each is driven most, coordinates in the site; else empty.
    ``maps`` [n, *positions of the input]: the conductance of the first floating-point input through the unit, summed
    over channels; it adds up to what the unit's value is above that of the baseline. ``boxes`` (top, left, bottom,
    right), the last two exclusive, for pictures: around the part that drives the unit. Both empty without ``part``.
    """

    unit: Target
    inputs: ModelInput
    values: Tensor
    indices: Tensor
    positions: tuple[tuple[int, ...], ...] = ()
    maps: Tensor | None = None
    boxes: tuple[tuple[int, int, int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"TopExamples({self.unit}, indices={self.indices.tolist()})"

    def crop(self, index: int) -> Tensor:
        """The part of one input [channels, h, w] that drives the unit. Raises InputError where there is no box."""
        if not self.boxes:
            raise InputError("there are no boxes: they are found with part=True, for inputs that are pictures")
        if not -len(self) <= index < len(self):
            raise InputError(f"there is no example {index} among {len(self)}")
        top, left, bottom, right = self.boxes[index]
        return _leading(self.inputs)[index, :, top:bottom, left:right]


@overload
def top_examples(
    net: Network, batches: Iterable[ModelInput], unit: Target, n: int = ..., *, by: str = ..., part: bool = ...,
    baseline: InputBaseline = ..., points: int = ..., memory: str | int | None = ...,
) -> TopExamples: ...  # fmt: skip


@overload
def top_examples(
    net: Network, batches: Iterable[ModelInput], unit: Sequence[Target], n: int = ..., *, by: str = ...,
    part: bool = ..., baseline: InputBaseline = ..., points: int = ..., memory: str | int | None = ...,
) -> tuple[TopExamples, ...]: ...  # fmt: skip


@gradients_on()
def top_examples(
    net: Network,
    batches: Iterable[ModelInput],
    unit: Target | Sequence[Target],
    n: int = 9,
    *,
    by: str = "mean",
    part: bool = True,
    baseline: InputBaseline = None,
    points: int = POINTS,
    memory: str | int | None = None,
) -> TopExamples | tuple[TopExamples, ...]:
    """The ``n`` inputs of some data for which a unit is largest, the earlier one of two alike.

    The data pass once, and only the best inputs of each unit are kept; one tensor, or one mapping of inputs, is one
    batch. ``unit``: a ``Neuron``, ``Channel``, or any target that holds for single samples; or several, with a result
    each. ``by`` says what counts of a channel: its ``"mean"`` over positions, or the ``"max"``, whose position is then
    found too. ``part`` adds the part of the input that drives the unit: conductance (equation 2, with the unit as the
    response) from ``baseline``, on ``points``. It is left out for inputs without a floating-point tensor.

    Raises OptionError, TargetError, InputError where there is no data, NumericalError where a value is not finite.
    """
    units = _units(unit)
    _check(units, n, by)
    best: list[list[Found]] = [[] for _ in units]
    for first, x in _pieces(net, batches, memory):
        run = net.run(x, graph=False)
        best = [_better(found, one, x, run, first, n, by) for found, one in zip(best, units, strict=True)]
    if not best[0]:
        raise InputError("there is no data to find examples in: the iterable of batches is empty")
    found = [_result(net, one, top, by) for one, top in zip(units, best, strict=True)]
    full = tuple(_with_part(net, one, baseline, points, memory) for one in found) if part else tuple(found)
    return full[0] if isinstance(unit, Target) else full


def _units(unit: Target | Sequence[Target]) -> list[Target]:
    units = list(unit) if isinstance(unit, Sequence) else [unit]
    if not units or not all(isinstance(one, Target) for one in units):
        raise OptionError(f"a unit is a Neuron, a Channel or another target; got {shown(unit)}")
    return units


def _check(units: Sequence[Target], n: int, by: str) -> None:
    check_known("measure of a unit", by, BY)
    check_count("n", n, 1)
    for one in units:
        if one.for_samples is not None or one.follows_prediction or not one.any_batch:
            raise OptionError(f"{type(one).__name__} does not hold for single samples of any data; name one class, say")


def _pieces(net: Network, batches: Iterable[ModelInput], memory: str | int | None) -> Iterator[tuple[int, ModelInput]]:
    """Parts of the batches that memory has room for, and the number of the first sample of each."""
    first = 0
    for x in [batches] if isinstance(batches, Tensor | Mapping) else batches:
        for samples in torch.split(torch.arange(batch_size(x)), rows_at_once(net, x, memory)):
            yield first + int(samples[0]), samples_of(x, samples)
        first += batch_size(x)


def _better(found: list[Found], unit: Target, x: ModelInput, run: Run, first: int, n: int, by: str) -> list[Found]:
    """The ``n`` best of those found and those of this run, whose samples are numbered from ``first``."""
    values, places = _values(unit, run, by)
    if not torch.isfinite(values).all():
        raise NumericalError(f"the unit is NaN or infinite for samples {first} to {first + run.batch - 1}")
    order = values.argsort(descending=True, stable=True)[:n].tolist()
    rows_ = [(-float(values[i]), first + i, int(places[i]), x, i) for i in order]
    kept = [row for row in rows_ if len(found) < n or row[0] < found[-1][0]]
    new = [(value, number, place, _copied(sample_of(x, i))) for value, number, place, x, i in kept]
    return sorted([*found, *new], key=lambda one: one[:2])[:n]


def _values(unit: Target, run: Run, by: str) -> tuple[Tensor, Tensor]:
    """The unit's value [batch], and at which of a channel's positions it is (0 where it is of them all)."""
    values = unit.fixed(run).of(run).detach()
    if by == "mean" or not isinstance(unit, Channel):
        return wide(values), torch.zeros(run.batch, dtype=torch.long)
    site, a = run.space[unit.site], run.activation(unit.site).detach()
    best = rows(a.select(site.channel_dim + 1, unit.channel) if site.shape else a).max(dim=1)
    return wide(best.values), best.indices


def _copied(x: ModelInput) -> ModelInput:
    return map_tensors(x, lambda tensor: tensor.detach().clone())


def _result(net: Network, unit: Target, top: list[Found], by: str) -> TopExamples:
    inputs = _together([x for _, _, _, x in top])
    values, indices = torch.tensor([-one[0] for one in top], dtype=torch.float64), torch.tensor([one[1] for one in top])
    positions: tuple[tuple[int, ...], ...] = ()
    if by == "max" and isinstance(unit, Channel):
        site = net.sites(top[0][3])[unit.site]
        positions = tuple(_coordinates(site, unit.channel, place) for _, _, place, _ in top)
    return TopExamples(unit, inputs, values, indices, positions)


def _together(samples: Sequence[ModelInput]) -> ModelInput:
    """Batches of one as one batch; tensors that the samples share stay as they are."""
    columns = iter(zip(*(tensors_of(x) for x in samples), strict=True))

    def join(tensor: Tensor) -> Tensor:
        column = next(columns)
        return torch.cat(column) if tensor.dim() and len(tensor) == 1 else tensor

    return map_tensors(samples[0], join)


def _coordinates(site: Site, channel: int, place: int) -> tuple[int, ...]:
    """Of the position at ``place`` of a channel, in row-major order."""
    if not site.shape:
        return ()
    others = [n for dim, n in enumerate(site.shape) if dim != site.channel_dim]
    found = [int(i) for i in torch.unravel_index(torch.tensor(place), others)] if others else []
    return (*found[: site.channel_dim], channel % site.channels, *found[site.channel_dim :])


def _with_part(
    net: Network, found: TopExamples, baseline: InputBaseline, points: int, memory: str | int | None
) -> TopExamples:
    if not any(tensor.is_floating_point() for tensor in tensors_of(found.inputs)):
        return found
    unit = found.unit
    if found.positions and isinstance(unit, Channel):
        unit = Each(tuple(Neuron(unit.site, position) for position in found.positions))
    maps = attribute(net, found.inputs, "conductance", target=unit, baseline=baseline, points=points, memory=memory)
    flat = _leading(maps)
    if flat.dim() != 4:
        return replace(found, maps=flat)
    summed = flat.sum(dim=1)
    return replace(found, maps=summed, boxes=tuple(_box(one) for one in summed))


def _leading(x: ModelInput) -> Tensor:
    """The first floating-point tensor."""
    return next(tensor for tensor in tensors_of(x) if tensor.is_floating_point())


def _box(found: Tensor) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of what a map [H, W] has in its middle ``SHARE`` along each side.

    Of what is positive; a map without it has the whole picture as its box.
    """
    positive = found.double().clamp(min=0)
    (top, bottom), (left, right) = _middle(positive.sum(dim=1)), _middle(positive.sum(dim=0))
    return top, left, bottom, right


def _middle(amounts: Tensor) -> tuple[int, int]:
    """First and one past the last place [n] between which the middle share of the amounts lies."""
    if not amounts.any():
        return 0, len(amounts)
    share = amounts.cumsum(0) / amounts.sum()
    cut = (1 - SHARE) / 2
    return int((share < cut + ROUNDING).sum()), int((share < 1 - cut - ROUNDING).sum()) + 1
