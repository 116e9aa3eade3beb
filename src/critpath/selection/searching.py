"""What the finders that search have in common: flat values, curves, and how they say where they ended."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from critpath.neurons import NeuronValues
from critpath.options import check_choice, check_count, check_number
from critpath.pathway import Pathway, SearchWarning

__all__ = [
    "Watched",
    "check_choice",
    "check_count",
    "check_number",
    "curves_of",
    "joined",
    "smallest",
    "told",
]

INSIDE = ("critpath", "contextlib")
"""Whose frames are not the user's: this package's, and those of its decorators."""

Watched = Mapping[str, Tensor]
"""What was seen at one step: numbers [batch] by name."""


def joined(values: NeuronValues, like: Tensor) -> Tensor:
    """[batch, neurons] in site order, on the device of ``like`` (sites of one model may lie on several)."""
    return values.flatten(like.device)


def smallest(values: Tensor, candidates: Tensor, count: int) -> Tensor:
    """Booleans [neurons]: the ``count`` candidates of smallest value, of equal ones the last."""
    if count <= 0:
        return torch.zeros_like(candidates)
    threshold = values[candidates].kthvalue(count).values
    below = candidates & (values < threshold)
    ties = (candidates & (values == threshold)).nonzero().flatten()
    below[ties[len(ties) - (count - int(below.sum())) :]] = True
    return below


def curves_of(steps: Sequence[Watched]) -> dict[str, Tensor]:
    """The steps' numbers as curves [steps, batch] by name: float64, on the CPU."""
    names = steps[0] if steps else ()
    return {name: torch.stack([step[name].detach().cpu().double() for step in steps]) for name in names}


def told(pathway: Pathway, quiet: bool = False) -> Pathway:
    """The pathway; warns, at the caller's line, where its search ended elsewhere than asked."""
    search = pathway.search
    if search is not None and not search.met and not quiet:
        said = list(dict.fromkeys(f"sample {i}: {why}" for i, why in enumerate(search.stopped) if why))
        more = f" (and {len(said) - 3} more samples)" if len(said) > 3 else ""
        warnings.warn(f"{search.method} {'; '.join(said[:3])}{more}", SearchWarning, stacklevel=_callers_level())
    return pathway


def _callers_level() -> int:
    """The ``stacklevel``, as seen from the function that asks, of the first frame outside of this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in INSIDE:
        frame, level = frame.f_back, level + 1
    return level
