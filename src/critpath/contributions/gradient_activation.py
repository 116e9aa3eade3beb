"""Gradient times activation, as the conductance paper compares with it."""

from __future__ import annotations

from critpath.contributions.family import CONTRIBUTIONS
from critpath.contributions.taylor import taylor
from critpath.neurons import NeuronValues
from critpath.response import Response


@CONTRIBUTIONS.register("gradient_activation", forwards=1, backwards=1, zero_if_dead=True)
def gradient_activation(response: Response) -> NeuronValues:
    """c = y dF/dy at the input, signed (section 4 of the conductance paper, at α = 1).

    The same quantity as ``taylor`` under its other name; both are kept so that either paper's tables read
    as printed.
    """
    return taylor(response)
