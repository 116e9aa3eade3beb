"""A comparison of finders as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from critpath.intervals import bootstrap_interval

if TYPE_CHECKING:
    from critpath.analysis.comparison import AtSparsity, FinderComparison

HEAD = ("finder", "kept", "dead share", "keeps class", "connected", "seconds", "stopped")


def comparison_table(comparison: FinderComparison) -> str:
    """Means over images with 95 % bootstrap intervals; a pair's Jaccard stands before its chance level."""
    images = "1 image" if comparison.images == 1 else f"{comparison.images} images"
    dead = mean_and_interval(comparison.base_dead, percent=True)
    head = f"{images}, {comparison.space.neurons:,} neurons, of which {dead} are dead"
    parts = [part for at in comparison.at for part in (_finders(comparison, at), _pairs(comparison, at))]
    return "\n\n".join([head, *parts, *_areas(comparison)])


def mean_and_interval(values: Tensor, percent: bool = False) -> str:
    """The mean of [images] without NaN, and its interval where there is one."""
    mean = float(values.nanmean())
    low, high = (float(end) for end in bootstrap_interval(values))
    written = "{:.1%}" if percent else "{:.3f}"
    if mean != mean:
        return "-"
    text = written.format(mean)
    return text if low != low else f"{text} [{written.format(low)}, {written.format(high)}]"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as columns: the first flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows)


def _finders(comparison: FinderComparison, at: AtSparsity) -> str:
    rows = [
        (
            finder,
            mean_and_interval(1 - at.realised[i], percent=True),
            mean_and_interval(at.dead[i], percent=True),
            _count(at.keeps_class[i]),
            mean_and_interval(at.connected[i], percent=True),
            f"{float(comparison.seconds[i].mean()):.2f}",
            str(sum(sparsity == at.sparsity for _, sparsity, _ in comparison.stopped.get(finder, ()))),
        )
        for i, finder in enumerate(comparison.finders)
    ]
    return f"sparsity {at.sparsity:g}\n" + aligned([HEAD, *rows])


def _pairs(comparison: FinderComparison, at: AtSparsity) -> str:
    names = comparison.finders
    jaccard, chance = at.jaccard.nanmean(dim=-1).tolist(), at.chance.nanmean(dim=-1).tolist()
    rows = [
        (name, *("-" if j != j else f"{j:.2f}/{c:.2f}" for j, c in zip(jaccard[i], chance[i], strict=True)))
        for i, name in enumerate(names)
    ]
    return f"Jaccard/chance at equal size, sparsity {at.sparsity:g}\n" + aligned([("", *names), *rows])


def _areas(comparison: FinderComparison) -> list[str]:
    rows = [
        (finder, kind, mean_and_interval(f.kept_area), mean_and_interval(f.without_area))
        for finder, kinds in comparison.faithfulness.items()
        for kind, f in kinds.items()
    ]
    head = ("finder", "ablation", "response kept", "response without")
    return ["faithfulness, areas over log size\n" + aligned([head, *rows])] if rows else []


def _count(flags: Tensor) -> str:
    """How many are 1 of those that are known."""
    known = int((~flags.isnan()).sum())
    return f"{int(flags.nansum())} of {known}" if known else "-"
