"""Feature selection: how well few filters, chosen by their importance, tell labels apart (conductance paper, 5.2)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, inf
from typing import Any

import torch
from torch import Tensor

from critpath.errors import InputError, MismatchError, MissingDependencyError, OptionError
from critpath.evaluation.seeds import derived
from critpath.intervals import bootstrap_interval
from critpath.options import check_choice, check_count, check_flag, check_number, check_several, shown

COUNTS = (5, 10, 15, 20)
"""Filters chosen, as published."""

RANDOM = "random"


@dataclass(frozen=True, eq=False)
class FeatureSelection:
    """Held-out accuracy in [0, 1], float64 [methods, sets, counts], of a classifier on few filters."""

    methods: tuple[str, ...]
    sets: tuple[tuple[int, ...], ...]
    counts: tuple[int, ...]
    accuracy: Tensor

    def of(self, method: str) -> Tensor:
        """[sets, counts]. Raises OptionError for a method that is not here."""
        check_choice("method", method, self.methods)
        return self.accuracy[self.methods.index(method)]

    def estimate(self, method: str, level: float = 0.95, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Mean over the label sets [counts], and the ends of its bootstrap interval."""
        return _over_sets(self.of(method), level, seed)

    def difference(
        self, method: str, reference: str = RANDOM, level: float = 0.95, seed: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean of a method's accuracy less the reference's on the same label sets [counts], and its interval's ends."""
        return _over_sets(self.of(method) - self.of(reference), level, seed)


def compare_selection(
    importances: Mapping[str, Tensor],
    features: Tensor,
    labels: Tensor,
    sets: Sequence[Sequence[int]],
    counts: Sequence[int] = COUNTS,
    *,
    random: bool = True,
    seed: int = 0,
    **options: Any,
) -> FeatureSelection:
    """``feature_selection`` by several methods on several label sets, on the same images for every method.

    Images that hold NaN for one method are left out for all. ``random`` adds a row of randomly chosen filters, others
    for every set. Every set draws its training images by a seed of its own, made from ``seed`` and its number.
    Intervals are over the sets, of which there should be many: sets of one pool of images overlap. Options and errors
    as there.
    """
    check_several("sets", sets)
    if not importances and not random:
        raise OptionError("there is nothing to compare: give importances={'name': [images, channels]}")
    if random and RANDOM in importances:
        raise OptionError(f"a method is called {RANDOM!r}, like the row of random filters; give it another name")
    known = known_images(features, *importances.values())
    rows = {name: values[known] for name, values in importances.items()}
    features, labels = features[known], labels[known.to(labels.device)]
    found = [
        [
            feature_selection(given, features, labels, labels_of, counts, seed=derived(seed, "set", number), **options)
            for number, labels_of in enumerate(sets)
            for given in [rows[name] if name in rows else _random(features, seed, number)]
        ]
        for name in (*rows, *([RANDOM] if random else []))
    ]
    names = (*rows, *([RANDOM] if random else []))
    accuracy = torch.stack([torch.stack(row) for row in found])
    return FeatureSelection(names, tuple(tuple(one) for one in sets), tuple(counts), accuracy)


def feature_selection(
    importances: Tensor,
    features: Tensor,
    labels: Tensor,
    label_set: Sequence[int],
    counts: Sequence[int] = COUNTS,
    *,
    train_share: float = 0.6,
    aggregate: str = "mean",
    standardise: bool = True,
    strength: float = 1.0,
    seed: int = 0,
) -> Tensor:
    """Held-out accuracy [counts], float64, of a linear classifier on the k filters of largest importance.

    Dhamdhere et al. 2019, sections 5.2 and 6.2. Of each label's images ``train_share`` are drawn, by ``seed``, to
    train on; the others are held out. Importances of the training images are aggregated for every label, with their
    signs, and a filter counts by its largest aggregate over the labels; of two alike the first one is taken.

    The paper says neither how activations are pooled nor how the classifier is trained. Here: ``features`` as given
    (``channel_features``: mean over positions), standardised on the training images, and multinomial logistic
    regression with an l2 penalty of ``strength``; 0 is none, which has no solution where labels can be separated.

    Parameters
    ----------
    importances, features
        [images, channels]; images that hold NaN are left out.
    labels
        Integers [images].
    label_set
        The labels to tell apart, two or more.
    aggregate
        "mean" or "sum" over a label's training images: alike where all labels have as many.

    Raises OptionError, MismatchError, InputError where a label has fewer than two images, MissingDependencyError.
    """
    check_several("counts", counts)
    for count in counts:
        check_count("a count of filters", count, 1)
    check_number("train_share", train_share, 0, 1, above=True, below=True)
    check_choice("aggregate", aggregate, ("mean", "sum"))
    check_flag("standardise", standardise)
    check_number("strength", strength, 0)
    importances, features, labels = _checked(importances, features, labels, max(counts))
    train, held_out = _images(labels, label_set, train_share, seed)
    best = ranked_channels(importances[train], labels[train], aggregate)
    given = _scaled(features, train) if standardise else features
    accuracies = [
        _accuracy(given[train][:, best[:k]], labels[train], given[held_out][:, best[:k]], labels[held_out], strength)
        for k in counts
    ]
    return torch.tensor(accuracies, dtype=torch.float64)


def ranked_channels(importances: Tensor, labels: Tensor, aggregate: str = "mean") -> Tensor:
    """Channels by their largest aggregate over the labels, the largest first: integers [channels]."""
    per_label = [importances[labels == label] for label in torch.bincount(labels).nonzero().flatten()]
    aggregates = [rows.sum(dim=0) if aggregate == "sum" else rows.mean(dim=0) for rows in per_label]
    return torch.stack(aggregates).amax(dim=0).argsort(descending=True, stable=True)


def random_importances(features: Tensor, seed: int) -> Tensor:
    """One random number for each channel, the same for all images: [images, channels], float64."""
    check_count("seed", seed, 0)
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(features.shape[1], generator=generator, dtype=torch.float64).expand(features.shape)


def _random(features: Tensor, seed: int, number: int) -> Tensor:
    return random_importances(features, derived(seed, "filters", number))


def label_sets(labels: Tensor, number: int, size: int, seed: int = 0) -> tuple[tuple[int, ...], ...]:
    """Different sets of ``size`` of the labels that there are, drawn by ``seed``; more sets start with the same ones.

    Raises OptionError where there are not so many.
    """
    check_count("number", number, 1)
    check_count("size", size, 2)
    check_count("seed", seed, 0)
    known = labels.cpu().unique().tolist()  # type: ignore[no-untyped-call]
    if number > comb(len(known), size):
        raise OptionError(
            f"{len(known)} labels give {comb(len(known), size)} sets of {size}, and {number} are asked for"
        )
    generator = torch.Generator().manual_seed(derived(seed, "label sets"))
    found: dict[tuple[int, ...], None] = {}
    while len(found) < number:
        drawn = torch.randperm(len(known), generator=generator)[:size].tolist()
        found[tuple(sorted(known[i] for i in drawn))] = None
    return tuple(found)


def enough_images(labels: Tensor, least: int = 2) -> Tensor:
    """Which images [n] have a label that so many of them have: of fewer none can be held out. Booleans, on the CPU."""
    _, label, counts = labels.cpu().unique(return_inverse=True, return_counts=True)  # type: ignore[no-untyped-call]
    found: Tensor = counts[label] >= least
    return found


def known_images(*values: Tensor) -> Tensor:
    """Which images hold no NaN in any of these [images, channels]: booleans [images], on the CPU."""
    return torch.stack([~value.isnan().any(dim=1).cpu() for value in values]).all(dim=0)


def _checked(importances: Tensor, features: Tensor, labels: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """On the CPU in float64, without images that hold NaN."""
    if importances.dim() != 2 or importances.shape != features.shape or labels.shape != features.shape[:1]:
        raise MismatchError(
            f"importances {list(importances.shape)}, features {list(features.shape)} and labels {list(labels.shape)}: "
            "give [images, channels] twice and [images]"
        )
    if most > features.shape[1]:
        raise OptionError(f"{most} filters are asked for, and there are {features.shape[1]}")
    if labels.is_floating_point() or bool((labels < 0).any()):
        raise InputError("labels are integers from 0")
    known = known_images(importances, features)
    scores, values = (value.detach().cpu()[known].double() for value in (importances, features))
    return scores, values, labels.cpu()[known].long()


def _images(labels: Tensor, label_set: Sequence[int], share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Numbers of the images to train on and of those held out, label by label; at least one of each."""
    check_several("label_set", label_set)
    check_count("seed", seed, 0)
    if len(set(label_set)) < 2 or len(set(label_set)) < len(label_set):
        raise OptionError(f"label_set is {shown(label_set)}; give two or more different labels")
    parts = [_parted((labels == label).nonzero().flatten(), label, share, seed) for label in label_set]
    train, held_out = (torch.cat(column) for column in zip(*parts, strict=True))
    return train, held_out


def _parted(members: Tensor, label: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    if len(members) < 2:
        raise InputError(f"label {label} has {len(members)} images; give two or more, to train on and to hold out")
    shuffled = members[torch.randperm(len(members), generator=torch.Generator().manual_seed(seed))]
    first = min(max(round(share * len(members)), 1), len(members) - 1)
    return shuffled[:first], shuffled[first:]


def _scaled(features: Tensor, train: Tensor) -> Tensor:
    """Mean 0 and deviation 1 on the training images; what is constant there becomes 0 there."""
    mean, deviation = features[train].mean(dim=0), features[train].std(dim=0, correction=0)
    return (features - mean) / deviation.where(deviation > 0, 1)


def _accuracy(x: Tensor, y: Tensor, held_out: Tensor, wanted: Tensor, strength: float) -> float:
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise MissingDependencyError("scikit-learn", "evaluation", "Feature selection") from None
    classifier = LogisticRegression(C=1 / strength if strength else inf, max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # separable labels, without a penalty
        classifier.fit(x.numpy(), y.numpy())
    return float((torch.from_numpy(classifier.predict(held_out.numpy())) == wanted).double().mean())


def _over_sets(values: Tensor, level: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    low, high = bootstrap_interval(values.T, level, seed)
    return values.mean(dim=0), low, high
