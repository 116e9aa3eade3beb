"""What a pathway is made of: its dead neurons, and what another pathway does not hold."""

from __future__ import annotations

import torch
from torch import Tensor

from critpath.errors import MismatchError
from critpath.neurons import NeuronValues, dead_neurons, rows
from critpath.options import check_type
from critpath.pathway import Pathway


def dead_share(pathway: Pathway, activations: NeuronValues) -> Tensor:
    """|path ∩ dead| / |path|, in [0, 1]: [batch], NaN where the pathway is empty.

    ``activations`` are those of the original input, ``response.run.values()``. A neuron is dead where a <= 0 at a
    rectifying site, a = 0 at another. Critical-pathways paper, section 4.1.
    """
    dead, kept = _counts(pathway, activations)
    return dead.sum(dim=1) / kept.sum(dim=1)


def site_dead_share(pathway: Pathway, activations: NeuronValues) -> Tensor:
    """``dead_share`` at each site: [batch, sites], NaN where the pathway has no neuron there."""
    dead, kept = _counts(pathway, activations)
    return dead / kept


def base_dead_share(activations: NeuronValues) -> Tensor:
    """The share of all neurons that are dead, in [0, 1]: [batch]. What a random pathway has."""
    check_type("activations", activations, NeuronValues, "response.run.values() gives them")
    return _per_site([dead_neurons(*item) for item in activations.items()]).sum(dim=1) / activations.space.neurons


def nesting(inner: Pathway, outer: Pathway) -> Tensor:
    """|inner \\ outer| / |inner|, in [0, 1]: [batch], NaN where ``inner`` is empty.

    0 where the sparser pathway is a part of the other, as the pathways of one ranking are.
    """
    check_type("inner", inner, Pathway)
    check_type("outer", outer, Pathway)
    return (inner - outer).size.double() / inner.size


def _counts(pathway: Pathway, activations: NeuronValues) -> tuple[Tensor, Tensor]:
    """Dead neurons and all neurons of the pathway: [batch, sites] each."""
    check_type("pathway", pathway, Pathway)
    check_type("activations", activations, NeuronValues, "response.run.values() gives them")
    if difference := pathway.space.difference(activations.space):
        raise MismatchError(f"pathway and activations belong to different networks or input shapes: {difference}")
    if pathway.batch not in (1, activations.batch):
        raise MismatchError(f"pathways of {pathway.batch} samples, activations of {activations.batch}")
    kept = [keep.to(a.device).expand_as(a) for keep, a in zip(pathway.keep.tensors, activations.tensors, strict=True)]
    dead = [keep & dead_neurons(*item) for keep, item in zip(kept, activations.items(), strict=True)]
    return _per_site(dead), _per_site(kept)


def _per_site(flags: list[Tensor]) -> Tensor:
    """How many are True: float64 [batch, sites], on the CPU."""
    return torch.stack([rows(flag).sum(dim=1).cpu() for flag in flags], dim=1).double()
