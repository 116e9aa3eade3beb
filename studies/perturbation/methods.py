"""NeuronIntGrad's maps with few points, as a plan takes a method of one's own.

A registered method with ``finder: intgrad`` takes 32 points at every site; these take four.
"""

from __future__ import annotations

from torch import Tensor, nn

import critpath as cp
from critpath.evaluation.values import Explain

POINTS = 4
SPARSITY = 0.7


def neuron_intgrad(model: nn.Module) -> Explain:
    """The gradient through the pathway of NeuronIntGrad, other neurons frozen at their values."""
    net = cp.Network(model)

    def explain(x: Tensor, target: Tensor) -> Tensor:
        scores = cp.score(net, x, "intgrad", target=target, points=POINTS)
        pathway = cp.select(scores, sparsity=SPARSITY)
        maps: Tensor = cp.attribute(net, x, "pathway_gradient", target=target, pathway=pathway)
        return maps

    return explain
