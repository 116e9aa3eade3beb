"""SmoothGrad: the mean gradient of noisy copies of the input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from critpath.attribution.family import ATTRIBUTIONS, InputMaps
from critpath.attribution.inputs import as_inputs, like_rows, moving, normal, zeros
from critpath.draws import sample_generators
from critpath.memory import rows_at_once
from critpath.neurons import rows, wide
from critpath.response import Response


@ATTRIBUTIONS.register("smoothgrad", forwards=26, backwards=25, copies=0)
def smoothgrad(
    response: Response, *, samples: int = 25, noise: float = 0.15, seed: int = 0, memory: str | int | None = None
) -> InputMaps:
    """1/n Σ ∇Φ(x + ε), ε normal with the deviation ``noise`` (max x - min x): Smilkov et al. 2017, equation 2.

    ``samples`` is n; the range is that of each sample's own input (of several input tensors, each one's own). The noise
    is drawn for every sample by ``seed`` and the sample's content. As many noisy copies go through the network at once
    as ``memory`` allows.
    """
    inputs, totals = moving(response), zeros(response)
    generators = sample_generators([x for x in inputs if x is not None], seed, "smoothgrad")
    for which in _rows(response, samples, memory):
        noises = [_times(noise, x, which, e) for x, e in _drawn(inputs, generators, which)]
        run = response.run_at(_noisy(inputs, which, noises), which)
        found = run.input_gradients(response.of_rows(run, which))
        for total, gradient in zip(totals, found, strict=True):
            _add(total, gradient, which, samples)
    return as_inputs(totals, response)


def _rows(response: Response, samples: int, memory: str | int | None) -> Iterator[Tensor]:
    """Which sample each row of a pass belongs to, until every sample had its number of rows."""
    batch = response.run.batch
    step = rows_at_once(response.net, response.x, memory) if response.target.any_batch else batch
    yield from torch.split(response.samples.repeat(samples), step)


def _drawn(
    inputs: Sequence[Tensor | None], generators: Sequence[torch.Generator], which: Tensor
) -> Iterator[tuple[Tensor | None, Tensor | None]]:
    return zip(inputs, normal(inputs, [generators[i] for i in which.tolist()]), strict=True)


def _times(noise: float, x: Tensor | None, which: Tensor, drawn: Tensor | None) -> Tensor | None:
    """ε of each row: the noise's share of its sample's range, times what was drawn."""
    if x is None or drawn is None:
        return None
    span = rows(x).amax(dim=1) - rows(x).amin(dim=1)
    return like_rows(noise * span[which.to(span.device)], drawn) * drawn


def _noisy(inputs: Sequence[Tensor | None], which: Tensor, noises: Sequence[Tensor | None]) -> list[Tensor | None]:
    pairs = zip(inputs, noises, strict=True)
    return [None if x is None or noise is None else x[which.to(x.device)] + noise for x, noise in pairs]


def _add(total: Tensor | None, gradient: Tensor | None, which: Tensor, samples: int) -> None:
    """Adds the rows' gradients to their samples', and those of an input that all share as they are."""
    if total is None or gradient is None:
        return
    if len(gradient) == len(which):
        total.index_add_(0, which.to(total.device), wide(gradient) / samples)
    else:
        total.add_(wide(gradient) / samples)
