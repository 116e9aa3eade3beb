"""A fixed sample of each site's neurons: errors are judged on it, so that judging costs little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.neurons import NeuronSpace

NEURONS, ALL = 4096, 65536
"""How many of a site's neurons are watched, and of all sites together; small sites are watched whole."""


@dataclass(frozen=True, eq=False)
class Watched:
    """Indices of the watched neurons of each site, where it is, and how many neurons each of them stands for.

    What was taken is kept on the device ``home``, also of a model over several.
    """

    indices: tuple[Tensor, ...]
    stands_for: tuple[float, ...]
    home: torch.device

    @property
    def whole(self) -> Tensor:
        """Which sites are watched whole: booleans [sites]."""
        return torch.tensor([k == 1 for k in self.stands_for], device=self.home)

    def take(self, row: Sequence[Tensor]) -> Tensor:
        """The watched values among one sample's [*shape] per site, one after the other: [m]."""
        pairs = zip(row, self.indices, strict=True)
        return torch.cat([values.reshape(-1)[index].to(self.home) for values, index in pairs])

    def sums(self, values: Tensor) -> Tensor:
        """[..., m] to estimates of the sums over each site's neurons, in float64: [..., sites]."""
        parts = torch.split(values, [len(index) for index in self.indices], dim=-1)
        scaled = (part.double().sum(dim=-1) * k for part, k in zip(parts, self.stands_for, strict=True))
        return torch.stack(list(scaled), dim=-1)


def watch(space: NeuronSpace, values: Sequence[Tensor], home: torch.device) -> Watched:
    """The same neurons whatever the batch. ``values`` of each site tell where it is."""
    generator = torch.Generator().manual_seed(0)
    most = min(NEURONS, max(256, ALL // len(space)))
    drawn = [_some(site.neurons, most, generator) for site in space]
    indices = tuple(index.to(tensor.device) for index, tensor in zip(drawn, values, strict=True))
    return Watched(indices, tuple(site.neurons / len(i) for site, i in zip(space, drawn, strict=True)), home)


def _some(neurons: int, most: int, generator: torch.Generator) -> Tensor:
    if neurons <= most:
        return torch.arange(neurons)
    return torch.randint(neurons, (most,), generator=generator).sort().values
