"""The neurons and channels that contribute most, and where in the input they look."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.explanation.texts import Text, place_in_text, through_units
from critpath.explanation.views import as_map, leading, shown_map
from critpath.network import gradients_on
from critpath.neurons import NeuronValues, Site, rows
from critpath.report import TopUnit
from critpath.report.content import Map
from critpath.response import Response
from critpath.targets import Channel, Neuron


@dataclass(frozen=True)
class _Found:
    """A neuron, by its index in its site, or a channel: its contribution, and the sum of |contribution| within it."""

    site: Site
    index: int
    channel: bool
    value: float
    size: float

    @property
    def unit(self) -> Neuron | Channel:
        name = self.site.name
        return Channel(name, self.index) if self.channel else Neuron(name, self.site.index_of(self.index))

    def mask(self, like: Tensor) -> Tensor:
        """Its neurons among those of the site: booleans [1, *shape]."""
        mask = torch.zeros((1, *self.site.shape), dtype=torch.bool, device=like.device)
        inside = mask.select(self.site.channel_dim + 1, self.index) if self.channel else mask.view(-1)[self.index]
        inside.fill_(True)
        return mask

    def name(self, text: Text | None) -> str:
        index = self.site.index_of(self.index) if not self.channel else ()
        if self.channel:
            return f"channel {self.index}, all {self.site.neurons // self.site.channels} positions"
        if len(index) < 2:
            return f"neuron {self.index}"
        return f"channel {index[self.site.channel_dim]} {place_in_text(self.site, index, text)}"


def top_units(
    response: Response, scores: NeuronValues, count: int, text: Text | None
) -> tuple[tuple[TopUnit, ...], tuple[TopUnit, ...]]:
    """The ``count`` neurons of largest |contribution| of one sample, and the ``count`` channels with positions whose
    summed contribution is largest in magnitude; the largest first."""
    neurons, channels = _largest(_neurons(scores, count), count), _largest(_channels(scores), count)
    found, total = [*neurons, *channels], _total(scores)
    units = tuple(
        TopUnit(one.site.name, one.name(text), one.value, one.size / total, where)
        for one, where in zip(found, _maps(response, scores, found, text), strict=True)
    )
    return units[: len(neurons)], units[len(neurons) :]


def _largest(found: Iterable[_Found], count: int) -> list[_Found]:
    return [one for one in sorted(found, key=lambda one: -abs(one.value))[:count] if one.value != 0]


def _maps(response: Response, scores: NeuronValues, found: Sequence[_Found], text: Text | None) -> list[Map]:
    if text is None:
        return [_where(response, scores, one) for one in found]
    return [shown_map(response, flow) for flow in through_units(response, text, [one.unit for one in found])]


def _channels(scores: NeuronValues) -> Iterator[_Found]:
    for site, values in _with_positions(scores):
        sizes = scores[site.name].abs().movedim(site.channel_dim + 1, 1)[0].flatten(1).sum(dim=1).tolist()
        for channel, (value, size) in enumerate(zip(values, sizes, strict=True)):
            yield _Found(site, channel, True, float(value), size)


def _with_positions(scores: NeuronValues) -> Iterator[tuple[Site, list[float]]]:
    for site, sums in zip(scores.space, scores.channels(), strict=True):
        if site.neurons > site.channels:
            yield site, sums[0].tolist()


def _neurons(scores: NeuronValues, count: int) -> Iterator[_Found]:
    """The largest of every site."""
    for site, values in scores.items():
        flat = values[0].flatten()
        for index in flat.abs().topk(min(count, len(flat))).indices.tolist():
            yield _Found(site, index, False, float(flat[index]), abs(float(flat[index])))


def _where(response: Response, scores: NeuronValues, found: _Found) -> Map:
    """|gradient| of the unit's contribution, its weight per activation (score / activation) held fixed."""
    name = found.site.name
    held = response.run.activation(name).detach()
    weights = torch.where(found.mask(held) & (held != 0), scores[name] / held, 0.0).to(held.dtype)
    with gradients_on():
        unit = rows(response.run.activation(name) * weights).sum(dim=1)
    return as_map(leading(response, response.run.input_gradients(unit)))


def _total(scores: NeuronValues) -> float:
    return float(sum(values.abs().sum(dtype=torch.float64) for values in scores.tensors))
