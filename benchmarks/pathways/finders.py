"""What each finder costs, in plain forward and backward passes of the same run."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import critpath as cp
from critpath.pathway import SearchWarning

Row = dict[str, Any]

QUICK_ONES: dict[str, dict[str, Any]] = {
    "random": {},
    "active": {},
    "magnitude": {},
    "taylor": {},
    "conductance": {"points": 16},
    "intgrad": {"points": 16},
}
"""Timed several times; an option is named where it decides the cost."""

SEARCHES: dict[str, dict[str, Any]] = {
    "greedy": {"step": 0.01},
    "dgr": {"preset": "khakzar2021", "iterations": 100},
    "l0": {},
}
"""Timed once: they take many passes."""


def costs(model: nn.Module, x: Tensor, name: str, rounds: int, sparsity: float = 0.9) -> list[Row]:
    """One row a finder: its median seconds over those of one plain forward and backward, interleaved."""
    net = cp.Network(model)
    calls = {finder: _finding(net, x, finder, sparsity, options) for finder, options in QUICK_ONES.items()}
    for call in (*calls.values(), lambda: _plain(model, x)):
        call()
    table = [_round(model, x, calls) for _ in range(rounds)]
    rows = [_row(name, finder, [one[finder] for one in table], QUICK_ONES[finder]) for finder in calls]
    return rows + [_searched(net, model, x, name, finder, sparsity) for finder in SEARCHES]


def _finding(net: cp.Network, x: Tensor, finder: str, sparsity: float, options: Row) -> Callable[[], cp.Pathway]:
    return lambda: cp.find_pathway(net, x, finder, sparsity, **options)


def _round(model: nn.Module, x: Tensor, calls: dict[str, Callable[[], cp.Pathway]]) -> dict[str, float]:
    plain = _seconds(lambda: _plain(model, x))
    return {finder: _seconds(call) / plain for finder, call in calls.items()}


def _searched(net: cp.Network, model: nn.Module, x: Tensor, name: str, finder: str, sparsity: float) -> Row:
    """One search, against the median of plain passes before and after it."""
    options, found = SEARCHES[finder], []
    before = [_seconds(lambda: _plain(model, x)) for _ in range(5)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SearchWarning)
        taken = _seconds(lambda: found.append(cp.find_pathway(net, x, finder, sparsity, **options)))
    after = [_seconds(lambda: _plain(model, x)) for _ in range(5)]
    search = found[0].search
    steps = max((len(curve) for curve in search.curves.values()), default=0)
    return {
        **_row(name, finder, [taken / statistics.median(before + after)], options),
        "steps": steps,
        "stopped": search.stopped[0],
    }


def _row(name: str, finder: str, ratios: list[float], options: Row) -> Row:
    return {
        "network": name,
        "finder": finder,
        "options": options,
        "ratio": statistics.median(ratios),
        "rounds": len(ratios),
    }


def _plain(model: nn.Module, x: Tensor) -> Tensor:
    """One forward and one backward to the input, as anyone would write it."""
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(model(leaf).max(dim=1).values.sum(), leaf)[0]


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
