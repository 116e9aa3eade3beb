"""Whether pathways of one class are more alike than those of different classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.analysis.sketch import Sketch
from critpath.errors import InputError
from critpath.intervals import check_level, resample_weights
from critpath.options import check_type

GROUPS = 16
"""Into how many parts the sampled neurons are put to see how much their choice matters."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class ClassSimilarity:
    """Mean Jaccard of pairs of images, in [0, 1]: ``within`` one class, ``between`` two, and their ``difference``.

    ``chance_within`` and ``chance_between`` are what random sets of the same sizes have. The intervals are percentile
    bootstraps over images. ``sampling_within`` and so on are the standard errors that looking at some of the neurons
    adds (0 where all were looked at), by a jackknife over ``GROUPS`` groups of neurons. NaN where there is no pair.
    """

    within: float
    between: float
    difference: float
    chance_within: float
    chance_between: float
    within_interval: Interval
    between_interval: Interval
    difference_interval: Interval
    sampling_within: float
    sampling_between: float
    sampling_difference: float

    def __str__(self) -> str:
        rows = (
            ("within", self.within, self.within_interval, self.sampling_within),
            ("between", self.between, self.between_interval, self.sampling_between),
            ("difference", self.difference, self.difference_interval, self.sampling_difference),
        )
        chance = {"within": f", chance {self.chance_within:.4f}", "between": f", chance {self.chance_between:.4f}"}
        return "\n".join(
            f"{name}: mean Jaccard {mean:.4f} [{low:.4f}, {high:.4f}] over images, ± {error:.4f} by sampling neurons"
            + chance.get(name, "")
            for name, mean, (low, high), error in rows
        )


def class_similarity(pathways: Sketch, level: float = 0.95, seed: int = 0, resamples: int = 1000) -> ClassSimilarity:
    """Mean Jaccard of the pathways of one class and of different classes, over all pairs of different images.

    Takes memory for the square of the number of images. Images without a class (-1) are left out. Raises InputError
    where no image has a class, OptionError.
    """
    check_level(level)
    check_type("pathways", pathways, Sketch, "sketch(pathways) gives one")
    known = pathways.taken((pathways.labels >= 0).nonzero().flatten())
    if len(known) == 0:
        raise InputError("no pathway of this sketch has a class: sketch pairs of pathways and their classes")
    masks, jaccards = _pairs(known.labels), known.jaccards()
    means = _means(jaccards, masks)
    chances = _means(known.chances(), masks)
    intervals = _intervals(jaccards, masks, level, seed, resamples)
    errors = _sampling_errors(known, masks)
    return ClassSimilarity(*means.tolist(), *chances[:2].tolist(), *intervals, *errors.tolist())


def _pairs(labels: Tensor) -> Tensor:
    """Which pairs count: [2 (within, between), images, images], each pair twice, none with itself."""
    same = labels.unsqueeze(0) == labels.unsqueeze(1)
    return torch.stack([same & ~torch.eye(len(labels), dtype=torch.bool), ~same]).double()


def _means(jaccard: Tensor, masks: Tensor) -> Tensor:
    """Within, between, and within - between: [3]."""
    counted = masks * ~jaccard.isnan()
    means = (jaccard.nan_to_num() * counted).sum(dim=(1, 2)) / counted.sum(dim=(1, 2))
    return torch.cat([means, means[:1] - means[1:]])


def _intervals(jaccard: Tensor, masks: Tensor, level: float, seed: int, resamples: int) -> Iterator[Interval]:
    """Those of the three means; a pair counts as often as both its images were drawn together."""
    counted = masks * ~jaccard.isnan()
    summed = jaccard.nan_to_num() * counted
    drawn = [
        torch.stack([((w @ s) * w).sum(1) / ((w @ c) * w).sum(1) for s, c in zip(summed, counted, strict=True)])
        for w in resample_weights(len(jaccard), seed, resamples)
    ]
    means = torch.cat(drawn, dim=1)
    at = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    for row in (means[0], means[1], means[0] - means[1]):
        low, high = torch.nanquantile(row, at).tolist()
        yield low, high


def _sampling_errors(pathways: Sketch, masks: Tensor) -> Tensor:
    """Jackknife over groups of neurons, which are in random order: standard errors of the three means."""
    m, n = len(pathways.neurons), pathways.space.neurons
    if pathways.exact:
        return torch.zeros(3, dtype=torch.float64)
    groups = min(GROUPS, m)
    both, union = pathways.shared(pathways)
    left_out = []
    for start in range(groups):
        own_both, own_union = pathways.shared(pathways, slice(start, None, groups))
        left_out.append(_means((both - own_both) / (union - own_union), masks))
    without = torch.stack(left_out)
    variance = (groups - 1) / groups * (without - without.mean(dim=0)).square().sum(dim=0)
    return (variance * (1 - m / n)).sqrt()
