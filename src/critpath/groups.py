"""Neurons that are counted together: channels, sites, or any groups of them, and one value for each group."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from critpath.errors import MismatchError, OptionError, TargetError
from critpath.neurons import NeuronSpace, NeuronValues, Site, rows
from critpath.targets import Channel, Neuron, row_major

if TYPE_CHECKING:
    from critpath.accuracy import Accuracy

Unit: TypeAlias = "str | Channel | Neuron"
"""A site's name, a pattern (``fnmatch``) of site names, a channel, or a neuron."""

By: TypeAlias = "str | Mapping[str, Unit | Sequence[Unit]] | Sequence[Unit] | None"
"""``"neurons"`` (or None), ``"channels"``, ``"sites"``; units, each a group; or names for units or lists of them."""

Index: TypeAlias = "slice | Tensor"
"""Members at one site, in row-major order: consecutive or evenly spaced neurons, or their numbers."""


@dataclass(frozen=True, eq=False)
class Groups(ABC):
    """Which neurons of ``space`` are counted together. Groups have numbers, from 0, and names.

    Groups made from units may overlap, span sites, and leave neurons out. All tensors of indices are on the CPU.
    """

    space: NeuronSpace

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """``site[channel]``, ``site[3, 4, 5]`` for a neuron, the site's name, or what was given."""

    @property
    @abstractmethod
    def sizes(self) -> Tensor:
        """Neurons in each group: integers [groups]."""

    @property
    @abstractmethod
    def spanning(self) -> Tensor:
        """Whether each group has members at several sites: booleans [groups]."""

    @abstractmethod
    def columns(self, position: int) -> Tensor:
        """Numbers of the groups that have members at a site, ascending."""

    @abstractmethod
    def reduce(self, position: int, values: Tensor) -> Tensor:
        """Sums over each group's members at a site: [n, *shape] to [n, columns]."""

    @abstractmethod
    def mask(self, group: int, position: int) -> Tensor | None:
        """The members of a group at a site: booleans [*shape]; None where it has none."""

    @abstractmethod
    def owners(self, position: int) -> Tensor:
        """For every neuron of a site [*shape], which of ``columns`` it is in; their number where it is in none.

        Raises OptionError where groups overlap.
        """

    def __len__(self) -> int:
        return len(self.sizes)

    def __repr__(self) -> str:
        return f"Groups({len(self):,} of {int(self.sizes.sum()):,} neurons)"


class _Partition(Groups):
    """Every neuron is in one group, which lies in one site; the groups of a site are of one size."""

    @abstractmethod
    def _count(self, site: Site) -> int:
        """Groups at a site."""

    @abstractmethod
    def _label(self, site: Site, number: int) -> str:
        """The name of a site's group."""

    @cached_property
    def _starts(self) -> Tensor:
        return torch.tensor([0, *(self._count(site) for site in self.space)]).cumsum(0)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(self._label(site, number) for site in self.space for number in range(self._count(site)))

    @cached_property
    def sizes(self) -> Tensor:
        each = torch.tensor([site.neurons // self._count(site) for site in self.space])
        return each.repeat_interleave(self._starts.diff())

    @property
    def spanning(self) -> Tensor:
        return torch.zeros(len(self), dtype=torch.bool)

    def columns(self, position: int) -> Tensor:
        return torch.arange(int(self._starts[position]), int(self._starts[position + 1]))

    def mask(self, group: int, position: int) -> Tensor | None:
        number = group - int(self._starts[position])
        inside = 0 <= number < self._count(self.space.sites[position])
        return self.owners(position) == number if inside else None


class _Neurons(_Partition):
    def _count(self, site: Site) -> int:
        return site.neurons

    def _label(self, site: Site, number: int) -> str:
        return _neuron_name(site, site.index_of(number)) if site.shape else site.name

    def reduce(self, position: int, values: Tensor) -> Tensor:
        return rows(values)

    def owners(self, position: int) -> Tensor:
        site = self.space.sites[position]
        return torch.arange(site.neurons).view(site.shape)


class _Channels(_Partition):
    def _count(self, site: Site) -> int:
        return site.channels

    def _label(self, site: Site, number: int) -> str:
        return f"{site.name}[{number}]"

    def reduce(self, position: int, values: Tensor) -> Tensor:
        channel_dim = self.space.sites[position].channel_dim + 1
        positions = [dim for dim in range(1, values.dim()) if dim != channel_dim]
        return values.sum(dim=positions) if positions else rows(values)

    def owners(self, position: int) -> Tensor:
        site = self.space.sites[position]
        if not site.shape:
            return torch.tensor(0)
        spread = [1] * len(site.shape)
        spread[site.channel_dim] = site.channels
        return torch.arange(site.channels).view(spread).expand(site.shape)


class _Sites(_Partition):
    def _count(self, site: Site) -> int:
        return 1

    def _label(self, site: Site, number: int) -> str:
        return site.name

    def reduce(self, position: int, values: Tensor) -> Tensor:
        return rows(values).sum(dim=1, keepdim=True)

    def owners(self, position: int) -> Tensor:
        return torch.zeros(self.space.sites[position].shape, dtype=torch.long)


@dataclass(frozen=True, eq=False)
class _Listed(Groups):
    """Groups that were named one by one; ``members`` are theirs at each site's position."""

    given: tuple[str, ...]
    members: tuple[dict[int, Index], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return self.given

    @cached_property
    def sizes(self) -> Tensor:
        return torch.tensor([sum(map(_width, parts.values())) for parts in self.members])

    @property
    def spanning(self) -> Tensor:
        return torch.tensor([len(parts) > 1 for parts in self.members])

    def columns(self, position: int) -> Tensor:
        return torch.tensor([i for i, parts in enumerate(self.members) if position in parts], dtype=torch.long)

    def reduce(self, position: int, values: Tensor) -> Tensor:
        flat, found = rows(values), self._at(position)
        if all(_width(index) == 1 for index in found):
            return flat[:, [_numbers(index)[0] for index in found]]
        return torch.stack([flat[:, index].sum(dim=1) for index in found], dim=1)

    def mask(self, group: int, position: int) -> Tensor | None:
        index = self.members[group].get(position)
        return None if index is None else _as_mask([index], self.space.sites[position])

    def owners(self, position: int) -> Tensor:
        site, found = self.space.sites[position], self._at(position)
        owners = torch.full((site.neurons,), len(found))
        for number, index in enumerate(found):
            if (owners[index] != len(found)).any():
                raise OptionError(f"groups overlap at site {site.name}, and here a neuron may be in one group only")
            owners[index] = number
        return owners.view(site.shape)

    def _at(self, position: int) -> list[Index]:
        return [parts[position] for parts in self.members if position in parts]


PARTITIONS: dict[str, type[_Partition]] = {"neurons": _Neurons, "channels": _Channels, "sites": _Sites}
"""The groups that have a name of their own."""


def groups_of(by: By, space: NeuronSpace) -> Groups:
    """The groups that ``by`` names.

    Raises OptionError for what is none of ``By``, for an empty group, a pattern without a match or a name given
    twice; MismatchError for a site, TargetError for a channel or neuron that is not there.
    """
    if by is None or isinstance(by, str):
        return _partition(by or "neurons", space)
    named = _named(by, space)
    if not named:
        raise OptionError(f"by={by!r} names no group")
    if twice := [name for name, count in Counter(name for name, _ in named).items() if count > 1]:
        raise OptionError(f"two groups are called {twice[0]!r}; give them names: by={{'name': [units]}}")
    return _Listed(space, tuple(name for name, _ in named), tuple(_members(*one, space) for one in named))


def _partition(name: str, space: NeuronSpace) -> Groups:
    if name not in PARTITIONS:
        raise OptionError(f"by={name!r} is none of {', '.join(PARTITIONS)}; for groups of your own: by=[{name!r}]")
    return PARTITIONS[name](space)


def _named(by: Any, space: NeuronSpace) -> list[tuple[str, Sequence[Unit]]]:
    if isinstance(by, Mapping):
        return [(str(name), _as_list(units)) for name, units in by.items()]
    if isinstance(by, Sequence):
        return [(_unit_name(unit, space), [unit]) for unit in by]
    raise OptionError(
        f"by is {type(by).__name__}; it is {', '.join(PARTITIONS)}, a list of sites, patterns, Channel(site, channel) "
        "and Neuron(site, index), or a mapping from names to such lists"
    )


def _as_list(units: Any) -> Sequence[Unit]:
    return units if isinstance(units, Sequence) and not isinstance(units, str) else [units]


def _unit_name(unit: Any, space: NeuronSpace) -> str:
    if isinstance(unit, Channel):
        return f"{unit.site}[{_channel(unit, space)}]"
    if isinstance(unit, Neuron):
        return _neuron_name(space[unit.site], _coordinates(unit, space))
    return str(unit)


def _neuron_name(site: Site, index: tuple[int, ...]) -> str:
    return f"{site.name}[{', '.join(map(str, index))}]"


def _members(name: str, units: Sequence[Unit], space: NeuronSpace) -> dict[int, Index]:
    """Members of a group at each site's position, each counted once."""
    found: dict[int, list[Index]] = {}
    for unit in units:
        for position, index in _parts(unit, space):
            found.setdefault(position, []).append(index)
    if not found:
        raise OptionError(f"the group {name!r} is empty: give it a site, a pattern, a Channel or a Neuron")
    return {position: _union(found[position], space.sites[position]) for position in sorted(found)}


def _parts(unit: Any, space: NeuronSpace) -> Iterator[tuple[int, Index]]:
    """Positions of the sites where a unit has neurons, and which."""
    if isinstance(unit, Channel):
        yield space.position(unit.site), _channel_index(space[unit.site], _channel(unit, space))
    elif isinstance(unit, Neuron):
        number = row_major(_coordinates(unit, space), space[unit.site].shape)
        yield space.position(unit.site), slice(number, number + 1)
    elif isinstance(unit, str):
        yield from ((p, slice(0, space.sites[p].neurons)) for p in _matching(unit, space))
    else:
        raise OptionError(f"{unit!r} is no site's name or pattern, no Channel(site, channel), no Neuron(site, index)")


def _matching(pattern: str, space: NeuronSpace) -> list[int]:
    if pattern in space or not any(sign in pattern for sign in "*?["):
        return [space.position(pattern)]
    found = [position for position, name in enumerate(space.names) if fnmatchcase(name, pattern)]
    if not found:
        raise OptionError(
            f"the pattern {pattern!r} matches none of the {len(space)} sites: {', '.join(space.names[:8])}"
        )
    return found


def _channel(unit: Channel, space: NeuronSpace) -> int:
    site = space[unit.site]
    return _within(unit.channel, (site.channels,), f"channel {unit.channel} is not in site {site.name}")[0]


def _coordinates(unit: Neuron, space: NeuronSpace) -> tuple[int, ...]:
    site = space[unit.site]
    return _within(unit.index, site.shape, f"neuron {unit.index} is not in site {site.name}")


def _within(index: Any, shape: tuple[int, ...], wrong: str) -> tuple[int, ...]:
    """Coordinates, counted from the start. Raises TargetError where they are not within the shape."""
    try:
        given = tuple(operator.index(i) for i in (index if isinstance(index, Sequence) else [index]))
    except TypeError:
        raise TargetError(f"{wrong}: give integers") from None
    if len(given) != len(shape) or any(not -n <= i < n for i, n in zip(given, shape, strict=True)):
        raise TargetError(f"{wrong}, which has {list(shape)}")
    return tuple(i % n for i, n in zip(given, shape, strict=True))


def _channel_index(site: Site, channel: int) -> Index:
    """A view's slice where the channel's neurons are evenly spaced: channels first, or last."""
    inner = prod(site.shape[site.channel_dim + 1 :])
    if site.neurons == site.channels * inner:
        return slice(channel * inner, (channel + 1) * inner)
    if inner == 1:
        return slice(channel, site.neurons, site.channels)
    return torch.arange(site.neurons).view(site.shape).select(site.channel_dim, channel).flatten()


def _union(parts: list[Index], site: Site) -> Index:
    return parts[0] if len(parts) == 1 else _as_mask(parts, site).flatten().nonzero().flatten()


def _as_mask(parts: list[Index], site: Site) -> Tensor:
    mask = torch.zeros(site.neurons, dtype=torch.bool)
    for index in parts:
        mask[index] = True
    return mask.view(site.shape)


def _numbers(index: Index) -> Sequence[int]:
    return range(index.start, index.stop, index.step or 1) if isinstance(index, slice) else index.tolist()


def _width(index: Index) -> int:
    return len(_numbers(index)) if isinstance(index, slice) else len(index)


@dataclass(frozen=True, eq=False)
class GroupValues:
    """One value per group and sample: ``values`` is [batch, groups]; ``sizes`` [groups] counts their neurons.

    ``error`` says how accurate the values are, where the method estimates that.
    """

    names: tuple[str, ...]
    sizes: Tensor
    values: Tensor
    error: Accuracy | None = None

    def __post_init__(self) -> None:
        groups = len(self.names)
        if self.values.dim() != 2 or self.values.shape[1] != groups or len(self.sizes) != groups:
            raise MismatchError(
                f"{groups} groups take values [batch, {groups}] and as many sizes, got {list(self.values.shape)} and "
                f"{len(self.sizes)}"
            )

    @property
    def batch(self) -> int:
        return len(self.values)

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {name: column for column, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> Tensor:
        """A group's values [batch]. Raises MismatchError for a name that is not here."""
        if name not in self._columns:
            raise MismatchError(f"no group is called {name!r} among the {len(self)}{self._near(name)}")
        return self.values[:, self._columns[name]]

    def __repr__(self) -> str:
        return f"GroupValues(batch={self.batch}, groups={len(self):,}, neurons={int(self.sizes.sum()):,})"

    def of(self, site: str) -> Tensor:
        """The groups that are named after one site, its channels for one: [batch, groups there].

        Raises MismatchError where there is none.
        """
        found = [i for i, name in enumerate(self.names) if name == site or name.startswith(f"{site}[")]
        if not found:
            raise MismatchError(f"none of the {len(self)} groups is named after site {site!r}{self._near(site)}")
        return self.values[:, found]

    def top(self, k: int, sample: int = 0) -> list[tuple[str, float]]:
        """The k groups of largest |value| in one sample, the largest first: names and values."""
        if k < 1:
            raise OptionError(f"k is {k}; at least one group can be asked for")
        one = self.sample(sample).values[0]
        order = one.abs().argsort(descending=True, stable=True)[:k].tolist()
        return [(self.names[i], float(one[i])) for i in order]

    def sample(self, index: int) -> GroupValues:
        """The values of one sample, as a batch of one."""
        if not -self.batch <= index < self.batch:
            raise MismatchError(f"there is no sample {index} in a batch of {self.batch}")
        index %= self.batch
        error = None if self.error is None else self.error.sample(index)
        return GroupValues(self.names, self.sizes, self.values[index : index + 1], error)

    def _near(self, name: str) -> str:
        close = get_close_matches(str(name), self.names[:100_000], n=3) or self.names[:3]
        return f"; there are {', '.join(close)}"


def grouped(values: NeuronValues, groups: Groups, absolute: bool = False) -> GroupValues:
    """Sums over each group's members of the signed values, or of their magnitudes. The estimate of error is kept.

    Raises MismatchError where the two belong to different networks.
    """
    if difference := values.space.difference(groups.space):
        raise MismatchError(f"the groups are of another network or input shape: {difference}")
    tensors = (tensor.abs() for tensor in values.tensors) if absolute else iter(values.tensors)
    sums = _summed([groups.reduce(position, tensor) for position, tensor in enumerate(tensors)], groups)
    return GroupValues(groups.names, groups.sizes, sums, values.error)


def _summed(parts: Sequence[Tensor], groups: Groups) -> Tensor:
    """[n, groups] from the sums [n, columns] at each site."""
    first = max(parts, key=lambda part: torch.finfo(part.dtype).bits)
    total = first.new_zeros(len(first), len(groups))
    for position, part in enumerate(parts):
        total[:, groups.columns(position)] += part.to(total)
    return total
