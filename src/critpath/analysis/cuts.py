"""A finder's pathways at several sparsities, searched for once where that gives the same."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from critpath.analysis.faithfulness import for_each_sample
from critpath.analysis.sizes import Ranked, resized
from critpath.contributions import CONTRIBUTIONS, neuron_scores
from critpath.errors import MismatchError
from critpath.neurons import NeuronValues, Site, rows, wide
from critpath.pathway import Pathway, Search, SearchWarning
from critpath.response import Response
from critpath.selection import FINDERS, check_finder, find_in_response, kept_count, select, select_connected
from critpath.selection.binarise import LOST, stopped, tied_at_cut
from critpath.selection.controls import noise

Options = Mapping[str, Any]


def pathways_at(response: Response, method: str, sparsities: Sequence[float], **options: Any) -> tuple[Ranked, ...]:
    """The pathways of a finder at ascending sparsities, each with its ranking if there is one.

    Contributions are scored once. Greedy pruning to a small pathway passes through the larger ones, and the gates of
    DGR do not depend on the sparsity, so both are searched for once; other finders once for each sparsity. What a
    search warns of is left to ``Pathway.search``. Raises OptionError, and MismatchError where the finder looks at
    other neurons than the response does.
    """
    check_finder(method, options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SearchWarning)
        found = _how(method, options)(response, method, sparsities, options)
    for ranked in found:
        if difference := response.space.difference(ranked.pathway.space):
            raise MismatchError(f"{method} found a pathway of other neurons than the network's sites: {difference}")
    return tuple(Ranked(_at_home(r.pathway, response), r.ranking, r.any_size) for r in found)


def _how(method: str, options: Options) -> Any:
    if method in CONTRIBUTIONS.names():
        return _by_scores
    if method == "greedy" and options.get("fallback", "stop") == "stop":
        return _greedy
    if method == "dgr" and _takes_the_largest_gates(options):
        return _by_gates
    return _one_by_one


def _takes_the_largest_gates(options: Options) -> bool:
    """Rather than those above a percentile, which is the default of one preset."""
    binarise = options.get("binarise") or ("threshold" if options.get("preset") == "khakzar2021" else "topk")
    return bool(binarise == "topk")


def _by_scores(response: Response, method: str, sparsities: Sequence[float], options: Options) -> list[Ranked]:
    own = {name: value for name, value in options.items() if name not in ("scope", "connected")}
    scores, scope = neuron_scores(response, method, **own), options.get("scope", "network")
    if options.get("connected"):
        return [Ranked(select_connected(response, scores, s, scope)) for s in sparsities]
    ranking = within_scope(scores, scope)
    return [Ranked(select(scores, s, scope), ranking, True) for s in sparsities]


def _greedy(response: Response, method: str, sparsities: Sequence[float], options: Options) -> list[Ranked]:
    """The larger pathways on the way to the smallest, which is where a stalled search ends for all that are smaller."""
    last = find_in_response(response, method, sparsities[-1], **options)
    search, ends = _search(last), last.size.tolist()
    if search.ranking is None:
        return _one_by_one(response, method, sparsities, options)
    found = [_on_the_way(last, search.ranking, s, ends) for s in sparsities[:-1]]
    return [*found, Ranked(last, search.ranking)]


def _on_the_way(last: Pathway, ranking: NeuronValues, sparsity: float, ends: Sequence[int]) -> Ranked:
    asked = kept_count(last.space.neurons, sparsity)
    whole = resized(last, ranking, [max(asked, end) for end in ends])
    why = [f"stalled at {end:,} neurons kept, not the {asked:,} asked for" if end > asked else "" for end in ends]
    return Ranked(Pathway(whole.keep, sparsity, Search(_search(last).method, stopped=tuple(why))), ranking)


def _by_gates(response: Response, method: str, sparsities: Sequence[float], options: Options) -> list[Ranked]:
    """The gates cut at each sparsity, where that is how the pathway was made of them."""
    last = find_in_response(response, method, sparsities[-1], **options)
    gates = _search(last).ranking
    if gates is None or last != select(gates, sparsities[-1]):
        return [*_one_by_one(response, method, sparsities[:-1], options), _ranked(response, method, last, options)]
    return [*(Ranked(_cut_gates(last, gates, s), gates, True) for s in sparsities[:-1]), Ranked(last, gates, True)]


def _cut_gates(last: Pathway, gates: NeuronValues, sparsity: float) -> Pathway:
    cut = select(gates, sparsity)
    lost = [why.startswith(LOST) for why in _search(last).stopped]
    return Pathway(cut.keep, sparsity, Search("dgr", stopped=stopped(cut, tied_at_cut(gates, cut), lost)))


def _one_by_one(response: Response, method: str, sparsities: Sequence[float], options: Options) -> list[Ranked]:
    return [_ranked(response, method, find_in_response(response, method, s, **options), options) for s in sparsities]


def within_scope(scores: NeuronValues, scope: str) -> NeuronValues:
    """Values whose largest make the pathways of ``select`` with this scope, but for the rounding of sizes.

    Over the network the scores themselves; else places in the ranking of each site, or of each channel, as shares.
    """
    if scope == "network":
        return scores
    return NeuronValues(scores.space, tuple(_places(site, values, scope) for site, values in scores.items()))


def _places(site: Site, values: Tensor, scope: str) -> Tensor:
    """From 1 for the first down to 1/n for the last of n; 0 where the score is 0."""
    by_channel = scope == "channel" and site.neurons != site.channels
    moved = values.movedim(site.channel_dim + 1, 1) if by_channel else values
    flat = wide(moved).abs().flatten(2) if by_channel else rows(wide(moved)).abs()
    order = flat.argsort(dim=-1, descending=True, stable=True)
    places = 1 - torch.arange(flat.shape[-1], device=flat.device) / flat.shape[-1]
    ranked = torch.zeros_like(flat).scatter_(-1, order, places.to(flat.dtype).expand_as(flat)) * (flat > 0)
    shaped = ranked.view(moved.shape)
    return shaped.movedim(1, site.channel_dim + 1) if by_channel else shaped


def _ranked(response: Response, method: str, pathway: Pathway, options: Options) -> Ranked:
    """Random neurons and the largest activations have a ranking that is known without a search."""
    scope = options.get("scope", "network")
    if method == "random":
        drawn = within_scope(noise(response.space, options.get("seed", 0)), scope)
        return Ranked(pathway, for_each_sample(drawn, response), True)
    if method == "magnitude":
        return Ranked(pathway, within_scope(response.run.values(), scope), True)
    return Ranked(pathway, _search(pathway).ranking)


def _at_home(pathway: Pathway, response: Response) -> Pathway:
    """The pathway on the devices of the activations."""
    pairs = zip(pathway.keep.tensors, response.run.activations, strict=True)
    keep = NeuronValues(response.space, tuple(keep.to(a.device) for keep, a in pairs))
    return Pathway(keep, pathway.requested, pathway.search)


def _search(pathway: Pathway) -> Search:
    return pathway.search or Search("", stopped=("",) * pathway.batch)


def takes_seed(method: str) -> bool:
    """Whether a finder has the option ``seed``."""
    registry = CONTRIBUTIONS if method in CONTRIBUTIONS.names() else FINDERS
    return "seed" in registry[method].options()


def stopped_of(pathway: Pathway) -> tuple[str, ...]:
    """For each sample why the search ended elsewhere than asked; empty where it did not."""
    return _search(pathway).stopped or ("",) * pathway.batch
