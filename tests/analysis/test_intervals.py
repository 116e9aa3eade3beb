"""The bootstrap against a loop over resamples, and against what is known of means."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
from tests import tiny

from critpath.analysis import bootstrap_interval
from critpath.errors import OptionError
from critpath.intervals import resample_weights


def by_loop(values: list[float], draws: list[list[int]], level: float) -> tuple[float, float]:
    """Percentiles of the means over the images drawn, NaN left out."""
    means = []
    for drawn in draws:
        known = [values[i] for i in drawn if not math.isnan(values[i])]
        if known:
            means.append(sum(known) / len(known))
    ordered = torch.tensor(means, dtype=torch.float64)
    low, high = ordered.quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)).tolist()
    return low, high


def test_equals_a_loop_over_resamples() -> None:
    values = tiny.numbers(2, 7)
    values[1, 3] = math.nan
    weights = torch.cat(list(resample_weights(7, seed=4, resamples=50)))
    assert (weights.sum(1) == 7).all()
    draws = [[i for i, n in enumerate(row) for _ in range(int(n))] for row in weights.tolist()]
    low, high = bootstrap_interval(values, 0.8, seed=4, resamples=50)
    for row in range(2):
        expected = by_loop(values[row].tolist(), draws, 0.8)
        assert (float(low[row]), float(high[row])) == pytest.approx(expected)


def test_normal_numbers() -> None:
    """Half the width is about 1.96 standard errors."""
    values = tiny.numbers(400)
    low, high = bootstrap_interval(values)
    expected = 1.96 * float(values.std()) / 20
    assert float(high - low) / 2 == pytest.approx(expected, rel=0.08)
    assert float(low) < float(values.mean()) < float(high)


def test_pairs_stay_pairs() -> None:
    """A constant difference has no width, which separate resamples would give it."""
    values = tiny.numbers(30)
    ends = [bootstrap_interval(v)[0] for v in (values, values + 1)]
    assert float(ends[1] - ends[0]) == pytest.approx(1)
    low, high = bootstrap_interval((values + 1) - values)
    assert float(low) == pytest.approx(float(high)) == pytest.approx(1)


def test_no_interval_for_one_image() -> None:
    values = torch.tensor([[1.0, math.nan, math.nan], [1.0, 2.0, math.nan], [math.nan] * 3])
    low, high = bootstrap_interval(values)
    assert low.isnan().tolist() == high.isnan().tolist() == [True, False, True]
    assert bootstrap_interval(torch.tensor([3.0]))[0].isnan()
    assert bootstrap_interval(torch.zeros(2, 0))[0].isnan().tolist() == [True, True]


def test_shapes_and_seeds() -> None:
    values = tiny.numbers(2, 3, 12)
    torch.manual_seed(1)
    random.seed(1)
    before = torch.random.get_rng_state()
    low, high = bootstrap_interval(values, seed=1)
    assert low.shape == high.shape == (2, 3)
    assert torch.equal(low, bootstrap_interval(values, seed=1)[0])
    assert torch.equal(low[1, 2], bootstrap_interval(values[1, 2], seed=1)[0])
    assert not torch.equal(low, bootstrap_interval(values, seed=2)[0])
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    "options",
    [
        {"level": 1.0},
        {"level": 0},
        {"level": "a"},
        {"resamples": 0},
        {"resamples": 1.5},
        {"seed": "a"},
        {"values": [1]},
    ],
)
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        bootstrap_interval(**{"values": torch.ones(3), **options})
