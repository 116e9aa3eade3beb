"""Faults that change which neurons are selected: pathways as released beside the right ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

import critpath as cp
from critpath.audit import first_calls, oscillating_greedy, percentile_pathway, released_intgrad
from critpath.contributions import neuron_scores
from critpath.evaluation.similarity import spearman_abs
from critpath.pathway import Pathway, SearchWarning
from critpath.response import Response, respond
from critpath.selection import find_in_response
from studies.faults.subjects import Subject

POINTS = 10
"""Steps of NeuronIntGrad, as every released script has it."""
ROUNDS = 99
GATES = {"preset": "khakzar2021", "iterations": 250, "lr": 0.04}
"""A quarter of the released 1000 iterations, each four times as far."""

Versions = Mapping[str, tuple[Pathway, Pathway]]
"""By fault: as released, and right."""
Found = dict[str, dict[str, Tensor]]


def measured(subject: Subject, versions: Callable[[Response], Versions]) -> Found:
    """What each fault does to pathway, map and LeRF, image by image."""
    response = respond(subject.net, subject.x, subject.target)
    found = versions(response).items()
    return {fault: _compared(subject, response, released, right) for fault, (released, right) in found}


def integrals(response: Response) -> Versions:
    """NeuronIntGrad's faults at a sparsity of 90 %: one by one, then all as released."""
    right = released_intgrad(response, POINTS, alphas="right", calls="all")
    grown = released_intgrad(response, POINTS, alphas="released", calls="all")
    paper = cp.select(right, 0.9)
    return {
        "alphas": (cp.select(grown, 0.9), paper),
        "calls": (percentile_pathway(first_calls(right), 90), paper),
        "alphas and calls": (percentile_pathway(first_calls(grown), 90), paper),
    }


def selections(response: Response) -> Versions:
    """Percentiles in place of exact sizes: on Taylor scores, and on gates that started at random."""
    scores, found = neuron_scores(response, "taylor"), {}
    for percent in (50, 70, 90):
        found[f"ties, {percent} %"] = (percentile_pathway(scores, percent), cp.select(scores, percent / 100))
    return found


def gates(response: Response) -> Versions:
    """DGR(init=r) at 90 %: gates above the percentile, those tied with it dropped, beside the largest tenth."""
    right = _quiet(response, "dgr", {**GATES, "init": "uniform", "seed": 0, "binarise": "topk"})
    trained = None if right.search is None else right.search.ranking
    assert trained is not None
    return {"ties of gates": (percentile_pathway(trained, 90), right)}


def greedy(response: Response) -> Versions:
    """Greedy pruning that revives, beside the paper's algorithm 1, both asked for 90 %."""
    return {"revival": (oscillating_greedy(response, ROUNDS), _quiet(response, "greedy", {}))}


def reused(response: Response) -> Versions:
    """Only the first calls are pruned: by Taylor scores, at 70 % (ResNet-50 in the papers) and 90 %."""
    scores = neuron_scores(response, "taylor")
    return {
        f"calls, {percent} %": (percentile_pathway(first_calls(scores), percent), cp.select(scores, percent / 100))
        for percent in (70, 90)
    }


PARTS: Mapping[str, Callable[[Response], Versions]] = {
    "integrals": integrals,
    "selections": selections,
    "gates": gates,
    "greedy": greedy,
    "reused": reused,
}


def _quiet(response: Response, method: str, options: dict[str, Any]) -> Pathway:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SearchWarning)  # the sizes and classes are told
        return find_in_response(response, method, 0.9, **options)


def _compared(part: Subject, response: Response, released: Pathway, right: Pathway) -> dict[str, Tensor]:
    shared = cp.overlap(released, right)
    ends = {"released": _alone(part, response, released), "right": _alone(part, response, right)}
    told = {f"{name}, {version}": values for version, end in ends.items() for name, values in end.items()}
    maps = [told.pop(f"map, {version}") for version in ends]
    told["lerf, change"] = told["lerf, released"] - told["lerf, right"]
    return {"jaccard": shared.jaccard, "chance": shared.chance, "spearman": spearman_abs(*maps), **told}


def _alone(part: Subject, response: Response, path: Pathway) -> dict[str, Tensor]:
    """One pathway: size, dead share, whether it keeps the class, and PruneGrad's map with its area under LeRF."""
    maps = cp.attribute(part.net, part.x, "prunegrad", part.target, pathway=path)
    kept = response.keeps_class(response.pruned(path, graph=False))
    assert kept is not None
    return {
        "kept": 1 - path.sparsity,
        "dead": cp.dead_share(path, response.run.values()),
        "class": kept.double(),
        "lerf": cp.pixel_perturbation(part.net.model, part.x, part.target, maps).area(),
        "map": cp.evaluation.removal.reduced(maps),
    }


def shares_of_sites(subject: Subject) -> dict[str, Any]:
    """How many neurons the first calls have, as many calls as there are modules."""
    space = subject.net.sites(subject.x[:1])
    sizes = torch.tensor([site.neurons for site in space])
    modules = len({site.name.rpartition("#")[0] for site in space})
    return {"calls": len(sizes), "modules": modules, "share": float(sizes[:modules].sum() / sizes.sum())}
