"""What a metric measured: numbers by method over the same units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from critpath.report import Better
from critpath.runs.results import Key, Record, Results

Values = Mapping[str, Tensor]
"""float64 [n, ...] by method, over the same n units; NaN where a unit has no number."""


@dataclass(frozen=True, eq=False)
class Lines:
    """Numbers [n, places] by method along an axis."""

    y_title: str
    x_title: str
    places: tuple[float, ...]
    labels: tuple[str, ...]
    values: Values


@dataclass(frozen=True, eq=False)
class Group:
    """All records of one metric in one evaluation, and what is common to them."""

    evaluation: str
    metric: str
    records: Mapping[Key, Record]

    @property
    def facts(self) -> dict[str, Any]:
        """What the records say: the first that says it."""
        records = reversed(tuple(self.records.values()))
        return {fact: value for record in records for fact, value in record.facts.items()}

    @property
    def has_numbers(self) -> bool:
        return any(record.values for key, record in self.records.items() if key.method)

    @property
    def kind(self) -> str:
        return str(self.facts["kind"])

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted({key.seed for key in self.records}))

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(key.method for key in self.records if key.method))

    @property
    def options(self) -> Mapping[str, Any]:
        return dict(self.facts.get("options", {}))


@dataclass(frozen=True, eq=False)
class Measure:
    """One metric as numbers: ``columns`` by name, then method, [n] each; methods are ranked by the first.

    ``explains`` says what a number is, ``unit`` what one of n is; ``few``: the units are independent repetitions with
    a t interval, and not a sample of many with a bootstrap interval.
    """

    group: Group
    title: str
    explains: str
    better: Better
    unit: str
    columns: Mapping[str, Values]
    lines: tuple[Lines, ...] = ()
    notes: tuple[str, ...] = ()
    few: bool = False


def groups(results: Results) -> tuple[Group, ...]:
    """The records of each metric of each evaluation."""
    found: dict[tuple[str, str], dict[Key, Record]] = {}
    for key, record in results.records.items():
        found.setdefault((key.evaluation, key.metric), {})[key] = record
    return tuple(Group(*name, records) for name, records in found.items())


def by_image(group: Group, value: str) -> dict[str, Tensor]:
    """A value [images, ...] by method, over all images that any method has; the mean where there are several seeds."""
    images = all_images(group)
    shape = next(r.values[value].shape[1:] for r in group.records.values() if value in r.values)
    found: dict[str, list[Tensor]] = {}
    for key, record in group.records.items():
        found.setdefault(key.method, []).append(_placed(record, value, images, shape))
    return {method: torch.stack(seeds).mean(dim=0) for method, seeds in found.items()}


def all_images(group: Group) -> Tensor:
    """Numbers of the images of a group, ascending."""
    parts = [record.images for record in group.records.values() if record.images is not None]
    return torch.unique(torch.cat(parts)) if parts else torch.empty(0, dtype=torch.int64)


def _placed(record: Record, value: str, images: Tensor, shape: torch.Size) -> Tensor:
    """The record's rows where the images are, NaN elsewhere."""
    rows = torch.full((len(images), *shape), torch.nan, dtype=torch.float64)
    if record.images is not None and value in record.values:
        rows[torch.searchsorted(images, record.images)] = record.values[value].double()
    return rows
