"""Values of several methods on the same images as rows of a table: means, intervals, paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.errors import MismatchError, OptionError
from critpath.intervals import bootstrap_interval
from critpath.options import check_choice, check_type
from critpath.registry import check_known

BETTER = ("lower", "higher")


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
        """Against the reference: "better" or "worse" where the interval of the difference excludes 0, else ""."""
        lower, higher = self.difference_high < 0, self.difference_low > 0
        if not lower and not higher:
            return ""
        return "better" if lower == (self.better == "lower") else "worse"


def summarise(
    values: Mapping[str, Tensor],
    *,
    reference: str | None = "random",
    better: str = "lower",
    level: float = 0.95,
    seed: int = 0,
    resamples: int = 2000,
) -> tuple[Row, ...]:
    """A row for each method, best mean first, from its values [n] on the same n images in the same order.

    Intervals are percentile bootstraps over images; differences are paired, image by image, with the ``reference``
    (None: with nothing). Values that are NaN or infinite are left out and counted. ``better`` says which values are.

    Raises OptionError, MismatchError where the methods have different numbers of images.
    """
    check_choice("better", better, BETTER)
    known = checked_values(values)
    if reference is not None:
        check_known("method to compare with", reference, tuple(known))
    stacked = torch.stack(list(known.values()))
    base = torch.full_like(stacked[0], torch.nan) if reference is None else known[reference]
    own = _estimates(stacked, level, seed, resamples)
    against = _estimates(stacked - base, level, seed, resamples)
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
class _Estimate:
    n: int
    mean: float
    low: float
    high: float


def _estimates(values: Tensor, level: float, seed: int, resamples: int) -> list[_Estimate]:
    """One for each row of [methods, images]."""
    low, high = bootstrap_interval(values, level, seed, resamples)
    counts, means = (~values.isnan()).sum(dim=1), values.nanmean(dim=1)
    numbers = zip(counts.tolist(), means.tolist(), low.tolist(), high.tolist(), strict=True)
    return [_Estimate(*one) for one in numbers]


def _row(method: str, images: int, better: str, own: _Estimate, against: _Estimate) -> Row:
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
