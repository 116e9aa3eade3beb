"""Rows of a table against means and a bootstrap written out."""

from __future__ import annotations

import math

import pytest
import torch
from tests.tiny import numbers
from torch import Tensor

from critpath.errors import MismatchError, OptionError
from critpath.evaluation.retraining import t_estimate
from critpath.evaluation.summary import summarise
from critpath.intervals import resample_weights

N = 12
VALUES = {
    "random": numbers(N),
    "good": numbers(N) - 1 + 0.1 * numbers(N, seed=2),
    "bad": numbers(N) + 1 + 0.1 * numbers(N, seed=3),
    "same": numbers(N) + 0.1 * (numbers(N, seed=4) - numbers(N, seed=4).mean()),
}


def interval(values: list[float]) -> tuple[float, float]:
    """The percentile bootstrap by a loop over resamples, NaN left out."""
    means = []
    for weights in torch.cat(list(resample_weights(len(values), 0, 200))).tolist():
        drawn = [(w, v) for w, v in zip(weights, values, strict=True) if not math.isnan(v)]
        means.append(sum(w * v for w, v in drawn) / sum(w for w, _ in drawn))
    low, high = torch.tensor(means, dtype=torch.float64).quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    return low, high


def test_against_the_loop() -> None:
    values = {name: value.clone() for name, value in VALUES.items()}
    values["good"][2] = math.nan
    values["random"][5] = math.inf
    rows = {row.method: row for row in summarise(values, resamples=200)}
    for name, row in rows.items():
        own = [v if math.isfinite(v) else math.nan for v in values[name].tolist()]
        reference = [v if math.isfinite(v) else math.nan for v in values["random"].tolist()]
        paired = [v - r for v, r in zip(own, reference, strict=True)]
        known, both = [v for v in own if v == v], [v for v in paired if v == v]
        assert (row.n, row.left_out, row.paired) == (len(known), N - len(known), len(both))
        assert row.mean == pytest.approx(sum(known) / len(known))
        assert row.difference == pytest.approx(sum(both) / len(both))
        assert (row.low, row.high) == pytest.approx(interval(own))
        assert (row.difference_low, row.difference_high) == pytest.approx(interval(paired))


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_order_and_verdicts(better: str) -> None:
    rows = summarise(VALUES, better=better)
    names = [row.method for row in rows]
    assert (names[0], names[-1]) == (("good", "bad") if better == "lower" else ("bad", "good"))
    verdicts = {row.method: row.verdict for row in rows}
    signs = ("better", "worse") if better == "lower" else ("worse", "better")
    assert verdicts == {"random": "", "good": signs[0], "bad": signs[1], "same": ""}


def test_pairing_is_what_tells() -> None:
    """Methods whose own intervals overlap widely are told apart image by image."""
    rows = {row.method: row for row in summarise({"random": VALUES["random"], "other": VALUES["random"] - 0.01})}
    assert rows["other"].high > rows["random"].low
    assert rows["other"].verdict == "better"


def test_few_repetitions() -> None:
    """t intervals; none of a difference below three repetitions, and none where all are alike."""
    three = {"random": torch.tensor([0.5, 0.6, 0.7]), "a": torch.tensor([0.1, 0.21, 0.29])}
    row = summarise(three, few=True)[0]
    expected = t_estimate(three["a"] - three["random"])
    assert (row.difference_low, row.difference_high) == pytest.approx((float(expected.low), float(expected.high)))
    assert row.verdict == "better"
    two = summarise({name: values[:2] for name, values in three.items()}, few=True)[0]
    assert math.isfinite(two.low)
    assert math.isnan(two.difference_low)
    assert two.verdict == ""
    alike = summarise({"random": three["random"], "a": three["random"] - 0.3}, few=True)[0]
    assert alike.difference == pytest.approx(-0.3)
    assert math.isnan(alike.difference_low)
    assert alike.verdict == ""
    constant = summarise({"random": three["random"], "a": torch.full((3,), 0.1)}, few=True)[0]
    assert math.isnan(constant.low)
    empty = summarise({"random": three["random"], "a": torch.full((3,), math.nan)}, few=True)[1]
    assert (empty.n, empty.verdict) == (0, "")


def test_without_reference() -> None:
    rows = summarise({"a": VALUES["good"], "b": torch.full((N,), math.nan)}, reference=None)
    assert [row.method for row in rows] == ["a", "b"]
    assert all(math.isnan(row.difference) and row.paired == 0 and row.verdict == "" for row in rows)
    assert rows[1].n == 0
    assert math.isnan(rows[1].mean)


def test_deterministic() -> None:
    assert summarise(VALUES) == summarise(VALUES)
    assert summarise(VALUES) != summarise(VALUES, seed=1)


@pytest.mark.parametrize(
    ("values", "options", "error", "text"),
    [
        ({}, {}, OptionError, "no method"),
        ([1.0], {}, OptionError, "values is of type list"),
        ({"random": [1.0]}, {}, OptionError, "the values of 'random'"),
        ({"random": torch.zeros(2, 2)}, {}, OptionError, r"one number for each image"),
        ({"random": torch.zeros(2), "a": torch.zeros(3)}, {}, MismatchError, "'a': 3"),
        ({"a": torch.zeros(2)}, {}, OptionError, "method to compare with is called 'random'"),
        (VALUES, {"reference": "rndom"}, OptionError, "Did you mean 'random'"),
        (VALUES, {"better": "up"}, OptionError, "better is 'up'"),
        (VALUES, {"level": 1}, OptionError, "level is 1"),
        (VALUES, {"resamples": 0}, OptionError, "resamples is 0"),
    ],
)
def test_bad_inputs(values: dict[str, Tensor], options: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        summarise(values, **options)  # type: ignore[arg-type]
