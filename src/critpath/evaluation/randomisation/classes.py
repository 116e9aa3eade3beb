"""Which class of each image is explained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from critpath.errors import NumericalError, TargetError
from critpath.network.state import untouched
from critpath.options import shown


def explained_classes(model: nn.Module, x: Tensor, target: Tensor | Sequence[int] | int | None) -> Tensor:
    """One class for each sample, int64 [n] where ``x`` is; by default what the model predicts. Raises TargetError."""
    if target is None:
        return predicted(model, x)
    try:
        given = torch.as_tensor(target, device=x.device)
    except (TypeError, ValueError, RuntimeError):
        raise TargetError(f"the target is {shown(target)}; give one class, or one for each sample") from None
    if given.is_floating_point() or given.dtype == torch.bool or tuple(given.shape) not in ((), (len(x),)):
        raise TargetError(
            f"the target is {given.dtype} {list(given.shape)}; give one class, or one for each of {len(x)} samples"
        )
    return given.long().expand(len(x)).clone()


def predicted(model: nn.Module, x: Tensor) -> Tensor:
    """The class with the largest score, int64 [n]. Raises TargetError, NumericalError."""
    with untouched(dict(model.named_modules())), torch.no_grad():
        output = model(x.detach().clone())
    scores = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != len(x):
        what = f"of shape {list(scores.shape)}" if isinstance(scores, Tensor) else f"of type {type(output).__name__}"
        raise TargetError(
            f"the model's output is {what}, not class scores [{len(x)}, classes]: give the classes as target"
        )
    if not torch.isfinite(scores).all():
        raise NumericalError(f"the model's scores {list(scores.shape)} hold NaN or infinity, so no class is predicted")
    return scores.argmax(dim=1)
