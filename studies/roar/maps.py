"""NeuronIntGrad's maps with few points at a site, as a plan takes a method of one's own."""

from __future__ import annotations

from torch import Tensor, nn

import critpath as cp
from critpath.evaluation.values import Explain

POINTS = 3
"""Midpoints at each site; the registered finder takes 32."""

SPARSITY = 0.8
"""At which ResNet-8's probability of the predicted class changes by 15 %: see studies/prunegrad."""


def neuron_intgrad(model: nn.Module) -> Explain:
    """The gradient through the pathway of NeuronIntGrad, the other neurons frozen at their values."""
    net = cp.Network(model)

    def explain(x: Tensor, target: Tensor) -> Tensor:
        scores = cp.score(net, x, "intgrad", target=target, points=POINTS)
        pathway = cp.select(scores, sparsity=SPARSITY)
        found: Tensor = cp.attribute(net, x, "pathway_gradient", target=target, pathway=pathway)
        return found

    return explain
