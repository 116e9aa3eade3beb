"""What the methods that integrate along a line have in common: their options, and the accuracy that they report."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import TypeAlias

import torch
from torch import Tensor

from critpath.accuracy import Accuracy, ToleranceWarning
from critpath.errors import NumericalError, OptionError
from critpath.groups import By, Groups, GroupValues, grouped, groups_of
from critpath.lines import RULES, Excess, Line, Plan, Result, Sums, integrate, zeros
from critpath.neurons import NeuronSpace, NeuronValues, all_finite, rows
from critpath.registry import check_known

Scores: TypeAlias = NeuronValues | GroupValues

POINTS, BUDGET = 32, 1024
"""Points of a line where nothing is said, and the most that a tolerance may take."""


@dataclass(frozen=True)
class Options:
    """How a line is integrated, as ``score`` takes it.

    points
        Points of the line, 32 by default; with a tolerance, at most so many (1024 by default).
    tolerance
        Relative error wanted: the sum of |score - exact score| over neurons by the sum of |score|.
    tolerance_of
        Where it is wanted: at every ``"site"``, or over the ``"network"``.
    rule
        ``"bisection"``: trapezoids on differences, halved where gradients change. ``"trapezoid"``: at equal
        distances. ``"gauss"``: forward-mode derivatives with Gauss-Legendre weights, for smooth networks.
        ``"auto"``: bisection where every activation is piecewise linear, else what is estimated to do better.
    by, absolute
        Sums over channels, sites or groups in place of neurons: signed, or of |score|.
    memory
        A limit, ``"4GiB"`` for one; by default half of what is free.
    """

    points: int | None = None
    tolerance: float | None = None
    tolerance_of: str = "site"
    rule: str = "auto"
    by: By = None
    absolute: bool = False
    memory: str | int | None = None

    def __post_init__(self) -> None:
        check_known("rule of integration", self.rule, ("auto", *RULES))
        check_known("place of a tolerance", self.tolerance_of, ("site", "network"))
        least = 4 if self.rule == "gauss" else 2
        if self.points is not None and (not isinstance(self.points, int) or self.points < least):
            raise OptionError(f"points is {self.points!r}; a line needs {least} points or more by the rule {self.rule}")
        number = isinstance(self.tolerance, int | float) and not isinstance(self.tolerance, bool)
        if self.tolerance is not None and not (number and isfinite(self.tolerance) and self.tolerance > 0):
            raise OptionError(f"tolerance is {self.tolerance!r}; it is a relative error above 0, for instance 0.05")

    def excess(self) -> Excess | None:
        """Errors as multiples of what the tolerance allows; None where a number of points is given."""
        wanted = self.tolerance
        if wanted is None:
            return None
        if self.tolerance_of == "site":
            return lambda sample, error, scale: multiple(error, wanted * scale)
        return lambda sample, error, scale: multiple(error.sum(), wanted * scale.sum()).expand_as(error)

    @property
    def wanted(self) -> tuple[float | None, str]:
        """The tolerance, and where it is wanted."""
        return self.tolerance, self.tolerance_of

    def plan(self, names: Sequence[str], excess: Excess | None, keep: bool = False) -> Plan:
        budget = self.points or (POINTS if self.tolerance is None else BUDGET)
        return Plan(self.rule, budget, excess, tuple(names), self.memory, keep)

    def groups(self, space: NeuronSpace) -> Groups | None:
        """What sums are wanted of; None for neurons."""
        return None if self.by in (None, "neurons") else groups_of(self.by, space)


def multiple(error: Tensor, allowed: Tensor) -> Tensor:
    """error / allowed, elementwise; 0 where there is no error, infinite where none is allowed."""
    return torch.where(error > 0, error / allowed, 0.0)


@dataclass(frozen=True, eq=False)
class Integral:
    """Scores of one integrand along one line, and how exact they are."""

    tensors: tuple[Tensor, ...]
    accuracy: Accuracy


def along(
    line: Line, names: Sequence[str], options: Options, excess: Excess | None = None, keep: bool = False
) -> dict[str, Integral]:
    """Integrate, by neurons or straight away by groups where only their signed sums are wanted.

    ``excess`` says when to stop, in place of the tolerance; with ``keep`` the line keeps what was seen.
    """
    groups = None if options.absolute else options.groups(line.response.space)
    sums = zeros(line, names, groups)
    results = integrate(line, options.plan(names, excess or options.excess(), keep), sums)
    _check_finite(line, sums)
    others = replace(options, tolerance=None)
    return {n: _integral(line, n, sums, results, options if n == names[0] else others) for n in names}


def _integral(line: Line, name: str, sums: Sums, results: list[Result], options: Options) -> Integral:
    tensors = sums.totals[name]
    judged = [result.judged[name] for result in results]
    error, scale = (torch.stack([getattr(j, part) for j in judged]) for part in ("error", "scale"))
    points = torch.tensor([result.points for result in results], device=error.device).unsqueeze(1).expand_as(error)
    complete = name == "conductance"  # the mean gradient adds up to nothing
    gap = _gap(line, sums, tensors).to(error) if complete else torch.full_like(error, torch.nan)
    rule = ", ".join(sorted({result.rule for result in results}))
    stopped = worst_reason([result.reason for result in results])
    return Integral(tensors, Accuracy(line.space, error, scale, gap, points, rule, *options.wanted, stopped))


def _check_finite(line: Line, sums: Sums) -> None:
    for totals in sums.totals.values():
        if not all(all_finite(total) for total in totals):
            raise NumericalError(
                f"the integral over {len(line.space)} sites is NaN or infinite: the network is not differentiable "
                "somewhere between the baseline and the input. Give another baseline, or run in float64"
            )


def worst_reason(reasons: Sequence[str]) -> str:
    """The one that a reader must know of."""
    return next((reason for reason in ("points", "resolution", "tolerance") if reason in reasons), "")


def combined(space: NeuronSpace, parts: Sequence[Integral], options: Options) -> Scores:
    """The mean over several baselines, as neurons or groups; warns where a tolerance was not met."""
    tensors = tuple(sum(row[1:], row[0]) / len(parts) for row in zip(*(part.tensors for part in parts), strict=True))
    accuracy = _mean_accuracy([part.accuracy for part in parts])
    groups = options.groups(space)
    if groups is None or options.absolute:
        scores = NeuronValues(space, tensors, rescaled(accuracy, tensors))
        return told(scores if groups is None else grouped(scores, groups, options.absolute))
    return told(GroupValues(groups.names, groups.sizes, tensors[0], not_below_gap(accuracy)))


def _mean_accuracy(of: Sequence[Accuracy]) -> Accuracy:
    """That of a mean of scores, their errors taken to have the same sign."""
    error, scale, gap = (torch.stack([getattr(a, n) for a in of]).mean(dim=0) for n in ("error", "scale", "gap"))
    points = torch.stack([accuracy.points for accuracy in of]).sum(dim=0)
    rule = ", ".join(sorted({accuracy.rule for accuracy in of}))
    wanted = (of[0].tolerance, of[0].tolerance_of)
    return Accuracy(of[0].space, error, scale, gap, points, rule, *wanted, worst_reason([a.stopped for a in of]))


_ADVICE = {"points": "All points allowed were spent: give more with points=, or raise the tolerance. "}


def told(scores: Scores) -> Scores:
    """The scores; warns where they are less accurate than was asked for."""
    if scores.error is not None and not scores.error.met:
        warnings.warn(
            f"the tolerance was not met: {scores.error!r}. {_ADVICE.get(scores.error.stopped, '')}The scores are the "
            "best so far",
            ToleranceWarning,
            stacklevel=2,
        )
    return scores


def rescaled(accuracy: Accuracy, tensors: Sequence[Tensor]) -> Accuracy:
    """The watched neurons' relative errors, put on the scale of all neurons, and no less than the gap.

    Where all that was watched is 0 and something else is not, nothing is known: an error as large as the scores.
    """
    scale = torch.stack([rows(t).double().abs().sum(dim=1).to(accuracy.scale) for t in tensors], dim=1)
    relative = torch.where(accuracy.scale > 0, accuracy.error / accuracy.scale, 1.0)
    return not_below_gap(
        replace(accuracy, scale=scale, error=torch.maximum(relative * scale, accuracy.error * (scale == 0)))
    )


def not_below_gap(accuracy: Accuracy) -> Accuracy:
    """Σ |errors| is no less than |Σ errors|, where that is known."""
    return replace(accuracy, error=torch.maximum(accuracy.error, accuracy.gap.nan_to_num(nan=0.0)))


def _gap(line: Line, sums: Sums, tensors: Sequence[Tensor]) -> Tensor:
    """|Σ scores - change of the response| [batch, sites], NaN where completeness is not defined."""
    gaps = []
    for position, wanted in enumerate(line.totals.unbind(dim=1)):
        total = _total(sums.groups, position, tensors)
        gaps.append(torch.full_like(wanted, torch.nan) if total is None else (total.to(wanted) - wanted).abs())
    return torch.stack(gaps, dim=1)


def _total(groups: Groups | None, position: int, tensors: Sequence[Tensor]) -> Tensor | None:
    """The sum of all scores of a site, where what was added up tells."""
    if groups is None:
        return rows(tensors[position]).double().sum(dim=1)
    columns = groups.columns(position)
    if groups.spanning[columns].any() or not _is_partition(groups, position):
        return None
    return tensors[0][:, columns.to(tensors[0].device)].sum(dim=1)


def _is_partition(groups: Groups, position: int) -> bool:
    """Whether every neuron of a site is in just one group."""
    try:
        return bool((groups.owners(position) < len(groups.columns(position))).all())
    except OptionError:  # groups overlap
        return False
