"""A pathway: for every sample, the set of neurons that are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from critpath.errors import MismatchError
from critpath.neurons import NeuronSpace, NeuronValues, rows


class SearchWarning(UserWarning):
    """A finder that searches ended elsewhere than it was asked to; ``Pathway.search`` says how."""


@dataclass(frozen=True, eq=False)
class Search:
    """How a finder that searches came to its pathway.

    ``curves`` holds what was watched at every step, by name: [steps, batch], NaN once a sample was finished.
    ``stopped`` has, for each sample, why the search ended elsewhere than asked; it is empty where it did not.
    ``keeps_class`` [batch]: whether the pathway alone, all other neurons at zero, gives the class that the network
    gives; None where the response is of no class. ``ranking``: values whose largest |value| make the pathway, and
    pathways of other sizes; None where the search has no such order.
    """

    method: str
    curves: Mapping[str, Tensor] = field(default_factory=dict)
    stopped: tuple[str, ...] = ()
    keeps_class: Tensor | None = None
    ranking: NeuronValues | None = None

    @property
    def met(self) -> bool:
        """Whether every sample's search ended where it was asked to."""
        return not any(self.stopped)

    def sample(self, index: int) -> Search:
        """That of one sample."""
        curves = {name: curve[:, index].unsqueeze(1) for name, curve in self.curves.items()}
        keeps = None if self.keeps_class is None else self.keeps_class[index].unsqueeze(0)
        ranking = self.ranking and self.ranking.sample(index)
        return replace(self, curves=curves, stopped=(self.stopped[index],), keeps_class=keeps, ranking=ranking)


@dataclass(frozen=True, eq=False)
class Pathway:
    """Boolean values over a network's neurons, True where the neuron is on the pathway.

    ``requested`` is the sparsity that was asked for (None where the pathway is the result of set
    algebra); the realised one is ``sparsity``. ``search`` says how a finder that searches came to it (None for others).
    Pathways combine as sets, sample by sample:
    ``p & q``, ``p | q``, ``p - q``, ``p ^ q``, ``~p``; ``p == q`` is True where all samples agree.
    """

    keep: NeuronValues
    requested: float | None = None
    search: Search | None = None

    def __post_init__(self) -> None:
        for site, tensor in self.keep.items():
            if tensor.dtype != torch.bool:
                raise MismatchError(f"a pathway is boolean, but site {site.name} holds {tensor.dtype}")

    @property
    def space(self) -> NeuronSpace:
        return self.keep.space

    @property
    def batch(self) -> int:
        return self.keep.batch

    @property
    def size(self) -> Tensor:
        """Neurons kept: integers [batch]."""
        return self._counts().sum(dim=1)

    @property
    def sparsity(self) -> Tensor:
        """Realised share of neurons left out, in [0, 1]: [batch]."""
        return 1 - self.size.double() / self.space.neurons

    def density(self) -> Tensor:
        """Share of each site's neurons that are kept, in [0, 1]: [batch, sites]."""
        sizes = torch.tensor([site.neurons for site in self.space], dtype=torch.float64)
        return self._counts().double() / sizes.to(self._counts().device)

    def channel_density(self) -> tuple[Tensor, ...]:
        """Share of each channel's positions that are kept, in [0, 1]: [batch, channels] per site."""
        sums = self.keep.map(lambda keep: keep.float()).channels()
        return tuple(s * site.channels / site.neurons for s, site in zip(sums, self.space, strict=True))

    def sample(self, index: int) -> Pathway:
        """The pathway of one sample."""
        keep = self.keep.sample(index)
        return Pathway(keep, self.requested, self.search and self.search.sample(index % self.batch))

    def contains(self, other: Pathway) -> Tensor:
        """Whether each sample's pathway contains the other's: booleans [batch]."""
        return (other - self).size == 0

    def __and__(self, other: Pathway) -> Pathway:
        return self._combine(other, torch.logical_and)

    def __or__(self, other: Pathway) -> Pathway:
        return self._combine(other, torch.logical_or)

    def __xor__(self, other: Pathway) -> Pathway:
        return self._combine(other, torch.logical_xor)

    def __sub__(self, other: Pathway) -> Pathway:
        return self._combine(other, lambda a, b: a & ~b)

    def __invert__(self) -> Pathway:
        return Pathway(self.keep.map(torch.logical_not))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pathway) or self.space.difference(other.space) or self.batch != other.batch:
            return False
        return all(torch.equal(a, b) for a, b in zip(self.keep.tensors, other.keep.tensors, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shares = ", ".join(f"{s:.4f}" for s in self.sparsity[:4].tolist()) + (", …" if self.batch > 4 else "")
        return f"Pathway(batch={self.batch}, neurons={self.space.neurons:,}, sparsity=[{shares}])"

    def _combine(self, other: Pathway, operation: Callable[[Tensor, Tensor], Tensor]) -> Pathway:
        return Pathway(self.keep.map(operation, other.keep))

    def _counts(self) -> Tensor:
        return torch.stack([rows(keep).sum(dim=1) for keep in self.keep.tensors], dim=1)
