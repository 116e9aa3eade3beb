"""Values of several methods on the same images as rows of a table: means, intervals, paired differences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.errors import MismatchError, OptionError
from critpath.evaluation.retraining.student import t_estimate
from critpath.intervals import bootstrap_interval
from critpath.options import check_choice, check_type
from critpath.registry import check_known
from critpath.verdict import verdict_of

BETTER = ("lower", "higher")

FEWEST = 3
"""Repetitions that a verdict takes at least."""

SMALL = 10
"""Images below which a percentile bootstrap of a difference excludes 0 far more often than it should."""

ALIKE = 1e-12
"""Relative spread below which repetitions are alike."""


@dataclass(frozen=True)
class Row:
    """One method: ``n`` images counted, ``left_out`` whose value is NaN or infinite, mean and bootstrap interval.

    ``difference`` is the mean of value - reference's value over the ``paired`` images on which both are known, with
    its interval; NaN without a reference. The reference's own is 0.
    """

    method: str
    n: int
    left_out: int
    mean: float
    low: float
    high: float
    paired: int
    difference: float
    difference_low: float
    difference_high: float
    better: str

    @property
    def verdict(self) -> str:
        """Against the reference: "better" or "worse" where the interval of the difference excludes 0, else "".

        Below ten images there is no interval.
        """
        found = verdict_of(self.difference_low, self.difference_high, self.better)
        return found if found in ("better", "worse") else ""


def summarise(
    values: Mapping[str, Tensor],
    *,
    reference: str | None = "random",
    better: str = "lower",
    few: bool = False,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = 2000,
) -> tuple[Row, ...]:
    """A row for each method, best mean first, from its values [n] on the same n images in the same order.

    Intervals are percentile bootstraps over images; differences are paired, image by image, with the ``reference``
    (None: with nothing). Values that are NaN or infinite are left out and counted. ``better`` says which values are.
    ``few``: the n are independent repetitions, like seeds, and intervals are t intervals; see ``differences``.

    Raises OptionError, MismatchError where the methods have different numbers of images.
    """
    check_choice("better", better, BETTER)
    known = checked_values(values)
    if reference is not None:
        check_known("method to compare with", reference, tuple(known))
    stacked = torch.stack(list(known.values()))
    base = torch.full_like(stacked[0], torch.nan) if reference is None else known[reference]
    own = estimates(stacked, few, level, seed, resamples)
    against = differences(stacked, base, few, level, seed, resamples)
    rows = (_row(name, stacked.shape[1], better, *pair) for name, *pair in zip(known, own, against, strict=True))
    return tuple(sorted(rows, key=_place))


def checked_values(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Values [n] by method as float64 on the CPU, NaN where one is infinite.

    Raises OptionError where there is none or they are no numbers, MismatchError for different numbers of images.
    """
    check_type("values", values, Mapping)
    if not values:
        raise OptionError("values hold no method: give values [n] by the names of methods")
    found = {name: _checked(name, value) for name, value in values.items()}
    sizes = {name: len(value) for name, value in found.items()}
    if len(set(sizes.values())) > 1:
        raise MismatchError(
            f"methods are compared on the same images, and there are {sizes}: give NaN where one failed"
        )
    return found


def _checked(name: str, value: Tensor) -> Tensor:
    check_type(f"the values of {name!r}", value, Tensor)
    if value.dim() != 1 or not len(value):
        raise OptionError(f"the values of {name!r} are {list(value.shape)}; give one number for each image, [n]")
    numbers = value.detach().cpu().double()
    return numbers.where(numbers.isfinite(), torch.nan)


@dataclass(frozen=True)
class Mean:
    """A mean over ``n`` units and the ends of its interval, NaN where there is none."""

    n: int
    mean: float
    low: float
    high: float


def differences(
    values: Tensor, base: Tensor, few: bool = False, level: float = 0.95, seed: int = 0, resamples: int = 2000
) -> list[Mean]:
    """``estimates`` of values [methods, n] less ``base`` [n], unit by unit.

    There is no interval, and so no verdict, below ten images or, where units are ``few``, below three of them.
    """
    found = estimates(values - base, few, level, seed, resamples)
    least = FEWEST if few else SMALL
    return [Mean(one.n, one.mean, math.nan, math.nan) if one.n < least else one for one in found]


def estimates(
    values: Tensor, few: bool = False, level: float = 0.95, seed: int = 0, resamples: int = 2000
) -> list[Mean]:
    """Mean and interval of each row of [methods, n], NaN left out.

    Percentile bootstraps over the n, or t intervals where units are ``few``, and none where these are all alike.
    """
    if few:
        return [_of_few(row[~row.isnan()], level) for row in values]
    low, high = bootstrap_interval(values, level, seed, resamples)
    counts, means = (~values.isnan()).sum(dim=1), values.nanmean(dim=1)
    numbers = zip(counts.tolist(), means.tolist(), low.tolist(), high.tolist(), strict=True)
    return [Mean(*one) for one in numbers]


def _of_few(values: Tensor, level: float) -> Mean:
    found = t_estimate(values, level)
    mean, spread = float(found.mean), float((values - found.mean).abs().max()) if len(values) else math.nan
    ends = (float(found.low), float(found.high)) if spread > ALIKE * max(1.0, abs(mean)) else (math.nan, math.nan)
    return Mean(len(values), mean, *ends)


def _row(method: str, images: int, better: str, own: Mean, against: Mean) -> Row:
    return Row(
        method=method,
        n=own.n,
        left_out=images - own.n,
        mean=own.mean,
        low=own.low,
        high=own.high,
        paired=against.n,
        difference=against.mean,
        difference_low=against.low,
        difference_high=against.high,
        better=better,
    )


def _place(row: Row) -> tuple[bool, float]:
    """Best first, those without a mean last."""
    unknown = row.mean != row.mean
    return unknown, 0.0 if unknown else row.mean if row.better == "lower" else -row.mean
