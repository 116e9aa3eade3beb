"""What became of every tensor of a model that was randomised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

from critpath.evaluation.randomisation.parts import Parts
from critpath.evaluation.randomisation.stages import Stage


@dataclass(frozen=True)
class Covered:
    """One parameter or buffer.

    ``stage`` is empty and ``change`` begins with "kept" where it is not randomised; ``differs`` says whether its
    values were others in every repeat, ``used`` whether the forward pass uses it.
    """

    name: str
    also: tuple[str, ...]
    kind: str
    shape: tuple[int, ...]
    stage: str
    change: str
    differs: bool
    used: bool

    @property
    def numbers(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Coverage:
    """Every parameter and buffer, in the order of randomisation and then those that are kept; ``print`` it."""

    rows: tuple[Covered, ...]

    @property
    def parameters(self) -> tuple[Covered, ...]:
        return tuple(row for row in self.rows if row.kind == "parameter")

    @property
    def share(self) -> float:
        """Of the numbers in all parameters, the share in those whose values differ."""
        return _numbers(row for row in self.parameters if row.differs) / max(_numbers(iter(self.parameters)), 1)

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def coverage_of(
    parts: Parts, stages: tuple[Stage, ...], words: Mapping[str, str], differs: Mapping[str, bool]
) -> Coverage:
    """``words`` and ``differs`` by the name of each tensor that was randomised."""
    by_name = {use.name: use for use in parts.uses}
    stage_of = {name: stage.name for stage in stages for name in stage.tensors}
    names = [*stage_of, *(name for name in by_name if name not in stage_of)]
    return Coverage(
        tuple(
            Covered(
                name=name,
                also=by_name[name].also,
                kind=by_name[name].kind,
                shape=by_name[name].shape,
                stage=stage_of.get(name, ""),
                change=words[name] if name in words else parts.reason_kept(by_name[name]),
                differs=differs.get(name, False),
                used=by_name[name].used,
            )
            for name in names
        )
    )


def _numbers(rows: Iterator[Covered]) -> int:
    return sum(row.numbers for row in rows)


def _lines(coverage: Coverage) -> Iterator[str]:
    changed = [row for row in coverage.parameters if row.differs]
    yield (
        f"{len(changed)} of {len(coverage.parameters)} parameters changed, {_numbers(iter(changed)):,} of "
        f"{_numbers(iter(coverage.parameters)):,} numbers"
    )
    width = max((len(_name(row)) for row in coverage.rows), default=0)
    for row in coverage.rows:
        notes = [row.change, *(["values as before"] if row.stage and not row.differs else [])]
        notes += [] if row.used else ["never used in the forward pass"]
        shape = "x".join(map(str, row.shape)) or "1"
        yield f"  {_name(row):<{width}}  {row.kind:<9}  {shape:>14}  {row.stage or '-':<20}  {', '.join(notes)}"


def _name(row: Covered) -> str:
    return " = ".join((row.name, *row.also))
