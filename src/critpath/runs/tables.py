"""Tables from measured numbers: means, intervals, paired differences, and who agrees with whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.evaluation.summary import Mean, differences, estimates
from critpath.report import CHECKS, Estimate, Figure, MethodCurve, MethodRow, MetricTable
from critpath.runs.measures import Lines, Measure, Values

REFERENCE = "random"
"""The method that paired differences are to."""

CONTROLS = (REFERENCE, "edges")
"""Methods that are there to compare with, by the names they are registered under."""


@dataclass(frozen=True)
class Controls:
    """The names, in a plan, of the control methods and of the reference, and the order of all methods."""

    names: tuple[str, ...] = CONTROLS
    reference: str = REFERENCE
    order: tuple[str, ...] = ()


def metric_table(measure: Measure, controls: Controls | None = None) -> MetricTable:
    """The table of one metric: a row a method, controls last, with intervals and paired differences."""
    known = controls or Controls()
    main = next(iter(measure.columns.values()))
    methods = sorted(main, key=lambda method: (method in known.names, *_place(method, known.order)))
    group, facts = measure.group, measure.group.facts
    against = known.reference in main and group.kind not in CHECKS
    reference = known.reference if against else ""
    return MetricTable(
        evaluation=group.evaluation,
        metric=group.metric,
        kind=group.kind,
        title=measure.title,
        model=str(facts["model"]),
        data=str(facts["data"]),
        explains=measure.explains,
        better=measure.better,
        unit=measure.unit,
        columns=tuple(measure.columns),
        rows=_rows(measure, methods, known, reference),
        figures=tuple(_figure(measure, lines, methods, known) for lines in measure.lines),
        seeds=group.seeds,
        reference=reference,
        settings=tuple(
            (name, _shown(value)) for name, value in sorted(group.options.items()) if value not in ([], {}, None)
        ),
        notes=measure.notes,
    )


def _place(method: str, order: Sequence[str]) -> tuple[int, str]:
    return (order.index(method) if method in order else len(order)), method


def _rows(measure: Measure, methods: Sequence[str], controls: Controls, reference: str) -> tuple[MethodRow, ...]:
    main = next(iter(measure.columns.values()))
    best = _best(measure, main, methods)
    values = [_means(_stacked(column, methods), measure.few) for column in measure.columns.values()]
    to_reference = _differences(measure, main, methods, reference)
    to_best = _differences(measure, main, methods, best)
    return tuple(
        MethodRow(
            method,
            method in controls.names,
            int((~main[method].isnan()).sum()),
            int(main[method].isnan().sum()),
            tuple(column[i] for column in values),
            to_reference[i],
            to_best[i],
        )
        for i, method in enumerate(methods)
    )


def _best(measure: Measure, main: Values, methods: Sequence[str]) -> str:
    """The method with the best mean, of those with at least half as many units as any; "" where none has one."""
    if measure.better == "neither":
        return ""
    sign = 1 if measure.better == "lower" else -1
    counts = {method: int((~main[method].isnan()).sum()) for method in methods}
    known = [method for method in methods if counts[method] and 2 * counts[method] >= max(counts.values())]
    means = {method: sign * float(main[method].nanmean()) for method in known}
    return min(known, key=means.__getitem__, default="")


def _differences(measure: Measure, main: Values, methods: Sequence[str], other: str) -> list[Estimate | None]:
    """Mean of each method less ``other``, unit by unit; None for itself and where there is no other."""
    if not other:
        return [None] * len(methods)
    found = differences(_stacked(main, methods), main[other], measure.few)
    return [None if method == other else _shown_mean(found[i]) for i, method in enumerate(methods)]


def _figure(measure: Measure, lines: Lines, methods: Sequence[str], controls: Controls) -> Figure:
    places = len(lines.places)
    numbers = torch.cat([lines.values[method].T for method in methods]) if methods else torch.empty(0, 0)
    found = _means(numbers, measure.few)
    curves = tuple(
        MethodCurve(method, method in controls.names, tuple(found[i * places : (i + 1) * places]))
        for i, method in enumerate(methods)
    )
    return Figure(lines.y_title, lines.x_title, lines.places, lines.labels, curves)


def _means(numbers: Tensor, few: bool = False) -> list[Estimate]:
    """Mean and 95 % interval of each row of [rows, n]."""
    if not numbers.numel():
        return [Estimate(float("nan"))] * len(numbers)
    return [_shown_mean(found) for found in estimates(numbers, few)]


def _shown_mean(found: Mean) -> Estimate:
    return Estimate(found.mean, found.low, found.high)


def _stacked(values: Values, methods: Sequence[str]) -> Tensor:
    return torch.stack([values[method] for method in methods]) if methods else torch.empty(0, 0)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    return ", ".join(map(_shown, value)) if isinstance(value, list | tuple) else str(value)
