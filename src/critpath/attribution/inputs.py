"""Maps over the inputs of a response: one sample after another, all tensors of a sample together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from critpath.attribution.family import InputMaps
from critpath.neurons import rows, wide
from critpath.response import Response


def moving(response: Response) -> tuple[Tensor | None, ...]:
    """The floating-point inputs, and what was looked up for tokens, at least float32; None for those that are not one
    value a sample."""
    return tuple(
        wide(leaf.detach()) if leaf is not None and leaf.dim() and len(leaf) == response.run.batch else None
        for leaf in response.run.moving
    )


def zeros(response: Response) -> list[Tensor | None]:
    """A map of zeros for everything that moves, at least float32."""
    return [None if leaf is None else torch.zeros_like(wide(leaf.detach())) for leaf in response.run.moving]


def as_inputs(maps: Sequence[Tensor | None], response: Response) -> InputMaps:
    """Maps in the inputs' own precision; zero where there is none for what moves."""
    found = [zero if one is None else one for one, zero in zip(maps, zeros(response), strict=True)]
    pairs = zip(found, response.run.moving, strict=True)
    return tuple(None if one is None or leaf is None else one.to(leaf) for one, leaf in pairs)


def total(maps: Sequence[Tensor | None]) -> Tensor:
    """The sum over everything in each sample's maps: float64 [batch]."""
    sums = [rows(one).sum(dim=1, dtype=torch.float64) for one in maps if one is not None]
    return torch.stack([one.to(sums[0].device) for one in sums]).sum(dim=0)


def norm(maps: Sequence[Tensor | None]) -> Tensor:
    """The Euclidean norm of each sample's maps, float64 [batch]."""
    return total([None if one is None else one.double().square() for one in maps]).sqrt()


def scaled(maps: Sequence[Tensor | None], factor: Tensor) -> list[Tensor | None]:
    """Each sample's maps times its factor [batch], which may be beyond float32."""
    return [None if one is None else (one.double() * like_rows(factor, one.double())).to(one.dtype) for one in maps]


def reciprocal(values: Tensor) -> Tensor:
    """1 / v, and 0 where v is 0."""
    return torch.where(values == 0, 0, 1 / values)


def like_rows(values: Tensor, one: Tensor) -> Tensor:
    """One value a sample [batch], to be multiplied with [batch, ...]."""
    return values.to(one).view(-1, *[1] * (one.dim() - 1))


def normal(inputs: Sequence[Tensor | None], generators: Sequence[torch.Generator]) -> list[Tensor | None]:
    """Standard normal values, a row for each generator: [generators, *shape of a sample] for each input."""
    sizes = [0 if x is None else x[0].numel() for x in inputs]
    flat = torch.stack([torch.randn(sum(sizes), generator=generator) for generator in generators])
    parts = zip(inputs, torch.split(flat, sizes, dim=1), strict=True)
    return [None if x is None else part.reshape(-1, *x.shape[1:]).to(x) for x, part in parts]
