"""Which elements compete in a maximum: the windows of max pooling, and maxima over dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from critpath.network.activations import MAXIMA


def windows_of(
    function: str, args: Sequence[Any], kwargs: Mapping[str, Any], given: Tensor, result: Any
) -> Tensor | None:
    """For each element of one sample of ``result`` the elements of one sample of ``given`` that compete for it.

    Flat indices [elements, places], -1 where a window is smaller than others or reaches into the padding. None for
    functions that are no maximum over places of the same sample.
    """
    if not isinstance(result, Tensor) or given.dim() < 2:
        return None
    if function in MAXIMA:
        return _pooling(function, args, kwargs, given, result)
    return _over_dims(args, kwargs, given) if function in ("amax", "max") else None


def _pooling(
    function: str, args: Sequence[Any], kwargs: Mapping[str, Any], given: Tensor, result: Tensor
) -> Tensor | None:
    dims = int(function.partition("pool")[2][0])
    if given.dim() != dims + 2:  # a single image without a batch
        return None
    sizes, outs = given.shape[2:], result.shape[2:]
    if function.startswith("adaptive"):
        tables = [_adaptive(size, out) for size, out in zip(sizes, outs, strict=True)]
    else:
        names = ("kernel_size", "stride", "padding", "dilation")
        options = dict(zip(names, args[1:], strict=False)) | dict(kwargs)
        kernel = _each(options["kernel_size"], dims)
        stride = _each(options.get("stride") or kernel, dims)
        padding, dilation = _each(options.get("padding", 0), dims), _each(options.get("dilation", 1), dims)
        tables = [_strided(*row) for row in zip(sizes, outs, kernel, stride, padding, dilation, strict=True)]
    inside = _joined(tables, sizes).to(given.device)
    channels = torch.arange(given.shape[1], device=given.device).reshape(-1, 1, 1) * sizes.numel()
    return torch.where(inside < 0, -1, inside + channels).flatten(0, 1)


def _each(value: Any, dims: int) -> list[int]:
    values = [int(v) for v in value] if isinstance(value, Sequence) else [int(value)]
    return values * dims if len(values) == 1 else values


def _strided(size: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """[out, kernel] positions along one dimension, -1 outside."""
    places = torch.arange(out).unsqueeze(1) * stride - padding + torch.arange(kernel) * dilation
    return torch.where((places < 0) | (places >= size), -1, places)


def _adaptive(size: int, out: int) -> Tensor:
    starts = torch.arange(out) * size // out
    ends = -(-(torch.arange(out) + 1) * size // out)
    places = starts.unsqueeze(1) + torch.arange(int((ends - starts).max()))
    return torch.where(places < ends.unsqueeze(1), places, -1)


def _joined(tables: list[Tensor], sizes: Sequence[int]) -> Tensor:
    """Tables of each dimension as one: [windows, places], flat over the dimensions."""
    joined, *others = tables
    for table, size in zip(others, sizes[1:], strict=True):
        first, second = joined[:, None, :, None], table[None, :, None, :]
        both = torch.where((first < 0) | (second < 0), -1, first * size + second)
        joined = both.flatten(2).flatten(0, 1)
    return joined


def _over_dims(args: Sequence[Any], kwargs: Mapping[str, Any], given: Tensor) -> Tensor | None:
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    wanted = [dim] if isinstance(dim, int) else list(dim) if isinstance(dim, Sequence) else []
    dims = [d % given.dim() for d in wanted]
    if not dims or 0 in dims:
        return None
    numbers = torch.arange(given[0].numel(), device=given.device).reshape(given.shape[1:])
    moved = numbers.movedim([d - 1 for d in dims], list(range(-len(dims), 0)))
    return moved.flatten(-len(dims)).reshape(-1, moved.flatten(-len(dims)).shape[-1])
