"""One response of a network: the run it came from and the scalar that is explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from critpath.errors import MismatchError, ModelError, NumericalError
from critpath.network import Embed, ModelInput, Network, Rule, Run, Suffix, gradients_on, map_tensors, samples_of
from critpath.neurons import NeuronSpace, NeuronValues, Site, wide
from critpath.pathway import Pathway
from critpath.targets import Logit, Margin, Probability, Target, TargetLike, as_target, class_scores


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

    @cached_property
    def gradients(self) -> NeuronValues:
        """dΦ/da of every neuron on the input itself: [batch, *shape] per site, at least float32."""
        return self.run.read(self.value, lambda a, gradient: gradient)

    def rerun(self, rule: Rule | None = None, graph: bool = True) -> Response:
        """The same response of the network whose activations are rewritten by ``rule``."""
        run = self.net.run(self.x, rule, graph)
        return Response(self.net, self.x, run, self.target, _value(self.target, run))

    def pruned(self, pathway: Pathway, graph: bool = True, elsewhere: NeuronValues | None = None) -> Response:
        """The response when only the pathway's neurons act, all above recomputed; see ``keeping``."""
        return self.rerun(keeping(pathway, elsewhere), graph)

    def keeps_class(self, other: Response) -> Tensor | None:
        """Whether another run gives the same class as this one: booleans [batch]; None where there are no classes.

        Two classes that are tied for the first place are no class: a network that is silenced gives none.
        """
        if not isinstance(self.target, Logit | Probability | Margin):
            return None
        scores, own = class_scores(other.run).detach(), class_scores(self.run).detach().argmax(dim=1)
        first = scores == scores.max(dim=1, keepdim=True).values
        return first.gather(1, own.to(first.device).unsqueeze(1)).squeeze(1) & (first.sum(dim=1) == 1)

    def moved(self, values: Sequence[Tensor | None], samples: Tensor) -> tuple[ModelInput, Embed]:
        """The input where what moves has other values, as ``Network.run`` takes it: an input, and what is looked up.

        ``values`` has a tensor [n, ...] for each of ``run.moving``, None for what stays; row i stands for sample
        ``samples[i]``. Raises MismatchError, when run, where tokens are looked up more often than on the input.
        """
        inputs = iter(values[: len(self.run.inputs)])
        lookups = values[len(self.run.inputs) :]

        def move(tensor: Tensor) -> Tensor:
            value = next(inputs)
            return tensor if value is None else value.to(tensor)

        def embed(number: int, found: Tensor) -> Tensor:
            if number >= len(lookups):
                raise MismatchError(f"tokens are looked up more often here than the {len(lookups)} times on the input")
            value = lookups[number]
            return found if value is None else value.to(found)

        return map_tensors(samples_of(self.x, samples), move), embed

    def run_at(
        self, values: Sequence[Tensor | None], samples: Tensor, rule: Rule | None = None, graph: bool = True
    ) -> Run:
        """The network where what moves has other values; see ``moved``."""
        x, embed = self.moved(values, samples)
        return self.net.run(x, rule, graph, embed)

    def above(self, site: str) -> Above:
        """The response as a function of one site's activations. Raises MismatchError for a site that was not called."""
        return Above(self, self.net.suffix(self.x, self.run, site), self.space.position(site))

    def of_rows(self, run: Run, samples: Tensor) -> Tensor:
        """The response [n] in another run, whose rows are these samples [n]; in the graph of that run."""
        with gradients_on():
            return _value(self.target.taken(samples), run)

    @property
    def samples(self) -> Tensor:
        """[batch], 0, 1, 2 and so on, where the response is."""
        return torch.arange(self.run.batch, device=self.value.device)


@dataclass(frozen=True, eq=False)
class Above:
    """The response as a function of the activations of one site, everything above it recomputed.

    Both functions take ``values`` [n, *shape] and ``samples`` [n]: which sample each row belongs to.
    """

    response: Response
    suffix: Suffix
    position: int

    def of(self, values: Tensor, samples: Tensor) -> Tensor:
        """The response [n], without a graph."""
        run = self.suffix.run(values, samples, graph=False)
        return self.response.of_rows(run, samples).detach()

    def gradient(self, values: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
        """The response [n], and its gradient with respect to the values [n, *shape], at least float32."""
        run = self.suffix.run(values, samples)
        value = self.response.of_rows(run, samples)
        return value.detach(), wide(run.site_gradients(value, [self.position])[0])


def keeping(pathway: Pathway, elsewhere: NeuronValues | None = None) -> Rule:
    """The rule by which only the pathway's neurons act; the others are set to ``elsewhere``, by default to zero.

    ``elsewhere`` has one sample, or one for each: their values on the input itself make the frozen network, those
    of other inputs resampled ablation, their means mean ablation. A pathway of one sample fits any batch.
    The rule raises MismatchError at a site that the pathway does not know.
    """

    def rule(site: Site, a: Tensor) -> Tensor:
        if site.name not in pathway.space:
            raise MismatchError(f"pruning made the network take another way: it called {site.name}")
        keep = pathway.keep[site.name].to(a.device)
        rest = a.new_zeros(()) if elsewhere is None else elsewhere[site.name].to(a)
        return torch.where(keep, a, rest)

    return rule


def respond(net: Network, x: ModelInput, target: TargetLike = None, graph: bool = True) -> Response:
    """Run the network on ``x`` and settle the target: by default the class that it predicts.

    Raises TargetError where the target is not in the output, NumericalError where it is not finite.
    """
    if not isinstance(net, Network):
        raise ModelError(f"the first argument is {type(net).__name__}; wrap the model: net = Network(model)")
    run = net.run(x, graph=graph)
    with gradients_on():
        settled = as_target(target).fixed(run)
    return Response(net, x, run, settled, _value(settled, run))


def _value(target: Target, run: Run) -> Tensor:
    with gradients_on():
        value = target.of(run)
    if not torch.isfinite(value).all():
        raise NumericalError(f"the response is NaN or infinite: {value.tolist()[:8]}")
    return value
