"""Random maps: what any method must beat."""

from __future__ import annotations

from critpath.attribution.family import ATTRIBUTIONS, InputMaps
from critpath.attribution.inputs import as_inputs, moving, normal
from critpath.draws import sample_generators
from critpath.response import Response


@ATTRIBUTIONS.register("random", forwards=1, backwards=0, copies=0)
def random(response: Response, *, seed: int = 0) -> InputMaps:
    """Independent standard normal values, drawn for every sample by ``seed`` and its content."""
    inputs = moving(response)
    return as_inputs(
        normal(inputs, sample_generators([x for x in inputs if x is not None], seed, "random map")), response
    )
