"""Where on a line points are worth most: a mesh that is bisected where the gradient changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.lines.nodes import Nodes
from critpath.lines.quadrature import SMOOTH, coarser, is_smooth, kinks, spread, tiny, trapezoid
from critpath.lines.sample import Watched
from critpath.lines.sums import COORDINATES

FIRST = 1e-6
"""Where the line starts: not at 0, where an activation without bias has all its kinks at once."""

FEWEST = 5
"""Points that a bisected mesh starts with."""

Enough = Callable[[int, Tensor, Tensor], Tensor]
"""From a sample's number, its errors and its scales [sites] to which of the sites are accurate enough."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Errors and scales of the watched neurons, [sites], and the bound of each segment, [segments, sites]."""

    error: Tensor
    scale: Tensor
    segments: Tensor


def uniform(points: int) -> list[float]:
    """``points`` at equal distances, both ends among them."""
    return [FIRST, *(k / (points - 1) for k in range(1, points))]


def judge(over: Tensor, g: Tensor, watched: Watched, totals: Tensor | None = None) -> Judged:
    """How well trapezoids do for ∫ g d(over) on these points [n, m].

    By the jumps of the gradient; where half and a quarter of the points show that it does not jump, by these.
    Where a site is watched whole and ``totals`` [sites] says what it must add up to, at least by the gap to that.
    """
    fine, half, quarter = (trapezoid(over[i], g[i]) for i in (coarser(len(g), step) for step in (1, 2, 4)))
    change, before = watched.sums((fine - half).abs()), watched.sums((half - quarter).abs())
    bounds, scale = kinks(over, g), watched.sums(fine.abs())
    error = watched.sums(spread(bounds))
    error = torch.where(is_smooth(change, before), torch.minimum(error, SMOOTH * change), error)
    floor = (FIRST + 8 * torch.finfo(g.dtype).eps) * scale
    return Judged(at_least_the_gap(error + floor, fine, watched, totals), scale, watched.sums(bounds))


def at_least_the_gap(error: Tensor, scores: Tensor, watched: Watched, totals: Tensor | None) -> Tensor:
    """Errors [sites] of watched scores [m], raised to |sum - total| where that can be told."""
    if totals is None:
        return error
    gap = (watched.sums(scores) - totals).abs()
    known = watched.whole.to(gap.device) & ~gap.isnan()
    return torch.where(known, torch.maximum(error, gap), error)


def judged_at(nodes: Nodes, sample: int, alphas: list[float], integrand: str) -> Judged:
    """``judge`` on visited points."""
    y, g, _ = nodes.watched_at(sample, alphas)
    over = COORDINATES[integrand](y, torch.tensor(alphas, dtype=y.dtype, device=y.device))
    return judge(over, g, nodes.watched, totals_of(nodes, sample, integrand))


def totals_of(nodes: Nodes, sample: int, integrand: str) -> Tensor | None:
    """What the scores of each site must add up to, for the integrand that has such a rule."""
    return nodes.line.totals[sample] if integrand == "conductance" else None


def refined(
    nodes: Nodes, samples: list[int], budget: int, enough: Enough, integrand: str
) -> tuple[dict[int, list[float]], dict[int, str]]:
    """A mesh for each sample, bisected until every site is accurate enough or ``budget`` points are used up.

    Also why each ended: "tolerance", "points", or "resolution" where no segment is left in which a gradient changes.
    """
    meshes = {sample: uniform(min(FEWEST, budget)) for sample in samples}
    reasons: dict[int, str] = {}
    nodes.visit((sample, alpha) for sample in samples for alpha in meshes[sample])
    while open_ := [sample for sample in samples if sample not in reasons]:
        judged = {s: judged_at(nodes, s, meshes[s], integrand) for s in open_}
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
    """Middles of the segments that have the largest part in the errors of the sites that lack accuracy.

    Of the longest, where no gradient was seen to change: two kinks may hide each other.
    """
    part = (judged.segments / judged.scale.clamp_min(tiny(judged.scale)))[:, lacking].sum(dim=1)
    ends = torch.tensor(mesh, dtype=torch.float64, device=part.device)
    lengths = ends[1:] - ends[:-1]
    part = torch.where(lengths > FIRST, part if part.any() else lengths, 0.0)
    worst = part.topk(min(room, len(part)))
    chosen = worst.indices[worst.values > 0.5 * worst.values[0]].sort().values
    return ((ends[1:] + ends[:-1]) / 2)[chosen].tolist()
