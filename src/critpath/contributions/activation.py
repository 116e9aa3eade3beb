"""The activation itself, as the conductance paper compares with it."""

from __future__ import annotations

import torch
from torch import Tensor

from critpath.contributions.family import CONTRIBUTIONS
from critpath.neurons import NeuronValues
from critpath.response import Response


@CONTRIBUTIONS.register("activation", forwards=1, backwards=0, zero_if_dead=True)
def activation(response: Response) -> NeuronValues:
    """c = a, whatever the target: how strongly a neuron fires, not what it does to the response."""
    return response.run.values().map(_copy)


def _copy(values: Tensor) -> Tensor:
    """At least float32, and apart from the graph's own memory."""
    return values.to(torch.promote_types(values.dtype, torch.float32), copy=True)
