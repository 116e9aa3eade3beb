"""Numbers of a comparison -> rows of the page."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import torch
from torch import Tensor

from critpath.analysis import AtSparsity, Faithfulness, FinderComparison
from critpath.comparison.plan import CONTROLS, Plan
from critpath.intervals import bootstrap_interval
from critpath.report import (
    ComparedLevel,
    Curves,
    Estimate,
    Finder,
    FinderCurve,
    FinderRow,
    Pair,
    SiteOverlap,
)

MEANINGS = {"zero": "zero", "mean": "their mean over these images", "resample": "those of another image"}
"""What neurons that do not act are set to, in words."""


def estimate(values: Tensor) -> Estimate:
    """The mean of [images] without NaN, and its interval where there are two or more."""
    low, high = bootstrap_interval(values)
    return Estimate(float(values.double().nanmean()), float(low), float(high))


def finders_of(found: FinderComparison, plan: Plan, unit: float) -> tuple[Finder, ...]:
    """Each finder's cost; ``unit`` is the seconds that a forward and backward pass of one image take."""
    seconds = found.seconds.mean(dim=1).tolist()
    return tuple(
        Finder(name, name in CONTROLS, plan.settings(name), spent, spent / unit if unit else nan)
        for name, spent in zip(found.finders, seconds, strict=True)
    )


def levels_of(found: FinderComparison, titles: Sequence[str]) -> tuple[ComparedLevel, ...]:
    """All finders at every sparsity."""
    return tuple(ComparedLevel(at.sparsity, tuple(_rows(found, at, titles))) for at in found.at)


def _rows(found: FinderComparison, at: AtSparsity, titles: Sequence[str]) -> list[FinderRow]:
    return [
        FinderRow(
            finder=name,
            realised=estimate(at.realised[i]),
            dead=estimate(at.dead[i]),
            class_kept=int(at.keeps_class[i].nansum()),
            class_known=int((~at.keeps_class[i].isnan()).sum()),
            connected=estimate(at.connected[i]),
            outside=estimate(at.nesting[i]),
            alone=estimate(at.kept[i]),
            stopped=_stopped(found, name, at.sparsity, titles),
        )
        for i, name in enumerate(found.finders)
    ]


def _stopped(found: FinderComparison, finder: str, sparsity: float, titles: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        f"{titles[image] if image < len(titles) else f'image {image + 1}'}: {why}"
        for image, at, why in found.stopped.get(finder, ())
        if at == sparsity
    )


def overlap_of(at: AtSparsity) -> tuple[tuple[Pair, ...], ...]:
    """Every finder against every other, at equal realised size."""
    count = len(at.realised)
    return tuple(
        tuple(
            Pair(estimate(at.jaccard[i, j]), float(at.chance[i, j].nanmean()), float(at.compared[i, j].nanmean()))
            for j in range(count)
        )
        for i in range(count)
    )


def site_overlap_of(found: FinderComparison, at: AtSparsity) -> tuple[SiteOverlap, ...]:
    """Every finder but the first against the first, site by site."""
    return tuple(
        SiteOverlap(name, tuple(at.site_jaccard[0, i].tolist()), tuple(at.site_chance[0, i].tolist()))
        for i, name in enumerate(found.finders)
        if i
    )


def curves_of(found: FinderComparison, ablations: Sequence[str]) -> tuple[Curves, ...]:
    """The curves of all finders that rank, for each kind of ablation."""
    kinds = [(kind, [name for name in found.finders if kind in found.faithfulness.get(name, {})]) for kind in ablations]
    return tuple(
        Curves(
            MEANINGS[kind],
            tuple(found.faithfulness[names[0]][kind].sizes.tolist()),
            tuple(_curve(name, found.faithfulness[name][kind]) for name in names),
        )
        for kind, names in kinds
        if names
    )


def _curve(name: str, curves: Faithfulness) -> FinderCurve:
    return FinderCurve(
        name, _columns(curves.kept), _columns(curves.without), estimate(curves.kept_area), estimate(curves.without_area)
    )


def _columns(values: Tensor) -> tuple[Estimate, ...]:
    """Means and intervals of [images, sizes] at every size."""
    low, high = bootstrap_interval(values.T)
    known = torch.nanmean(values.double(), dim=0)
    return tuple(Estimate(*row) for row in zip(known.tolist(), low.tolist(), high.tolist(), strict=True))
