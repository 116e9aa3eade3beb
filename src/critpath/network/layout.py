"""Where the batch lies in an activation: models may put it second, or fold it into the first dimension."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """How a raw activation is seen as [batch, ...].

    ``batch_dim`` is 0 in most models, 1 in sequence-first ones; ``folded`` means that the first
    dimension is batch times something (windows, frames), samples one after the other.
    """

    batch_dim: int = 0
    folded: bool = False

    def to_samples(self, raw: Tensor, batch: int) -> Tensor:
        """[batch, ...], a view of the raw activation."""
        if self.folded:
            return raw.reshape(batch, -1, *raw.shape[1:])
        return raw if self.batch_dim == 0 else raw.movedim(self.batch_dim, 0)

    def from_samples(self, samples: Tensor) -> Tensor:
        """The inverse of ``to_samples``."""
        if self.folded:
            return samples.flatten(0, 1)
        return samples if self.batch_dim == 0 else samples.movedim(0, self.batch_dim).contiguous()


def candidates(shape: tuple[int, ...], batch: int) -> list[Layout]:
    """Layouts that the shape allows, the likeliest first."""
    found = [Layout(dim) for dim in (0, 1) if dim < len(shape) - (dim == 1) and shape[dim] == batch]
    if not found and len(shape) >= 2 and shape[0] % batch == 0:
        found = [Layout(folded=True)]
    return found


def needs_probe(found: list[Layout], batch: int) -> bool:
    """Whether a run of one sample has to tell which layout holds."""
    return batch > 1 and (len(found) > 1 or any(layout.folded for layout in found))


def settle(found: list[Layout], raw: Tensor, batch: int, alone: Tensor | None) -> Layout | None:
    """The layout under which the first sample of ``raw`` is what it was when that sample ran ``alone``.

    Without a run alone (none was needed, or it took another way) the likeliest; None where there is none.
    """
    if alone is None:
        return found[0] if found and (batch == 1 or not found[0].folded) else None
    return next((layout for layout in found if _first_sample_is(layout, raw, batch, alone)), None)


def _first_sample_is(layout: Layout, raw: Tensor, batch: int, alone: Tensor) -> bool:
    first = layout.to_samples(raw.detach(), batch)[:1]
    single = layout.to_samples(alone.detach(), 1)
    return first.shape == single.shape and torch.allclose(
        first, single, rtol=1e-2, atol=1e-3 * float(single.abs().max())
    )
