"""Models inside wrappers: what is unwrapped, what is refused, and the mode a model has to be in."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from critpath.errors import ModelError, TrainingModeError, UnsupportedModelError
from critpath.network.state import Modules


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside torch.compile, DataParallel or DistributedDataParallel; others as they are.

    Raises UnsupportedModelError for models whose activations cannot be seen from Python.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(f"a torch.nn.Module is needed, got {type(model).__name__}; wrap a function in a module")
    if isinstance(model, DataParallel | DistributedDataParallel):
        return unwrapped(model.module)
    inside = getattr(model, "_orig_mod", None)
    if isinstance(inside, nn.Module):
        return unwrapped(inside)
    _refuse_hidden(model)
    return model


def _refuse_hidden(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, DataParallel | DistributedDataParallel):
            raise UnsupportedModelError(f"{name} is a {type(module).__name__} inside the model: put its .module there")
        if isinstance(module, torch.jit.ScriptModule):
            raise UnsupportedModelError(
                f"{name or 'the model'} is a TorchScript module ({type(module).__name__}): its activations run "
                "outside Python and cannot be seen. Give the nn.Module it was scripted or traced from."
            )
        if "FullyShardedDataParallel" in type(module).__name__ or type(module).__name__.startswith("FSDP"):
            raise UnsupportedModelError(
                f"{name or 'the model'} is sharded ({type(module).__name__}): gather it into one nn.Module first."
            )
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise UnsupportedModelError("the model was made in torch.inference_mode and has no gradients: make it outside")
    if any(parameter.is_meta for parameter in model.parameters()) and not _is_offloaded(model):
        raise UnsupportedModelError("the model's parameters are on the meta device: load its weights first.")


def _is_offloaded(model: nn.Module) -> bool:
    """Whether accelerate brings the weights when a module runs, and takes them away again."""
    return any(hasattr(module, "_hf_hook") for module in model.modules())


def check_mode(modules: Modules, allow_training: bool) -> None:
    """Raises TrainingModeError where a module is in training mode, unless that was asked for."""
    if allow_training:
        return
    training = [name or type(module).__name__ for name, module in modules.items() if module.training]
    if training:
        raise TrainingModeError(
            f"the model or a part of it is in training mode ({', '.join(training[:3])}{', …' * (len(training) > 3)}): "
            "dropout and batch statistics would make the response random. Call model.eval() first, or ask for it "
            "with Network(model, allow_training=True)."
        )


@contextmanager
def eager() -> Iterator[None]:
    """Inside, whatever torch.compile has wrapped runs uncompiled, so that its activations are seen."""
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with warnings.catch_warnings(), torch.compiler.set_stance("force_eager"):
        warnings.filterwarnings("ignore", message="Using `torch.compile")  # it minds that hooks see the wrapper too
        yield
