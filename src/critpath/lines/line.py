"""Lines: the ways from a baseline to the input along which gradients are integrated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from critpath.baselines import Start
from critpath.errors import ForwardError, MismatchError
from critpath.network import Run, dual
from critpath.neurons import NeuronSpace, wide
from critpath.response import Above, Response

Tensors = tuple[Tensor, ...]

Point = tuple[int, float]
"""A sample's number and α."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One point: activations y, gradients g and, if asked for, slopes dy/dα of one sample, [*shape] per site."""

    y: Tensors
    g: Tensors
    slope: Tensors


@dataclass(frozen=True, eq=False)
class Memory:
    """Points of a line that were evaluated: some whole, and the watched neurons of all."""

    held: dict[Point, Seen] = field(default_factory=dict)
    watched: dict[Point, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict)

    def clear(self, keep: bool = False) -> None:
        """Forget all, unless they are to be kept."""
        if not keep:
            self.held.clear()
            self.watched.clear()


class Line(ABC):
    """Points α of a line, 0 at the baseline and 1 at the input, for every sample of a response.

    ``alphas`` and ``samples`` are [n]: row i asks for the point alphas[i] of the line of sample samples[i].
    """

    response: Response
    memory: Memory

    @property
    @abstractmethod
    def space(self) -> NeuronSpace:
        """The sites whose neurons are looked at."""

    @abstractmethod
    def at(self, alphas: Tensor, samples: Tensor) -> tuple[Tensors, Tensors]:
        """Activations y and gradients dΦ/dy, at least float32: [n, *shape] per site."""

    @abstractmethod
    def slopes(self, alphas: Tensor, samples: Tensor) -> Tensors:
        """dy/dα: [n, *shape] per site."""

    @abstractmethod
    def values(self) -> Tensors:
        """Activations at the input, [batch, *shape] per site, in the model's own dtype."""

    @abstractmethod
    def end(self) -> tuple[Tensors, Tensors]:
        """Activations and gradients at the input, α = 1, which the run that is explained has: as ``at`` gives them."""

    @property
    @abstractmethod
    def change(self) -> Tensor:
        """Φ at the input minus Φ at the baseline: [batch]."""

    @property
    @abstractmethod
    def complete(self) -> tuple[bool, ...]:
        """For each site, whether its neurons' contributions must add up to ``change``."""

    @cached_property
    def totals(self) -> Tensor:
        """What the conductances of each site must add up to, float64 [batch, sites]; NaN where that is not known."""
        known = torch.tensor(self.complete, device=self.change.device)
        return torch.where(known, self.change.double().unsqueeze(1), torch.nan)

    @property
    def piecewise_linear(self) -> bool:
        """Whether every activation of the network is."""
        return all(site.piecewise_linear for site in self.response.space)


@dataclass(frozen=True, eq=False)
class InputLine(Line):
    """x(α) = x' + α (x - x'): all sites along the straight line of inputs. For tokens, the line of their embeddings."""

    response: Response
    start: Start
    memory: Memory = field(default_factory=Memory)

    @property
    def space(self) -> NeuronSpace:
        return self.response.space

    def at(self, alphas: Tensor, samples: Tensor) -> tuple[Tensors, Tensors]:
        run = self.run(alphas, samples, graph=True)
        value = self._value(run, samples)
        gradients = run.read(value, lambda a, gradient: gradient, last=True).tensors
        return tuple(wide(a) for a in run.values().tensors), gradients

    def slopes(self, alphas: Tensor, samples: Tensor) -> Tensors:
        try:
            return tuple(wide(slope) for slope in self._forward_mode(alphas, samples))
        except ForwardError:
            return self._central_differences(alphas, samples)

    def values(self) -> Tensors:
        return self.response.run.values().tensors

    def end(self) -> tuple[Tensors, Tensors]:
        return tuple(wide(a) for a in self.values()), self.response.gradients.tensors

    @cached_property
    def change(self) -> Tensor:
        samples = self.response.samples
        run = self.run(torch.zeros(len(samples)), samples, graph=False)
        return self.response.value.detach() - self._value(run, samples).detach()

    @cached_property
    def complete(self) -> tuple[bool, ...]:
        return self.response.run.cuts(self.response.value)

    def run(self, alphas: Tensor, samples: Tensor, graph: bool = True) -> Run:
        """The network on these points. Raises MismatchError where it takes another way than on the input."""
        run = self.response.run_at(self._values(alphas, samples), samples, graph=graph)
        if difference := self.space.difference(run.space):
            raise MismatchError(
                "the network takes another way between the baseline and the input, so its sites cannot be followed "
                f"along the line (α in {_span(alphas)}): {difference}. Give a baseline nearer to the input, or look "
                "at the common sites with Network(model, only=[...])"
            )
        return run

    def _value(self, run: Run, samples: Tensor) -> Tensor:
        return self.response.of_rows(run, samples)

    def _values(self, alphas: Tensor, samples: Tensor) -> list[Tensor | None]:
        return [None if ends is None else _between(*ends, alphas) for ends in self._ends(samples)]

    def _ends(self, samples: Tensor) -> Iterator[tuple[Tensor, Tensor] | None]:
        """Where each of ``run.moving`` starts and ends; None for what does not move."""
        for start, end in zip(self.start, self.response.run.moving, strict=True):
            rows = samples if start is None else samples.to(start.device)
            yield None if start is None or end is None else (start[rows], end.detach()[rows])

    def directions(self, samples: Tensor) -> list[Tensor | None]:
        """x - x' for each of ``run.moving``, None for those that do not move."""
        return [None if ends is None else ends[1] - ends[0] for ends in self._ends(samples)]

    def _forward_mode(self, alphas: Tensor, samples: Tensor) -> Tensors:
        directions, first = self.directions(samples), len(self.response.run.inputs)
        x, embed = self.response.moved(self._values(alphas, samples), samples)

        def moving(number: int, found: Tensor) -> Tensor:
            value = embed(number, found)
            direction = directions[first + number]
            return value if direction is None else dual(value, direction)

        return self.response.net.slopes(x, directions[:first], self.space, moving)

    def _central_differences(self, alphas: Tensor, samples: Tensor) -> Tensors:
        step = torch.finfo(self.response.value.dtype).eps ** (1 / 3)  # least error of rounding and curvature together
        low, high = (alphas - step).clamp_min(0), (alphas + step).clamp_max(1)
        below, above = (self.run(a, samples, graph=False).values().tensors for a in (low, high))
        return tuple((wide(b) - wide(a)) / _like(high - low, a) for a, b in zip(below, above, strict=True))


@dataclass(frozen=True, eq=False)
class SiteLine(Line):
    """a(α) = a' + α (a - a') for the activations of one site, everything above recomputed."""

    response: Response
    above: Above
    start: Tensor
    memory: Memory = field(default_factory=Memory)

    @cached_property
    def space(self) -> NeuronSpace:
        return NeuronSpace((self.response.space.sites[self.above.position],), self.response.space.network)

    @cached_property
    def _end(self) -> Tensor:
        return self.response.run.activation(self.space.names[0]).detach()

    def at(self, alphas: Tensor, samples: Tensor) -> tuple[Tensors, Tensors]:
        here = samples.to(self._end.device)
        y = _between(self.start[here], self._end[here], alphas)
        return (wide(y),), (self.above.gradient(y, samples)[1],)

    def slopes(self, alphas: Tensor, samples: Tensor) -> Tensors:
        return (wide(self._end - self.start)[samples.to(self._end.device)],)

    def values(self) -> Tensors:
        return (self._end,)

    def end(self) -> tuple[Tensors, Tensors]:
        return (wide(self._end),), (self.response.gradients.tensors[self.above.position],)

    @cached_property
    def change(self) -> Tensor:
        return self.response.value.detach() - self.above.of(self.start, self.response.samples)

    @property
    def complete(self) -> tuple[bool, ...]:
        return (True,)


def _between(start: Tensor, end: Tensor, alphas: Tensor) -> Tensor:
    """start + α (end - start), row by row."""
    return torch.lerp(wide(start), wide(end), _like(alphas, wide(end))).to(end.dtype)


def _like(alphas: Tensor, rows: Tensor) -> Tensor:
    return alphas.to(rows.dtype).to(rows.device).view(-1, *[1] * (rows.dim() - 1))


def _span(alphas: Tensor) -> str:
    return f"[{float(alphas.min()):.3g}, {float(alphas.max()):.3g}]"
