"""Conductance, influence and integrated gradients of neurons: sums over the points of a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from critpath.lines.line import Line, Memory, Point, Seen
from critpath.lines.mesh import Excess, Judged, at_least_the_gap, judged_at, refined, totals_of, uniform
from critpath.lines.nodes import Nodes
from critpath.lines.quadrature import gauss, gauss_subset, remaining_smooth
from critpath.lines.sample import Watched, watch
from critpath.lines.sums import COORDINATES, Sums
from critpath.memory import limit_of, rows_at_once

PILOT = 8
"""Gauss points by which the automatic rule decides, and with which a tolerance is first tried."""

FEWEST_SMOOTH = 4
"""Gauss points whose halves and quarters tell of their error."""

AROUND = 4
"""Whole points that are in use beside those that are held: neighbours, and gradients at the end of the line."""

HOLD = 64
"""Points of a line that should fit into memory before several samples are taken together."""


@dataclass(frozen=True, eq=False)
class Plan:
    """How a line is integrated: by which rule, with how many points at most, until no site has an ``excess``.

    ``excess`` None spends all points; it is asked about the first of the integrands. With ``keep`` the line
    keeps what was seen, for a second look.
    """

    rule: str
    points: int
    excess: Excess | None
    integrands: tuple[str, ...]
    memory: str | int | None = None
    keep: bool = False

    @property
    def leading(self) -> str:
        """The integrand that decides where the points go."""
        return self.integrands[0]


@dataclass(frozen=True, eq=False)
class Result:
    """How it went for one sample: each integrand's errors and scales, points spent, by which rule, and why so many."""

    judged: dict[str, Judged]
    points: int
    rule: str
    reason: str


def integrate(line: Line, plan: Plan, sums: Sums) -> list[Result]:
    """Add the integrals of every sample to ``sums``, split as memory allows; a result for each sample."""
    watched = watch(line.space, line.values(), line.response.value.device)
    rows = rows_at_once(line.response.net, line.response.x, plan.memory, sums.bytes)
    room = _room(line, plan, sums, watched, rows)
    found: dict[int, Result] = {}
    for samples in _together(line, room):
        found |= _by_rule(_Work(line, plan, sums, watched, rows, room), samples)
        line.memory.clear(plan.keep)
    return [found[sample] for sample in sorted(found)]


@dataclass(frozen=True, eq=False)
class _Work:
    """What the rules share."""

    line: Line
    plan: Plan
    sums: Sums
    watched: Watched
    rows: int
    room: int

    def nodes(self, hold: bool = True, slopes: bool = False) -> Nodes:
        """A rule that comes back to its points holds them."""
        memory = self.line.memory if hold else Memory()
        return Nodes(self.line, self.watched, self.rows, self.room if hold else 0, memory, slopes)


def _room(line: Line, plan: Plan, sums: Sums, watched: Watched, rows: int) -> int:
    """How many whole points fit into what the passes and the sums leave."""
    net, x = line.response.net, line.response.x
    passes = (rows + line.response.run.batch) * net.footprint(x)  # those of the run that is explained live on
    left = limit_of(plan.memory, net.device(x)) - passes - sums.bytes
    left -= 24 * min(plan.points, 256) * sum(map(len, watched.indices))
    one = sum(2 * max(4, t.element_size()) * t[0].numel() for t in line.values())
    return max(0, left // one - AROUND)


def _together(line: Line, room: int) -> list[list[int]]:
    """Samples that are worked on at the same time."""
    batch = line.response.run.batch
    if not line.response.target.any_batch:
        return [list(range(batch))]
    some = max(1, room // HOLD)
    return [list(range(first, min(first + some, batch))) for first in range(0, batch, some)]


def _by_rule(work: _Work, samples: list[int]) -> dict[int, Result]:
    rule = work.plan.rule
    if rule != "auto":
        return RULES[rule](work, samples)
    if work.line.piecewise_linear or work.plan.points < FEWEST_SMOOTH:
        return _bisection(work, samples)
    smooth = _smooth(work, samples)
    return _gauss(work, smooth) | _bisection(work, [s for s in samples if s not in smooth])


# ---------------------------------------------------------------------------------------- trapezoids on differences
def _bisection(work: _Work, samples: list[int]) -> dict[int, Result]:
    """Meshes that are bisected where the gradient changes."""
    nodes, plan = work.nodes(), work.plan
    meshes, reasons = refined(nodes, samples, plan.points, plan.excess, plan.leading)
    return _trapezoids(work, nodes, meshes, reasons, "bisection")


def _trapezoid(work: _Work, samples: list[int]) -> dict[int, Result]:
    """Points at equal distances; with a tolerance, twice as many until it is met."""
    found: dict[int, Result] = {}
    points = work.plan.points if work.plan.excess is None else min(PILOT + 1, work.plan.points)
    while left := [s for s in samples if s not in found or found[s].reason == ""]:
        meshes = {sample: uniform(points) for sample in left}
        found |= _trapezoids(work, work.nodes(hold=False), meshes, {}, "trapezoid")
        found |= {s: _ended(work.plan, s, found[s], 2 * points - 1) for s in left}
        points = 2 * points - 1
    return found


def _trapezoids(
    work: _Work, nodes: Nodes, meshes: dict[int, list[float]], reasons: dict[int, str], rule: str
) -> dict[int, Result]:
    for sample in meshes:
        work.sums.clear(sample)
    for sample, before, here, after in _neighbours(
        nodes.read((s, a) for s, mesh in meshes.items() for a in mesh), work.line.response.target.any_batch
    ):
        dy = [b - a for a, b in zip(before[1].y, after[1].y, strict=True)]
        work.sums.add(sample, here.g, dy, after[0] - before[0], 0.5)
    return {s: Result(_judged(work, nodes, s, mesh), len(mesh), rule, reasons.get(s, "")) for s, mesh in meshes.items()}


def _judged(work: _Work, nodes: Nodes, sample: int, mesh: list[float]) -> dict[str, Judged]:
    return {name: judged_at(nodes, sample, mesh, name) for name in work.plan.integrands}


def _neighbours(
    points: Iterable[tuple[Point, Seen]], in_turn: bool
) -> Iterator[tuple[int, tuple[float, Seen], Seen, tuple[float, Seen]]]:
    """Every point of each sample with those before and after it; the ends are their own neighbours.

    So that Σ_k g_k ½ (y_k+1 - y_k-1) is the sum of trapezoids ½ (g_k + g_k+1) (y_k+1 - y_k).
    """
    last: dict[int, tuple[tuple[float, Seen], tuple[float, Seen]]] = {}
    for (sample, alpha), seen in points:
        if sample in last:
            before, here = last[sample]
            yield sample, before, here[1], (alpha, seen)
        elif in_turn:  # the samples come one after the other
            yield from _last(last)
        last[sample] = (last[sample][1], (alpha, seen)) if sample in last else ((alpha, seen), (alpha, seen))
    yield from _last(last)


def _last(
    waiting: dict[int, tuple[tuple[float, Seen], tuple[float, Seen]]],
) -> Iterator[tuple[int, tuple[float, Seen], Seen, tuple[float, Seen]]]:
    """The last points of samples, which are then forgotten."""
    for sample in list(waiting):
        before, here = waiting.pop(sample)
        yield sample, before, here[1], here


# ------------------------------------------------------------------------------------------------- Gauss-Legendre
def _gauss(work: _Work, samples: list[int]) -> dict[int, Result]:
    """Slopes by forward-mode derivatives; with a tolerance, twice as many points until it is met."""
    found: dict[int, Result] = {}
    points = work.plan.points if work.plan.excess is None else min(PILOT, work.plan.points)
    while left := [s for s in samples if s not in found or found[s].reason == ""]:
        found |= _gauss_once(work, left, points)
        found |= {s: _ended(work.plan, s, found[s], 2 * points) for s in left}
        points *= 2
    return found


def _gauss_once(work: _Work, samples: list[int], points: int) -> dict[int, Result]:
    nodes, (alphas, weights) = work.nodes(hold=False, slopes=True), gauss(points)
    weight = dict(zip(alphas, weights, strict=True))
    for sample in samples:
        work.sums.clear(sample)
    for (sample, alpha), seen in nodes.read((s, a) for s in samples for a in alphas):
        work.sums.add(sample, seen.g, seen.slope, 1.0, weight[alpha])
    return {s: Result(_judged_gauss(work, nodes, s, alphas, weights), points, "gauss", "") for s in samples}


def _judged_gauss(
    work: _Work, nodes: Nodes, sample: int, alphas: list[float], weights: list[float], whole: bool = True
) -> dict[str, Judged]:
    y, g, slope = nodes.watched_at(sample, alphas)
    ones = torch.ones(len(alphas), dtype=y.dtype, device=y.device)
    values = {name: g * COORDINATES[name](slope, ones) for name in work.plan.integrands}
    return {
        name: _judge_gauss(of, alphas, weights, work.watched, totals_of(nodes, sample, name) if whole else None)
        for name, of in values.items()
    }


def _judge_gauss(
    values: Tensor, alphas: list[float], weights: list[float], watched: Watched, totals: Tensor | None
) -> Judged:
    """By what interpolation through a half and a quarter of the nodes gives for the integral of values [n, m]."""
    levels = [weights, gauss_subset(alphas, 2), gauss_subset(alphas, 4)]
    fine, half, quarter = (torch.tensor(w).to(values) @ values for w in levels)
    change, before = (watched.sums((a - b).abs()) for a, b in ((fine, half), (half, quarter)))
    scale = watched.sums(fine.abs())
    floor = 8 * torch.finfo(values.dtype).eps * scale
    error = remaining_smooth(change, before) + floor
    return Judged(at_least_the_gap(error, fine, watched, totals), scale, torch.empty(0))


def _smooth(work: _Work, samples: list[int]) -> list[int]:
    """The samples for which a few Gauss points are estimated to do better than trapezoids on the same points."""
    nodes, (alphas, weights) = work.nodes(hold=False, slopes=True), gauss(min(PILOT, work.plan.points))
    nodes.visit((sample, alpha) for sample in samples for alpha in alphas)
    better = []
    for sample in samples:
        smooth = _judged_gauss(work, nodes, sample, alphas, weights, whole=False)[work.plan.leading]
        rough = judged_at(nodes, sample, alphas, work.plan.leading, whole=False)
        if smooth.error.sum() <= rough.error.sum():
            better.append(sample)
    return better


# ----------------------------------------------------------------------------------------------------------- common
def _ended(plan: Plan, sample: int, result: Result, next_points: int) -> Result:
    """The result, with the reason to stop if there is one."""
    judged = result.judged[plan.leading]
    if plan.excess is not None and bool((plan.excess(sample, judged.error, judged.scale) <= 1).all()):
        return replace(result, reason="tolerance")
    return replace(result, reason="points" if plan.excess is None or next_points > plan.points else "")


RULES: dict[str, Callable[[_Work, list[int]], dict[int, Result]]] = {
    "bisection": _bisection,
    "trapezoid": _trapezoid,
    "gauss": _gauss,
}
"""The rules of integration by name; beside them there is "auto"."""
