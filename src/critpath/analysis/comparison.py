"""Pathways of several finders on the same inputs: what they are made of, share, and keep of the response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from critpath.analysis.faithfulness import Faithfulness, joined
from critpath.analysis.table import comparison_table
from critpath.errors import InputError, MismatchError
from critpath.neurons import NeuronSpace

__all__ = ["AtSparsity", "Faithfulness", "FinderComparison", "merged"]


@dataclass(frozen=True, eq=False)
class AtSparsity:
    """Several finders' pathways at one requested sparsity, over all images.

    ``realised``, ``dead``, ``keeps_class`` (0 or 1, NaN where there is no class) and ``connected`` are [finders,
    images], shares; so is ``kept``, the response when only the pathway acts and all other neurons are zero, as a share
    of the way from the network without neurons to the network. ``jaccard``, ``chance`` and ``compared`` are [finders,
    finders, images]: the pair's Jaccard at equal realised size, what chance gives at these sizes, and the share of
    neurons that both were cut to (NaN where sizes differ and neither can be cut). ``site_jaccard`` and ``site_chance``
    [finders, finders, sites] are means over images of the per-site Jaccard and of its chance level, ``site_counted``
    over how many (a site where both are empty does not count). ``nesting`` [finders, images]: the share of this
    pathway that is not on the finder's pathway of the next lower sparsity, NaN at the lowest.
    """

    sparsity: float
    realised: Tensor
    dead: Tensor
    keeps_class: Tensor
    kept: Tensor
    connected: Tensor
    jaccard: Tensor
    chance: Tensor
    compared: Tensor
    site_jaccard: Tensor
    site_chance: Tensor
    site_counted: Tensor
    nesting: Tensor


@dataclass(frozen=True, eq=False)
class FinderComparison:
    """Several finders over many images, one ``AtSparsity`` for each sparsity, ascending.

    ``seconds`` [finders, images] is the time that each finder took. ``base_dead`` [images] is the share of all neurons
    that are dead. ``stopped``: for each finder, (image, sparsity, why) of every search that ended elsewhere than asked.
    ``faithfulness`` has one entry for each finder that can rank, per kind of ablation asked for. Comparisons of the
    same finders on other images are joined by ``+``.
    """

    space: NeuronSpace
    finders: tuple[str, ...]
    images: int
    base_dead: Tensor
    at: tuple[AtSparsity, ...]
    seconds: Tensor
    stopped: dict[str, tuple[tuple[int, float, str], ...]]
    faithfulness: dict[str, dict[str, Faithfulness]]

    @property
    def sparsities(self) -> tuple[float, ...]:
        """Those asked for, ascending."""
        return tuple(at.sparsity for at in self.at)

    def __add__(self, other: FinderComparison) -> FinderComparison:
        return merged([self, other])

    def __str__(self) -> str:
        return comparison_table(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, strings, lists and mappings for JSON; None stands for NaN. Sites by their names."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "space"}
        return {"sites": list(self.space.names), "neurons": self.space.neurons, **_plain(own)}


def merged(parts: Sequence[FinderComparison]) -> FinderComparison:
    """Comparisons of the same finders on several batches of images, one after the other.

    Raises InputError where there is none, MismatchError where finders, sparsities or networks differ.
    """
    if not parts:
        raise InputError("there is no comparison to merge: the list is empty")
    for part in parts[1:]:
        _check_alike(parts[0], part)
    first = parts[0]
    return FinderComparison(
        space=first.space,
        finders=first.finders,
        images=sum(part.images for part in parts),
        base_dead=torch.cat([part.base_dead for part in parts]),
        at=tuple(_merged_at(row) for row in zip(*(part.at for part in parts), strict=True)),
        seconds=torch.cat([part.seconds for part in parts], dim=-1),
        stopped=_merged_stops(parts),
        faithfulness={
            finder: {kind: joined([part.faithfulness[finder][kind] for part in parts]) for kind in kinds}
            for finder, kinds in first.faithfulness.items()
        },
    )


OVER_SITES = ("site_jaccard", "site_chance", "site_counted")


def _merged_at(parts: Sequence[AtSparsity]) -> AtSparsity:
    names = [f.name for f in fields(AtSparsity) if f.name not in ("sparsity", *OVER_SITES)]
    per_image = {name: torch.cat([getattr(part, name) for part in parts], dim=-1) for name in names}
    counted = torch.stack([part.site_counted for part in parts])
    means = {name: _mean_over([getattr(part, name) for part in parts], counted) for name in OVER_SITES[:2]}
    return AtSparsity(parts[0].sparsity, **per_image, **means, site_counted=counted.sum(dim=0))


def _mean_over(means: Sequence[Tensor], counted: Tensor) -> Tensor:
    """The mean over all images of means over ``counted`` [parts, ...] images each."""
    sums = (torch.stack(list(means)) * counted).where(counted > 0, 0).sum(dim=0)
    return sums / counted.sum(dim=0)


def _merged_stops(parts: Sequence[FinderComparison]) -> dict[str, tuple[tuple[int, float, str], ...]]:
    """Images of later parts count on from those before."""
    starts = [sum(part.images for part in parts[:i]) for i in range(len(parts))]
    return {
        finder: tuple(
            (start + image, sparsity, why)
            for start, part in zip(starts, parts, strict=True)
            for image, sparsity, why in part.stopped.get(finder, ())
        )
        for finder in parts[0].finders
    }


def _check_alike(first: FinderComparison, other: FinderComparison) -> None:
    if difference := first.space.difference(other.space):
        raise MismatchError(f"comparisons of different networks or input shapes cannot be merged: {difference}")
    for name, a, b in (
        ("finders", first.finders, other.finders),
        ("sparsities", first.sparsities, other.sparsities),
        ("faithfulness curves", _curves(first), _curves(other)),
    ):
        if a != b:
            raise MismatchError(f"comparisons of different {name} cannot be merged: {a} against {b}")


def _curves(comparison: FinderComparison) -> dict[str, list[str]]:
    return {finder: sorted(kinds) for finder, kinds in comparison.faithfulness.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, AtSparsity | Faithfulness):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return None if isinstance(value, float) and value != value else value
