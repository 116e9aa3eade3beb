"""Which integers of a running model are the input's tokens, and what embeddings find for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

LOOKUPS = frozenset({"embedding", "__getitem__", "index_select"})
"""Functions that may look tokens up in a table."""

ONE_BY_ONE = frozenset(
    {"clone", "detach", "contiguous", "to", "type", "long", "int", "cpu", "cuda"}
    | {"clamp", "clip", "clamp_min", "clamp_max", "add", "sub", "mul", "remainder", "masked_fill", "where"}
)
"""Functions that give one integer for each integer, so that tokens stay in their places."""


@dataclass(frozen=True, eq=False)
class Lookup:
    """What a model found for the tokens of its input.

    ``module`` is the one that looked them up; ``values`` [*tokens.shape, features], 0 for tokens that it did not look
    up; ``padding`` the token that the embedding counts as padding, None where it names none.
    """

    module: str
    values: Tensor
    padding: int | None


class Places:
    """For memory that holds tokens, the number of the token at each place of it.

    So a view, a slice or a copy of the tokens is known as such, and position or type indices are not taken for tokens
    that they equal.
    """

    def __init__(self, tokens: Tensor | None) -> None:
        self.tokens = tokens
        self._numbers: dict[int, Tensor] = {}
        self._kept: list[Tensor] = []  # so that no memory is given to others
        if tokens is not None:
            self.note(tokens, self.all)

    @property
    def all(self) -> Tensor:
        """The numbers of all tokens, shaped like them."""
        assert self.tokens is not None
        return torch.arange(self.tokens.numel(), device=self.tokens.device).view(self.tokens.shape)

    def of(self, indices: object) -> Tensor | None:
        """Which token each of these is, shaped like them; None where they are no tokens."""
        if not isinstance(indices, Tensor) or indices.is_floating_point() or (memory := _memory(indices)) is None:
            return None
        numbers = self._numbers.get(memory.data_ptr())
        return None if numbers is None else _as(numbers, indices)

    def looked_up(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
        """Which tokens a call looks up, shaped like its indices; None where it looks up none."""
        if self.tokens is None or name not in LOOKUPS:
            return None
        return self.of(_indices(name, args, kwargs))

    def follow(self, name: str, args: Sequence[Any], result: object) -> None:
        """Takes note of tokens that were copied, cast, or changed one by one."""
        if self.tokens is None or name not in ONE_BY_ONE or not isinstance(result, Tensor) or _memory(result) is None:
            return
        sources = args if name == "where" else args[:1]
        places = next((found for one in sources if (found := self.of(one)) is not None), None)
        if places is not None and places.shape == result.shape and not result.is_floating_point():
            self.note(result, places)

    def note(self, held: Tensor, places: Tensor) -> None:
        """Takes note that these integers stand for the tokens at ``places``."""
        memory = _memory(held)
        if memory is None:
            return
        numbers = torch.zeros(memory.nbytes() // held.itemsize, dtype=torch.long, device=held.device)
        _as(numbers, held).copy_(places)
        self._numbers[memory.data_ptr()] = numbers
        self._kept.append(held)

    def gathered(self, found: Tensor, places: Tensor) -> Tensor:
        """What was found at ``places`` [*places.shape, features], for all tokens: [*tokens.shape, features]."""
        if self._is_all(places):
            return found
        every = found.new_zeros(self.all.numel(), *found.shape[places.dim() :])
        every = every.index_put((places.flatten(),), found.flatten(0, places.dim() - 1))
        return every.view(*self.all.shape, *every.shape[1:])

    def handed(self, values: Tensor, places: Tensor) -> Tensor:
        """The inverse of ``gathered``: the values of the tokens at ``places``."""
        return values if self._is_all(places) else values.flatten(0, self.all.dim() - 1)[places]

    def _is_all(self, places: Tensor) -> bool:
        return torch.equal(places, self.all)


def padding_of(kwargs: Mapping[str, Any]) -> int | None:
    """The padding token that a call of an embedding names."""
    padding = kwargs.get("padding_idx")
    return padding if isinstance(padding, int) and padding >= 0 else None


def _indices(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> object:
    """Of ``F.embedding(indices, table)``, ``torch.embedding(table, indices)``, ``table[indices]`` and so on."""
    if name == "embedding":
        given = [*args, *kwargs.values()]
        return next((one for one in given if isinstance(one, Tensor) and not one.is_floating_point()), None)
    if name == "index_select":
        return args[2] if len(args) > 2 and args[1] == 0 else None
    index = args[1] if len(args) > 1 else None
    return index[0] if isinstance(index, tuple) and len(index) == 1 else index


def _as(numbers: Tensor, like: Tensor) -> Tensor:
    return numbers.as_strided(like.shape, like.stride(), like.storage_offset())


def _memory(tensor: Tensor) -> Any:
    """The storage of a tensor; None where it has none (sparse, or wrapped by a function transform), or is empty."""
    try:
        memory = tensor.untyped_storage()
        return memory if memory.data_ptr() else None
    except (RuntimeError, NotImplementedError):
        return None
