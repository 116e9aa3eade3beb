"""The plain gradient."""

from __future__ import annotations

from critpath.attribution.family import ATTRIBUTIONS, InputMaps
from critpath.response import Response


@ATTRIBUTIONS.register("gradient", forwards=1, backwards=1, copies=0)
def gradient(response: Response) -> InputMaps:
    """∇_x Φ(x), signed, in units of response per unit of input."""
    return response.run.input_gradients(response.value)
