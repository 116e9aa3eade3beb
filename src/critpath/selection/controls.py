"""Pathways to compare with: random neurons, and all active ones."""

from __future__ import annotations

import torch

from critpath.neurons import NeuronSpace, NeuronValues, dead_neurons
from critpath.pathway import Pathway
from critpath.response import Response
from critpath.selection.family import FINDERS
from critpath.selection.ranking import select
from critpath.selection.threshold import keep_largest


@FINDERS.register("random", forwards=1, backwards=0)
def random(response: Response, sparsity: float, *, scope: str = "network", seed: int = 0) -> Pathway:
    """Neurons drawn without replacement, over the whole network or the same share of every site.

    The same set for every sample, whatever the batch; other seeds give other sets.
    """
    return random_pathway(response.space, response.run.batch, sparsity, scope, seed)


@FINDERS.register("active", forwards=1, backwards=0)
def active(response: Response, sparsity: float) -> Pathway:
    """Every neuron that is not dead (``dead_neurons``): with ReLU those with a > 0. Its sparsity is what it is."""
    values = response.run.values()
    return Pathway(NeuronValues(values.space, tuple(~dead_neurons(site, a) for site, a in values.items())))


@FINDERS.register("magnitude", forwards=1, backwards=0)
def magnitude(response: Response, sparsity: float, *, scope: str = "network") -> Pathway:
    """The neurons of largest |a|, whatever the response: no backward pass."""
    return select(response.run.values(), sparsity, scope)


def random_pathway(space: NeuronSpace, batch: int, sparsity: float, scope: str = "network", seed: int = 0) -> Pathway:
    """A pathway of randomly drawn neurons, of exactly the requested size; on the CPU."""
    drawn = select(noise(space, seed), sparsity, scope).keep
    return Pathway(drawn.map(lambda keep: keep.expand(batch, *keep.shape[1:])), sparsity)


def random_within(pathway: Pathway, seed: int = 0) -> Pathway:
    """Random neurons, as many in every sample as the pathway keeps, from one random order for all."""
    drawn = [tensor[0] for tensor in noise(pathway.space, seed).tensors]
    draws = [keep_largest(drawn, size) for size in pathway.size.tolist()]
    device = pathway.keep.tensors[0].device
    kept = tuple(torch.stack(row).to(device) for row in zip(*draws, strict=True))
    return Pathway(NeuronValues(pathway.space, kept))


def noise(space: NeuronSpace, seed: int) -> NeuronValues:
    """A number in (0, 1] for every neuron: the k largest are k random neurons, and nested as k grows."""
    generator = torch.Generator().manual_seed(seed)
    return NeuronValues(space, tuple(1 - torch.rand((1, *site.shape), generator=generator) for site in space))
