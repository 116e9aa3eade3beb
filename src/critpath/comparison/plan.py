"""What is compared, checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from critpath.analysis import default_sizes
from critpath.analysis.cuts import takes_seed
from critpath.errors import OptionError
from critpath.selection import check_finder, check_sparsity

CONTROLS = ("random", "magnitude")
"""Finders that are always compared with."""

Progress = Callable[[int, str], None]
"""Told how many steps are done and what is done next; ``step_count`` says how many there are."""


@dataclass(frozen=True)
class Plan:
    """Finders by their labels, with their options; the main sparsity, all sparsities, and the sizes of the curves."""

    finders: Mapping[str, str]
    options: Mapping[str, Mapping[str, Any]]
    sparsity: float
    sparsities: tuple[float, ...]
    sizes: tuple[float, ...]
    seed: int

    def options_of(self, finder: str) -> dict[str, Any]:
        """What the finder is called with, its seed included."""
        seeded = {"seed": self.seed} if takes_seed(self.finders[finder]) else {}
        return {**seeded, **self.options.get(finder, {})}

    def settings(self, finder: str) -> str:
        """What was set for a finder, in words."""
        return ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
                         for name, value in self.options.get(finder, {}).items())  # fmt: skip


def plan_of(
    finders: Sequence[str] | Mapping[str, str],
    sparsity: float,
    sparsities: Iterable[float] | float = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    sizes: Sequence[float] | None = None,
    seed: int = 0,
) -> Plan:
    """The plan, with the controls added and every sparsity's size among the curves' sizes. Raises OptionError."""
    if isinstance(finders, str) or not finders:
        raise OptionError(f"finders are {finders!r}; give a list of names, such as ['taylor', 'greedy']")
    own = dict(finders) if isinstance(finders, Mapping) else {name: name for name in finders}
    named = own | {name: name for name in CONTROLS if name not in own}
    given = dict(options or {})
    for label, method in named.items():
        check_finder(method, given.get(label, {}))
    for label in given:
        if label not in named:
            raise OptionError(
                f"there are options for {label!r}, which is not compared; the finders are {', '.join(named)}"
            )
    more = (sparsities,) if isinstance(sparsities, int | float) else tuple(sparsities)
    levels = tuple(sorted({sparsity, *more}))
    for level in levels:
        check_sparsity(level)
    return Plan(named, given, sparsity, levels, _sizes(sizes, levels), seed)


def _sizes(sizes: Sequence[float] | None, sparsities: Sequence[float]) -> tuple[float, ...]:
    """Shares of neurons, ascending; those of the pathways themselves are among them."""
    given = default_sizes().tolist() if sizes is None else list(sizes)
    own = [round(1 - sparsity, 12) for sparsity in sparsities]
    apart = [size for size in given if all(abs(size - one) > 1e-9 for one in own)]
    return tuple(sorted({*apart, *own}))
