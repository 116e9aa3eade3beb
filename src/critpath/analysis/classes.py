"""Class pathways: how often each neuron is on the pathways of a class, counted as they go by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from critpath.analysis.labels import Labelled, check_class, labelled
from critpath.errors import InputError, MismatchError
from critpath.neurons import NeuronSpace, NeuronValues, parted
from critpath.options import check_number
from critpath.pathway import Pathway

Counts = NDArray[Any]

CHUNK = 1 << 24
"""Counts of neurons, over all classes, that are looked at together."""


@dataclass(frozen=True, eq=False)
class ClassPathways:
    """For every class, how many of its images' pathways hold each neuron.

    ``images`` maps a class to the number of its images, in ascending order of classes; ``counts`` maps it to numbers
    [neurons] in site order, on the CPU: 2 bytes a neuron and class, 4 from 65,536 images on. Those of other images are
    added by ``+``. Classes that were not seen raise OptionError.
    """

    space: NeuronSpace
    images: dict[int, int]
    counts: dict[int, Counts]

    @property
    def classes(self) -> tuple[int, ...]:
        return tuple(self.images)

    def __repr__(self) -> str:
        total = sum(self.images.values())
        return f"ClassPathways({len(self.images)} classes, {total:,} images, neurons={self.space.neurons:,})"

    def __add__(self, other: ClassPathways) -> ClassPathways:
        if difference := self.space.difference(other.space):
            raise MismatchError(f"class pathways of different networks or input shapes cannot be added: {difference}")
        images, counts = dict(self.images), dict(self.counts)
        for label, number in other.images.items():
            images[label] = images.get(label, 0) + number
            counts[label] = _sum(counts.get(label), other.counts[label], images[label])
        return _in_order(self.space, images, counts)

    def frequency(self, label: int) -> NeuronValues:
        """The share of the class's pathways that hold each neuron, in [0, 1]: one sample, float32."""
        share = torch.from_numpy(self._of(label).astype(np.float32)) / self.images[label]
        return parted(self.space, share.unsqueeze(0))

    def union(self, label: int) -> Pathway:
        """The neurons that are on one of the class's pathways at least."""
        return self._reached(label, 1)

    def intersection(self, label: int) -> Pathway:
        """The neurons that are on all of the class's pathways."""
        self._of(label)
        return self._reached(label, self.images[label])

    def at_least(self, label: int, share: float) -> Pathway:
        """The neurons that are on at least this share, in (0, 1], of the class's pathways."""
        check_number("share", share, 0, 1, above=True)
        self._of(label)
        images = self.images[label]
        return self._reached(label, next(k for k in range(1, images + 1) if k / images >= share))

    def mean_sizes(self) -> Tensor:
        """Mean number of neurons on a pathway of each class: float64 [classes]."""
        means = [float(self.counts[c].sum(dtype=np.int64)) / n for c, n in self.images.items()]
        return torch.tensor(means, dtype=torch.float64)

    def mean_intersections(self) -> Tensor:
        """Mean of |A ∩ B| over pairs of pathways, exactly: float64 [classes, classes].

        A and B are of the two classes; on the diagonal two different images of one class, NaN where it has but one.
        """
        images = torch.tensor(list(self.images.values()), dtype=torch.float64)
        products = torch.zeros(len(images), len(images), dtype=torch.float64)
        for part in self._chunks():
            products += part @ part.T
        own = self.mean_sizes() * images
        pairs = images.outer(images) - torch.diag(images)
        return (products - torch.diag(own)) / pairs

    def overlaps(self) -> Tensor:
        """Mean |A ∩ B| over mean |A ∪ B|, in [0, 1]: float64 [classes, classes].

        A Jaccard of means, which the counts give exactly; the mean of the pairs' Jaccards is that of ``sketch``.
        """
        shared, sizes = self.mean_intersections(), self.mean_sizes()
        return shared / (sizes.unsqueeze(0) + sizes.unsqueeze(1) - shared)

    def _of(self, label: int) -> Counts:
        check_class(label, self.classes)
        return self.counts[label]

    def _reached(self, label: int, least: int) -> Pathway:
        return Pathway(parted(self.space, torch.from_numpy(self._of(label) >= least).unsqueeze(0)))

    def _chunks(self) -> Iterator[Tensor]:
        """Counts of all classes, some neurons at a time: float64 [classes, neurons]."""
        step = max(1, CHUNK // len(self.counts))
        for start in range(0, self.space.neurons, step):
            part = np.stack([counts[start : start + step] for counts in self.counts.values()])
            yield torch.from_numpy(part.astype(np.float64))


def class_pathways(pathways: Pathway | Iterable[Pathway | Labelled]) -> ClassPathways:
    """Count the pathways of every class, batch by batch; no pathway is kept.

    ``pathways`` are pairs of a ``Pathway`` and the classes of its samples: integers [batch], or one for all. It may be
    a generator: ``((cp.find_pathway(net, x), y) for x, y in data)``. Pathways without classes, of one batch or of
    several, are all counted as class -1. Raises InputError where there is none, MismatchError where they belong to
    different networks.
    """
    space: NeuronSpace | None = None
    images: dict[int, int] = {}
    counts: dict[int, Counts] = {}
    for pathway, labels in labelled(pathways):
        space = pathway.space if space is None else space
        if difference := space.difference(pathway.space):
            raise MismatchError(f"pathways of different networks or input shapes cannot be counted: {difference}")
        _count(pathway, labels, images, counts)
    if space is None:
        raise InputError("there is no pathway to count: the iterable is empty")
    return _in_order(space, images, counts)


def _count(pathway: Pathway, labels: Sequence[int], images: dict[int, int], counts: dict[int, Counts]) -> None:
    """Add the pathways of one batch to ``images`` and ``counts``."""
    for i, label in enumerate(labels):
        images[label] = images.get(label, 0) + 1
        held = torch.cat([keep[i].flatten().cpu() for keep in pathway.keep.tensors]).numpy()
        counts[label] = _sum(counts.get(label), held, images[label], inplace=True)


def _sum(counts: Counts | None, more: NDArray[np.bool_] | Counts, images: int, inplace: bool = False) -> Counts:
    """Counts with more added, in integers that hold as many as there are images."""
    dtype: type[np.uint16] | type[np.int32] = np.uint16 if images < 2**16 else np.int32
    if counts is None:
        return more.astype(dtype)
    counts = counts.astype(dtype, copy=not inplace)
    np.add(counts, more, out=counts, casting="unsafe")
    return counts


def _in_order(space: NeuronSpace, images: dict[int, int], counts: dict[int, Counts]) -> ClassPathways:
    labels = sorted(images)
    return ClassPathways(space, {c: images[c] for c in labels}, {c: counts[c] for c in labels})
