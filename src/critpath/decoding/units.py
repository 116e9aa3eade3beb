"""The neuron of a pathway that contributed most, as an objective."""

from __future__ import annotations

import torch
from torch import Tensor

from critpath.errors import OptionError
from critpath.neurons import NeuronSpace, NeuronValues, rows
from critpath.pathway import Pathway
from critpath.targets import Channel, Each, Neuron, Target


def top_neuron(
    scores: NeuronValues, pathway: Pathway | None = None, *, site: str | None = None, channel: bool = False
) -> Target:
    """The neuron of largest |score|, the first of several alike: a ``Neuron``, or ``Each`` of them for more samples.

    Among the pathway's neurons, or all; over the network, or within one site (the paper's: the last convolution's).
    With ``channel``, the channel that it is in.

    Raises OptionError where every score is zero, MismatchError for another network's pathway or an unknown site.
    """
    sizes = scores.map(torch.abs)
    if pathway is not None:
        sizes = sizes.map(lambda size, keep: torch.where(keep.to(size.device), size, 0), pathway.keep)
    space, values = _within(sizes, site)
    best = values.max(dim=1)
    if not (best.values > 0).all():
        where = f"site {site}" if site is not None else "the network"
        silent = (~(best.values > 0)).nonzero().flatten().tolist()
        raise OptionError(f"no neuron of {where} has a score other than zero, for samples {silent[:8]}")
    found = tuple(_as_target(space, flat, channel) for flat in best.indices.tolist())
    return found[0] if len(found) == 1 else Each(found)


def _within(sizes: NeuronValues, site: str | None) -> tuple[NeuronSpace, Tensor]:
    """A site, or all, and the values there [batch, neurons]."""
    if site is None:
        return sizes.space, sizes.flatten()
    return NeuronSpace((sizes.space[site],)), rows(sizes[site])


def _as_target(space: NeuronSpace, flat: int, channel: bool) -> Target:
    site, index = space.locate(flat)
    if channel:
        return Channel(site.name, index[site.channel_dim] if index else 0)
    return Neuron(site.name, index)
