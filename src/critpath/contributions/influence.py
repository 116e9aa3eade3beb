"""Internal influence: the mean gradient of a neuron along the line of inputs."""

from __future__ import annotations

from critpath.baselines import InputBaseline
from critpath.contributions.along import Options, Scores
from critpath.contributions.conductance import along_inputs
from critpath.contributions.family import CONTRIBUTIONS
from critpath.groups import By
from critpath.response import Response


@CONTRIBUTIONS.register("influence", forwards=32, backwards=32, copies=3)
def influence(
    response: Response,
    *,
    baseline: InputBaseline = None,
    points: int | None = None,
    tolerance: float | None = None,
    tolerance_of: str = "site",
    rule: str = "auto",
    by: By = None,
    absolute: bool = False,
    memory: str | int | None = None,
) -> Scores:
    """c = ∫ dΦ/dy dα along x' + α (x - x'), signed: what the response gains per unit of the neuron.

    Equation 4 of the conductance paper (Leino et al., 2018). ``score_many`` gets it free with conductance.
    """
    options = Options(points, tolerance, tolerance_of, rule, by, absolute, memory)
    return along_inputs(response, ("influence",), baseline, options)["influence"]
