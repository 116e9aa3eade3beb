"""Targets over the classes of the model's output."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from critpath.errors import NumericalError, TargetError
from critpath.network import Run
from critpath.targets.target import Target

Classes: TypeAlias = "int | Sequence[int] | Tensor | None"
"""One class for all samples, one for each, or None for the class that the model predicts."""


@dataclass(frozen=True, eq=False)
class Logit(Target):
    """The output of a class, as the model gives it (a logit, if the model ends without softmax)."""

    classes: Classes = None

    def fixed(self, run: Run) -> Logit:
        return Logit(_settled(self.classes, run))

    def of(self, run: Run) -> Tensor:
        return _pick(class_scores(run), self.classes, run)

    def taken(self, samples: Tensor) -> Logit:
        return Logit(_taken(self.classes, samples))

    @property
    def for_samples(self) -> int | None:
        return _count(self.classes)

    @property
    def follows_prediction(self) -> bool:
        return self.classes is None


@dataclass(frozen=True, eq=False)
class Probability(Target):
    """The softmax probability of a class, in [0, 1]; of the predicted class by default."""

    classes: Classes = None

    def fixed(self, run: Run) -> Probability:
        return Probability(_settled(self.classes, run))

    def of(self, run: Run) -> Tensor:
        return _pick(class_scores(run).softmax(dim=1), self.classes, run)

    def taken(self, samples: Tensor) -> Probability:
        return Probability(_taken(self.classes, samples))

    @property
    def for_samples(self) -> int | None:
        return _count(self.classes)

    @property
    def follows_prediction(self) -> bool:
        return self.classes is None


@dataclass(frozen=True, eq=False)
class Margin(Target):
    """Logit of a class minus that of a foil: why this and not that.

    By default the predicted class against the strongest other one.
    """

    classes: Classes = None
    foil: Classes = None

    def fixed(self, run: Run) -> Margin:
        classes = _settled(self.classes, run)
        if self.foil is not None:
            return Margin(classes, _settled(self.foil, run))
        scores = class_scores(run).detach()
        if scores.shape[1] < 2:
            raise TargetError("a margin needs a foil, and the model has one class only")
        others = scores.scatter(1, classes.unsqueeze(1), float("-inf"))
        return Margin(classes, others.argmax(dim=1))

    def of(self, run: Run) -> Tensor:
        scores = class_scores(run)
        return _pick(scores, self.classes, run) - _pick(scores, self.foil, run)

    def taken(self, samples: Tensor) -> Margin:
        return Margin(_taken(self.classes, samples), _taken(self.foil, samples))

    @property
    def for_samples(self) -> int | None:
        return _count(self.classes) or _count(self.foil)

    @property
    def follows_prediction(self) -> bool:
        return self.classes is None


def class_scores(run: Run) -> Tensor:
    """The model's scores [batch, classes], found in a tensor, a tuple, a mapping or an object with logits.

    A model with one output [batch] counts as having one class. Raises TargetError where there is no such
    tensor, NumericalError where it is not finite.
    """
    scores = _logits(run.output)
    scores = scores.unsqueeze(1) if scores.dim() == 1 else scores
    if scores.dim() != 2 or len(scores) != run.batch or scores.shape[1] == 0:
        raise TargetError(
            f"the model's output is {list(scores.shape)}, which is not [batch={run.batch}, classes]; give a "
            "function of the output that returns one scalar per sample as target"
        )
    if not torch.isfinite(scores).all():
        bad = (~torch.isfinite(scores)).any(dim=1).nonzero().flatten().tolist()
        raise NumericalError(f"the model's output {list(scores.shape)} is NaN or infinite for samples {bad[:8]}")
    return scores


def _logits(output: Any) -> Tensor:
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        named = {str(key): value for key, value in output.items() if isinstance(value, Tensor)}
    elif isinstance(getattr(output, "logits", None), Tensor):
        named = {"logits": output.logits}
    elif isinstance(output, list | tuple):
        named = {str(i): value for i, value in enumerate(output) if isinstance(value, Tensor)}
    else:
        named = {}
    if "logits" in named:
        return named["logits"]
    if len(named) == 1:
        return next(iter(named.values()))
    parts = ", ".join(f"{name} {list(value.shape)}" for name, value in named.items()) or "no tensor"
    raise TargetError(
        f"the model's output is {type(output).__name__} with {parts}, so it is not clear which are the class scores; "
        "give a function of the output that returns one scalar per sample as target"
    )


def _settled(classes: Classes, run: Run) -> Tensor:
    """Classes as integers [batch], checked against the model's output."""
    scores = class_scores(run)
    if classes is None:
        return scores.detach().argmax(dim=1)
    given = _as_integers(classes).to(scores.device)
    given = given.expand(run.batch) if given.dim() == 0 else given
    if given.shape != (run.batch,):
        raise TargetError(f"{len(given)} target classes for {run.batch} samples; give one class, or one for each")
    count = scores.shape[1]
    if ((given < 0) | (given >= count)).any():
        named = sorted(set(given.tolist()))[:8]
        raise TargetError(f"target class {named} is out of range: the model has {count}, 0 to {count - 1}")
    return given


def _as_integers(classes: Any) -> Tensor:
    if isinstance(classes, np.ndarray):
        classes = torch.from_numpy(classes)
    if isinstance(classes, Tensor):
        if classes.is_floating_point() or classes.dtype == torch.bool or classes.dim() > 1:
            raise TargetError(f"target classes are integers [batch], got {classes.dtype} {list(classes.shape)}")
        return classes.long()
    try:
        if isinstance(classes, bool):
            raise TypeError
        if isinstance(classes, Sequence):
            return torch.tensor([operator.index(c) for c in classes], dtype=torch.long)
        return torch.tensor(operator.index(classes))
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TargetError(f"the target is {classes!r}; give an integer class, a Target or a function") from None


def _taken(classes: Classes, samples: Tensor) -> Classes:
    given = None if classes is None else _as_integers(classes)
    return given[samples.to(given.device)] if given is not None and given.dim() else classes


def _count(classes: Classes) -> int | None:
    """How many samples classes are given for; None where they hold for any."""
    given = None if classes is None else _as_integers(classes)
    return len(given) if given is not None and given.dim() else None


def _pick(scores: Tensor, classes: Classes, run: Run) -> Tensor:
    return scores.gather(1, _settled(classes, run).unsqueeze(1)).squeeze(1)
