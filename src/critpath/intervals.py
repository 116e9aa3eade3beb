"""How far a mean over images may be off: the percentile bootstrap."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import torch
from torch import Tensor

from critpath.options import check_count, check_number, check_type

AT_ONCE = 1 << 22
"""Numbers drawn at a time."""


def bootstrap_interval(
    values: Tensor, level: float = 0.95, seed: int = 0, resamples: int = 2000
) -> tuple[Tensor, Tensor]:
    """Ends (low, high) [...] of the percentile bootstrap interval of means over the last dimension of ``values``.

    ``values`` is [..., n], one number for each image; NaN is left out. All rows see the same resamples, so what is
    paired stays paired: give the differences of two methods for the interval of their difference. NaN where fewer
    than two numbers are left. Efron and Tibshirani 1993, chapter 13. Raises OptionError.
    """
    check_type("values", values, Tensor)
    check_level(level)
    flat = values.double().cpu().reshape(prod(values.shape[:-1]), values.shape[-1])
    means = resampled_means(flat, seed, resamples)
    known = (~flat.isnan()).sum(dim=1) > 1
    ends = _quantiles(means, (1 - level) / 2, (1 + level) / 2).where(known, torch.nan)
    low, high = ends.reshape(2, *values.shape[:-1])
    return low, high


def check_level(level: float) -> None:
    """Raises OptionError unless this is the share of resamples in an interval."""
    check_number("level", level, 0, 1, above=True, below=True)


def resampled_means(values: Tensor, seed: int, resamples: int) -> Tensor:
    """Means [rows, resamples] of ``values`` [rows, n] over resamples of the n, NaN left out."""
    known = ~values.isnan()
    filled = values.where(known, 0)
    parts = [filled @ w.T / (known.double() @ w.T) for w in resample_weights(values.shape[-1], seed, resamples)]
    return torch.cat(parts, dim=1)


def resample_weights(n: int, seed: int, resamples: int) -> Iterator[Tensor]:
    """How often each of n images is in each resample: float64 [some resamples, n], until there are ``resamples``."""
    check_count("resamples", resamples, 1)
    check_count("seed", seed, 0)
    generator = torch.Generator().manual_seed(seed)
    step = max(1, AT_ONCE // max(n, 1))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = torch.randint(max(n, 1), (rows, n), generator=generator)
        yield torch.zeros(rows, n, dtype=torch.float64).scatter_add_(1, drawn, torch.ones(rows, n, dtype=torch.float64))


def _quantiles(means: Tensor, *shares: float) -> Tensor:
    """[shares, rows]; torch's quantile takes 16 million numbers at most, so some rows at a time."""
    at = torch.tensor(shares, dtype=torch.float64)
    step = max(1, AT_ONCE // means.shape[1])
    parts = (means[start : start + step] for start in range(0, len(means), step))
    return torch.cat([torch.nanquantile(part, at, dim=1) for part in parts], dim=1)
