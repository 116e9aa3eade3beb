"""What a paired difference says of a method, by its interval."""

from __future__ import annotations

import math
from typing import Literal

Verdict = Literal["better", "worse", "tie", "unknown"]


def verdict_of(low: float, high: float, better: str) -> Verdict:
    """Of a difference, method less other, from the ends of its interval; ``better``: "lower" or "higher" values are.

    A tie where the interval holds 0, unknown where it has no end or no direction is better.
    """
    if better not in ("lower", "higher") or not math.isfinite(low + high):
        return "unknown"
    if low <= 0 <= high:
        return "tie"
    return "better" if (high < 0) == (better == "lower") else "worse"
