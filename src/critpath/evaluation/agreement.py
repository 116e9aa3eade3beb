"""How far methods agree with each other, and metrics in how they rank methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

from critpath.errors import InputError, OptionError
from critpath.evaluation.removal import pixel_scores, reduced
from critpath.evaluation.seeds import derived
from critpath.evaluation.similarity import ranks
from critpath.evaluation.summary import BETTER, checked_values
from critpath.intervals import bootstrap_interval, check_level, resampled_means
from critpath.options import check_choice, check_flag, check_type

AT_ONCE = 1 << 23
"""Pixels, over all methods, that are ranked at a time."""


@dataclass(frozen=True, eq=False)
class MapAgreement:
    """Rank correlation of methods' maps: ``values`` [methods, methods, n] float64 for every image, in [-1, 1].

    NaN where one of the maps is constant. ``mean``, ``low`` and ``high`` [methods, methods] are over images, with a
    bootstrap interval; ``counted`` says how many images they are over.
    """

    methods: tuple[str, ...]
    values: Tensor
    mean: Tensor
    low: Tensor
    high: Tensor
    counted: Tensor


@dataclass(frozen=True, eq=False)
class RankAgreement:
    """Kendall's tau-b of two metrics' rankings of methods: ``tau`` [metrics, metrics], in [-1, 1].

    ``low`` and ``high`` are ends of the bootstrap interval over images. ``methods`` [metrics, metrics] counts the
    methods that both metrics rank; NaN where these are fewer than two, or all tie.
    """

    metrics: tuple[str, ...]
    tau: Tensor
    low: Tensor
    high: Tensor
    methods: Tensor


def map_agreement(
    maps: Mapping[str, Tensor],
    *,
    reduce: str = "max_abs",
    signed: bool = False,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = 2000,
) -> MapAgreement:
    """Spearman correlation, image by image, between the maps [n, c, H, W] of every two methods.

    Of the pixels' relevance (``pixel_scores`` with ``reduce``), or with ``signed`` of ``reduced`` maps. Raises
    OptionError, InputError for maps of different images.
    """
    check_flag("signed", signed)
    names, n, size = _checked_maps(maps)
    rows = max(1, AT_ONCE // max(1, len(names) * size))
    parts = []
    for part in (slice(start, start + rows) for start in range(0, n, rows)):
        relevance = [reduced(maps[m][part]) if signed else pixel_scores(maps[m][part], reduce) for m in names]
        parts.append(_correlations(torch.stack([ranks(r.flatten(1)).cpu() for r in relevance], dim=1)))
    values = torch.cat(parts).permute(1, 2, 0).contiguous()
    low, high = bootstrap_interval(values, level, seed, resamples)
    return MapAgreement(names, values, values.nanmean(dim=-1), low, high, (~values.isnan()).sum(dim=-1))


def rank_agreement(
    values: Mapping[str, Mapping[str, Tensor]],
    better: Mapping[str, str],
    *,
    units: Mapping[str, str] | None = None,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = 2000,
) -> RankAgreement:
    """Whether metrics rank methods alike: Kendall's tau-b of every two metrics.

    Methods are ranked by their mean over the images for which a value is known (neither NaN nor infinite).
    ``values[metric][method]`` is [n]; ``better[metric]`` is "lower" or "higher". ``units[metric]`` names what the n
    are, "image" where it does not: metrics of the same units and n are resampled together, others independently.
    Raises OptionError, MismatchError where a metric's methods have different n.
    """
    check_type("values", values, Mapping)
    check_level(level)
    seeds = {metric: _seed_of(seed, (units or {}).get(metric, "image")) for metric in values}
    worth = {metric: _worth(values[metric], _direction(metric, better), seeds[metric], resamples) for metric in values}
    if not worth:
        raise OptionError("values hold no metric: give values[metric][method], each [n]")
    k = len(worth)
    found = torch.full((3, k, k), torch.nan, dtype=torch.float64)
    shared = torch.zeros(k, k, dtype=torch.int64)
    for (i, a), (j, b) in _pairs(list(worth)):
        common = [method for method in worth[a] if method in worth[b]]
        taus = kendall(*(_stacked(worth[metric], common, resamples) for metric in (a, b)))
        found[:, i, j] = found[:, j, i] = _ends(taus, level)
        shared[i, j] = shared[j, i] = len(common)
    tau, low, high = found
    return RankAgreement(tuple(worth), tau, low, high, shared)


def kendall(a: Tensor, b: Tensor) -> Tensor:
    """Kendall's tau-b [...] of values [..., m], in [-1, 1]; NaN where all of one tie. Kendall 1945."""
    one, other = _signs(a), _signs(b)
    ties = (one.abs().sum(dim=-1) * other.abs().sum(dim=-1)).sqrt()
    return (one * other).sum(dim=-1) / ties.where(ties > 0, torch.nan)


def _signs(values: Tensor) -> Tensor:
    """Which of two is larger, for all pairs [..., pairs]: -1, 0 or 1."""
    first, second = torch.triu_indices(values.shape[-1], values.shape[-1], 1)
    return (values[..., first] - values[..., second]).sign()


def _checked_maps(maps: Mapping[str, Tensor]) -> tuple[tuple[str, ...], int, int]:
    """Names, number of images, pixels of one."""
    check_type("maps", maps, Mapping)
    shapes = {}
    for name, tensor in maps.items():
        check_type(f"the maps of {name!r}", tensor, Tensor)
        if tensor.dim() != 4 or not tensor.numel():
            raise InputError(f"the maps of {name!r} are {list(tensor.shape)}; give [n, channels, height, width]")
        shapes[name] = (len(tensor), *tensor.shape[2:])
    if len(set(shapes.values())) != 1:
        raise InputError(f"methods are compared on the same images, and theirs are {shapes or 'none'}")
    n, height, width = next(iter(shapes.values()))
    return tuple(maps), n, height * width


def _correlations(ranked: Tensor) -> Tensor:
    """Pearson's of ranks [n, methods, pixels], between methods: [n, methods, methods]."""
    unit = F.normalize(ranked - ranked.mean(dim=-1, keepdim=True), dim=-1)
    known = (unit != 0).any(dim=-1)
    both = known.unsqueeze(1) & known.unsqueeze(2)
    return (unit @ unit.mT).clamp(-1, 1).where(both, torch.nan)


def _direction(metric: str, better: Mapping[str, str]) -> int:
    if metric not in better:
        raise OptionError(
            f"better does not say which values of {metric!r} are: give 'lower' or 'higher' for each metric"
        )
    check_choice(f"better[{metric!r}]", better[metric], BETTER)
    return 1 if better[metric] == "higher" else -1


def _worth(values: Mapping[str, Tensor], direction: int, seed: int, resamples: int) -> dict[str, Tensor]:
    """By method, its mean value (the higher the better), then those of the resamples: [1 + resamples]."""
    known = checked_values(values)
    stacked = torch.stack(list(known.values()))
    means = torch.cat([stacked.nanmean(dim=1, keepdim=True), resampled_means(stacked, seed, resamples)], dim=1)
    return dict(zip(known, direction * means, strict=True))


def _seed_of(seed: int, unit: str) -> int:
    return seed if unit == "image" else derived(seed, unit)


def _stacked(worth: Mapping[str, Tensor], methods: list[str], resamples: int) -> Tensor:
    """[1 + resamples, methods]"""
    return torch.stack([worth[m] for m in methods], dim=1) if methods else torch.zeros(1 + resamples, 0)


def _pairs(names: list[str]) -> list[tuple[tuple[int, str], tuple[int, str]]]:
    """Every two, and each with itself."""
    numbered = list(enumerate(names))
    return [*combinations(numbered, 2), *((one, one) for one in numbered)]


def _ends(taus: Tensor, level: float) -> Tensor:
    """Tau itself and the ends of its interval, from [1 + resamples]."""
    at = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    return torch.cat([taus[:1], torch.nanquantile(taus[1:], at.to(taus.dtype))]).double()
