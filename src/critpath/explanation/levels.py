"""What a pathway shows and keeps at each sparsity, and what each site has to do with it."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import torch
from torch import Tensor

from critpath.analysis.faithfulness import nothing
from critpath.errors import MismatchError, NumericalError, TargetError
from critpath.explanation.views import scalar, shown_map
from critpath.neurons import NeuronValues, Site
from critpath.pathway import Pathway
from critpath.report import Kept, SiteRow, SparsityLevel
from critpath.response import Response
from critpath.selection import random_within


@dataclass(frozen=True, eq=False)
class Level:
    """One sparsity: its pathway, its map over the input, and what the page says of it."""

    pathway: Pathway
    gradient: Tensor
    shown: SparsityLevel


def level_at(response: Response, pathway: Pathway, gradient: Tensor, sparsity: float, draws: int, seed: int) -> Level:
    """One pathway, its gradient, and what is left when it runs alone, beside random sets of its size."""
    shown = SparsityLevel(
        requested=sparsity,
        realised=float(pathway.sparsity[0]),
        map=shown_map(response, gradient),
        reaches_input=bool(gradient.any()),
        kept=_kept(response, pathway, draws, seed),
    )
    return Level(pathway, gradient, shown)


def site_rows(response: Response, scores: NeuronValues, pathway: Pathway) -> tuple[SiteRow, ...]:
    """One row per site: density, share of |contribution| and dead share."""
    sums = [float(values.abs().sum(dtype=torch.float64)) for values in scores.tensors]
    total = sum(sums) or 1.0
    density = pathway.density()[0].tolist()
    return tuple(
        SiteRow(
            *(site.name, site.kind, site.shape, site.neurons, dense, part / total),
            dead=_dead(site, response),
            error=_error(site, scores),
        )
        for site, dense, part in zip(scores.space, density, sums, strict=True)
    )


def _error(site: Site, scores: NeuronValues) -> float | None:
    """The estimated error of a site's scores relative to them."""
    if scores.error is None or site.name not in scores.error.space:
        return None
    return float(scores.error.relative[0, scores.error.space.position(site.name)])


def _dead(site: Site, response: Response) -> float | None:
    if not site.rectifying:
        return None
    return float((response.run.activation(site.name).detach() <= 0).float().mean())


def _kept(response: Response, pathway: Pathway, draws: int, seed: int) -> Kept:
    alone = _alone(response, pathway)
    random = (_alone(response, random_within(pathway, seed + draw)) for draw in range(draws))
    kept = None if alone is None else _keeps_class(response, alone)
    return Kept(_value(alone), tuple(_value(one) for one in random), kept)


def floor(response: Response) -> float:
    """The response when every neuron is zero, NaN where it is not defined."""
    return _value(_alone(response, nothing(response)))


def _alone(response: Response, pathway: Pathway) -> Response | None:
    """The pruned response; None where it is not defined (0 / 0 in an empty layer, another way through the model)."""
    try:
        return response.pruned(pathway, graph=False)
    except (NumericalError, MismatchError):
        return None


def _value(response: Response | None) -> float:
    return nan if response is None else scalar(response)


def _keeps_class(response: Response, alone: Response) -> bool | None:
    try:
        kept = response.keeps_class(alone)
    except TargetError:
        return None
    return None if kept is None else bool(kept[0])
