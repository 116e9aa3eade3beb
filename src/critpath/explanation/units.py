"""The neurons and channels that contribute most, and where in the input they look."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from critpath.explanation.views import as_map, leading
from critpath.network import gradients_on
from critpath.neurons import NeuronValues, Site, rows
from critpath.report import TopUnit
from critpath.report.content import Map
from critpath.response import Response


def top_neurons(response: Response, scores: NeuronValues, count: int) -> tuple[TopUnit, ...]:
    """The ``count`` neurons of largest |contribution| of one sample, the largest first."""
    total = _total(scores)
    ranked = sorted(_best_in_sites(scores, count), key=lambda row: -abs(row[2]))[:count]
    return tuple(
        TopUnit(
            site.name,
            _neuron_name(site, flat),
            value,
            abs(value) / total,
            _where(response, scores, site, _one(site, flat, scores[site.name])),
        )
        for site, flat, value in ranked
        if value != 0
    )


def top_channels(response: Response, scores: NeuronValues, count: int) -> tuple[TopUnit, ...]:
    """The ``count`` channels with positions whose summed contribution is largest in magnitude."""
    total = _total(scores)
    sums = [(site, c, float(v)) for site, values in _with_positions(scores) for c, v in enumerate(values)]
    ranked = sorted(sums, key=lambda row: -abs(row[2]))[:count]
    return tuple(
        TopUnit(
            site.name,
            f"channel {channel}, all {site.neurons // site.channels} positions",
            value,
            float(scores[site.name].select(site.channel_dim + 1, channel).abs().sum()) / total,
            _where(response, scores, site, _whole_channel(site, channel, scores[site.name])),
        )
        for site, channel, value in ranked
        if value != 0
    )


def _with_positions(scores: NeuronValues) -> Iterator[tuple[Site, list[float]]]:
    for site, sums in zip(scores.space, scores.channels(), strict=True):
        if site.neurons > site.channels:
            yield site, sums[0].tolist()


def _best_in_sites(scores: NeuronValues, count: int) -> Iterator[tuple[Site, int, float]]:
    for site, values in scores.items():
        flat = values[0].flatten()
        for index in flat.abs().topk(min(count, len(flat))).indices.tolist():
            yield site, index, float(flat[index])


def _where(response: Response, scores: NeuronValues, site: Site, mask: Tensor) -> Map:
    """|gradient| of the unit's contribution, its weight per activation (score / activation) held fixed."""
    held = response.run.activation(site.name).detach()
    weights = torch.where(mask & (held != 0), scores[site.name] / held, 0.0).to(held.dtype)
    with gradients_on():
        unit = rows(response.run.activation(site.name) * weights).sum(dim=1)
    return as_map(leading(response.run.input_gradients(unit)))


def _total(scores: NeuronValues) -> float:
    return float(sum(values.abs().sum(dtype=torch.float64) for values in scores.tensors))


def _one(site: Site, flat: int, like: Tensor) -> Tensor:
    mask = torch.zeros(site.neurons, dtype=torch.bool, device=like.device)
    mask[flat] = True
    return mask.view(1, *site.shape)


def _whole_channel(site: Site, channel: int, like: Tensor) -> Tensor:
    mask = torch.zeros((1, *site.shape), dtype=torch.bool, device=like.device)
    mask.select(site.channel_dim + 1, channel).fill_(True)
    return mask


def _neuron_name(site: Site, flat: int) -> str:
    index = site.index_of(flat)
    if len(index) < 2:
        return f"neuron {flat}"
    place = ", ".join(str(i) for dim, i in enumerate(index) if dim != site.channel_dim)
    return f"channel {index[site.channel_dim]} at ({place})"
