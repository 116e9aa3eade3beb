"""What of a model is randomised: its tensors by name, written in place and put back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from critpath.errors import UnsupportedModelError
from critpath.network import Use, gradients_on, parameter_usage
from critpath.network.usage import named_tensors

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Parts:
    """A model, the use of every tensor in it, and those that are randomised, by name."""

    model: nn.Module
    uses: tuple[Use, ...]
    changing: Tensors

    def reason_kept(self, use: Use) -> str:
        """Why a tensor stays as it is; empty where it is randomised."""
        if use.name in self.changing:
            return ""
        return "kept: a buffer" if use.kind == "buffer" else "kept: not floating-point"


def parts_of(model: nn.Module, x: Tensor, reset: bool) -> Parts:
    """Randomised are all floating-point parameters; with ``reset``, running statistics too. One input shows their use.

    Raises UnsupportedModelError where a parameter holds no values, and what ``parameter_usage`` raises.
    """
    uses = parameter_usage(model, x[:1] if isinstance(x, Tensor) else x)
    named = named_tensors(model)
    tensors = {use.name: named[use.name][1] for use in uses}
    changing = {use.name: tensors[use.name] for use in uses if _changes(model, use, tensors[use.name], reset)}
    if meta := [name for name, tensor in changing.items() if tensor.is_meta]:
        raise UnsupportedModelError(f"{meta[0]} is on the meta device and holds no values: load the model whole first")
    return Parts(model, uses, changing)


@contextmanager
def restoring(tensors: Tensors) -> Iterator[Tensors]:
    """Gives copies of the tensors; on every exit the tensors hold these values again, bit for bit."""
    with gradients_on():
        saved = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    try:
        yield saved
    finally:
        write(tensors, saved)


def write(tensors: Tensors, values: Tensors) -> None:
    """Writes each of the values in place, whatever device and type the tensor of that name has."""
    with gradients_on(), torch.no_grad():
        for name, value in values.items():
            tensors[name].copy_(value)


def owner(model: nn.Module, name: str) -> nn.Module:
    """The module that holds the tensor of this name."""
    return model.get_submodule(name.rpartition(".")[0])


def _changes(model: nn.Module, use: Use, tensor: Tensor, reset: bool) -> bool:
    if use.kind == "buffer":
        return reset and callable(getattr(owner(model, use.name), "reset_running_stats", None))
    return tensor.is_floating_point() or tensor.is_complex()
