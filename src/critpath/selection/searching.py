"""What the finders that search have in common: flat values, curves, and how they say where they ended."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from math import isfinite

import torch
from torch import Tensor

from critpath.errors import OptionError
from critpath.neurons import NeuronSpace, NeuronValues, rows
from critpath.pathway import Pathway, SearchWarning

INSIDE = ("critpath", "contextlib")
"""Whose frames are not the user's: this package's, and those of its decorators."""

Watched = Mapping[str, Tensor]
"""What was seen at one step: numbers [batch] by name."""


def joined(values: NeuronValues, like: Tensor) -> Tensor:
    """[batch, neurons] in site order, on the device of ``like`` (sites of one model may lie on several)."""
    return torch.cat([rows(tensor).to(like.device) for tensor in values.tensors], dim=1)


def parted(space: NeuronSpace, flat: Tensor) -> NeuronValues:
    """Flat values [batch, neurons] as [batch, *shape] per site."""
    parts = torch.split(flat, [site.neurons for site in space], dim=1)
    shaped = (part.reshape(len(flat), *site.shape) for site, part in zip(space, parts, strict=True))
    return NeuronValues(space, tuple(shaped))


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


def check_number(name: str, value: object, low: float, high: float, *, above: bool = False) -> None:
    """Raises OptionError unless the option is a finite number in [low, high], or in (low, high] with ``above``."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if not fits or not low <= value <= high or (above and value == low):  # type: ignore[operator]
        start = f"above {low:g}" if above else f"at least {low:g}"
        raise OptionError(f"{name} is {value!r}; it is a number, {start}" + (f" and at most {high:g}" * isfinite(high)))


def check_count(name: str, value: object, low: int) -> None:
    """Raises OptionError unless the option is a whole number, at least ``low``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise OptionError(f"{name} is {value!r}; it is a whole number, at least {low}")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raises OptionError unless the option is one of the choices."""
    if value not in choices:
        raise OptionError(f"{name} is {value!r}; it is one of {', '.join(choices)}")
