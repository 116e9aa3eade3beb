"""Intervals of a mean over few independent repetitions: Student's t."""

from __future__ import annotations

from math import cos, pi, sin, sqrt, tan
from typing import NamedTuple

import torch
from torch import Tensor

from critpath.intervals import check_level


class Estimate(NamedTuple):
    """Means [...], the ends of their intervals, and of how many repetitions; ends are NaN where those are not two."""

    mean: Tensor
    low: Tensor
    high: Tensor
    n: int


def t_estimate(values: Tensor, level: float = 0.95) -> Estimate:
    """Mean over the first dimension of values [n, ...], and its t interval, float64."""
    check_level(level)
    values = values.double()
    n, mean = len(values), values.mean(dim=0)
    if n < 2:
        return Estimate(mean, torch.full_like(mean, torch.nan), torch.full_like(mean, torch.nan), n)
    half = t_quantile(level, n - 1) * values.std(dim=0) / sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def t_quantile(level: float, degrees: int) -> float:
    """The t with P(|T| <= t) = level, by bisection. Abramowitz and Stegun 26.7.3 and 26.7.4."""
    low, high = 0.0, pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(middle, degrees) < level else (low, middle)
    return sqrt(degrees) * tan(low)


def _inside(angle: float, degrees: int) -> float:
    """P(|T| <= sqrt(degrees) tan(angle))."""
    odd = degrees % 2
    term = cos(angle) if odd else 1.0
    total = 0.0
    for k in range(degrees // 2):
        total += term
        term *= cos(angle) ** 2 * ((2 * k + 2) / (2 * k + 3) if odd else (2 * k + 1) / (2 * k + 2))
    return 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total
