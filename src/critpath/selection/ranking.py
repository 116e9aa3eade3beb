"""From scores to a pathway: the neurons of largest |score|."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isfinite

import torch
from torch import Tensor

from critpath.errors import NumericalError, OptionError
from critpath.neurons import NeuronSpace, NeuronValues, Site, all_finite, wide
from critpath.pathway import Pathway
from critpath.selection.threshold import keep_largest


def select(scores: NeuronValues, sparsity: float = 0.9, scope: str = "network") -> Pathway:
    """The pathway of the neurons with the largest |score|, for every sample.

    Parameters
    ----------
    scores
        Signed contributions of all neurons.
    sparsity
        Share of neurons to leave out, in [0, 1): 0.9 keeps a tenth. Of n neurons, round((1 - sparsity) n)
        are kept, exactly; fewer only where fewer scores differ from 0, which are never kept. The realised
        sparsity is ``pathway.sparsity``.
    scope
        ``"network"`` ranks all neurons together (the papers' choice), ``"site"`` keeps the same share of
        every site, ``"channel"`` the same share of the positions of every channel (a site without
        positions is ranked as a whole).

    Ties go to the earlier site and the lower row-major index. Critical-pathways paper, section 2.3.
    Raises OptionError, and NumericalError for scores that are not finite.
    """
    if not isinstance(scores, NeuronValues):
        raise OptionError(
            f"neurons are ranked here, and the scores are {type(scores).__name__}: leave out by= in score"
        )
    check_sparsity(sparsity)
    return replace(select_each(scores, [sparsity] * scores.batch, scope), requested=sparsity)


def select_each(scores: NeuronValues, sparsities: Sequence[float], scope: str = "network") -> Pathway:
    """``select`` with a sparsity in [0, 1] for each sample; at 1 nothing is kept. Nested as the sparsity grows."""
    check_scope(scope)
    kept = tuple(torch.empty(t.shape, dtype=torch.bool, device=t.device) for t in scores.tensors)
    for i, sparsity in enumerate(sparsities):
        SCOPES[scope](scores.space, [wide(t[i]) for t in scores.tensors], sparsity, [keep[i] for keep in kept])
    return Pathway(NeuronValues(scores.space, kept))


def kept_count(neurons: int, sparsity: float) -> int:
    """How many of ``neurons`` a pathway of this sparsity keeps."""
    return round((1 - sparsity) * neurons)


def check_sparsity(sparsity: float) -> None:
    """Raises OptionError unless the sparsity is in [0, 1)."""
    if not isinstance(sparsity, int | float) or not isfinite(sparsity) or not 0 <= sparsity < 1:
        raise OptionError(f"sparsity is {sparsity!r}; it is the share of neurons left out, at least 0 and below 1")


def check_scope(scope: str) -> None:
    """Raises OptionError for a scope that is unknown."""
    if scope not in SCOPES:
        raise OptionError(f"the scope is {scope!r}; it is one of {', '.join(SCOPES)}")


def _over_network(space: NeuronSpace, scores: Sequence[Tensor], sparsity: float, kept: Sequence[Tensor]) -> None:
    keep_largest(scores, kept_count(space.neurons, sparsity), kept)


def _per_site(space: NeuronSpace, scores: Sequence[Tensor], sparsity: float, kept: Sequence[Tensor]) -> None:
    for site, values, keep in zip(space, scores, kept, strict=True):
        keep_largest([values], kept_count(site.neurons, sparsity), [keep])


def _per_channel(space: NeuronSpace, scores: Sequence[Tensor], sparsity: float, kept: Sequence[Tensor]) -> None:
    for site, values, keep in zip(space, scores, kept, strict=True):
        if site.neurons == site.channels:
            keep_largest([values], kept_count(site.neurons, sparsity), [keep])
        elif not all_finite(values):
            raise NumericalError(f"the scores of site {site.name} hold NaN or infinity: no ranking")
        else:
            keep.copy_(_by_channel(site, values, sparsity))


def _by_channel(site: Site, values: Tensor, sparsity: float) -> Tensor:
    rows = values.movedim(site.channel_dim, 0)
    flat = rows.flatten(1).abs()
    order = flat.sort(dim=1, descending=True, stable=True).indices[:, : kept_count(flat.shape[1], sparsity)]
    kept = torch.zeros_like(flat, dtype=torch.bool).scatter_(1, order, True) & (flat > 0)
    return kept.view(rows.shape).movedim(0, site.channel_dim)


Scope = Callable[[NeuronSpace, Sequence[Tensor], float, Sequence[Tensor]], None]
SCOPES: dict[str, Scope] = {"network": _over_network, "site": _per_site, "channel": _per_channel}
