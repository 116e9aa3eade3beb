"""What studies have in common: claims with their verdicts, and estimates with their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.errors import OptionError
from critpath.intervals import bootstrap_interval

HOLDS = "holds"
PARTLY = "holds in part"
NOT = "holds not"
OPEN = "undecided"
NOT_COMPARABLE = "not comparable"

VERDICTS = (NOT, PARTLY, OPEN, NOT_COMPARABLE, HOLDS)
"""The surprising ones first."""

Estimate = dict[str, float | int | None]
"""``mean``, ``low``, ``high`` and ``n``, as JSON; None where there is no number."""


@dataclass(frozen=True)
class Claim:
    """One claim of a paper, what was published for it, what was measured, and whether it holds.

    ``source`` is a table or figure as ``studies.inventory`` names it ("P, figure 7", "C, table 1"); several are
    separated by "; ". ``published`` and ``measured`` are Markdown on one line; lines in ``measured`` are separated by
    "<br>". ``asked_here``: no paper says it; its source is what it is about. Raises OptionError for a verdict that is
    none of ``VERDICTS``.
    """

    source: str
    claim: str
    published: str
    measured: str
    verdict: str
    why: str
    asked_here: bool = False

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise OptionError(f"the verdict is {self.verdict!r}; it is one of {', '.join(VERDICTS)}")

    @property
    def sources(self) -> tuple[str, ...]:
        """The tables and figures it is about."""
        return tuple(self.source.split("; "))


def by_surprise(claims: Iterable[Claim]) -> list[Claim]:
    """The claims that do not hold first, in the order of ``VERDICTS``."""
    return sorted(claims, key=lambda claim: VERDICTS.index(claim.verdict))


JOINT = (
    f"A claim of several parts (networks, methods, sizes) *{HOLDS}* if all parts are certainly true, *{PARTLY}* if "
    f"only some are, and *{NOT}* if none is and more than half are certainly false; otherwise it is *{OPEN}*."
)
"""The rule of ``joint`` in words."""


def joint(parts: Sequence[bool | None]) -> str:
    """The verdict on a claim of several parts, each certainly true, certainly false, or undecided (None).

    It holds if all parts are true. With a true part and others it holds in part. Without a true one it holds not if
    more than half of the parts are false, and is undecided otherwise; so it is without parts.
    """
    true, false = sum(part is True for part in parts), sum(part is False for part in parts)
    if true:
        return HOLDS if true == len(parts) else PARTLY
    return NOT if 2 * false > len(parts) else OPEN


def below(value: Estimate, limit: float) -> bool | None:
    """Whether an estimate lies below a number; None where its interval holds it, or where there is no interval."""
    low, high = value["low"], value["high"]
    if low is None or high is None or low <= limit <= high:
        return None
    return high < limit


def above(value: Estimate, limit: float) -> bool | None:
    """Whether an estimate lies above a number; None as for ``below``."""
    found = below(value, limit)
    return None if found is None else not found


def within(value: Estimate, margin: float) -> bool | None:
    """Whether an estimate lies within ±``margin``; None where only a part of its interval does, or there is none."""
    low, high = value["low"], value["high"]
    if low is None or high is None:
        return None
    if -margin <= low and high <= margin:
        return True
    return False if low > margin or high < -margin else None


def both(first: bool | None, second: bool | None) -> bool | None:
    """Whether two statements are true; None where that is undecided."""
    if first is False or second is False:
        return False
    return True if first and second else None


def estimate(values: Sequence[float | None] | Tensor) -> Estimate:
    """The mean of some numbers with its 95 % percentile bootstrap interval over them (seed 0), and how many they are.

    None and NaN are left out. Without a number the mean is None, below two there are no ends.
    """
    given = values.flatten().tolist() if isinstance(values, Tensor) else values
    known = [float(value) for value in given if value is not None and not math.isnan(value)]
    if not known:
        return {"mean": None, "low": None, "high": None, "n": 0}
    low, high = (float(end) for end in bootstrap_interval(torch.tensor(known, dtype=torch.float64)))
    ends = (None, None) if len(known) < 2 else (low, high)
    return {"mean": math.fsum(known) / len(known), "low": ends[0], "high": ends[1], "n": len(known)}


def shown(value: Estimate | None, digits: int = 2, percent: bool = False) -> str:
    """An estimate as text, "0.31 [0.28, 0.34]", or "31 % [28, 34]" with ``percent``; "n/a" where there is none."""
    if value is None or value["mean"] is None:
        return "n/a"
    mean, low, high = (_text(value[part], digits, percent) for part in ("mean", "low", "high"))
    sign = " %" if percent else ""
    return f"{mean}{sign} [{low}, {high}]" if low and high else f"{mean}{sign}"


def _text(value: float | None, digits: int, percent: bool) -> str:
    """With so many decimals; of percent, two fewer."""
    if value is None:
        return ""
    return f"{100 * value:.{max(0, digits - 2)}f}" if percent else f"{value:.{digits}f}"
