"""Neuron sites, the space they span, and values with one number per neuron."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from critpath.accuracy import Accuracy
from critpath.errors import MismatchError


@dataclass(frozen=True)
class Site:
    """One call of an activation function during the forward pass; its elements are neurons.

    ``name`` is the innermost module that was running, ``#``, and the number of the call there from 0.
    ``shape`` is that of one sample; ``channel_dim`` is the dimension of ``shape`` that counts channels.
    ``piecewise_linear``: the papers' guarantees hold (ReLU and its kin). ``rectifying``: the output is
    never negative and a neuron at 0 passes nothing on, so "dead" (a <= 0) means silent.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    channel_dim: int = 0
    piecewise_linear: bool = True
    rectifying: bool = True

    @property
    def neurons(self) -> int:
        return prod(self.shape)

    @property
    def channels(self) -> int:
        return self.shape[self.channel_dim] if self.shape else 1

    def index_of(self, flat: int) -> tuple[int, ...]:
        """Coordinates in ``shape`` of the neuron at ``flat`` in row-major order."""
        return tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), self.shape))


@dataclass(frozen=True)
class NeuronSpace:
    """All sites of a network for one input shape, in the order in which they were called.

    ``network`` is a fingerprint of the network that was observed; two spaces are compatible where their
    sites have the same names and shapes, whatever the fingerprint.
    """

    sites: tuple[Site, ...]
    network: str = ""

    @property
    def neurons(self) -> int:
        return sum(site.neurons for site in self.sites)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(site.name for site in self.sites)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.sites)

    def __iter__(self) -> Iterator[Site]:
        return iter(self.sites)

    def __contains__(self, name: object) -> bool:
        return name in self._positions

    def __getitem__(self, name: str) -> Site:
        return self.sites[self.position(name)]

    def position(self, name: str) -> int:
        """Index of a site by its name. Raises MismatchError for a name that is not here."""
        if name not in self._positions:
            close = get_close_matches(str(name), self.names, n=3)
            hint = f"; near it are {', '.join(close)}" if close else ""
            raise MismatchError(f"no site is called {name!r} among the {len(self)} sites{hint}")
        return self._positions[name]

    def difference(self, other: NeuronSpace) -> str:
        """What keeps the two apart, in words; empty where they are compatible."""
        if len(self) != len(other):
            return f"{len(self)} sites against {len(other)}"
        for a, b in zip(self, other, strict=True):
            if (a.name, a.shape) != (b.name, b.shape):
                return f"site {a.name} {list(a.shape)} against {b.name} {list(b.shape)}"
        return ""

    def locate(self, flat: int) -> tuple[Site, tuple[int, ...]]:
        """Site and coordinates of a neuron given by its index in ``NeuronValues.flatten()``."""
        for site in self:
            if flat < site.neurons:
                return site, site.index_of(flat)
            flat -= site.neurons
        raise MismatchError(f"there is no such neuron: the space has {self.neurons}")


@dataclass(frozen=True, eq=False)
class NeuronValues:
    """One value per neuron and sample: a tensor [batch, *site.shape] for every site of ``space``.

    ``error`` says how exact scores are, where that is known; it is lost where the values are changed.
    """

    space: NeuronSpace
    tensors: tuple[Tensor, ...]
    error: Accuracy | None = None

    def __post_init__(self) -> None:
        if len(self.tensors) != len(self.space):
            raise MismatchError(f"{len(self.tensors)} tensors for {len(self.space)} sites")
        for site, tensor in zip(self.space, self.tensors, strict=True):
            if tensor.shape[1:] != site.shape or len(tensor) != self.batch:
                raise MismatchError(
                    f"site {site.name} takes [{self.batch}, *{list(site.shape)}], got {list(tensor.shape)}"
                )

    @property
    def batch(self) -> int:
        return len(self.tensors[0]) if self.tensors else 0

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[self.space.position(name)]

    def items(self) -> Iterator[tuple[Site, Tensor]]:
        """Pairs of site and tensor, in site order."""
        return zip(self.space.sites, self.tensors, strict=True)

    def __repr__(self) -> str:
        known = f", {self.error!r}" if self.error is not None else ""
        return f"NeuronValues(batch={self.batch}, sites={len(self.space)}, neurons={self.space.neurons:,}{known})"

    def flatten(self, device: torch.device | None = None) -> Tensor:
        """[batch, neurons], in site order and row-major within a site (a copy).

        On ``device`` where it is given; sites of one model may lie on several.
        """
        return torch.cat([rows(tensor).to(device=device) for tensor in self.tensors], dim=1)

    def map(self, function: Callable[..., Tensor], *others: NeuronValues) -> NeuronValues:
        """``function`` at every site, over these values and those of compatible ``others``."""
        for other in others:
            self.check_compatible(other)
        rows = zip(self.tensors, *(other.tensors for other in others), strict=True)
        return NeuronValues(self.space, tuple(function(*row) for row in rows))

    def check_compatible(self, other: NeuronValues) -> None:
        """Raises MismatchError where sites or batch sizes differ."""
        difference = self.space.difference(other.space)
        if difference:
            raise MismatchError(f"the two belong to different networks or input shapes: {difference}")
        if self.batch != other.batch:
            raise MismatchError(f"the two hold {self.batch} and {other.batch} samples")

    def sample(self, index: int) -> NeuronValues:
        """The values of one sample, as a batch of one."""
        if not -self.batch <= index < self.batch:
            raise MismatchError(f"there is no sample {index} in a batch of {self.batch}")
        index %= self.batch
        error = self.error and self.error.sample(index)
        return NeuronValues(self.space, tuple(tensor[index : index + 1] for tensor in self.tensors), error)

    def channels(self) -> tuple[Tensor, ...]:
        """Signed sums over the positions of each channel: [batch, channels] per site."""
        return tuple(_over_positions(tensor, site).sum(dim=2) for site, tensor in self.items())

    def site_sums(self) -> Tensor:
        """Signed sum over each site: [batch, sites]."""
        return torch.stack([rows(tensor).sum(dim=1) for tensor in self.tensors], dim=1)


def parted(space: NeuronSpace, flat: Tensor) -> NeuronValues:
    """Flat values [batch, neurons] as [batch, *shape] per site, the inverse of ``flatten``."""
    parts = torch.split(flat, [site.neurons for site in space], dim=1)
    shaped = (part.reshape(len(flat), *site.shape) for site, part in zip(space, parts, strict=True))
    return NeuronValues(space, tuple(shaped))


def stack(parts: Sequence[NeuronValues]) -> NeuronValues:
    """Values of several batches, one after the other."""
    first, *rest = parts
    for part in rest:
        if difference := first.space.difference(part.space):
            raise MismatchError(f"cannot stack values of different networks or input shapes: {difference}")
    return NeuronValues(first.space, tuple(torch.cat(row) for row in zip(*(p.tensors for p in parts), strict=True)))


def _over_positions(tensor: Tensor, site: Site) -> Tensor:
    """[batch, *shape] as [batch, channels, positions]."""
    if len(site.shape) < 2:
        return rows(tensor).unsqueeze(2)
    return tensor.movedim(site.channel_dim + 1, 1).flatten(2)


def dead_neurons(site: Site, a: Tensor) -> Tensor:
    """Booleans shaped like ``a``: a <= 0 where the activation function is never negative, a = 0 elsewhere."""
    return a <= 0 if site.rectifying else a == 0


def rows(tensor: Tensor) -> Tensor:
    """[batch, ...] as [batch, neurons], also where a sample is one number."""
    return tensor.flatten(1) if tensor.dim() > 1 else tensor.unsqueeze(1)


def wide(tensor: Tensor) -> Tensor:
    """At least float32: products of bfloat16 or float16 would lose the ranking."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def all_finite(tensor: Tensor) -> bool:
    """Whether no value is NaN or infinite; a finite sum proves it in one quick pass."""
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())
