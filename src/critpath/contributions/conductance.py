"""Neuron conductance: how the integrated gradient of the input flows through neurons."""

from __future__ import annotations

from collections.abc import Sequence

from critpath.baselines import InputBaseline, starts_of
from critpath.contributions.along import Options, Scores, along, combined
from critpath.contributions.family import CONTRIBUTIONS
from critpath.groups import By
from critpath.lines import InputLine
from critpath.response import Response


@CONTRIBUTIONS.register("conductance", forwards=32, backwards=32, copies=3)
def conductance(
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
    """c = ∫ dΦ/dy (dy/dα) dα along x' + α (x - x'), signed, for every neuron y of every site in one sweep.

    Equation 3 of the conductance paper, in the form of Shrikumar et al. (2018). Where every route from the
    input passes a site, its scores add up to Φ(x) - Φ(x'). Options: see ``Options``, and ``InputBaseline`` for
    ``baseline``.
    """
    options = Options(points, tolerance, tolerance_of, rule, by, absolute, memory)
    return along_inputs(response, ("conductance",), baseline, options)["conductance"]


def along_inputs(
    response: Response, names: Sequence[str], baseline: InputBaseline, options: Options
) -> dict[str, Scores]:
    """Several integrands in one sweep; the points are put where the first needs them."""
    starts = starts_of(baseline, response)
    parts = [along(InputLine(response, start), names, options) for start in starts]
    return {name: combined(response.space, [part[name] for part in parts], options) for name in names}
