"""One response of a network: the run it came from and the scalar that is explained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.errors import MismatchError, ModelError, NumericalError
from critpath.network import ModelInput, Network, Rule, Run, gradients_on
from critpath.neurons import NeuronSpace, Site
from critpath.pathway import Pathway
from critpath.targets import Target, TargetLike, as_target


@dataclass(frozen=True, eq=False)
class Response:
    """What every method starts from: network, input, one forward pass, and its scalar per sample.

    ``target`` is settled: a predicted class stays the class of the unmodified network in every rerun.
    ``value`` is [batch], in the graph of ``run``.
    """

    net: Network
    x: ModelInput
    run: Run
    target: Target
    value: Tensor

    @property
    def space(self) -> NeuronSpace:
        return self.run.space

    def rerun(self, rule: Rule | None = None, graph: bool = True) -> Response:
        """The same response of the network whose activations are rewritten by ``rule``."""
        return _response(self.net, self.x, self.net.run(self.x, rule, graph), self.target)

    def pruned(self, pathway: Pathway, graph: bool = True) -> Response:
        """The response when only the pathway's neurons act, the others set to zero, all above recomputed.

        Raises MismatchError where that makes the network call sites that the pathway does not know.
        """

        def rule(site: Site, a: Tensor) -> Tensor:
            if site.name not in pathway.space:
                raise MismatchError(f"pruning made the network take another way: it called {site.name}")
            return a * pathway.keep[site.name].to(a.device)

        return self.rerun(rule, graph)


def respond(net: Network, x: ModelInput, target: TargetLike = None, graph: bool = True) -> Response:
    """Run the network on ``x`` and settle the target: by default the class that it predicts.

    Raises TargetError where the target is not in the output, NumericalError where it is not finite.
    """
    if not isinstance(net, Network):
        raise ModelError(f"the first argument is {type(net).__name__}; wrap the model: net = Network(model)")
    run = net.run(x, graph=graph)
    with gradients_on():
        settled = as_target(target).fixed(run)
    return _response(net, x, run, settled)


def _response(net: Network, x: ModelInput, run: Run, target: Target) -> Response:
    with gradients_on():
        value = target.of(run)
    if not torch.isfinite(value).all():
        raise NumericalError(f"the response is NaN or infinite: {value.tolist()[:8]}")
    return Response(net, x, run, target, value)
