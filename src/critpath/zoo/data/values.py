"""A data set: pictures or inputs by number, with their labels, read when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import torch
from PIL import Image
from torch import Tensor

from critpath.errors import CritpathError, InputError, OptionError
from critpath.options import check_count
from critpath.zoo.preprocess import Preprocess

Picture: TypeAlias = "Image.Image | Tensor"
"""A picture, which preprocessing makes an input, or an input [C, H, W] as it is."""


@dataclass(frozen=True, eq=False)
class DataSet:
    """Images by number, from 0.

    ``read`` gives one image, and raises where it cannot be read. ``labels`` int64 [n], -1 where an image has none;
    None where no image has. ``classes`` names the labels, ``ids`` each image (its file, or its number in the source).
    ``raw`` gives what an image is made from, by which a change of it is noticed; where it is None that is ``read``.
    """

    name: str
    ids: Sequence[str]
    read: Callable[[int], Picture]
    labels: Tensor | None = None
    classes: tuple[str, ...] | None = None
    raw: Callable[[int], Path | bytes | Picture] | None = None

    def __post_init__(self) -> None:
        if self.labels is not None and self.labels.shape != (len(self.ids),):
            raise InputError(
                f"{self.name} has {len(self.ids)} images and labels {list(self.labels.shape)}; give one for each"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        known = "no labels" if self.labels is None else "labels"
        return f"DataSet({self.name!r}, {len(self):,} images, {known})"

    def inputs(self, indices: Sequence[int], preprocess: Preprocess | None = None) -> tuple[Tensor, dict[int, str]]:
        """Inputs [len(indices), C, H, W], and why some could not be had: {index: message}; their rows are NaN.

        Where none could be had the tensor is [len(indices), 0]. Raises OptionError where these are pictures and there
        is no ``preprocess``, InputError where the inputs' shapes differ.
        """
        found: list[Tensor | None] = []
        failures: dict[int, str] = {}
        for index in indices:
            try:
                found.append(self._input(index, preprocess))
            except _UnreadableError as error:
                found.append(None)
                failures[int(index)] = str(error)
        return _stacked(found), failures

    def taken(self, indices: Sequence[int]) -> DataSet:
        """The data set of these images, in this order."""
        order, read, raw = list(indices), self.read, self.raw or self.read
        labels = None if self.labels is None else self.labels[torch.tensor(order, dtype=torch.int64)]
        ids = [self.ids[i] for i in order]
        return replace(self, ids=ids, read=lambda i: read(order[i]), labels=labels, raw=lambda i: raw(order[i]))

    def _input(self, index: int, preprocess: Preprocess | None) -> Tensor:
        try:
            picture = self.read(int(index))
            if isinstance(picture, Tensor):
                return _finite(picture)
            if preprocess is not None:
                return preprocess(picture)
        except (MemoryError, OptionError):
            raise
        except CritpathError as error:
            raise _UnreadableError(f"{self.ids[index]}: {error}") from error
        except Exception as error:  # decoders raise anything on damaged data
            raise _UnreadableError(f"{self.ids[index]}: {type(error).__name__}: {error}") from error
        raise OptionError(
            f"{self.name} holds pictures, and how they become inputs is not known: let the model come with its "
            "preprocessing, (model, critpath.zoo.Preprocess(resize=256, crop=224)), or give the data as float arrays"
        )


class _UnreadableError(Exception):
    """One image cannot be had."""


def selected(data: DataSet, *, start: int = 0, limit: int | None = None, shuffle: int | None = None) -> DataSet:
    """The images ``start`` to ``start + limit``, after they were shuffled by the seed ``shuffle``.

    Raises OptionError for a number out of its range, or where no image is left.
    """
    check_count("start", start, 0)
    if limit is not None:
        check_count("limit", limit, 1)
    if shuffle is not None:
        check_count("shuffle", shuffle, 0)
    order = list(range(len(data))) if shuffle is None else _shuffled(len(data), shuffle)
    chosen = order[start : None if limit is None else start + limit]
    if not chosen:
        raise OptionError(f"start is {start}, and {data.name} has {len(data):,} images: none is left")
    return data if chosen == list(range(len(data))) else data.taken(chosen)


def _shuffled(count: int, seed: int) -> list[int]:
    return [int(i) for i in torch.randperm(count, generator=torch.Generator().manual_seed(seed))]


def _finite(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        raise InputError(f"the input is {tensor.dtype}; it is a floating-point tensor")
    if not torch.isfinite(tensor).all():
        raise InputError("the input holds NaN or infinity")
    return tensor


def _stacked(found: Sequence[Tensor | None]) -> Tensor:
    """The tensors as one, with NaN in place of those that are missing."""
    there = [tensor for tensor in found if tensor is not None]
    if not there:
        return torch.empty(len(found), 0)
    if len(shapes := {tuple(tensor.shape) for tensor in there}) > 1:
        raise InputError(f"the inputs have different shapes: {sorted(shapes)}; a batch takes one")
    blank = torch.full_like(there[0], torch.nan)
    return torch.stack([blank if tensor is None else tensor for tensor in found])
