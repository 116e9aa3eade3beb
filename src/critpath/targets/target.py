"""What a target is, and targets made of others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from critpath.errors import TargetError
from critpath.network import Run


class Target(ABC):
    """One scalar per sample of a run. ``a + b``, ``a - b``, ``2 * a`` and ``-a`` are targets too."""

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

    @property
    def for_samples(self) -> int | None:
        """How many samples it is made for; None where any number will do."""
        return None

    @property
    def follows_prediction(self) -> bool:
        """Whether what it asks for is only known once the model has predicted a class."""
        return False

    def __add__(self, other: Target) -> Target:
        return Combined(((1.0, self), (1.0, other))) if isinstance(other, Target) else NotImplemented

    def __sub__(self, other: Target) -> Target:
        return Combined(((1.0, self), (-1.0, other))) if isinstance(other, Target) else NotImplemented

    def __mul__(self, weight: float) -> Target:
        return Combined(((weight, self),)) if isinstance(weight, int | float) else NotImplemented

    __rmul__ = __mul__

    def __neg__(self) -> Target:
        return Combined(((-1.0, self),))


@dataclass(frozen=True, eq=False)
class Combined(Target):
    """A weighted sum of targets: pairs of a finite weight and a target."""

    terms: tuple[tuple[float, Target], ...]

    def __post_init__(self) -> None:
        if not self.terms or not all(isfinite(weight) for weight, _ in self.terms):
            raise TargetError(f"a sum of targets has finite weights, got {[weight for weight, _ in self.terms]}")
        _same_count(target for _, target in self.terms)

    def fixed(self, run: Run) -> Combined:
        return Combined(tuple((weight, target.fixed(run)) for weight, target in self.terms))

    def of(self, run: Run) -> Tensor:
        first, *rest = (weight * target.of(run) for weight, target in self.terms)
        return sum((term.to(first) for term in rest), start=first)

    def taken(self, samples: Tensor) -> Combined:
        return Combined(tuple((weight, target.taken(samples)) for weight, target in self.terms))

    @property
    def any_batch(self) -> bool:
        return all(target.any_batch for _, target in self.terms)

    @property
    def for_samples(self) -> int | None:
        return _same_count(target for _, target in self.terms)

    @property
    def follows_prediction(self) -> bool:
        return any(target.follows_prediction for _, target in self.terms)


@dataclass(frozen=True, eq=False)
class Each(Target):
    """A target of its own for every sample; each one holds for any sample, or for all of them in order."""

    targets: tuple[Target, ...]

    def fixed(self, run: Run) -> Each:
        self._check(run)
        return Each(tuple(target.fixed(run) for target in self.targets))

    def of(self, run: Run) -> Tensor:
        self._check(run)
        values = [target.of(run)[i] for i, target in enumerate(self.targets)]
        return torch.stack([value.to(values[0]) for value in values])

    def taken(self, samples: Tensor) -> Each:
        return Each(tuple(self.targets[i].taken(samples) for i in samples.tolist()))

    @property
    def any_batch(self) -> bool:
        return all(target.any_batch for target in self.targets)

    @property
    def for_samples(self) -> int:
        return len(self.targets)

    @property
    def follows_prediction(self) -> bool:
        return any(target.follows_prediction for target in self.targets)

    def _check(self, run: Run) -> None:
        if len(self.targets) != run.batch:
            raise TargetError(f"{len(self.targets)} targets for {run.batch} samples; give one for each")


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


def _same_count(targets: Iterable[Target]) -> int | None:
    """The number of samples that targets are made for. Raises TargetError where they differ."""
    counts = {count for target in targets if (count := target.for_samples) is not None}
    if len(counts) > 1:
        raise TargetError(f"targets made for {' and '.join(map(str, sorted(counts)))} samples cannot be added")
    return next(iter(counts), None)
