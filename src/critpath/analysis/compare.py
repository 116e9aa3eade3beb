"""Several finders side by side over a data set, of which one batch at a time is in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor

from critpath.analysis.comparison import AtSparsity, FinderComparison, merged
from critpath.analysis.cuts import pathways_at, stopped_of, takes_seed
from critpath.analysis.faithfulness import (
    ABLATIONS,
    Faithfulness,
    alone,
    check_sizes,
    faithfulness,
    nothing,
    share_of_way,
)
from critpath.analysis.overlap import overlap
from critpath.analysis.reach import share_on_routes
from critpath.analysis.shares import base_dead_share, dead_share, nesting
from critpath.analysis.sizes import Ranked, at_equal_size
from critpath.errors import CritpathError, InputError, MismatchError, OptionError
from critpath.network import ModelInput, Network, map_tensors
from critpath.neurons import NeuronValues
from critpath.options import check_count, check_type
from critpath.pathway import Pathway
from critpath.registry import check_known
from critpath.response import Response, respond
from critpath.selection import check_finder, check_sparsity
from critpath.targets import TargetLike

Progress = Callable[[int, str], None]
"""Told how many images are done and what is done next."""

Options = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Plan:
    """What is asked of every batch: ``finders`` maps labels to methods, ``sparsities`` ascend."""

    finders: Mapping[str, str]
    sparsities: tuple[float, ...]
    options: Mapping[str, Mapping[str, Any]]
    ablations: tuple[str, ...] = ()
    sizes: Tensor | None = None
    means: NeuronValues | None = None
    connected: bool = False


def compare_finders(
    net: Network,
    batches: Iterable[ModelInput],
    finders: Sequence[str] | Mapping[str, str],
    sparsities: Sequence[float] | float = (0.9,),
    target: TargetLike = None,
    *,
    options: Options | None = None,
    ablations: Sequence[str] = ("zero",),
    sizes: Sequence[float] | Tensor | None = None,
    means: NeuronValues | None = None,
    connected: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> FinderComparison:
    """Pathways of several finders on the same inputs: size, dead share, class kept, overlaps, faithfulness, time.

    Parameters
    ----------
    batches
        Inputs as the network takes them, an iterable that is gone through once. Only one batch's pathways are
        in memory.
    finders
        Names out of ``finder_names()``, or a mapping of labels of your own to such names.
    sparsities
        Shares of neurons left out, or one. Pathways at one sparsity are compared at equal realised size, see
        ``at_equal_size``.
    options
        For each finder, by its label, a mapping of its options.
    ablations, sizes
        As in ``faithfulness``; no ablation, no curves. ``"mean"`` needs ``means``, see ``mean_activations``;
        ``"resample"`` takes the next image of the batch; in a batch of one the image before, or after the first.
    connected
        Also find the share of each pathway that lies on a route of its neurons from the input to the response.
    seed
        For the finders that draw, where ``options`` give none.
    progress
        Called with the images done and what is done next.

    Raises OptionError, InputError for no batch, and what a finder raises, with its name and the images.
    """
    plan = _plan(finders, sparsities, options or {}, ablations, sizes, means, connected, seed)
    parts: list[FinderComparison] = []
    for x, other in _with_another([batches] if isinstance(batches, Tensor | Mapping) else batches, plan):
        response = respond(net, x, target)
        _check_space(parts, response)
        parts.append(_compared(response, plan, other, sum(part.images for part in parts), progress))
    if not parts:
        raise InputError("there is nothing to compare finders on: the iterable of batches is empty")
    return merged(parts)


def _with_another(batches: Iterable[ModelInput], plan: Plan) -> Iterator[tuple[ModelInput, ModelInput | None]]:
    """Each batch with the one before, the first with the one after, where neurons are set to those of other images."""
    if "resample" not in plan.ablations:
        yield from ((x, None) for x in batches)
        return
    waiting = iter(batches)
    first = list(islice(waiting, 2))
    before = None
    for x in chain(first, waiting):
        yield x, before if before is not None else next(iter(first[1:]), None)
        before = map_tensors(x, torch.clone)


def _plan(
    finders: Sequence[str] | Mapping[str, str],
    sparsities: Sequence[float] | float,
    options: Options,
    ablations: Sequence[str],
    sizes: Sequence[float] | Tensor | None,
    means: NeuronValues | None,
    connected: bool,
    seed: int,
) -> Plan:
    """What was asked for, checked before anything runs."""
    named = _named(finders)
    check_count("seed", seed, 0)
    sparsities = (sparsities,) if isinstance(sparsities, int | float) else tuple(sparsities)
    for label, own in options.items():
        check_known("finder in this comparison", label, tuple(named))
        check_type(f"options[{label!r}]", own, Mapping, "the finder's options, {'step': 0.05} for instance")
    for sparsity in sparsities:
        check_sparsity(sparsity)
    for ablation in ablations:
        check_known("ablation", ablation, ABLATIONS)
    if not sparsities:
        raise OptionError("sparsities are empty; give one at least, for instance (0.9,)")
    if "mean" in ablations and means is None:
        raise OptionError("ablations with 'mean' need means=mean_activations(net, batches), the means over some data")
    full = {label: _seeded(method, options.get(label, {}), seed) for label, method in named.items()}
    ascending = tuple(sorted(set(sparsities)))
    return Plan(named, ascending, full, tuple(dict.fromkeys(ablations)), check_sizes(sizes), means, connected)


def _named(finders: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    if isinstance(finders, str) or not isinstance(finders, Sequence | Mapping):
        raise OptionError(f"the finders are {finders!r}; give a list of names, ['taylor'] for one")
    named = dict(finders) if isinstance(finders, Mapping) else {name: name for name in finders}
    if not named:
        raise OptionError("there is no finder to compare; give the names of some, see finder_names()")
    return named


def _seeded(method: str, options: Mapping[str, Any], seed: int) -> dict[str, Any]:
    check_finder(method, options)
    return {**({"seed": seed} if takes_seed(method) else {}), **options}


def _check_space(parts: Sequence[FinderComparison], response: Response) -> None:
    if parts and (difference := parts[0].space.difference(response.space)):
        raise MismatchError(f"batches of different networks or input shapes cannot be compared: {difference}")


@dataclass(frozen=True, eq=False)
class _Finding:
    """What one finder found on one batch: pathways by sparsity, seconds for each image, and its curves."""

    found: tuple[Ranked, ...]
    seconds: float
    curves: dict[str, Faithfulness] = field(default_factory=dict)


def _compared(
    response: Response, plan: Plan, other: ModelInput | None, done: int, progress: Progress | None
) -> FinderComparison:
    """The comparison on one batch."""
    findings: dict[str, _Finding] = {}
    for label in plan.finders:
        if progress is not None:
            progress(done, label)
        with _naming(label, done, response.run.batch):
            findings[label] = _found(response, plan, label, other)
    values = response.run.values()
    return FinderComparison(
        space=response.space,
        finders=tuple(plan.finders),
        images=response.run.batch,
        base_dead=base_dead_share(values),
        at=tuple(_at(response, values, plan, list(findings.values()), i) for i in range(len(plan.sparsities))),
        seconds=torch.tensor([[f.seconds] * response.run.batch for f in findings.values()], dtype=torch.float64),
        stopped={label: _stops(plan, finding) for label, finding in findings.items()},
        faithfulness={label: finding.curves for label, finding in findings.items() if finding.curves},
    )


def _found(response: Response, plan: Plan, label: str, other: ModelInput | None) -> _Finding:
    start = seconds_now(response.value.device)
    found = pathways_at(response, plan.finders[label], plan.sparsities, **plan.options[label])
    seconds = (seconds_now(response.value.device) - start) / response.run.batch
    ranking = found[-1].ranking
    if ranking is None:
        return _Finding(found, seconds)
    elsewhere = {"mean": plan.means, "resample": _activations(response, other)}
    return _Finding(
        found,
        seconds,
        {kind: faithfulness(response, ranking, plan.sizes, kind, elsewhere.get(kind)) for kind in plan.ablations},
    )


def _activations(response: Response, other: ModelInput | None) -> NeuronValues | None:
    """Those of the last image of another batch, for an image that has no neighbour in its own."""
    if other is None or response.run.batch > 1:
        return None
    return response.net.run(other, graph=False).values().sample(-1)


def seconds_now(device: torch.device) -> float:
    """Seconds on a clock, once the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@contextmanager
def _naming(label: str, done: int, batch: int) -> Iterator[None]:
    """What is raised inside says which finder it was, and which images."""
    try:
        yield
    except CritpathError as error:
        images = f"image {done}" if batch == 1 else f"images {done} to {done + batch - 1}"
        error.args = (f"{label}, {images}: {error}",)
        raise


def _at(response: Response, values: NeuronValues, plan: Plan, findings: Sequence[_Finding], number: int) -> AtSparsity:
    """All finders at one sparsity, the ``number``-th, on one batch."""
    ranked = [finding.found[number] for finding in findings]
    paths = [one.pathway for one in ranked]
    lower = [finding.found[number - 1].pathway for finding in findings] if number else None
    unknown = torch.full((len(paths), response.run.batch), torch.nan, dtype=torch.float64)
    return AtSparsity(
        sparsity=plan.sparsities[number],
        realised=_rows([path.sparsity for path in paths]),
        dead=_rows([dead_share(path, values) for path in paths]),
        **_alone(response, paths),
        connected=_rows([share_on_routes(response, path) for path in paths]) if plan.connected else unknown,
        nesting=_rows([nesting(p, q) for p, q in zip(paths, lower, strict=True)]) if lower else unknown.clone(),
        **_pairs(ranked),
    )


def _rows(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack([part.detach().double().cpu() for part in parts])


def _alone(response: Response, paths: Sequence[Pathway]) -> dict[str, Tensor]:
    """What each pathway gives when only it acts: whether the class is kept, and the share of the response."""
    unknown = torch.full((response.run.batch,), torch.nan)
    *runs, floor = [alone(response, path) for path in (*paths, nothing(response))]
    keeps = [None if run is None else response.keeps_class(run) for run in runs]
    *values, lowest = [unknown if run is None else run.value for run in (*runs, floor)]
    kept = share_of_way(_rows(values).T, *_rows([response.value, lowest])).T
    return {"keeps_class": _rows([unknown if one is None else one for one in keeps]), "kept": kept}


def _pairs(ranked: Sequence[Ranked]) -> dict[str, Tensor]:
    """Overlaps of every two finders at equal realised size; see ``AtSparsity``."""
    images, sites = ranked[0].pathway.batch, len(ranked[0].pathway.space)
    blank = torch.full((len(ranked), len(ranked), images), torch.nan, dtype=torch.float64)
    jaccard, chance, compared = blank.clone(), blank.clone(), blank.clone()
    sums = torch.zeros(2, len(ranked), len(ranked), sites, dtype=torch.float64)
    counted = sums[0].clone()
    for i, j in torch.combinations(torch.arange(len(ranked)), with_replacement=True).tolist():
        p, q, equal = at_equal_size(ranked[i], ranked[j])
        shared, size = overlap(p, q), 1 - p.sparsity.cpu()
        per_site = torch.stack([shared.site_jaccard, shared.site_chance]).cpu().where(equal.unsqueeze(1), torch.nan)
        for a, b in ((i, j), (j, i)):
            jaccard[a, b] = shared.jaccard.cpu().where(equal, torch.nan)
            chance[a, b] = shared.chance.cpu().where(equal, torch.nan)
            compared[a, b] = size.where(equal, torch.nan)
            sums[:, a, b], counted[a, b] = per_site.nansum(dim=1), (~per_site[0].isnan()).sum(dim=0).double()
    return {
        "jaccard": jaccard,
        "chance": chance,
        "compared": compared,
        "site_jaccard": sums[0] / counted,
        "site_chance": sums[1] / counted,
        "site_counted": counted,
    }


def _stops(plan: Plan, finding: _Finding) -> tuple[tuple[int, float, str], ...]:
    told = [
        (image, sparsity, why)
        for sparsity, ranked in zip(plan.sparsities, finding.found, strict=True)
        for image, why in enumerate(stopped_of(ranked.pathway))
        if why
    ]
    return tuple(sorted(told))
