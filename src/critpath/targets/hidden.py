"""Targets over hidden neurons: one, a channel, a site, or a direction in a site."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from critpath.errors import TargetError
from critpath.network import Run
from critpath.neurons import rows
from critpath.targets.target import Target

LEAST_COSINE = 0.1
"""What a cosine counts at least as a weight of a direction."""


@dataclass(frozen=True, eq=False)
class Neuron(Target):
    """One hidden neuron's activation: a site by name, and coordinates within one sample's shape."""

    site: str
    index: tuple[int, ...] | int

    def fixed(self, run: Run) -> Neuron:
        return self

    def of(self, run: Run) -> Tensor:
        values = run.activation(self.site)
        shape = values.shape[1:]
        index = _coordinates(self.index)
        if len(index) != len(shape) or any(not -n <= i < n for i, n in zip(index, shape, strict=True)):
            raise TargetError(f"neuron {self.index} is not in site {self.site}, whose shape is {list(shape)}")
        return rows(values)[:, row_major(index, shape)]


@dataclass(frozen=True, eq=False)
class Channel(Target):
    """The mean activation of one hidden channel over its positions."""

    site: str
    channel: int

    def fixed(self, run: Run) -> Channel:
        return self

    def of(self, run: Run) -> Tensor:
        site = run.space[self.site]
        (channel,) = _coordinates(self.channel) or (0,)
        if not -site.channels <= channel < site.channels:
            raise TargetError(f"channel {self.channel} is not in site {site.name}, which has {site.channels}")
        values = run.activation(self.site)
        return rows(values.select(site.channel_dim + 1, channel) if site.shape else values).mean(dim=1)


@dataclass(frozen=True, eq=False)
class SiteActivation(Target):
    """The mean square of a site's activations: whatever is there already becomes more (DeepDream)."""

    site: str

    def fixed(self, run: Run) -> SiteActivation:
        return self

    def of(self, run: Run) -> Tensor:
        return rows(run.activation(self.site)).square().mean(dim=1)


@dataclass(frozen=True, eq=False)
class Direction(Target):
    """The mean over positions of the dot product of a site's channels with a vector [channels].

    With ``cosine`` > 0 each position counts max(cos, 0.1)^cosine times, where cos is that of the angle between the
    vector and the activations there, so that pointing along the vector counts for more than being large.
    """

    site: str
    vector: Tensor | Sequence[float]
    cosine: float = 0

    def fixed(self, run: Run) -> Direction:
        return self

    def of(self, run: Run) -> Tensor:
        values = self._channels_first(run)
        vector = self._vector().to(values)
        if vector.shape != values.shape[1:2]:
            raise TargetError(
                f"the direction is {list(vector.shape)}, and site {self.site} has {values.shape[1]} channels"
            )
        dots = torch.einsum("ncp,c->np", values, vector)
        if not self.cosine:
            return dots.mean(dim=1)
        cosines = torch.nn.functional.cosine_similarity(values, vector.view(1, -1, 1), dim=1)
        return (dots * cosines.clamp(min=LEAST_COSINE) ** self.cosine).mean(dim=1)

    def _channels_first(self, run: Run) -> Tensor:
        """The site's activations as [batch, channels, positions]."""
        site, values = run.space[self.site], run.activation(self.site)
        return values.movedim(site.channel_dim + 1, 1).flatten(2) if len(site.shape) > 1 else rows(values).unsqueeze(2)

    def _vector(self) -> Tensor:
        vector = torch.as_tensor(self.vector).detach()
        if vector.is_complex() or not torch.isfinite(vector).all() or not 0 <= self.cosine < float("inf"):
            raise TargetError(f"a direction is a finite vector, and its cosine a power from 0 on, got {self.cosine}")
        return vector


def _coordinates(index: Any) -> tuple[int, ...]:
    """One integer or several, of any integer type. Raises TargetError for anything else."""
    try:
        parts = tuple(index) if isinstance(index, Sequence) else (index,)
        return tuple(operator.index(part) for part in parts)
    except TypeError:
        raise TargetError(f"a place in a site is an integer or several, got {index!r}") from None


def row_major(index: Sequence[int], shape: Sequence[int]) -> int:
    """Position of coordinates, which may count from the end, in row-major order."""
    flat = 0
    for i, n in zip(index, shape, strict=True):
        flat = flat * n + i % n
    return flat
