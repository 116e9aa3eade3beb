"""Differences of two estimates whose single numbers are not at hand."""

from __future__ import annotations

import math

from critpath.evaluation.retraining.student import t_quantile
from studies.study import Estimate


def difference(first: Estimate, second: Estimate) -> Estimate:
    """first - second, its 95 % interval as if both were of different images, from the ends of both intervals.

    Where both are of the same images and an image that is hard for one is hard for the other, it is wider than a paired
    one.
    """
    if first["mean"] is None or second["mean"] is None:
        return {"mean": None, "low": None, "high": None, "n": first["n"]}
    mean, ends = first["mean"] - second["mean"], [first["low"], first["high"], second["low"], second["high"]]
    low, high, other_low, other_high = (math.nan if end is None else end for end in ends)
    under = math.hypot(first["mean"] - low, other_high - second["mean"])
    over = math.hypot(high - first["mean"], second["mean"] - other_low)
    if math.isnan(under + over):
        return {"mean": mean, "low": None, "high": None, "n": first["n"]}
    return {"mean": mean, "low": mean - under, "high": mean + over, "n": first["n"]}


def difference_of_seeds(first: Estimate, second: Estimate) -> Estimate:
    """first - second, with the 95 % interval of two independent samples of equal variance: for a few seeds.

    Of Student's t, from the intervals of both means, which are of Student's t too. Where both share seeds it is rather
    too wide. ``n`` is the smaller number.
    """
    sizes = [int(value["n"] or 0) for value in (first, second)]
    if first["mean"] is None or second["mean"] is None:
        return {"mean": None, "low": None, "high": None, "n": min(sizes)}
    mean, squares = first["mean"] - second["mean"], [_squares(first), _squares(second)]
    known = [part for part in squares if part is not None]
    if len(known) < 2:
        return {"mean": mean, "low": None, "high": None, "n": min(sizes)}
    degrees = sum(sizes) - 2
    half = t_quantile(0.95, degrees) * math.sqrt(sum(known) / degrees * sum(1 / size for size in sizes))
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": min(sizes)}


def _squares(value: Estimate) -> float | None:
    """The sum of squared deviations from the mean that its interval is of."""
    low, high, n = value["low"], value["high"], int(value["n"] or 0)
    if low is None or high is None or n < 2:
        return None
    return ((high - low) / 2 / t_quantile(0.95, n - 1)) ** 2 * n * (n - 1)
