"""Where on a line points are worth most: a mesh that is bisected where the gradient changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.lines.nodes import Nodes
from critpath.lines.quadrature import coarser, kinks, remaining, trapezoid
from critpath.lines.sample import Watched

FIRST = 1e-6
"""Where the line starts: not at 0, where an activation without bias has all its kinks at once."""

FEWEST = 5
"""Points that a bisected mesh starts with."""

Enough = Callable[[int, Tensor, Tensor], Tensor]
"""From a sample's number, its errors and its scales [sites] to which of the sites are accurate enough."""

Coordinate = Callable[[Tensor, Tensor], Tensor]
"""From activations y [n, m] and positions α [n] to what the gradients are integrated over: y itself, or α."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Errors and scales of the watched neurons, [sites], and the bound of each segment, [segments, sites]."""

    error: Tensor
    scale: Tensor
    segments: Tensor


def uniform(points: int) -> list[float]:
    """``points`` at equal distances, both ends among them."""
    return [FIRST, *(k / (points - 1) for k in range(1, points))]


def judge(over: Tensor, g: Tensor, watched: Watched) -> Judged:
    """How well trapezoids do for ∫ g d(over) on these points [n, m]: by what a half and a quarter of them give."""
    every, second, fourth = (coarser(len(g), step) for step in (1, 2, 4))
    fine, half, quarter = (trapezoid(over[i], g[i]) for i in (every, second, fourth))
    change, before = watched.sums((fine - half).abs()), watched.sums((half - quarter).abs())
    scale = watched.sums(fine.abs())
    floor = 8 * torch.finfo(g.dtype).eps * scale
    return Judged(remaining(change, before if len(g) > 4 else None) + floor, scale, watched.sums(kinks(over, g)))


def judged_at(nodes: Nodes, sample: int, alphas: list[float], coordinate: Coordinate) -> Judged:
    """``judge`` on visited points."""
    y, g, _ = nodes.watched_at(sample, alphas)
    return judge(coordinate(y, torch.tensor(alphas, dtype=y.dtype, device=y.device)), g, nodes.watched)


def refined(
    nodes: Nodes, samples: list[int], budget: int, enough: Enough, coordinate: Coordinate
) -> tuple[dict[int, list[float]], dict[int, str]]:
    """A mesh for each sample, bisected until every site is accurate enough or ``budget`` points are used up.

    Also why each ended: "tolerance", "points", or "resolution" where no segment is left in which a gradient changes.
    """
    meshes = {sample: uniform(min(FEWEST, budget)) for sample in samples}
    reasons: dict[int, str] = {}
    nodes.visit((sample, alpha) for sample in samples for alpha in meshes[sample])
    while open_ := [sample for sample in samples if sample not in reasons]:
        judged = {s: judged_at(nodes, s, meshes[s], coordinate) for s in open_}
        wanted = {s: _next(of, meshes[s], budget, ~enough(s, of.error, of.scale)) for s, of in judged.items()}
        reasons |= {sample: middles for sample, middles in wanted.items() if isinstance(middles, str)}
        new = {sample: middles for sample, middles in wanted.items() if not isinstance(middles, str)}
        nodes.visit((sample, alpha) for sample, middles in new.items() for alpha in middles)
        meshes |= {sample: sorted(meshes[sample] + middles) for sample, middles in new.items()}
    return meshes, reasons


def _next(judged: Judged, mesh: list[float], budget: int, lacking: Tensor) -> list[float] | str:
    """The points to add to a mesh for the sites that lack accuracy [sites], or why there are none."""
    if not lacking.any():
        return "tolerance"
    if len(mesh) >= budget:
        return "points"
    return _middles(mesh, judged, lacking, budget - len(mesh)) or "resolution"


def _middles(mesh: list[float], judged: Judged, lacking: Tensor, room: int) -> list[float]:
    """Middles of the segments that have the largest part in the errors of the sites that lack accuracy."""
    part = (judged.segments / judged.scale.clamp_min(1e-300))[:, lacking].sum(dim=1)
    ends = torch.tensor(mesh, dtype=torch.float64, device=part.device)
    part = torch.where(ends[1:] - ends[:-1] > FIRST, part, 0.0)
    worst = part.topk(min(room, len(part)))
    chosen = worst.indices[worst.values > 0.5 * worst.values[0]].sort().values
    return ((ends[1:] + ends[:-1]) / 2)[chosen].tolist()
