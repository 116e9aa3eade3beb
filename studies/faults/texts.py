"""Faults of the texts: what published numbers say about how they were made. Arithmetic alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

import critpath as cp
from critpath.errors import NumericalError
from studies.faults import published

THIRD = Decimal("0.001")


def chance(first: float, second: float) -> float:
    """The Jaccard of independent random sets of two shares."""
    both = first * second
    return both / (first + second - both)


def share_of(jaccard: float, other: float) -> float:
    """The share of a set that is independent of one with share ``other``, from their Jaccard: its inverse."""
    return jaccard * other / (other - jaccard * (1 - other))


def labels() -> dict[str, Any]:
    """Which column of figure 2a is random, and the sizes that follow for DGR(init=r) and the greedy path."""
    greedy = share_of(published.GREEDY_RANDOM / 100, 0.1)
    dead = greedy * published.GREEDY_DEAD / 100
    return {
        "chance": chance(0.1, 0.1),
        "off chance": {name: _off(column, chance(0.1, 0.1)) for name, column in published.JACCARD.items()},
        "share of DGR(init=r)": share_of(published.JACCARD["GreedyPruning"][3] / 100, 0.1),
        "share of greedy": greedy,
        "greedy holds of the dead": dead / (published.DEAD / 100),
        "greedy holds of the active": (greedy - dead) / (1 - published.DEAD / 100),
    }


def _off(column: Sequence[float], by_chance: float) -> float:
    """How far the three values for paths of 10 % are from chance at most."""
    return max(abs(value / 100 - by_chance) for value in column[:3])


def areas() -> dict[str, dict[str, float]]:
    """Areas under the curves of figure 6: trapezoids from 0 at 0 to 10 %."""
    return {data: {m: _area(v, 0.01) for m, v in rows.items()} for data, rows in published.LERF_STEPS.items()}


def copied() -> dict[str, Any]:
    """Whether a row of one data set is that of another, and how far the other rows are apart."""
    birds, images = published.LERF_STEPS["Birdsnap"], published.LERF_STEPS["ImageNet"]
    apart = {m: max(abs(a - b) for a, b in zip(birds[m], images[m], strict=True)) for m in birds}
    return {"largest difference": apart, "equal": [m for m, d in apart.items() if d == 0]}


def truncated() -> dict[str, Any]:
    """Table 2 as rounded and as cut: how many cells each explains, and which differ."""
    cells = [(data, m, area) for data, rows in areas().items() for m, area in rows.items()]
    printed = list(chain.from_iterable(published.LERF_TABLE.values()))
    cut, rounded = ([_decimals(a, how) for _, _, a in cells] for how in (ROUND_DOWN, ROUND_HALF_EVEN))
    differ = [
        {"data": d, "method": m, "area": a, "printed": p, "rounded": r}
        for (d, m, a), p, r in zip(cells, printed, rounded, strict=True) if p != r
    ]  # fmt: skip
    return {
        "cells": len(cells),
        "cut fits": sum(a == b for a, b in zip(cut, printed, strict=True)),
        "rounding fits": sum(a == b for a, b in zip(rounded, printed, strict=True)),
        "differ": differ,
    }


def best() -> dict[str, Any]:
    """Where GradCAM has the smaller published area than NeuronMCT and NeuronIntGrad; ROAR's areas of Birdsnap."""
    accuracies = {m: (published.ROAR_BIRDSNAP_START, *v) for m, v in published.ROAR_BIRDSNAP.items()}
    at = torch.tensor([0, 0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64)
    roar = {m: float(torch.trapezoid(torch.tensor(v, dtype=torch.float64) / 100, at)) for m, v in accuracies.items()}
    return {"lerf": {d: {m: rows[m] for m in roar} for d, rows in areas().items()}, "roar, Birdsnap": roar}


def samples() -> dict[str, Any]:
    """Which numbers of samples give accuracies that print as those of table 2: every cell a whole number of them."""
    cells = list(chain.from_iterable(published.TEXT_FEATURES.values()))
    fits = {n: sum(_possible(cell, n) for cell in cells) for n in range(50, published.TEXT_ALL + 1)}
    half = (published.TEXT_ALL + 1) // 2
    stated, most = published.TEXT_SAMPLES, max(fits.values())
    leads = [c - max(o) for c, *o in zip(*_conductance_first(), strict=True)]
    by_chance = [count for n, count in fits.items() if abs(n - half) <= 50 and n != half]
    return {
        "cells": len(cells), "stated": stated, "fit stated": fits[stated], "half": half, "fit half": fits[half],
        "best": [n for n, count in fits.items() if count == most][:10], "fit best": most,
        "fit of neighbours": max(by_chance), "lead of conductance": leads,
        "standard error at 90 %": 100 * (0.9 * 0.1 / half) ** 0.5,
    }  # fmt: skip


def examples() -> dict[str, Any]:
    """The worked examples of C as printed and as meant, computed: gradient x activation, conductance, integrals."""
    one, pair = torch.ones(1, 1, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64)
    eps = 0.1
    return {
        "saturation, max": _scores(Saturating(torch.maximum), one),
        "saturation, min": _scores(Saturating(torch.minimum), one),
        "overshoot, 1 - ε": _scores(Overshooting(), one * (1 - eps)),
        "overshoot, 1 + ε": _scores(Overshooting(), one * (1 + eps)),
        "roots": {
            "hidden integral": _first(cp.score(cp.Network(Roots().eval()), pair, "intgrad", 0, points=2000)),
            "conductance": _first(cp.score(cp.Network(Roots().eval()), pair, "conductance", 0, points=2000)),
        },
        "ε": eps,
    }


class Saturating(nn.Module):
    """y = 2x, then the larger or the smaller of y and 1."""

    def __init__(self, choose: Any) -> None:
        super().__init__()
        self.choose = choose

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(2 * x)
        return torch.as_tensor(self.choose(y, torch.ones_like(y)))


class Overshooting(nn.Module):
    """f(x) = x, then g(y) = max(y - 1, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(x)
        return (y - 1).clamp(min=0)


class Roots(nn.Module):
    """y = (x1², x2), then the square root of y1, times y2."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(torch.cat([x[:, :1] ** 2, x[:, 1:]], dim=1))
        return y[:, :1].sqrt() * y[:, 1:]


def _scores(model: nn.Module, x: Tensor) -> dict[str, float]:
    net = cp.Network(model.eval())
    names = {"gradient x activation": "gradient_activation", "conductance": "conductance"}
    return {name: _score(net, x, method) for name, method in names.items()}


def _score(net: cp.Network, x: Tensor, method: str) -> float:
    """That of the first neuron; 0 where no neuron has any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cp.ToleranceWarning)  # the kinks of these examples
        try:
            return _first(cp.score(net, x, method, 0))
        except NumericalError:
            return 0.0


def _first(scores: Any) -> float:
    return float(scores.tensors[0].flatten()[0])


def _area(values: Sequence[float], step: float) -> float:
    """From 0 at 0, by trapezoids."""
    return step * (sum(values) - values[-1] / 2)


def _decimals(value: float, how: str) -> float:
    return float(Decimal(f"{value:.6f}").quantize(THIRD, rounding=how))


def _conductance_first() -> list[Sequence[float]]:
    rows = published.TEXT_FEATURES
    return [rows["conductance"], *(row for name, row in rows.items() if name != "conductance")]


def _possible(percent: float, n: int) -> bool:
    """Whether some whole number of n prints as this percentage with two digits."""
    near = round(percent * n / 100)
    return any(abs(100 * k / n - percent) <= 0.005 + 1e-9 for k in _around(near))


def _around(k: int) -> Iterable[int]:
    return (k - 1, k, k + 1)
