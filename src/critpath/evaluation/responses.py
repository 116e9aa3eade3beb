"""Responses of a model that is a plain callable: class scores, the predicted classes, one number an image."""

from __future__ import annotations

import torch
from torch import Tensor

from critpath.errors import InputError, OptionError, TargetError
from critpath.evaluation.values import Model, check_model
from critpath.options import check_choice, check_count

RESPONSES = ("probability", "logit")
"""The softmax probability of the target's class, or its logit."""

AT_ONCE = {"cpu": 1 << 21, "cuda": 1 << 25}
"""Numbers in one batch of inputs beyond which nothing gets faster."""

MOST_ROWS = 1024
"""Inputs in one batch, however small they are."""


def rows_of(x: Tensor, batch: int | None) -> int:
    """How many inputs like ``x`` [n, ...] go through a model at once: ``batch``, or a number for their size.

    Raises OptionError, InputError where there is no input.
    """
    if not len(x):
        raise InputError(f"the inputs are {list(x.shape)}: there is no image among them")
    if batch is None:
        return max(1, min(AT_ONCE.get(x.device.type, 1 << 23) // max(1, x[0].numel()), MOST_ROWS))
    check_count("batch", batch, 1)
    return batch


@torch.no_grad()
def class_scores(model: Model, x: Tensor) -> Tensor:
    """What the model gives, [n, classes]. Raises InputError where it gives something else."""
    scores = model(x)
    if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != len(x):
        given = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise InputError(
            f"the model gives {given} for inputs {list(x.shape)}; evaluations take a callable that gives class scores "
            f"[{len(x)}, classes]: wrap the model in one"
        )
    return scores


def responses(model: Model, x: Tensor, target: Tensor, kind: str = "probability", highest: int | None = None) -> Tensor:
    """The response [n] to each input of its class ``target`` int64 [n], float64; see ``RESPONSES``.

    ``highest`` is the highest class, where it is known: asking a GPU for it would wait for all that runs there.

    Raises OptionError (also for the probability of the only class, which is always 1), InputError, TargetError where
    a class is not among those of the model.
    """
    check_choice("response", kind, RESPONSES)
    scores = class_scores(model, x).double()
    if kind == "probability" and scores.shape[1] == 1:
        raise OptionError("the model gives one score an image, whose softmax is always 1: take response='logit'")
    last = int(target.max()) if highest is None else highest
    if last >= scores.shape[1]:
        raise TargetError(f"target names class {last}; the model has {scores.shape[1]}, from 0")
    values = scores.softmax(dim=1) if kind == "probability" else scores
    return values.gather(1, target.unsqueeze(1)).squeeze(1)


def classes_of(model: Model, x: Tensor, target: Tensor | int | None, rows: int) -> Tensor:
    """The classes int64 [n] that were given, one for all or for each, or with None those that the model predicts.

    Raises TargetError for another shape or type, or a negative class; OptionError, TrainingModeError for the model.
    """
    check_model(model)
    if target is None:
        return torch.cat([class_scores(model, part).argmax(dim=1) for part in torch.split(x, rows)])
    given = torch.full((len(x),), target) if type(target) is int else target
    if not isinstance(given, Tensor) or not _are_classes(given, len(x)):
        said = f"{given.dtype} {list(given.shape)}" if isinstance(given, Tensor) else type(target).__name__
        raise TargetError(f"target is {said}; it is one class from 0 for each input, int64 [{len(x)}], or None")
    return given.to(x.device, torch.int64)


def _are_classes(given: Tensor, n: int) -> bool:
    whole = not given.is_floating_point() and given.dtype != torch.bool
    return given.shape == (n,) and whole and not bool((given < 0).any())
