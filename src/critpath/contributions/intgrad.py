"""NeuronIntGrad: gradients of neurons integrated over their own activation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from critpath.accuracy import Accuracy
from critpath.baselines import activations_of
from critpath.contributions.along import (
    POINTS,
    Integral,
    Options,
    Scores,
    along,
    multiple,
    rescaled,
    told,
    worst_reason,
)
from critpath.contributions.family import CONTRIBUTIONS
from critpath.groups import By, grouped
from critpath.lines import Excess, SiteLine
from critpath.memory import limit_of
from critpath.neurons import NeuronSpace, NeuronValues
from critpath.response import Response

LOOK = 5
"""Points at every site by which a tolerance over the network is shared out."""


def _reruns(space: NeuronSpace) -> int:
    """Passes through the whole network: a line for each site, on average through half of it."""
    return 1 + POINTS * (len(space) + 1) // 2


@CONTRIBUTIONS.register("intgrad", forwards=_reruns, backwards=_reruns, copies=2, zero_if_dead=True)
def intgrad(
    response: Response,
    *,
    baseline: NeuronValues | None = None,
    points: int | None = None,
    tolerance: float | None = None,
    tolerance_of: str = "site",
    rule: str = "auto",
    by: By = None,
    absolute: bool = False,
    memory: str | int | None = None,
) -> Scores:
    """c = (a - a') ∫ dΦ(a' + α (a - a'))/da dα, signed: one site's activations scaled together, all above recomputed.

    Equation 4 of the critical-pathways paper, read so that it is complete: the scores of every site add up
    to Φ(x) - Φ(x; a → a'). The released code's α grow quadratically, up to 5.5; here they are in [0, 1].
    ``baseline`` is zero, or NeuronValues (``mean_activations``). Options: see ``Options``.
    """
    options = Options(points, tolerance, tolerance_of, rule, None, False, memory)
    lines = _lines(response, activations_of(baseline, response.run.values()))
    shared = tolerance is not None and tolerance_of == "network"
    excess = _shares(lines, options) if shared else [options.excess()] * len(lines)
    parts = [_along(line, options, own) for line, own in zip(lines, excess, strict=True)]
    scores = NeuronValues(response.space, tuple(part.tensors[0] for part in parts), _joined(response, parts, options))
    groups = Options(by=by).groups(response.space)
    return told(scores if groups is None else grouped(scores, groups, absolute))


def _along(line: SiteLine, options: Options, excess: Excess | None, keep: bool = False) -> Integral:
    return along(line, ("conductance",), options, excess, keep)["conductance"]


def _lines(response: Response, start: NeuronValues) -> list[SiteLine]:
    return [SiteLine(response, response.above(site.name), start[site.name]) for site in response.space]


def _shares(lines: Sequence[SiteLine], options: Options) -> list[Excess]:
    """A tolerance over the network, shared out so that the cost is least.

    With n points a site has an error of about e / n and costs n times what lies above it, w: least for n
    in proportion to √(e / w), which leaves it an error in proportion to √(e w).
    """
    look = replace(options, points=LOOK, tolerance=None, rule="bisection")
    keep = _fits(lines, options)
    looks = [_along(line, look, None, keep).accuracy for line in lines]
    error, scale = (torch.cat([getattr(look, name) for look in looks], dim=1) for name in ("error", "scale"))
    above = torch.arange(len(lines), 0, -1, device=error.device)
    parts = (error * above).sqrt()
    assert options.tolerance is not None
    share = (parts / parts.sum(dim=1, keepdim=True)).nan_to_num(nan=1 / len(lines))
    allowed = options.tolerance * scale.sum(dim=1, keepdim=True) * share
    return [_below(allowed[:, position]) for position in range(len(lines))]


def _fits(lines: Sequence[SiteLine], options: Options) -> bool:
    """Whether what is seen at a few points of every line may be kept for a second look."""
    line = lines[0]
    size = sum(2 * LOOK * max(4, t.element_size()) * t.numel() for line in lines for t in line.values())
    return size < limit_of(options.memory, line.response.net.device(line.response.x)) // 4


def _below(allowed: Tensor) -> Excess:
    return lambda sample, error, scale: multiple(error, allowed[sample])


def _joined(response: Response, parts: Sequence[Integral], options: Options) -> Accuracy:
    """That of all sites together."""
    columns = [rescaled(part.accuracy, part.tensors) for part in parts]
    joined = {
        name: torch.cat([getattr(c, name) for c in columns], dim=1) for name in ("error", "scale", "gap", "points")
    }
    rule = ", ".join(sorted({column.rule for column in columns}))
    stopped = worst_reason([column.stopped for column in columns])
    tolerance, of = options.wanted
    return Accuracy(response.space, **joined, rule=rule, tolerance=tolerance, tolerance_of=of, stopped=stopped)
