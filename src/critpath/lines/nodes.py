"""Points of a line that were evaluated: what was seen at each, and as many whole ones as there is room for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch
from torch import Tensor

from critpath.errors import NumericalError
from critpath.lines.line import Line, Memory, Point, Seen, Tensors
from critpath.lines.sample import Watched
from critpath.neurons import all_finite


@dataclass(eq=False)
class Nodes:
    """Evaluates points, ``rows`` at once, remembers the watched neurons of each and holds up to ``room`` whole.

    What is not held is evaluated again when it is asked for again. Slopes are taken where ``slopes`` says so.
    """

    line: Line
    watched: Watched
    rows: int
    room: int
    memory: Memory
    slopes: bool = False

    def visit(self, points: Iterable[Point]) -> None:
        """Evaluate these points, so that they can be asked about."""
        for _ in self.read(points):
            pass

    def read(self, points: Iterable[Point]) -> Iterator[tuple[Point, Seen]]:
        """The points in their order (with a response of whole batches only: in that of each sample)."""
        for some in self._batches(list(points)):
            new = [point for point in some if point not in self.memory.held]
            fresh = self._evaluate(new) if new else {}
            yield from ((point, fresh.get(point) or self.memory.held[point]) for point in some)

    def watched_at(self, sample: int, alphas: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
        """Watched y, g and slopes at visited points of one sample: [n, m] each."""
        columns = zip(*(self.memory.watched[sample, alpha] for alpha in alphas), strict=True)
        y, g, slope = (torch.stack(column) for column in columns)
        return y, g, slope

    def _batches(self, points: list[Point]) -> Iterator[list[Point]]:
        if self.line.response.target.any_batch:
            yield from (points[i : i + self.rows] for i in range(0, len(points), self.rows))
            return
        by_sample = [[p for p in points if p[0] == s] for s in sorted({s for s, _ in points})]
        yield from ([p for p in some if p is not None] for some in zip_longest(*by_sample))

    def _evaluate(self, points: list[Point]) -> dict[Point, Seen]:
        ends = [] if self.slopes else [point for point in points if point[1] == 1]
        found = self._rows_of(ends, [sample for sample, _ in ends], *self.line.end(), ()) if ends else {}
        if inner := [point for point in points if point not in found]:
            samples, alphas = self._rows(inner)
            y, g = self.line.at(alphas, samples)
            slope = self.line.slopes(alphas, samples) if self.slopes else ()
            found |= self._rows_of(inner, self._places(inner), y, g, slope)
        return found

    def _rows_of(
        self, points: list[Point], rows: Sequence[int], y: Tensors, g: Tensors, slope: Tensors
    ) -> dict[Point, Seen]:
        """What is in one row of each of these tensors, for each point."""
        found = {}
        for point, row in zip(points, rows, strict=True):
            found[point] = Seen(*(tuple(t[row] for t in part) for part in (y, g, slope)))
            self._keep(point, found[point])
        return found

    def _places(self, points: list[Point]) -> Sequence[int]:
        """The row of each point."""
        return range(len(points)) if self.line.response.target.any_batch else [sample for sample, _ in points]

    def _rows(self, points: list[Point]) -> tuple[Tensor, Tensor]:
        """Samples and α of the rows to run: the points, or the whole batch with those that are not asked for at 1."""
        every = self.line.response.samples
        if self.line.response.target.any_batch:
            samples = torch.tensor([s for s, _ in points], device=every.device)
            return samples, torch.tensor([a for _, a in points], dtype=torch.float64)
        wanted = dict(points)
        return every, torch.tensor([wanted.get(s, 1.0) for s in range(len(every))], dtype=torch.float64)

    def _keep(self, point: Point, seen: Seen) -> None:
        y, g = self.watched.take(seen.y), self.watched.take(seen.g)
        if not all_finite(g):
            raise NumericalError(
                f"a gradient is NaN or infinite at α = {point[1]:.4g} of the line from the baseline to sample "
                f"{point[0]}: the network is not differentiable there. Give another baseline, or run in float64"
            )
        self.memory.watched[point] = (y, g, self.watched.take(seen.slope) if seen.slope else y)
        if len(self.memory.held) < self.room:
            self.memory.held[point] = seen
