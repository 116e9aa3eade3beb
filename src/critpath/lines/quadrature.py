"""Rules of integration along a line, and what their own points tell of their error.

All functions work on values at n points of one sample's line, [n, m] for m neurons.
"""

from __future__ import annotations

from math import log2

import numpy as np
import torch
from torch import Tensor

SMOOTH = 1 / 3
"""Error left of a second-order rule, relative to its change when its points were doubled."""

UNKNOWN_RATIO = 1.7
"""By how much doubling the points reduces the change, where there are too few points to tell."""


def trapezoid(y: Tensor, g: Tensor) -> Tensor:
    """∫ g dy by the trapezoid rule on differences: Σ_k ½ (g_k + g_k+1) (y_k+1 - y_k), [m]."""
    return (0.5 * (g[1:] + g[:-1]) * (y[1:] - y[:-1])).sum(dim=0)


def kinks(y: Tensor, g: Tensor) -> Tensor:
    """For each segment and neuron ½ |Δg| |Δy|, a bound of the error there if g changes once: [n - 1, m]."""
    return 0.5 * (g[1:] - g[:-1]).abs() * (y[1:] - y[:-1]).abs()


def coarser(points: int, step: int) -> list[int]:
    """Every ``step``-th of the points, and the last."""
    return sorted({*range(0, points, step), points - 1})


def remaining(change: Tensor, before: Tensor | None) -> Tensor:
    """The error left, from ``change`` = |result - result with half the points| and the change before that one.

    Where doubling divides the changes by r, they shrink as n^-p with 2^p = r. Kinks leave errors that are
    independent of one another: change / √(r² - 1). A smooth integrand leaves a third.
    """
    ratio = torch.full_like(change, UNKNOWN_RATIO) if before is None else before / change.clamp_min(1e-300)
    return change * (ratio.clamp(2**0.5, 4) ** 2 - 1).rsqrt().clamp_min(SMOOTH)


def gauss(points: int) -> tuple[list[float], list[float]]:
    """Nodes in (0, 1) and weights of Gauss-Legendre integration."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    return ((nodes + 1) / 2).tolist(), (weights / 2).tolist()


def gauss_subset(nodes: list[float], step: int) -> list[float]:
    """Weights, 0 at most nodes, that integrate by the polynomial through every ``step``-th of the nodes."""
    chosen = slice(step // 2, None, step)
    t = 2 * np.asarray(nodes)[chosen] - 1
    moments = np.zeros(len(t))
    moments[0] = 1.0
    weights = np.zeros(len(nodes))
    weights[chosen] = np.linalg.solve(np.polynomial.legendre.legvander(t, len(t) - 1).T, moments)
    return weights.tolist()


def remaining_smooth(change: Tensor, before: Tensor) -> Tensor:
    """The error left by a Gauss rule, from the changes when its points went from a quarter to a half to all.

    The gain of the last doubling is taken to be no more than that of the one before: careful where the rule
    converges geometrically, right where it does not.
    """
    return change * (change / before.clamp_min(1e-300)).clamp(max=1.0)


def doublings(points: int) -> int:
    """How often the number of points can be halved."""
    return int(log2(points))
