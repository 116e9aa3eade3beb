"""Table 1: filters chosen by several measures of importance, and how well they tell labels apart.

A part is a network and a way to measure importance: "resnet20.zero" (line from the mean colour), "resnet20.black"
(from a black image), "resnet20.label" (response: the logit of the image's class, not of the predicted one).
"resnet20.points" compares the integral with one of many points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import comb
from typing import Any

import torch
from torch import Tensor

from critpath.evaluation import label_sets
from critpath.evaluation.channels import channel_features
from critpath.network import Network
from studies.conductance_images.selecting import COUNTS, Images, Protocol, selection
from studies.conductance_images.subjects import ALL, DOGS, OUTPUTS, Case, Subject, columns_at, prepared

SIZE = 5
"""Labels of a set, as published."""

BY_SITE = "by the mean of the site"

PROTOCOLS: Mapping[str, Protocol] = {
    "absolute": Protocol(rank="absolute"),
    "less the other labels": Protocol(rank="contrast"),
    BY_SITE: Protocol(by_site=True),
    "raw activations, no penalty": Protocol(standardise=False, penalty=0.0),
}
"""Besides the one that is taken for the published one."""

MAXIMUM, ALIKE = "largest activation", "labels alike"

ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")

LINE = ("influence", "conductance")
"""The methods that integrate."""

MANY, AT_ONCE = 128, 50
"""Points of the integral that others are compared with; images of one forward pass."""

Options = Mapping[str, Any]


def parts(*, networks: Mapping[str, Options], **_: Any) -> list[str]:
    return [f"{name}.{kind}" for name, options in networks.items() for kind in options["kinds"]]


def run(
    part: str,
    *,
    networks: Mapping[str, Options],
    sets: int,
    variants: int,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """``sets`` label sets for the published protocol, the first ``variants`` of them for others.

    ``groups`` are the labels of the photographs, None for all that there are.
    """
    name, kind = part.split(".")
    options = networks[name]
    case = prepared(name, options["per_label"], groups, seed)
    if kind == "points":
        return _quadrature(case, options["points"], options["check"])
    images = _images(case, kind, options["points"])
    drawn = label_sets(images.labels, min(sets, comb(len(case.names), SIZE)), SIZE, seed)
    found = _published(case.subject, images, drawn, seed)
    if kind == "zero":
        found |= _others(case, images, drawn[:variants], seed)
    counted = {stage: len(columns_at(images.sites, at)) for stage, at in case.subject.stages.items()}
    facts = {"images": len(case.x), "labels": case.names, "filters": counted, "counts": list(COUNTS)}
    return {**facts, "sets": [list(one) for one in drawn], "variants": found}


def _images(case: Case, kind: str, points: int) -> Images:
    """Importances along the line from the mean colour or from black, for the predicted class or the label."""
    baseline = case.black if kind == "black" else None
    target = case.labels if kind == "label" else None
    found = channel_features(case.net, case.x, target=target, points=points, rule="trapezoid", baseline=baseline)
    importances = {name: values.double() for name, values in found.importances.items()}
    return Images(importances, found.features.double(), case.labels, found.sites)


def _published(subject: Subject, images: Images, sets: Sequence[Sequence[int]], seed: int) -> dict[str, Any]:
    """The protocol as published, with filters of all sites and of the blocks' outputs."""
    return {name: _tried(subject, images, sets, Protocol(), name, seed, True) for name in (ALL, OUTPUTS)}


def _others(case: Case, images: Images, sets: Sequence[Sequence[int]], seed: int) -> dict[str, Any]:
    """What the paper leaves open: which filters, how they are ranked and pooled, how the classifier is trained."""
    tried = partial(_tried, case.subject, images, sets, seed=seed, shuffled=False)
    stages = {name: tried(Protocol(), name) for name in case.subject.stages}
    protocols = {name: tried(protocol, ALL) for name, protocol in PROTOCOLS.items()}
    largest = _tried(case.subject, _maxima(case, images), sets, Protocol(), ALL, seed, False)
    return {**stages, **protocols, MAXIMUM: largest, **_themed(case, images, len(sets), seed)}


def _tried(
    subject: Subject,
    images: Images,
    sets: Sequence[Sequence[int]],
    protocol: Protocol,
    candidates: str,
    seed: int,
    shuffled: bool,
) -> dict[str, Any]:
    given = images.at(columns_at(images.sites, subject.candidates()[candidates]))
    accuracy, places = selection(given, sets, protocol, _counts(given), shuffled=shuffled, seed=seed)
    return {"accuracy": accuracy, "stages": {row: _by_stage(subject, shares) for row, shares in places.items()}}


def _counts(images: Images) -> list[int]:
    """The published counts, as far as there are as many filters."""
    return [count for count in COUNTS if count <= len(images.sites)]


def _by_stage(subject: Subject, shares: Mapping[str, float]) -> dict[str, float]:
    found = dict.fromkeys(subject.stages, 0.0)
    for site, share in shares.items():
        found[subject.stage_of(site) or ALL] += share
    return {name: round(share, 4) for name, share in found.items()}


def _themed(case: Case, images: Images, number: int, seed: int) -> dict[str, Any]:
    """Labels that are alike, as the paper's dogs and vessels: five kinds of dog, or five of CIFAR-10's six animals."""
    alike = ANIMALS if case.subject.cifar else DOGS
    if not set(alike) <= set(case.names):
        return {}
    labels = [case.names.index(name) for name in alike]
    sets = [labels[:i] + labels[i + 1 :] for i in range(len(labels))] if case.subject.cifar else [labels]
    return {ALIKE: _tried(case.subject, images, (sets * number)[:number], Protocol(), ALL, seed, False)}


def _maxima(case: Case, images: Images) -> Images:
    """The largest activation over positions in place of the mean."""
    found = [_largest(case.net, case.x[first : first + AT_ONCE]) for first in range(0, len(case.x), AT_ONCE)]
    return replace(images, features=torch.cat(found).double())


def _largest(net: Network, x: Tensor) -> Tensor:
    values = net.run(x, graph=False).values()
    return torch.cat([values[site.name].flatten(2).amax(dim=2) for site in values.space.sites], dim=1)


def _quadrature(case: Case, points: int, number: int) -> dict[str, Any]:
    """How far importances by few points are from those by many, on some images.

    ``error``: the relative L1 error over filters; ``same``: which share of the 20 largest is the same.
    """
    few, many = (_line(case, case.x[_spread(len(case.x), number)], count) for count in (points, MANY))
    errors = {name: (few[name] - many[name]).abs().sum(dim=1) / many[name].abs().sum(dim=1) for name in LINE}
    same = {name: _shared_tops(few[name], many[name]) for name in LINE}
    rounded = {name: [round(error, 4) for error in errors[name].tolist()] for name in LINE}
    return {"points": points, "many": MANY, "error": rounded, "same": same}


def _line(case: Case, x: Tensor, points: int) -> dict[str, Tensor]:
    found = channel_features(case.net, x, points=points, rule="trapezoid", methods=LINE)
    return found.at(*case.subject.candidates()[ALL]).importances


def _shared_tops(few: Tensor, many: Tensor) -> list[float]:
    """The share of the 20 filters of largest importance that both have, for every image."""
    tops = [values.topk(max(COUNTS), dim=1).indices.tolist() for values in (few, many)]
    return [len(set(a) & set(b)) / max(COUNTS) for a, b in zip(*tops, strict=True)]


def _spread(total: int, number: int) -> list[int]:
    """Numbers of some images at equal distances."""
    return [i * total // number for i in range(min(number, total))]
