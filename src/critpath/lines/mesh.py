"""Where on a line points are worth most: a mesh that is bisected where the gradient changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from critpath.lines.nodes import Nodes
from critpath.lines.quadrature import SMOOTH, coarser, is_smooth, kinks, spread, tiny, trapezoid
from critpath.lines.sample import Watched
from critpath.lines.sums import COORDINATES

FIRST = 1e-6
"""Where the line starts: not at 0, where an activation without bias has all its kinks at once."""

FEWEST, LEAST = 5, 9
"""Points that a bisected mesh starts with, and has at least before a tolerance is believed to be met."""

Excess = Callable[[int, Tensor, Tensor], Tensor]
"""From a sample's number, its errors and its scales [sites] to errors as multiples of what is allowed."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Errors and scales of the watched neurons, [sites], and the bound of each segment, [segments, sites]."""

    error: Tensor
    scale: Tensor
    segments: Tensor


def uniform(points: int) -> list[float]:
    """``points`` at equal distances, both ends among them."""
    return [FIRST, *(k / (points - 1) for k in range(1, points))]


def judge(over: Tensor, g: Tensor, watched: Watched, even: bool, totals: Tensor | None = None) -> Judged:
    """How well trapezoids do for ∫ g d(over) on these points [n, m].

    By the jumps of the gradient; on an ``even`` mesh whose half and quarter show that it does not jump, by these.
    Where a site is watched whole and ``totals`` [sites] says what it must add up to, at least by the gap to that.
    """
    fine, half, quarter = (trapezoid(over[i], g[i]) for i in (coarser(len(g), step) for step in (1, 2, 4)))
    change, before = watched.sums((fine - half).abs()), watched.sums((half - quarter).abs())
    bounds, scale = kinks(over, g), watched.sums(fine.abs())
    error = watched.sums(spread(bounds))
    if even:
        error = torch.where(is_smooth(change, before), torch.minimum(error, SMOOTH * change), error)
    floor = (FIRST + 8 * torch.finfo(g.dtype).eps) * scale
    return Judged(at_least_the_gap(error + floor, fine, watched, totals), scale, watched.sums(bounds))


def at_least_the_gap(error: Tensor, scores: Tensor, watched: Watched, totals: Tensor | None) -> Tensor:
    """Errors [sites] of watched scores [m], raised to |sum - total| where that can be told."""
    if totals is None:
        return error
    gap = (watched.sums(scores) - totals).abs()
    known = watched.whole & ~gap.isnan()
    return torch.where(known, torch.maximum(error, gap), error)


def judged_at(nodes: Nodes, sample: int, alphas: list[float], integrand: str, whole: bool = True) -> Judged:
    """``judge`` on visited points, which go from end to end if they are the ``whole`` line."""
    y, g, _ = nodes.watched_at(sample, alphas)
    at = torch.tensor(alphas, dtype=torch.float64)
    over = COORDINATES[integrand](y, at.to(y.dtype).to(y.device))
    even = bool(torch.allclose(at.diff(), at.diff().mean(), rtol=1e-3, atol=2 * FIRST))
    return judge(over, g, nodes.watched, even, totals_of(nodes, sample, integrand) if whole else None)


def totals_of(nodes: Nodes, sample: int, integrand: str) -> Tensor | None:
    """What the scores of each site must add up to, for the integrand that has such a rule."""
    return nodes.line.totals[sample] if integrand == "conductance" else None


def refined(
    nodes: Nodes, samples: list[int], budget: int, excess: Excess | None, integrand: str
) -> tuple[dict[int, list[float]], dict[int, str]]:
    """A mesh for each sample, bisected until no site has an ``excess`` above 1 or ``budget`` points are used up.

    ``excess`` None spends the whole budget. Also why each ended: "tolerance", "points", or "resolution" where every
    segment is as short as can be. What shows at no point is not seen: two kinks within one segment may be missed.
    """
    first = FEWEST if excess is None else LEAST
    meshes = {sample: uniform(min(first, budget)) for sample in samples}
    reasons: dict[int, str] = {}
    nodes.visit((sample, alpha) for sample in samples for alpha in meshes[sample])
    while open_ := [sample for sample in samples if sample not in reasons]:
        judged = {s: judged_at(nodes, s, meshes[s], integrand) for s in open_}
        wanted = {s: _next(of, meshes[s], budget, _excess(excess, s, of)) for s, of in judged.items()}
        reasons |= {sample: middles for sample, middles in wanted.items() if isinstance(middles, str)}
        new = {sample: middles for sample, middles in wanted.items() if not isinstance(middles, str)}
        nodes.visit((sample, alpha) for sample, middles in new.items() for alpha in middles)
        meshes |= {sample: sorted(meshes[sample] + middles) for sample, middles in new.items()}
    return meshes, reasons


def _excess(excess: Excess | None, sample: int, judged: Judged) -> Tensor:
    return torch.full_like(judged.error, 2.0) if excess is None else excess(sample, judged.error, judged.scale)


def _next(judged: Judged, mesh: list[float], budget: int, excess: Tensor) -> list[float] | str:
    """The points to add to a mesh, or why there are none.

    Errors fall as 1 / n: as many more as they are too large by, at most twice as many.
    """
    if bool((excess <= 1).all()):
        return "tolerance"
    if len(mesh) >= budget:
        return "points"
    lacking = ceil((min(float(excess.max()), 2.0) - 1) * (len(mesh) - 1))
    return _middles(mesh, judged, excess > 1, min(lacking, budget - len(mesh))) or "resolution"


def _middles(mesh: list[float], judged: Judged, lacking: Tensor, room: int) -> list[float]:
    """Middles of the segments that have the largest part in the errors of the sites that lack accuracy.

    Of the longest, where no gradient was seen to change: two kinks may hide each other.
    """
    floor = 1e-12 * judged.scale.max().clamp_min(tiny(judged.scale))
    part = (judged.segments / judged.scale.clamp_min(float(floor)))[:, lacking].sum(dim=1)
    ends = torch.tensor(mesh, dtype=torch.float64, device=part.device)
    lengths = ends[1:] - ends[:-1]
    part = torch.where(lengths > FIRST, part if part.any() else lengths, 0.0)
    worst = part.topk(min(room, len(part)))
    chosen = worst.indices[worst.values > 0.5 * worst.values[0]].sort().values
    return ((ends[1:] + ends[:-1]) / 2)[chosen].tolist()
