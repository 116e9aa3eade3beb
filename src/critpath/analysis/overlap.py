"""How much two pathways share, beside what chance would give."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.errors import MismatchError
from critpath.neurons import NeuronSpace, rows
from critpath.pathway import Pathway


@dataclass(frozen=True, eq=False)
class Overlap:
    """Jaccard similarity |A ∩ B| / |A ∪ B| of two pathways, in [0, 1].

    ``jaccard`` and ``chance`` are [batch]; ``site_jaccard`` and ``site_chance`` are [batch, sites]. Chance
    is what independent random sets of the same sizes p and q (as shares) have: pq / (p + q - pq). NaN where
    both sets are empty.
    """

    space: NeuronSpace
    jaccard: Tensor
    chance: Tensor
    site_jaccard: Tensor
    site_chance: Tensor

    def __str__(self) -> str:
        rows = zip(self.jaccard.tolist(), self.chance.tolist(), strict=True)
        return "\n".join(f"sample {i}: Jaccard {j:.4f} (chance {c:.4f})" for i, (j, c) in enumerate(rows))


def overlap(p: Pathway, q: Pathway) -> Overlap:
    """Jaccard of two pathways over the network and per site, with the chance level.

    Compare pathways of equal *realised* size: the Jaccard of sets of different sizes is bounded by their
    ratio. Raises MismatchError where they belong to different networks or batches.
    """
    for one in (p, q):
        if not isinstance(one, Pathway):
            raise MismatchError(f"two pathways are compared, and one is {type(one).__name__}; see cp.select for scores")
    p.keep.check_compatible(q.keep)
    both, first, second = (_site_counts(x) for x in (p & q, p, q))
    sizes = torch.tensor([[site.neurons for site in p.space]], dtype=torch.float64, device=both.device)
    return Overlap(
        p.space,
        *_jaccard(both.sum(1), first.sum(1), second.sum(1), sizes.sum(1)),
        *_jaccard(both, first, second, sizes),
    )


def _jaccard(both: Tensor, first: Tensor, second: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    chance = first * second / sizes
    return both / (first + second - both), chance / (first + second - chance)


def _site_counts(pathway: Pathway) -> Tensor:
    return torch.stack([rows(keep).sum(1) for keep in pathway.keep.tensors], dim=1).double()
