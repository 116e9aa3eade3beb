"""What the page keeps of the inputs as they pass by: names, pictures, predictions, and the first few themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import nan

import numpy as np
import torch

from critpath.analysis.compare import seconds_now
from critpath.explanation.facts import predictions, target_name
from critpath.explanation.views import as_picture
from critpath.network import ModelInput, Network, batch_size, map_tensors, sample_of, tensors_of
from critpath.report import Photograph
from critpath.report.content import Picture
from critpath.response import respond
from critpath.targets import TargetLike

SHOWN = 24
"""Images that the page shows at most."""


@dataclass(eq=False)
class Watched:
    """Fills as batches pass: ``shown`` has a photograph for each of the first inputs, ``kept`` the first ``keep``
    inputs, ``unit`` the seconds that a forward and backward pass of one input took."""

    net: Network
    target: TargetLike
    classes: Sequence[str] | None
    titles: Sequence[str]
    pictures: Sequence[Picture]
    keep: int
    shown: list[Photograph] = field(default_factory=list)
    kept: list[ModelInput] = field(default_factory=list)
    unit: float = nan

    def passing(self, batches: Iterable[ModelInput]) -> Iterator[ModelInput]:
        """The batches, unchanged."""
        for x in batches:
            if self.unit != self.unit:
                self.unit = _seconds_of_a_pass(self.net, x, self.target)
            for index in range(min(batch_size(x), max(SHOWN, self.keep) - len(self.shown))):
                self._see(sample_of(x, index))
            yield x

    def _see(self, x: ModelInput) -> None:
        number = len(self.shown)
        if number < self.keep:
            self.kept.append(map_tensors(x, torch.clone))  # a loader may fill the same tensor again
        self.shown.append(self._photograph(x, number))

    def _photograph(self, x: ModelInput, number: int) -> Photograph:
        response = respond(self.net, x, self.target, graph=False)
        best = predictions(response, self.classes, 1)
        return Photograph(
            title=self.titles[number] if number < len(self.titles) else f"input {number + 1}",
            predicted=best[0].label if best else "",
            probability=best[0].probability if best else nan,
            target=target_name(response.target, self.classes),
            picture=np.asarray(self.pictures[number]) if number < len(self.pictures) else _picture(x),
        )


def _picture(x: ModelInput) -> Picture | None:
    floats = [tensor for tensor in tensors_of(x) if tensor.is_floating_point()]
    return as_picture(floats[0]) if floats else None


def _seconds_of_a_pass(net: Network, x: ModelInput, target: TargetLike) -> float:
    """Forward and backward once more after a first time, for one input."""
    return min(_timed(lambda: respond(net, x, target).gradients, net.device(x)) for _ in range(2)) / batch_size(x)


def _timed(run: Callable[[], object], device: torch.device) -> float:
    start = seconds_now(device)
    run()
    return seconds_now(device) - start
