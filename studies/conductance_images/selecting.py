"""The conductance paper's feature selection, with what the paper leaves open as settings, and with controls.

``critpath.evaluation.feature_selection`` is the protocol as published; here filters may also be ranked otherwise, a
set draws its images from a pool, and there are two controls and the F ratio beside the methods.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from critpath.evaluation.channels import METHODS
from critpath.evaluation.seeds import derived

COUNTS = (5, 10, 15, 20)
RANDOM, F_RATIO = "random", "F ratio"
SHUFFLED = "{} of its sites, at random"

Accuracies = dict[str, list[list[float]]]
"""[sets][counts] by row: a method or a control."""


@dataclass(frozen=True, eq=False)
class Images:
    """Filters on n images: ``importances`` by method, ``features``, both [n, filters]; ``labels`` [n]; their sites."""

    importances: Mapping[str, Tensor]
    features: Tensor
    labels: Tensor
    sites: tuple[str, ...]

    def at(self, columns: Sequence[int]) -> Images:
        """Some of the filters."""
        chosen = list(columns)
        importances = {name: values[:, chosen] for name, values in self.importances.items()}
        return replace(
            self,
            importances=importances,
            features=self.features[:, chosen],
            sites=tuple(self.sites[i] for i in chosen),
        )


@dataclass(frozen=True)
class Protocol:
    """What may differ between two ways to do it; the defaults are those of the library.

    ``rank`` is a name of ``RANKS``; with ``by_site`` scores are divided by the mean |score| of their site. ``penalty``
    is the strength of l2, 0 for none. A set draws ``per_label`` images of a label, or takes all where there are fewer,
    and trains on ``train_share`` of them.
    """

    rank: str = "signed"
    by_site: bool = False
    standardise: bool = True
    penalty: float = 1.0
    per_label: int = 50
    train_share: float = 0.6


def per_label_means(values: Tensor, labels: Tensor) -> Tensor:
    """[labels, filters]."""
    return torch.stack([values[labels == label].mean(dim=0) for label in _present(labels)])


def _present(labels: Tensor) -> Tensor:
    return torch.bincount(labels).nonzero().flatten()


def signed(values: Tensor, labels: Tensor) -> Tensor:
    """The largest mean over the labels, as published."""
    return per_label_means(values, labels).amax(dim=0)


def absolute(values: Tensor, labels: Tensor) -> Tensor:
    """The largest absolute mean over the labels."""
    return per_label_means(values, labels).abs().amax(dim=0)


def contrast(values: Tensor, labels: Tensor) -> Tensor:
    """The largest mean over the labels less the mean of all: what a filter does for one label only."""
    means = per_label_means(values, labels)
    return (means - means.mean(dim=0)).amax(dim=0)


RANKS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "signed": signed,
    "absolute": absolute,
    "contrast": contrast,
}
"""Importances [n, filters] and labels [n] to scores [filters]; the largest are chosen."""


def f_ratio(values: Tensor, labels: Tensor) -> Tensor:
    """Variance between labels over variance within them [filters]: a choice by the task, not by the network."""
    means, whole = per_label_means(values, labels), values.mean(dim=0)
    sizes = torch.bincount(labels)[_present(labels)]
    between = ((means - whole).square() * sizes.unsqueeze(1)).sum(dim=0)
    within = (values - whole).square().sum(dim=0) - between
    return between / within.clamp(min=torch.finfo(values.dtype).tiny)


def scaled_by_site(scores: Tensor, sites: Sequence[str]) -> Tensor:
    """Scores by the mean |score| of their site: filters of wide and narrow sites on one scale."""
    number = {site: i for i, site in enumerate(dict.fromkeys(sites))}
    place = torch.tensor([number[site] for site in sites])
    sums = torch.zeros(len(number), dtype=scores.dtype).index_add_(0, place, scores.abs())
    mean = sums / torch.bincount(place)
    return scores / mean.where(mean > 0, 1)[place]


def shuffled_in_sites(scores: Tensor, sites: Sequence[str], seed: int) -> Tensor:
    """The scores of every site dealt anew among its filters: as many filters of each site are chosen, but others."""
    draws, found = torch.Generator().manual_seed(seed), scores.clone()
    for site in dict.fromkeys(sites):
        members = torch.tensor([i for i, name in enumerate(sites) if name == site])
        found[members] = scores[members[torch.randperm(len(members), generator=draws)]]
    return found


def split(labels: Tensor, chosen: Sequence[int], protocol: Protocol, seed: int) -> tuple[Tensor, Tensor]:
    """Numbers of the images of some labels to train on, and of those held out."""
    parts = [_halves((labels == label).nonzero().flatten(), protocol, seed) for label in chosen]
    train, held_out = (torch.cat(column) for column in zip(*parts, strict=True))
    return train, held_out


def _halves(members: Tensor, protocol: Protocol, seed: int) -> tuple[Tensor, Tensor]:
    drawn = members[torch.randperm(len(members), generator=torch.Generator().manual_seed(seed))][: protocol.per_label]
    first = round(protocol.train_share * len(drawn))
    return drawn[:first], drawn[first:]


def selection(
    images: Images,
    sets: Sequence[Sequence[int]],
    protocol: Protocol,
    counts: Sequence[int] = COUNTS,
    *,
    shuffled: bool = True,
    seed: int = 0,
) -> tuple[Accuracies, dict[str, dict[str, float]]]:
    """Held-out accuracy of every row on every set, and the share of the filters chosen by a row that lie in a site.

    Rows are the methods, random filters, the F ratio of the features and, with ``shuffled``, for every method other
    filters of the sites that it chose. All rows see the same images of a set.
    """
    accuracies: Accuracies = {}
    places: dict[str, Counter[str]] = {}
    for number, labels in enumerate(sets):
        train, held_out = split(images.labels, labels, protocol, derived(seed, "set", number))
        for row, scores in _rows(images, train, protocol, shuffled, derived(seed, "control", number)).items():
            best = scores.argsort(descending=True, stable=True)[: max(counts)]
            found = [_accuracy(images, best[:count], train, held_out, protocol) for count in counts]
            accuracies.setdefault(row, []).append([round(value, 4) for value in found])
            places.setdefault(row, Counter()).update(images.sites[i] for i in best.tolist())
    return accuracies, {row: _shares(places[row]) for row in places}


def _rows(images: Images, train: Tensor, protocol: Protocol, shuffled: bool, seed: int) -> dict[str, Tensor]:
    """Scores [filters] by row."""
    labels, rank = images.labels[train], RANKS[protocol.rank]
    methods = {name: rank(values[train], labels) for name, values in images.importances.items()}
    if protocol.by_site:
        methods = {name: scaled_by_site(scores, images.sites) for name, scores in methods.items()}
    controls = {
        SHUFFLED.format(name): shuffled_in_sites(scores, images.sites, seed) for name, scores in methods.items()
    }
    draws = torch.Generator().manual_seed(seed)
    chance = torch.rand(len(images.sites), generator=draws, dtype=torch.float64)
    ceiling = f_ratio(images.features[train], labels)
    return {**methods, RANDOM: chance, F_RATIO: ceiling, **(controls if shuffled else {})}


def _accuracy(images: Images, best: Tensor, train: Tensor, held_out: Tensor, protocol: Protocol) -> float:
    x, unseen = images.features[train][:, best], images.features[held_out][:, best]
    if protocol.standardise:
        mean, deviation = x.mean(dim=0), x.std(dim=0, correction=0)
        deviation = deviation.where(deviation > 0, 1)
        x, unseen = (x - mean) / deviation, (unseen - mean) / deviation
    classifier = LogisticRegression(C=1 / protocol.penalty if protocol.penalty else math.inf, max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # separable labels, without a penalty
        classifier.fit(x.numpy(), images.labels[train].numpy())
    right = torch.from_numpy(classifier.predict(unseen.numpy())) == images.labels[held_out]
    return float(right.double().mean())


def _shares(counted: Counter[str]) -> dict[str, float]:
    return {site: round(count / counted.total(), 4) for site, count in counted.items()}


def is_method(row: str) -> bool:
    """Whether a row is one of the paper's four methods."""
    return row in METHODS
