"""Pathways to compare with: random neurons, and all active ones."""

from __future__ import annotations

import torch
from torch import Tensor

from critpath.errors import OptionError
from critpath.neurons import NeuronSpace, NeuronValues
from critpath.pathway import Pathway
from critpath.response import Response
from critpath.selection.family import FINDERS
from critpath.selection.ranking import kept_count, select


@FINDERS.register("random", forwards=1, backwards=0)
def random(response: Response, sparsity: float, *, scope: str = "network", seed: int = 0) -> Pathway:
    """Neurons drawn without replacement, over the whole network or the same share of every site.

    The same set for every sample, whatever the batch; other seeds give other sets.
    """
    return random_pathway(response.space, response.run.batch, sparsity, scope, seed)


@FINDERS.register("active", forwards=1, backwards=0)
def active(response: Response, sparsity: float) -> Pathway:
    """Every neuron with a > 0: the largest pathway without dead neurons. Its sparsity is what it is."""
    return Pathway(response.run.values().map(lambda a: a > 0))


def random_pathway(space: NeuronSpace, batch: int, sparsity: float, scope: str = "network", seed: int = 0) -> Pathway:
    """A pathway of randomly drawn neurons, of exactly the requested size; on the CPU."""
    if scope == "network":
        one = _draw(space, kept_count(space.neurons, sparsity), seed)
    else:
        generator = torch.Generator().manual_seed(seed)
        noise = [torch.rand((1, *site.shape), generator=generator, dtype=torch.float64) + 1e-9 for site in space]
        one = select(NeuronValues(space, tuple(noise)), sparsity, scope).keep
    return Pathway(one.map(lambda keep: keep.expand(batch, *keep.shape[1:])), sparsity)


def random_within(pathway: Pathway, seed: int = 0) -> Pathway:
    """Random neurons, as many in every sample as the pathway keeps, from one random order for all."""
    sizes = pathway.size.tolist()
    draws = [_draw(pathway.space, size, seed) for size in sizes]
    device = pathway.keep.tensors[0].device
    rows = zip(*(draw.tensors for draw in draws), strict=True)
    return Pathway(NeuronValues(pathway.space, tuple(torch.cat(row).to(device) for row in rows)))


def _draw(space: NeuronSpace, size: int, seed: int) -> NeuronValues:
    if not 0 <= size <= space.neurons:
        raise OptionError(f"cannot draw {size} of {space.neurons} neurons")
    order = torch.randperm(space.neurons, generator=torch.Generator().manual_seed(seed))
    flat = torch.zeros(space.neurons, dtype=torch.bool)
    flat[order[:size]] = True
    return _unflatten(space, flat)


def _unflatten(space: NeuronSpace, flat: Tensor) -> NeuronValues:
    parts = torch.split(flat, [site.neurons for site in space])
    return NeuronValues(space, tuple(p.view(1, *s.shape) for p, s in zip(parts, space, strict=True)))
