"""Sums over the points of a line for all sites at once, and what errors are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from contributions.captums import nodes
from contributions.cases import Case
from critpath.baselines import starts_of
from critpath.lines import InputLine
from critpath.response import respond

ROWS = {"cpu": 4, "cuda": 32}
BLOCK = 64
"""Terms that are added up in float32 before they go to the float64 totals."""
ROUNDING = 1e-5
"""Relative errors below this are rounding."""

Tensors = tuple[Tensor, ...]


def trapezoid(case: Case, points: int) -> Tensors:
    """Σ_k ½ (g_k + g_k+1) (y_k+1 - y_k) on points at equal distances, in float64: [1, *shape] per site."""
    return _added(case, [k / (points - 1) for k in range(points)], centred=True)


def captum_formula(case: Case, evaluations: int) -> Tensors:
    """What ``LayerConductance`` gives with n_steps = evaluations - 1, for all sites: Σ_k g_k (y_k+1 - y_k)."""
    return _added(case, nodes(evaluations), centred=False)


def errors(found: Sequence[Tensor], reference: Sequence[Tensor]) -> tuple[list[float], list[float]]:
    """For each site Σ |found - reference| over its neurons, and Σ |reference|."""
    pairs = [(a.double().cpu(), b.double().cpu()) for a, b in zip(found, reference, strict=True)]
    return [float((a - b).abs().sum()) for a, b in pairs], [float(b.abs().sum()) for _, b in pairs]


def relative(error: Sequence[float], scale: Sequence[float]) -> list[float]:
    """Site by site; 0 where nothing contributes."""
    return [a / b if b > 0 else 0.0 for a, b in zip(error, scale, strict=True)]


def overall(error: Sequence[float], scale: Sequence[float]) -> float:
    """Over all neurons of the network."""
    return sum(error) / sum(scale)


def judged(estimate: Iterable[float], true: Iterable[float]) -> dict[str, float]:
    """Relative errors as estimated against the true ones, by site and image; rounding is counted apart."""
    pairs = list(zip(estimate, true, strict=True))
    ratios = sorted(e / t for e, t in pairs if t >= ROUNDING)
    if not ratios:
        return {"judged": 0, "rounding": len(pairs)}
    return {
        "judged": len(ratios),
        "rounding": len(pairs) - len(ratios),
        "within_factor_2": sum(0.5 <= ratio <= 2 for ratio in ratios) / len(ratios),
        "median": ratios[len(ratios) // 2],
        "worst_optimism": 1 / max(ratios[0], 1e-300),
        "worst_pessimism": ratios[-1],
    }


class _Totals:
    """Sums for every site: in float32 over some points, then in float64."""

    def __init__(self, like: Tensors) -> None:
        self.parts = [torch.zeros_like(a) for a in like]
        self.totals = [torch.zeros_like(a, dtype=torch.float64) for a in like]
        self.waiting = 0

    def add(self, g: Tensors, upper: Tensors, lower: Tensors, weight: float) -> None:
        """w g (upper - lower)."""
        for part, gradient, high, low in zip(self.parts, g, upper, lower, strict=True):
            part.addcmul_(gradient, high - low, value=weight)
        self.waiting += 1
        if self.waiting == BLOCK:
            self.all()

    def all(self) -> Tensors:
        for total, part in zip(self.totals, self.parts, strict=True):
            total += part
            part.zero_()
        self.waiting = 0
        return tuple(self.totals)


def _added(case: Case, alphas: list[float], centred: bool) -> Tensors:
    """Σ_k ½ g_k (y_k+1 - y_k-1), an end being its own neighbour; not centred, Σ_k g_k (y_k+1 - y_k)."""
    weight, points = (0.5 if centred else 1.0), _seen(case, alphas)
    (y, g) = next(points)
    totals, below = _Totals(y), y
    for y_after, g_after in points:
        totals.add(g, y_after, below if centred else y, weight)
        below, y, g = y, y_after, g_after
    if centred:
        totals.add(g, y, below, weight)
    return totals.all()


def _seen(case: Case, alphas: list[float]) -> Iterator[tuple[Tensors, Tensors]]:
    """Activations and gradients at each point, [1, *shape] per site."""
    response = respond(case.net, case.x, case.target)
    line = InputLine(response, starts_of(case.baseline, response)[0])
    at_once = ROWS[torch.device(case.device).type]
    for first in range(0, len(alphas), at_once):
        some = torch.tensor(alphas[first : first + at_once], dtype=torch.float64)
        y, g = line.at(some, torch.zeros(len(some), dtype=torch.long, device=response.value.device))
        for row in range(len(some)):
            yield tuple(a[row : row + 1] for a in y), tuple(a[row : row + 1] for a in g)
