"""Which integers of a running model are the input's tokens, and what embeddings find for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

LOOKUPS = frozenset({"embedding", "__getitem__", "index_select"})
"""Functions that may look tokens up in a table."""

REARRANGING = frozenset(
    {"__get__", "__getitem__", "__iter__", "chunk", "clone", "contiguous", "cpu", "cuda", "detach", "diagonal"}
    | {"expand", "expand_as", "flatten", "flip", "fliplr", "flipud", "gather", "index_select", "int", "long"}
    | {"masked_select", "movedim", "narrow", "permute", "ravel", "repeat", "repeat_interleave", "reshape", "reshape_as"}
    | {"roll", "rot90", "select", "split", "squeeze", "swapaxes", "t", "take_along_dim", "tensor_split", "tile", "to"}
    | {"transpose", "type", "type_as", "unbind", "unflatten", "unfold", "unsqueeze", "view", "view_as"}
)
"""Functions that put the elements of their first argument elsewhere."""

JOINING = frozenset({"cat", "concat", "concatenate", "hstack", "stack", "vstack"})
"""Functions that put the elements of several arguments together."""

REPLACING = frozenset({"masked_fill", "where"})
"""Functions that put other integers in the place of some tokens."""

ONE_BY_ONE = frozenset(
    {"__add__", "__mod__", "__mul__", "__radd__", "__rmul__", "__sub__", "add", "clamp", "clamp_max", "clamp_min"}
    | {"clip", "maximum", "minimum", "mul", "remainder", "sub"}
)
"""Functions that change tokens in their places."""

WRITING = frozenset({"__setitem__", "copy_"})
"""Functions that write elements into their first argument; others in place leave tokens in their places."""

OTHER = -1
"""In place of a token's number, at integers that are no token of the input."""


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
    """For integers that come from the input's tokens, the number of the token at each place.

    What the model does to its tokens is done to their numbers, too: a view, a copy or a shift is known as such, and
    positions that merely equal the tokens are not taken for them.
    """

    def __init__(self, tokens: Tensor | None) -> None:
        self.tokens = tokens
        self._known: dict[int, tuple[Tensor, Tensor | None]] = {}  # the tensor, too, so that its identity stays its own
        if tokens is not None:
            self.note(tokens, self.all.clone())

    @cached_property
    def all(self) -> Tensor:
        """The numbers of all tokens, shaped like them."""
        assert self.tokens is not None
        return torch.arange(self.tokens.numel(), device=self.tokens.device).view(self.tokens.shape)

    def looked_up(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
        """Which tokens a call looks up, shaped like its indices; None where it looks up none."""
        indices = _indices(name, args, kwargs) if name in LOOKUPS and self._known else None
        return self._told(indices) if isinstance(indices, Tensor) else None

    def mixes(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether a call looks up integers that were made of tokens in a way that does not tell them apart."""
        indices = _indices(name, args, kwargs) if name in LOOKUPS and self._known else None
        return isinstance(indices, Tensor) and self._holds(indices) and self._told(indices) is None

    def note(self, held: Tensor, numbers: Tensor | None) -> None:
        """Take note of which tokens a tensor holds; None where they cannot be told apart."""
        self._known[id(held)] = (held, numbers)

    def follow(
        self, name: str, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
    ) -> Any:
        """Do to the tokens' numbers what a call did to tokens. Returns what the call gives, to be handed on."""
        given = list(result) if name == "__iter__" else result
        if not self._known or not self._takes(name, (args, kwargs)):
            return iter(given) if name == "__iter__" else result
        if name in WRITING:
            self._written(name, func, args, kwargs)
        elif not _in_place(name) and next(_tensors(given), None) is not None:
            numbers = self._numbers(name, func, args, kwargs, given)
            for one, own in zip(_tensors(given), numbers, strict=False):
                if own is not None or not (one.is_floating_point() or one.dtype == torch.bool):
                    self.note(one, own)
        return iter(given) if name == "__iter__" else result

    def gathered(self, found: Tensor, places: Tensor) -> Tensor | None:
        """What was found at ``places`` [*places.shape, features], for all tokens: [*tokens.shape, features].

        None where different things were found for one token.
        """
        if self._is_all(places):
            return found
        own = places != OTHER
        every = found.new_zeros(self.all.numel(), *found.shape[places.dim() :])
        every = every.index_put((places[own],), found[own])
        whole = every.view(*self.all.shape, *every.shape[1:])
        return whole if torch.equal(every[places[own]], found[own]) else None

    def handed(self, values: Tensor, places: Tensor, found: Tensor) -> Tensor:
        """The inverse of ``gathered``: the values of the tokens at ``places``, and elsewhere what was found."""
        if self._is_all(places):
            return values
        own = (places != OTHER).view(*places.shape, *[1] * (found.dim() - places.dim()))
        return torch.where(own, values.flatten(0, self.all.dim() - 1)[places.clamp(min=0)], found)

    def _is_all(self, places: Tensor) -> bool:
        return torch.equal(places, self.all)

    def _takes(self, name: str, given: Any) -> bool:
        """Whether a call takes the tokens themselves, not only their shape or type."""
        tensors = list(_tensors(given))
        if name.startswith("new_") or name.endswith("_like"):
            return False
        return any(self._holds(one) for one in (tensors[:1] if name.endswith("_as") else tensors))

    def _numbers(
        self, name: str, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
    ) -> Sequence[Tensor | None]:
        """For each tensor of a result, the numbers of its tokens; None where they cannot be told apart."""
        if name == "pad":
            return [self._padded(*args, **kwargs)]
        sources = [one for one in _tensors((args, kwargs)) if self._holds(one)]
        if any(self._told(one) is None for one in sources):
            return [None for _ in _tensors(result)]
        if name in ONE_BY_ONE and len(sources) == 1 and isinstance(result, Tensor):
            return [self._or_same(sources[0]).expand(result.shape).clone()]
        if name in REARRANGING and len(sources) == 1 and sources[0] is next(_tensors((args, kwargs))):
            moved = func(*_mapped(args, self._or_same), **_mapped(kwargs, self._or_same))
        elif name in JOINING:
            moved = func(*_mapped(args, self._or_other), **_mapped(kwargs, self._or_other))
        elif name in REPLACING:
            moved = func(*_mapped(args, self._or_other, OTHER), **_mapped(kwargs, self._or_other, OTHER))
        else:
            return [None for _ in _tensors(result)]
        return [one.long() for one in _tensors(list(moved) if name == "__iter__" else moved)]

    def _padded(self, given: Tensor, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Tensor | None:
        numbers = self._told(given)
        return None if numbers is None or mode != "constant" else F.pad(numbers, list(pad), value=OTHER)

    def _written(self, name: str, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        into, *where, value = (*args, *kwargs.values()) if name == "__setitem__" else args[:2]
        if not self._holds(into):
            self._begin(into)
        numbers = self._told(into)
        told = not isinstance(value, Tensor) or not self._holds(value) or self._told(value) is not None
        if numbers is not None and told:
            func(numbers, *where, self._or_other(value) if isinstance(value, Tensor) else OTHER)
        else:
            self.note(into, None)

    def _begin(self, into: Tensor) -> None:
        """Takes note that a tensor, and the one that it is a view of, holds no tokens yet."""
        whole = into._base if into._is_view() and into._base is not None else into
        numbers = torch.full_like(whole, OTHER, dtype=torch.long)
        self.note(whole, numbers)
        if whole is not into:
            self.note(into, numbers.as_strided(into.shape, into.stride(), into.storage_offset()))

    def _holds(self, one: Tensor) -> bool:
        return id(one) in self._known

    def _told(self, one: Tensor) -> Tensor | None:
        return self._known[id(one)][1] if self._holds(one) else None

    def _or_same(self, one: Tensor) -> Tensor:
        numbers = self._told(one)
        return one if numbers is None else numbers

    def _or_other(self, one: Tensor) -> Tensor:
        """The numbers of tokens; masks, which choose elements, as they are; for other integers that they are none."""
        numbers = self._told(one)
        if numbers is not None or one.dtype == torch.bool:
            return one if numbers is None else numbers
        return torch.full_like(one, OTHER, dtype=torch.long)


def padding_of(kwargs: Mapping[str, Any]) -> int | None:
    """The padding token that a call of an embedding names."""
    padding = kwargs.get("padding_idx")
    return padding if isinstance(padding, int) and padding >= 0 else None


def _indices(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> object:
    """Of ``F.embedding(indices, table)``, ``torch.embedding(table, indices)``, ``table[indices]`` and so on."""
    if name == "embedding":
        return next((one for one in _tensors((args, kwargs)) if not one.is_floating_point()), None)
    if name == "index_select":
        return args[2] if len(args) > 2 and args[1] == 0 else None
    index = args[1] if len(args) > 1 else None
    whole = isinstance(index, tuple) and index and all(part in (slice(None), ...) for part in index[1:])
    return index[0] if isinstance(index, tuple) and whole else index


def _in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__")


def _tensors(values: Any) -> Iterator[Tensor]:
    """The tensors among values, in lists, tuples and mappings too."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple | Mapping):
        for value in values.values() if isinstance(values, Mapping) else values:
            yield from _tensors(value)


def _mapped(values: Any, function: Callable[[Tensor], Tensor], number: int | None = None) -> Any:
    """The same values with ``function`` of every tensor, and ``number``, where it is given, for every number."""
    if isinstance(values, Tensor):
        return function(values)
    if isinstance(values, Mapping):
        return {name: _mapped(value, function, number) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return type(values)(_mapped(value, function, number) for value in values)
    return number if number is not None and isinstance(values, int | float) else values
