"""What was found by comparing finders, in words; every sentence is made from the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from critpath.report import words
from critpath.report.comparison import ComparisonContent, Estimate, FinderRow, Pair

ONE_IMAGE = "n/a (one image)"
SLACK = 0.005
"""How far above the requested share of neurons a pathway may be and still count as being of that size."""

ABOVE = 1.02
"""A share of the response above this is more than the whole network gives."""

DEAD = 5e-4
"""A dead share below this is called none."""


def interval(estimate: Estimate, images: int) -> str:
    """The 95 % interval: ``12% to 15%``."""
    if images == 1:
        return ONE_IMAGE
    if not math.isfinite(estimate.low) or not math.isfinite(estimate.high):
        return words.MISSING
    return f"{words.percent(estimate.low)} to {words.percent(estimate.high)}"


def with_interval(estimate: Estimate, images: int) -> str:
    """``13% (95 % interval 12% to 15%)``; without the interval for one image."""
    mean = words.percent(estimate.mean)
    return mean if images == 1 else f"{mean} (95 % interval {interval(estimate, images)})"


def decimals(value: float) -> str:
    """A similarity or an area with two decimals."""
    return f"{value:.2f}".replace("-", "−") if math.isfinite(value) else words.MISSING


def decimals_interval(estimate: Estimate, images: int) -> str:
    if images == 1:
        return ONE_IMAGE
    if not math.isfinite(estimate.low) or not math.isfinite(estimate.high):
        return words.MISSING
    return f"{decimals(estimate.low)} to {decimals(estimate.high)}"


def time(seconds: float) -> str:
    """``0.05 s``, ``12 s``, ``4.1 min``."""
    if not math.isfinite(seconds):
        return words.MISSING
    if seconds >= 120:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def passes(count: float) -> str:
    """``1.2 passes``, ``340 passes``."""
    if not math.isfinite(count):
        return words.MISSING
    return f"{count:,.0f} passes" if count >= 10 else f"{count:.1f} passes"


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def summary(content: ComparisonContent) -> str:
    """What keeps most of the response, who shares dead neurons, which pair agrees, and which searches stopped."""
    return " ".join([*_keeps_most(content), *_dead(content), *_closest(content), *_stopped(content)])


def _keeps_most(content: ComparisonContent) -> Iterator[str]:
    rows = [row for row in content.main.rows if math.isfinite(row.alone.mean) and _reached(row, content.main.requested)]
    if not rows:
        yield "No share of the response is defined here."
        return
    best, *others = sorted(rows, key=lambda row: abs(row.alone.mean - 1))
    over = "On one image" if content.images == 1 else f"On average over {content.images:,} images"
    size = words.percent(1 - content.main.requested)
    control = ", a control," if best.finder in controls(content) else ""
    yield (
        f"{over} and with {size} of the neurons, {best.finder}{control} comes closest to the whole response: it gives "
        f"{with_interval(best.alone, content.images)} of it{_rivals(best, others)}{_chance(content, best)}."
    )
    yield from _above([row for row in rows if row.alone.mean > ABOVE])


def _reached(row: FinderRow, requested: float) -> bool:
    """Whether the pathway is as small as was asked for: larger ones are not compared."""
    return row.realised.mean > requested - SLACK


def _above(rows: Sequence[FinderRow]) -> Iterator[str]:
    """Pathways that give more than the whole network does: that is no faithful share."""
    if rows:
        named = listed([f"{row.finder} ({words.percent(row.alone.mean)})" for row in rows])
        yield f"Acting alone, the neurons of {named} give more than the whole network does."


def _rivals(best: FinderRow, others: Sequence[FinderRow]) -> str:
    """The finders whose interval meets that of the best: these intervals cannot tell them apart."""
    near = [row.finder for row in others if row.alone.high >= best.alone.low and row.alone.low <= best.alone.high]
    if not near:
        return ""
    return f", which the {'interval' if len(near) == 1 else 'intervals'} of {listed(near)} cannot tell apart from it"


def _chance(content: ComparisonContent, best: FinderRow) -> str:
    random = next((row for row in content.main.rows if row.finder == "random" and row is not best), None)
    return f"; random neurons give {words.percent(random.alone.mean)}" if random else ""


def _dead(content: ComparisonContent) -> Iterator[str]:
    rows = [row for row in content.main.rows if math.isfinite(row.dead.mean)]
    some = [f"{row.finder} ({words.percent(row.dead.mean)})" for row in rows if row.dead.mean >= DEAD]
    none = [row.finder for row in rows if row.dead.mean < DEAD]
    base = words.percent(content.base_dead.mean)
    if some:
        rest = f"; those of {listed(none)} have none" if none else ""
        yield f"{base} of all neurons are dead; the pathways of {listed(some)} hold dead neurons{rest}."
    elif rows:
        yield f"{base} of all neurons are dead; no pathway holds any of them."


def _closest(content: ComparisonContent) -> Iterator[str]:
    pairs = [pair for pair in _pairs(content) if math.isfinite(pair[2].jaccard.mean)]
    if pairs:
        first, second, pair = max(pairs, key=lambda found: found[2].jaccard.mean)
        yield (
            f"{first} and {second} agree most: their Jaccard is {decimals(pair.jaccard.mean)}, "
            f"where chance gives {decimals(pair.chance)}."
        )


def _pairs(content: ComparisonContent) -> Iterator[tuple[str, str, Pair]]:
    names = [finder.name for finder in content.finders]
    for i, first in enumerate(names):
        for j, second in enumerate(names[:i]):
            if not {first, second} <= controls(content):
                yield second, first, content.overlap[i][j]


def _stopped(content: ComparisonContent) -> Iterator[str]:
    short = [f"{row.finder} in {len(row.stopped):,}" for row in content.main.rows if row.stopped]
    if short:
        of = "the one image" if content.images == 1 else f"{content.images:,} images"
        yield f"Of {of}, these searches ended elsewhere than asked: {listed(short)}."


def controls(content: ComparisonContent) -> set[str]:
    """Names of the finders that are there to compare with."""
    return {finder.name for finder in content.finders if finder.control}


def keeps_class(row: FinderRow) -> str:
    """``3 of 4``."""
    return f"{row.class_kept:,} of {row.class_known:,}" if row.class_known else words.MISSING


def stops(row: FinderRow) -> str:
    """Why searches ended elsewhere than asked: the reason if all share one, else how many and the first."""
    if not row.stopped:
        return ""
    first = row.stopped[0]
    return first if len(row.stopped) == 1 else f"{len(row.stopped):,} images, the first: {first}"
