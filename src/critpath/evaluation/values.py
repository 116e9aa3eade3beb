"""What every evaluation is given: a model and an explanation, both of them plain callables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from critpath.errors import InputError, NumericalError, OptionError, TrainingModeError
from critpath.options import check_type, shown

Model: TypeAlias = Callable[[Tensor], Tensor]
"""Inputs [n, C, H, W] -> class scores [n, classes], before softmax."""

Explain: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Inputs [n, C, H, W] and classes [n] -> maps [n, C, H, W], [n, 1, H, W] or [n, H, W]."""


def explained(explain: Explain, x: Tensor, target: Tensor) -> Tensor:
    """The maps of an explanation, checked; see ``checked_maps``. Raises OptionError for what cannot be called."""
    if not callable(explain):
        raise OptionError(
            f"explain is {shown(explain)}; it is a function of inputs and classes that gives maps, for instance "
            "critpath.explainer(net, 'gradient')"
        )
    return checked_maps(explain(x, target), x)


def check_model(model: object) -> None:
    """Raises OptionError for what cannot be called, TrainingModeError for a module in training mode."""
    if not callable(model):
        raise OptionError(f"the model is {shown(model)}; it is a callable that gives class scores, a module for one")
    if isinstance(model, nn.Module) and any(module.training for module in model.modules()):
        raise TrainingModeError(
            "the model or a part of it is in training mode: dropout and batch statistics would make the response "
            "random. Call model.eval() first"
        )


def checked_maps(maps: Tensor, x: Tensor) -> Tensor:
    """Maps as [n, C, H, W] or [n, 1, H, W], detached, where the inputs [n, C, H, W] are.

    Raises InputError for another shape, NumericalError (with the samples) for NaN or infinity.
    """
    check_type("maps", maps, Tensor)
    check_type("x", x, Tensor)
    if x.dim() != 4:
        raise InputError(f"the inputs are {list(x.shape)}; evaluations take images [n, channels, height, width]")
    found = maps.detach().to(x.device)
    found = found.unsqueeze(1) if found.dim() == 3 else found
    n, channels, *size = x.shape
    if found.shape not in ((n, channels, *size), (n, 1, *size)):
        raise InputError(
            f"the maps are {list(maps.shape)}, the inputs {list(x.shape)}: give one map an input, [n, height, width] "
            "or shaped like the inputs"
        )
    finite = torch.isfinite(found).flatten(1).all(dim=1)
    if not finite.all():
        bad = (~finite).nonzero().flatten().tolist()
        raise NumericalError(f"the maps {list(maps.shape)} hold NaN or infinity, at samples {bad[:8]}")
    return found
