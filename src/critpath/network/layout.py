"""Where the batch lies in an activation: models may put it second, or fold it into the first dimension.

Sizes alone do not tell (a batch of four, four channels), so a second run with another number of samples does:
a dimension that counts samples is one that changes with them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Shape = tuple[int, ...]


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

    def sample_shape(self, shape: Shape, batch: int) -> Shape | None:
        """The shape of one sample, None where the layout does not allow the raw shape."""
        if self.folded:
            fits = len(shape) >= 2 and shape[0] % batch == 0 and shape[0] > 0
            return (shape[0] // batch, *shape[1:]) if fits else None
        fits = self.batch_dim < len(shape) and shape[self.batch_dim] == batch
        return (*shape[: self.batch_dim], *shape[self.batch_dim + 1 :]) if fits else None


LAYOUTS = (Layout(0), Layout(1), Layout(folded=True))


def settle(raw: Tensor, batch: int, other: Tensor | None, other_batch: int) -> Layout | None:
    """The layout under which a sample has the same shape in both runs; None where there is none.

    ``other`` is the same call in a run of ``other_batch`` samples, the first sample of ``raw`` first among them.
    Where that run did not make the call, or failed, the likeliest layout that the shape allows.
    """
    if other is None:
        allowed = [layout for layout in LAYOUTS if layout.sample_shape(tuple(raw.shape), batch) is not None]
        return next((layout for layout in allowed if batch == 1 or not layout.folded), None)
    return next((layout for layout in LAYOUTS if _agrees(layout, raw, batch, other, other_batch)), None)


def _agrees(layout: Layout, raw: Tensor, batch: int, other: Tensor, other_batch: int) -> bool:
    shape = layout.sample_shape(tuple(raw.shape), batch)
    if shape is None or shape != layout.sample_shape(tuple(other.shape), other_batch):
        return False
    return not layout.folded or _same_first_sample(layout, raw, batch, other, other_batch)


def _same_first_sample(layout: Layout, raw: Tensor, batch: int, other: Tensor, other_batch: int) -> bool:
    """A fold may also put time first: then the first block is not the first sample."""
    first = layout.to_samples(raw.detach(), batch)[0]
    again = layout.to_samples(other.detach(), other_batch)[0]
    return torch.allclose(first, again, rtol=1e-2, atol=1e-3 * float(again.abs().max()))
