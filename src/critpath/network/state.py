"""Whatever a forward pass may change of a model, put back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import nn

Modules = dict[str, nn.Module]
"""A model's modules by name, as ``dict(model.named_modules())``: listed once a run, for everyone."""


@contextmanager
def untouched(modules: Modules) -> Iterator[None]:
    """Inside, parameters are frozen and gradients are on; on every exit all is as it was before.

    Restored: requires_grad flags, training modes, buffers (their values, and which tensor they are), the
    random states of torch (every device), numpy and Python, and the caller's gradient mode.
    """
    parameters = parameters_of(modules)
    with ExitStack() as stack:
        stack.enter_context(gradients_on())
        stack.enter_context(_random_state())
        stack.enter_context(_modes(modules))
        stack.enter_context(_buffers(modules))
        stack.enter_context(_frozen(parameters))
        yield


@contextmanager
def gradients_on() -> Iterator[None]:
    """Inside, autograd records, whatever no_grad or inference_mode the caller is in."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def parameters_of(modules: Modules) -> list[nn.Parameter]:
    """Every parameter; one that is shared may appear more than once."""
    return [p for module in modules.values() for p in module._parameters.values() if p is not None]


@contextmanager
def _frozen(parameters: list[nn.Parameter]) -> Iterator[None]:
    before = [(parameter, parameter.requires_grad) for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, flag in before:
            if parameter.requires_grad != flag:
                parameter.requires_grad_(flag)


@contextmanager
def _modes(modules: Modules) -> Iterator[None]:
    before = [(module, module.training) for module in modules.values()]
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


@contextmanager
def _buffers(modules: Modules) -> Iterator[None]:
    """The model runs on copies, which the graph may keep; afterwards it has its own buffers again, unwritten.

    A buffer that the model also holds under a plain attribute is written there, as in a run without critpath.
    """
    before = [(module, dict(module._buffers)) for module in modules.values() if module._buffers]
    copies = {id(b): b.detach().clone() for _, buffers in before for b in buffers.values() if b is not None}
    try:
        for module, buffers in before:
            module._buffers.update({name: copies[id(b)] for name, b in buffers.items() if b is not None})
        yield
    finally:
        for module, buffers in before:
            module._buffers.clear()
            module._buffers.update(buffers)


@contextmanager
def _random_state() -> Iterator[None]:
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    python, legacy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
