"""How sets of neurons lie to a partition of all neurons, each with what chance gives."""

from __future__ import annotations

import torch
from torch import Tensor


def unevenness(kept: Tensor, pool: Tensor, clusters: Tensor) -> Tensor:
    """Pearson's X² of the numbers kept in each cluster, over its mean for random sets of that size: [n], by chance 1.

    ``kept`` and ``pool`` [n, neurons] are booleans: what a pathway keeps, and what it could have kept. Sets drawn from
    the pool without replacement have mean (C - 1)(N - k)/(N - 1), for k of N neurons in C clusters that have any.
    NaN where the set is empty or the whole pool.
    """
    member = torch.nn.functional.one_hot(clusters).double()
    kept = kept & pool
    found, there = kept.double() @ member, pool.double() @ member
    k, n = found.sum(dim=1, keepdim=True), there.sum(dim=1, keepdim=True)
    expected = k * there / n
    terms = torch.where(expected > 0, (found - expected).square() / expected.clamp(min=1e-30), 0)
    mean = ((there > 0).sum(dim=1, keepdim=True) - 1) * (n - k) / (n - 1)
    return torch.where((k > 0) & (k < n), terms.sum(dim=1, keepdim=True) / mean, torch.nan).squeeze(1)


def composition(kept: Tensor, clusters: Tensor) -> Tensor:
    """The share of each set [n, neurons] in each cluster: [n, clusters]; NaN for the empty set."""
    found = kept.double() @ torch.nn.functional.one_hot(clusters).double()
    return found / found.sum(dim=1, keepdim=True)


def nearest_alike(values: Tensor, clusters: Tensor) -> tuple[Tensor, Tensor]:
    """Whether the neuron that goes most alike over the samples is of the same cluster, and the chance of that.

    ``values`` [samples, neurons]: membership or scores; alike is the correlation. Both [neurons], NaN for neurons that
    are constant, which are nobody's neighbour.
    """
    centred = values.double() - values.double().mean(dim=0)
    lengths = centred.norm(dim=0)
    moving = lengths > 0
    unit = centred[:, moving] / lengths[moving]
    alike = (unit.T @ unit).fill_diagonal_(-torch.inf)
    own = clusters[moving]
    same = (own[alike.argmax(dim=1)] == own).double()
    counts = own.bincount(minlength=int(clusters.max()) + 1).double()
    blank = torch.full((len(clusters),), torch.nan, dtype=torch.float64)
    return blank.masked_scatter(moving, same), blank.masked_scatter(moving, (counts[own] - 1) / (len(own) - 1))


def jaccards(kept: Tensor) -> Tensor:
    """Of all pairs of sets [n, neurons]: [n, n], NaN for two empty sets."""
    sets = kept.double()
    both, sizes = sets @ sets.T, sets.sum(dim=1)
    return both / (sizes.unsqueeze(0) + sizes.unsqueeze(1) - both)


def mean_where(values: Tensor, wanted: Tensor) -> list[float | None]:
    """The mean of each row over its wanted columns; None where there is none."""
    counted = wanted & ~values.isnan()
    sums = values.nan_to_num().where(counted, 0).sum(dim=1)
    counts = counted.sum(dim=1)
    return [float(s / c) if c else None for s, c in zip(sums, counts, strict=True)]
