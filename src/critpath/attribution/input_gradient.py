"""Input times gradient."""

from __future__ import annotations

from critpath.attribution.family import ATTRIBUTIONS, InputMaps
from critpath.attribution.inputs import as_inputs
from critpath.neurons import wide
from critpath.response import Response


@ATTRIBUTIONS.register("input_gradient", forwards=1, backwards=1, copies=0)
def input_gradient(response: Response) -> InputMaps:
    """x ⊙ ∇_x Φ(x), signed: the marginal contribution of each input value by Taylor expansion.

    InputMCT of the critical-pathways paper. It depends on where the input's zero is, so on the preprocessing.
    """
    pairs = zip(response.run.moving, response.run.input_gradients(response.value), strict=True)
    return as_inputs([None if x is None or g is None else wide(x.detach()) * wide(g) for x, g in pairs], response)
