"""Named methods: what they are called, what they promise, and how many passes they take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from critpath.errors import OptionError

if TYPE_CHECKING:
    from critpath.neurons import NeuronSpace

Passes = int | Callable[["NeuronSpace"], int]
F = TypeVar("F", bound=Callable[..., Any])
G = TypeVar("G", bound=Callable[..., Any])


@dataclass(frozen=True)
class Method(Generic[F]):
    """One registered method.

    ``forwards`` and ``backwards`` are passes through the whole network for one batch, or functions of the
    space that give them (reruns of a part count as parts); ``copies`` is how many values the size of all
    neurons it holds beside the graph (doctor's predictions are made of these).
    ``zero_if_dead`` promises that a neuron whose activation is 0 scores exactly 0.
    """

    name: str
    function: F
    forwards: Passes
    backwards: Passes
    copies: int = 1
    zero_if_dead: bool = False

    def passes(self, space: NeuronSpace) -> tuple[int, int]:
        """Forward and backward passes by default, on this space."""
        forwards, backwards = (p if isinstance(p, int) else p(space) for p in (self.forwards, self.backwards))
        return forwards, backwards

    def options(self) -> tuple[str, ...]:
        """Names of the keyword options that the method takes."""
        parameters = signature(self.function).parameters.values()
        return tuple(p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY)

    def check_options(self, given: Mapping[str, object]) -> None:
        """Raises OptionError for an option that the method does not take."""
        for name in given:
            if name not in self.options():
                takes = ", ".join(self.options()) or "no options"
                raise OptionError(f"{self.name} does not take the option {name!r}; it takes {takes}")


@dataclass
class Registry(Generic[F]):
    """The methods of one family (``noun``), in the order in which they were registered."""

    noun: str
    methods: dict[str, Method[F]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        FAMILIES.append(self)

    def register(self, name: str, **promises: Any) -> Callable[[G], G]:
        """Decorator that makes a function available under ``name``."""

        def add(function: G) -> G:
            self.methods[name] = Method(name, cast(F, function), **promises)
            return function

        return add

    def __getitem__(self, name: str) -> Method[F]:
        check_known(self.noun, name, self.names())
        return self.methods[name]

    def __iter__(self) -> Iterator[Method[F]]:
        return iter(self.methods.values())

    def names(self) -> tuple[str, ...]:
        return tuple(self.methods)


def check_known(noun: str, name: str, known: Sequence[str]) -> None:
    """Raises OptionError for a name that is not known, with the closest one that is."""
    if name not in known:
        close = get_close_matches(str(name), known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise OptionError(f"no {noun} is called {name!r}.{hint} There are: {', '.join(known)}.")


FAMILIES: list[Registry[Any]] = []
