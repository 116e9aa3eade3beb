"""Pathways of a data set as bits on some of the neurons, so that all pairs can be compared without their masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from critpath.analysis.labels import Labelled, labelled
from critpath.errors import InputError, MismatchError
from critpath.neurons import NeuronSpace, rows
from critpath.options import check_count, check_type
from critpath.pathway import Pathway

NEURONS = 65_536
"""Neurons looked at by default."""

AT_ONCE = 256
"""Pathways unpacked together."""


@dataclass(frozen=True, eq=False)
class Sketch:
    """Pathways on a random subset of the neurons, the same for all that have the same ``seed``.

    ``neurons`` [m]: which ones, as indices in site order. ``bits`` uint8 [pathways, ceil(m / 8)]: whether each
    pathway holds them, packed. ``sizes`` [pathways]: neurons on the whole pathway. ``labels`` [pathways] are classes,
    -1 where none was given. All on the CPU. Jaccards are exact where the network has no more neurons than the sketch;
    else the share of a random sample of the union, see ``standard_error``. Sketches of one network are joined by ``+``.
    """

    space: NeuronSpace
    neurons: Tensor
    bits: Tensor
    sizes: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.bits)

    def __repr__(self) -> str:
        return f"Sketch({len(self)} pathways, {len(self.neurons):,} of {self.space.neurons:,} neurons)"

    def __add__(self, other: Sketch) -> Sketch:
        self.check_compatible(other)
        bits, sizes, labels = (torch.cat([getattr(s, n) for s in (self, other)]) for n in ("bits", "sizes", "labels"))
        return Sketch(self.space, self.neurons, bits, sizes, labels)

    @property
    def exact(self) -> bool:
        """Whether every neuron is looked at."""
        return len(self.neurons) == self.space.neurons

    def of_class(self, label: int) -> Sketch:
        """The pathways of one class, in their order; there may be none."""
        return self.taken((self.labels == label).nonzero().flatten())

    def taken(self, numbers: Tensor) -> Sketch:
        """The pathways of these numbers, in this order."""
        return Sketch(self.space, self.neurons, self.bits[numbers], self.sizes[numbers], self.labels[numbers])

    def unpacked(self) -> Tensor:
        """The bits as float32 [pathways, m]: 0 or 1."""
        whole = np.unpackbits(self.bits.numpy(), axis=1, count=len(self.neurons))
        return torch.from_numpy(whole).float()

    def jaccards(self, other: Sketch | None = None) -> Tensor:
        """The Jaccard of every pathway here with every one there (here too by default): float64 [here, there].

        NaN where neither holds any of the neurons looked at.
        """
        both, union = self.shared(self if other is None else other)
        return both / union

    def chances(self, other: Sketch | None = None) -> Tensor:
        """The Jaccard that random sets of the same sizes have: pq / (p + q - pq), [here, there]."""
        there = self if other is None else other
        p, q = (s.sizes.double() / self.space.neurons for s in (self, there))
        product = p.outer(q)
        return product / (p.unsqueeze(1) + q.unsqueeze(0) - product)

    def standard_error(self, other: Sketch | None = None) -> Tensor:
        """What sampling neurons adds to each Jaccard J, one standard error: [here, there].

        sqrt(J (1 - J) / u (1 - m/n)), u of the m sampled out of n neurons being in the union; 0 where all were looked
        at. J is the share of a simple random sample; its error is estimated with J itself, so 0 where J is 0 or 1.
        """
        both, union = self.shared(self if other is None else other)
        share = both / union
        left_out = 1 - len(self.neurons) / self.space.neurons
        return (share * (1 - share) / union * left_out).sqrt()

    def shared(self, other: Sketch, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """How many of the sampled neurons (or of some of them) two pathways have in common, and together."""
        self.check_compatible(other)
        both = torch.cat([_products(mine, other, part) for mine in _blocks(self)] or [torch.zeros(0, len(other))])
        here, there = _counts(self, part), _counts(other, part)
        return both.double(), here.unsqueeze(1) + there.unsqueeze(0) - both

    def check_compatible(self, other: Sketch) -> None:
        """Raises MismatchError unless both look at the same neurons of the same network."""
        if difference := self.space.difference(other.space):
            raise MismatchError(f"sketches of different networks or input shapes: {difference}")
        if not torch.equal(self.neurons, other.neurons):
            raise MismatchError("sketches of different neurons: make them with the same seed and number of neurons")


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest pathways of a data set for each query, nearest first.

    ``numbers`` [queries, n] are places in the sketch, ``jaccard`` [queries, n] similarities in [0, 1], ``labels`` their
    classes, ``standard_error`` what sampling neurons adds.
    """

    numbers: Tensor
    jaccard: Tensor
    labels: Tensor
    standard_error: Tensor


def sketch(pathways: Pathway | Iterable[Pathway | Labelled], neurons: int = NEURONS, seed: int = 0) -> Sketch:
    """Sketch the pathways of a data set, batch by batch; no mask is kept.

    ``pathways`` are those of one batch, or an iterable of batches, each alone or as a pair with the classes of its
    samples. A sketch takes ``neurons`` / 8 bytes a pathway. Raises OptionError, InputError, MismatchError.
    """
    check_count("neurons", neurons, 1)
    check_count("seed", seed, 0)
    places: _Places | None = None
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for pathway, labels in labelled(pathways):
        places = places or _places(pathway.space, neurons, seed)
        if difference := places.space.difference(pathway.space):
            raise MismatchError(f"pathways of different networks or input shapes cannot be sketched: {difference}")
        parts.append((_packed(pathway, places), pathway.size.cpu(), torch.tensor(labels)))
    if places is None:
        raise InputError("there is no pathway to sketch: the iterable is empty")
    bits, sizes, classes = (torch.cat(column) for column in zip(*parts, strict=True))
    return Sketch(places.space, places.neurons, bits, sizes, classes)


def sketch_like(pathway: Pathway, like: Sketch) -> Sketch:
    """Pathways of one batch on the neurons of another sketch."""
    if difference := like.space.difference(pathway.space):
        raise MismatchError(f"the pathway belongs to another network or input shape than the sketch: {difference}")
    bits = _packed(pathway, _Places(like.space, like.neurons))
    return Sketch(like.space, like.neurons, bits, pathway.size.cpu(), torch.full((pathway.batch,), -1))


def nearest(query: Pathway | Sketch, among: Sketch, n: int = 5) -> Nearest:
    """The ``n`` pathways of a data set of largest Jaccard with each query; ties by their number.

    A query that is itself in the data set finds itself first. Fewer than ``n`` where the data set has fewer.
    """
    check_count("n", n, 1)
    check_type("among", among, Sketch, "sketch(pathways) gives one")
    if not isinstance(query, Pathway):
        check_type("query", query, Sketch, "give a Pathway, or a Sketch of several")
    own = sketch_like(query, among) if isinstance(query, Pathway) else query
    jaccard = own.jaccards(among)
    order = jaccard.nan_to_num(nan=-1.0).sort(dim=1, descending=True, stable=True).indices[:, :n]
    return Nearest(order, jaccard.gather(1, order), among.labels[order], own.standard_error(among).gather(1, order))


@dataclass(frozen=True, eq=False)
class _Places:
    """Which neurons are looked at."""

    space: NeuronSpace
    neurons: Tensor


def _places(space: NeuronSpace, neurons: int, seed: int) -> _Places:
    """All neurons in order where there are no more than wanted; else a random sample, in random order."""
    if space.neurons <= neurons:
        return _Places(space, torch.arange(space.neurons))
    generator = torch.Generator().manual_seed(seed)
    return _Places(space, torch.randperm(space.neurons, generator=generator)[:neurons].clone())


def _packed(pathway: Pathway, places: _Places) -> Tensor:
    """uint8 [batch, ceil(m / 8)]."""
    bits = torch.zeros(pathway.batch, len(places.neurons), dtype=torch.bool)
    start = 0
    for site, keep in pathway.keep.items():
        inside = ((places.neurons >= start) & (places.neurons < start + site.neurons)).nonzero().flatten()
        local = (places.neurons[inside] - start).to(keep.device)
        bits[:, inside] = rows(keep)[:, local].cpu()
        start += site.neurons
    return torch.from_numpy(np.packbits(bits.numpy(), axis=1))


def _blocks(whole: Sketch) -> Iterator[Sketch]:
    for start in range(0, len(whole), AT_ONCE):
        yield whole.taken(torch.arange(start, min(start + AT_ONCE, len(whole))))


def _products(mine: Sketch, other: Sketch, part: slice) -> Tensor:
    """Neurons in common: [mine, other]; exact in float32 up to 16 million neurons."""
    own = mine.unpacked()[:, part]
    columns = [own @ block.unpacked()[:, part].T for block in _blocks(other)]
    return torch.cat([torch.zeros(len(mine), 0), *columns], dim=1)


def _counts(whole: Sketch, part: slice) -> Tensor:
    counts = [block.unpacked()[:, part].sum(dim=1).double() for block in _blocks(whole)]
    return torch.cat([torch.zeros(0, dtype=torch.float64), *counts])
