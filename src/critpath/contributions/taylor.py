"""NeuronMCT: marginal contribution by Taylor expansion."""

from __future__ import annotations

from critpath.contributions.family import CONTRIBUTIONS
from critpath.neurons import NeuronValues
from critpath.response import Response


@CONTRIBUTIONS.register("taylor", forwards=1, backwards=1, zero_if_dead=True)
def taylor(response: Response) -> NeuronValues:
    """c = a dΦ/da, signed: the first-order estimate of Φ(x) - Φ(x; a → 0).

    NeuronMCT of the critical-pathways paper (equation 2) and of PruneGrad (equation 3), whose c is |c| here.
    Exact where Φ is linear in the neuron. A dead neuron (a = 0) scores 0.
    """
    return response.run.read(response.value, lambda a, gradient: a * gradient)
