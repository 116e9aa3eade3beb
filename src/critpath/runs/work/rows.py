"""A function of a batch whose rows may fail one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from critpath.errors import MissingDependencyError, OptionError, StorageError

Values: TypeAlias = Mapping[str, Tensor]
"""Tensors by name, one row an image."""

FATAL = (MemoryError, torch.OutOfMemoryError, StorageError, OptionError, MissingDependencyError)
"""Errors that are not about one image."""

LONGEST = 500


def rowwise(
    function: Callable[..., Values], rows: Sequence[Tensor], bad: Mapping[int, str]
) -> tuple[dict[str, Tensor], dict[int, str]]:
    """What a function of tensors [n, ...] gives, on the CPU, and which rows fail: {row: message}.

    Rows that are ``bad`` already, and those for which the function raises alone, are NaN in the values. Others hold
    what they would in a batch without failures: a good row stands in for a bad one, so that the batch stays as large.
    Where no row is left there are no values. Errors in ``FATAL`` are passed on.
    """
    good = [row for row in range(len(rows[0])) if row not in bad]
    if not good:
        return {}, {}
    found = _attempt(function, _standing_in(rows, good))
    if not isinstance(found, str):
        return _blanked(found, good), {}
    alone = {row: _attempt(function, [tensor[row : row + 1] for tensor in rows]) for row in good}
    failures = {row: value for row, value in alone.items() if isinstance(value, str)}
    singles = {row: value for row, value in alone.items() if not isinstance(value, str)}
    if not singles:
        return {}, failures
    again = _attempt(function, _standing_in(rows, list(singles)))
    values = _assembled(singles, len(rows[0])) if isinstance(again, str) else again
    return _blanked(values, list(singles)), failures


def message_of(error: Exception) -> str:
    """An error on one line."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _attempt(function: Callable[..., Values], rows: Sequence[Tensor]) -> Values | str:
    """The values, or why there are none."""
    try:
        return function(*rows)
    except FATAL:
        raise
    except Exception as error:  # a method or model of the user's raises anything
        return message_of(error)


def _standing_in(rows: Sequence[Tensor], good: Sequence[int]) -> list[Tensor]:
    """The tensors with the first good row in place of those that are not good."""
    chosen = torch.tensor([row if row in set(good) else good[0] for row in range(len(rows[0]))])
    return [tensor[chosen.to(tensor.device)] for tensor in rows]


def _assembled(singles: Mapping[int, Values], n: int) -> dict[str, Tensor]:
    """Rows that were made alone, in place."""
    first = next(iter(singles.values()))
    parts = {name: [singles[row][name] if row in singles else first[name] for row in range(n)] for name in first}
    return {name: torch.cat(tensors) for name, tensors in parts.items()}


def _blanked(values: Values, good: Sequence[int]) -> dict[str, Tensor]:
    """On the CPU, with NaN in the rows that are not good."""
    found = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in values.items()
    }
    for tensor in found.values():
        tensor[[row for row in range(len(tensor)) if row not in set(good)]] = torch.nan
    return found
