"""The k entries of largest magnitude over many tensors, without sorting or joining them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd, inf, isfinite, sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from critpath.errors import NumericalError

Array = NDArray[Any]

SAMPLE = 1 << 17
"""Entries looked at to bracket the threshold."""

CHUNK = 1 << 17
"""Entries worked on at a time on a CPU, so that intermediate values stay in its cache."""


@dataclass(frozen=True)
class _Reached:
    """One part against the bracket: how many exceed it, its largest magnitude, and what lies within."""

    above: int
    largest: float
    positions: Tensor
    magnitudes: Tensor


def keep_largest(parts: Sequence[Tensor], k: int, kept: Sequence[Tensor] | None = None) -> Sequence[Tensor]:
    """Booleans shaped like ``parts``: True at the k entries of largest |value| over all of them.

    Exactly k, or all that are not zero where there are fewer; ties go to the earlier part and the lower
    row-major index. ``kept`` are contiguous tensors to write to. A sample brackets the threshold; one pass
    keeps all that reach the lower bracket and remembers what lies between; of those the smallest are let go.
    Raises NumericalError for NaN or infinity.
    """
    kept = [torch.empty(p.shape, dtype=torch.bool, device=p.device) for p in parts] if kept is None else kept
    dtype = reduce(torch.promote_types, (part.dtype for part in parts))
    parts = [part.to(dtype) for part in parts]
    total = sum(part.numel() for part in parts)
    k = min(k, total)
    if k <= 0:
        for keep in kept:
            keep.zero_()
        return kept
    share, sample = k / total, _ascending(_sample(parts))
    spread = 3 * sqrt(len(sample) * share * (1 - share)) + 8
    while not _keep_between(parts, kept, k, *_bracket(sample, share, spread)):
        spread *= 8
    return kept


def _sample(parts: Sequence[Tensor]) -> Tensor:
    """Magnitudes of evenly spaced entries; the step shares no factor with the widths of feature maps."""
    step = max(1, sum(part.numel() for part in parts) // SAMPLE)
    while gcd(step, 2 * 3 * 5 * 7 * 11 * 13) > 1:
        step += 1
    return torch.cat([part.flatten()[::step] for part in parts]).abs()


def _bracket(sample: Tensor, share: float, spread: float) -> tuple[float, float]:
    """Magnitudes between which the threshold lies in all likelihood; ``sample`` is in ascending order."""
    first, last = int(share * len(sample) - spread), int(share * len(sample) + spread) + 1
    high = float(sample[len(sample) - first]) if first >= 1 else inf
    low = float(sample[len(sample) - last]) if last <= len(sample) else 0.0
    return low, high


def _ascending(values: Tensor) -> Tensor:
    """Sorted; on a CPU by numpy, which is many times faster at it than torch."""
    return torch.from_numpy(np.sort(values.numpy())) if values.device.type == "cpu" else values.sort().values


def _keep_between(parts: Sequence[Tensor], kept: Sequence[Tensor], k: int, low: float, high: float) -> bool:
    """Keep the k largest if the threshold is in [low, high]; else return False."""
    found = [_reach(part.flatten(), keep.view(-1), low, high) for part, keep in zip(parts, kept, strict=True)]
    _check_finite([reached.largest for reached in found], parts)
    above = sum(reached.above for reached in found)
    between = _ascending(torch.cat([reached.magnitudes for reached in found]))
    if above >= k or (above + len(between) < k and low > 0):
        return False
    surplus = above + len(between) - k
    if surplus > 0:
        threshold = float(between[surplus - 1])
        ties = surplus - int(torch.count_nonzero(between < threshold))
        _let_go(kept, found, threshold, ties)
    return True


def _reach(part: Tensor, keep: Tensor, low: float, high: float) -> _Reached:
    """Keep what reaches ``low`` and is not 0; count what exceeds ``high``; return what lies between."""
    if part.device.type == "cpu":
        return _reach_in_cache(_quick(part), _quick(keep), low, high)
    magnitude = part.abs()
    torch.logical_and(magnitude >= low, magnitude > 0, out=keep)
    over = magnitude > high
    positions = (over ^ keep).nonzero().flatten()
    return _Reached(
        int(torch.count_nonzero(over)), float(magnitude.max()) if len(part) else 0.0, positions, magnitude[positions]
    )


def _reach_in_cache(part: Array, keep: Array, low: float, high: float) -> _Reached:
    """The same on a CPU, chunk by chunk; numpy compares several times faster than torch here."""
    above, largest, positions, magnitudes = 0, [], [], []
    reaches = np.greater_equal if low > 0 else np.greater
    for start in range(0, max(len(part), 1), CHUNK):
        magnitude = np.abs(part[start : start + CHUNK])
        chunk = keep[start : start + CHUNK]
        reaches(magnitude, low, out=chunk)
        over = magnitude > high
        inside = np.flatnonzero(over ^ chunk)
        above += int(np.count_nonzero(over))
        largest.append(magnitude.max(initial=0))
        positions.append(inside + start)
        magnitudes.append(magnitude[inside])
    joined = torch.from_numpy(np.concatenate(positions)), torch.from_numpy(np.concatenate(magnitudes))
    return _Reached(above, float(np.max(largest)), *joined)


def _check_finite(largest: Sequence[float], parts: Sequence[Tensor]) -> None:
    for number, (magnitude, part) in enumerate(zip(largest, parts, strict=True)):
        if not isfinite(magnitude):
            raise NumericalError(f"the scores of site {number}, {list(part.shape)}, hold NaN or infinity: no ranking")


def _let_go(kept: Sequence[Tensor], found: Sequence[_Reached], threshold: float, ties: int) -> None:
    """Let go of all below the threshold, and of the last ``ties`` that equal it."""
    for keep, reached in zip(reversed(kept), reversed(found), strict=True):
        flat, positions, magnitudes = map(_quick, (keep.view(-1), reached.positions, reached.magnitudes))
        flat[positions[magnitudes < threshold]] = False
        if ties > 0:
            equal = positions[magnitudes == threshold][-ties:]
            flat[equal] = False
            ties -= len(equal)


def _quick(tensor: Tensor) -> Any:
    """On a CPU the same memory as an array: numpy starts quicker on small ones."""
    return tensor.numpy() if tensor.device.type == "cpu" else tensor
