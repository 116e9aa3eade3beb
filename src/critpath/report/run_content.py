"""What the page of a run shows, as plain values: nothing here knows a model or torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from critpath.report.comparison import Estimate
from critpath.verdict import Verdict, verdict_of

CHECKS = ("parameter_randomisation", "smooth_mprt", "efficient_mprt")
"""Metrics that a method has to pass; who comes first there is no better explanation for it, and a map that does not
look at the model, a random one for instance, fails by construction."""

Better = Literal["lower", "higher", "neither"]
"""Which direction of a number speaks for a method."""


@dataclass(frozen=True)
class MethodRow:
    """One method's numbers in a table, in the order of its columns; the first is the one that methods are ranked by.

    ``n`` units (images, retrainings, label sets) have the first number, ``missing`` have none. ``to_reference`` and
    ``to_best`` are mean paired differences of the first number, over the units that both have; None for the reference
    and the best themselves, and where there is none.
    """

    method: str
    control: bool
    n: int
    missing: int
    values: tuple[Estimate, ...]
    to_reference: Estimate | None = None
    to_best: Estimate | None = None

    @property
    def main(self) -> Estimate:
        return self.values[0]


@dataclass(frozen=True)
class MethodCurve:
    """One method's means at the places of a figure."""

    method: str
    control: bool
    values: tuple[Estimate, ...]


@dataclass(frozen=True)
class Figure:
    """Lines over ``places``, ascending numbers with a label each; ``y_title`` says what is drawn."""

    y_title: str
    x_title: str
    places: tuple[float, ...]
    labels: tuple[str, ...]
    curves: tuple[MethodCurve, ...]


@dataclass(frozen=True)
class MetricTable:
    """One metric of one evaluation, over all methods.

    ``explains`` says what is measured and how to read it, ``unit`` what one of n is ("image", "retraining",
    "label set"), ``reference`` names the method of the paired differences ("" where there is none), ``settings`` the
    options that the numbers depend on.
    """

    evaluation: str
    metric: str
    kind: str
    title: str
    model: str
    data: str
    explains: str
    better: Better
    unit: str
    columns: tuple[str, ...]
    rows: tuple[MethodRow, ...]
    figures: tuple[Figure, ...]
    seeds: tuple[int, ...]
    reference: str
    settings: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ranked(self) -> tuple[MethodRow, ...]:
        """The rows that have a number, the best first, those of too few units last; as they are where no direction is
        better."""
        known = [row for row in self.rows if math.isfinite(row.main.mean)]
        if self.better == "neither":
            return tuple(known)
        sign = -1 if self.better == "higher" else 1
        return tuple(sorted(known, key=lambda row: (not self.enough(row), sign * row.main.mean)))

    def enough(self, row: MethodRow) -> bool:
        """Whether a row has at least half as many units as the one with most: others may have had easier ones."""
        return 2 * row.n >= max(one.n for one in self.rows)

    @property
    def best(self) -> MethodRow | None:
        return self.ranked[0] if self.ranked and self.better != "neither" else None

    def verdict(self, difference: Estimate | None) -> Verdict:
        """What a paired difference says; a tie where its interval holds 0."""
        return "unknown" if difference is None else verdict_of(difference.low, difference.high, self.better)


@dataclass(frozen=True)
class AgreementTable:
    """A rank correlation of every two names, [names][names], over n units."""

    title: str
    explains: str
    names: tuple[str, ...]
    values: tuple[tuple[Estimate, ...], ...]
    n: int
    unit: str


@dataclass(frozen=True)
class Failure:
    """What could not be computed: in which task, for which method and image (by number and name), and why."""

    where: str
    method: str
    image: int | None
    name: str
    message: str


@dataclass(frozen=True)
class Randomised:
    """What a parameter randomisation reached: the total in ``summary``, every tensor on a line of ``lines``."""

    title: str
    summary: str
    lines: str


@dataclass(frozen=True)
class Part:
    """How much of one kind of work is there."""

    kind: str
    done: int
    total: int


@dataclass(frozen=True)
class RunContent:
    """Everything on the page of a run; ``resume`` says how to go on where it is not finished, otherwise "" .

    ``programs`` are the JSON values that the parts of each program gave, ``program_seconds`` what they took.
    """

    title: str
    parts: tuple[Part, ...]
    resume: str
    tables: tuple[MetricTable, ...]
    agreements: tuple[AgreementTable, ...]
    failures: tuple[Failure, ...]
    coverages: tuple[Randomised, ...]
    caveats: tuple[str, ...]
    provenance: tuple[tuple[str, str], ...]
    plan: str = ""
    warnings: tuple[str, ...] = ()
    programs: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    program_seconds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return sum(part.done for part in self.parts)

    @property
    def total(self) -> int:
        return sum(part.total for part in self.parts)
