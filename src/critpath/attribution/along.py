"""Sums over the points of the straight lines from baselines to the input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from critpath.attribution.family import InputMaps
from critpath.baselines import InputBaseline, starts_of
from critpath.lines import InputLine
from critpath.lines.quadrature import gauss
from critpath.memory import rows_at_once
from critpath.network import Run
from critpath.neurons import wide
from critpath.response import Response

UNITS = 16
"""Units whose maps are made in one backward pass."""


def totals_of(response: Response, units: int) -> list[Tensor | None]:
    """Zeros [units, *its shape] for everything that moves, at least float32."""
    leaves = response.run.moving
    return [None if t is None else torch.zeros_like(wide(t.detach())).expand(units, *t.shape).clone() for t in leaves]


def in_their_dtype(totals: Sequence[Tensor | None], response: Response) -> list[Tensor | None]:
    """In the inputs' own precision."""
    pairs = zip(totals, response.run.moving, strict=True)
    return [None if total is None or leaf is None else total.to(leaf.dtype) for total, leaf in pairs]


def integrated(response: Response, baseline: InputBaseline, points: int, memory: str | int | None) -> InputMaps:
    """(x - x') ⊙ ∫ ∇Φ(x' + α (x - x')) dα, the mean over the baselines."""
    totals = totals_of(response, 1)
    for run, line, weights, samples in points_of(response, baseline, points, memory, 1):
        found = run.input_gradients(response.of_rows(run, samples))
        add_to(totals, 0, [None if g is None else g.unsqueeze(0) for g in found], line, weights, samples)
    return tuple(None if total is None else total[0] for total in in_their_dtype(totals, response))


def points_of(
    response: Response, baseline: InputBaseline, points: int, memory: str | int | None, units: int
) -> Iterator[tuple[Run, InputLine, Tensor, Tensor]]:
    """Runs at the points of every line: the run, its line, and the weight and sample of each of its rows."""
    starts, (alphas, weights) = starts_of(baseline, response), gauss(points)
    batch = response.run.batch
    own = sum(leaf[0].numel() * 4 for leaf in response.run.moving if leaf is not None)
    extra = min(units, UNITS) * response.net.footprint(response.x) // 2  # ways back side by side
    at_once = rows_at_once(response.net, response.x, memory, fixed=units * batch * own, extra=extra)
    requests = [(s, a, w / len(starts)) for a, w in zip(alphas, weights, strict=True) for s in range(batch)]
    step = at_once if response.target.any_batch else batch
    for line in (InputLine(response, start) for start in starts):
        for first in range(0, len(requests), step):
            numbers, at, weight = zip(*requests[first : first + step], strict=True)
            samples = torch.tensor(numbers, device=response.value.device)
            run = line.run(torch.tensor(at, dtype=torch.float64), samples)
            yield run, line, torch.tensor(weight, dtype=torch.float64), samples


def add_to(
    totals: Sequence[Tensor | None],
    first: int,
    gradients: Sequence[Tensor | None],
    line: InputLine,
    weights: Tensor,
    samples: Tensor,
) -> None:
    """Adds w (x - x') ∂/∂x to the totals of the units from ``first`` on."""
    for total, gradient, direction in zip(totals, gradients, line.directions(samples), strict=True):
        if total is None or gradient is None or direction is None:
            continue
        shape = (1, -1, *[1] * (gradient.dim() - 2))
        term = wide(gradient) * wide(direction) * weights.to(wide(gradient)).view(shape)
        total[first : first + len(term)].index_add_(1, samples.to(term.device), term)
