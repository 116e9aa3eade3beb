"""What tables say: no verdict of two seeds, only equal units drawn together, and images that are counted."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from critpath.report.run_words import finding
from critpath.runs.agreements import agreement_tables, unit_of
from critpath.runs.measures import groups
from critpath.runs.readings import measures
from critpath.runs.results import Key, Record, Results
from critpath.runs.tables import metric_table
from critpath.verdict import verdict_of

ROAR = {"kind": "roar", "options": {"keep": False}, "model": "net", "data": "d"}


def trainings(accuracies: dict[str, list[float]]) -> Results:
    """ROAR at one share, by method and seed; the unmodified images give 0.9."""
    number = len(next(iter(accuracies.values())))
    records = {
        Key("e", "roar", method, seed, "0.5"): Record(ROAR, None, {"accuracy": torch.tensor(values[seed]).double()})
        for method, values in accuracies.items()
        for seed in range(number)
    }
    whole = {
        Key("e", "roar", "", seed, "0.0"): Record(ROAR, None, {"accuracy": torch.tensor(0.9).double()})
        for seed in range(number)
    }
    return Results({**records, **whole})


def table_of(accuracies: dict[str, list[float]]) -> Any:
    (measure,) = measures(groups(trainings(accuracies)))
    return metric_table(measure)


def test_two_seeds_give_no_verdict() -> None:
    table = table_of({"a": [0.3, 0.301], "b": [0.6, 0.6009], "random": [0.8, 0.8012]})
    assert table.best.method == "a"
    assert all(table.verdict(row.to_reference) == "unknown" for row in table.rows)
    assert "its lead has no interval" in finding(table)
    assert "ahead of" not in finding(table)
    assert any("fewer than 3 seeds" in note for note in table.notes)


def test_three_seeds_do_and_alike_ones_do_not() -> None:
    table = table_of({"a": [0.3, 0.301, 0.299], "b": [0.6, 0.6, 0.61], "random": [0.8, 0.81, 0.79]})
    assert "ahead of every other method" in finding(table)
    assert not any("fewer than 3 seeds" in note for note in table.notes)
    alike = table_of({"a": [0.3, 0.3, 0.3], "b": [0.6, 0.6, 0.6], "random": [0.8, 0.8, 0.8]})
    assert "ahead of" not in finding(alike)
    assert math.isnan(alike.best.main.low)
    assert math.isfinite(alike.best.main.mean)


@pytest.mark.parametrize(
    ("ends", "better", "found"),
    [
        ((0.1, 0.3), "lower", "worse"),
        ((0.1, 0.3), "higher", "better"),
        ((-0.3, -0.1), "lower", "better"),
        ((-0.3, -0.1), "higher", "worse"),
        ((-0.1, 0.0), "lower", "tie"),
        ((0.1, 0.3), "neither", "unknown"),
        ((math.nan, 0.3), "lower", "unknown"),
        ((0.1, math.inf), "lower", "unknown"),
    ],
)
def test_one_verdict(ends: tuple[float, float], better: str, found: str) -> None:
    assert verdict_of(*ends, better) == found


def by_image(kind: str, images: list[int], values: dict[str, dict[str, Tensor]], **facts: Any) -> Results:
    known = {"kind": kind, "options": {}, "model": "net", "data": "d", **facts}
    return Results({Key("e", kind, m, 0): Record(known, torch.tensor(images), v) for m, v in values.items()})


def complexity(images: list[int]) -> Results:
    row = torch.rand(len(images), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = {m: {"value": row + i, "original": row, "randomised": row[:, None]} for i, m in enumerate("ab")}
    return by_image("efficient_mprt", images, values)


def test_units_are_the_images_themselves() -> None:
    (first,), (other,), (same,) = (measures(groups(complexity(n))) for n in ([0, 1, 2], [3, 4, 5], [0, 1, 2]))
    assert unit_of(first) == unit_of(same) != unit_of(other)
    (seeds,) = measures(groups(trainings({"a": [0.1, 0.2, 0.3], "b": [0.1, 0.2, 0.3]})))
    assert unit_of(seeds) not in (unit_of(first), unit_of(other))


def test_images_without_a_number_are_not_counted() -> None:
    values = torch.rand(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values[1] = torch.nan
    values[[2, 3], 0] = torch.nan
    pairs = [["a", "b"], ["a", "c"], ["b", "c"]]
    results = by_image("map_agreement", list(range(5)), {"": {"spearman": values}}, pairs=pairs)
    (table,) = agreement_tables(groups(results), ())
    assert table.n == 4
    assert "Some pairs are over fewer images, where a map is missing: 2 at least." in table.explains
    whole = values.nan_to_num(0.5)
    results = by_image("map_agreement", list(range(5)), {"": {"spearman": whole}}, pairs=pairs)
    (table,) = agreement_tables(groups(results), ())
    assert table.n == 5
    assert "fewer images" not in table.explains


def lerf(change: float, n: int = 12) -> Results:
    """LeRF at one share, by which the response changes: twice as much under random maps."""
    start = torch.ones(n).double()
    maps = {"a": change, "random": 2 * change}
    values = {m: {"start": start, "curve": (start - c)[:, None]} for m, c in maps.items()}
    return by_image("pixel_perturbation", list(range(n)), values, shares=[0.1])


@pytest.mark.parametrize(("change", "noted"), [(0.002, True), (0.2, False)])
def test_a_model_that_hardly_looks_at_what_is_removed_is_noted(change: float, noted: bool) -> None:
    (measure,) = measures(groups(lerf(change)))
    assert any("hardly looks at" in note for note in measure.notes) is noted


def test_few_images_give_no_verdict() -> None:
    few, enough = (metric_table(measures(groups(lerf(0.2, n)))[0]) for n in (9, 10))
    assert {few.verdict(row.to_reference) for row in few.rows} == {"unknown"}
    assert "better" in {enough.verdict(row.to_reference) for row in enough.rows}


def test_a_check_is_not_compared_with_a_map_that_fails_it_by_construction() -> None:
    row = torch.rand(12, dtype=torch.float64)
    values = {m: {"value": row + i, "original": row, "randomised": row[:, None]} for i, m in enumerate(("a", "random"))}
    table = metric_table(measures(groups(by_image("efficient_mprt", list(range(12)), values)))[0])
    assert table.reference == ""
    assert all(row.to_reference is None for row in table.rows)
