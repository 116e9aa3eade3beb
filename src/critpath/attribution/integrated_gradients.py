"""Integrated gradients of the input."""

from __future__ import annotations

from critpath.attribution.along import integrated
from critpath.attribution.family import ATTRIBUTIONS, InputMaps
from critpath.baselines import InputBaseline
from critpath.response import Response

POINTS = 50


@ATTRIBUTIONS.register("integrated_gradients", forwards=POINTS + 1, backwards=POINTS)
def integrated_gradients(
    response: Response, *, baseline: InputBaseline = None, points: int = POINTS, memory: str | int | None = None
) -> InputMaps:
    """(x - x') ⊙ ∫ ∇Φ(x' + α (x - x')) dα by Gauss-Legendre ``points``: Sundararajan et al. 2017, equation 1.

    x' is the ``baseline``, by default zero in units of the (preprocessed) input; several are averaged. The map adds up
    to Φ(x) - Φ(x') but for the error of the quadrature. As many points go through the network at once as ``memory``
    allows. Raises MismatchError where the network takes another way between the baseline and the input.
    """
    return integrated(response, baseline, points, memory)
