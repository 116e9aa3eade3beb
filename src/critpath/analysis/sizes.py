"""Pathways of one realised size: the Jaccard of sets of different sizes is bounded by their ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.errors import MismatchError
from critpath.neurons import NeuronValues, wide
from critpath.pathway import Pathway
from critpath.selection.threshold import keep_largest


@dataclass(frozen=True, eq=False)
class Ranked:
    """A pathway with the values by which it can be cut to another size.

    ``ranking`` is None where the finder has none. ``any_size``: the finder's larger pathways are given by the ranking
    too, as those of a contribution are; else it can only be cut to less.
    """

    pathway: Pathway
    ranking: NeuronValues | None = None
    any_size: bool = False


def at_equal_size(p: Ranked, q: Ranked) -> tuple[Pathway, Pathway, Tensor]:
    """Both pathways, in each sample at one size where that can be, and whether it is: booleans [batch].

    Where only one finder has a ranking for any size, it is cut to the other's size; else the larger pathway is cut to
    the smaller. Samples of equal size stay as they are.
    """
    p.pathway.keep.check_compatible(q.pathway.keep)
    if p.any_size != q.any_size:
        p, q = (_to(p, q.pathway.size), q) if p.any_size else (p, _to(q, p.pathway.size))
    first, second = p.pathway.size.cpu(), q.pathway.size.cpu()
    smaller = torch.minimum(first, second)
    p, q = _to(p, smaller), _to(q, smaller)
    return p.pathway, q.pathway, p.pathway.size.cpu() == q.pathway.size.cpu()


def resized(pathway: Pathway, ranking: NeuronValues, sizes: Sequence[int]) -> Pathway:
    """The pathway with ``sizes`` neurons in each sample: the top of its own, or all of them and the next best.

    Fewer where fewer values of the ranking differ from 0.
    """
    if difference := pathway.space.difference(ranking.space):
        raise MismatchError(f"the ranking belongs to another network or input shape: {difference}")
    kept = [_resized(pathway, ranking, i, size) for i, size in enumerate(sizes)]
    return Pathway(NeuronValues(pathway.space, tuple(torch.stack(site) for site in zip(*kept, strict=True))))


def _to(ranked: Ranked, sizes: Tensor) -> Ranked:
    wanted = sizes.tolist()
    if ranked.ranking is None or ranked.pathway.size.tolist() == wanted:
        return ranked
    return Ranked(resized(ranked.pathway, ranked.ranking, wanted), ranked.ranking, ranked.any_size)


def _resized(pathway: Pathway, ranking: NeuronValues, sample: int, size: int) -> Sequence[Tensor]:
    keep = [t[sample] for t in pathway.keep.tensors]
    row = sample if ranking.batch > 1 else 0
    values = [wide(t[row]).to(k.device) for t, k in zip(ranking.tensors, keep, strict=True)]
    more = size - int(sum(int(k.sum()) for k in keep))
    if more == 0:
        return keep
    if more < 0:
        return keep_largest([v * k for v, k in zip(values, keep, strict=True)], size)
    added = keep_largest([v * ~k for v, k in zip(values, keep, strict=True)], more)
    return [k | a for k, a in zip(keep, added, strict=True)]
