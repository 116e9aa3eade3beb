"""Classes of pathways, as integers."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from torch import Tensor

from critpath.errors import InputError, OptionError
from critpath.pathway import Pathway

Labels: TypeAlias = "int | Sequence[int] | Tensor"
"""One class for all samples, or integers [batch]."""

Labelled: TypeAlias = tuple[Pathway, Labels]
"""Pathways of one batch, and their classes."""


def labelled(pathways: Pathway | Iterable[Pathway | Labelled]) -> Iterator[tuple[Pathway, list[int]]]:
    """Pathways of each batch and the classes of its samples, -1 where they come without.

    Raises InputError for anything but pathways of one batch, or an iterable of them or of pairs with their classes.
    """
    if not isinstance(pathways, Iterable | Pathway):
        raise _refused(pathways)
    for item in [pathways] if isinstance(pathways, Pathway) else pathways:
        pathway, labels = _pair(item)
        yield pathway, labels_of(labels, pathway.batch)


def _pair(item: object) -> Labelled:
    if isinstance(item, Pathway):
        return item, -1
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], Pathway):
        return item
    raise _refused(item)


def _refused(item: object) -> InputError:
    return InputError(
        f"an item is {type(item).__name__}; give an iterable of pathways, or of pairs (pathway, classes): "
        "[(pathway, classes)] for one batch"
    )


def labels_of(labels: Labels, batch: int) -> list[int]:
    """One class for each of ``batch`` samples. Raises InputError for anything but integers, one or one for each."""
    given = labels.tolist() if isinstance(labels, Tensor) else labels
    try:
        several = given if isinstance(given, Sequence) else [given] * batch
        found = [operator.index(one) for one in several]
    except TypeError:
        raise InputError(f"classes are integers, one for all pathways or one for each; got {labels!r}") from None
    if len(found) != batch:
        raise InputError(f"{len(found)} classes for {batch} pathways; give one for each")
    return found


def check_class(label: int, known: Sequence[int]) -> None:
    """Raises OptionError for a class that was not seen."""
    if label not in known:
        shown = ", ".join(map(str, known[:8])) + (", …" if len(known) > 8 else "")
        raise OptionError(f"no pathway of class {label} was seen; there are {shown or 'none'}")
