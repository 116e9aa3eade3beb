"""Rules of integration along a line, and what their own points tell of their error.

All functions work on values at n points of one sample's line, [n, m] for m neurons.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SMOOTH = 1 / 3
"""Error left of a second-order rule, relative to its change when its points were doubled."""


def trapezoid(y: Tensor, g: Tensor) -> Tensor:
    """∫ g dy by the trapezoid rule on differences: Σ_k ½ (g_k + g_k+1) (y_k+1 - y_k), [m]."""
    return (0.5 * (g[1:] + g[:-1]) * (y[1:] - y[:-1])).sum(dim=0)


def kinks(y: Tensor, g: Tensor) -> Tensor:
    """For each segment and neuron ½ |Δg| |Δy|, a bound of the error there if g changes once: [n - 1, m]."""
    return 0.5 * (g[1:] - g[:-1]).abs() * (y[1:] - y[:-1]).abs()


def coarser(points: int, step: int) -> list[int]:
    """Every ``step``-th of the points; the last segment is longer where they do not come out even."""
    kept = [*range(0, points, step)]
    return [*kept[: max(1, len(kept) - 1)], points - 1] if points > 1 else kept


def tiny(values: Tensor) -> float:
    """What a divisor is at least."""
    return torch.finfo(values.dtype).tiny


def spread(segments: Tensor) -> Tensor:
    """The expected error of a trapezoid rule on an integrand with kinks, [m], from their bounds [n - 1, m].

    Where in its segment a gradient jumps is not known: an error uniform between -b and b, whose standard deviation
    is b / √3, independent from segment to segment. A gradient that wanders like a random walk leaves as much.
    """
    return (segments.square().sum(dim=0) / 3).sqrt()


def is_smooth(change: Tensor, before: Tensor) -> Tensor:
    """Whether twice the points change the result about four times less: a second-order rule at work."""
    return before > 3 * change


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
    return change * (change / before.clamp_min(tiny(before))).clamp(max=1.0)
