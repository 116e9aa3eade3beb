"""Numbers and findings in words: every number on the page passes through here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from critpath.report.content import Content, Kept, Reach, SiteRow

MISSING = "n/a"
READABLE = (-0.25, 2.0)
"""Shares of a response that say something as percent; beyond them the response is small against what neurons give."""
SMALLEST, LARGEST = 1e-3, 1e6


def number(value: float | None) -> str:
    """About four significant digits, with thousands separators: ``-0.01234`` -> ``−0.01234``."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value and not SMALLEST <= abs(value) < LARGEST:
        return _minus(f"{value:.2e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e"))
    return _minus(f"{value:,.{_decimals(value, 4)}f}")


def percent(share: float | None) -> str:
    """A share as percent, two or three significant digits; 100% and 0% only where it is exact.

    Values within half a unit of the last digit of 100% are shown as 99.9% or 100.1%.
    """
    if share is None or not math.isfinite(share):
        return MISSING
    value = 100 * share
    if 99 < value < 101 and not math.isclose(value, 100, rel_tol=1e-6):
        value = min(value, 99.9) if value < 100 else max(value, 100.1)
        return f"{value:.1f}%"
    if 0 < abs(value) < 0.01:
        return "<0.01%" if value > 0 else ">−0.01%"
    return _minus(f"{value:,.{min(_decimals(value, 2), 2)}f}") + "%"


def share_kept(share: float | None, content: Content) -> str:
    """A share of the response as percent, or as the value that it is on a page where shares say little."""
    if share is None or small_response(content) is None:
        return percent(share)
    return number(share * content.response)


def is_far(share: float) -> bool:
    """Whether a share of the response is out of ``READABLE``."""
    return math.isfinite(share) and not READABLE[0] <= share <= READABLE[1]


def small_response(content: Content) -> str | None:
    """What to know where the response is small against what the neurons give; None where it is not."""
    given = [value for level in content.levels for value in (level.kept.pathway, mean(finite(level.kept.random)))]
    if not any(is_far(ratio(value, content.response)) for value in (content.floor, *given)):
        return None
    return (
        f"The response, {number(content.response)}, is small against what some of them, or the biases alone, give, or "
        "of the other sign. Shares of it say little: the values stand in their place; the chart keeps the shares."
    )


def sparsity(share: float | None) -> str:
    """A sparsity as percent, with two significant digits of what is kept: 0.9, 0.995, 0.99987."""
    if share is None or not math.isfinite(share):
        return MISSING
    kept = 100 * (1 - share)
    digits = min(_decimals(kept, 2), 6) if kept > 1e-9 else 0
    text = f"{100 * share:.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "%"


def extent(share: float | None) -> str:
    """The length of a bar as a CSS number in [0, 1]; 0 where the share is not a number."""
    known = share if share is not None and math.isfinite(share) else 0.0
    return f"{min(max(known, 0.0), 1.0):.4f}"


def count(items: int, one: str, many: str | None = None) -> str:
    return f"{items:,} {one if items == 1 else many or one + 's'}"


def ratio(part: float, whole: float) -> float:
    """``part / whole``, NaN where that is not a finite number."""
    if not whole or not math.isfinite(part) or not math.isfinite(whole):
        return math.nan
    return part / whole


def finite(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(value for value in values if math.isfinite(value))


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def reach(found: Reach) -> str:
    """Up to which sparsity the pathway reaches the input, as one or two sentences."""
    tried = sparsity(found.tried_up_to)
    if found.last is None:
        return f"The pathway does not reach the input at any sparsity tried (up to {tried})."
    if found.first_lost is None:
        return f"The pathway reaches the input at every sparsity tried, up to {tried}."
    return (
        f"The pathway reaches the input up to a sparsity of {sparsity(found.last)}. "
        f"At {sparsity(found.first_lost)} it no longer does (tried up to {tried})."
    )


def summary(content: Content) -> str:
    """What was found at the main level, in two sentences."""
    level = content.levels[content.main_level]
    return (
        f"The pathway keeps {percent(1 - level.realised)} of the neurons. "
        f"On their own, with every other neuron set to zero, they give {_given(level.kept.pathway, content)}"
        f"{_class_clause(level.kept)}{_random_clause(level.kept, content)}.{_caution(content, level.kept)}"
    )


def _caution(content: Content, kept: Kept) -> str:
    """What takes the shine off a share: it is no more than chance, or what the biases give alone."""
    share, floor = ratio(kept.pathway, content.response), ratio(content.floor, content.response)
    shares = finite(ratio(value, content.response) for value in kept.random)
    no_better = bool(shares) and not share > max(shares)
    alone = share_kept(floor, content)
    notes = [
        *([" That is no more than chance."] if no_better else []),
        *([f" With every neuron at zero the biases alone give {alone}."] if abs(floor) >= 0.05 else []),
    ]
    return "".join(notes)


def _given(value: float, content: Content) -> str:
    if small_response(content) is not None:
        return f"{number(value)} where the network gives {number(content.response)}"
    return f"{percent(ratio(value, content.response))} of the response"


def random_range(shares: Sequence[float], content: Content | None = None) -> str:
    """The range and number of random sets: ``−4% to 9% in 10 sets``; in values on a page where shares say little."""
    if not shares:
        return "no random sets were tried"
    ends = min(shares), max(shares)
    if content is not None and small_response(content) is not None:
        ends_in_words = [number(end) for end in sorted(end * content.response for end in ends)]
    else:
        ends_in_words = [percent(end) for end in ends]
    return f"{' to '.join(ends_in_words)} in {count(len(shares), 'set')}"


def class_survives(kept: Kept) -> str | None:
    """Whether the pathway alone still predicts the class; None where the target is no class."""
    if kept.pathway_keeps_class is None:
        return None
    if kept.pathway_keeps_class:
        return "The pathway alone still gives the predicted class."
    return "The pathway alone gives another class than the network."


def empty_sites(sites: Sequence[SiteRow]) -> str | None:
    """Which sites have no neuron on the pathway; None where all have some."""
    empty = [index for index, site in enumerate(sites) if site.density == 0]
    if not empty:
        return None
    return f"{_how_many(len(empty), len(sites))} no neuron on the pathway{_which(empty, sites)}."


def _how_many(empty: int, sites: int) -> str:
    return f"{empty:,} of the {count(sites, 'site')} {'has' if empty == 1 else 'have'}"


def _which(empty: Sequence[int], sites: Sequence[SiteRow]) -> str:
    if len(empty) == 1:
        return f": {sites[empty[0]].name}"
    names = f"{sites[empty[0]].name} to {sites[empty[-1]].name}"
    if empty[-1] - empty[0] + 1 == len(empty):
        return f": the first {len(empty):,}, {names}" if empty[0] == 0 else f": {names}"
    return f", between {sites[empty[0]].name} and {sites[empty[-1]].name}"


def _class_clause(kept: Kept) -> str:
    if kept.pathway_keeps_class is None:
        return ""
    return " and still the predicted class" if kept.pathway_keeps_class else " but not the predicted class"


def _random_clause(kept: Kept, content: Content) -> str:
    shares = finite(ratio(value, content.response) for value in kept.random)
    if not shares:
        return ""
    return f"; random sets of as many neurons give {share_kept(mean(shares), content)} on average"


def _decimals(value: float, digits: int) -> int:
    if not value:
        return 0
    rounded = abs(float(f"{value:.{digits - 1}e}"))
    return max(0, digits - 1 - math.floor(math.log10(rounded)))


def _minus(text: str) -> str:
    return text.replace("-", "−")
