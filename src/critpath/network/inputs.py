"""What a model is called with: a tensor, a tuple of positional arguments, or a mapping of keyword ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from critpath.errors import InputError
from critpath.neurons import all_finite

ModelInput = Any
"""A tensor [batch, ...], a tuple or list of arguments, or a mapping of keyword arguments."""


def call_arguments(x: ModelInput) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments. Raises InputError for anything that is none of the three forms."""
    if isinstance(x, Tensor):
        return (x,), {}
    if isinstance(x, Mapping):
        return (), {str(key): value for key, value in x.items()}
    if isinstance(x, Sequence) and not isinstance(x, str | bytes):
        return tuple(x), {}
    raise InputError(
        f"the input is {type(x).__name__}; give a tensor [batch, ...], a tuple of positional arguments, "
        f"or a mapping of keyword arguments{' (of Tokens their .x)' * hasattr(x, 'x')}"
    )


def tensors_of(x: ModelInput) -> list[Tensor]:
    """The tensors among the arguments, in order."""
    args, kwargs = call_arguments(x)
    return [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]


def tokens_of(x: ModelInput) -> Tensor | None:
    """The integers by which embeddings are looked up: ``input_ids``, or the first ones; None where there are none."""
    named = x.get("input_ids") if isinstance(x, Mapping) else None
    candidates = [named] if isinstance(named, Tensor) else tensors_of(x)
    return next((t for t in candidates if not t.is_floating_point() and t.dtype != torch.bool), None)


def map_tensors(x: ModelInput, function: Callable[[Tensor], Any]) -> Any:
    """The same structure with ``function`` applied to every tensor; other arguments unchanged."""
    if isinstance(x, Tensor):
        return function(x)
    if isinstance(x, Mapping):
        return {key: function(v) if isinstance(v, Tensor) else v for key, v in x.items()}
    return tuple(function(v) if isinstance(v, Tensor) else v for v in x)


def batch_size(x: ModelInput) -> int:
    """Samples in the input: the first dimension of its first tensor."""
    found = tensors_of(x)
    if not found:
        raise InputError("the input holds no tensor, so there is no batch to explain")
    if found[0].dim() == 0 or len(found[0]) == 0:
        raise InputError(
            f"the input's first tensor has shape {list(found[0].shape)}; its first dimension must count "
            "samples, one at least (x.unsqueeze(0) makes a batch of one)"
        )
    return len(found[0])


def sample_of(x: ModelInput, index: int) -> ModelInput:
    """One sample as a batch of one; tensors whose first dimension is not the batch are shared."""
    batch = batch_size(x)

    def pick(tensor: Tensor) -> Tensor:
        return tensor[index : index + 1] if tensor.dim() and len(tensor) == batch else tensor

    return map_tensors(x, pick)


def samples_of(x: ModelInput, samples: Tensor) -> ModelInput:
    """The samples [n] in this order, repeats allowed; tensors whose first dimension is not the batch are shared."""
    batch = batch_size(x)

    def pick(tensor: Tensor) -> Tensor:
        return tensor[samples.to(tensor.device)] if tensor.dim() and len(tensor) == batch else tensor

    return map_tensors(x, pick)


def of_another_size(x: ModelInput) -> tuple[ModelInput, int]:
    """The first sample alone, or twice where it is alone already; and how many samples that makes."""
    if batch_size(x) > 1:
        return sample_of(x, 0), 1
    return map_tensors(x, lambda t: torch.cat([t, t]) if t.dim() and len(t) == 1 else t), 2


def check_finite(x: ModelInput) -> None:
    """Raises InputError where a floating-point input holds NaN, or the first one infinity (a mask may)."""
    for number, tensor in enumerate(tensors_of(x)):
        if not tensor.is_floating_point() or all_finite(tensor):
            continue
        bad = int((~torch.isfinite(tensor) if number == 0 else tensor.isnan()).sum())
        if bad:
            raise InputError(
                f"the input's tensor {number}, of shape {list(tensor.shape)}, holds {bad} values that are NaN "
                "or infinite; check the preprocessing"
            )


def describe(x: ModelInput) -> str:
    """Shapes, dtypes and devices, for messages."""
    args, kwargs = call_arguments(x)
    named = [*((str(i), v) for i, v in enumerate(args)), *kwargs.items()]
    return ", ".join(f"{name}: {_describe_one(value)}" for name, value in named)


def _describe_one(value: object) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)} on {value.device}"
