"""What is explained: from a model's output to one scalar per sample, the response."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from critpath.errors import NumericalError, TargetError
from critpath.network import Run
from critpath.neurons import rows

Classes: TypeAlias = "int | Sequence[int] | Tensor | None"
"""One class for all samples, one for each, or None for the class that the model predicts."""


class Target(ABC):
    """One scalar per sample of a run."""

    @abstractmethod
    def fixed(self, run: Run) -> Target:
        """The same target with everything that depends on the prediction settled on this run."""

    @abstractmethod
    def of(self, run: Run) -> Tensor:
        """The response [batch], in the graph of the run."""

    def taken(self, samples: Tensor) -> Target:
        """The (settled) target for a batch made of these samples [n], in this order."""
        return self

    @property
    def any_batch(self) -> bool:
        """Whether ``taken`` makes it fit a batch of other samples."""
        return True


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


@dataclass(frozen=True, eq=False)
class Neuron(Target):
    """One hidden neuron's activation: a site by name, and coordinates within one sample's shape."""

    site: str
    index: tuple[int, ...] | int

    def fixed(self, run: Run) -> Neuron:
        return self

    def of(self, run: Run) -> Tensor:
        values = run.activation(self.site)
        shape = values.shape[1:]
        index = _coordinates(self.index)
        if len(index) != len(shape) or any(not -n <= i < n for i, n in zip(index, shape, strict=True)):
            raise TargetError(f"neuron {self.index} is not in site {self.site}, whose shape is {list(shape)}")
        return rows(values)[:, row_major(index, shape)]


@dataclass(frozen=True, eq=False)
class Channel(Target):
    """The mean activation of one hidden channel over its positions."""

    site: str
    channel: int

    def fixed(self, run: Run) -> Channel:
        return self

    def of(self, run: Run) -> Tensor:
        site = run.space[self.site]
        (channel,) = _coordinates(self.channel) or (0,)
        if not -site.channels <= channel < site.channels:
            raise TargetError(f"channel {self.channel} is not in site {site.name}, which has {site.channels}")
        values = run.activation(self.site)
        return rows(values.select(site.channel_dim + 1, channel) if site.shape else values).mean(dim=1)


@dataclass(frozen=True, eq=False)
class Custom(Target):
    """Any function of the model's output that returns one scalar per sample, differentiably.

    It may hold one thing per sample (labels, say), so it is only ever asked about the whole batch, in order.
    """

    function: Callable[[Any], Tensor]

    @property
    def any_batch(self) -> bool:
        return False

    def fixed(self, run: Run) -> Custom:
        return self

    def of(self, run: Run) -> Tensor:
        try:
            value = self.function(run.output)
        except Exception as error:
            raise TargetError(f"the target function raised {type(error).__name__}: {error}") from error
        if not isinstance(value, Tensor) or value.shape != (run.batch,):
            got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise TargetError(f"the target function must return one scalar per sample, [{run.batch}]; it gave {got}")
        return value


TargetLike: TypeAlias = "Target | Classes | Callable[[Any], Tensor]"


def _coordinates(index: Any) -> tuple[int, ...]:
    """One integer or several, of any integer type. Raises TargetError for anything else."""
    try:
        parts = tuple(index) if isinstance(index, Sequence) else (index,)
        return tuple(operator.index(part) for part in parts)
    except TypeError:
        raise TargetError(f"a place in a site is an integer or several, got {index!r}") from None


def row_major(index: Sequence[int], shape: Sequence[int]) -> int:
    """Position of coordinates, which may count from the end, in row-major order."""
    flat = 0
    for i, n in zip(index, shape, strict=True):
        flat = flat * n + i % n
    return flat


def as_target(target: TargetLike) -> Target:
    """A class (or None, or one class per sample), a Target, or a function of the model's output."""
    if isinstance(target, Target):
        return target
    if callable(target) and not isinstance(target, Tensor):
        return Custom(target)
    if isinstance(target, str):
        raise TargetError(f"the target {target!r} is a string; give the number of a class")
    return Logit(target)


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
    return classes[samples.to(classes.device)] if isinstance(classes, Tensor) and classes.dim() else classes


def _pick(scores: Tensor, classes: Classes, run: Run) -> Tensor:
    return scores.gather(1, _settled(classes, run).unsqueeze(1)).squeeze(1)
